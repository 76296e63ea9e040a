"""Pictures and sounds made together from nothing: whether they belong together."""

from collections.abc import Sequence

import numpy as np

from echoes_training.evaluate import chain
from echoes_training.evaluate.chain import Codes
from echoes_training.evaluate.evaluation import Evaluation
from echoes_training.evaluate.scores import Numbers, Scores, spread


def cogeneration_scores(evaluation: Evaluation) -> Scores:
    """How often both judges name the same label, for six ways to make a pair.

    ``joint`` draws both in one pass; the others draw one of them once more, guided by the other,
    or the picture and then the sound in turns. ``shipped`` is the one that the runtime's verb
    gives.
    """
    config, layout = evaluation.config, evaluation.echoes.manifest.tokens
    seeds = [config.seed + i for i in range(config.n_pairs)]
    answers = ways(evaluation, seeds)
    heard: dict[bytes, Numbers] = {}
    seen: dict[bytes, Numbers] = {}
    scores: Scores = {"n": len(seeds), "shipped": _shipped(evaluation, seeds[0], answers)}
    for name, tokens in answers.items():
        # What two ways have in common is judged once.
        audio = tokens[:, layout.audio_slice].tobytes()
        image = tokens[:, layout.image_slice].tobytes()
        if audio not in heard:
            heard[audio] = _heard(evaluation, name, tokens)
        if image not in seen:
            seen[image] = _seen(evaluation, name, tokens)
        scores[name] = agreement(heard[audio], seen[image], evaluation.labels)
    return scores


def ways(evaluation: Evaluation, seeds: Sequence[int]) -> dict[str, Codes]:
    """(B, N) tokens of the same seeds by each way."""
    echoes, layout = evaluation.echoes, evaluation.echoes.manifest.tokens
    n = len(seeds)

    def drawn(questions: Codes, window: int) -> Codes:
        parts = chain.fill_in(
            echoes,
            questions,
            seeds,
            evaluation.options,
            evaluation.config.batch_size,
            window=window,
        )
        return np.concatenate([*parts])

    # Each decoding has a window, that is, noise of its own, as in the runtime.
    joint = drawn(chain.question(echoes, members=n), 0)
    answers = {
        "joint": joint,
        "sound_redrawn": drawn(
            chain.question(echoes, image=joint[:, layout.image_slice], members=n), 1
        ),
    }
    tokens, window = joint, 1
    for times in ("", "_twice"):
        audio = tokens[:, layout.audio_slice]
        tokens = drawn(chain.question(echoes, audio=audio, members=n), window)
        answers["picture_redrawn" + times] = tokens
        image = tokens[:, layout.image_slice]
        tokens = drawn(chain.question(echoes, image=image, members=n), window + 1)
        answers["both_redrawn" + times] = tokens
        window += 2
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


def _heard(evaluation: Evaluation, name: str, tokens: Codes) -> Numbers:
    parts = chain.parts(tokens, evaluation.config.batch_size)
    made = chain.sounds_of(evaluation.echoes, parts)
    unknown = np.zeros(len(tokens), dtype=np.int64)
    return evaluation.hear(name, made, unknown).predicted


def _seen(evaluation: Evaluation, name: str, tokens: Codes) -> Numbers:
    parts = chain.parts(tokens, evaluation.config.batch_size)
    return evaluation.see(name, chain.pictures_of(evaluation.echoes, parts), len(tokens))


def _shipped(evaluation: Evaluation, seed: int, answers: dict[str, Codes]) -> str | None:
    """The way whose first pair is the one that the runtime gives for the same seed."""
    layout = evaluation.echoes.manifest.tokens
    sound, picture = evaluation.echoes.cogenerate(seed=seed, **evaluation.options)
    for name, tokens in answers.items():
        is_sound = np.array_equal(tokens[0, layout.audio_slice], sound.codes)
        if is_sound and np.array_equal(tokens[0, layout.image_slice], picture.codes):
            return name
    return None
