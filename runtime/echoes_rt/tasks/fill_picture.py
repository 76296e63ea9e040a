"""Filling in a part of a picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from echoes_rt.backends.lifetime import at_work
from echoes_rt.decode.plan import IntArray
from echoes_rt.errors import InputError
from echoes_rt.io.image import RgbArray, crop_box
from echoes_rt.io.stored_picture import StoredPicture
from echoes_rt.results import Picture
from echoes_rt.tasks.call import DECODERS, ENCODERS, Call

FADE_SHARE = 1 / 64
"""Width of the soft edge, as a share of the crop's side: outside of the mask, all is kept."""


def inpaint_picture(
    call: Call, stored: StoredPicture, mask: NDArray[np.bool_], audio: IntArray | None
) -> Picture:
    """Makes a picture anew where (H, W) ``mask`` is True, in its own colours.

    The model sees an sRGB crop of its own aspect ratio, as large as the picture allows and centred
    on the mask; what it makes is resized to that crop.
    """
    original = stored.to_srgb()
    if mask.shape != original.shape[:2]:
        raise InputError(
            f"the mask must be as large as the picture, {original.shape[1]} x "
            f"{original.shape[0]}, got {mask.shape[1]} x {mask.shape[0]}"
        )
    if not mask.any():
        raise InputError("the mask is empty: nothing is to be filled in; paint that part white")
    spec, grid = call.model.manifest.image, call.model.manifest.tokens.image
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    centre = ((rows[0] + rows[-1] + 1) // 2, (columns[0] + columns[-1] + 1) // 2)
    top, left, height, width = crop_box(original, spec, centre)
    box = (slice(top, top + height), slice(left, left + width))
    if mask[box].sum() < mask.sum():
        raise InputError(
            f"the mask must fit into {width} x {height} pixels, the largest part of this picture "
            f"that the model sees at once, got one of {columns[-1] - columns[0] + 1} x "
            f"{rows[-1] - rows[0] + 1}"
        )
    crop = np.ascontiguousarray(original[box])
    call.load(*ENCODERS["image"], *DECODERS["image"], target="image")
    with call.clock.stage("encode_image"):
        codes = call.model.encode_image(crop)
    hidden = _touched(mask[box], grid.height, grid.width).reshape(1, -1)
    tokens = np.where(hidden, np.int32(grid.mask_token), codes)
    sampling = call.sampling("image", tokens)
    codes = call.decode("image", tokens, audio, [call.seed])
    made = call.render("image", codes, [call.seed])[0]
    pixels = original.copy()
    pixels[box] = _blended(crop, made, mask[box])
    return Picture(
        pixels=stored.patched(pixels, mask),
        icc=stored.icc,
        codes=codes[0],
        sampling=sampling,
        **call.origin(),
    )


def _touched(mask: NDArray[np.bool_], rows: int, columns: int) -> NDArray[np.bool_]:
    """(rows, columns), True for each patch of which (H, W) ``mask`` covers a pixel."""
    height, width = mask.shape
    touched = np.zeros((rows, columns), dtype=np.bool_)
    y, x = np.nonzero(mask)
    touched[y * rows // height, x * columns // width] = True
    return touched


@at_work()
def _blended(crop: RgbArray, made: RgbArray, mask: NDArray[np.bool_]) -> RgbArray:
    """``made``, resized, where ``mask`` is True, softened inwards from its edge; else ``crop``."""
    made = np.asarray(cv2.resize(made, mask.shape[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)
    fade = max(1.0, FADE_SHARE * max(mask.shape))
    # The border of the crop is no edge of the mask.
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    depth = fade if mask.all() else depth
    share = np.clip(np.asarray(depth, dtype=np.float32) / fade, 0, 1)
    share = np.broadcast_to(share, mask.shape)[..., None]
    mixed = np.rint(crop * (1 - share) + made * share)
    return np.asarray(np.where(mask[..., None], mixed, crop), dtype=np.uint8)
