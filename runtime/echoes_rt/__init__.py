"""Makes the sound of a picture and the picture of a sound, without PyTorch."""

from importlib import import_module
from typing import TYPE_CHECKING

from echoes_rt.errors import (
    BackendError,
    BundleError,
    CancelledError,
    EchoesError,
    InputError,
    ManifestError,
)

if TYPE_CHECKING:
    from echoes_rt.pipeline import Echoes, Picture, Sound, Stream

__all__ = [
    "BackendError",
    "BundleError",
    "CancelledError",
    "Echoes",
    "EchoesError",
    "InputError",
    "ManifestError",
    "Picture",
    "Sound",
    "Stream",
    "__version__",
]


def __dir__() -> list[str]:
    """What a completing shell offers, also of what is not loaded yet."""
    return __all__


def __getattr__(name: str) -> object:
    """Loads the pipeline when first asked for, so that the spec and --help stay quick."""
    if name in ("Echoes", "Picture", "Sound", "Stream"):
        return getattr(import_module("echoes_rt.pipeline"), name)
    if name == "__version__":
        from importlib import metadata  # slow to load, and --help does not need it

        try:
            return metadata.version("echoes-rt")
        except metadata.PackageNotFoundError:
            return "0+unknown"  # run from a checkout that was not installed
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
