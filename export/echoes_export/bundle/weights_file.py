"""All weights of a bundle in one safetensors file, where ONNX graphs find them by offset."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from onnx import TensorProto
from safetensors.torch import save_file
from torch import Tensor

from echoes_export.bundle.models import Models
from echoes_rt.errors import InputError

WEIGHTS_NAME = "weights.safetensors"


@dataclass(frozen=True, kw_only=True)
class StoredTensor:
    """Where a tensor lies; ``dtype`` is safetensors' name of it, offsets count from the start."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    length: int


def write_weights(path: Path, models: Models, weights: str) -> dict[str, StoredTensor]:
    """Writes every module's state under ``<module>.<key>``, and the modules' shapes beside it."""
    tensors = {
        f"{part}.{name}": tensor.detach().cpu().contiguous().to(stored_dtype(name, tensor, weights))
        for part, module in models.modules.items()
        for name, tensor in module.state_dict().items()
    }
    # One entry: safetensors keeps several in an order that changes from run to run.
    save_file(tensors, path, metadata={"models": json.dumps(models.configs, sort_keys=True)})
    path.chmod(0o644)  # safetensors' files are private
    return stored_tensors(path)


def stored_tensors(path: Path) -> dict[str, StoredTensor]:
    """Reads the header: its length in 8 bytes, little-endian, then that many bytes of JSON."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    return {
        name: StoredTensor(
            dtype=entry["dtype"],
            shape=tuple(entry["shape"]),
            offset=8 + size + entry["data_offsets"][0],
            length=entry["data_offsets"][1] - entry["data_offsets"][0],
        )
        for name, entry in header.items()
        if name != "__metadata__"
    }


def refer(tensor: TensorProto, place: StoredTensor, file: str = WEIGHTS_NAME) -> None:
    """Points an ONNX tensor without data to its place in a file of weights."""
    del tensor.external_data[:]
    tensor.dims[:] = place.shape
    tensor.data_location = TensorProto.EXTERNAL
    where = {"location": file, "offset": place.offset, "length": place.length}
    for key, value in where.items():
        tensor.external_data.add(key=key, value=str(value))


PRECISIONS = ("fp16", "fp32")


def stored_dtype(name: str, tensor: Tensor, weights: str) -> torch.dtype:
    """Matrices and kernels are stored as ``weights`` says, all other numbers in fp32.

    Vectors are too small to matter. Codebooks are small as well, and a rounded code can lose a
    latent that lies between two codes to its neighbour.
    """
    if not tensor.is_floating_point():
        return tensor.dtype  # a norm's count of batches
    is_codebook = name.endswith("quantize.embedding.weight")
    if weights == "fp16" and tensor.ndim > 1 and not is_codebook:
        return torch.float16
    return torch.float32


def rounded(models: Models, weights: str) -> Models:
    """A copy whose fp32 weights have the values that a bundle will store.

    Raises:
        InputError: if a weight is beyond the range of fp16.
    """
    models = models.copy()
    with torch.no_grad():
        for part, module in models.modules.items():
            for name, tensor in module.state_dict().items():
                tensor.copy_(tensor.to(stored_dtype(name, tensor, weights)))
                if not tensor.isfinite().all():
                    raise InputError(
                        f"weight {part}.{name} is not finite in {weights}; "
                        "use --weights fp32, or train it again if that fails too"
                    )
    return models
