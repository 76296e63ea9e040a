"""The command line's verbs beside picture to sound."""

import inspect
import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import soundfile
from click.core import ParameterSource
from tests.runtime.commands import Run, refused
from tests.runtime.conftest import Encoded

from echoes_rt import Echoes
from echoes_rt.cli import main
from echoes_rt.format.sampling import SamplingOptions
from echoes_rt.io.audio import read_recording
from echoes_rt.options import Options

VERBS = {
    "generate": ("generate", "in.wav", "out.png"),
    "cogenerate": ("cogenerate", "out.wav", "out.png"),
    "inpaint": ("inpaint", "in.wav", "out.wav", "--from", 0.2, "--to", 0.24),
    "continue": ("continue", "in.wav", "out.wav", "--duration", 0.3),
    "vary": ("vary", "in.wav", "out.wav"),
}


@pytest.fixture(autouse=True)
def recording(tmp_path: Path, picture: Path) -> None:
    """Puts in.wav beside picture.jpg; not of floats, whose files hold the time of writing."""
    noise = np.random.default_rng(0).normal(0, 0.1, 11_025).astype(np.float32)
    soundfile.write(tmp_path / "in.wav", noise, 22_050)


def written(folder: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in folder.iterdir() if path.name.startswith("out")
    }


@pytest.mark.parametrize("verb", VERBS)
def test_verb_reports_and_writes_the_same_file_for_the_same_seed(
    verb: str, run: Run, tmp_path: Path
) -> None:
    asked = (*VERBS[verb], "--device", "cpu")
    document = json.loads(run(*asked, "--seed", 1, "--json").stdout)
    first = written(tmp_path)
    assert first
    assert run(*asked, "--seed", 1, "-q").output == ""
    assert written(tmp_path) == first
    result = run(*asked, "--seed", 2)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "bundle    echoes-tiny" in result.stdout
    assert written(tmp_path) != first
    assert document.pop("took_ms") > 0
    reports = document.get("results", [document])
    assert [Path(report["file"]).exists() for report in reports] == [True] * len(reports)
    for report in reports:
        assert (report["seed"], report["bundle"], report["device"]) == (1, "echoes-tiny", "cpu")
        assert "duration_s" in report or (report["width"], report["height"]) == (32, 32)


@pytest.mark.parametrize("verb", VERBS)
def test_python_has_the_same_names_and_defaults(verb: str) -> None:
    """What differs by name: --from and --to are no names in Python, and files are arguments."""
    command = main.commands[verb]
    context = command.make_context(verb, [str(part) for part in VERBS[verb][1:]])
    options = {
        name: value
        for name, value in context.params.items()
        if context.get_parameter_source(name) is ParameterSource.DEFAULT
    }
    assert len(options) > 10
    methods: dict[str, list[Any]] = {
        "generate": [Echoes.generate_many, Echoes.stream],
        "inpaint": [Echoes.inpaint, Echoes.inpaint_image],
        "continue": [Echoes.continue_],
    }
    known: dict[str, Any] = dict.fromkeys(Options.__annotations__)
    known |= dict.fromkeys(SamplingOptions.__annotations__)
    for method in methods.get(verb, [getattr(Echoes, verb, None)]):
        for name, parameter in inspect.signature(method).parameters.items():
            known[{"audio": "sound"}.get(name, name)] = parameter.default
    device = inspect.signature(Echoes.load).parameters
    known |= {name: device[name].default for name in ("bundle", "device", "threads", "precision")}
    for name in options.keys() - {"as_json", "quiet"}:
        expected = None if known[name] is inspect.Parameter.empty else known[name]
        assert options[name] == expected, name


@pytest.mark.parametrize("verb", VERBS)
def test_verb_takes_the_dials(verb: str, run: Run, tmp_path: Path) -> None:
    dials = ("--guidance-schedule", "annealed", "--guidance-interval", 0.2, 0.8, "--steps", 1)
    result = run(*VERBS[verb], *dials, "--json")
    document = json.loads(result.stdout)
    report = document.get("results", [document])[0]
    assert (report["guidance_schedule"], report["guidance_interval"]) == ("annealed", [0.2, 0.8])
    assert report["steps"] == 1
    before = written(tmp_path)
    for dial, value in (
        ("guidance-schedule", "up"),
        ("guidance-interval", "1 0"),
        ("steps", "0"),
        ("seed", "-1"),
    ):
        refused(run(*VERBS[verb], f"--{dial}", *value.split()), f"{dial.replace('-', '_')} must be")
    assert written(tmp_path) == before


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "cogenerate"])
@pytest.mark.parametrize("content", [None, b"", b"RIFFhello"])
def test_bad_sound_is_one_line(verb: str, content: bytes | None, run: Run, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "bad.wav").write_bytes(content)
    arguments = ["bad.wav" if part == "in.wav" else part for part in VERBS[verb]]
    refused(run(*arguments), "there is no file bad.wav" if content is None else "bad.wav is not a")
    assert not written(tmp_path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp"])
def test_picture_is_written_by_suffix(suffix: str, run: Run, tmp_path: Path) -> None:
    assert run("generate", "in.wav", f"out.{suffix}").exit_code == 0
    pixels = cv2.imread(str(tmp_path / f"out.{suffix}"))
    assert pixels is not None
    assert pixels.shape == (32, 32, 3)


def test_count_gives_different_sounds_and_their_seeds(run: Run, tmp_path: Path) -> None:
    document = json.loads(
        run("generate", "picture.jpg", "out.wav", "--count", 10, "--seed", 5, "--json").stdout
    )
    reports = document["results"]
    assert [report["file"] for report in reports] == [f"out-{i}.wav" for i in range(1, 11)]
    assert [report["seed"] for report in reports] == [*range(5, 15)]
    files = written(tmp_path)
    assert len(set(files.values())) > 7


def test_rank_keeps_the_likeliest(run: Run, tmp_path: Path) -> None:
    run("generate", "picture.jpg", "out.wav", "--count", 6, "--seed", 5)
    every = written(tmp_path)
    order = json.loads(
        run(
            *("generate", "picture.jpg", "ranked.wav", "--count", 6, "--rank", 6),
            *("--seed", 5, "--json"),
        ).stdout
    )["results"]
    assert sorted(report["seed"] for report in order) == [*range(5, 11)]
    best = json.loads(
        run(
            *("generate", "picture.jpg", "best.wav", "--count", 6, "--rank", 1),
            *("--seed", 5, "--json"),
        ).stdout
    )
    assert best["seed"] == order[0]["seed"]
    assert (tmp_path / "best.wav").read_bytes() == every[f"out-{best['seed'] - 4}.wav"]


def test_several_sources_go_to_a_folder_which_is_made(run: Run, tmp_path: Path) -> None:
    result = run("generate", "picture.jpg", "in.wav", "new/made", "--seed", 1)
    assert result.exit_code == 0
    made = tmp_path / "new/made"
    assert sorted(os.listdir(made)) == ["in.png", "picture.wav"]  # noqa: PTH208
    run("generate", "picture.jpg", "out.wav", "--seed", 1)
    assert (made / "picture.wav").read_bytes() == (tmp_path / "out.wav").read_bytes()


def test_folder_stands_for_what_can_be_read_in_it(run: Run, tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    for name in ("picture.jpg", "in.wav"):
        (tmp_path / name).rename(given / name)
    for name in ("notes.txt", ".hidden.jpg"):
        (given / name).write_text("hello")
    assert run("generate", "given", "made", "-q").output == ""
    assert sorted(os.listdir(tmp_path / "made")) == ["in.png", "picture.wav"]  # noqa: PTH208


def test_standard_streams_are_a_source_and_an_output(run: Run, tmp_path: Path) -> None:
    run("generate", "picture.jpg", "out.wav", "--seed", 1)
    run("generate", "in.wav", "out.png", "--seed", 1)
    run("vary", "in.wav", "varied.wav", "--seed", 1)
    for verb, name, wanted in (
        ("generate", "picture.jpg", "out.wav"),
        ("generate", "in.wav", "out.png"),
        ("vary", "in.wav", "varied.wav"),
    ):
        given = (tmp_path / name).read_bytes()
        result = run(verb, "-", "-", "--seed", 1, input=given)
        assert result.exit_code == 0
        assert result.stdout_bytes == (tmp_path / wanted).read_bytes()
        assert result.stderr.startswith("-: ")


@pytest.mark.parametrize(
    ("given", "arguments", "line"),
    [
        (b"", ("-", "out.wav"), "standard input has nothing to read"),
        (b"hello", ("-", "out.wav"), "standard input is neither a picture nor a sound"),
        (b"", ("picture.jpg", "-", "--count", "2"), "standard output takes one result"),
    ],
)
def test_streams_that_make_no_sense_are_one_line(
    given: bytes, arguments: tuple[str, ...], line: str, run: Run
) -> None:
    refused(run("generate", *arguments, input=given), line)


def test_duration_makes_a_long_sound(run: Run, tmp_path: Path) -> None:
    result = run("generate", "picture.jpg", "out.wav", "--duration", 1.5, "--seed", 1)
    assert result.stdout.startswith("out.wav: 1.50 s of sound\n")
    assert soundfile.info(tmp_path / "out.wav").frames == round(1.5 * 22_050)


def test_mask_keeps_the_rest_of_a_picture(run: Run, tmp_path: Path) -> None:
    run("generate", "in.wav", "given.png", "--seed", 1)
    mask = np.zeros((32, 32), np.uint8)
    mask[:, :10] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    result = run("inpaint", "given.png", "out.png", "--mask", "mask.png", "--seed", 2)
    assert result.exit_code == 0
    given, made = (cv2.imread(str(tmp_path / name)) for name in ("given.png", "out.png"))
    assert given is not None
    assert made is not None
    np.testing.assert_array_equal(given[:, 10:], made[:, 10:])
    assert (given[:, :10] != made[:, :10]).any()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("generate in.wav out.wav", "makes a picture of a sound, got in.wav and out.wav"),
        ("generate picture.jpg out.png", "makes a sound of a picture, got picture.jpg and out.png"),
        ("generate in.wav out.gif", "cannot write out.gif: a picture ends in .png,"),
        ("generate picture.jpg in.wav out.wav", "OUT must be a folder"),
        ("generate picture.jpg picture.jpg .", "would give a file of the same name"),
        ("generate picture.jpg out.wav --count 0", "count must be in [1, 1000], got 0"),
        (
            "generate picture.jpg out.wav --count 2 --rank 3",
            "rank must be in [1, count = 2]",
        ),
        ("generate picture.jpg out.wav --count 2 --duration 9", "does not go with --count"),
        ("generate picture.jpg out.wav --start 0.1", "start is for sounds"),
        ("generate in.wav out.png --start 0.6", "within the 0.50 s of the sound, got 0.6"),
        ("vary picture.jpg out.png --start 0.1", "start is for sounds"),
        ("generate picture.jpg out.wav --duration 0", "duration must be in (0, 86400] seconds"),
        ("generate in.raw out.png", "raw samples do not say their rate"),
        ("generate in.wav out.png --duration 9", "duration is for the sound of a picture"),
        ("inpaint in.wav out.wav --from 0.2", "needs --from and --to"),
        ("inpaint in.wav out.wav --mask mask.png", "needs --from and --to"),
        ("inpaint picture.jpg out.png --from 1 --to 2", "needs --mask"),
        ("inpaint in.wav out.wav --from 0.3 --to 0.2", "got 0.3 s to 0.2 s"),
        ("continue picture.jpg out.wav", "continue needs a sound, got picture.jpg"),
        ("continue in.wav out.wav --duration -1", "duration must be in (0, 3600] seconds, got -1"),
        ("vary in.wav out.wav --keep 2", "keep must be in [0, 1], got 2"),
        ("vary picture.jpg out.wav", "cannot write out.wav: a picture ends in .png,"),
        ("vary notes.txt out.png", "notes.txt is of no kind that is read"),
        ("vary notes.txt out.wav", "notes.txt is of no kind that is read"),
        ("generate notes.txt out.png", "notes.txt is of no kind that is read"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    command: str, words: str, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "in.raw").write_bytes(bytes(100))
    (tmp_path / "notes.txt").write_text("hello")
    refused(run(*command.split()), words)
    assert not written(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        (("generate", "picture.jpg", "in.wav", "."), "in.wav"),  # picture.wav is new, in.png, too
        (("generate", "picture.jpg", "linked.wav", "."), "linked.wav"),
        (("inpaint", "in.wav", "in.wav", "--from", 0.2, "--to", 0.24), "in.wav"),
        (("inpaint", "in.wav", "hard.wav", "--from", 0.2, "--to", 0.24), "in.wav"),
        (("inpaint", "picture.png", "mask.png", "--mask", "mask.png"), "mask.png"),
        (("inpaint", "picture.png", "link.png", "--mask", "mask.png"), "mask.png"),
        (("continue", "in.wav", "./in.wav"), "in.wav"),
        (("vary", "in.wav", "in.wav"), "in.wav"),
    ],
)
def test_output_that_is_an_input_is_refused(
    arguments: tuple[object, ...], given: str, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "hard.wav").hardlink_to(tmp_path / "in.wav")
    picture = cv2.imread(str(tmp_path / "picture.jpg"))
    assert picture is not None
    for name in ("picture.png", "mask.png"):
        cv2.imwrite(str(tmp_path / name), picture)
    (tmp_path / "link.png").symlink_to(tmp_path / "mask.png")
    if arguments[0] == "generate":  # what one source makes would take the place of another
        (tmp_path / "picture.wav").hardlink_to(tmp_path / "in.wav")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    if arguments[2] == "linked.wav":
        (tmp_path / "linked.wav").symlink_to(tmp_path / "in.wav")
        before["linked.wav"] = before["in.wav"]
    refused(run(*arguments), f"it is the input {given}; give another name")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_picture_is_known_by_its_content_under_any_name(run: Run, tmp_path: Path) -> None:
    (tmp_path / "picture.jpg").rename(tmp_path / "photo.orig")
    assert run("generate", "photo.orig", "out.wav", "-q").output == ""


def test_sound_of_a_video_is_a_sound(run: Run, encoded: Encoded, tmp_path: Path) -> None:
    """A picture is made of it, and it is varied and continued, as any recording."""
    given = read_recording(encoded(tmp_path / "clip.mkv", "pcm_s16le")).samples
    assert run("generate", "clip.mkv", "out.png", "--start", 0.1, "-q").output == ""
    for arguments in (("vary",), ("continue", "--duration", 0.2)):
        assert run(arguments[0], "clip.mkv", "out.wav", *arguments[1:], "-q").output == ""
    kept, _ = soundfile.read(tmp_path / "out.wav", dtype="float32")
    np.testing.assert_array_equal(kept[: len(given)], given[:, 0])
