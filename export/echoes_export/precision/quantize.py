"""A bundle to one whose transformer computes in int8, for CPUs."""

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

from echoes_export.bundle.folder import appearing, check_free, data_file
from echoes_export.bundle.weights_file import WEIGHTS_NAME, refer, stored_tensors
from echoes_export.precision.int8_graph import Matrix, quantize_graph, quantized
from echoes_rt import __version__
from echoes_rt.bundle import CARD_NAME, Bundle
from echoes_rt.errors import BundleError
from echoes_rt.format.graphs import HALF
from echoes_rt.format.manifest import MANIFEST_NAME, Manifest

MODULES = ("transformer",)
"""What is quantized: codecs are convolutions, which need a scale known beforehand to gain by int8,
and the vocoder's errors would be heard."""

_CARD = """
## int8

The matrices of {modules} are stored and multiplied in 8-bit integers, made from {name} by
`echoes-export quantize`. What enters a product gets one scale for the whole tensor, so a token may
change with what else is in its batch, and between processors.
"""


@dataclass(kw_only=True)
class _Weights:
    """The weights of the old bundle, and those of the new one.

    Attributes:
        places: of the old file's tensors, by offset.
        kept: what the new file holds.
    """

    file: Path
    modules: tuple[str, ...]
    places: dict[int, str]
    kept: dict[str, NDArray[np.generic]] = field(default_factory=dict)

    @classmethod
    def of(cls, file: Path, modules: tuple[str, ...]) -> "_Weights":
        places = {tensor.offset: name for name, tensor in stored_tensors(file).items()}
        return cls(file=file, modules=modules, places=places)

    def name_of(self, tensor: TensorProto) -> str | None:
        """Of a tensor in the weights file; None for one that lies in the graph."""
        offset = {entry.key: entry.value for entry in tensor.external_data}.get("offset")
        return None if offset is None else self.places[int(offset)]

    def find(self, tensor: TensorProto) -> str | None:
        name = self.name_of(tensor)
        return name if name is not None and name.split(".")[0] in self.modules else None

    def load(self, matrix: Matrix) -> None:
        values, scales = matrix.names
        if values not in self.kept:
            weights = self._read(matrix.weight).astype(np.float32)
            turned = weights.T if matrix.is_transposed else weights
            self.kept[values], self.kept[scales] = quantized(np.ascontiguousarray(turned))

    def keep(self, graph: onnx.GraphProto) -> None:
        """What the graph still reads of the old file, under its old name."""
        for tensor in graph.initializer:
            name = self.name_of(tensor)
            if name is not None and name not in self.kept:
                self.kept[name] = self._read(name)

    def _read(self, name: str) -> NDArray[np.generic]:
        with safe_open(self.file, framework="numpy") as file:
            return np.asarray(file.get_tensor(name))


def quantize_bundle(
    bundle: Bundle,
    out: Path,
    name: str,
    *,
    modules: tuple[str, ...] = MODULES,
    accept: Callable[[Path], None],
    overwrite: bool = False,
) -> Manifest:
    """Writes an int8 bundle that appears at ``out`` whole or not at all.

    Args:
        bundle: with weights in fp16 or fp32.
        out: the folder to make.
        name: of the new bundle.
        modules: whose matrices become int8, by the first part of their weights' names.
        accept: is given the finished folder before it gets its name; may raise to refuse it.
        overwrite: whether an older bundle may lie at ``out``.

    Raises:
        BundleError: if the bundle has no matrices to quantize.
        InputError: if ``out`` is taken or cannot be written.
    """
    if not (bundle.folder / WEIGHTS_NAME).is_file():
        raise BundleError(f"bundle {bundle.manifest.name} has no {WEIGHTS_NAME} to quantize")
    check_free(out, overwrite)
    weights = _Weights.of(bundle.folder / WEIGHTS_NAME, modules)
    graphs = {
        graph: onnx.load(bundle.graph_path(graph), load_external_data=False)
        for graph in bundle.manifest.graphs
        if not graph.endswith(HALF)  # GPUs have those
    }
    counts = {
        graph: quantize_graph(model.graph, weights.find, weights.load)
        for graph, model in graphs.items()
    }
    if not any(counts.values()):
        raise BundleError(
            f"bundle {bundle.manifest.name} has no products of {', '.join(modules)} to quantize"
        )
    for model in graphs.values():
        weights.keep(model.graph)
    with appearing(out) as partial:
        _write_files(partial, weights, graphs)
        manifest = _manifest(partial, bundle.manifest, name, counts)
        manifest.write(partial / MANIFEST_NAME)
        if (bundle.folder / CARD_NAME).is_file():
            shutil.copyfile(bundle.folder / CARD_NAME, partial / CARD_NAME)
        with (partial / CARD_NAME).open("a", encoding="utf-8") as card:
            card.write(_CARD.format(modules=", ".join(modules), name=bundle.manifest.name))
        accept(partial)
    return manifest


def _write_files(folder: Path, weights: _Weights, graphs: dict[str, onnx.ModelProto]) -> None:
    path = folder / WEIGHTS_NAME
    save_file(weights.kept, path)
    path.chmod(0o644)  # safetensors' files are private
    stored = stored_tensors(path)
    for name, model in graphs.items():
        for tensor in model.graph.initializer:
            key = tensor.name if tensor.name in weights.kept else weights.name_of(tensor)
            if key is not None:
                refer(tensor, stored[key])
        onnx.save(model, folder / f"{name}.onnx")
        onnx.checker.check_model(folder / f"{name}.onnx", full_check=True)


def _manifest(folder: Path, old: Manifest, name: str, counts: dict[str, int]) -> Manifest:
    shared = data_file(folder / WEIGHTS_NAME)
    graphs = {}
    for graph in counts:
        entry = old.graphs[graph]
        graphs[graph] = replace(
            entry,
            **vars(data_file(folder / f"{graph}.onnx")),
            precision="int8" if counts[graph] else entry.precision,
            external_data=(shared,),
        )
    return replace(old, name=name, created_by=f"echoes-rt {__version__}", graphs=graphs)
