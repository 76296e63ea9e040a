"""Graphs that multiply matrices in int8, for CPUs: beside those in float32, or instead of them."""

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

from echoes_export.bundle.folder import appearing, changing, check_free, data_file, saved_graph
from echoes_export.bundle.weights_file import WEIGHTS_NAME, refer, stored_tensors
from echoes_export.precision.int8_graph import Matrix, quantize_graph, quantized
from echoes_rt import __version__
from echoes_rt.bundle import CARD_NAME, Bundle
from echoes_rt.errors import BundleError
from echoes_rt.format.graphs import HALF, INT8
from echoes_rt.format.manifest import MANIFEST_NAME, GraphEntry, Manifest

MODULES = ("transformer.", "vocoder.blocks.")
"""How the names of the weights begin that are quantized. The vocoder's head turns phases, which is
to stay exact; codecs of sounds are convolutions, which need a scale known beforehand to gain by
int8; those of pictures gain 4 to 6 %."""

INT8_WEIGHTS_NAME = "weights_int8.safetensors"


_CARD = """
## int8

Made from {name} by `echoes-export quantize`: matrices of transformer and vocoder are stored and
multiplied in 8-bit integers. What enters a product gets one scale for the whole tensor, so a token
may change with what else is in its batch, and between processors.
"""


@dataclass(kw_only=True)
class _Weights:
    """The weights of a bundle, and those that its new graphs read.

    Attributes:
        file: the bundle's.
        places: of its tensors, by offset.
        made: the integers and their scales, by name, and what is to be stored with them.
    """

    file: Path
    places: dict[int, str]
    made: dict[str, NDArray[np.generic]] = field(default_factory=dict)

    @classmethod
    def of(cls, file: Path) -> "_Weights":
        places = {tensor.offset: name for name, tensor in stored_tensors(file).items()}
        return cls(file=file, places=places)

    def name_of(self, tensor: TensorProto) -> str | None:
        """In the bundle's file; None of a tensor that the graph holds."""
        offset = {entry.key: entry.value for entry in tensor.external_data}.get("offset")
        return None if offset is None else self.places[int(offset)]

    def find(self, tensor: TensorProto) -> str | None:
        """The name of a weight that is quantized; None of all others."""
        name = self.name_of(tensor)
        return name if name is not None and name.startswith(MODULES) else None

    def load(self, matrix: Matrix) -> None:
        values, scales = matrix.names
        if values not in self.made:
            weights = self._read(matrix.weight).astype(np.float32)
            turned = weights.T if matrix.is_transposed else weights
            self.made[values], self.made[scales] = quantized(np.ascontiguousarray(turned))

    def keep(self, graph: onnx.GraphProto) -> None:
        """What a graph still reads of the bundle's file."""
        for name in filter(None, map(self.name_of, graph.initializer)):
            if name not in self.made:
                self.made[name] = self._read(name)

    def _read(self, name: str) -> NDArray[np.generic]:
        with safe_open(self.file, framework="numpy") as file:
            return np.asarray(file.get_tensor(name))


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
    with changing(bundle) as partial:
        weights, made, _ = _quantize(bundle)
        graphs = {n: entry for n, entry in bundle.manifest.graphs.items() if not n.endswith(INT8)}
        entries = {f"{name}{INT8}": replace(graphs[name], precision="int8") for name in made}
        models = {f"{name}{INT8}": model for name, model in made.items()}
        entries = _write(partial, INT8_WEIGHTS_NAME, weights, models, entries)
        manifest = replace(bundle.manifest, graphs=graphs | entries)
        manifest.write(partial / MANIFEST_NAME)
        accept(partial)
    return manifest


def write_int8_bundle(
    bundle: Bundle,
    out: Path,
    accept: Callable[[Path], None] = lambda _: None,
    *,
    overwrite: bool = False,
) -> Manifest:
    """Writes a bundle that has them instead, under the usual names: for runtimes that choose none.

    Args:
        bundle: with weights in fp16 or fp32.
        out: the folder to make, which appears whole or not at all.
        accept: is given the finished folder before it gets its name; may raise to refuse it.
        overwrite: whether an older bundle may lie at ``out``.

    Raises:
        BundleError: if the bundle has no matrices to quantize.
        InputError: if ``out`` is taken or cannot be written.
    """
    check_free(out, overwrite)
    weights, made, others = _quantize(bundle)
    models = made | others
    for model in models.values():
        weights.keep(model.graph)
    old = bundle.manifest
    entries = {name: old.graphs[name] for name in models}
    entries |= {name: replace(entries[name], precision="int8") for name in made}
    with appearing(out) as partial:
        manifest = replace(
            old,
            name=f"{old.name}-int8",
            created_by=f"echoes-rt {__version__}",
            graphs=_write(partial, WEIGHTS_NAME, weights, models, entries),
        )
        manifest.write(partial / MANIFEST_NAME)
        if (bundle.folder / CARD_NAME).is_file():
            shutil.copyfile(bundle.folder / CARD_NAME, partial / CARD_NAME)
        with (partial / CARD_NAME).open("a", encoding="utf-8") as card:
            card.write(_CARD.format(name=old.name))
        accept(partial)
    return manifest


_Models = dict[str, onnx.ModelProto]


def _quantize(bundle: Bundle) -> tuple[_Weights, _Models, _Models]:
    """The weights, the graphs that multiply in int8, and the rest; none of other variants.

    Raises:
        BundleError: if none multiplies in int8.
    """
    name = bundle.manifest.name
    if not (bundle.folder / WEIGHTS_NAME).is_file():
        raise BundleError(f"bundle {name} has no {WEIGHTS_NAME} to quantize")
    weights = _Weights.of(bundle.folder / WEIGHTS_NAME)
    made: _Models = {}
    others: _Models = {}
    for graph in bundle.manifest.graphs:
        if not graph.endswith((HALF, INT8)):
            model = onnx.load(bundle.graph_path(graph), load_external_data=False)
            is_int8 = quantize_graph(model.graph, weights.find, weights.load)
            (made if is_int8 else others)[graph] = model
    if not made:
        raise BundleError(f"bundle {name} has no products of {', '.join(MODULES)} to quantize")
    return weights, made, others


def _write(
    folder: Path, file: str, weights: _Weights, models: _Models, entries: dict[str, GraphEntry]
) -> dict[str, GraphEntry]:
    """Graphs and the new weights, as ``file``; the old ones are read where these lack something.

    Args:
        folder: to write to.
        file: the name of the new weights' file.
        weights: that were made.
        models: by name.
        entries: of the graphs that they were made of, in the new precision.

    Returns:
        Their entries in the manifest.
    """
    save_file(weights.made, folder / file)
    (folder / file).chmod(0o644)  # safetensors' files are private
    stored, shared = stored_tensors(folder / file), data_file(folder / file)
    written = {}
    for name, model in models.items():
        for tensor in model.graph.initializer:
            key = tensor.name if tensor.name in stored else weights.name_of(tensor)
            if key in stored:
                refer(tensor, stored[key], file)
        saved = saved_graph(folder / f"{name}.onnx", model)
        files = {part.file: part for part in (*entries[name].external_data, shared)}
        written[name] = replace(entries[name], **vars(saved), external_data=tuple(files.values()))
    return written
