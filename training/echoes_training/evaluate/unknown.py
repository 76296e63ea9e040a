"""Photographs unlike the training set: what sounds they get, and whether the bundle says so."""

from collections.abc import Sequence

import numpy as np

from echoes_rt.format.graphs import CONFIDENT
from echoes_training.data.index import Clip, Split
from echoes_training.evaluate.evaluation import Evaluation, jobs_of
from echoes_training.evaluate.media import drawn, labelled_pictures
from echoes_training.evaluate.scores import Numbers, Scores, spread


def unknown_scores(evaluation: Evaluation) -> Scores:
    """Of pictures with a label and of categories that no label uses; {} if there are none of these.

    ``called_unknown`` has the shares of every split that may be looked at, ``heard`` the sounds
    that pictures of the judged split get, by the ear where there is one.
    """
    config = evaluation.config
    splits: tuple[Split, ...] = ("train", "validation", "heldout")
    if config.split != "heldout":
        splits = ("train", "validation")
    strange = {split: _strange(evaluation, split) for split in splits}
    if not strange[config.split]:
        return {}
    called = {
        split: {
            "known": _called(evaluation, _known(evaluation, split), by="label"),
            "others": _called(evaluation, strange[split], by="category"),
        }
        for split in splits
    }
    return {
        "threshold": CONFIDENT,
        "called_unknown": called,
        "heard": _heard(evaluation, strange[config.split]),
    }


def _known(evaluation: Evaluation, split: Split) -> list[Clip]:
    config, labels = evaluation.config, evaluation.labels
    rows = labelled_pictures(evaluation.clips, labels, split)
    return drawn(rows, labels, config.pictures_per_label, config.seed)


def _strange(evaluation: Evaluation, split: Split) -> list[Clip]:
    config = evaluation.config
    rows = [c for c in evaluation.clips if c.image and not c.label and c.split == split]
    names = sorted({clip.category for clip in rows})
    return drawn(rows, names, config.pictures_per_label, config.seed, by="category")


def _called(evaluation: Evaluation, clips: Sequence[Clip], *, by: str) -> Scores:
    """``share`` below the threshold, overall and by name; None if the bundle cannot tell."""
    found = evaluation.echoes.confidence(evaluation.image_codes(clips)) if clips else None
    if found is None:
        return {"n": len(clips), "share": None, "by_name": {}}
    refused = found < CONFIDENT
    names = np.array([getattr(clip, by) for clip in clips])
    return {
        "n": len(clips),
        "share": round(float(refused.mean()), 4),
        "by_name": {
            str(name): round(float(refused[names == name].mean()), 4) for name in np.unique(names)
        },
    }


def _heard(evaluation: Evaluation, clips: Sequence[Clip]) -> Scores:
    """Over what the sounds spread, one of each picture."""
    ear, rate = evaluation.ear, evaluation.echoes.manifest.mel.sample_rate
    jobs = jobs_of(clips, 1, evaluation.config.seed)
    numbers: list[Numbers] = []
    things = evaluation.labels if ear is None else ear.things
    for sounds in evaluation.made_sounds(jobs):
        if ear is None:
            numbers.append(evaluation.judge.judge(sounds).predicted)
        else:
            heard = [things.index(ear.hear(np.nan_to_num(sound), rate)) for sound in sounds]
            numbers.append(np.array(heard, dtype=np.int64))
    by = "judge" if ear is None else "ear"
    return {"n": len(clips), "by": by, **spread(np.concatenate(numbers), things)}
