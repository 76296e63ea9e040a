"""Sounds of which the middle third is filled in, against the middle that was really there."""

from typing import cast

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from echoes_rt.format.mel import DB_RANGE, MelSpec
from echoes_rt.options import Options
from echoes_rt.tasks import fill_sound
from echoes_training.data.audio import Samples
from echoes_training.evaluate.evaluation import Evaluation
from echoes_training.evaluate.scores import Numbers, Scores
from echoes_training.models.mel import log_mel

REGION = (1 / 3, 2 / 3)


def inpainting_scores(evaluation: Evaluation) -> Scores:
    """What is heard in the filled part, and how far it lies from the real one.

    ``inside`` judges the middle third alone and asks for what is heard in the whole real clip,
    ``whole`` judges the clip with that middle and asks for its label.
    """
    clips = evaluation.some_sounds(evaluation.config.sounds_per_label)
    numbers, spec = evaluation.numbers(clips), evaluation.echoes.manifest.mel
    first, last = (round(share * spec.n_samples) for share in REGION)
    start, stop = first / spec.sample_rate, last / spec.sample_rate
    real = np.stack([evaluation.samples(clip) for clip in clips])
    filled = np.empty_like(real)
    for i, sound in enumerate(tqdm(real, desc="filling in sounds", unit="sound")):
        dials = cast(Options, {**evaluation.options, "seed": evaluation.config.seed + i})
        made = evaluation.echoes.inpaint(sound, start=start, stop=stop, **dials)
        filled[i] = made.samples.reshape(-1)
    sounds = {
        "real": real,
        "codec": np.concatenate([*evaluation.through_codec(clips)]),
        "filled": filled,
    }
    whole = {name: evaluation.judge.judge(x).predicted for name, x in sounds.items()}
    inside = {
        name: evaluation.judge.judge(x[:, first:last]).predicted for name, x in sounds.items()
    }
    fade = round(fill_sound.FADE_S * spec.sample_rate) + 1
    kept = np.r_[: max(0, first - fade), last + fade : spec.n_samples]
    return {
        "n": len(clips),
        "inside": {name: _share(found == whole["real"]) for name, found in inside.items()},
        "whole": {name: _share(found == numbers) for name, found in whole.items()},
        "distance_db": _distances(sounds, numbers, spec),
        # Of any sample that is neither filled in nor cross-faded.
        "largest_change_outside": float(np.abs(real - filled)[:, kept].max(initial=0.0)),
    }


def _share(hits: NDArray[np.bool_]) -> float:
    return round(float(hits.mean()), 4)


def _distances(sounds: dict[str, Samples], numbers: Numbers, spec: MelSpec) -> Scores:
    """Mean distance of log-mels to the real middle, in dB, and of other clips' middles to it."""
    frames = slice(*(round(share * spec.n_frames) for share in REGION))
    mels = {
        name: np.stack([log_mel(sound, spec)[:, frames] for sound in some])
        for name, some in sounds.items()
    }
    scores: Scores = {}
    for name, medium, chosen in (
        ("filled", "filled", np.arange(len(numbers))),
        ("codec", "codec", np.arange(len(numbers))),
        ("same_label", "real", _others(numbers, same=True)),
        ("other_label", "real", _others(numbers, same=False)),
    ):
        there = chosen >= 0
        apart = np.abs(mels[medium][chosen[there]] - mels["real"][there])
        scores[name] = round(float(apart.mean()) * DB_RANGE / 2, 2) if there.any() else None
    return scores


def _others(numbers: Numbers, *, same: bool) -> Numbers:
    """(N,) for each clip the index of another one of the same label, or of another; -1: none."""
    chosen = np.full(len(numbers), -1, dtype=np.int64)
    for i, number in enumerate(numbers):
        candidates = np.flatnonzero((numbers == number) == same)
        candidates = candidates[candidates != i]
        if len(candidates):
            chosen[i] = candidates[i % len(candidates)]
    return chosen
