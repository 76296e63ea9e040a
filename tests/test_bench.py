"""The benchmark runs every engine on the same question, and says what does not run."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from bench import __main__ as program
from bench.contenders import Contender, Sound, contenders, torch_modules
from bench.gpu_peers import peers
from bench.measure import Result, measure
from bench.models import Subject, make_subject
from bench.page import page, write_page
from bench.sessions import TorchSession
from echoes_export.bundle.models import random_models, stored_models
from echoes_export.precision.quantize import add_int8_graphs
from echoes_rt.bundle import Bundle
from echoes_rt.format.sampling import Sampling
from echoes_training.presets import PRESETS


@pytest.fixture(scope="module")
def subject(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """With guidance on both sides: then all loops are to draw the same."""
    folder = shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("bench") / "tiny")
    add_int8_graphs(folder)
    bundle = Bundle.open(folder)
    sampling = replace(bundle.manifest.sampling, steps=3)
    return Subject(
        size="tiny",
        models=stored_models(bundle),
        bundle=bundle,
        sampling=sampling,
        student=sampling,
    )


def test_a_mel_decoder_that_draws_texture_gets_its_noise(subject: Subject) -> None:
    assert not subject.texture
    models = random_models(PRESETS["edge-tiny"], seed=0)
    with_noise = replace(subject, models=models)
    module, inputs, output = torch_modules(models)["mel_decoder"]
    codes = np.zeros((1, models.layout.audio.n_tokens), dtype=np.int32)
    made = TorchSession(module, inputs, output).run({"codes": codes, **with_noise.texture})
    assert made["mel"].shape == (1, models.mel.n_mels, models.mel.n_frames)


def test_graphs_are_never_those_of_an_older_run(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []
    (tmp_path / "tiny").symlink_to(tiny_bundle)
    monkeypatch.setattr("bench.models.write_bundle", lambda out, *_, **__: written.append(out))
    monkeypatch.setattr("bench.models.add_int8_graphs", written.append)
    make_subject("tiny", tmp_path, Sampling(steps=1), Sampling(steps=1))
    assert written == [tmp_path / "tiny"] * 2


def said(_: str) -> None:
    """Nobody listens."""


def test_fp32_engines_give_the_same_tokens(subject: Subject) -> None:
    names = ("torch eager fp32", "torch eager bf16", "ONNX Runtime, host loop fp32")
    names += ("echoes-rt, steps fp32", "echoes-rt, one call fp32", "echoes-rt, steps int8")
    chosen = [c for c in contenders(subject, threads=1) if c.name in names]
    theirs, ours = (c.make()().codes for c in (chosen[0], chosen[3]))
    np.testing.assert_array_equal(theirs, ours)
    results = {result.name: result for result in measure(chosen, 1, said)}
    assert tuple(results) == names
    for name, result in results.items():
        assert not result.failure, result.failure
        assert result.total_ms is not None
        assert result.total_ms >= (result.loop_ms or 0) > 0
        assert result.equal_tokens is not None
        assert result.equal_tokens == 1 or "int8" in name or "bf16" in name


def test_peers_on_a_device_draw_our_tokens(subject: Subject) -> None:
    theirs, ours = (c.make()() for c in peers(replace(subject, members=2), "cpu"))
    assert theirs.codes.shape == (2, subject.models.layout.audio.n_tokens)
    np.testing.assert_array_equal(theirs.codes, ours.codes)


def test_runs_alternate_and_a_failure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.measure.PAUSE_S", 0)
    calls = []

    def make(name: str) -> Contender:
        def run() -> Sound:
            calls.append(name)
            codes = np.array([1, 2]) if name == "a" else np.array([1, 3])
            total_ms = 100 if len(calls) < 3 else 20 + len(calls)
            return Sound(loop_ms=total_ms / 2, total_ms=total_ms, codes=codes)

        return Contender(name=name, is_ours=False, make=lambda: run)

    def fail() -> None:
        raise ImportError("no such engine\nat all")

    broken = Contender(name="broken", is_ours=False, make=fail)  # type: ignore[arg-type]
    first, second, third = measure([make("a"), broken, make("b")], 3, said)
    assert calls == ["a", "b"] * 4
    # The first run warms up: slow as it is, it does not count.
    assert (first.total_ms, first.total_min_ms, first.equal_tokens) == (25, 23, 1)
    assert second.failure == "ImportError: no such engine"
    assert (third.loop_ms, third.equal_tokens) == (13, 0.5)


def document() -> dict[str, Any]:
    results = [
        Result(
            name="torch eager fp32",
            is_ours=False,
            total_ms=800,
            loop_ms=700,
            equal_tokens=1,
        ),
        Result(name="OpenVINO, host loop f32", is_ours=False, failure="ImportError: none"),
        Result(
            name="echoes-rt, fused int8", is_ours=True, total_ms=200, loop_ms=150, equal_tokens=0.9
        ),
    ]
    size = {
        "size": "mini",
        "steps": 16,
        "guidance_scale": 3.0,
        "student_steps": 8,
        "tokens": 199,
        "sound_s": 5.0,
    }
    size |= {
        "results": [result.to_dict() for result in results],
        "profiles": [],
        "sweeps": {"steps": []},
        "texts": ["stage  p50 ms"],
    }
    machine = {"cpu": "A Processor", "flags": ["avx2"], "os": "Linux", "python": "3.12"}
    machine |= {"packages": {"torch": "2"}}
    return {
        "machine": machine,
        "load": 0.1,
        "is_busy": False,
        "threads": 2,
        "runs": 7,
        "gemm_peak_gflops": 100.0,
        "sizes": [size],
    }


def test_page_names_the_processor_and_says_how_much_faster(tmp_path: Path) -> None:
    write_page(tmp_path, document())
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "performance.json",
        "performance.md",
        "performance.png",
    ]
    text = (tmp_path / "performance.md").read_text("utf-8")
    assert "| processor | A Processor, 2 threads, avx2 |" in text
    assert "16 steps of two branches (guidance scale 3) against 8 of one" in text
    assert "| torch eager fp32 | 700 | 800 | 0.160 | 100.0% |" in text
    assert "OpenVINO, host loop f32 | does not run: ImportError: none" in text
    assert "- 4.00 times as fast as torch eager fp32" in text
    assert "```text\nstage  p50 ms\n```" in text
    assert "(cost-mini-steps.png)" in text
    assert "mean nothing" not in text
    assert "mean nothing" in page(document() | {"is_busy": True})


def test_busy_machine_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(program.os, "getloadavg", lambda: (5.25, 0, 0))
    result = CliRunner().invoke(program.main, ["--out", str(tmp_path)])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: the machine is busy (load 5.2)")
    assert not list(tmp_path.iterdir())
