"""The sweeps: their cells, that they resume, and the command."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from echoes_rt.format.sampling import Sampling
from echoes_training.cli import main
from echoes_training.evaluate import ablation
from echoes_training.evaluate.ablation import Sweeps, key_of
from echoes_training.evaluate.dials import SWEPT
from echoes_training.evaluate.judge import ClassifierConfig, cached_judge

SMALL = ClassifierConfig(width=4, embedding_dim=4, steps=4, batch_size=8)


@pytest.fixture(autouse=True)
def small_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "echoes_training.evaluate.evaluation.cached_judge",
        lambda cache, rows, labels, store, _: cached_judge(cache, rows, labels, store, SMALL),
    )


def test_curves_turn_one_dial_each() -> None:
    defaults = Sampling(guidance_scale=5.0)
    curves = Sweeps(guidance=(1, 3), steps=(4, 8)).lines(defaults, tuple(SWEPT))
    assert {dial for dial, _ in curves} == {*SWEPT}
    assert [point.steps for point in curves["steps", ""]] == [4, 8]
    assert {point.guidance_scale for point in curves["steps", ""]} == {5.0}
    annealed = curves["guidance", "annealed"]
    assert annealed[1] == replace(defaults, guidance_scale=3, guidance_schedule="annealed")
    # Without guidance its schedule does not matter: one cell for all.
    unguided = {key_of(points[0]) for (dial, _), points in curves.items() if dial == "guidance"}
    assert len(unguided) == 1
    assert key_of(replace(defaults, guidance_scale=3)) == key_of(
        replace(defaults, guidance_scale=3.0)
    )


def arguments(index: Path, bundle: Path, folder: Path, *more: str) -> list[str]:
    return [
        *("ablate", "--bundle", f"one={bundle}", "--index", str(index)),
        *("--cache", str(folder / "cache"), "--out", str(folder / "ablation.json")),
        *("--threads", "1", "--device", "cpu", "--pictures-per-label", "1", *more),
    ]


def test_command_resumes_and_adds(
    media_index: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = []
    measure = ablation.measure

    def counted(*given: object) -> dict[str, object]:
        measured.append(given)
        return measure(*given)

    monkeypatch.setattr(ablation, "measure", counted)
    steps = ("--sweep", "steps", "--try-steps", "1", "--try-steps", "2", "--seeds", "2")
    first = CliRunner().invoke(main, arguments(media_index, tiny_bundle, tmp_path, *steps))
    assert first.exit_code == 0, first.output
    assert len(measured) == 2
    heads = [line.split("|")[1:-1] for line in first.stdout.splitlines() if "steps:" in line]
    assert [[cell.strip() for cell in head] for head in heads] == [
        ["steps: recognised, balanced", "1", "2"],
        ["steps: Frechet distance to real sounds", "1", "2"],
        ["steps: Frechet distance to the first bundle's", "1", "2"],
        ["steps: distance between seeds", "1", "2"],
    ]

    guidance = ("--sweep", "guidance", "--guidance", "1", "--guidance", "2")
    more = (*steps, *guidance, "--interval", "0", "0.5")
    second = CliRunner().invoke(main, arguments(media_index, tiny_bundle, tmp_path, *more))
    assert second.exit_code == 0, second.output
    # Scale 1 once, scale 2 with three schedules; the steps were there already.
    assert len(measured) == 2 + 4
    results = json.loads((tmp_path / "ablation.json").read_text("utf-8"))
    bundle = results["bundles"]["one"]
    assert len(bundle["cells"]) == 6
    assert {curve["dial"] for curve in bundle["curves"].values()} == {"steps", "guidance"}
    for cell in bundle["cells"].values():
        assert cell["n"] == 4
        assert cell["apart"] >= 0
    assert "one, annealed" in second.stdout

    other = CliRunner().invoke(
        main, arguments(media_index, tiny_bundle, tmp_path, *steps, "--seed", "1")
    )
    assert other.exit_code == 1
    assert "holds results of other settings or media" in other.stderr


def test_a_student_is_compared_with_its_teacher(
    media_index: Path, tiny_bundle: Path, ear_folder: Path, tmp_path: Path
) -> None:
    more = ("--bundle", f"student={tiny_bundle}", "--sweep", "steps", "--try-steps", "4")
    more += ("--seeds", "2", "--ear", str(ear_folder), "--split", "validation")
    result = CliRunner().invoke(main, arguments(media_index, tiny_bundle, tmp_path, *more))
    assert result.exit_code == 0, result.output
    bundles = json.loads((tmp_path / "ablation.json").read_text("utf-8"))["bundles"]
    (teacher,), (student,) = (bundles[name]["cells"].values() for name in ("one", "student"))
    assert student == teacher  # the same bundle
    # Of the same settings, but of other seeds.
    assert student["frechet_first"] > 0
    assert student["frechet_real"] > student["frechet_first"]
    assert 0 <= student["ear_exact"] <= student["ear_coarse"] <= 1
    assert "steps: heard by the ear" in result.stdout


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--bundle", "nameless"), "--bundle must be NAME=PATH, got 'nameless'"),
        (("--guidance", "101"), "guidance_scale must be a number in [0, 100], got 101"),
        (("--steps", "1001"), "steps must be a whole number in [1, 1000], got 1001"),
        (("--out", "nowhere/a.json"), "there is no folder nowhere"),
    ],
)
def test_bad_options_are_one_line(
    media_index: Path, tiny_bundle: Path, tmp_path: Path, more: tuple[str, ...], message: str
) -> None:
    result = CliRunner().invoke(main, arguments(media_index, tiny_bundle, tmp_path, *more))
    assert result.exit_code == 1
    assert message in result.stderr
    assert not (tmp_path / "ablation.json").exists()
