"""Colour profiles: what a picture shows is what the model sees, and a filled-in one keeps them."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.runtime.test_image import encode, png_chunk

from echoes_rt import Echoes
from echoes_rt.errors import InputError
from echoes_rt.io.colour import from_srgb, to_srgb
from echoes_rt.io.image import read_image, read_stored_image, write_image

SRGB_CURVE = struct.pack(">4sIHH5i", b"para", 0, 3, 0, 157286, 62119, 3417, 5072, 2651)
GAMMA_22 = struct.pack(">4sIIHH", b"curv", 0, 1, 563, 0)

# Colorants under D50, as Apple's and Adobe's profiles give them.
P3 = ((0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407))
ADOBE = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.7141))

PATCH = np.array([[200, 100, 50], [20, 240, 30], [128, 128, 128], [0, 0, 0]], np.uint8)
# By LittleCMS, relative colorimetric.
P3_SHOWN = [[215, 93, 31], [0, 244, 0], [128, 128, 128], [0, 0, 0]]
ADOBE_SHOWN = [[227, 100, 42], [0, 240, 0], [128, 128, 128], [0, 0, 0]]


def icc(
    colorants: tuple[tuple[float, ...], ...] = P3,
    curve: bytes = SRGB_CURVE,
    space: bytes = b"RGB ",
) -> bytes:
    tags = [(name, curve) for name in (b"rTRC", b"gTRC", b"bTRC", b"kTRC")]
    for name, colorant in zip((b"rXYZ", b"gXYZ", b"bXYZ"), colorants, strict=True):
        body = struct.pack(">4sI3i", b"XYZ ", 0, *(round(n * 65536) for n in colorant))
        tags.append((name, body))
    at = 132 + 12 * len(tags)
    table, data = struct.pack(">I", len(tags)), b""
    for name, body in tags:
        table += struct.pack(">4sII", name, at + len(data), len(body))
        data += body.ljust(-(-len(body) // 4) * 4, b"\0")
    head = struct.pack(">I4s4s4s4s4s12s4s", at + len(data), b"", b"\4\0\0\0", b"mntr", space,
                       b"XYZ ", b"", b"acsp")  # fmt: skip
    return head.ljust(128, b"\0") + table + data


def patches() -> NDArray[np.uint8]:
    """(16, 64, 3): four patches of 16 x 16."""
    return np.ascontiguousarray(np.repeat(np.repeat(PATCH[None], 16, 0), 16, 1))


def shown(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return rgb[8, 8::16]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
@pytest.mark.parametrize(
    ("profile", "expected"),
    [(icc(), P3_SHOWN), (icc(ADOBE, GAMMA_22), ADOBE_SHOWN), (icc(SRGB), PATCH)],
    ids=["Display P3", "Adobe RGB", "sRGB"],
)
def test_profile_is_applied(
    profile: bytes,
    expected: list[list[int]],
    suffix: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = write_image(tmp_path / f"picture{suffix}", patches(), profile)
    tolerance = 12 if suffix == ".jpg" else 2
    np.testing.assert_allclose(shown(read_image(path)), expected, atol=tolerance)
    assert not caplog.text


def test_profile_in_many_parts_of_a_jpeg_is_put_together(tmp_path: Path) -> None:
    profile = icc(ADOBE, GAMMA_22) + bytes(150_000)
    write_image(tmp_path / "a.jpg", patches(), profile)
    assert read_stored_image(tmp_path / "a.jpg").icc == profile


def test_profile_of_grey_is_applied(tmp_path: Path) -> None:
    linear = struct.pack(">4sII", b"curv", 0, 0)
    grey = Image.new("L", (4, 4), 128)
    grey.save(tmp_path / "a.png", icc_profile=icc(curve=linear, space=b"GRAY"))
    assert (read_image(tmp_path / "a.png") == 188).all()
    assert read_stored_image(tmp_path / "a.png").icc is None  # it is no profile of RGB


@pytest.mark.parametrize(
    "damaged",
    [b"x" * 200, icc()[:140], icc().replace(b"para", b"nope"), icc(space=b"CMYK")],
)
def test_profile_that_is_not_understood_changes_nothing_but_is_told(
    damaged: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_image(tmp_path / "a.png", patches(), damaged)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), patches())
    assert "a.png has a colour profile" in caplog.text


def test_profile_of_other_channels_is_not_applied(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Image.new("CMYK", (16, 16)).save(tmp_path / "a.jpg", quality=100, icc_profile=icc())
    assert (read_image(tmp_path / "a.jpg") == 255).all()
    assert "a.jpg has a colour profile" in caplog.text


def test_packed_profile_cannot_grow_without_bound(tmp_path: Path) -> None:
    bomb = png_chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(1 << 26)))
    data = encode(".png", patches())
    (tmp_path / "a.png").write_bytes(data[:33] + bomb + data[33:])
    with pytest.raises(InputError, match="too large"):
        read_image(tmp_path / "a.png")


def test_way_back_finds_the_same_colours() -> None:
    """Of those that sRGB has: the others have no way to it."""
    rgb = np.random.default_rng(0).integers(0, 256, (50, 50, 3), dtype=np.uint8)
    back = np.abs(to_srgb(from_srgb(rgb, icc()), icc()).astype(int) - rgb)
    assert back.mean() < 0.5
    assert back.max() <= 6  # of dark colours: 8 bits of P3 lie further apart


def test_filled_in_picture_keeps_its_pixels_and_profile(tiny_bundle: Path, tmp_path: Path) -> None:
    echoes = Echoes.load(tiny_bundle, device="cpu", threads=1)
    given = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    write_image(tmp_path / "in.png", given, icc())
    mask = np.zeros((32, 32, 3), np.uint8)
    mask[:, :8] = 255
    made = echoes.inpaint_image(tmp_path / "in.png", mask, seed=1)
    for suffix in (".png", ".webp", ".jpg"):
        path = made.save(tmp_path / f"out{suffix}")
        stored = read_stored_image(path)
        assert stored.icc == icc()
        if suffix == ".png":
            np.testing.assert_array_equal(stored.pixels[:, 8:], given[:, 8:])
    # The same question in sRGB has the same answer.
    plain = echoes.inpaint_image(read_image(tmp_path / "in.png"), mask, seed=1)
    assert plain.icc is None
    again = read_image(tmp_path / "out.png")[:, :8].astype(int)
    assert np.abs(again - plain.pixels[:, :8]).max() <= 6
    # BMP holds none.
    path = made.save(tmp_path / "out.bmp")
    np.testing.assert_array_equal(read_image(path), read_image(tmp_path / "out.png"))


def test_codes_do_not_depend_on_how_colours_are_written(tiny_bundle: Path, tmp_path: Path) -> None:
    echoes = Echoes.load(tiny_bundle, device="cpu", threads=1)
    coarse = np.random.default_rng(1).integers(40, 216, (6, 8, 3), dtype=np.uint8)
    rgb = cv2.resize(coarse, (64, 48), interpolation=cv2.INTER_CUBIC)
    write_image(tmp_path / "srgb.png", rgb)
    write_image(tmp_path / "p3.png", from_srgb(rgb, icc()), icc())
    codes = [echoes.encode_image(tmp_path / name) for name in ("srgb.png", "p3.png")]
    assert (codes[0] == codes[1]).mean() > 0.9
