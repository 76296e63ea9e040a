"""Engines of the fake TensorRTs, of Python and of C: each names the graph that it is."""

from pathlib import Path
from typing import Any

import onnxruntime

from echoes_rt.format.engine_file import EngineFile, EngineKey, file_sha256, model_sha256
from echoes_rt.format.graphs import BATCH, SEEN, Tensors, TensorSpec
from echoes_rt.format.manifest import Manifest

RANGES = {
    "batch": (1, 1, 2),
    "steps": (1, 3, 6),
    "drawn": (1, 3, 16),
    "frames": (8, 32, 128),
    "samples": (1024, 8192, 65536),
}
VERSION = "10.16.2.10"


def write_engine(folder: Path, graph: str, **changes: Any) -> Path:
    """Writes an engine into a bundle's folder, and the record that fits the fake GPU.

    Args:
        folder: of a bundle that may be changed.
        graph: of the manifest.
        changes: of the fields of the record's key.
    """
    manifest = Manifest.read(folder / "manifest.json")
    session = onnxruntime.InferenceSession(
        folder / f"{graph}.onnx", providers=["CPUExecutionProvider"]
    )
    facts = {
        "graph": graph,
        "flavour": "tensorrt",
        "version": VERSION,
        "sm": 89,
        "precision": "fp16",
        "model_sha256": model_sha256(manifest.files.values()),
    }
    key = EngineKey(**(facts | changes))
    path = folder / "engines" / key.file_name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"engine of " + str(folder / f"{graph}.onnx").encode())
    inputs = _tensors(session.get_inputs())
    EngineFile(
        key=key,
        engine_sha256=file_sha256(path),
        inputs=inputs,
        outputs=_tensors(session.get_outputs()),
        ranges={
            dim: RANGES[dim] for spec in inputs.values() for dim in spec.shape if dim in RANGES
        },
    ).write(path)
    return path


def _tensors(values: list[Any]) -> Tensors:
    """As an engine has them, which always has a context."""
    kinds = {"tensor(float)": "float32", "tensor(int32)": "int32", "tensor(bool)": "bool"}
    return {
        value.name: TensorSpec(
            dtype=kinds[value.type],
            shape=tuple(BATCH if dim == SEEN else dim for dim in value.shape),
        )
        for value in values
    }
