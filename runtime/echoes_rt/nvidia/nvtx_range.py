"""Names for NVIDIA's Nsight Systems, if the package nvtx is there."""

from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

_DOMAIN = "echoes-rt"


def nvtx_range(name: str) -> AbstractContextManager[Any]:
    """What runs inside has this name on Nsight's time line."""
    annotate = _annotate()
    return nullcontext() if annotate is None else annotate(name, domain=_DOMAIN)


@lru_cache(maxsize=1)
def _annotate() -> Any:
    try:
        import nvtx
    except ImportError:
        return None
    return nvtx.annotate
