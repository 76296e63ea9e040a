"""Whether the model knows which of its results is the best one."""

import numpy as np
from tqdm import tqdm

from echoes_rt.tasks.rank import likeliest
from echoes_training.data.index import Clip
from echoes_training.evaluate.evaluation import Codes, Evaluation, decode_audio, jobs_of
from echoes_training.evaluate.scores import Numbers, Scores

N_CANDIDATES = 8


def ranking_scores(evaluation: Evaluation) -> Scores:
    """Best of eight, for sounds of pictures and pictures of sounds."""
    per_label = evaluation.config.ranked_per_label
    return {
        "sounds": _ranked(evaluation, evaluation.some_pictures(per_label), "audio"),
        "pictures": _ranked(evaluation, evaluation.some_sounds(per_label), "image"),
    }


def _ranked(evaluation: Evaluation, clips: list[Clip], asked: str) -> Scores:
    """The share recognised if the ``best`` by the runtime's ranking is kept.

    ``average`` is what one result gives, ``any`` what a perfect choice would.
    """
    hits = []
    jobs = jobs_of(clips, N_CANDIDATES, evaluation.config.seed)
    for i, clip in enumerate(tqdm(clips, desc=f"ranking, {asked} made", unit="set")):
        mine = jobs[i * N_CANDIDATES : (i + 1) * N_CANDIDATES]
        codes = np.concatenate([*evaluation.answers(mine)])
        of = evaluation.image_codes if asked == "audio" else evaluation.audio_codes
        order = likeliest(evaluation.echoes, asked, codes, of([clip]))
        number = evaluation.labels.index(clip.label or "")
        hits.append(_predicted(evaluation, codes[order], asked) == number)
    won = np.stack(hits)
    return {
        "n": len(clips),
        "n_candidates": N_CANDIDATES,
        # Only these sets can tell one ranking from another.
        "n_mixed": int((won.any(axis=1) & ~won.all(axis=1)).sum()),
        "average": round(float(won.mean()), 4),
        "best": round(float(won[:, 0].mean()), 4),
        "any": round(float(won.any(axis=1).mean()), 4),
    }


def _predicted(evaluation: Evaluation, codes: Codes, asked: str) -> Numbers:
    if asked == "image":
        pictures = evaluation.echoes.decode_image(codes)
        return evaluation.picture_judge.judge(pictures).predicted
    return evaluation.judge.judge(decode_audio(evaluation.echoes, codes)).predicted
