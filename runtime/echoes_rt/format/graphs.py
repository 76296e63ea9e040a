"""The graphs of a bundle: their files, and the tensors that they take and give."""

from dataclasses import dataclass

BATCH = "batch"
"""A dimension given by name is free at run time."""

SEEN = "seen"
"""As large as the batch, or 0 where there is no context."""

GUIDED = "guided"
"""As large as the batch, or 0 where a step has no branch without context."""

STEPS = "steps"
DRAWN = "drawn"
FRAMES = "frames"
SAMPLES = "samples"

HALF = "_half"
"""Behind a graph's name: the same graph, computing in float16 where that is safe. A device of
``backends.device.HALF_KINDS`` runs it instead, if the bundle has it."""

INT8 = "_int8"
"""Behind a graph's name: the same graph, with matrix products of 8-bit integers. A CPU runs it
instead where that precision is chosen, if the bundle has it."""

CONFIDENT = 0.5
"""Least confidence of a picture that shows what the model knows: the graph is calibrated to it."""

Dim = int | str


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """dtype is numpy's name of it; a str in shape is a free dimension."""

    dtype: str
    shape: tuple[Dim, ...]


Tensors = dict[str, TensorSpec]


@dataclass(frozen=True, kw_only=True)
class GraphSpec:
    """Inputs and outputs in the order in which the graph has them."""

    inputs: Tensors
    outputs: Tensors


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
