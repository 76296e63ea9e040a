"""Engines are built once, again when anything they depend on changes, and never half."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from tests.training.runs import clip

from echoes_export.tensorrt import build as engine_build
from echoes_export.tensorrt import bundle as engine_bundle
from echoes_export.tensorrt import scales as engine_scales
from echoes_export.tensorrt.build import Plan, Target, build_engines, free_ranges, make_targets
from echoes_export.tensorrt.builder import Job
from echoes_export.tensorrt.command import engine
from echoes_rt import comparison
from echoes_rt.bundle import Bundle
from echoes_rt.comparison import Check
from echoes_rt.errors import BackendError, InputError
from echoes_rt.format.engine_file import EngineFile, EngineKey, record_path
from echoes_training.data.index import write_index

TARGET = Target(flavour="rtx", version="1.7.1", sm=89)


@pytest.fixture
def bundle(tiny_bundle: Path) -> Bundle:
    return Bundle.open(tiny_bundle)


@pytest.fixture
def plan(bundle: Bundle) -> Plan:
    return Plan(graphs=("decode_audio",), precision="fp32", ranges=free_ranges(bundle, 4, 16))


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """What the builder is asked for; it writes the job instead of an engine."""
    asked: list[Job] = []

    def run(job: Job, key: EngineKey, tell: object) -> None:
        assert Path(job.model).is_file()
        Path(job.engine).write_text(f"engine {len(asked)}")
        asked.append(job)

    monkeypatch.setattr(engine_build, "_run", run)
    return asked


def test_engine_is_built_once(bundle: Bundle, plan: Plan, tmp_path: Path, jobs: list[Job]) -> None:
    out = tmp_path / "engines"
    (first,) = build_engines(bundle, out, plan, [TARGET], lambda _: None)
    assert first.path == out / "decode_audio.rtx.sm89.fp32.engine"
    assert first.cpu_s is not None
    (job,) = jobs
    assert job.sm == 89
    most = max(grid.n_tokens for grid in bundle.manifest.tokens.grids.values())
    steps = bundle.manifest.sampling.steps
    assert job.shapes["uniforms"] == ([1, 1, 1], [steps, 1, 3], [16, 4, most])
    assert job.shapes["context"][2][0] == 4
    (again,) = build_engines(bundle, out, plan, [TARGET], lambda _: None)
    assert (again.path, again.cpu_s) == (first.path, None)
    assert again.record == first.record == EngineFile.read(first.path)
    assert sorted(path.name for path in out.iterdir()) == [
        first.path.name,
        record_path(first.path).name,
    ]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("version", "was built by version 1.7.1, and version 1.8.0 runs here"),
        ("driver", "was built with driver 580.1, and driver 590.2 runs here"),
        ("l4t", "was built on Jetson Linux 36.4.3, and this is 38.2"),
        ("model", "was built from another bundle"),
        ("sizes", "was built for other sizes of batch or steps"),
        ("pictures", "was measured on other pictures"),
        ("engine", "is damaged"),
        ("record", "is no record of an engine"),
        ("schema", "was built by another version of echoes-rt"),
    ],
)
def test_stale_engine_is_named_and_built_again(
    bundle: Bundle, plan: Plan, tmp_path: Path, jobs: list[Job], change: str, line: str
) -> None:
    target = dataclasses.replace(TARGET, driver="580.1", l4t="36.4.3")
    (built,) = build_engines(bundle, tmp_path, plan, [target], lambda _: None)
    if change == "version":
        target = dataclasses.replace(target, version="1.8.0")
    elif change in ("driver", "l4t"):
        new = {"driver": "590.2", "l4t": "38.2"}[change]
        target = dataclasses.replace(target, **{change: new})  # type: ignore[arg-type]
    elif change == "model":
        graphs = bundle.manifest.graphs
        other = dataclasses.replace(graphs["vocoder"], sha256="0" * 64)
        manifest = dataclasses.replace(bundle.manifest, graphs=graphs | {"vocoder": other})
        bundle = dataclasses.replace(bundle, manifest=manifest)
    elif change == "sizes":
        plan = dataclasses.replace(plan, ranges=free_ranges(bundle, 8, 16))
    elif change == "pictures":
        plan = dataclasses.replace(plan, calibration_sha256="1" * 64)
    elif change == "engine":
        built.path.write_text("another")
    elif change == "record":
        record_path(built.path).write_text("{")
    else:
        data = json.loads(record_path(built.path).read_text())
        record_path(built.path).write_text(json.dumps(data | {"schema": 0}))
    said: list[str] = []
    (again,) = build_engines(bundle, tmp_path, plan, [target], said.append)
    assert len(jobs) == 2
    assert any(line in text for text in said)
    again.record.check(again.path, again.record.key)
    (third,) = build_engines(bundle, tmp_path, plan, [target], said.append)
    assert third.cpu_s is None


def test_other_architecture_precision_and_graph_lie_beside(
    bundle: Bundle, plan: Plan, tmp_path: Path, jobs: list[Job]
) -> None:
    targets = [dataclasses.replace(TARGET, sm=sm) for sm in (75, 120)]
    both = dataclasses.replace(plan, graphs=("decode_audio", "vocoder"))
    made = [*build_engines(bundle, tmp_path, both, targets, lambda _: None)]
    half = dataclasses.replace(plan, precision="fp16")
    made += build_engines(bundle, tmp_path, half, targets, lambda _: None)
    assert len(made) == len(jobs) == len(list(tmp_path.glob("*.engine"))) == 6


def test_crash_of_the_builder_is_one_line(
    bundle: Bundle, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashing = tmp_path / "python"
    crashing.write_text("#!/bin/sh\ncat > /dev/null\nkill -SEGV $$\n")
    crashing.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(crashing))
    out = tmp_path / "engines"
    with pytest.raises(BackendError) as caught:
        next(build_engines(bundle, out, plan, [TARGET], lambda _: None))
    assert str(caught.value) == (
        "decode_audio.rtx.sm89.fp32.engine cannot be built: TensorRT's builder crashed with SIGSEGV"
    )
    assert list(out.iterdir()) == []


def test_missing_library_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_library(flavour: str) -> None:
        raise ImportError(f"No module named {flavour!r}")

    monkeypatch.setattr(engine_build, "import_tensorrt", no_library)
    with pytest.raises(
        BackendError, match=r"tensorrt_rtx cannot be imported: .*; pip install .*\[rtx\]"
    ):
        make_targets("rtx", (89,))
    with pytest.raises(BackendError, match="comes with JetPack"):
        make_targets("tensorrt", ())


def test_building_needs_no_torch() -> None:
    """On a Jetson, where engines are built, PyTorch is large and not always there."""
    paths = Path(engine_build.__file__).parent.glob("[a-z]*.py")
    names = [f"tensorrt.{path.stem}" for path in paths]
    assert "tensorrt.scales" in names
    code = "import sys; " + "; ".join(f"import echoes_export.{name}" for name in ["cli", *names])
    code += "; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_int8_needs_pictures(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_build, "make_targets", lambda *_: [TARGET])
    result = CliRunner().invoke(engine, [str(tiny_bundle), "--precision", "int8"])
    assert "int8 needs pictures to measure on" in str(result.exception)


@pytest.fixture
def seen(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[int]]:
    """The grey of the pictures that scales were measured on, and of those compared."""
    seen: dict[str, list[int]] = {"measured": [], "compared": []}

    def measure(_: Bundle, pictures: list[Any], work: Path) -> dict[str, float]:
        seen["measured"] += [int(picture.mean()) for picture in pictures]
        return {"weight": 1.0}

    def compare_bundles(before: Bundle, after: Bundle, pictures: list[Any]) -> list[Check]:
        seen["compared"] += [int(picture.mean()) for picture in pictures]
        return [Check(graph="step", metric="error", value=0.0, limit=None)]

    monkeypatch.setattr(engine_scales, "measure_scales", measure)
    monkeypatch.setattr(comparison, "compare_bundles", compare_bundles)
    monkeypatch.setattr(engine_bundle, "write_engine_bundle", lambda *_, **__: bundle)
    monkeypatch.setattr(engine_build, "make_targets", lambda *_: [TARGET])
    monkeypatch.setattr(engine_build, "build_engines", lambda *_: iter(()))
    return seen


@pytest.fixture
def grey_index(tmp_path: Path) -> Path:
    """Training pictures of grey 10 and 20 and a held-out one of 200, each in two rows."""
    clips = []
    for i, (grey, split) in enumerate([(10, "train"), (20, "train"), (200, "heldout")] * 2):
        path = tmp_path / f"{grey}.png"
        cv2.imwrite(str(path), np.full((8, 8, 3), grey, dtype=np.uint8))
        clips.append(clip(image=str(path), label=f"{i}", split=split))
    write_index(tmp_path / "index.jsonl", clips)
    return tmp_path / "index.jsonl"


def test_int8_is_compared_on_pictures_that_its_scales_never_saw(
    tiny_bundle: Path, grey_index: Path, seen: dict[str, list[int]]
) -> None:
    asked = [str(tiny_bundle), "--precision", "int8", "--compare", "--index", str(grey_index)]
    result = CliRunner().invoke(engine, asked, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert seen == {"measured": [10, 20], "compared": [200]}
    assert "compared on the pictures" not in result.output


def test_int8_of_files_says_that_it_is_compared_on_them(
    tiny_bundle: Path, grey_index: Path, seen: dict[str, list[int]]
) -> None:
    files = ["--picture", str(grey_index.parent / "20.png")]
    asked = [str(tiny_bundle), "--precision", "int8", "--compare", *files]
    result = CliRunner().invoke(engine, asked, catch_exceptions=False)
    assert seen == {"measured": [20], "compared": [20]}
    assert "compared on the pictures that its scales were measured on" in result.output
    CliRunner().invoke(engine, [*asked, "--index", str(grey_index)], catch_exceptions=False)
    assert seen == {"measured": [20, 20], "compared": [20, 200]}


def test_index_without_training_pictures_is_refused(
    tiny_bundle: Path, index: Path, seen: dict[str, list[int]]
) -> None:
    asked = [str(tiny_bundle), "--precision", "int8", "--index", str(index)]
    result = CliRunner().invoke(engine, asked)
    assert isinstance(result.exception, InputError)


def test_architectures_are_whole_numbers(tiny_bundle: Path) -> None:
    result = CliRunner().invoke(engine, [str(tiny_bundle), "--sm", "89,new"])
    assert result.exit_code == 2
    assert "must be architectures such as 75,86,89, got '89,new'" in result.output
