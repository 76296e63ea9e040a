"""The whole evaluation of a bundle, on held-out media alone."""

import hashlib
import platform
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path

import numpy as np
from tqdm import tqdm

from echoes_rt import Echoes, __version__
from echoes_rt.spec.manifest import MANIFEST_NAME
from echoes_rt.spec.sampling import SamplingDefaults
from echoes_training.data.audio import AudioStore, Samples
from echoes_training.data.index import Clip
from echoes_training.evaluate import chain
from echoes_training.evaluate.classifier import ClassifierConfig, Judge, cached_judge
from echoes_training.evaluate.media import heldout_pictures, labelled_sounds, labels_of
from echoes_training.evaluate.parts import PARTS, SOUND_PARTS
from echoes_training.evaluate.scores import (
    Heard,
    Numbers,
    Scores,
    accuracy,
    codebook_use,
    frechet_scores,
    hear,
    loudness_scores,
)

LIBRARIES = ("numpy", "torch", "onnxruntime", "soundfile", "soxr")


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """What is judged, and how much of it; the same settings give the same report."""

    parts: tuple[str, ...] = PARTS
    pictures_per_label: int = 20
    n_seeds: int = 3
    seed: int = 0
    batch_size: int = 8
    threads: int | None = None
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)


class Evaluation:
    """A bundle, the judge, and the held-out media they meet on."""

    def __init__(
        self,
        echoes: Echoes,
        clips: Sequence[Clip],
        cache: Path,
        sampling: SamplingDefaults,
        config: EvaluateConfig,
    ) -> None:
        self.echoes = echoes
        self.clips = clips
        self.sampling = sampling
        self.config = config
        self.labels = labels_of(clips)
        self.store = AudioStore(echoes.bundle.manifest.mel)
        self.taught_rows = labelled_sounds(clips, self.labels, "train")
        self.judge: Judge = cached_judge(
            cache, self.taught_rows, self.labels, self.store, config.classifier
        )
        self.sounds = labelled_sounds(clips, self.labels, "heldout")
        self.pictures = heldout_pictures(clips, self.labels, config.pictures_per_label, config.seed)

    def samples(self, clip: Clip) -> Samples:
        """(n_samples,) of a real sound."""
        return self.store.get(clip.audio or "", clip.start)

    def numbers(self, clips: Sequence[Clip]) -> Numbers:
        return np.array([self.labels.index(clip.label or "") for clip in clips], dtype=np.int64)

    def jobs(self) -> list[tuple[Clip, chain.Job]]:
        """Every picture with ``n_seeds`` seeds of its own."""
        n = self.config.n_seeds
        return [
            (clip, chain.Job(picture=clip.image or "", seed=self.config.seed + i * n + k))
            for i, clip in enumerate(self.pictures)
            for k in range(n)
        ]

    def hear(self, what: str, batches: Iterable[Samples], clips: Sequence[Clip]) -> Heard:
        return hear(self.judge, _with_progress(what, batches, len(clips)), self.numbers(clips))


def evaluate(evaluation: Evaluation) -> Scores:
    """All numbers of a report, ready for JSON."""
    parts = evaluation.config.parts
    report: Scores = _origin(evaluation)
    real = evaluation.hear("real", _real_batches(evaluation), evaluation.sounds)
    report["real"] = accuracy(real, evaluation.labels)
    others = {
        "real_train": (
            evaluation.numbers(evaluation.taught_rows),
            evaluation.judge.taught.double().numpy(),
        )
    }
    codes = _audio_codes(evaluation) if {"codec", "codebooks"} & set(parts) else {}
    for name in (part for part in SOUND_PARTS if part in parts):
        heard, more = _judge_part(evaluation, name, codes)
        report[name] = {**accuracy(heard, evaluation.labels), **more}
        others[name] = (heard.numbers, heard.embeddings)
        if name == "generated":
            report["loudness"] = loudness_scores(real, heard, evaluation.labels)
    if "codebooks" in parts:
        report["codebooks"] = _codebooks(evaluation, codes)
    report["frechet"] = frechet_scores(real, others)
    return report


def _judge_part(
    evaluation: Evaluation, name: str, codes: dict[Clip, chain.Codes]
) -> tuple[Heard, Scores]:
    echoes, config, sounds = evaluation.echoes, evaluation.config, evaluation.sounds
    if name == "vocoder":
        samples = [evaluation.samples(clip) for clip in sounds]
        made = chain.vocode(echoes, samples, config.batch_size)
        return evaluation.hear(name, made, sounds), {}
    if name == "codec":
        made = chain.reconstruct(
            echoes, np.stack([codes[clip] for clip in sounds]), config.batch_size
        )
        return evaluation.hear(name, made, sounds), {}
    jobs = evaluation.jobs()
    made = chain.generate(echoes, [job for _, job in jobs], evaluation.sampling, config.batch_size)
    heard = evaluation.hear(name, made, [clip for clip, _ in jobs])
    return heard, {"n_pictures": len(evaluation.pictures), "sounds": _sounds(evaluation, heard)}


def _sounds(evaluation: Evaluation, heard: Heard) -> list[Scores]:
    """What is needed to find any of the generated sounds again."""
    return [
        {
            "label": clip.label,
            "picture": "/".join(Path(job.picture).parts[-2:]),
            "seed": job.seed,
            "heard_as": evaluation.labels[heard.predicted[i]],
            "rms_dbfs": round(float(heard.levels.rms_dbfs[i]), 2),
            "peak_dbfs": round(float(heard.levels.peak_dbfs[i]), 2),
        }
        for i, (clip, job) in enumerate(evaluation.jobs())
    ]


def _real_batches(evaluation: Evaluation) -> Iterator[Samples]:
    for part in chain.batches(len(evaluation.sounds), evaluation.config.batch_size):
        yield np.stack([evaluation.samples(clip) for clip in evaluation.sounds[part]])


def _audio_codes(evaluation: Evaluation) -> dict[Clip, chain.Codes]:
    """Codes of every held-out sound, labelled or not."""
    heldout = [clip for clip in evaluation.clips if clip.audio and clip.split == "heldout"]
    return {
        clip: evaluation.echoes.encode_audio(evaluation.samples(clip))[0]
        for clip in tqdm(heldout, desc="encoding sounds", unit="sound")
    }


def _codebooks(evaluation: Evaluation, codes: dict[Clip, chain.Codes]) -> Scores:
    heldout = {clip.image for clip in evaluation.clips if clip.image and clip.split == "heldout"}
    image_codes = [
        evaluation.echoes.encode_image(picture)
        for picture in tqdm(sorted(heldout), desc="encoding pictures", unit="picture")
    ]
    layout = evaluation.echoes.bundle.manifest.tokens
    return {
        "image": codebook_use(np.stack(image_codes), layout.image.codebook_size),
        "audio": codebook_use(np.stack([*codes.values()]), layout.audio.codebook_size),
    }


def _origin(evaluation: Evaluation) -> Scores:
    bundle = evaluation.echoes.bundle
    manifest = (bundle.folder / MANIFEST_NAME).read_bytes()
    return {
        "bundle": {
            "name": bundle.manifest.name,
            # The manifest holds the checksum of every other file.
            "manifest_sha256": hashlib.sha256(manifest).hexdigest(),
        },
        "settings": {
            **asdict(evaluation.config),
            "sampling": asdict(evaluation.sampling),
            "device": evaluation.echoes.choice.device,
        },
        "versions": {
            "echoes-rt": __version__,
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in LIBRARIES},
        },
        "labels": list(evaluation.labels),
        "n_taught": len(evaluation.taught_rows),
    }


def _with_progress(what: str, batches: Iterable[Samples], total: int) -> Iterator[Samples]:
    with tqdm(total=total, desc=f"judging {what}", unit="sound") as bar:
        for sounds in batches:
            yield sounds
            bar.update(len(sounds))
