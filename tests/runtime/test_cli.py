import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import soundfile
from tests.runtime.commands import Run, program, refused

from echoes_rt.model import Model

pytestmark = pytest.mark.usefixtures("picture")


def test_generate_writes_a_sound_and_says_what_was_used(run: Run, tmp_path: Path) -> None:
    result = run("generate", "picture.jpg", "out.wav", "--seed", 7, "--device", "cpu")
    assert result.exit_code == 0
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[:5] == [
        "out.wav: 0.09 s of sound",
        "bundle    echoes-tiny",
        "device    cpu (asked for)",
        "seed      7",
        "sampling  4 steps, guidance scale 2, temperature 1",
    ]
    assert re.fullmatch(
        r"took      \d+\.\d\d s \(load \d\.\d\d, encode image \d\.\d\d, "
        r"decode tokens \d\.\d\d, decode audio \d\.\d\d\)",
        lines[5],
    )
    assert soundfile.info(tmp_path / "out.wav").frames == 2048


def test_generate_speaks_json(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    unrecorded = {"decode_audio_step": "CUDA failure 900"}
    monkeypatch.setattr(Model, "unrecorded", lambda _: unrecorded)
    result = run(
        *("generate", "picture.jpg", "out.wav", "--json", "--seed", 2**64 - 1, "--steps", 3),
        *("--guidance-scale", 1.5, "--temperature", 0.5),
        *("--device", "cpu", "--threads", 1),
    )
    report = json.loads(result.stdout)
    assert report.pop("took_ms") > 0
    assert set(report.pop("stages_ms")) == {"load", "encode_image", "decode_tokens", "decode_audio"}
    assert report == {
        "file": "out.wav",
        "duration_s": 0.093,
        "sample_rate": 22_050,
        "unrecorded": unrecorded,
        "bundle": "echoes-tiny",
        "device": "cpu",
        "device_reason": "asked for",
        "seed": 2**64 - 1,
        "steps": 3,
        "guidance": "scale",
        "guidance_scale": 1.5,
        "guidance_schedule": "constant",
        "guidance_interval": [0.0, 1.0],
        "temperature": 0.5,
    }


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("missing.jpg", "missing.jpg"),
        ("a" * 300, "aaa"),
        ("folder", "folder folder has no picture, sound or video"),
        ("cut.jpg", "picture cut.jpg is truncated"),
        ("notes.txt", "notes.txt is of no kind that is read"),
    ],
)
def test_bad_source_is_one_line(
    bad: str, words: str, run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "picture.jpg").read_bytes()[:300])
    before = {*tmp_path.iterdir()}
    refused(run("generate", bad, "out.wav"), words)
    assert {*tmp_path.iterdir()} == before
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "out",
    ["out.aac", "out", "out.wav/", "no/out.wav", "/proc/out.wav", "\uff46" * 84 + ".wav"],
)
def test_bad_output_is_one_line_before_any_work(out: str, run: Run, tmp_path: Path) -> None:
    # The picture cannot be read either: the output is looked at first.
    (tmp_path / "broken.jpg").write_text("no picture")
    refused(run("generate", "broken.jpg", out), out.rstrip("/"))


@pytest.mark.parametrize("out", ["made/", "made/deeper/"])
def test_output_that_ends_in_a_slash_is_a_folder(out: str, run: Run, tmp_path: Path) -> None:
    assert run("generate", "picture.jpg", out).exit_code == 0
    assert soundfile.info(tmp_path / out / "picture.wav").frames == 2048


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--steps", "1001", "steps must be a whole number in [1, 1000], got 1001"),
        ("--guidance-scale", "nan", "guidance_scale must be a number in [0, 100], got NaN"),
        ("--temperature", "inf", "temperature must be a number in [0, 10], got Infinity"),
        ("--seed", str(2**64), "seed must be in [0, 18446744073709551615], got"),
        ("--threads", "0", "threads must be in [1, 1024], got 0"),
        ("--threads", "1025", "threads must be in [1, 1024], got 1025"),
        ("--device", "gpu", "got 'gpu'"),
        ("--bundle", "nowhere", "no bundle 'nowhere'"),
    ],
)
def test_bad_option_is_one_line(
    option: str, value: str, words: str, run: Run, tmp_path: Path
) -> None:
    refused(run("generate", "picture.jpg", "out.wav", option, value), words)
    assert not (tmp_path / "out.wav").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["generate"],
        ["generate", "picture.jpg"],
        ["generate", "picture.jpg", "out.wav", "--steps", "many"],
        ["generate", "picture.jpg", "out.wav", "--temperature", "hot"],
        ["generate", "picture.jpg", "out.wav", "--colour"],
        ["play"],
    ],
)
def test_wrong_usage_exits_with_two(arguments: list[str], run: Run, tmp_path: Path) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert not (tmp_path / "out.wav").exists()


def test_info_shows_the_bundle(run: Run, tiny_bundle: Path) -> None:
    result = run("info")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[:9] == [
        str(tiny_bundle),
        "name      echoes-tiny",
        "license   Apache-2.0",
        "made by   tests/make_fixtures.py",
        "about     Random weights, for tests.",
        "knows     noise (random pixels)",
        "picture   32 x 32, 4 x 4 codes of 32",
        "sound     0.09 s at 22050 Hz, 2 x 4 codes of 32",
        "sampling  4 steps, guidance scale 2, temperature 1",
    ]
    assert result.stdout.count("graph     ") == 14
    sizes = [float(size) for size in re.findall(r"([\d.]+) MB", result.stdout)]
    whole, *parts = sizes
    assert sum(parts) == pytest.approx(whole, abs=0.01 * len(parts))  # the weights count once
    assert f"card      {tiny_bundle / 'README.md'}" in result.stdout


def test_info_speaks_json(run: Run, tiny_bundle: Path) -> None:
    report = json.loads(run("info", tiny_bundle, "--json").stdout)
    assert report["path"] == str(tiny_bundle)
    assert report["manifest"] == json.loads((tiny_bundle / "manifest.json").read_text())


def test_doctor_says_what_there_is_and_what_is_chosen(run: Run) -> None:
    report: dict[str, Any] = json.loads(run("doctor", "--json").stdout)
    assert report["problems"] == []
    assert report["onnxruntime"]["providers"]["CPUExecutionProvider"] == "starts"
    assert report["bundle"]["origin"] == "ECHOES_RT_BUNDLE"
    assert all(report["packages"].values())


def test_doctor_names_what_is_missing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setenv("ECHOES_RT_BUNDLE", "nowhere")
    result = run("doctor")
    assert result.exit_code == 1
    assert "problem   no ONNX Runtime found; pip install" in result.stdout
    assert "problem   no bundle 'nowhere' (from the environment variable" in result.stdout
    assert result.stdout.endswith("\nnot ready\n")


def test_progress_is_shown_on_a_terminal(run: Run) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    asked = ("generate", "picture.jpg", "out.wav", "--seed", 1)
    done = program(*asked, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert "decoding" in shown
    assert "100%" in shown
    assert done.stdout.startswith(b"out.wav: ")


def test_verbose_speaks_on_stderr(run: Run) -> None:
    done = program("generate", "picture.jpg", "out.wav", "-v")
    assert re.search(r"echoes_rt\.model: graph decode_audio_step on \S+ in \d+ ms", done.stderr)
