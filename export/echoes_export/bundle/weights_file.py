"""All weights of a bundle in one safetensors file, where ONNX graphs find them by offset."""

import json
from dataclasses import dataclass
from pathlib import Path

from onnx import TensorProto
from safetensors.torch import save_file

from echoes_export.bundle.models import Models
from echoes_export.precision.stored import stored_dtype

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
