"""Graphs that multiply matrices in int8, for CPUs, in a bundle that already has them in float32."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto
from safetensors import safe_open
from safetensors.numpy import save_file

from echoes_export.bundle.folder import appearing, data_file
from echoes_export.bundle.weights_file import WEIGHTS_NAME, StoredTensor, refer, stored_tensors
from echoes_export.precision.int8_graph import Matrix, quantize_graph, quantized
from echoes_rt.bundle import Bundle
from echoes_rt.errors import BundleError, InputError
from echoes_rt.format.graphs import HALF, INT8
from echoes_rt.format.manifest import MANIFEST_NAME, GraphEntry, Manifest

MODULES = ("transformer.", "vocoder.blocks.")
"""How the names of the weights begin that are quantized. The vocoder's head turns phases, which is
to stay exact; codecs of sounds are convolutions, which need a scale known beforehand to gain by
int8; those of pictures gain 4 to 6 %."""

INT8_WEIGHTS_NAME = "weights_int8.safetensors"


@dataclass(kw_only=True)
class _Matrices:
    """Those of a bundle's weights that become integers.

    Attributes:
        file: the bundle's weights.
        places: of its tensors, by offset.
        made: the integers and their scales, by name.
    """

    file: Path
    places: dict[int, str]
    made: dict[str, NDArray[np.generic]] = field(default_factory=dict)

    @classmethod
    def of(cls, file: Path) -> "_Matrices":
        places = {tensor.offset: name for name, tensor in stored_tensors(file).items()}
        return cls(file=file, places=places)

    def find(self, tensor: TensorProto) -> str | None:
        """The name of a weight that is quantized; None of others and of what the graph holds."""
        offset = {entry.key: entry.value for entry in tensor.external_data}.get("offset")
        name = None if offset is None else self.places[int(offset)]
        return name if name is not None and name.startswith(MODULES) else None

    def load(self, matrix: Matrix) -> None:
        values, scales = matrix.names
        if values not in self.made:
            with safe_open(self.file, framework="numpy") as file:
                weights = np.asarray(file.get_tensor(matrix.weight)).astype(np.float32)
            turned = weights.T if matrix.is_transposed else weights
            self.made[values], self.made[scales] = quantized(np.ascontiguousarray(turned))


def add_int8_graphs(folder: Path, accept: Callable[[Path], None] = lambda _: None) -> Manifest:
    """Writes them beside the others, with their matrices; all else stays as it is.

    Args:
        folder: of the bundle, which changes as a whole or not at all.
        accept: is given the finished folder before it gets its name; may raise to refuse it.

    Raises:
        BundleError: if the bundle is damaged or has no matrices to quantize.
        InputError: if it cannot be written.
    """
    bundle = Bundle.open(folder)
    if bundle.folder != bundle.source:
        raise InputError(f"{folder} is a zip; unpack it and give the folder")
    if not (folder / WEIGHTS_NAME).is_file():
        raise BundleError(f"bundle {bundle.manifest.name} has no {WEIGHTS_NAME} to quantize")
    matrices = _Matrices.of(folder / WEIGHTS_NAME)
    graphs = {n: entry for n, entry in bundle.manifest.graphs.items() if not n.endswith(INT8)}
    made = {}
    for name in graphs:
        model = onnx.load(bundle.graph_path(name), load_external_data=False)
        if not name.endswith(HALF) and quantize_graph(model.graph, matrices.find, matrices.load):
            made[name] = model
    if not made:
        raise BundleError(
            f"bundle {bundle.manifest.name} has no products of {', '.join(MODULES)} to quantize"
        )
    with appearing(folder) as partial:
        shutil.copytree(folder, partial, dirs_exist_ok=True)
        save_file(matrices.made, partial / INT8_WEIGHTS_NAME)
        (partial / INT8_WEIGHTS_NAME).chmod(0o644)  # safetensors' files are private
        stored = stored_tensors(partial / INT8_WEIGHTS_NAME)
        entries = {
            f"{name}{INT8}": _write(partial, name, model, stored, graphs[name])
            for name, model in made.items()
        }
        manifest = replace(bundle.manifest, graphs=graphs | entries)
        manifest.write(partial / MANIFEST_NAME)
        accept(partial)
    return manifest


def _write(
    folder: Path,
    name: str,
    model: onnx.ModelProto,
    stored: dict[str, StoredTensor],
    entry: GraphEntry,
) -> GraphEntry:
    """One graph, which reads the new weights and what it needs of the old ones."""
    for tensor in model.graph.initializer:
        if tensor.name in stored:
            refer(tensor, stored[tensor.name], INT8_WEIGHTS_NAME)
    path = folder / f"{name}{INT8}.onnx"
    onnx.save(model, path)
    onnx.checker.check_model(path, full_check=True)
    return GraphEntry(
        **vars(data_file(path)),
        precision="int8",
        external_data=(*entry.external_data, data_file(folder / INT8_WEIGHTS_NAME)),
    )
