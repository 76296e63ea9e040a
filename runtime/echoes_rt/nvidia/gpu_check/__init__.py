"""What an owner of a GPU runs and sends back: ``python -m echoes_rt.nvidia.gpu_check``."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field

Say = Callable[[str], None]
"""What is told while a check goes on."""

PASSED, FAILED, SKIPPED = "passed", "FAILED", "SKIPPED"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """``said`` is a sentence for people, ``figures`` what JSON can hold."""

    check: str
    device: str
    status: str
    said: str
    figures: dict[str, object] = field(default_factory=dict)

    @property
    def line(self) -> str:
        return f"{self.status:<8}{self.device:<14}{self.check:<9}{self.said}"

    def to_dict(self) -> dict[str, object]:
        return asdict(self)
