"""Sounds of which the middle third is filled in, against the middle that was really there."""

from typing import cast

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from echoes_rt.format.mel import DB_RANGE
from echoes_rt.options import Options
from echoes_rt.tasks import fill_sound
from echoes_rt.tasks.call import Call
from echoes_training.data.audio import Samples
from echoes_training.data.index import Clip
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
    real = np.stack([evaluation.samples(clip) for clip in clips])
    codec = np.concatenate([*evaluation.through_codec(clips)])
    bar = tqdm(clips, desc="filling in sounds", unit="sound")
    filled = np.stack([_filled(evaluation, clip, i) for i, clip in enumerate(bar)])
    numbers = evaluation.numbers(clips)
    middle = _middle(evaluation)
    heard = {
        name: (evaluation.judge.judge(sounds), evaluation.judge.judge(sounds[:, middle]))
        for name, sounds in (("real", real), ("codec", codec), ("filled", filled))
    }
    wanted = heard["real"][0].predicted
    return {
        "n": len(clips),
        "inside": {name: _share(alone.predicted == wanted) for name, (_, alone) in heard.items()},
        "whole": {name: _share(whole.predicted == numbers) for name, (whole, _) in heard.items()},
        "distance_db": _distances(evaluation, real, codec, filled, numbers),
        "largest_change_outside": _largest_change_outside(evaluation, real, filled),
    }


def _middle(evaluation: Evaluation) -> slice:
    """The samples that are filled in."""
    n_samples = evaluation.echoes.manifest.mel.n_samples
    return slice(*(round(share * n_samples) for share in REGION))


def _filled(evaluation: Evaluation, clip: Clip, number: int) -> Samples:
    """(S,) of a real sound with its middle made anew, by the runtime's own task."""
    echoes = evaluation.echoes
    spec = echoes.manifest.mel
    middle = _middle(evaluation)
    options = cast(Options, {**evaluation.options, "seed": evaluation.config.seed + number})
    start_s, stop_s = middle.start / spec.sample_rate, middle.stop / spec.sample_rate
    original = evaluation.samples(clip)[:, None]
    call = Call.of(echoes, options)
    made = fill_sound.inpaint(call, original, spec.sample_rate, start_s, stop_s, None)
    return np.asarray(made.samples[:, 0], dtype=np.float32)


def _share(hits: NDArray[np.bool_]) -> float:
    return round(float(hits.mean()), 4)


def _distances(
    evaluation: Evaluation, real: Samples, codec: Samples, filled: Samples, numbers: Numbers
) -> Scores:
    """Mean distance of log-mels to the real middle, in dB, and of other clips' middles to it."""
    spec = evaluation.echoes.manifest.mel
    frames = slice(*(round(share * spec.n_frames) for share in REGION))
    real_mels, codec_mels, filled_mels = (
        np.stack([log_mel(sound, spec)[:, frames] for sound in sounds])
        for sounds in (real, codec, filled)
    )
    scores: Scores = {}
    for name, mels, chosen in (
        ("filled", filled_mels, np.arange(len(real))),
        ("codec", codec_mels, np.arange(len(real))),
        ("same_label", real_mels, _others(numbers, same=True)),
        ("other_label", real_mels, _others(numbers, same=False)),
    ):
        there = chosen >= 0
        apart = np.abs(mels[chosen[there]] - real_mels[there])
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


def _largest_change_outside(evaluation: Evaluation, real: Samples, filled: Samples) -> float:
    """Of any sample that is neither filled in nor cross-faded."""
    spec, middle = evaluation.echoes.manifest.mel, _middle(evaluation)
    fade = round(fill_sound.FADE_S * spec.sample_rate) + 1
    kept = np.ones(real.shape[1], dtype=np.bool_)
    kept[max(0, middle.start - fade) : middle.stop + fade] = False
    return float(np.abs(real - filled)[:, kept].max(initial=0.0))
