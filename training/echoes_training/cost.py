"""What training a preset costs: operations counted, hours estimated from them."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from echoes_training.models.codec import CodecConfig
from echoes_training.models.transformer import MaskedTransformer
from echoes_training.presets import Preset
from echoes_training.stages.codecs import make_codec

BACKWARD = 2
"""Passes forward that one pass back costs: a gradient of the inputs and one of the weights."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """``count`` times ``flops`` floating-point operations; a multiply-add is two."""

    name: str
    flops: int
    count: int

    @property
    def total(self) -> int:
        return self.flops * self.count

    def gpu_hours(self, peak_tflops: float, utilization: float) -> float:
        """At a share ``utilization`` of the GPU's peak."""
        return self.total / (peak_tflops * 1e12 * utilization * 3600)


def count_work(preset: Preset, clips: int, pictures: int) -> list[Work]:
    """A whole training on given codecs: every clip is encoded once, then the transformer learns.

    Args:
        preset: whose transformer takes ``loop.steps`` batches.
        clips: clips with sound.
        pictures: pictures a clip.
    """
    image, mel, layout = preset.image, preset.mel, preset.layout
    stage = preset.transformer
    tokens = torch.zeros(1, layout.n_tokens, dtype=torch.long, device="meta")
    with torch.device("meta"):
        transformer = MaskedTransformer(stage.model, layout)
    return [
        Work(
            name="encode pictures",
            flops=_encoding(preset.image_codec.model, image.height, image.width),
            count=clips * pictures,
        ),
        Work(
            name="encode sounds",
            flops=_encoding(preset.mel_codec.model, mel.n_mels, mel.n_frames),
            count=clips,
        ),
        Work(
            name="train the transformer",
            flops=(1 + BACKWARD) * count_flops(lambda: transformer(tokens)),
            count=stage.loop.steps * stage.loop.batch_size,
        ),
    ]


def _encoding(config: CodecConfig, height: int, width: int) -> int:
    with torch.device("meta"):
        codec = make_codec(config)
        x = torch.zeros(1, config.in_channels, height, width)
    return count_flops(lambda: codec.encode(x))


@torch.no_grad()
def count_flops(run: Callable[[], object]) -> int:
    """Matrix products, convolutions and attention; the rest is memory traffic, not operations."""
    with FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops())
