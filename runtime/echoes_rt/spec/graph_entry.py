"""The files of a graph as a manifest lists them."""

from dataclasses import asdict, dataclass

from echoes_rt.spec.graphs import GraphSpec, TensorSpec


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """A file of the bundle; ``file`` is relative to the manifest, with forward slashes."""

    file: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class GraphEntry:
    """One ONNX graph and the weight files that it reads besides itself.

    Attributes:
        precision: of the weights: fp32, fp16 or int8; inputs and outputs follow the signature.
        external_data: may be shared with other graphs.
    """

    file: str
    sha256: str
    size_bytes: int
    precision: str
    signature: GraphSpec
    external_data: tuple[DataFile, ...] = ()

    @property
    def files(self) -> tuple[DataFile, ...]:
        graph = DataFile(file=self.file, sha256=self.sha256, size_bytes=self.size_bytes)
        return (graph, *self.external_data)

    def to_dict(self) -> dict[str, object]:
        return {
            "file": self.file,
            "sha256": self.sha256,
            "size_bytes": self.size_bytes,
            "precision": self.precision,
            "inputs": _tensors_to_dict(self.signature.inputs),
            "outputs": _tensors_to_dict(self.signature.outputs),
            "external_data": [asdict(part) for part in self.external_data],
        }


def _tensors_to_dict(tensors: dict[str, TensorSpec]) -> dict[str, object]:
    return {name: [tensor.dtype, list(tensor.shape)] for name, tensor in tensors.items()}
