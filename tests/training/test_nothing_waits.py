"""A step reads no value back: on a GPU the host would wait for all that was launched before."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.runs import train
from torch.utils._python_dispatch import TorchDispatchMode

from echoes_training.checkpoint import TrainState
from echoes_training.config import LoopConfig
from echoes_training.models.teacher import EfficientNetLite0Teacher
from echoes_training.processes import Processes
from echoes_training.stages import image_codec, mel_codec, mel_decoder, transformer, vocoder, vqgan
from echoes_training.stages.loop import Measures, Prefetch

aten = torch.ops.aten
WAITS = {
    aten._local_scalar_dense.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten.equal.default,
    aten._unique2.default,
}


class Reads(TorchDispatchMode):
    """Notes what would wait for a GPU: values that are read, shapes that depend on values."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.is_on_host = False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        by_mask = func in (aten.index.Tensor, aten.index_put_.default) and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        if (func in WAITS or by_mask) and not self.is_on_host:
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))

    def uncounted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """What is on the host wherever the rest is."""

        def run(*args: Any, **kwargs: Any) -> Any:
            self.is_on_host, before = True, self.is_on_host
            try:
                return function(*args, **kwargs)
            finally:
                self.is_on_host = before

        return run


STAGES = {
    "image-codec of a VQGAN": (vqgan, ["--set", "adversarial_start=0"]),
    "mel-codec": (mel_codec, ["--preset", "edge-tiny", "--set", "adversarial_start=0"]),
    "mel-decoder": (
        mel_decoder,
        ["--preset", "edge-tiny", "--set", "adversarial_start=0", "--codec", "MEL"],
    ),
    "vocoder": (vocoder, ["--set", "adversarial_start=0"]),
    "image-codec": (
        image_codec,
        ["--preset", "edge-tiny", "--set", "adversarial_start=0"],
    ),
    "image-codec, decoder": (
        image_codec,
        ["--preset", "edge-tiny", "--set", "adversarial_start=0", "--set", "code_steps=1"],
    ),
    "transformer": (transformer, ["--set", "group_steps=9", "--set", "model.dropout=0.1"]),
}


@pytest.mark.parametrize("stage", STAGES)
def test_nothing_of_a_step_waits(
    stage: str,
    media_index: Path,
    random_tokens: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reads = Reads()
    made: list[Measures] = []

    def one_step(
        run: Path,
        loop: LoopConfig,
        state: TrainState,
        processes: Processes,
        step_once: Callable[[int], Measures],
        evaluate: object,
    ) -> None:
        with reads:
            made.append(step_once(1))

    module, options = STAGES[stage]
    index = ["--index", str(media_index)]
    if stage == "mel-decoder":
        codec = tmp_path / "mel"
        train("mel-codec", *index, *options[:2], "--out", codec)
        options = [str(codec) if option == "MEL" else option for option in options]
    monkeypatch.setattr(EfficientNetLite0Teacher, "load_published", lambda _: None)
    monkeypatch.setattr(module, "train", one_step)
    # Samples are drawn ahead; the plain AdamW keeps its counts on the CPU, the fused one does not.
    monkeypatch.setattr(Prefetch, "__call__", reads.uncounted(Prefetch.__call__))
    monkeypatch.setattr(torch.optim.AdamW, "step", reads.uncounted(torch.optim.AdamW.step))
    source = ["--tokens", str(random_tokens)] if stage == "transformer" else index
    preset = [] if "--preset" in options else ["--preset", "tiny"]
    command = [
        re.split("[ ,]", stage)[0],
        *source,
        *preset,
        *options,
        "--out",
        str(tmp_path / "run"),
    ]
    train(*command)
    assert reads.found == []
    assert all(value.ndim == 0 and not value.requires_grad for value in made[0].values())
    with reads:
        made[0]["train/grad_norm"].item()
    assert reads.found == ["aten._local_scalar_dense.default"]
