"""A student that takes fewer steps than its guided teacher, and comes to the same."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training.runs import invoke, metrics, saved

from echoes_rt.decode.plan import make_plan
from echoes_rt.decode.reference import decode
from echoes_rt.format.sampling import Sampling
from echoes_rt.format.tokens import MEDIA, OTHER, Grid
from echoes_training import checkpoint
from echoes_training.masking import draw_unknown
from echoes_training.models.transformer import MaskedTransformer
from echoes_training.presets import PRESETS
from echoes_training.stages.rollouts import Task, lesson_of, roll_out, states

STAGE = PRESETS["tiny"].transformer


def a_teacher(**shape: int | str) -> MaskedTransformer:
    """Untrained, with scores far enough apart that guidance matters."""
    torch.manual_seed(0)
    config = dataclasses.replace(STAGE.model, **shape)  # type: ignore[arg-type]
    model = MaskedTransformer(config, STAGE.layout).eval().requires_grad_(False)
    for name in MEDIA:
        for parameter in model.medium(name).parameters():
            parameter.mul_(8)
    for layer in model.blocks:
        layer.get_submodule("attention.out").get_parameter("weight").mul_(4)
    return model


def a_task(medium: str, *, known: bool = True) -> Task:
    """Six samples; half see the other medium, and of some a part is known."""
    layout = STAGE.layout
    rng = np.random.default_rng(0)
    grid, other = layout.grids[medium], layout.grids[OTHER[medium]]
    codes = rng.integers(0, grid.codebook_size, (6, grid.n_tokens))
    unknown = np.ones(codes.shape, dtype=np.bool_)
    if known:
        unknown[1, 3:] = False
        unknown[4, 1:] = False
    return Task(
        medium=medium,
        tokens=torch.from_numpy(np.where(unknown, grid.mask_token, codes)),
        others=torch.from_numpy(rng.integers(0, other.codebook_size, (6, other.n_tokens))),
        sees=torch.tensor([True, True, True, False, False, True]),
        uniforms=torch.from_numpy(rng.random(codes.shape)),
    )


SAMPLINGS = (
    Sampling(steps=4, guidance_scale=2.5, guidance_interval=(0.0, 0.5)),
    Sampling(steps=3, guidance_scale=3, guidance_schedule="annealed", temperature=0.7),
)


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("medium", MEDIA)
def test_the_teacher_decodes_as_the_reference_does(medium: str, sampling: Sampling) -> None:
    teacher, task = a_teacher(image_group=2), a_task(medium)
    grid = STAGE.layout.grids[medium]
    codes, drawn_from = roll_out(teacher, task, sampling)
    context = teacher.context(task.others, OTHER[medium])
    for sample, sees in enumerate(task.sees.tolist()):
        part = slice(sample, sample + 1)

        def logits_of(tokens: np.ndarray, has_context: bool, part: slice = part) -> np.ndarray:
            seen = context[part] if has_context else None
            return teacher.logits(torch.from_numpy(tokens), medium, seen).numpy()

        tokens = task.tokens[part].numpy()
        plan = make_plan(tokens == grid.mask_token, grid.order, sampling)
        uniforms = task.uniforms[part].numpy()
        expected = decode(logits_of, tokens, plan, uniforms, has_context=sees)
        assert codes[part].tolist() == expected.tolist()
    was_unknown = task.tokens == grid.mask_token
    torch.testing.assert_close(drawn_from.sum(dim=-1), was_unknown.float())


def test_the_student_is_asked_for_each_code_in_its_own_steps() -> None:
    order = (3, 0, 2, 1, 5, 4, 7, 6)
    unknown = np.ones((2, 8), dtype=np.bool_)
    unknown[1, [0, 1, 2, 3, 4]] = False
    samples, hidden, asked = states(unknown, order, (4, 2))
    # Of eight codes four steps draw 1, 2, 2 and 3 and two steps 3 and 5; both see the first three.
    expected = [
        (0, {0, 1, 2, 3, 4, 5, 6, 7}, {3, 0, 2}),
        (0, {0, 1, 2, 4, 5, 6, 7}, {0, 2}),
        (0, {1, 4, 5, 6, 7}, {1, 5, 4, 7, 6}),
        (0, {4, 6, 7}, {4, 7, 6}),
        (1, {5, 6, 7}, {5}),
        (1, {6, 7}, {6, 7}),
        (1, {6}, {6}),
    ]
    found = [
        (int(sample), {*np.flatnonzero(h).tolist()}, {*np.flatnonzero(a).tolist()})
        for sample, h, a in zip(samples, hidden, asked, strict=True)
    ]
    assert found == expected


def test_in_as_many_steps_a_lesson_is_what_the_guided_teacher_answers() -> None:
    teacher, task, scale = a_teacher(audio_group=2), a_task("audio", known=False), 3.0
    lesson = lesson_of(teacher, task, Sampling(steps=3, guidance_scale=scale), (3,))
    place = 0
    for tokens, asked, context in zip(lesson.tokens, lesson.asked, lesson.context, strict=True):
        scores = teacher.logits(tokens[None], "audio")
        if context >= 0:
            seen = teacher.context(lesson.others[context][None], "image")
            scores = scores + scale * (teacher.logits(tokens[None], "audio", seen) - scores)
        rows = teacher.audio.by_position(torch.arange(len(tokens))[None])
        positions = rows[teacher.audio.by_position(asked[None])]
        wanted = lesson.wanted[place : place + len(positions)]
        torch.testing.assert_close(wanted, scores[0, positions].softmax(dim=-1))
        place += len(positions)
    assert place == len(lesson.wanted)


def test_targets_are_whole_scattered_or_a_rectangle() -> None:
    grid = Grid(height=4, width=6, codebook_size=8)
    rng = np.random.default_rng(0)
    assert all(draw_unknown(grid, 0.0, rng).all() for _ in range(20))
    masks = [draw_unknown(grid, 1.0, rng).reshape(4, 6) for _ in range(200)]
    assert all(mask.any() for mask in masks)
    is_box = [mask.sum() == mask.any(0).sum() * mask.any(1).sum() for mask in masks]
    assert 0.4 < np.mean(is_box) < 0.9
    assert any(
        box and mask.any(0).sum() < 6 and mask.all(0).any()
        for box, mask in zip(is_box, masks, strict=True)
    )


def a_run(run: Path, **shape: str) -> Path:
    """Of ``a_teacher``."""
    config = dataclasses.replace(STAGE, model=dataclasses.replace(STAGE.model, **shape))  # type: ignore[arg-type]
    return saved(run, "transformer", config, transformer=a_teacher(**shape))


Distil = Callable[..., Path]


@pytest.fixture
def distil(tmp_path: Path, random_tokens: Path) -> Distil:
    """Runs the command; returns the student's run."""

    def run(teacher: Path, *settings: str, out: str = "student", expect: str = "") -> Path:
        folder = tmp_path / out
        always = ("loop.log_every=1", "loop.precision=fp32", *settings)
        arguments = ["--preset", "tiny", *(part for s in always for part in ("--set", s))]
        command = ("distill", "--teacher", teacher, "--tokens", random_tokens)
        result = invoke(*command, "--out", folder, *arguments)
        assert bool(result.exit_code) == bool(expect), result.output
        assert expect in result.output
        return folder

    return run


def test_a_student_comes_to_what_its_guided_teacher_answers(tmp_path: Path, distil: Distil) -> None:
    teacher = a_run(tmp_path / "teacher")
    run = distil(
        teacher,
        "loop.steps=60",
        "loop.evaluate_every=1",
        "loop.batch_size=16",
        "loop.learning_rate=0.01",
        "teacher.steps=4",
        "steps=(2,)",
    )
    measured = [row for row in metrics(run) if "validation/audio_alone" in row]
    for medium in MEDIA:
        name = f"validation/{medium}_given_{OTHER[medium]}"
        assert measured[-1][name] < 0.6 * measured[0][name]
    settings = checkpoint.load_config(run)
    assert settings["stage"] == "transformer"
    assert settings["distill"]["steps"] == [2]
    # It is a teacher in its turn, whose guidance cannot be chosen.
    distil(run, out="next", expect="guidance_scale must be 1")
    distil(run, "teacher.guidance_scale=1", "loop.steps=1", out="next")


def test_a_teacher_of_joint_form_is_refused(tmp_path: Path, distil: Distil) -> None:
    teacher = a_run(tmp_path / "teacher", form="joint")
    distil(teacher, expect="only one of form context")


@pytest.mark.parametrize(
    "setting", ["steps=(9,)", "steps=()", "teacher.temperature=0", "unpaired=2"]
)
def test_settings_that_no_student_could_learn_with_are_refused(
    setting: str, tmp_path: Path, distil: Distil
) -> None:
    distil(a_run(tmp_path / "teacher"), setting, expect="--set")
