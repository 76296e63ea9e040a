"""Whether the model knows which of its results is the best one."""

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from echoes_rt import Echoes
from echoes_rt.tasks.rank import likeliest
from echoes_training.data.index import Clip
from echoes_training.evaluate import chain
from echoes_training.evaluate.chain import Codes
from echoes_training.evaluate.evaluation import Evaluation
from echoes_training.evaluate.scores import Numbers, Scores

N_CANDIDATES = 8

N_PARTS = 4
"""The pseudo-likelihood hides a quarter of the codes at a time and looks at the others."""

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
        tokens = np.concatenate([*evaluation.answers(mine)])
        number = evaluation.labels.index(clip.label or "")
        hits.append(_predicted(evaluation, tokens, asked) == number)
        best = {"shipped": int(likeliest(echoes, tokens, asked=asked)[0])}
        values = scores_of(echoes, tokens, asked)
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


def _predicted(evaluation: Evaluation, tokens: Codes, asked: str) -> Numbers:
    if asked == "image":
        pictures = np.concatenate([*chain.pictures_of(evaluation.echoes, [tokens])])
        return evaluation.picture_judge.judge(pictures).predicted
    sounds = np.concatenate([*chain.sounds_of(evaluation.echoes, [tokens])])
    return evaluation.judge.judge(sounds).predicted


def scores_of(echoes: Echoes, tokens: Codes, asked: str) -> dict[str, Values]:
    """(B,) scores of (B, N) answers to the same question, each better the higher.

    ``condition``: how likely the given medium is, all hidden, if the made one is seen; ``made``:
    how likely the made one is, all hidden, if the given one is seen; ``pseudo``: the same with
    only a part hidden at a time; ``..._gain``: how much of that is owed to the given medium.
    """
    layout = echoes.manifest.tokens
    media = {
        "image": (layout.image_slice, layout.image.codebook_size),
        "audio": (layout.audio_slice, layout.audio.codebook_size),
    }
    made, made_size = media[asked]
    given_size = media["audio" if asked == "image" else "image"][1]
    places = np.arange(layout.n_tokens)
    is_made = (places >= made.start) & (places < made.stop)

    def known_by(hidden: NDArray[np.bool_], scored: NDArray[np.bool_], size: int) -> Values:
        return _log_likelihood(echoes, tokens, hidden, scored, size)

    parts = [is_made & (places % N_PARTS == part) for part in range(N_PARTS)]
    values = {
        "condition": known_by(~is_made, ~is_made, given_size),
        "made": known_by(is_made, is_made, made_size),
        "pseudo": sum((known_by(part, part, made_size) for part in parts), np.float64(0)),
    }
    blind = known_by(np.ones_like(is_made), is_made, made_size)
    pseudo_blind = sum(
        (known_by(part | ~is_made, part, made_size) for part in parts), np.float64(0)
    )
    values["made_gain"] = values["made"] - blind
    values["pseudo_gain"] = values["pseudo"] - pseudo_blind
    values["condition_and_made_gain"] = values["condition"] + values["made_gain"]
    return values


def _log_likelihood(
    echoes: Echoes,
    tokens: Codes,
    hidden: NDArray[np.bool_],
    scored: NDArray[np.bool_],
    size: int,
) -> Values:
    """(B,) log-probabilities of the (B, N) tokens where ``scored``, without those ``hidden``."""
    question = np.where(hidden, np.int32(echoes.manifest.tokens.mask_token_id), tokens)
    logits = echoes.logits(question)[:, scored, :size].astype(np.float64)
    below_best = logits - logits.max(axis=2, keepdims=True)
    picked = np.take_along_axis(below_best, tokens[:, scored, None], axis=2)[..., 0]
    return np.asarray((picked - np.log(np.exp(below_best).sum(axis=2))).sum(axis=1))
