"""The dials of one generation."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SamplingDefaults:
    """What a bundle recommends; every value can be overridden per call.

    Attributes:
        steps: number of parallel decoding passes, at least 1.
        guidance_scale: ``uncond + s * (cond - uncond)``; 1 is off, and costs half.
        temperature: divides the logits before a token is drawn; 0 takes the likeliest token.
        choice_temperature: how much noise decides which tokens stay; falls linearly to 0.
    """

    steps: int = 12
    guidance_scale: float = 3.0
    temperature: float = 1.0
    choice_temperature: float = 4.5

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")
        limits = {"guidance_scale": 100.0, "temperature": 10.0, "choice_temperature": 100.0}
        for name, limit in limits.items():
            value = getattr(self, name)
            if not 0.0 <= value <= limit:  # also refuses NaN
                raise ValueError(f"{name} must be in [0, {limit:g}], got {value:g}")
