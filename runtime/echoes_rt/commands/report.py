"""What a command says of its result."""

from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from echoes_rt.model import Model
    from echoes_rt.results import Result
    from echoes_rt.tasks.stream import Stream

Report = dict[str, object]


def describe(file: Path, result: "Result | Stream", model: "Model") -> Report:
    """One result as JSON-ready values."""
    from echoes_rt.results import Picture, Sound
    from echoes_rt.tasks.stream import Stream

    report: Report = {"file": str(file)}
    if isinstance(result, Sound | Stream):
        duration_s = round(result.duration_s or 0.0, 3)
        report |= {"duration_s": duration_s, "sample_rate": result.sample_rate}
        if result.confidence is not None:
            report["confidence"] = round(result.confidence, 4)
    if isinstance(result, Picture):
        report |= {"width": result.pixels.shape[1], "height": result.pixels.shape[0]}
    if unrecorded := model.unrecorded():
        report["unrecorded"] = unrecorded
    return report | {
        "bundle": result.bundle,
        "device": result.device,
        "device_reason": model.choice.reason,
        "seed": result.seed,
        **asdict(result.sampling),
        "stages_ms": {name: round(ms, 1) for name, ms in result.timings_ms.items()},
    }


def guess(source: object, report: Report) -> str | None:
    """A warning, if the sound was made from a picture of what the model does not know."""
    from echoes_rt.format.graphs import CONFIDENT

    confidence = report.get("confidence", 1.0)
    assert isinstance(confidence, float)
    if confidence >= CONFIDENT:
        return None
    return (
        f"{source} is unlike the pictures of all that the model knows (confidence "
        f"{confidence:.2f}), so its sound is a guess; echoes-rt info lists what it knows"
    )


def text_of(reports: list[Report], took_s: float) -> str:
    """For people."""
    from echoes_rt.format.sampling import Sampling

    first = reports[0]
    dials: dict[str, Any] = {f.name: first[f.name] for f in fields(Sampling)}
    lines = [f"{report['file']}: {_size(report)}" for report in reports]
    if len(reports) > 1:
        lines = [f"{line} (seed {r['seed']})" for line, r in zip(lines, reports, strict=True)]
    stages = first["stages_ms"]
    assert isinstance(stages, dict)
    parts = ", ".join(f"{name.replace('_', ' ')} {ms / 1000:.2f}" for name, ms in stages.items())
    return "\n".join(
        [
            *lines,
            f"bundle    {first['bundle']}",
            f"device    {first['device']} ({first['device_reason']})",
            *([f"seed      {first['seed']}"] if len(reports) == 1 else []),
            f"sampling  {Sampling(**dials)}",
            f"took      {took_s:.2f} s ({parts})",
        ]
    )


def _size(report: Report) -> str:
    if "duration_s" in report:
        return f"{report['duration_s']:.2f} s of sound"
    return f"{report['width']} x {report['height']} pixels"
