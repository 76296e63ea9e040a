"""The dials of one generation."""

from dataclasses import dataclass

GUIDANCE_SCHEDULES = ("constant", "annealed")


@dataclass(frozen=True, kw_only=True)
class SamplingDefaults:
    """What a bundle recommends; every value can be overridden per call.

    Attributes:
        steps: number of parallel decoding passes, at least 1.
        guidance_scale: ``uncond + s * (cond - uncond)``; 1 is off, and costs half.
        temperature: divides the logits before a token is drawn; 0 takes the likeliest token.
        choice_temperature: how much noise decides which tokens stay; falls linearly to 0.
        guidance_schedule: ``constant``, or ``annealed``: falls to 1 with the share of tokens that
            is still masked (MAGNeT, arXiv 2401.04577, section 3.4).
        guidance_interval: (start, stop) as shares of the steps; outside of it guidance is off
            (arXiv 2404.07724).
    """

    steps: int = 12
    guidance_scale: float = 3.0
    temperature: float = 1.0
    choice_temperature: float = 4.5
    guidance_schedule: str = "constant"
    guidance_interval: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")
        limits = {"guidance_scale": 100.0, "temperature": 10.0, "choice_temperature": 100.0}
        for name, limit in limits.items():
            value = getattr(self, name)
            if not 0.0 <= value <= limit:  # also refuses NaN
                raise ValueError(f"{name} must be in [0, {limit:g}], got {value:g}")
        if self.guidance_schedule not in GUIDANCE_SCHEDULES:
            raise ValueError(
                f"guidance_schedule must be one of {', '.join(GUIDANCE_SCHEDULES)}, got "
                f"{self.guidance_schedule!r}"
            )
        start, stop = self.guidance_interval
        if not 0.0 <= start <= stop <= 1.0:
            raise ValueError(
                f"guidance_interval must be two rising shares in [0, 1], got {start:g}, {stop:g}"
            )

    def __str__(self) -> str:
        """One line for people."""
        guidance = f"guidance scale {self.guidance_scale:g}"
        if self.guidance_schedule != "constant":
            guidance = f"{self.guidance_schedule} {guidance}"
        start, stop = self.guidance_interval
        if (start, stop) != (0.0, 1.0):
            guidance += f" from {start:.0%} to {stop:.0%} of them"
        return (
            f"{self.steps} steps, {guidance}, temperature {self.temperature:g}, "
            f"choice temperature {self.choice_temperature:g}"
        )
