"""Pictures and sounds made together from nothing: whether they belong together."""

from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from echoes_training.evaluate.evaluation import Evaluation
from echoes_training.evaluate.scores import Numbers, Scores, spread


def cogeneration_scores(evaluation: Evaluation) -> Scores:
    """How often both judges name the same label, of pairs that the runtime's own task makes."""
    config = evaluation.config
    heard, seen = [], []
    for i in tqdm(range(config.n_pairs), desc="judging pairs", unit="pair"):
        sound, picture = evaluation.echoes.cogenerate(seed=config.seed + i, **evaluation.options)
        samples = np.asarray(sound.samples, dtype=np.float32)
        heard.append(evaluation.judge.judge(samples[None]).predicted)
        seen.append(evaluation.picture_judge.judge(picture.pixels[None]).predicted)
    scores = agreement(np.concatenate(heard), np.concatenate(seen), evaluation.labels)
    return {"n": config.n_pairs, **scores}


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
