"""Whether the model knows which of its results is the best one."""

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from echoes_rt import Echoes
from echoes_rt.format.tokens import OTHER
from echoes_rt.tasks.rank import likeliest
from echoes_training.data.index import Clip
from echoes_training.evaluate import chain
from echoes_training.evaluate.chain import Codes
from echoes_training.evaluate.evaluation import Evaluation
from echoes_training.evaluate.scores import Numbers, Scores

N_CANDIDATES = 8

Values = NDArray[np.float64]


def ranking_scores(evaluation: Evaluation) -> Scores:
    """Best of eight by several scores, for sounds of pictures and pictures of sounds."""
    per_label = evaluation.config.ranked_per_label
    return {
        "sounds": _ranked(evaluation, evaluation.some_pictures(per_label), "audio"),
        "pictures": _ranked(evaluation, evaluation.some_sounds(per_label), "image"),
    }


def _ranked(evaluation: Evaluation, clips: list[Clip], asked: str) -> Scores:
    """The share recognised if the best by each score is kept.

    ``average`` is what one result gives, ``any`` what a perfect choice would.
    """
    echoes = evaluation.echoes
    hits, chosen = [], []
    jobs = chain.jobs_of(clips, N_CANDIDATES, evaluation.config.seed)
    for i, clip in enumerate(tqdm(clips, desc=f"ranking, {asked} made", unit="set")):
        mine = jobs[i * N_CANDIDATES : (i + 1) * N_CANDIDATES]
        codes = np.concatenate([*evaluation.answers(mine)])
        of = evaluation.image_codes if asked == "audio" else evaluation.audio_codes
        given = of([clip])
        number = evaluation.labels.index(clip.label or "")
        hits.append(_predicted(evaluation, codes, asked) == number)
        best = {"shipped": int(likeliest(echoes, asked, codes, given)[0])}
        values = scores_of(echoes, asked, codes, given)
        chosen.append({**best, **{name: int(v.argmax()) for name, v in values.items()}})
    won = np.stack(hits)
    return {
        "n": len(clips),
        "n_candidates": N_CANDIDATES,
        # Only these sets can tell one score from another.
        "n_mixed": int((won.any(axis=1) & ~won.all(axis=1)).sum()),
        "average": round(float(won.mean()), 4),
        "any": round(float(won.any(axis=1).mean()), 4),
        "best": {
            name: round(float(won[np.arange(len(won)), [best[name] for best in chosen]].mean()), 4)
            for name in chosen[0]
        },
    }


def _predicted(evaluation: Evaluation, codes: Codes, asked: str) -> Numbers:
    if asked == "image":
        pictures = np.concatenate([*chain.pictures_of(evaluation.echoes, [codes])])
        return evaluation.picture_judge.judge(pictures).predicted
    sounds = np.concatenate([*chain.sounds_of(evaluation.echoes, [codes])])
    return evaluation.judge.judge(sounds).predicted


def scores_of(echoes: Echoes, asked: str, made: Codes, given: Codes) -> dict[str, Values]:
    """(B,) scores of (B, N) answers to one question, each better the higher.

    ``condition``: how likely the given medium is, all hidden, if the made one is seen; ``made``:
    how likely the made one is, all hidden, if the given one is seen; ``made_gain``: how much of
    that is owed to the given medium.
    """
    given = np.repeat(given, len(made), axis=0)
    values = {
        "condition": _log_likelihood(echoes, OTHER[asked], given, made),
        "made": _log_likelihood(echoes, asked, made, given),
    }
    values["made_gain"] = values["made"] - _log_likelihood(echoes, asked, made, None)
    values["condition_and_made_gain"] = values["condition"] + values["made_gain"]
    return values


def _log_likelihood(echoes: Echoes, target: str, codes: Codes, context: Codes | None) -> Values:
    """(B,) log-probabilities of (B, N) codes, all hidden."""
    hidden = np.full_like(codes, echoes.manifest.tokens.grids[target].mask_token)
    logits = echoes.logits(target, hidden, context).astype(np.float64)
    below_best = logits - logits.max(axis=2, keepdims=True)
    picked = np.take_along_axis(below_best, codes[..., None], axis=2)[..., 0]
    return np.asarray((picked - np.log(np.exp(below_best).sum(axis=2))).sum(axis=1))
