"""Pictures and sounds made together from nothing: whether they belong together."""

from collections.abc import Sequence

import numpy as np

from echoes_rt.format.tokens import OTHER
from echoes_training.evaluate import chain
from echoes_training.evaluate.chain import Codes
from echoes_training.evaluate.evaluation import Evaluation
from echoes_training.evaluate.scores import Numbers, Scores, spread

WAYS = ("first", "sound_redrawn", "both_redrawn", "sound_redrawn_twice", "both_redrawn_twice")
"""What there is after each decoding but the first, which makes a sound alone."""

Pair = dict[str, Codes]
"""(B, N) codes by medium."""


def cogeneration_scores(evaluation: Evaluation) -> Scores:
    """How often both judges name the same label, for several ways to make a pair.

    ``shipped`` is the one that the runtime's task gives.
    """
    config = evaluation.config
    seeds = [config.seed + i for i in range(config.n_pairs)]
    answers = ways(evaluation, seeds)
    heard: dict[bytes, Numbers] = {}
    seen: dict[bytes, Numbers] = {}
    scores: Scores = {"n": len(seeds), "shipped": _shipped(evaluation, seeds[0], answers)}
    for name, pair in answers.items():
        # What two ways have in common is judged once.
        audio, image = pair["audio"].tobytes(), pair["image"].tobytes()
        if audio not in heard:
            heard[audio] = _heard(evaluation, name, pair["audio"])
        if image not in seen:
            seen[image] = _seen(evaluation, name, pair["image"])
        scores[name] = agreement(heard[audio], seen[image], evaluation.labels)
    return scores


def ways(evaluation: Evaluation, seeds: Sequence[int]) -> dict[str, Pair]:
    """A sound from nothing and a picture of it, then each of them anew in turns."""
    pair: Pair = {}
    answers = {}
    # Each decoding has a window, that is, noise of its own, as in the runtime.
    for window in range(1 + len(WAYS)):
        target = ("audio", "image")[window % 2]
        parts = chain.fill_in(
            evaluation.echoes,
            target,
            pair.get(OTHER[target]),
            seeds,
            evaluation.options,
            evaluation.config.batch_size,
            window=window,
        )
        pair = pair | {target: np.concatenate([*parts])}
        if window:
            answers[WAYS[window - 1]] = pair
    return answers


def agreement(heard: Numbers, seen: Numbers, labels: Sequence[str]) -> Scores:
    """Of (N,) verdicts on the sounds and on the pictures.

    ``by_chance`` is what the same verdicts would give if each picture had another pair's sound:
    pairs that are all of one label agree, and are worth nothing.
    """
    n = len(labels)
    shares = [np.bincount(verdicts, minlength=n) / len(verdicts) for verdicts in (heard, seen)]
    return {
        "agree": round(float((heard == seen).mean()), 4),
        "by_chance": round(float(shares[0] @ shares[1]), 4),
        "sounds": spread(heard, labels),
        "pictures": spread(seen, labels),
        "agreeing": spread(heard[heard == seen], labels),
    }


def _heard(evaluation: Evaluation, name: str, codes: Codes) -> Numbers:
    parts = chain.parts(codes, evaluation.config.batch_size)
    made = chain.sounds_of(evaluation.echoes, parts)
    unknown = np.zeros(len(codes), dtype=np.int64)
    return evaluation.hear(name, made, unknown).predicted


def _seen(evaluation: Evaluation, name: str, codes: Codes) -> Numbers:
    parts = chain.parts(codes, evaluation.config.batch_size)
    return evaluation.see(name, chain.pictures_of(evaluation.echoes, parts), len(codes))


def _shipped(evaluation: Evaluation, seed: int, answers: dict[str, Pair]) -> str | None:
    """The way whose first pair is the one that the runtime gives for the same seed."""
    sound, picture = evaluation.echoes.cogenerate(seed=seed, **evaluation.options)
    made = {"audio": sound.codes, "image": picture.codes}
    for name, pair in answers.items():
        if all(np.array_equal(pair[medium][0], made[medium]) for medium in made):
            return name
    return None
