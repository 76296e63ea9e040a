"""Videos whose content is known: made here, since none is in the repository."""

from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 44_100
FRAME_RATE = 30
X264 = {"preset": "veryfast"}


def write_video(
    path: Path,
    frames: NDArray[np.uint8] | None,
    samples: NDArray[np.float32] | None,
    *,
    frame_rate: int = FRAME_RATE,
    sample_rate: int = SAMPLE_RATE,
) -> None:
    """H.264 of (T, H, W, 3) RGB ``frames``, AAC of (S,) ``samples``; None leaves a track out."""
    with av.open(str(path), "w") as container:
        video = sound = None
        if frames is not None:
            video = container.add_stream("libx264", rate=frame_rate, options=X264)
            video.height, video.width = frames.shape[1:3]
            video.pix_fmt = "yuv420p"
        if samples is not None:
            sound = container.add_stream("aac", rate=sample_rate, layout="mono")
        if video is not None and frames is not None:
            for pixels in frames:
                container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(video.encode(None))
        if sound is not None and samples is not None:
            audio = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
            audio.sample_rate = sample_rate
            audio.pts = 0  # else players do not learn that the encoder begins with silence
            container.mux(sound.encode(audio))
            container.mux(sound.encode(None))


def write_clip(path: Path, seconds: float, rng: np.random.Generator) -> None:
    """640 x 360, as most of VGGSound: a camera that pans over a soft texture; noise that swells."""
    world = cv2.resize(rng.integers(0, 255, (90, 160, 3), dtype=np.uint8), (1280, 720))
    n_frames = round(seconds * FRAME_RATE)
    x = (320 + 320 * np.sin(np.linspace(0, 6, n_frames))).astype(int)
    y = (180 + 180 * np.cos(np.linspace(0, 4, n_frames))).astype(int)
    frames = np.stack([world[b : b + 360, a : a + 640] for a, b in zip(x, y, strict=True)])
    n_samples = round(seconds * SAMPLE_RATE)
    swell = 0.1 + 0.1 * np.sin(np.arange(n_samples) / 5000)
    write_video(path, frames, (swell * rng.standard_normal(n_samples)).astype(np.float32))
