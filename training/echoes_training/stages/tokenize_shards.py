"""Turns shards of videos into codes: each clip's frames and sound become one pair."""

import hashlib
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor
from tqdm import tqdm

from echoes_rt.errors import InputError
from echoes_rt.io.output_file import written
from echoes_training.data import audio as audio_data
from echoes_training.data import image as image_data
from echoes_training.data.tokens import TokenCache, TokenTable
from echoes_training.data.videos.sample import Sample, read_sample
from echoes_training.data.videos.shards import (
    Entry,
    ShardSet,
    lists,
    read_list,
    read_set,
    read_tar,
)
from echoes_training.data.videos.workers import in_order
from echoes_training.device import pick_device
from echoes_training.models.codec import Codec
from echoes_training.models.mel import MelSpectrogram
from echoes_training.stages.codecs import TrainedCodec

logger = logging.getLogger(__name__)

CLIPS_AT_ONCE = 8
AHEAD = 4 * CLIPS_AT_ONCE
"""Clips that are decoded before they are encoded: this bounds the memory."""

Arrays = dict[str, NDArray[np.generic]]


def tokenize_shards(folder: Path, image: TrainedCodec, mel: TrainedCodec, out: Path) -> None:
    """Encodes every clip of the shards in ``folder`` and writes the token cache ``out``.

    The codes of each shard are kept in ``out``.parts until the cache is whole, so that a run after
    a kill goes on with the shard that was under way.

    Raises:
        InputError: if shards are missing or do not fit the codecs.
    """
    shards = read_set(folder)
    clips = _whole_shards(folder, shards)
    encoder = Encoder(image, mel)
    encoder.check(folder, shards)
    made_from = encoder.digest(shards)
    parts = out.with_name(f"{out.name}.parts")
    files = {name: parts / f"{name}.safetensors" for name in clips}
    with (
        tqdm(total=sum(map(len, clips.values())), desc="clips", unit="clip", smoothing=0.01) as bar,
        ThreadPoolExecutor() as pool,
    ):
        for name, part in files.items():
            if _is_made_from(part, made_from):
                bar.update(len(clips[name]))
            else:
                tar = folder / f"{name}.tar"
                arrays = encoder.encode(_samples(tar, pool, bar.update))
                _check_count(tar, len(arrays["audio.codes"]), len(clips[name]))
                with written(part) as partial:
                    save_file(arrays, partial, metadata={"made_from": made_from})
    # Videos have no other split that is not trained on.
    validation = [name.startswith("heldout") for name in clips]
    pairs = [
        f"pair:{entry.video}@{entry.start:g}" for entries in clips.values() for entry in entries
    ]
    _join(list(files.values()), validation, pairs, encoder, out)
    shutil.rmtree(parts)


class Encoder:
    """Both codecs on one device."""

    def __init__(self, image: TrainedCodec, mel: TrainedCodec) -> None:
        self.device = pick_device("auto")
        self.image_spec, self.mel_spec = image.image, mel.mel
        self.image, self.audio = image.model.to(self.device), mel.model.to(self.device)
        self.mel = MelSpectrogram(self.mel_spec).to(self.device)

    def check(self, folder: Path, shards: ShardSet) -> None:
        form, image, mel = shards.form, self.image_spec, self.mel_spec
        held = f"{form.height} x {form.width} pixels, {form.sample_rate} Hz, {form.seconds:g} s"
        need = f"{image.height} x {image.width} pixels, {mel.sample_rate} Hz, {mel.duration_s:g} s"
        same = (form.height, form.width, form.sample_rate)
        if same != (image.height, image.width, mel.sample_rate) or form.seconds < mel.duration_s:
            raise InputError(
                f"the shards of {folder} hold {held}, the codecs read {need}; prepare them with "
                "the preset of the codecs"
            )

    def digest(self, shards: ShardSet) -> str:
        """Changes with the clips, their form and the weights of the codecs."""
        digest = hashlib.sha256(repr(shards).encode())
        for codec in (self.image, self.audio):
            for tensor in codec.state_dict().values():
                digest.update(tensor.cpu().numpy().tobytes())
        return digest.hexdigest()

    @torch.no_grad()
    def encode(self, samples: Iterator[Sample]) -> Arrays:
        """Codes of both media, and of each picture the number of its clip among ``samples``."""
        images: list[NDArray[np.int16]] = []
        sounds: list[NDArray[np.int16]] = []
        clips: list[int] = []
        while batch := list(islice(samples, CLIPS_AT_ONCE)):
            pictures = []
            for number, sample in enumerate(batch, start=sum(map(len, sounds))):
                frames = self._heard_frames(sample)
                pictures += frames
                clips += [number] * len(frames)
            x = image_data.to_batch(pictures, self.image_spec)
            mels = self.mel(audio_data.to_batch(self._windows(batch)).to(self.device))[:, None]
            images.append(_codes(self.image, x.to(self.device)))
            sounds.append(_codes(self.audio, mels))
        return {
            "image.codes": _stacked(images),
            "image.clip": np.array(clips, np.int32),
            "audio.codes": _stacked(sounds),
        }

    def _heard_frames(self, sample: Sample) -> list[image_data.Pixels]:
        """The frames that are shown while the codec's window of the sound is heard."""
        window_s = self.mel_spec.duration_s
        times = zip(sample.frames, sample.times, strict=True)
        return [frame for frame, time in times if time < window_s] or sample.frames[:1]

    def _windows(self, batch: Sequence[Sample]) -> list[audio_data.Samples]:
        """The beginning of each sound, silence after its end."""
        n_samples = self.mel_spec.n_samples
        cut = [sample.samples[:n_samples] for sample in batch]
        return [np.pad(samples, (0, n_samples - len(samples))) for samples in cut]


def _codes(codec: Codec, x: Tensor) -> NDArray[np.int16]:
    return codec.encode(x).flatten(1).cpu().numpy().astype(np.int16)


def _stacked(codes: list[NDArray[np.int16]]) -> NDArray[np.int16]:
    return np.concatenate(codes) if codes else np.zeros((0, 0), np.int16)


def _whole_shards(folder: Path, shards: ShardSet) -> dict[str, list[Entry]]:
    """Name and usable clips of each shard, if the folder has them all."""
    entries = {path.stem: read_list(path) for path in lists(folder)}
    n_clips = sum(map(len, entries.values()))
    if n_clips != shards.n_clips:
        raise InputError(
            f"{folder} holds {n_clips} of {shards.n_clips} clips; let `echoes-train prepare "
            "videos` finish"
        )
    return {name: [e for e in some if e.reason is None] for name, some in entries.items()}


def _samples(tar: Path, pool: Executor, advance: Callable[[int], object]) -> Iterator[Sample]:
    """The clips of a shard, decoded in threads; OpenCV and libsndfile let others run."""
    files = (files for _, files in read_tar(tar))
    try:
        for sample in in_order(pool, read_sample, files, AHEAD):
            advance(1)
            yield sample
    except (KeyError, ValueError, RuntimeError) as error:
        raise InputError(f"the shard {tar} holds a clip that cannot be read: {error}") from error


def _check_count(tar: Path, found: int, expected: int) -> None:
    if found != expected:
        raise InputError(
            f"the shard {tar} holds {found} clips, its list {expected}; remove both files and run "
            "`echoes-train prepare videos` again"
        )


def _is_made_from(part: Path, made_from: str) -> bool:
    try:
        with safe_open(part, framework="numpy") as file:
            return (file.metadata() or {}).get("made_from") == made_from
    except (OSError, SafetensorError):
        return False


def _join(
    files: Sequence[Path], validation: Sequence[bool], pairs: list[str], encoder: Encoder, out: Path
) -> None:
    """Writes the cache from its parts; the large arrays stay in files, not in memory."""
    if not pairs:
        raise InputError("the shards hold no clip that can be used; see their skipped.csv")
    image_clips = [_tensor(file, "image.clip") for file in files]
    n_images = [len(clips) for clips in image_clips]
    n_sounds = [_n_rows(file, "audio.codes") for file in files]
    first_pairs = np.cumsum([0, *n_sounds[:-1]])
    groups = [clips + first for clips, first in zip(image_clips, first_pairs, strict=True)]
    TokenCache(
        image=TokenTable(
            codes=_joined(files, "image.codes"),
            group=np.concatenate(groups).astype(np.int32),
            validation=np.repeat(validation, n_images),
        ),
        audio=TokenTable(
            codes=_joined(files, "audio.codes"),
            group=np.arange(len(pairs), dtype=np.int32),
            validation=np.repeat(validation, n_sounds),
        ),
        image_codebook=encoder.image.codebook.cpu().numpy(),
        audio_codebook=encoder.audio.codebook.cpu().numpy(),
        groups=pairs,
    ).save(out)
    logger.info("%d pictures and %d sounds of as many clips", sum(n_images), len(pairs))


def _joined(files: Sequence[Path], name: str) -> NDArray[np.int16]:
    """The rows of all parts, in a memory-mapped file beside them."""
    filled = [file for file in files if _n_rows(file, name)]
    parts = (_tensor(file, name) for file in filled)
    width = _tensor(filled[0], name).shape[1]
    shape = (sum(_n_rows(file, name) for file in filled), width)
    table = np.lib.format.open_memmap(
        filled[0].with_name(f"{name}.npy"), mode="w+", dtype=np.int16, shape=shape
    )
    at = 0
    for part in parts:
        table[at : at + len(part)] = part
        at += len(part)
    return table


def _n_rows(file: Path, name: str) -> int:
    with safe_open(file, framework="numpy") as part:
        return int(part.get_slice(name).get_shape()[0])


def _tensor(file: Path, name: str) -> NDArray[np.generic]:
    with safe_open(file, framework="numpy") as part:
        return np.asarray(part.get_tensor(name))
