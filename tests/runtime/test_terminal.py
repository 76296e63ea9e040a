"""Closed streams, full disks, signals and strange names end in one line, and leave nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image
from tests.runtime.commands import Run, refused

from echoes_rt import errors
from echoes_rt.cli import main
from echoes_rt.commands.verb import progress
from echoes_rt.errors import escape, one_line
from echoes_rt.io.image import encode_image, read_image

posix = pytest.mark.skipif(os.name != "posix", reason="a POSIX shell")


def shell(line: str, folder: Path, bundle: Path, **variables: str) -> Any:
    """Runs a line of sh in which $E is the command, with the tiny bundle as the default."""
    environment = {
        **os.environ,
        "E": f"{sys.executable} -m echoes_rt",
        "ECHOES_RT_BUNDLE": str(bundle),
        **variables,
    }
    return subprocess.run(
        ["sh", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@posix
def test_closed_stderr_costs_nothing(tiny_bundle: Path, picture: Path) -> None:
    done = shell("$E generate picture.jpg out.wav 2>&-", picture.parent, tiny_bundle)
    assert done.returncode == 0
    assert done.stdout.startswith("out.wav: ")
    assert (picture.parent / "out.wav").read_bytes().startswith(b"RIFF")


@posix
@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", ">&- 2>&-"])
def test_files_do_not_become_the_closed_streams(
    closed: str, tiny_bundle: Path, picture: Path
) -> None:
    """What a library prints would end in the first file that is opened."""
    program = (
        "import os; from echoes_rt.commands.terminal import prepare_process; prepare_process(); "
        "assert os.open('out.txt', os.O_CREAT | os.O_WRONLY) > 2; os.write(2, b'noise')"
    )
    done = shell(f'{sys.executable} -c "{program}" {closed}', picture.parent, tiny_bundle)
    assert done.returncode == 0
    assert (picture.parent / "out.txt").read_bytes() == b""


@posix
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("command", ["info", "--help", "info --help", "info --json"])
def test_stdout_on_a_full_disk_is_one_line(command: str, tiny_bundle: Path, tmp_path: Path) -> None:
    done = shell(f"$E {command} >/dev/full", tmp_path, tiny_bundle)
    assert done.returncode == 1
    assert done.stderr == "Error: [Errno 28] No space left on device\n"


def test_no_console_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    with progress(quiet=False) as on_step:
        assert on_step is None


@posix
def test_names_that_are_no_text_do_no_harm(tiny_bundle: Path, tmp_path: Path) -> None:
    done = shell("$E info \"$(printf 'caf\\351\\033[31m')\"", tmp_path, tiny_bundle)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "caf" in line
    assert line.isprintable()


@posix
@pytest.mark.parametrize("option", ["", "-v"])
def test_warnings_do_no_harm(option: str, tiny_bundle: Path, picture: Path, tmp_path: Path) -> None:
    data = encode_image(read_image(picture), icc=bytes(200))
    (tmp_path / "a\x1b[31m.png").write_bytes(data)
    done = shell(f"$E generate a*.png out.wav {option}", tmp_path, tiny_bundle)
    assert done.returncode == 0
    assert any("colour profile" in line for line in done.stderr.splitlines())
    assert all(line.isprintable() for line in done.stderr.splitlines())


@posix
def test_what_pillow_warns_of_is_not_shown(
    tiny_bundle: Path, picture: Path, tmp_path: Path
) -> None:
    broken = b"Exif\0\0MM\0*\0\0\0\x08\0\x05"  # ends where its entries should begin
    Image.fromarray(read_image(picture)).save(tmp_path / "a.jpg", exif=broken)
    with pytest.warns(UserWarning, match="Corrupt EXIF"), Image.open(tmp_path / "a.jpg"):
        pass
    done = shell("$E generate a.jpg out.wav -q", tmp_path, tiny_bundle)
    assert (done.returncode, done.stderr) == (0, "")


@posix
def test_names_that_the_streams_encoding_lacks_are_escaped(
    tiny_bundle: Path, picture: Path
) -> None:
    line = "$E generate picture.jpg Ωmega.wav"
    done = shell(line, picture.parent, tiny_bundle, PYTHONIOENCODING="latin-1", PYTHONUTF8="1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(r"\u03a9mega.wav: ")


@posix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_leave_nothing_behind(
    number: int, tiny_bundle: Path, picture: Path, tmp_path: Path
) -> None:
    scratch, out = tmp_path / "scratch", tmp_path / "out"
    scratch.mkdir()
    out.mkdir()
    archive = shell(
        f"cd '{tiny_bundle}' && {sys.executable} -m zipfile -c '{tmp_path}/b.zip' *",
        tmp_path,
        tiny_bundle,
    )
    assert archive.returncode == 0
    command = [sys.executable, "-m", "echoes_rt", "generate", str(picture), str(out / "o.wav")]
    command += ["--duration", "3600", "--bundle", str(tmp_path / "b.zip")]
    with subprocess.Popen(
        command,
        env={**os.environ, "TMPDIR": str(scratch)},
        # Where the tests themselves run without a terminal, hanging up may be ignored.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL) and None,
    ) as process:
        end = time.monotonic() + 30
        while not (list(out.iterdir()) and list(scratch.iterdir())) and time.monotonic() < end:
            time.sleep(0.02)
        process.send_signal(number)
        assert process.wait(30) == 128 + number
    assert [*out.iterdir(), *scratch.iterdir()] == []


def test_a_bad_file_of_many_does_not_end_the_others(
    run: Run, picture: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.jpg").write_bytes(picture.read_bytes()[:300])
    (tmp_path / "third.jpg").write_bytes(picture.read_bytes())
    (tmp_path / "out").mkdir()
    command = ("generate", picture, "bad.jpg", "third.jpg", "out")
    refused(run(*command, "--steps", 0), "steps must be")  # once
    result = run(*command, "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert [Path(part["file"]).name for part in document["results"]] == ["picture.wav", "third.wav"]
    (failure,) = document["failures"]
    assert failure["source"] == "bad.jpg"
    assert "is truncated" in failure["error"]


def test_too_little_memory_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("echoes_rt.bundle.find_bundle", exhausted)
    result = CliRunner().invoke(main, ["info"])
    assert result.stderr == "Error: there is not enough memory for this\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ünïcödé 音 👍", "plain, ünïcödé 音 👍"),
        ("\x1b[31m\x9b31m\x7f\x00", r"\x1b[31m\x9b31m\x7f\x00"),
        ("caf\udce9", r"caf\xe9"),
        ("\ud800", r"\ud800"),
        ("gpj.\u202egnp", r"gpj.\u202egnp"),
        ("a\n  b\r\nc ", "a b c"),
    ],
)
def test_text_of_unknown_origin_is_made_harmless(text: str, shown: str) -> None:
    assert one_line(text) == shown
    assert str(errors.InputError(text)) == shown


def test_a_long_message_keeps_its_ends() -> None:
    line = one_line("begin " + "x" * 100_000 + " end")
    assert len(line) <= 1000
    assert line.startswith("begin ")
    assert line.endswith(" end")
    assert escape("x" * 2000) == "x" * 2000
