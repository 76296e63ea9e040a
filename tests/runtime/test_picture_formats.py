"""Pictures as other people's programs write them: formats, transparency, bounds."""

import struct
import sys
import time
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.runtime.test_image import (
    BLUE,
    GREEN,
    GREY,
    RED,
    TURNS,
    corners,
    encode,
    is_near,
    png_chunk,
    quarters,
)

from echoes_rt.errors import BackendError, InputError
from echoes_rt.io import picture_file
from echoes_rt.io.image import read_image

WHITE = [255, 255, 255]


def read(data: bytes, tmp_path: Path) -> NDArray[np.uint8]:
    path = tmp_path / "picture"
    path.write_bytes(data)
    return read_image(path)


def saved(format: str, mode: str = "RGB", **options: Any) -> bytes:
    """By Pillow, which writes more formats than every OpenCV."""
    file = BytesIO()
    Image.fromarray(quarters()).convert(mode).save(file, format, **options)
    return file.getvalue()


# --- formats


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("GIF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("AVIF", {"quality": 100, "subsampling": "4:4:4"}),
        ("JPEG", {"quality": 100, "mode": "CMYK"}),
        ("TIFF", {"mode": "CMYK"}),
    ],
)
def test_format_is_read(format: str, options: dict[str, Any], tmp_path: Path) -> None:
    data = saved(format, **options)
    assert is_near(corners(read(data, tmp_path)), [RED, GREEN, BLUE, GREY])
    with pytest.raises(InputError, match="is truncated"):
        read(data[: len(data) * 2 // 3], tmp_path)


@pytest.mark.parametrize("name", ["quarters.heic", "quarters_12.heic"])
def test_heic_is_read_by_an_extra(name: str, tmp_path: Path) -> None:
    """The second one has 12 bits."""
    pytest.importorskip("pi_heif")
    data = (Path(__file__).parents[1] / "fixtures" / name).read_bytes()
    assert is_near(corners(read(data, tmp_path)), [RED, GREEN, BLUE, GREY])
    with pytest.raises(InputError, match="is truncated"):
        read(data[:-100], tmp_path)


def test_heic_without_the_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(BackendError, match=r"pip install .*\[heic\]"):
        read_image(Path(__file__).parents[1] / "fixtures" / "quarters.heic")


@pytest.mark.parametrize("depth", [10, 12])
def test_deep_avif_is_as_bright_as_any(depth: int, tmp_path: Path) -> None:
    if not cv2.haveImageWriter("x.avif"):
        pytest.skip("this OpenCV writes no AVIF, and Pillow none of this depth")
    deep = np.rint(quarters()[..., ::-1] / 255.0 * ((1 << depth) - 1)).astype(np.uint16)
    options = [cv2.IMWRITE_AVIF_DEPTH, depth, cv2.IMWRITE_AVIF_QUALITY, 100]
    data = cv2.imencode(".avif", deep, options)[1].tobytes()
    assert is_near(corners(read(data, tmp_path)), [RED, GREEN, BLUE, GREY])


# --- TIFF


def tiff(rgb: NDArray[Any], **tags: int | tuple[int, ...]) -> bytes:
    """(H, W, C) as one strip, with what ``tags`` add or change."""
    numbers = {
        "width": 256, "height": 257, "bits": 258, "compression": 259, "photometric": 262,
        "offsets": 273, "orientation": 274, "samples": 277, "rows": 278, "counts": 279,
        "extra": 338, "format": 339,
    }  # fmt: skip
    height, width, samples = rgb.shape
    depth = rgb.dtype.itemsize * 8
    given: dict[str, int | tuple[int, ...]] = {
        "width": width, "height": height, "bits": (depth,) * samples, "compression": 1,
        "photometric": 2, "samples": samples, "rows": height, "counts": rgb.nbytes, **tags,
    }  # fmt: skip
    given["offsets"] = 8
    entries, more = b"", b""
    directory_at = 8 + rgb.nbytes
    more_at = directory_at + 2 + 12 * len(given) + 4
    for name in sorted(given, key=numbers.__getitem__):
        value = given[name]
        values = value if isinstance(value, tuple) else (value,)
        kind, code = (3, "H") if max(values) < 1 << 16 else (4, "I")
        body = struct.pack(f"<{len(values)}{code}", *values)
        if len(body) > 4:
            at = more_at + len(more)
            more += body
            body = struct.pack("<I", at)
        entries += struct.pack("<HHI", numbers[name], kind, len(values)) + body.ljust(4, b"\0")
    header = struct.pack("<2sHI", b"II", 42, directory_at)
    tail = struct.pack("<H", len(given)) + entries + bytes(4) + more
    return header + rgb.tobytes() + tail


@pytest.mark.parametrize("orientation", [o for o in TURNS if o <= 8])
def test_tiff_is_turned_once(orientation: int, tmp_path: Path) -> None:
    rgb = read(tiff(quarters(), orientation=orientation), tmp_path)
    assert corners(rgb) == [tuple(colour) for colour in TURNS[orientation]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("extra", "shown"),
    [
        (0, (200, 100, 0)),  # unspecified: a mask or whatever
        (1, (128 + 72, 128 + 36, 128)),  # premultiplied
        (2, (200 // 2 + 128, 100 // 2 + 128, 128)),
    ],
)
def test_fourth_sample_of_tiff_is_what_it_says(
    extra: int, shown: tuple[int, int, int], dtype: type, tmp_path: Path
) -> None:
    pixel = (72, 36, 0, 127) if extra == 1 else (200, 100, 0, 127)
    scale = 1 if dtype == np.uint8 else 257
    rgba = np.full((8, 8, 4), np.array(pixel) * scale, dtype)
    np.testing.assert_allclose(read(tiff(rgba, extra=extra), tmp_path)[0, 0], shown, atol=2)


@pytest.mark.parametrize(
    ("samples", "tags"),
    [
        (3, {"photometric": 8}),  # CIE L*a*b*
        (4, {"photometric": 1, "samples": 1, "bits": 32, "format": 3}),  # floats
    ],
)
def test_tiff_of_another_kind_is_refused(
    samples: int, tags: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="of a kind that is not read"):
        read(tiff(np.zeros((8, 8, samples), np.uint8), **tags), tmp_path)


# --- transparency


def bmp(pixel: bytes, *, masks: tuple[int, ...] = (), header_size: int = 40) -> bytes:
    """2 x 2 pixels of four bytes each: blue, green, red and what ``masks`` make of the fourth."""
    compression = 3 if masks else 0
    info = struct.pack("<IiiHHIIiiII", header_size, 2, 2, 1, 32, compression, 16, 0, 0, 0, 0)
    info += b"".join(struct.pack("<I", mask) for mask in masks)
    info = info.ljust(max(header_size, len(info)), b"\0")
    return struct.pack("<2sIHHI", b"BM", 30 + len(info), 0, 0, 14 + len(info)) + info + pixel * 4


RGB_MASKS = (0xFF0000, 0xFF00, 0xFF)


@pytest.mark.parametrize("reserved", [0, 1, 128, 255])
@pytest.mark.parametrize("masks", [(), RGB_MASKS])
def test_reserved_byte_of_bmp_is_no_alpha(
    masks: tuple[int, ...], reserved: int, tmp_path: Path
) -> None:
    rgb = read(bmp(bytes([10, 20, 30, reserved]), masks=masks), tmp_path)
    assert rgb.tolist() == [[[30, 20, 10]] * 2] * 2


@pytest.mark.parametrize(("alpha", "shown"), [(51, [209, 207, 205]), (0, [30, 20, 10])])
def test_alpha_of_bmp_needs_a_mask_and_is_not_zero_everywhere(
    alpha: int, shown: list[int], tmp_path: Path
) -> None:
    data = bmp(bytes([10, 20, 30, alpha]), masks=(*RGB_MASKS, 0xFF000000), header_size=108)
    np.testing.assert_allclose(read(data, tmp_path)[0, 0], shown, atol=1)


def png(depth: int, kind: int, row: bytes, *chunks: bytes, width: int = 2) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, depth, kind, 0, 0, 0))
    data = png_chunk(b"IDAT", zlib.compress(b"\x00" + row))
    end = png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + data + end


@pytest.mark.parametrize(
    ("depth", "row", "clear", "other"),
    [
        (1, b"\x40", 0, 255),
        (2, b"\x10", 0, 85),
        (4, b"\x7a", 7, 170),
        (8, b"\x07\x09", 7, 9),
        (16, b"\x02\xbc\x60\x60", 700, 96),
    ],
)
def test_transparent_grey_of_png_is_white(
    depth: int, row: bytes, clear: int, other: int, tmp_path: Path
) -> None:
    key = png_chunk(b"tRNS", struct.pack(">H", clear))
    assert read(png(depth, 0, row, key), tmp_path).tolist() == [[WHITE, [other] * 3]]


@pytest.mark.parametrize("depth", [8, 16])
def test_transparent_colour_of_png_is_white(depth: int, tmp_path: Path) -> None:
    unit = 257 if depth == 16 else 1
    key = png_chunk(b"tRNS", struct.pack(">3H", unit, 2 * unit, 3 * unit))
    row = np.repeat(np.arange(1, 7, dtype=np.uint8), depth // 8).tobytes()
    assert read(png(depth, 2, row, key), tmp_path).tolist() == [[WHITE, [4, 5, 6]]]


def test_apples_png_is_named(tmp_path: Path) -> None:
    data = png(8, 2, bytes(6))
    apples = data[:8] + png_chunk(b"CgBI", bytes(4)) + data[8:]
    with pytest.raises(InputError, match="Apple's own form, CgBI; convert it by xcrun"):
        read(apples, tmp_path)


# --- bounds


def with_scans(data: bytes, count: int) -> bytes:
    """A JPEG whose last scan comes ``count`` times."""
    start = data.rfind(b"\xff\xda")
    return data[:start] + data[start:-2] * count + data[-2:]


def test_second_size_in_a_jpeg_is_refused(tmp_path: Path) -> None:
    """Decoders go by the first, checks by the last, which any size would pass."""
    data = encode(".jpg", quarters())
    start = data.index(b"\xff\xc0")
    (length,) = struct.unpack_from(">H", data, start + 2)
    frame = data[start : start + 2 + length]
    huge = frame[:5] + struct.pack(">HH", 20_000, 15_000) + frame[9:]
    with pytest.raises(InputError, match="damaged"):
        read(data[:start] + huge + data[start:], tmp_path)


def test_scans_of_a_jpeg_are_bounded(tmp_path: Path) -> None:
    bgr = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    assert read(data, tmp_path).shape == (60, 80, 3)
    with pytest.raises(InputError, match="scans of 80 x 60 pixels, too many"):
        read(with_scans(data, 1000), tmp_path)
    at = data.index(b"\xff\xc2") + 5
    large = data[:at] + struct.pack(">HH", 8000, 8000) + data[at + 4 :]  # each costs all pixels
    with pytest.raises(InputError, match="scans of 8000 x 8000 pixels, too many"):
        read(with_scans(large, 30), tmp_path)


@pytest.mark.parametrize(
    "filling",
    [b"\xff" * 100_000, *(code * 1_000_000 for code in (b"\xff\x00", b"\xff\xd0", b"\xff\xd8"))],
    ids=["filling", "data", "restarts", "starts"],
)
def test_walk_through_a_jpeg_is_linear(filling: bytes, tmp_path: Path) -> None:
    """100 kB of one such file took 49 s."""
    begin = time.process_time()
    with pytest.raises(InputError):
        read(b"\xff\xd8\xff\xe0\x00\x02" + filling, tmp_path)
    assert time.process_time() - begin < 5


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WebP", "BMP", "GIF", "TIFF", "AVIF", "HEIC"])
def test_what_decoding_holds_is_bounded(
    format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if format == "HEIC":
        pytest.importorskip("pi_heif")
        data = (Path(__file__).parents[1] / "fixtures" / "quarters.heic").read_bytes()
    else:
        data = saved(format)
    monkeypatch.setattr(picture_file, "MAX_HELD_BYTES", len(data) + 30_000)
    with pytest.raises(InputError, match=r"of 64 x \d\d pixels would take"):
        read(data, tmp_path)


def test_frames_of_an_animated_png_are_not_decoded(tmp_path: Path) -> None:
    """They would be held beside the first; here they are no pictures at all."""
    frame = png_chunk(b"fcTL", bytes(26)) + png_chunk(b"fdAT", bytes(1000))
    data = png(8, 2, bytes([1, 2, 3, 4, 5, 6]), png_chunk(b"acTL", struct.pack(">II", 9, 0)))
    data = data[:-12] + frame * 9 + data[-12:]
    assert read(data, tmp_path).tolist() == [[[1, 2, 3], [4, 5, 6]]]
