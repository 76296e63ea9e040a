"""A bundle, its judges, and the held-out media they meet on, in batches, by the runtime."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from echoes_rt import BundleError, Echoes
from echoes_rt.format.manifest import MANIFEST_NAME
from echoes_rt.format.sampling import Sampling, SamplingOptions
from echoes_rt.io.image import RgbArray
from echoes_training.data.audio import AudioStore, Samples
from echoes_training.data.image import ImageStore
from echoes_training.data.index import Clip, Split, read_index
from echoes_training.evaluate.dials import PARTS
from echoes_training.evaluate.ear import Ear
from echoes_training.evaluate.judge import (
    ClassifierConfig,
    Judge,
    PictureClassifierConfig,
    PictureJudge,
    cached_judge,
    cached_picture_judge,
)
from echoes_training.evaluate.media import (
    drawn,
    labelled_pictures,
    labelled_sounds,
    labels_of,
)
from echoes_training.evaluate.scores import Heard, Numbers, hear

T = TypeVar("T")

Codes = NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One thing to make: the row whose picture or sound it is made from, and a seed."""

    clip: Clip
    seed: int


def batches(rows: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


def jobs_of(clips: Sequence[Clip], n_seeds: int, first_seed: int) -> list[Job]:
    """``n_seeds`` jobs of each row; no two have the same seed."""
    return [
        Job(clip=clip, seed=first_seed + i * n_seeds + k)
        for i, clip in enumerate(clips)
        for k in range(n_seeds)
    ]


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """What is judged, and how much of it; the same settings give the same report.

    Attributes:
        parts: see ``PARTS``.
        split: what is judged; choices are made on ``validation``, ``heldout`` is for the report.
        pictures_per_label: held-out pictures that sounds are made of, ``n_seeds`` of each.
        sounds_per_label: held-out sounds that pictures are made of and that are filled in.
        n_seeds: of each picture and each sound.
        n_pairs: pictures and sounds made from nothing.
        varied_per_label: pictures of which ten sounds are compared with each other.
        ranked_per_label: pictures, and sounds, of which eight results are ranked.
        n_streams: long sounds.
    """

    parts: tuple[str, ...] = PARTS
    split: Split = "heldout"
    pictures_per_label: int = 20
    sounds_per_label: int = 8
    n_seeds: int = 3
    n_pairs: int = 108
    varied_per_label: int = 1
    ranked_per_label: int = 3
    n_streams: int = 6
    seed: int = 0
    batch_size: int = 8
    threads: int | None = None
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    picture_classifier: PictureClassifierConfig = field(default_factory=PictureClassifierConfig)


@dataclass
class Evaluation:
    """A bundle, its judges, and the held-out media they meet on.

    Raises:
        InputError: if a dial is out of range, or the labels are too few or strange to the ear.
    """

    echoes: Echoes
    clips: Sequence[Clip]
    cache: Path
    options: SamplingOptions
    config: EvaluateConfig
    ear: Ear | None = None

    def __post_init__(self) -> None:
        clips, split = self.clips, self.config.split
        self.labels = labels_of(clips, split)
        if self.ear is not None:
            self.ear.check(self.labels)
        self.store = AudioStore(self.echoes.manifest.mel)
        self.pictures = ImageStore(self.echoes.manifest.image)
        self.taught_sounds = labelled_sounds(clips, self.labels, "train")
        self.taught_pictures = labelled_pictures(clips, self.labels, "train")
        self.heldout_sounds = labelled_sounds(clips, self.labels, split)
        self.heldout_pictures = labelled_pictures(clips, self.labels, split)
        self._image_codes: dict[str, Codes] = {}
        self._audio_codes: dict[Clip, Codes] = {}
        n_unknown = self.echoes.manifest.tokens.audio.n_tokens
        self.sampling: Sampling = self.echoes.sampling(n_unknown, self.options)

    @cached_property
    def judge(self) -> Judge:
        return cached_judge(
            self.cache, self.taught_sounds, self.labels, self.store, self.config.classifier
        )

    @cached_property
    def picture_judge(self) -> PictureJudge:
        return cached_picture_judge(
            self.cache,
            self.taught_pictures,
            self.labels,
            self.echoes.manifest.image,
            self.config.picture_classifier,
        )

    @property
    def manifest_sha256(self) -> str:
        """Of the bundle: its manifest holds the checksum of every other file."""
        manifest = (self.echoes.bundle.folder / MANIFEST_NAME).read_bytes()
        return hashlib.sha256(manifest).hexdigest()

    def some_pictures(self, per_label: int) -> list[Clip]:
        return drawn(self.heldout_pictures, self.labels, per_label, self.config.seed)

    def some_sounds(self, per_label: int) -> list[Clip]:
        return drawn(self.heldout_sounds, self.labels, per_label, self.config.seed)

    def jobs(self, rows: Sequence[Clip]) -> list[Job]:
        """Of each row ``n_seeds`` results."""
        return jobs_of(rows, self.config.n_seeds, self.config.seed)

    @property
    def picture_jobs(self) -> list[Job]:
        """Of each drawn picture ``n_seeds`` sounds."""
        return self.jobs(self.some_pictures(self.config.pictures_per_label))

    def samples(self, clip: Clip) -> Samples:
        """(n_samples,) of a real sound."""
        return self.store.get(clip.audio or "", clip.start)

    def numbers(self, clips: Sequence[Clip]) -> Numbers:
        return np.array([self.labels.index(clip.label or "") for clip in clips], dtype=np.int64)

    def image_codes(self, clips: Sequence[Clip]) -> Codes:
        """(B, N_i) codes of the rows' pictures, which are encoded once."""
        for path in {clip.image or "" for clip in clips} - self._image_codes.keys():
            self._image_codes[path] = self.echoes.encode_image(path)[0]
        return np.stack([self._image_codes[clip.image or ""] for clip in clips])

    def audio_codes(self, clips: Sequence[Clip]) -> Codes:
        """(B, N_a) codes of the rows' sounds, which are encoded once."""
        for clip in {*clips} - self._audio_codes.keys():
            self._audio_codes[clip] = self.echoes.encode_audio(self.samples(clip))[0]
        return np.stack([self._audio_codes[clip] for clip in clips])

    def answers(
        self, jobs: Sequence[Job], options: SamplingOptions | None = None
    ) -> Iterator[Codes]:
        """(B, N) codes at a time: the other medium of each job's picture or sound."""
        dials = self.options if options is None else options
        for part in batches(jobs, self.config.batch_size):
            clips = [job.clip for job in part]
            if clips[0].image:
                target, context = "audio", self.image_codes(clips)
            else:
                target, context = "image", self.audio_codes(clips)
            grid = self.echoes.manifest.tokens.grids[target]
            yield self.echoes.decode_tokens(
                target,
                np.full((len(clips), grid.n_tokens), grid.mask_token, dtype=np.int32),
                context,
                seeds=[job.seed for job in part],
                sampling=self.echoes.sampling(grid.n_tokens, dials),
            )

    def made_sounds(
        self, jobs: Sequence[Job], options: SamplingOptions | None = None
    ) -> Iterator[Samples]:
        """(B, S) at a time: the sounds of the jobs' pictures."""
        return (decode_audio(self.echoes, codes) for codes in self.answers(jobs, options))

    def made_pictures(self, jobs: Sequence[Job]) -> Iterator[RgbArray]:
        """(B, H, W, 3) at a time: the pictures of the jobs' sounds."""
        return (self.echoes.decode_image(codes) for codes in self.answers(jobs))

    def through_vocoder(self, clips: Sequence[Clip]) -> Iterator[Samples]:
        """(B, S) at a time: the rows' sounds from their mels, by the vocoder alone."""
        return (self.echoes.vocode(self.echoes.log_mel(x)) for x in self.real_sounds(clips))

    def through_codec(self, clips: Sequence[Clip]) -> Iterator[Samples]:
        """(B, S) at a time: the rows' sounds as their codes are decoded."""
        for part in batches(clips, self.config.batch_size):
            yield decode_audio(self.echoes, self.audio_codes(part))

    def real_sounds(self, clips: Sequence[Clip]) -> Iterator[Samples]:
        for part in batches(clips, self.config.batch_size):
            yield np.stack([self.samples(clip) for clip in part])

    def real_pictures(self, clips: Sequence[Clip]) -> Iterator[RgbArray]:
        for part in batches(clips, self.config.batch_size):
            yield np.stack([self.pictures.centred(clip.image or "") for clip in part])

    def hear(self, what: str, made: Iterable[Samples], numbers: Numbers) -> Heard:
        parts = _with_progress(what, made, len(numbers), "sound")
        return hear(self.judge, parts, numbers, self.ear, self.labels)

    def see(self, what: str, made: Iterable[RgbArray], total: int) -> Numbers:
        """(N,) label numbers that (B, H, W, 3) pictures at a time are taken for."""
        judged = [
            self.picture_judge.judge(pictures).predicted
            for pictures in _with_progress(what, made, total, "picture")
        ]
        return np.concatenate(judged)


def decode_audio(echoes: Echoes, codes: Codes) -> Samples:
    """Like the runtime's, but a sound that the runtime refuses comes back as NaN, to be counted."""
    try:
        return echoes.decode_audio(codes)
    except BundleError:
        if len(codes) == 1:
            n_samples = echoes.manifest.mel.n_samples
            return np.full((1, n_samples), np.nan, dtype=np.float32)
        return np.concatenate([decode_audio(echoes, one[None]) for one in codes])


def _with_progress(
    what: str, parts: Iterable[np.ndarray], total: int, unit: str
) -> Iterator[np.ndarray]:
    with tqdm(total=total, desc=f"judging {what}", unit=unit) as bar:
        for part in parts:
            yield part
            bar.update(len(part))


def load_evaluations(
    bundles: Iterable[str | None],
    *,
    index: Path,
    cache: Path,
    ear: Path | None,
    device: str,
    precision: str,
    threads: int | None,
    **options: Any,
) -> list[Evaluation]:
    """One of each bundle, on the same media and before the same judges.

    Args:
        bundles: folder, .zip or name of each; None is the runtime's own.
        index: of the media.
        cache: folder of trained judges.
        ear: folder of an ``Ear``.
        device: as the runtime takes it, like ``precision`` and ``threads``.
        precision: see ``device``.
        threads: see ``device``.
        options: those of ``SamplingOptions``, and fields of ``EvaluateConfig``.
    """
    names = SamplingOptions.__annotations__
    sampling = cast(SamplingOptions, {name: options.pop(name) for name in names})
    config = EvaluateConfig(threads=threads, **options)
    loaded = [Echoes.load(bundle, device, threads, precision) for bundle in bundles]
    clips, independent = read_index(index), None if ear is None else Ear(ear)
    return [Evaluation(one, clips, cache, sampling, config, independent) for one in loaded]
