"""Filling in and going on where the rest stays as the file has it: its depth and its colours.

The tasks see float32 and sRGB; of what they make only what is new is taken.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from echoes_rt.decode.plan import IntArray
from echoes_rt.errors import InputError
from echoes_rt.io.audio import Recording
from echoes_rt.io.image import RgbArray, read_stored_image
from echoes_rt.io.sound_file import Samples
from echoes_rt.io.source_file import SourceFile
from echoes_rt.io.stored_picture import StoredPicture
from echoes_rt.results import Picture, Sound
from echoes_rt.tasks import fill_picture, fill_sound
from echoes_rt.tasks.call import Call


def inpaint(
    call: Call, recording: Recording, start_s: float, stop_s: float, image: IntArray | None
) -> Sound:
    """Makes [start_s, stop_s) anew in the recording's own array, and leaves the rest."""
    samples, rate = recording.samples, recording.sample_rate
    duration_s = len(samples) / rate
    if not 0 <= start_s < stop_s <= duration_s + 1e-6:
        raise InputError(
            f"the part to fill in must lie within the {duration_s:.2f} s of the sound, got "
            f"{start_s:g} s to {stop_s:g} s"
        )
    # The model sees a clip; whole seconds, because all rates have samples there.
    seen_s = call.model.manifest.mel.duration_s + 1
    begin_s = max(0, math.floor(start_s - seen_s))
    part = samples[begin_s * rate : math.ceil(stop_s + seen_s) * rate]
    given = part.astype(np.float32)
    made = fill_sound.inpaint(call, given, rate, start_s - begin_s, stop_s - begin_s, image)
    is_new = made.samples != given
    part[is_new] = made.samples[is_new]
    return replace(made, samples=samples, depth=recording.depth)


def extend(call: Call, recording: Recording, more_s: float, image: IntArray | None) -> Sound:
    """The recording and ``more_s`` seconds that follow from its last clip."""
    samples, rate = recording.samples, recording.sample_rate
    tail = samples[-math.ceil(call.model.manifest.mel.duration_s * rate) :].astype(np.float32)
    made = fill_sound.extend(call, tail, rate, more_s, image)
    longer = np.concatenate([samples, made.samples[len(tail) :]])
    return replace(made, samples=cast(Samples, longer), depth=recording.depth)


def inpaint_picture(
    call: Call, image: SourceFile | RgbArray, mask: NDArray[np.bool_], audio: IntArray | None
) -> Picture:
    """Makes a picture anew where (H, W) ``mask`` is true, in its own colours."""
    if isinstance(image, np.ndarray):
        stored = StoredPicture(pixels=image, icc=None)
    else:
        stored = read_stored_image(image)
    made = fill_picture.inpaint_picture(call, stored.to_srgb(), mask, audio)
    return replace(made, pixels=stored.patched(made.pixels, mask), icc=stored.icc)
