"""The process that calls TensorRT, with a builder that is not there."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from echoes_export.tensorrt.builder import Job, build
from echoes_rt.errors import BackendError

FAKE = Path(__file__).parents[1] / "runtime" / "fakes" / "builder"

SHAPES = {"tokens": ([1, 24], [1, 24], [4, 24])}


@pytest.fixture
def tensorrt(monkeypatch: pytest.MonkeyPatch) -> Any:
    spec = importlib.util.spec_from_file_location("tensorrt", FAKE / "tensorrt.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    return module


@pytest.fixture
def job(tmp_path: Path) -> Job:
    (tmp_path / "step.onnx").write_bytes(b"a graph")
    return Job(
        flavour="tensorrt",
        model=str(tmp_path / "step.onnx"),
        engine=str(tmp_path / "step.engine"),
        sm=87,
        shapes=SHAPES,
        timing_cache=str(tmp_path / "timing.cache"),
    )


def test_network_is_strongly_typed_and_without_tf32(tensorrt: Any, job: Job) -> None:
    assert build(job) == 3
    (builder,) = tensorrt.made
    assert builder.network.flags == 2  # bit 1, STRONGLY_TYPED
    assert builder.config.flags == set()
    (profile,) = builder.config.profiles
    assert profile.shapes == {"tokens": SHAPES["tokens"]}
    assert Path(job.engine).read_text() == f"engine of {job.model}"


def test_release_that_knows_no_other_network_gets_no_flag(
    tensorrt: Any, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorrt, "__version__", "11.4.1")
    monkeypatch.setattr(tensorrt, "NetworkDefinitionCreationFlag", object())
    build(job)
    assert tensorrt.made[0].network.flags == 0


def test_timing_cache_is_kept_from_build_to_build(tensorrt: Any, job: Job) -> None:
    cache = Path(job.timing_cache)
    build(job)
    assert cache.read_bytes() == b"timed "
    build(job)
    assert cache.read_bytes() == b"timed timed "
    assert [builder.config.tried for builder in tensorrt.made] == [[b""], [b"timed "]]


@pytest.mark.parametrize("content", [b"damaged", b"foreign"])
def test_refused_timing_cache_is_begun_anew(tensorrt: Any, job: Job, content: bytes) -> None:
    cache = Path(job.timing_cache)
    cache.write_bytes(content)
    build(job)
    assert tensorrt.made[0].config.tried == [content, b""]
    assert cache.read_bytes() == b"timed "


@pytest.mark.parametrize(
    ("graph", "sentence"),
    [
        (b"unreadable", "TensorRT cannot read the graph: node 4 Frobnicate: no importer for it"),
        (b"unbuildable", "TensorRT cannot build the graph: no kernel for it"),
    ],
)
def test_refused_graph_leaves_neither_engine_nor_cache(
    tensorrt: Any, job: Job, graph: bytes, sentence: str
) -> None:
    Path(job.model).write_bytes(graph)
    with pytest.raises(BackendError) as caught:
        build(job)
    assert str(caught.value) == sentence
    assert not Path(job.engine).exists()
    assert not Path(job.timing_cache).exists()


def test_release_without_strong_types_is_refused(
    tensorrt: Any, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorrt, "__version__", "8.6.1")
    with pytest.raises(BackendError, match=r"TensorRT must be 10 or newer, found 8\.6\.1"):
        build(job)


@pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="not installed")
def test_names_are_tensorrts_own(tensorrt: Any) -> None:
    """Those of TensorRT-RTX, which has TensorRT's."""
    import tensorrt_rtx

    kept = {"logger", "config", "network", "flags", "graph", "profiles", "tried", "cache", "data"}
    classes = [name for name, value in vars(tensorrt).items() if isinstance(value, type)]
    assert "IBuilderConfig" in classes
    for name in set(classes) - {"Any", "Enum", "Path", "BuilderFlag"}:
        names = {key for key in vars(getattr(tensorrt, name)) if not key.startswith("_")}
        names -= kept | {"EXPLICIT_BATCH"}  # of TensorRT 10 alone
        assert names <= set(dir(getattr(tensorrt_rtx, name))), name
    assert hasattr(tensorrt_rtx.BuilderFlag, "TF32")
