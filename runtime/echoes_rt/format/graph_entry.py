"""The files of a graph as a manifest lists them."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """A file of the bundle; ``file`` is relative to the manifest, with forward slashes."""

    file: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class GraphEntry(DataFile):
    """One ONNX graph and the weight files that it reads besides itself.

    Attributes:
        precision: of the weights: fp32, fp16 or int8; inputs and outputs are the same.
        external_data: may be shared with other graphs.
    """

    precision: str
    external_data: tuple[DataFile, ...] = ()

    @property
    def files(self) -> tuple[DataFile, ...]:
        graph = DataFile(file=self.file, sha256=self.sha256, size_bytes=self.size_bytes)
        return (graph, *self.external_data)
