"""Recordings of which libsndfile would read a part alone and not say so."""

from __future__ import annotations

import mmap
import re

from echoes_rt.io.source_file import MemoryFile, SourceFile

Data = bytes | mmap.mmap

# Kilobits a second by index, of MPEG-1 layers I, II, III and MPEG-2 layers I, II and III (ISO
# 11172-3 and 13818-3).
_BITRATES = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = (44_100, 48_000, 32_000)

_MPEG_SYNC = re.compile(rb"\xff[\xe2-\xff]")
_OGG_FIRST_PAGE = re.compile(rb"OggS\x00[\x02\x06]")
_OGG_LATER_PAGE = re.compile(rb"OggS\x00[\x00\x01\x04\x05]")
_FLAC_START = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")

# What encoders put before and after a recording, which decoders take away, is shorter.
_MPEG_PADDING_FRAMES = 4

# By so much frames of one bit rate differ, of layer I.
_MPEG_PADDING_BYTES = 4

# Three hours of frames; what is no sound may look like the beginning of one at every byte.
_MAX_ATTEMPTS = 500_000


def why_miscounted(source: SourceFile) -> str | None:
    """The end of a sentence about the file, or None if libsndfile can be believed.

    Raises:
        OSError: if the file cannot be read.
    """
    if isinstance(source, MemoryFile):
        return _reason(source.data)
    with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _reason(data)


def _reason(data: Data) -> str | None:
    head = data[:12]
    if head.startswith(b"OggS"):
        later = _OGG_LATER_PAGE.search(data)
        is_chained = later and _OGG_FIRST_PAGE.search(data, later.start())
        return "holds several Ogg streams, one after another" if is_chained else None
    if head.startswith(b"fLaC"):
        return _flac(data)
    if head.startswith(b"RIFF"):
        end = 8 + int.from_bytes(head[4:8], "little")
        return "holds several WAV files" if data[end : end + 4] == b"RIFF" else None
    return _mpeg(data) if head.startswith(b"ID3") or _MPEG_SYNC.match(head) else None


def _flac(data: Data) -> str | None:
    if not int.from_bytes(data[21:26], "big") & 0xFFFFFFFFF:
        return "does not say how long it is, as FLAC written to a pipe"
    return "holds several FLAC files" if _FLAC_START.search(data, 4) else None


def _mpeg(data: Data) -> str | None:
    """MP3 does not say its length; what its first frame may say is compared with all frames."""
    said, size, is_even = None, 0, True
    frames = at = 0
    for _ in range(_MAX_ATTEMPTS):
        at = _after_tag(data, at)
        sync = _MPEG_SYNC.search(data, at)
        if sync is None:
            break
        at = sync.start()
        length = _frame_bytes(data[at : at + 4])
        if length is None or (at + length < len(data) and not _goes_on(data, at + length)):
            at += 1
            continue
        if not frames:
            said, size = _said_frames(data[at : at + length]), length
        is_even = is_even and abs(length - size) <= _MPEG_PADDING_BYTES
        frames += 1
        at += length
    else:
        return "is a damaged MP3"
    if said is None:
        # At an even rate the length follows from the size of the file.
        return None if is_even else "is an MP3 of varying bit rate that does not say its length"
    if frames > said + _MPEG_PADDING_FRAMES:
        return "holds more than its beginning says, as joined MP3 files"
    return None


def _goes_on(data: Data, at: int) -> bool:
    """Whether a frame or a tag begins there, so that what came before was a frame."""
    return (
        data[at : at + 3] in (b"ID3", b"TAG", b"APE") or _frame_bytes(data[at : at + 4]) is not None
    )


def _after_tag(data: Data, at: int) -> int:
    while data[at : at + 3] == b"ID3" and len(data) >= at + 10:
        size = data[at + 6 : at + 10]
        at += 10 + (size[0] << 21 | size[1] << 14 | size[2] << 7 | size[3])
    return at


def _frame_bytes(header: bytes) -> int | None:
    """Length of the frame that begins so, None if none does."""
    if len(header) < 4 or header[0] != 0xFF or header[1] < 0xE2:
        return None
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    bitrate, rate = header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or layer == 4 or bitrate in (0, 15) or rate == 3:
        return None
    is_first = version == 3
    kbits = _BITRATES[1 if is_first else 2, layer if is_first else min(layer, 2)][bitrate - 1]
    hertz = _RATES[rate] >> (0 if is_first else 1 if version == 2 else 2)
    padding = header[2] >> 1 & 1
    if layer == 1:
        return (12_000 * kbits // hertz + padding) * 4
    return (144_000 if is_first or layer == 2 else 72_000) * kbits // hertz + padding


def _said_frames(frame: bytes) -> int | None:
    """The count in a Xing, Info or VBRI header."""
    for name in (b"Xing", b"Info"):
        at = frame.find(name, 4, 64)
        if at >= 0 and frame[at + 7] & 1:
            return int.from_bytes(frame[at + 8 : at + 12], "big")
    if frame[36:40] == b"VBRI":
        return int.from_bytes(frame[50:54], "big")
    return None
