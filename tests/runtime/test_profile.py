"""echoes-rt profile: counts by hand, every stage timed, a silent fall to the CPU seen."""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tests.runtime.commands import Run, refused

from echoes_rt.decode.plan import make_plan
from echoes_rt.model import Model
from echoes_rt.pipeline import Echoes, Sound
from echoes_rt.profile import cold_start, files, gemm_peak, report
from echoes_rt.profile.cold_start import ColdStart
from echoes_rt.profile.files import trace_events
from echoes_rt.profile.nodes import node_flop
from echoes_rt.profile.report import Profile, Subject
from echoes_rt.profile.stages import PICTURE, TOTAL, Question, Span, Times, generate, measure
from echoes_rt.profile.sweep import largest_error, sweep
from echoes_rt.profile.table import profile_text
from echoes_rt.profile.work import Generation, graph_work, stage_flop, watch

COLD = ColdStart(**dict.fromkeys(ColdStart.__dataclass_fields__, 50.0))
STAGES = ["read", "encode_image", "decode_tokens", "decode_mel", "vocode", "write", TOTAL]


@pytest.fixture
def subject(tiny_bundle: Path, picture: Path, tmp_path: Path) -> Subject:
    model = Model.load(tiny_bundle, device="cpu", threads=1)
    sampling = model.sampling(8, {"steps": 3})
    question = Question(picture=picture, out=tmp_path / "out.wav", sampling=sampling)
    return Subject(label="tiny", model=model, question=question, threads=1)


def steps_less(names: list[str]) -> list[str]:
    return [name for name in names if "step" not in name]


@pytest.mark.parametrize(
    ("op_type", "inputs", "output", "expected"),
    [
        ("MatMul", [(2, 5, 3), (3, 7)], (2, 5, 7), 2 * 2 * 5 * 7 * 3),
        ("FusedMatMul", [(4, 5, 3), (4, 7, 3)], (4, 5, 7), 2 * 4 * 5 * 7 * 3),
        ("Gemm", [(5, 3), (7, 3), (7,)], (5, 7), 2 * 5 * 7 * 3),
        ("DynamicQuantizeMatMul", [(5, 3), (3, 7), (7,), (7,)], (5, 7), 2 * 5 * 7 * 3),
        ("Conv", [(1, 6, 8, 8), (9, 3, 3, 3), (9,)], (1, 9, 8, 8), 2 * 9 * 64 * 3 * 9),
        ("QLinearConv", [(1, 6, 8), (1,), (1,), (9, 6, 3)], (1, 9, 8), 2 * 9 * 8 * 6 * 3),
        ("ConvTranspose", [(1, 6, 8), (6, 4, 16)], (1, 4, 64), 2 * 6 * 8 * 4 * 16),
        ("Add", [(5, 3), (5, 3)], (5, 3), 0),
    ],
)
def test_flop_of_a_node(
    op_type: str, inputs: list[tuple[int, ...]], output: tuple[int, ...], expected: int
) -> None:
    assert node_flop(op_type, inputs, output) == expected


def test_flop_of_a_step_is_the_count_by_hand(subject: Subject) -> None:
    counted = watch(subject.model, subject.question, is_counting=True)
    tokens, context, width, codes = 8, 16, 16, 32
    grid, sampling = subject.model.manifest.tokens.audio, subject.question.sampling
    drawn = make_plan(np.ones((1, tokens), np.bool_), grid.order, sampling).positions.shape[2]
    branches = 2  # of guidance
    qkv = branches * tokens * 6 * width**2
    attention = 4 * tokens * (context + tokens) * width + 4 * tokens * tokens * width
    # Behind the attention of the last layer, only what is drawn is computed.
    rest = branches * drawn * (18 * width**2 + 2 * width * codes)
    flop = stage_flop(counted)
    assert flop["step 2"] == qkv + attention + rest
    # The keys and values of the context, once.
    assert flop["decode_tokens"] == 3 * flop["step 2"] + context * 6 * width**2
    assert flop["read"] == flop["write"] == 0
    parts = ("encode_image", "decode_tokens", "decode_mel", "vocode")
    assert flop[TOTAL] == sum(flop[name] for name in parts)


def test_every_stage_is_timed_and_the_whole_is_their_sum(subject: Subject) -> None:
    spans = generate(subject.model, subject.question)
    assert steps_less([span.name for span in spans]) == STAGES
    assert [s.name for s in spans if s.name.startswith("step ")] == ["step 1", "step 2", "step 3"]
    parts = [span for span in spans if span.name in STAGES[:-1]]
    assert all(a.stop_ns <= b.start_ns for a, b in pairwise(parts))
    total = spans[-1]
    assert sum(span.ms for span in parts[:-1]) <= total.ms
    assert total.stop_ns <= parts[-1].start_ns, "writing is no part of the whole"
    assert subject.question.out.stat().st_size > 44


def test_runs_alternate_and_warm_up_does_not_count(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def fake(model: Model, question: Question) -> list[Span]:
        calls.append(question.seed)
        ms = 1000 if len(calls) <= 4 else question.seed + len(calls) / 2
        return [Span(name=TOTAL, start_ns=0, stop_ns=int(ms * 1e6))]

    monkeypatch.setattr("echoes_rt.profile.stages.generate", fake)
    questions = [replace(subject.question, seed=seed) for seed in (0, 100)]
    first, second = measure([(subject.model, q) for q in questions], runs=3)
    assert calls == [0, 100] * 5
    assert first[TOTAL] == Times(p50=3.5, p95=pytest.approx(4.4), min=2.5)
    assert second[TOTAL].min == 103


def test_precision_is_that_of_the_computation(subject: Subject) -> None:
    manifest = subject.model.manifest
    stored = {name: replace(spec, precision="fp16") for name, spec in manifest.graphs.items()}
    bundle = replace(subject.model.bundle, manifest=replace(manifest, graphs=stored))
    assert Model(bundle, subject.model.choice).precision("vocoder") == "fp32"


def test_nodes_lie_in_the_stage_that_ran_them(subject: Subject) -> None:
    generation = watch(subject.model, subject.question, is_counting=False)
    (vocode,) = (span for span in generation.spans if span.name == "vocode")
    nodes = [node for node in generation.nodes if node.graph == "vocoder"]
    assert nodes
    assert all(vocode.start_ns <= n.start_ns <= vocode.stop_ns for n in nodes)
    assert graph_work(generation)["vocoder"].providers.keys() == {"CPUExecutionProvider"}


def test_a_fall_to_the_cpu_is_seen(subject: Subject) -> None:
    seen = watch(subject.model, subject.question, is_counting=False)
    some = [node for node in seen.nodes if node.graph == "decode_audio_step"][:2]
    nodes = [
        replace(node, op_type=op_type, provider=f"{device}ExecutionProvider")
        for node, op_type, device in zip(some, ("MatMul", "TopK"), ("CUDA", "CPU"), strict=True)
    ]
    choice = replace(subject.model.choice, device="cuda:0")
    profile = Profile(
        subject=replace(subject, model=Model(subject.model.bundle, choice)),
        stages={TOTAL: Times(p50=1, p95=1, min=1)},
        flop={TOTAL: 10**9},
        cold=replace(COLD, peak_memory_mb=None),
        watched=Generation(spans=[], nodes=nodes),
    )
    assert profile.fallen_to_cpu == {"decode_audio_step": ["TopK"]}
    # What ONNX Runtime tells of a GPU's nodes is the host's time.
    work = profile.graphs["decode_audio_step"]
    assert work.providers["CPUExecutionProvider"].share is None
    assert work.time_by_operator == {}
    said = profile_text(profile, peak_gflops=100, runs=1)
    assert "warning           decode_audio_step ran on the CPU: TopK" in said
    assert "CPU 1 nodes, CUDA 1 nodes\n" in said
    assert "not told by this system" in said


def test_cold_start_makes_the_sound_that_is_profiled(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {
        "steps": 2,
        "guidance_scale": 1.5,
        "temperature": 0.5,
        "guidance_schedule": "annealed",
        "guidance_interval": (0.2, 0.8),
    }
    sampling = subject.model.sampling(8, asked)  # type: ignore[arg-type]
    assert all(getattr(sampling, name) == value for name, value in asked.items())
    question = replace(subject.question, sampling=sampling, seed=7)
    task = cold_start._task(replace(subject, question=question))
    made: list[Sound] = []
    image_to_audio = Echoes.image_to_audio

    def spy(*arguments: Any, **options: Any) -> Sound:
        made.append(image_to_audio(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(Echoes, "image_to_audio", spy)
    cold_start._run(json.loads(json.dumps(task)), began=0)
    assert [(sound.seed, sound.sampling) for sound in made] == [(7, sampling)]


def test_sweep_predicts_by_what_it_counts(subject: Subject) -> None:
    points = sweep(subject, "steps", 1, lambda _: None)
    assert [point.value for point in points] == [1, 2, 3, 4, 8]
    by_steps = {point.value: point for point in points}
    assert by_steps[3].is_reference
    assert by_steps[3].error == pytest.approx(0)
    assert by_steps[4].predicted_ms > by_steps[2].predicted_ms
    assert largest_error(points) >= 0


def test_the_picture_of_a_profile_is_the_one_that_the_docs_show() -> None:
    shown = Path(__file__).parents[2] / "docs/demo/dog.jpg"
    assert PICTURE.read_bytes() == shown.read_bytes()


def test_command_writes_document_and_trace(
    run: Run, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gemm_peak, "SIZE", 64)
    unrecorded = {"decode_audio_step": "CUDA failure 900"}
    monkeypatch.setattr(Model, "unrecorded", lambda _: unrecorded)
    trace = tmp_path / "trace.json"
    result = run(
        *("profile", tiny_bundle, "--runs", 1, "--steps", 2, "--device", "cpu"),
        *("--threads", 1, "--batch", "--json", "--trace", trace),
    )
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout.splitlines()[-1])
    assert document["schema"] == report.SCHEMA
    patterns = [p.strip() for names in document["units"] for p in names.split(",")]
    without = {
        key
        for key, value in numbers([p | {"sampling": {}} for p in document["profiles"]])
        if isinstance(value, float) and not any(fnmatch(key, pattern) for pattern in patterns)
    }
    assert not without
    (profile,) = document["profiles"]
    assert steps_less(list(profile["stages"])) == STAGES
    assert document["gemm_peak_gflops"] > 0
    assert profile["cold_start"]["total_ms"] > profile["cold_start"]["first_sound_ms"] > 0
    assert profile["real_time_factor"] > 0
    assert profile["fallen_to_cpu"] == {}
    assert profile["unrecorded"] == unrecorded
    assert [point["members"] for point in profile["batches"]] == [1, 4, 16]
    assert all(point["sounds_per_second"] > 0 for point in profile["batches"])
    stage = profile["stages"]["vocode"]
    assert stage["share_of_peak"] == pytest.approx(
        stage["gflops"] / document["gemm_peak_gflops"], rel=0.02, abs=1e-3
    )
    if sys.platform.startswith("linux"):
        cold = profile["cold_start"]
        assert 300 > cold["peak_memory_mb"] >= cold["memory_mb"] > 10
    events = json.loads(trace.read_text("utf-8"))["traceEvents"]
    assert {"stages", "steps", "nodes", "echoes-tiny on cpu"} <= {
        e["args"]["name"] for e in events if e["ph"] == "M"
    }
    assert all(event["dur"] >= 0 for event in events if event["ph"] == "X")


def numbers(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Each number with the nearest key above it."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from numbers(part, key if key == "time_by_operator" else name)
    elif isinstance(value, list):
        for part in value:
            yield from numbers(part, key)
    else:
        yield key, value


def test_two_subjects_are_compared(
    run: Run, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(report, "cold_start", lambda task: replace(COLD, peak_memory_mb=60))
    busy = gemm_peak.Peak(gflops=123.4, cpu_share=0.4)
    monkeypatch.setattr(gemm_peak, "gemm_peak", lambda threads: busy)
    plot, table = tmp_path / "plot.png", tmp_path / "table.csv"
    result = run(
        *("profile", tiny_bundle, "--compare", tiny_bundle, "--device", "cpu", "--threads", 1),
        *("--runs", 1, "--steps", 1, "--sweep", "tokens", "--plot", plot, "--csv", table),
    )
    assert result.exit_code == 0, result.output
    assert "medians in ms, measured in turns" in result.stdout
    assert "123 GFLOP/s" in result.stdout
    assert not re.search(r"\b1 (threads|runs|steps)", result.output)
    assert "machine is busy" in result.stderr
    rows = [line.split(",") for line in table.read_text("utf-8").splitlines()]
    assert rows[0] == [*files.COLUMNS]
    assert all(float(row[2]) >= float(row[4]) > 0 for row in rows[1:])
    assert "60 MB at its peak, 50 MB after loading" in result.stdout
    assert result.stdout.count("cost of the decoding loop against tokens") == 2
    assert cv2.imdecode(np.fromfile(plot, dtype=np.uint8), cv2.IMREAD_COLOR).shape[1] == 1800


def test_trace_has_microseconds_from_the_start() -> None:
    spans = [
        Span(name="read", start_ns=5_000, stop_ns=8_000),
        Span(name=TOTAL, start_ns=5_000, stop_ns=9_000),
    ]
    events = trace_events(Generation(spans=spans, nodes=[]), "p")
    (read,) = (event for event in events if event["name"] == "read")
    assert (read["ts"], read["dur"], read["ph"]) == (0, 3, "X")


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--plot", "chart.txt", "a chart ends in .png, .svg, .pdf"),
        ("--trace", "nowhere/trace.json", "there is no folder nowhere"),
        ("--compare", "missing-bundle", "no bundle 'missing-bundle'"),
        ("--image", "missing.png", "no picture at missing.png"),
    ],
)
def test_bad_input_is_one_line(
    option: str, value: str, words: str, tiny_bundle: Path, run: Run
) -> None:
    refused(run("profile", tiny_bundle, "--device", "cpu", "-q", option, value), words)
    for wrong in (("--bundle", "other"), ("--runs", "0")):
        assert run("profile", tiny_bundle, *wrong).exit_code == 2


def test_plot_without_matplotlib_is_one_line(
    run: Run, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    refused(run("profile", tiny_bundle, "--plot", tmp_path / "chart.png"), "pip install matplotlib")
