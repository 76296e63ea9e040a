"""Damaged bundles and libraries that are not there: a status and a sentence, never a crash."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from native import Native, NativeError
from tests.manifests import BROKEN, TEXTS, change, put_graph, text_of
from tests.runtime.test_external_data import PLACES

Fresh = Callable[[], dict[str, Any]]
Opened = Callable[..., Native]
Refused = Callable[..., tuple[str, str]]

PIXELS = np.zeros((9, 9, 3), np.uint8)

QUIET = """
import ctypes, sys
sys.path.insert(0, sys.argv[1])
from native import Native, NativeError
import numpy as np
from pathlib import Path
native = Native(Path(sys.argv[2]), Path(sys.argv[3]), threads=1)
options, _ = native.options()
native.image_to_audio(np.zeros((9, 9, 3), np.uint8), options)
for wrong in ("nowhere", sys.argv[4]):
    try:
        Native(Path(sys.argv[2]), Path(wrong)).options()
    except NativeError:
        pass
"""


@pytest.fixture
def refused(opened: Opened) -> Refused:
    """The status and the sentence with which a model is refused."""

    def ask(bundle: Path, **options: Any) -> tuple[str, str]:
        with pytest.raises(NativeError) as caught:
            opened(bundle, **options)
        sentence = str(caught.value)
        assert sentence
        assert "\n" not in sentence
        return caught.value.status, sentence

    return ask


def test_every_broken_rule_is_named(copy: Path, tiny_manifest: Fresh, refused: Refused) -> None:
    for case in BROKEN:
        data = tiny_manifest()
        change(data, case)
        (copy / "manifest.json").write_text(json.dumps(data))
        status, sentence = refused(copy)
        assert status == "bundle"
        assert f": manifest key {case['names']} " in sentence, (sentence, case)


def test_texts_are_taken_and_refused_as_in_python(
    copy: Path, opened: Opened, refused: Refused
) -> None:
    for case in TEXTS:
        (copy / "manifest.json").write_bytes(text_of(case))
        if case["is_read"]:
            opened(copy)
        else:
            status, sentence = refused(copy)
            assert (status, sentence.isprintable()) == ("bundle", True), case


@pytest.mark.parametrize("code", ["\x1b[31m", "\x9b31m", "\x7f"])
def test_control_codes_reach_nobody(
    code: str, copy: Path, tiny_manifest: Fresh, refused: Refused
) -> None:
    data = tiny_manifest()
    data["graphs"][code] = data["graphs"]["vocoder"]
    (copy / "manifest.json").write_text(json.dumps(data))
    assert refused(copy)[1].isprintable()


@pytest.mark.parametrize("place", PLACES)
def test_graph_that_reads_another_file_is_refused(place: str, copy: Path, refused: Refused) -> None:
    put_graph(copy, "vocoder", (copy / "vocoder.onnx").read_bytes() + PLACES[place])
    status, sentence = refused(copy)
    assert status == "bundle"
    assert "reads the file '/etc/passwd', which the manifest does not list" in sentence


def test_links_are_opened_when_their_content_is_right(
    copy: Path, tmp_path: Path, opened: Opened
) -> None:
    (tmp_path / "blobs").mkdir()
    for i, file in enumerate(sorted(copy.iterdir())):
        file.rename(tmp_path / "blobs" / str(i))
        file.symlink_to(f"../blobs/{i}")
    native = opened(copy)
    native.image_to_audio(PIXELS, native.options(steps=1)[0])


def with_grid(data: dict[str, Any], height: int, width: int) -> dict[str, Any]:
    """The manifest with another audio grid and as many codes a clip as in the tiny bundle."""
    order = [*range(height * width)]
    data["tokens"]["audio"] |= {"height": height, "width": width, "order": order}
    return data


@pytest.mark.parametrize(("width", "n_frames"), [(4, 3), (4, 34), (1023, 2045)])
def test_columns_share_out_the_frames_without_a_rest(
    width: int, n_frames: int, copy: Path, tiny_manifest: Fresh, opened: Opened, refused: Refused
) -> None:
    """Else a part of a sound would have columns outside of the grid; nothing else is wrong here."""
    data = with_grid(tiny_manifest(), 2, width)
    data["mel"]["n_frames"] = width
    (copy / "manifest.json").write_text(json.dumps(data))
    opened(copy)
    data["mel"]["n_frames"] = n_frames
    (copy / "manifest.json").write_text(json.dumps(data))
    status, sentence = refused(copy)
    assert status == "bundle"
    assert "manifest key mel.n_frames must be a multiple of tokens.audio.width" in sentence


@pytest.mark.parametrize("grid", [(4, 2), (2, 4), (1, 8)])
def test_every_part_of_a_sound_has_its_columns(
    grid: tuple[int, int], copy: Path, tiny_manifest: Fresh, opened: Opened
) -> None:
    """The same graphs, for the codes of a clip are as many in every grid."""
    data = with_grid(tiny_manifest(), *grid)
    (copy / "manifest.json").write_text(json.dumps(data))
    native = opened(copy)
    clip, rate = native.info.num_samples, native.info.sample_rate
    options, _ = native.options(steps=1)
    column = clip // grid[1]
    sizes = [1, clip, clip + 1, 2 * clip]
    if grid[1] > 2:  # of two columns, parts of other sounds would be in both
        sizes += [65, clip - 1, 3 * clip + 7]
    for size in sizes:
        sound = np.full(size, 0.25, np.float32)
        for part in {1, min(size, column)}:
            middle = (size - part) // 2 if grid[1] > 2 else 0  # two columns meet in the middle
            for start in {0, middle, size - part}:
                filled = native.inpaint(sound, start / rate, (start + part) / rate, None, options)
                assert (filled != sound)[start : start + part].any()
        for more in (1, clip + 1):
            assert len(native.extend(sound, more / rate, None, options)) == size + more


def test_one_column_cannot_be_continued(copy: Path, tiny_manifest: Fresh, opened: Opened) -> None:
    (copy / "manifest.json").write_text(json.dumps(with_grid(tiny_manifest(), 8, 1)))
    native = opened(copy)
    options, _ = native.options()
    sound = np.full(100, 0.25, np.float32)
    for task in (
        lambda: native.extend(sound, 0.1, None, options),
        lambda: native.stream(PIXELS, 0.1, options, lambda _: True),
    ):
        with pytest.raises(NativeError, match="has one token column a clip; long sound needs two"):
            task()


@pytest.mark.parametrize(
    ("file", "data", "words"),
    [
        ("manifest.json", b"[]", "the manifest must be an object, got []"),
        ("manifest.json", b" " * (1 << 20) + b"{}", "larger than the 1048576 bytes allowed"),
        ("vocoder.onnx", b"cut", "has 3 bytes, the manifest says "),
        ("vocoder.onnx", None, "lacks the file vocoder.onnx; get the bundle again"),
    ],
)
def test_file_of_another_kind_or_size(
    file: str, data: bytes | None, words: str, copy: Path, refused: Refused
) -> None:
    (copy / file).unlink()
    if data is not None:
        (copy / file).write_bytes(data)
    status, sentence = refused(copy)
    assert status == "bundle"
    assert words in sentence


def test_damaged_file(copy: Path, refused: Refused) -> None:
    data = bytearray((copy / "vocoder.onnx").read_bytes())
    data[-1] ^= 1
    (copy / "vocoder.onnx").write_bytes(data)
    status, sentence = refused(copy)
    assert status == "bundle"
    assert f"file vocoder.onnx of bundle {copy} has the checksum " in sentence


def test_what_is_no_bundle(tmp_path: Path, refused: Refused) -> None:
    file = tmp_path / "bundle.zip"
    file.write_bytes(b"PK")
    assert "expected a folder; unpack it if it is a .zip" in refused(file)[1]
    assert refused(tmp_path)[1].endswith("is not a bundle: it has no manifest.json")
    assert "no bundle at " in refused(tmp_path / "nothing")[1]


def assert_makes_nothing(native: Native, said: str, status: str = "bundle") -> None:
    with pytest.raises(NativeError, match=said) as caught:
        native.image_to_audio(PIXELS, native.options()[0])
    assert caught.value.status == status


def test_graph_that_is_none(copy: Path, opened: Opened) -> None:
    """A model with a version and nothing else: only ONNX Runtime can tell."""
    put_graph(copy, "decode_audio", b"\x08\x0a")
    assert_makes_nothing(opened(copy), r"cannot load .*decode_audio\.onnx", "backend")


def test_graph_that_changed_after_it_was_verified(copy: Path, opened: Opened) -> None:
    native = opened(copy)
    (copy / "mel_decoder.onnx").write_bytes((copy / "vocoder.onnx").read_bytes())
    assert_makes_nothing(native, r"mel_decoder\.onnx of bundle .* has the checksum")


@pytest.mark.parametrize(
    ("graph", "other"),
    [
        ("mel_decoder", "vocoder"),  # another input
        ("vocoder", "mel_encoder"),  # another output
        ("decode_audio", "decode_audio_step"),  # inputs of another rank
        ("context_image", "context_audio"),  # of another size
        ("decode_audio", "vocoder"),  # no context
    ],
)
def test_graph_with_another_signature(
    graph: str, other: str, copy: Path, tiny_manifest: Fresh, opened: Opened
) -> None:
    """Another graph in its place."""
    data = tiny_manifest()
    for key in ("file", "size_bytes", "sha256"):
        data["graphs"][graph][key] = data["graphs"][other][key]
    (copy / "manifest.json").write_text(json.dumps(data))
    assert_makes_nothing(opened(copy), rf"{other}\.onnx")


def test_no_onnx_runtime_there(tiny_bundle: Path, tmp_path: Path, refused: Refused) -> None:
    status, sentence = refused(tiny_bundle, onnxruntime_path=b"/no/such/file.so")
    assert status == "backend"
    assert sentence.startswith("no ONNX Runtime found; set ECHOES_RT_ORT to the path of ")
    status, sentence = refused(tiny_bundle, onnxruntime_path=str(tmp_path).encode())
    assert status == "backend"
    assert sentence.startswith(f"no ONNX Runtime in the folder {tmp_path} (from onnxruntime_path)")


@pytest.mark.skipif(sys.platform != "linux", reason="libm.so.6 is of Linux")
def test_another_library_is_no_onnx_runtime(tiny_bundle: Path, refused: Refused) -> None:
    assert refused(tiny_bundle, onnxruntime_path=b"libm.so.6") == (
        "backend",
        "the library that was opened is not ONNX Runtime: it has no OrtGetApiBase",
    )


def test_unknown_and_missing_devices(tiny_bundle: Path, refused: Refused) -> None:
    for device in (b"tpu", b"", b"cuda:", b"cuda:x", b"cuda:1234", b"CPU"):
        status, sentence = refused(tiny_bundle, device=device)
        assert status == "input"
        assert sentence.startswith("device must be auto, cpu or cuda[:<index>], got ")
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        status, sentence = refused(tiny_bundle, device=b"cuda")
        assert status == "backend"
        assert sentence.startswith("device cuda cannot be used: ")


def test_nothing_is_printed(library: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    given = [Path(__file__).parent, library, tiny_bundle, tmp_path]
    command = [sys.executable, "-c", QUIET, *map(str, given)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
