"""The schedule of a run, as data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from echoes_rt.format.sampling import DRAWING, Sampling, mask_ratio, num_masked

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int32]
FloatArray = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that may change from step to step; K steps, B batch members.

    Attributes:
        positions: (K, B, M) int32, which tokens each step draws; N, one beyond the last, where a
            member draws fewer than M.
        guidance_scale: (K,) float32; a step at 1 needs no branch without context.
        drawing: (K,) float32 of each setting in ``DRAWING``.
    """

    positions: IntArray
    guidance_scale: FloatArray
    drawing: Mapping[str, FloatArray]

    @property
    def steps(self) -> int:
        return len(self.positions)

    def drawing_at(self, step: int) -> dict[str, np.float32]:
        return {name: values[step] for name, values in self.drawing.items()}


def make_plan(mask: BoolArray, order: Sequence[int], sampling: Sampling) -> Plan:
    """The plan for filling in ``mask`` (B, N), True where unknown.

    A member with fewer unknown tokens than steps is filled in one token a step and then rests.

    Args:
        mask: of which a member may have none.
        order: every position once, in the order in which unknown ones are drawn.
        sampling: how many steps, and their dials.
    """
    n_tokens = mask.shape[1]
    by_member = [_drawn(np.asarray(order)[row[list(order)]], sampling.steps) for row in mask]
    most = max((len(part) for parts in by_member for part in parts), default=0)
    shape = (sampling.steps, len(mask), max(1, most))
    positions = np.full(shape, n_tokens, dtype=np.int32)
    for member, parts in enumerate(by_member):
        for step, part in enumerate(parts):
            positions[step, member, : len(part)] = part
    return Plan(
        positions=positions,
        guidance_scale=_guidance_scales(sampling),
        drawing={
            name: np.full(sampling.steps, getattr(sampling, name), dtype=np.float32)
            for name in DRAWING
        },
    )


def noise_of(plan: Plan, uniforms: FloatArray) -> FloatArray:
    """(K, B, M) of (B, N): the noise of each token that the plan draws."""
    n_tokens = uniforms.shape[1]
    members = np.arange(len(uniforms))[None, :, None]
    return np.asarray(uniforms[members, np.minimum(plan.positions, n_tokens - 1)])


def _drawn(unknown: NDArray[np.intp], steps: int) -> list[NDArray[np.intp]]:
    """The unknown positions, divided among the steps that draw any."""
    if not len(unknown):
        return []
    left = num_masked(len(unknown), min(steps, len(unknown)))
    return np.split(unknown, [len(unknown) - n for n in left[:-1]])


def _guidance_scales(sampling: Sampling) -> FloatArray:
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
