"""Reads the weights of a checkpoint without running anything that is in it."""

import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from echoes_rt.errors import InputError

PICKLE_SUFFIXES = (".ckpt", ".pt", ".pth", ".bin")


class Inert:
    """Stands for any class or function that a checkpoint names: takes everything, does nothing.

    Lightning checkpoints hold objects of the training beside the weights. PyTorch's restricted
    unpickler calls only what it is given; given this in their place, it reads past them.
    """

    def __new__(cls, *_arguments: object) -> "Inert":
        return super().__new__(cls)

    def __init__(self, *_arguments: object) -> None:
        pass

    def __setstate__(self, _state: object) -> None:
        pass


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, from its ``state_dict`` if it has one.

    Args:
        path: ``.safetensors``, or one of PICKLE_SUFFIXES.

    Raises:
        InputError: if the file is of another kind, damaged, or cannot be read safely.
    """
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path} is not a safetensors file: {error}") from error
    if path.suffix not in PICKLE_SUFFIXES:
        known = ", ".join((".safetensors", *PICKLE_SUFFIXES))
        raise InputError(f"a checkpoint must end in one of {known}, got {path}")
    try:
        content = _unpickle(path)
    except (pickle.UnpicklingError, RuntimeError, ValueError, TypeError, LookupError, EOFError,
            OSError, AttributeError, AssertionError) as error:  # fmt: skip
        raise InputError(
            f"the weights of {path} cannot be read safely ({_reason(error)}); where you trust the "
            "file, save its state_dict as .safetensors and import that"
        ) from error
    state = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(state, dict) or not state:
        raise InputError(f"{path} holds no state_dict, the tensors by name; save that instead")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise InputError(f"{path}: {name!r} is not a tensor; save only the state_dict")
    return state


def _unpickle(path: Path) -> Any:
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except ValueError:  # written before PyTorch 1.6, which kept nothing beside the weights readable
        return torch.load(path, map_location="cpu", weights_only=True)
    with torch.serialization.safe_globals([(Inert, name) for name in names]):
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)


def _reason(error: Exception) -> str:
    """One line; PyTorch's own explains at length how to run the file after all."""
    cause = error.__context__ if isinstance(error.__context__, pickle.UnpicklingError) else error
    return (str(cause).splitlines() or [type(cause).__name__])[0].rstrip(".")
