"""Colour spaces of pictures, and the way from them to sRGB and back.

Read are ICC profiles by matrix and curves (ICC.1:2022, 8.3.3 and 8.4.3), which nearly all pictures
of cameras and phones have, and the code points of ITU-T H.273. Profiles by tables (of printers and
of some scanners) are not.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Pixels = NDArray[np.uint8] | NDArray[np.uint16]

_N = 1 << 16  # entries of a curve's table, one for each 16-bit value

_D50 = (0.9642, 1.0, 0.8249)
_D65 = (0.3127, 0.3290)
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)

_MAX_TAGS = 100
_MAX_CURVE_ENTRIES = 1 << 16


@dataclass(frozen=True)
class Coding:
    """Primaries and a transfer curve.

    Attributes:
        points: x and y of red, green, blue and white.
        gamma: exponent of the curve to linear light; None for sRGB's own.
    """

    points: tuple[float, ...]
    gamma: float | None


SRGB = Coding((0.64, 0.33, 0.30, 0.60, 0.15, 0.06, *_D65), None)

# By the numbers of H.273. BT.709's curve stands for sRGB's in nearly every file that names it.
_PRIMARIES = {
    1: SRGB.points,
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *_D65),
    11: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.314, 0.351),
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *_D65),
}
_GAMMAS = {1: None, 6: None, 13: None, 14: None, 15: None, 4: 2.2, 5: 2.8, 8: 1.0}

# Many programs wrote this rounded exponent for sRGB; libpng takes what is as near for the same.
_SRGB_GAMMA, _SAME_GAMMA = 2.2, 0.05


def coding_of_numbers(primaries: int, transfer: int) -> Coding | None:
    """None for sRGB and for what is not known: it is taken as sRGB, PQ and HLG among it."""
    if primaries not in _PRIMARIES or transfer not in _GAMMAS:
        return None
    coding = Coding(_PRIMARIES[primaries], _GAMMAS[transfer])
    return None if coding == SRGB else coding


def coding_of_gamma(encoding: float, points: Sequence[float]) -> Coding | None:
    """From PNG's gAMA, the exponent of the curve from linear light, and cHRM; None for sRGB."""
    y = points[1::2]
    if not 0.1 <= encoding <= 10 or min(y) <= 0:
        return None
    gamma = 1 / encoding
    is_near = abs(gamma / _SRGB_GAMMA - 1) < _SAME_GAMMA
    coding = Coding(tuple(points), None if is_near else gamma)
    same = np.allclose(coding.points, SRGB.points, atol=0.01)
    return None if same and is_near else coding


@dataclass(frozen=True)
class Profile:
    """A colour space of three channels, or of grey.

    Attributes:
        curves: (3, 65536), from 16-bit values to linear light.
        matrix: (3, 3), from linear light in it to linear light in sRGB.
    """

    curves: NDArray[np.float32]
    matrix: Matrix

    @cached_property
    def is_srgb(self) -> bool:
        """Whether no colour changes by more than one level."""
        levels = np.array([*range(0, 255, 15), 255], dtype=np.uint8)
        lattice = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
        change = self.to_srgb(lattice).astype(np.int16) - lattice
        return bool(np.abs(change).max() <= 1)

    def to_srgb(self, pixels: Pixels, white: int | None = None) -> NDArray[np.uint8]:
        """(H, W, 3) of 8 bits, or of 16 with ``white`` as the largest value, to 8-bit sRGB."""
        white = white or (255 if pixels.dtype == np.uint8 else _N - 1)
        values = np.minimum(pixels, white)
        grid = np.rint(np.arange(white + 1) * ((_N - 1) / white)).astype(np.intp)
        linear = np.stack([self.curves[i][grid][values[..., i]] for i in range(3)], axis=-1)
        linear = linear @ self.matrix.T.astype(np.float32)
        places = np.rint(np.clip(linear, 0, 1) * (_N - 1)).astype(np.intp)
        return np.asarray(_ENCODED[places])

    def from_srgb(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(..., 3) to what shows the same colours, or the nearest there are."""
        linear = _srgb_curve(pixels / 255) @ np.linalg.inv(self.matrix).T
        grid = np.linspace(0, 255, _N)
        channels = [
            np.interp(linear[..., i], np.maximum.accumulate(self.curves[i]), grid) for i in range(3)
        ]
        return np.asarray(np.rint(np.stack(channels, axis=-1)), dtype=np.uint8)


@lru_cache(maxsize=2)  # one picture's is asked for several times
def profile_of_icc(icc: bytes) -> Profile | None:
    """None if it is damaged, of another kind of pictures, or one by tables alone."""
    try:
        return _profile_of_icc(icc)
    except (struct.error, ValueError, KeyError, IndexError, np.linalg.LinAlgError):
        return None


def is_rgb_icc(icc: bytes) -> bool:
    """Whether it may stand in a file of RGB pixels; pictures in CMYK and grey have others."""
    return icc[16:20] == b"RGB " and icc[36:40] == b"acsp"


def profile_of_coding(coding: Coding) -> Profile | None:
    try:
        matrix = _to_srgb(_rgb_to_d50(coding.points))
        gamma = coding.gamma
        curve = _table(_srgb_curve if gamma is None else lambda x: x**gamma)
        return Profile(np.stack([curve] * 3), matrix)
    except np.linalg.LinAlgError:
        return None


def _profile_of_icc(icc: bytes) -> Profile | None:
    (count,) = struct.unpack_from(">I", icc, 128)
    entries = [struct.unpack_from(">4sII", icc, 132 + 12 * i) for i in range(min(count, _MAX_TAGS))]
    tags = {name: icc[at : at + size] for name, at, size in entries}
    space, connection = icc[16:20], icc[20:24]
    if icc[36:40] != b"acsp":
        return None
    if space == b"GRAY":
        return Profile(np.stack([_curve(tags[b"kTRC"])] * 3), np.eye(3))
    if space != b"RGB " or connection != b"XYZ ":
        return None
    columns = [
        [n / 65536 for n in struct.unpack_from(">3i", tags[name], 8)]
        for name in (b"rXYZ", b"gXYZ", b"bXYZ")
    ]
    curves = np.stack([_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")])
    matrix = _to_srgb(np.array(columns).T)
    np.linalg.inv(matrix)  # raises where there is no way back
    return Profile(curves, matrix)


def _curve(tag: bytes) -> NDArray[np.float32]:
    """Types curv and para (ICC.1:2022, 10.6 and 10.18)."""
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        if count > _MAX_CURVE_ENTRIES:
            raise ValueError(count)
        values = struct.unpack_from(f">{count}H", tag, 12)
        if count < 2:
            gamma = values[0] / 256 if values else 1.0
            return _table(lambda x: x**gamma)
        points = np.array(values) / 65535
        return _table(lambda x: np.interp(x, np.linspace(0, 1, count), points))
    if tag[:4] != b"para":
        raise ValueError(tag[:4])
    (kind,) = struct.unpack_from(">H", tag, 8)
    count = {0: 1, 1: 3, 2: 4, 3: 5, 4: 7}[kind]
    g, *rest = (n / 65536 for n in struct.unpack_from(f">{count}i", tag, 12))
    a, b, c, d, e, f = [*rest, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0][:6]
    if kind == 0:
        return _table(lambda x: x**g)
    if kind in (1, 2):  # power from -b / a on, and a constant
        if a <= 0:
            raise ValueError(a)
        return _table(lambda x: np.where(x >= -b / a, np.maximum(a * x + b, 0) ** g + c, c))
    return _table(lambda x: np.where(x >= d, np.maximum(a * x + b, 0) ** g + e, c * x + f))


def _table(curve: Callable[[Any], Any]) -> NDArray[np.float32]:
    with np.errstate(all="ignore"):
        values = np.asarray(curve(np.linspace(0, 1, _N)), dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("a curve without bounds")
    return np.clip(values, 0, 1).astype(np.float32)


def _srgb_curve(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4))


def _encoded() -> NDArray[np.uint8]:
    x = np.linspace(0, 1, _N)
    values = np.where(x <= 0.0031308, x * 12.92, 1.055 * x ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(values * 255), dtype=np.uint8)


def _rgb_to_d50(points: Sequence[float]) -> Matrix:
    """From linear light to XYZ as seen under D50."""
    x, y = np.array(points[0:6:2]), np.array(points[1:6:2])
    white = np.array([points[6] / points[7], 1, (1 - points[6] - points[7]) / points[7]])
    primaries = np.stack([x / y, np.ones(3), (1 - x - y) / y])
    scaled = primaries * np.linalg.solve(primaries, white)
    cones = (_BRADFORD @ np.array(_D50)) / (_BRADFORD @ white)
    return np.asarray(np.linalg.inv(_BRADFORD) @ (cones[:, None] * _BRADFORD) @ scaled)


def _to_srgb(rgb_to_d50: Matrix) -> Matrix:
    return np.asarray(np.linalg.solve(_rgb_to_d50(SRGB.points), rgb_to_d50))


_ENCODED = _encoded()
