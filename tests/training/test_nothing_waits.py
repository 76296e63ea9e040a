"""A step reads no value back: on a GPU the host would wait for all that was launched before."""

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
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


LOSSES = "adversarial_start=0"
STAGES: dict[str, tuple[ModuleType, str, tuple[str, ...]]] = {
    "image-codec of a VQGAN": (vqgan, "tiny", (LOSSES,)),
    "mel-codec": (mel_codec, "edge-tiny", (LOSSES,)),
    "mel-decoder": (mel_decoder, "edge-tiny", (LOSSES,)),
    "vocoder": (vocoder, "tiny", (LOSSES,)),
    "image-codec": (image_codec, "edge-tiny", (LOSSES,)),
    "image-codec, decoder": (image_codec, "edge-tiny", (LOSSES, "code_steps=1")),
    "transformer": (transformer, "tiny", ("group_steps=9", "model.dropout=0.1")),
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

    module, preset, settings = STAGES[stage]
    source = ["--tokens" if stage == "transformer" else "--index"]
    source += [str(random_tokens if stage == "transformer" else media_index)]
    if stage == "mel-decoder":
        train("mel-codec", *source, "--preset", preset, "--out", tmp_path / "mel")
        source += ["--codec", str(tmp_path / "mel")]
    monkeypatch.setattr(EfficientNetLite0Teacher, "load_published", lambda _: None)
    monkeypatch.setattr(module, "train", one_step)
    # Samples are drawn ahead; the plain AdamW keeps its counts on the CPU, the fused one does not.
    monkeypatch.setattr(Prefetch, "__call__", reads.uncounted(Prefetch.__call__))
    monkeypatch.setattr(torch.optim.AdamW, "step", reads.uncounted(torch.optim.AdamW.step))
    sets = [part for setting in settings for part in ("--set", setting)]
    options = (*source, "--preset", preset, *sets, "--out", tmp_path / "run")
    train(re.split("[ ,]", stage)[0], *options)
    assert reads.found == []
    assert all(value.ndim == 0 and not value.requires_grad for value in made[0].values())
    with reads:
        made[0]["train/grad_norm"].item()
    assert reads.found == ["aten._local_scalar_dense.default"]
