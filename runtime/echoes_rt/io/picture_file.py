"""Picture files: of which format, how large, and what Pillow decodes of them."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from echoes_rt.errors import BackendError, InputError
from echoes_rt.install import install_line
from echoes_rt.io.source_file import SourceFile

FORMATS = "JPEG, PNG, WebP, BMP, GIF, TIFF, AVIF or HEIC"

MAX_HELD_BYTES = 750_000_000
"""The file and what is held while it is decoded; with all else that is below 1 GB."""

Opener = Callable[[BytesIO], ImageFile.ImageFile]

# Called by name: Image.open warns of sizes that are allowed here, keeps to itself what is wrong
# with a file, and reads HEIC only where all of the process does.
_OPENERS: dict[str, Opener] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
}

_SIGNATURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"BM": "BMP",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"II+\x00": "TIFF",
    b"MM\x00+": "TIFF",
}
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})

# Bytes a pixel, measured: the decoder's own and Pillow's, or Pillow's four, the RGB made of them
# and that turned upright. Transparency of AVIF and HEIC is a second picture.
_HELD_BYTES = {"TIFF": 12, "WebP": 17, "AVIF": 17, "HEIC": 17}
_HELD_BYTES_OF_OTHERS = 10

# Encoders make 10 or so; a scan costs a pass over all pixels even if it holds nothing.
_SCAN = b"\xff\xda"
_MAX_SCANS = 100
_MAX_SCANNED_PIXELS = 2_000_000_000


def format_of(data: bytes) -> str | None:
    """By how a file begins, of which a kilobyte is enough; None if it is none that is read."""
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WebP"
    if data[4:8] == b"ftyp":
        end = min(int.from_bytes(data[:4], "big"), 1024)
        brands = {data[8:12]} | {data[at : at + 4] for at in range(16, end, 4)}
        return "AVIF" if brands & _AVIF_BRANDS else "HEIC" if brands & _HEIC_BRANDS else None
    return next((name for begin, name in _SIGNATURES.items() if data.startswith(begin)), None)


def decoded(file: SourceFile, data: bytes) -> Image.Image:
    """The first picture of a file, loaded, not turned.

    Args:
        file: for messages.
        data: its content.

    Raises:
        InputError: naming the file and what is wrong with it.
        BackendError: if this installation lacks the format's decoder.
    """
    name = format_of(data)
    if name is None:
        raise InputError(f"{file} is not a picture that can be read; give a {FORMATS} file")
    if name == "PNG" and data[12:16] == b"CgBI":
        raise InputError(
            f"picture {file} is a PNG in Apple's own form, CgBI; convert it by "
            "xcrun pngcrush -revert-iphone-optimizations"
        )
    opener = _heic_opener() if name == "HEIC" else _OPENERS[name]
    try:
        picture = opener(BytesIO(data))
        _check_size(file, data, name, picture)
        if name == "PNG":
            _prepare_png(opener, data, picture)
        picture.load()
        if name == "BMP" and picture.mode == "RGBA" and not picture.getchannel("A").getbbox():
            return picture.convert("RGB")  # written by what does not know of alpha
    except (InputError, MemoryError):
        raise
    except Exception as error:  # Pillow's parsers of hostile bytes raise nearly everything
        raise InputError(
            f"picture {file} is truncated or damaged: {error}; give a complete {name} file"
        ) from error
    return picture


def _heic_opener() -> Opener:
    try:
        from pi_heif import HeifImageFile
    except ImportError as error:
        raise BackendError(f"HEIC needs libheif; {install_line('heic')}") from error
    opener: Opener = HeifImageFile
    return opener


def _check_size(file: SourceFile, data: bytes, name: str, picture: Image.Image) -> None:
    width, height = picture.size
    per_pixel = _HELD_BYTES.get(name, _HELD_BYTES_OF_OTHERS)
    if name in ("AVIF", "HEIC") and picture.mode.endswith(("A", "a")):
        per_pixel *= 2
    held = len(data) + width * height * per_pixel
    if held > MAX_HELD_BYTES:
        raise InputError(
            f"picture {file} of {width} x {height} pixels would take {held // 1_000_000} MB to "
            f"decode, at most {MAX_HELD_BYTES // 1_000_000} are allowed; make it smaller"
        )
    scans = data.count(_SCAN) if name == "JPEG" else 0  # a few more with thumbnails
    if scans > _MAX_SCANS or scans * width * height > _MAX_SCANNED_PIXELS:
        raise InputError(
            f"picture {file} has {scans} scans of {width} x {height} pixels, too many; give a "
            "JPEG of fewer"
        )


def _prepare_png(opener: Opener, data: bytes, picture: ImageFile.ImageFile) -> None:
    opener(BytesIO(data)).verify()  # loading looks at no checksum of the pixels
    # The transparent value is as stored, and the pixels are not.
    key, coding = picture.info.get("transparency"), picture.tile[0].args
    if key is not None and coding in ("L;2", "L;4"):
        picture.info["transparency"] = key * (85 if coding == "L;2" else 17) & 255
    elif key is not None and coding == "RGB;16B":
        picture.info["transparency"] = tuple(value >> 8 for value in key)
