"""Engines of the fake TensorRTs, of Python and of C: each names the graph that it is."""

from pathlib import Path
from typing import Any

from echoes_rt.spec.engine_file import EngineFile, EngineKey, file_sha256, model_sha256
from echoes_rt.spec.manifest import Manifest

VERSION = "10.16.2.10"


def write_engine(folder: Path, graph: str, **changes: Any) -> Path:
    """Writes an engine into a bundle's folder, and the record that fits the fake GPU.

    Args:
        folder: of a bundle that may be changed.
        graph: of the manifest.
        changes: of the fields of the record's key.
    """
    manifest = Manifest.read(folder / "manifest.json")
    signature = manifest.graphs[graph].signature
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
    EngineFile(
        key=key,
        engine_sha256=file_sha256(path),
        inputs=signature.inputs,
        outputs=signature.outputs,
        ranges={},
    ).write(path)
    return path
