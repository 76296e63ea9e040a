"""JPEG (ITU T.81), with the colour profile of ICC.1, annex B.4."""

import re
import struct

from echoes_rt.io.picture_headers.header import (
    DamagedPictureError,
    PictureHeader,
    exif_orientation,
    parts,
)

# A marker is 0xff and a code, and may have more 0xff before it; 0xff00 is a data byte, 0xffd0-d7
# restart the entropy coder.
_MARKER = re.compile(rb"\xff([^\x00\xff])")
_SCAN_END = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
_START, _END, _SCAN, _APP1, _APP2 = 0xD8, 0xD9, 0xDA, 0xE1, 0xE2
# SOF0 to SOF15 without the tables DHT, JPG and DAC between them.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_ICC = b"ICC_PROFILE\x00"

# Encoders make 10 or so; a scan costs a pass over all pixels even if it holds nothing.
_MAX_SCANS = 100
_MAX_SCANNED_PIXELS = 2_000_000_000


def read_jpeg(data: bytes) -> PictureHeader:
    frame: tuple[int, bytes] | None = None
    orientation, scans, at = 1, 0, 2
    icc: dict[int, bytes] = {}
    for _ in parts():
        marker = _MARKER.search(data, at)
        if marker is None:
            raise DamagedPictureError("is truncated")
        code = marker[1][0]
        at = marker.end()
        if code == _END:
            break
        if code == 0x01 or 0xD0 <= code <= _START:  # markers without a payload
            continue
        (length,) = struct.unpack_from(">H", data, at)
        payload = data[at + 2 : at + length]
        if len(payload) < length - 2 or length < 2:
            raise DamagedPictureError("is truncated")
        if code in _FRAMES:
            if frame is not None:  # decoders differ in which they go by
                raise DamagedPictureError("is damaged: it says its size twice")
            frame = code, payload
        elif code == _APP1 and payload.startswith(b"Exif\x00\x00"):
            orientation = exif_orientation(payload[6:])
        elif code == _APP2 and payload.startswith(_ICC) and len(payload) > 14:
            icc[payload[12]] = payload[14:]
        at += length
        if code == _SCAN:
            scans += 1
            end = _SCAN_END.search(data, at)
            if end is None:
                raise DamagedPictureError("is truncated")
            at = end.start()
    if frame is None or not scans:
        raise DamagedPictureError("has no picture in it")
    code, payload = frame
    height, width, components = struct.unpack_from(">HHB", payload, 1)
    if scans > _MAX_SCANS or scans * width * height > _MAX_SCANNED_PIXELS:
        raise DamagedPictureError(f"has {scans} scans of {width} x {height} pixels, too many")
    is_buffered = code in _PROGRESSIVE or scans > 1
    stored = 2 * _samples(payload, width * height, components) if is_buffered else 0
    decoded = width * height * (1 if components == 1 else 3)
    return PictureHeader(
        format="JPEG",
        width=width,
        height=height,
        decoded_bytes=decoded + max(stored, decoded),
        orientation=orientation,
        icc=b"".join(icc[number] for number in sorted(icc)) or None,
    )


def _samples(frame: bytes, pixels: int, components: int) -> int:
    """Of all components, of which some may be stored at a part of the resolution."""
    factors = [frame[7 + 3 * i] for i in range(components)]
    areas = [(factor >> 4) * (factor & 15) for factor in factors]
    return pixels * sum(areas) // max(1, max(areas))
