import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from echoes_rt.backends import select
from echoes_rt.bundle import Bundle
from echoes_rt.model import Model
from echoes_rt.nvidia.gpu_check import FAILED, PASSED, SKIPPED, run
from echoes_rt.nvidia.gpu_check.__main__ import main
from echoes_rt.nvidia.gpu_check.checks import _outcome, check_parity, check_soak
from echoes_rt.nvidia.gpu_check.run import DEVICES, GRAPHS, run_checks, start_device
from echoes_rt.profile import report
from echoes_rt.profile.cold_start import ColdStart

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """No provider, no PyTorch: what a test has of a GPU is a fake."""
    missing = "it is not there; get one"
    monkeypatch.setattr(select, "missing_provider", lambda _: missing)
    monkeypatch.setattr(run, "_MODULE", "no_such_module")


def test_machine_without_a_gpu_is_told_so_to_the_end(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("echoes_rt.nvidia.cuda_driver.LIBRARY", "libno-such-driver.so.1")
    out = tmp_path / "report"
    result = CliRunner().invoke(main, ["--bundle", str(tiny_bundle), "--out", str(out)])
    assert result.exit_code == 1, result.output
    lines = result.stdout.splitlines()
    for device, line in zip([*DEVICES, "-"], lines, strict=False):
        assert line.startswith(f"SKIPPED {device} ")
    assert "cuda cannot be used: it is not there; get one" in lines[0]
    assert "tensorrt cannot be used: there is no NVIDIA driver" in lines[1]
    assert "no_such_module" in lines[3]
    assert lines[4] == f"0 passed, 0 failed, 4 SKIPPED; report: {out}"
    assert lines[5].startswith("NOTHING WAS CHECKED")
    assert "[gpu,engine]" in lines[5]
    entries = json.loads((out / "report.json").read_text())
    assert [entry["status"] for entry in entries] == [SKIPPED] * 4
    assert "| SKIPPED | cuda | all |" in (out / "report.md").read_text()
    assert json.loads((out / "doctor.json").read_text())["nvidia"]["gpus"] == []


def test_every_check_of_a_device_that_starts_is_made(
    tensorrt: Any, add_engine: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A fresh process knows no fakes.
    cold = ColdStart(**dict.fromkeys(ColdStart.__dataclass_fields__, 1.0))
    monkeypatch.setattr(report, "cold_start", lambda _: cold)
    monkeypatch.setattr(Model, "unrecorded", lambda _: {"decode_audio": "CUDA failure 900"})
    bundle = Bundle.open(add_engine("decode_audio", precision="fp32"))
    checks = run_checks(bundle, 0.0, 1, lambda _: None, is_building=True)
    made = [outcome for outcome in checks if outcome.status != SKIPPED]
    assert [(o.device, o.check) for o in made] == [
        ("tensorrt:0", check) for check in ("parity", "soak", "profile")
    ]
    # How long the last quarter takes is up to the machine that runs the tests.
    assert [o.status for o in made if o.check != "soak"] == [PASSED] * 2, [o.line for o in made]
    assert made[0].figures["flips_all_steps"] == 0
    assert "CUDA failure 900" in made[2].said
    text = str(made[2].figures["text"])
    assert "warning           decode_audio is not recorded" in text
    assert "Fake GPU 0: " in text
    assert "ms without work" in text
    assert json.dumps([o.to_dict() for o in made])


@pytest.fixture
def builder(
    tensorrt: Any, driver_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """What processes of their own take for TensorRT and the driver.

    What the extra ``engine`` does not install they find broken, as on a Jetson.
    """
    pytest.importorskip("onnx")
    broken, engines = tmp_path / "broken", tmp_path / "built"
    for folder in (broken, engines):
        folder.mkdir()
    for name in ("torch", "onnxscript", "onnx_ir", "safetensors", "accelerate", "tqdm", "mido"):
        (broken / f"{name}.py").write_text("raise ImportError('not of this extra')")
    fakes = Path(__file__).parent / "fakes" / "builder"
    path = [str(fakes), str(broken), *filter(None, sys.path), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(driver_library.parent))
    monkeypatch.setenv("FAKE_ENGINES", str(engines))
    monkeypatch.setitem(tensorrt.Runtime.limits, "frames", (8, 128))
    return engines


def test_engines_are_built_where_a_bundle_has_none(
    builder: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    """By the export command itself, in processes of its own: only TensorRT is not the true one."""
    bundle, said = Bundle.open(tiny_bundle), []
    work = tmp_path / "work"
    model, outcomes = start_device(bundle, "tensorrt", work, said.append)
    assert model is not None, (outcomes, said)
    assert [(o.check, o.status) for o in outcomes] == [("build", PASSED)]
    assert model.choice.engines.keys() == set(GRAPHS)
    assert {found.record.key.precision for found in model.choice.engines.values()} == {"fp16"}
    assert {found.path.parent for found in model.choice.engines.values()} == {work / "engines"}
    assert (work / "engines" / "timing.tensorrt.10.16.2.10.sm89.cache").read_bytes()
    assert any("decode_audio.tensorrt.sm89.fp16.engine: Building" in line for line in said)
    assert not (tiny_bundle / "engines").exists()
    cpu = Model.load(tiny_bundle, device="cpu")
    assert check_parity(cpu, model).status == PASSED


def test_what_a_gpu_cannot_have_is_not_built(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[tuple[str, ...]] = []

    def build(bundle: Bundle, flavour: str, graphs: tuple[str, ...], say: Any) -> str:
        built.append(graphs)
        return "enough"

    monkeypatch.setattr(run, "_BUILDING", ())
    monkeypatch.setattr(run, "_builder", lambda: ("rtx", 75))
    monkeypatch.setattr(run, "_build", build)
    start_device(Bundle.open(tiny_bundle), "tensorrt", tmp_path, lambda _: None)
    assert built == [("context_image", "decode_audio", "mel_decoder")]


def test_failing_build_fails(
    builder: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_ENGINES", str(tmp_path / "nowhere"))
    model, (outcome,) = start_device(
        Bundle.open(tiny_bundle), "tensorrt", tmp_path / "work", lambda _: None
    )
    assert model is None
    assert (outcome.check, outcome.status) == ("build", FAILED)
    assert "image_encoder.tensorrt.sm89.fp16.engine cannot be built" in outcome.said


@pytest.mark.parametrize("is_building", [False, True])
def test_bundle_without_engines_says_what_to_run(
    is_building: bool, tensorrt: Any, tiny_bundle: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(run, "find_spec", lambda _: None)
    work = tmp_path if is_building else None
    model, (outcome,) = start_device(Bundle.open(tiny_bundle), "tensorrt", work, lambda _: None)
    assert (model, outcome.status) == (None, SKIPPED)
    assert "; build one with echoes-export engine" in outcome.said
    assert ('pip install ".[cpu,engine]"' in outcome.said) == is_building
    assert "\nengine = [" in PYPROJECT.read_text("utf-8")


def test_flipped_tokens_fail(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, other = (Model.load(tiny_bundle, device="cpu") for _ in range(2))
    assert check_parity(cpu, other).status == PASSED
    real = other.decode_tokens

    def wrong(*asked: Any, seeds: list[int], **dials: Any) -> Any:
        decoded = real(*asked, seeds=seeds, **dials)
        return (decoded + 1) % 16 if seeds == [0] else decoded  # one member of 16

    monkeypatch.setattr(other, "decode_tokens", wrong)
    outcome = check_parity(cpu, other)
    assert outcome.status == FAILED
    assert outcome.figures["flips_one_step"] == pytest.approx(1 / 16, abs=0.01)
    assert "fp32: 6" in outcome.said


@pytest.mark.parametrize(
    ("precisions", "noise", "status"),
    [
        ({}, 0.01, FAILED),
        ({"vocoder": "fp32"}, 0.01, FAILED),
        ({"mel_decoder": "fp32", "vocoder": "fp16"}, 0.01, PASSED),
        ({"mel_decoder": "fp16"}, 0.01, PASSED),
        ({"mel_decoder": "fp16", "vocoder": "fp16"}, 0.1, FAILED),
    ],
)
def test_samples_may_differ_as_much_as_their_precision_says(
    precisions: dict[str, str],
    noise: float,
    status: str,
    tensorrt: Any,
    add_engine: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(tensorrt.Runtime.limits, "frames", (8, 128))
    for graph, precision in precisions.items():
        add_engine(graph, precision=precision)
    folder = add_engine("decode_audio", precision="int8")
    cpu, gpu = (Model.load(folder, device=device) for device in ("cpu", "tensorrt"))
    # 40 dB and 20 dB below the samples; those of float32 must be at 60.
    monkeypatch.setattr(gpu, "decode_audio", lambda codes: cpu.decode_audio(codes) * (1 + noise))
    outcome = check_parity(cpu, gpu)
    assert outcome.status == status, outcome.line
    assert outcome.figures["snr_db"] == pytest.approx(-20 * np.log10(noise), abs=0.1)


@pytest.mark.parametrize(
    ("program", "status", "said"),
    [
        ("import no_such_torch", SKIPPED, "No module named 'no_such_torch'"),
        ("raise SystemExit('Error: PyTorch 2.13.0 finds no CUDA device')", SKIPPED, "no CUDA dev"),
        ("import echoes_rt.lost", FAILED, "No module named 'echoes_rt.lost'"),
        ("raise RuntimeError('CUDA out of memory')", FAILED, "RuntimeError: CUDA out of memory"),
        ("import os; os._exit(3)", FAILED, "it said nothing"),
        (
            'print(\'chatter\'); print(\'[{"name": "torch", "total_ms": 2.5}]\')',
            PASSED,
            "torch 2.5 ms",
        ),
    ],
)
def test_peers_are_skipped_only_where_something_is_missing(
    program: str, status: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fake_peers.py").write_text(program)
    path = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    monkeypatch.setattr(run, "_MODULE", "fake_peers")
    outcome = run.check_peers(tmp_path, 1)
    assert outcome.status == status
    assert said in outcome.said


def test_soak_runs_a_device(tiny_bundle: Path) -> None:
    outcome = check_soak(Model.load(tiny_bundle, device="cpu"), 0.0)
    assert (outcome.figures["runs"], outcome.figures["different"]) == (8, 0)


@pytest.mark.parametrize(
    ("times_ms", "free_mb", "n_different", "status"),
    [
        ([50.0] + [10.0] * 11, [1000.0] * 12, 0, PASSED),
        ([10.0] * 12, [1000.0] * 12, 1, FAILED),
        ([10.0] * 8 + [15.0] * 4, [1000.0] * 12, 0, FAILED),
        ([10.0] * 12, [1000.0] * 4 + [900.0] * 8, 0, FAILED),
        ([10.0] * 12, [1000.0] * 2 + [900.0] * 10, 0, PASSED),
    ],
)
def test_soak_fails_for_difference_heat_and_growth(
    times_ms: list[float], free_mb: list[float], n_different: int, status: str
) -> None:
    assert _outcome("cuda:0", times_ms, free_mb, n_different).status == status
