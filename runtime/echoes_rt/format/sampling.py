"""What a user may set of one generation."""

import math
from dataclasses import asdict, dataclass
from typing import TypedDict

from echoes_rt.format.schema import BrokenRuleError, check, rule_of


def mask_ratio(progress: float) -> float:
    """Fraction of tokens still masked at ``progress`` in [0, 1]: cosine, 1 at 0 and 0 at 1.

    Source: MaskGIT (arXiv 2202.04200), section 3.3.
    """
    return math.cos(0.5 * math.pi * progress)


def num_masked(n_tokens: int, steps: int) -> list[int]:
    """Number of tokens left masked after each of ``steps`` steps; strictly falling to 0.

    Raises:
        ValueError: if ``steps`` is not in [1, n_tokens].
    """
    if not 1 <= steps <= n_tokens:
        raise ValueError(f"steps must be in [1, {n_tokens}], got {steps}")
    counts: list[int] = []
    left = n_tokens
    for step in range(1, steps + 1):
        left = max(steps - step, min(left - 1, math.floor(n_tokens * mask_ratio(step / steps))))
        counts.append(left)
    return counts


DRAWING: tuple[str, ...] = tuple(
    name
    for name, rule in rule_of("sampling")["properties"].items()
    if rule.get("type") == "number" and name != "guidance_scale"
)
"""The settings by which a token is drawn: inputs of all decoding graphs, by the same names."""


class SamplingOptions(TypedDict, total=False):
    """What of ``Sampling`` can be asked for; what is None or missing is the bundle's default."""

    steps: int | None
    guidance_scale: float | None
    temperature: float | None
    guidance_schedule: str | None
    guidance_interval: tuple[float, float] | None


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """What a bundle recommends; every value can be overridden per call.

    Attributes:
        steps: number of parallel decoding passes, at least 1.
        guidance_scale: ``uncond + s * (cond - uncond)``; 1 is off, and costs half.
        temperature: divides the logits before a token is drawn; 0 takes the likeliest token.
        guidance_schedule: ``constant``, or ``annealed``: falls to 1 with the share of tokens that
            is still masked (MAGNeT, arXiv 2401.04577, section 3.4).
        guidance_interval: (start, stop) as shares of the steps; outside of it guidance is off
            (arXiv 2404.07724).
        guidance: ``scale``, or ``folded``: the transformer was trained to answer what a guided one
            does, so that its scale is 1 and its graphs have no second branch.
    """

    steps: int = 12
    guidance_scale: float = 3.0
    temperature: float = 1.0
    guidance_schedule: str = "constant"
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    guidance: str = "scale"

    def __post_init__(self) -> None:
        """Raises ValueError for what the manifest's schema refuses."""
        try:
            checked = check(asdict(self), rule_of("sampling"))
        except BrokenRuleError as error:
            raise ValueError(str(error)) from error
        start, stop = checked["guidance_interval"]
        for name, value in (checked | {"guidance_interval": (start, stop)}).items():
            object.__setattr__(self, name, value)
        if start > stop:
            raise ValueError(
                f"guidance_interval must be two rising shares in [0, 1], got {start:g}, {stop:g}"
            )
        if self.is_folded and self.guidance_scale != 1:
            raise ValueError(
                "guidance_scale must be 1 where guidance is folded into the model, got "
                f"{self.guidance_scale:g}; leave it out"
            )

    @property
    def is_folded(self) -> bool:
        """Whether there is no scale to choose."""
        return self.guidance == "folded"

    def to_dict(self) -> dict[str, object]:
        """As a manifest says it, which names ``guidance`` only where it is folded in."""
        values = asdict(self) | {"guidance_interval": [*self.guidance_interval]}
        if not self.is_folded:
            del values["guidance"]
        return values

    def __str__(self) -> str:
        """One line for people."""
        guidance = f"guidance scale {self.guidance_scale:g}"
        if self.guidance_schedule != "constant":
            guidance = f"{self.guidance_schedule} {guidance}"
        start, stop = self.guidance_interval
        if (start, stop) != (0.0, 1.0):
            guidance += f" from {start:.0%} to {stop:.0%} of them"
        if self.is_folded:
            guidance = "guidance folded in"
        return f"{self.steps} steps, {guidance}, temperature {self.temperature:g}"
