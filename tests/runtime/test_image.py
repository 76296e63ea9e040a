import re
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from echoes_rt.errors import InputError
from echoes_rt.format.image import ImageSpec
from echoes_rt.io.image import read_image, resize, to_input

SPEC = ImageSpec(height=32, width=32)

RED, GREEN, BLUE, GREY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128)


def quarters() -> NDArray[np.uint8]:
    """48 x 64 RGB with another colour in each quarter, so that any turn or mirroring shows."""
    rgb = np.empty((48, 64, 3), dtype=np.uint8)
    rgb[:24, :32], rgb[:24, 32:], rgb[24:, :32], rgb[24:, 32:] = RED, GREEN, BLUE, GREY
    return rgb


def encode(suffix: str, rgb: NDArray[np.generic]) -> bytes:
    if rgb.ndim == 3:
        code = cv2.COLOR_RGB2BGR if rgb.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
        rgb = cv2.cvtColor(rgb, code)  # type: ignore[call-overload]
    options = [cv2.IMWRITE_WEBP_QUALITY, 101] if suffix == ".webp" else []
    return cv2.imencode(suffix, rgb, options)[1].tobytes()  # type: ignore[call-overload, no-any-return]


def exif(orientation: int) -> bytes:
    """A TIFF block with one entry: orientation as a short."""
    return struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_exif(suffix: str, data: bytes, orientation: int) -> bytes:
    block = exif(orientation)
    if suffix == ".jpg":
        payload = b"Exif\x00\x00" + block
        return data[:2] + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + data[2:]
    if suffix == ".png":
        return data[:33] + png_chunk(b"eXIf", block) + data[33:]
    size = struct.pack("<HBHB", 63, 0, 47, 0)  # 64 x 48 less one, in 24 bits each
    flags = struct.pack("<I", 0x08)
    chunks = b"VP8X" + struct.pack("<I", 10) + flags + size + data[12:]
    chunks += b"EXIF" + struct.pack("<I", len(block)) + block
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


def corners(rgb: NDArray[np.uint8]) -> list[tuple[int, ...]]:
    return [tuple(rgb[y, x].tolist()) for y, x in ((4, 4), (4, -4), (-4, 4), (-4, -4))]


def is_near(left: list[tuple[int, ...]], right: list[tuple[int, ...]]) -> bool:
    return bool(np.abs(np.array(left) - np.array(right)).max() <= 3)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp"])
def test_formats_are_read_by_content(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / "no_suffix"
    path.write_bytes(encode(suffix, quarters()))
    rgb = read_image(path)
    assert rgb.shape == (48, 64, 3)
    assert is_near(corners(rgb), [RED, GREEN, BLUE, GREY])


TURNS = {
    1: [RED, GREEN, BLUE, GREY],
    2: [GREEN, RED, GREY, BLUE],
    3: [GREY, BLUE, GREEN, RED],
    4: [BLUE, GREY, RED, GREEN],
    5: [RED, BLUE, GREEN, GREY],
    6: [BLUE, RED, GREY, GREEN],
    7: [GREY, GREEN, BLUE, RED],
    8: [GREEN, GREY, RED, BLUE],
    9: [RED, GREEN, BLUE, GREY],
}


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif"])
@pytest.mark.parametrize("orientation", TURNS)
def test_exif_orientation_is_applied(suffix: str, orientation: int, tmp_path: Path) -> None:
    path = tmp_path / f"turned{suffix}"
    if suffix == ".avif":  # whose own rotation counts, made of what Pillow is given
        Image.fromarray(quarters()).save(path, quality=100, exif=exif(orientation))
    else:
        path.write_bytes(with_exif(suffix, encode(suffix, quarters()), orientation))
    rgb = read_image(path)
    assert rgb.shape == ((64, 48, 3) if 5 <= orientation <= 8 else (48, 64, 3))
    assert is_near(corners(rgb), TURNS[orientation])


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_transparency_becomes_white(suffix: str, tmp_path: Path) -> None:
    rgba = np.zeros((48, 64, 4), dtype=np.uint8)
    rgba[:24] = (200, 0, 0, 255)
    rgba[24:, :32] = (200, 0, 0, 51)
    path = tmp_path / f"clear{suffix}"
    path.write_bytes(encode(suffix, rgba))
    expected = [(200, 0, 0), (200, 0, 0), (244, 204, 204), (255, 255, 255)]
    assert corners(read_image(path)) == expected


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp"])
def test_grey_becomes_rgb(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"grey{suffix}"
    path.write_bytes(encode(suffix, np.full((20, 30), 90, dtype=np.uint8)))
    rgb = read_image(path)
    assert rgb.shape == (20, 30, 3)
    assert is_near(corners(rgb), [(90, 90, 90)] * 4)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_become_eight(channels: int, tmp_path: Path) -> None:
    deep = np.full((20, 30, channels), 65535, dtype=np.uint16)
    deep[:10, :, :1] = 100 * 257
    path = tmp_path / "deep.png"
    path.write_bytes(encode(".png", deep[..., 0] if channels == 1 else deep))
    rgb = read_image(path)
    assert rgb.dtype == np.uint8
    assert rgb[0, 0].tolist() == ([100] * 3 if channels == 1 else [100, 255, 255])
    assert rgb[-1, 0].tolist() == [255, 255, 255]


def test_grey_with_alpha_and_palette_are_read(tmp_path: Path) -> None:
    def png(color_type: int, row: bytes, *chunks: bytes) -> bytes:
        header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 8, color_type, 0, 0, 0))
        data = png_chunk(b"IDAT", zlib.compress(b"\x00" + row))
        end = png_chunk(b"IEND", b"")
        return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + data + end

    palette = png_chunk(b"PLTE", bytes([*RED, *BLUE])) + png_chunk(b"tRNS", b"\xff\x00")
    (tmp_path / "grey.png").write_bytes(png(4, bytes([80, 255, 80, 0])))
    (tmp_path / "palette.png").write_bytes(png(3, bytes([0, 1]), palette))
    white = [255, 255, 255]
    assert read_image(tmp_path / "grey.png").tolist() == [[[80, 80, 80], white]]
    assert read_image(tmp_path / "palette.png").tolist() == [[list(RED), white]]


def test_largest_centred_crop_is_kept() -> None:
    wide = np.zeros((40, 120, 3), dtype=np.uint8)
    wide[:, 40:80] = 255
    assert (resize(wide, SPEC) == 255).all()
    assert (resize(wide.transpose(1, 0, 2), SPEC) == 255).all()
    portrait = ImageSpec(height=40, width=20)
    assert (resize(wide[:, 50:70], portrait) == 255).all()


def test_shrinking_averages_areas() -> None:
    checks = np.indices((64, 64)).sum(axis=0) % 2 * 200
    rgb = np.repeat(checks[..., None], 3, axis=2).astype(np.uint8)
    assert (resize(rgb, SPEC) == 100).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (3, 2), (31, 33)])
def test_any_size_and_shape_is_taken(size: tuple[int, int]) -> None:
    rgb = np.full((*size, 3), 51, dtype=np.uint8)
    pixels = to_input(rgb, SPEC)
    assert pixels.shape == (1, 3, 32, 32)
    np.testing.assert_allclose(pixels, -0.6, atol=1e-6)


def test_channels_are_normalised_one_by_one() -> None:
    spec = ImageSpec(height=2, width=2, mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 2.0))
    pixels = to_input(np.full((2, 2, 3), 255, dtype=np.uint8), spec)
    assert pixels.dtype == np.float32
    assert pixels[0, :, 0, 0].tolist() == [1.0, 1.0, 0.0]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp"])
@pytest.mark.parametrize("kept", [0.05, 0.3, 0.7, 0.97])
def test_truncated_file_is_refused_in_silence(
    suffix: str, kept: float, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    data = encode(suffix, noise)
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(InputError, match=f"^picture {re.escape(str(path))} is truncated") as caught:
        read_image(path)
    assert str(caught.value).isprintable()
    assert capfd.readouterr() == ("", "")


def test_progressive_jpeg_is_walked_through_all_scans(tmp_path: Path) -> None:
    bgr = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    path = tmp_path / "progressive.jpg"
    path.write_bytes(data)
    assert read_image(path).shape == (60, 80, 3)
    path.write_bytes(data[: data.rfind(b"\xff\xda") + 30])
    with pytest.raises(InputError, match="is truncated"):
        read_image(path)


def test_thumbnail_does_not_hide_truncation(tmp_path: Path) -> None:
    """A whole JPEG inside the metadata ends with the same marker as the picture."""
    data = encode(".jpg", quarters())
    payload = b"Exif\x00\x00" + exif(1) + data
    marked = data[:2] + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + data[2:]
    path = tmp_path / "thumbnail.jpg"
    path.write_bytes(marked)
    assert read_image(path).shape == (48, 64, 3)
    path.write_bytes(marked[:-200])
    with pytest.raises(InputError, match="is truncated"):
        read_image(path)


def test_damaged_png_is_refused_in_silence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(encode(".png", quarters()))
    data[60] ^= 0xFF
    path = tmp_path / "damaged.png"
    path.write_bytes(data)
    with pytest.raises(InputError, match="checksum"):
        read_image(path)
    assert capfd.readouterr() == ("", "")


def test_huge_picture_is_refused_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IEND", b""))
    with pytest.raises(InputError, match="of 20000 x 20000 pixels would take"):
        read_image(path)


def test_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.jpg"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # sparse
    with pytest.raises(InputError, match="has 1099511627776 bytes, at most 536870912 are allowed"):
        read_image(path)


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        (b"", "is empty; give a JPEG, PNG, "),
        (b"hello", "is not a picture that can be read; give a JPEG, PNG, "),
        *(
            (begin, "is truncated or damaged")
            for begin in (
                b"GIF89a" + bytes(100),
                b"II*\x00" + bytes(100),
                b"BM" + bytes(100),
                bytes(3) + b"\x10ftypavif" + bytes(4),
                b"\xff\xd8\xff\xd9",
                b"RIFF\x04\x00\x00\x00WEBP",
                b"\x89PNG\r\n\x1a\n",
            )
        ),
    ],
)
def test_other_files_are_refused(header: bytes, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "file.jpg"
    path.write_bytes(header)
    with pytest.raises(InputError, match=sentence):
        read_image(path)


def test_missing_file_and_folder_and_device_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no picture at .*missing\.jpg; give a JPEG"):
        read_image(tmp_path / "missing.jpg")
    with pytest.raises(InputError, match="is a folder; give a JPEG"):
        read_image(tmp_path)
    with pytest.raises(InputError, match="cannot be read: File name too long"):
        read_image(tmp_path / ("a" * 300))
    with pytest.raises(InputError, match="/dev/zero is not a regular file"):
        read_image("/dev/zero")
