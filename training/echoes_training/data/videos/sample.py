"""One clip as the files of a shard: frames as JPEG, sound as FLAC, the rest as JSON."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import soundfile
from numpy.typing import NDArray

from echoes_rt.format.image import ImageSpec
from echoes_rt.io.image import RgbArray, resize
from echoes_training.data.videos.decode import ClipError, Samples, read_frames, read_sound
from echoes_training.data.videos.table import VideoClip

JPEG_QUALITY = 90
SILENT_PEAK = 10 ** (-60 / 20)
"""A clip whose loudest sample is below -60 dB of full scale holds nothing to learn."""


@dataclass(frozen=True, kw_only=True)
class ClipForm:
    """What every clip of a set of shards is.

    Attributes:
        n_frames: pictures of a clip, each from the middle of an equal part of it.
        seconds: longest sound; one that ends sooner is kept as short as it is.
        shortest_s: below this a clip is not used.
    """

    n_frames: int
    height: int
    width: int
    sample_rate: int
    seconds: float
    shortest_s: float


@dataclass(frozen=True, kw_only=True)
class Extract:
    """The files of a clip by their suffix, or why there are none."""

    files: dict[str, bytes]
    fault: ClipError | None = None


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A clip read back: frames (H, W, 3) RGB with their times in seconds, and samples (S,)."""

    frames: list[RgbArray]
    times: list[float]
    samples: Samples


def extract(clip: VideoClip, form: ClipForm) -> Extract:
    try:
        return Extract(files=_files(clip, form))
    except ClipError as fault:
        return Extract(files={}, fault=fault)


def _files(clip: VideoClip, form: ClipForm) -> dict[str, bytes]:
    if clip.path is None or not clip.path.is_file():
        raise ClipError("missing", "the folder has no file of it")
    samples = read_sound(clip.path, clip.offset, clip.seconds, form.sample_rate)
    length_s = len(samples) / form.sample_rate
    if length_s < form.shortest_s:
        raise ClipError("too short", f"the sound lasts {length_s:.2f} s")
    if np.abs(samples).max() < SILENT_PEAK:
        raise ClipError("silent", "no sample is louder than -60 dB")
    times = [(i + 0.5) * length_s / form.n_frames for i in range(form.n_frames)]
    slack_s = form.seconds - form.shortest_s
    frames = read_frames(clip.path, clip.offset, times, slack_s)
    return files_of(clip, frames, times, samples, form)


def files_of(
    clip: VideoClip, frames: list[RgbArray], times: list[float], samples: Samples, form: ClipForm
) -> dict[str, bytes]:
    """The files of a clip by suffix; ``frames`` are (H, W, 3) BGR of any size."""
    about = {
        "video": clip.video,
        "start": clip.start,
        "seconds": round(len(samples) / form.sample_rate, 3),
        "label": clip.label,
        "split": clip.split,
        "times": [round(time, 3) for time in times],
    }
    size = ImageSpec(height=form.height, width=form.width)
    pictures = {f"{i}.jpg": _jpeg(resize(frame, size)) for i, frame in enumerate(frames)}
    return {
        "json": json.dumps(about, ensure_ascii=False).encode(),
        **pictures,
        "flac": _flac(samples, form.sample_rate),
    }


def read_sample(files: Mapping[str, bytes]) -> Sample:
    """Decodes the files of a clip; raises KeyError or ValueError if they are not such files."""
    times = json.loads(files["json"])["times"]
    frames = [_pixels(files[f"{i}.jpg"]) for i in range(len(times))]
    samples, _ = soundfile.read(io.BytesIO(files["flac"]), dtype="float32")
    return Sample(frames=frames, times=times, samples=samples)


def _jpeg(pixels: RgbArray) -> bytes:
    done, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    assert done
    return data.tobytes()


def _pixels(jpeg: bytes) -> RgbArray:
    bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ValueError("a frame is not a JPEG that OpenCV can decode")
    return np.ascontiguousarray(bgr[:, :, ::-1])


def _flac(samples: NDArray[np.float32], sample_rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, sample_rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()
