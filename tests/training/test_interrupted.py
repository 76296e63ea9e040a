"""A training that is killed (SIGKILL) and resumed ends with the weights of one that was not."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tests.training.runs import assert_same_weights, forked, metrics, train

from echoes_rt.errors import InputError
from echoes_training import checkpoint
from echoes_training.checkpoint import TrainState
from echoes_training.metrics import MetricsLog
from echoes_training.models.teacher import EfficientNetLite0Teacher

DEATHS = {
    "image-vqgan": "within a step",
    "image-codec": "while writing",
    "mel-vqgan": "while writing",
    "mel-codec": "while writing",
    "vocoder": "within a step",
    "image-vqgan-resident": "within a step",
    "mel-codec-resident": "while writing",
    "transformer": "while writing",
    "fine-tuning": "within a step",
    "distill": "while writing",
}


@pytest.fixture(scope="module", autouse=True)
def random_teacher() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EfficientNetLite0Teacher, "load_published", lambda _: None)
        yield


@pytest.fixture(scope="module")
def folder(
    media_index: Path, random_tokens: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Runs ``whole-NAME``, and ``killed-NAME`` as the kill left them; commands.json."""
    folder = tmp_path_factory.mktemp("interrupted")
    index = ["--index", str(media_index)]
    tokens = ["--tokens", str(random_tokens)]
    resident, edge = ["--set", "data.resident=True"], ["--preset", "edge-tiny"]
    whole = {name: str(folder / f"whole-{name}") for name in DEATHS}
    stages = {
        "image-vqgan": ["image-codec", *index],
        "image-codec": ["image-codec", *index, *edge],
        "mel-vqgan": ["mel-codec", *index],
        "mel-codec": ["mel-codec", *index, *edge],
        "vocoder": ["vocoder", *index],
        "image-vqgan-resident": ["image-codec", *index, *resident],
        "mel-codec-resident": ["mel-codec", *index, *edge, *resident],
        "transformer": ["transformer", *tokens],
        "fine-tuning": ["transformer", *tokens, "--start-from", whole["transformer"]],
        "distill": ["distill", *tokens, "--teacher", whole["transformer"]],
    }
    settings = ("loop.steps=4", "loop.checkpoint_minutes=0", "loop.ema_decay=0.9")
    options = ["--preset", "tiny", *(part for s in settings for part in ("--set", s))]
    commands = {name: [stages[name][0], *options, *stages[name][1:]] for name in DEATHS}
    for name, command in commands.items():
        train(*command, "--out", whole[name])
    jobs = [
        {"commands": [[*command, "--out", str(folder / f"killed-{name}")]], "death": DEATHS[name]}
        for name, command in commands.items()
    ]
    (folder / "commands.json").write_text(json.dumps(commands), "utf-8")
    assert forked(jobs, folder) == [[-9]] * len(jobs)
    return folder


@pytest.mark.parametrize("name", DEATHS)
def test_a_killed_run_goes_on_as_if_nothing_had_been(name: str, folder: Path) -> None:
    whole, killed = folder / f"whole-{name}", folder / f"killed-{name}"
    left = checkpoint.newest(killed)
    assert left is not None
    assert left.name in ("step-0000001", "step-0000002", "step-0000003")
    was_writing = DEATHS[name] == "while writing"
    assert (killed / "step-0000003.partial").is_dir() == was_writing
    command = json.loads((folder / "commands.json").read_text("utf-8"))[name]
    train(*command, "--out", str(killed), "--resume")
    assert sorted(p.name for p in killed.glob("step-*")) == ["step-0000004"]
    has_average = any((killed / "step-0000004").glob("*_ema.safetensors"))
    assert has_average == (name != "image-codec")
    assert_same_weights(whole, killed)


def test_a_checkpoint_of_other_shapes_is_one_sentence(tmp_path: Path) -> None:
    folder = checkpoint.save(
        tmp_path, 2, TrainState(modules={"it": torch.nn.Linear(1, 1)}, optimizers={})
    )
    with pytest.raises(InputError) as caught:
        checkpoint.load(folder, TrainState(modules={"it": torch.nn.Linear(2, 1)}, optimizers={}))
    assert str(caught.value).startswith(f"the it of {folder} does not fit (size mismatch for wei")
    assert "\n" not in str(caught.value)


def test_a_step_is_logged_once_however_often_it_is_made(tmp_path: Path) -> None:
    with MetricsLog(tmp_path, 0) as log:
        for step in (1, 2, 3):
            log.write(step, {"loss": 10.0 + step})
    with (tmp_path / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 4, "lo')  # as a kill may leave it
    with MetricsLog(tmp_path, 1) as log:
        log.write(2, {"loss": 22.0})
    assert [(row["step"], row["loss"]) for row in metrics(tmp_path)] == [(1, 11.0), (2, 22.0)]
