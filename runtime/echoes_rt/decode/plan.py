"""The schedule of a run, as data."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from echoes_rt.spec.sampling import SamplingDefaults
from echoes_rt.spec.schedule import mask_ratio, num_masked
from echoes_rt.spec.tokens import TokenLayout

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class DecodePlan:
    """Everything that may change from step to step; K steps, B batch members.

    Attributes:
        keep: (K, B) int32, how many tokens stay masked after each step.
        temperature: (K,) float32, divides the logits before a token is drawn; 0 is argmax.
        choice_temperature: (K,) float32, scales the noise on which tokens stay masked.
        guidance_scale: (K,) float32; a step at 1 needs no unconditional branch.
    """

    keep: NDArray[np.int32]
    temperature: NDArray[np.float32]
    choice_temperature: NDArray[np.float32]
    guidance_scale: NDArray[np.float32]

    @property
    def steps(self) -> int:
        return len(self.keep)


def make_plan(mask: BoolArray, sampling: SamplingDefaults) -> DecodePlan:
    """The plan for filling in ``mask`` (B, N), True where unknown.

    A member with fewer unknown tokens than steps is filled in one token a step and then rests.
    """
    steps = sampling.steps
    keep = np.zeros((steps, len(mask)), dtype=np.int32)
    for member, unknown in enumerate(mask.sum(axis=1).tolist()):
        if unknown:
            counts = num_masked(unknown, min(steps, unknown))
            keep[: len(counts), member] = counts
    falling = 1.0 - (np.arange(steps) + 1) / steps
    return DecodePlan(
        keep=keep,
        temperature=np.full(steps, sampling.temperature, dtype=np.float32),
        choice_temperature=(sampling.choice_temperature * falling).astype(np.float32),
        guidance_scale=_guidance_scales(sampling),
    )


def _guidance_scales(sampling: SamplingDefaults) -> NDArray[np.float32]:
    """(K,) float32, the scale of each step."""
    start, stop = sampling.guidance_interval
    scales = np.ones(sampling.steps, dtype=np.float32)
    for step in range(sampling.steps):
        progress = step / sampling.steps
        if start <= progress < stop:
            excess = sampling.guidance_scale - 1
            if sampling.guidance_schedule == "annealed":
                excess *= mask_ratio(progress)
            scales[step] = 1 + excess
    return scales


def known_media(mask: BoolArray, layout: TokenLayout) -> BoolArray:
    """The condition to guide by: every medium of which a member knows all, if another is unknown.

    Returns:
        (B, N), True where the unconditional branch sees a mask token instead.
    """
    condition = np.zeros_like(mask)
    is_asking = mask.any(axis=1)
    for medium in (layout.image_slice, layout.audio_slice):
        is_known = is_asking & ~mask[:, medium].any(axis=1)
        condition[is_known, medium] = True
    return condition
