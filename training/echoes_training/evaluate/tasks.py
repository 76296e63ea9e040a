"""What a report measures besides how much is recognised."""

from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from echoes_rt.format.graphs import CONFIDENT
from echoes_rt.format.mel import DB_RANGE, MelSpec
from echoes_rt.format.tokens import Grid
from echoes_rt.options import Options
from echoes_rt.tasks import fill_sound
from echoes_rt.tasks.stream import fresh_columns, overlap_columns
from echoes_rt.tasks.whole import likeliest
from echoes_training.data.audio import Samples
from echoes_training.data.index import Clip, Split
from echoes_training.evaluate.evaluation import Codes, Evaluation, batches, decode_audio, jobs_of
from echoes_training.evaluate.judge import to_mels
from echoes_training.evaluate.media import drawn, labelled_pictures
from echoes_training.evaluate.scores import Numbers, Scores, spread
from echoes_training.models.mel import log_mel

N_VARIED = 10
"""Sounds of one picture that are compared."""

N_CANDIDATES = 8
"""Results of one picture or sound that are ranked."""

REGION = (1 / 3, 2 / 3)
"""Of a sound, what is filled in."""

N_CLIPS = 4
"""Length of a long sound, in clips."""

NEAR_FRAMES = 2
"""Mel frames on either side that count as belonging to a seam: an analysis window's half."""


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


def ranking_scores(evaluation: Evaluation) -> Scores:
    """Whether the model knows the best of eight sounds of a picture, and pictures of a sound."""
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
    of = evaluation.image_codes if asked == "audio" else evaluation.audio_codes
    bar = tqdm(clips, desc=f"ranking, {asked} made", unit="set")
    for clip, mine in zip(bar, batches(jobs, N_CANDIDATES), strict=True):
        codes = np.concatenate([*evaluation.answers(mine)])
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


def diversity_scores(evaluation: Evaluation) -> Scores:
    """Mean distance between two sounds of the same group, of all groups.

    A group is: ``generated``, ten sounds of one picture; ``real``, up to ten held-out sounds of
    one label; ``repeated``, one real sound, rotated in time ten times: no variety at all.
    """
    pictures = evaluation.some_pictures(evaluation.config.varied_per_label)
    jobs = jobs_of(pictures, N_VARIED, evaluation.config.seed)
    made = (evaluation.made_sounds(mine) for mine in batches(jobs, N_VARIED))
    return {
        "generated": _variety(evaluation, (np.concatenate([*sounds]) for sounds in made)),
        "real": _variety(evaluation, _real(evaluation)),
        "repeated": _variety(evaluation, _repeated(evaluation)),
    }


def _real(evaluation: Evaluation) -> Iterator[Samples]:
    for label in evaluation.labels:
        mine = [clip for clip in evaluation.heldout_sounds if clip.label == label][:N_VARIED]
        if len(mine) > 1:
            yield np.stack([evaluation.samples(clip) for clip in mine])


def _repeated(evaluation: Evaluation) -> Iterator[Samples]:
    rng = np.random.default_rng(evaluation.config.seed)
    for clip in evaluation.some_sounds(1):
        sound = evaluation.samples(clip)
        yield np.stack([np.roll(sound, rng.integers(len(sound))) for _ in range(N_VARIED)])


def _variety(evaluation: Evaluation, groups: Iterable[Samples]) -> Scores | None:
    distances = []
    for sounds in groups:
        finite = np.nan_to_num(sounds)
        mels = to_mels(finite, evaluation.judge.spec).flatten(1).numpy()
        apart = mean_pairwise(mels, 1) / mels.shape[1] * DB_RANGE / 2
        distances.append((mean_pairwise(evaluation.judge.judge(finite).embeddings, 2), apart))
    if not distances:
        return None
    embedding, mel_db = np.mean(distances, axis=0)
    return {
        "n_groups": len(distances),
        "embedding": round(float(embedding), 3),
        "log_mel_db": round(float(mel_db), 2),
    }


def mean_pairwise(rows: NDArray[np.floating], norm: int) -> float:
    """Mean distance of all pairs of (N, D) rows: Euclidean by 2, the sum of differences by 1."""
    return torch.pdist(torch.from_numpy(rows), norm).double().mean().item()


def unknown_scores(evaluation: Evaluation) -> Scores:
    """What photographs unlike the training set get, and whether the bundle says so.

    Of pictures with a label and of categories that no label uses; {} if there are none of these.
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
    if ear is None:
        by, things = "judge", evaluation.labels
        judged = (evaluation.judge.judge(part).predicted for part in evaluation.made_sounds(jobs))
        numbers = np.concatenate([*judged])
    else:
        by, things = "ear", ear.things
        sounds = (np.nan_to_num(x) for part in evaluation.made_sounds(jobs) for x in part)
        numbers = np.array([things.index(ear.hear(sound, rate)) for sound in sounds])
    return {"n": len(clips), "by": by, **spread(numbers, things)}


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


def seam_scores(evaluation: Evaluation) -> Scores:
    """Spectral flux, the mean change of the log-mel from frame to frame, in dB.

    ``windows``: where a window begins or ends to be heard; ``chunks``: where two pieces of the
    stream meet; ``elsewhere``: all other frames.
    """
    echoes, config = evaluation.echoes, evaluation.config
    spec, grid = echoes.manifest.mel, echoes.manifest.tokens.audio
    # Of labels that lie far apart in the alphabet.
    pictures = evaluation.some_pictures(1)
    count = min(config.n_streams, len(pictures))
    chosen = np.linspace(0, len(pictures), count, endpoint=False).astype(int)
    found: dict[str, list[NDArray[np.float64]]] = {"windows": [], "chunks": [], "elsewhere": []}
    for i in tqdm(chosen.tolist(), desc="long sounds", unit="sound"):
        path, duration, seed = pictures[i].image or "", N_CLIPS * spec.duration_s, config.seed + i
        chunks = [*echoes.stream(path, duration=duration, seed=seed, **evaluation.options)]
        flux = spectral_flux(np.concatenate(chunks), spec)
        at_windows = _near(window_frames(len(flux), spec, grid), len(flux))
        ends = np.cumsum([len(chunk) for chunk in chunks])[:-1] // spec.hop_length
        at_chunks = _near(ends.tolist(), len(flux))
        found["windows"].append(flux[at_windows])
        found["chunks"].append(flux[at_chunks])
        found["elsewhere"].append(flux[~at_windows & ~at_chunks])
    return {"n": count, **{name: _flux_summary(parts) for name, parts in found.items()}}


def spectral_flux(samples: Samples, spec: MelSpec) -> NDArray[np.float64]:
    """(T,) dB, of the change that leads to each frame; 0 for the first."""
    mel = log_mel(samples, spec).astype(np.float64) * DB_RANGE / 2
    return np.abs(np.diff(mel, axis=1, prepend=mel[:, :1])).mean(axis=0)


def window_frames(n_frames: int, spec: MelSpec, grid: Grid) -> list[int]:
    """Where the windows of a stream begin to be heard, and where the ones before them end."""
    per_column = spec.n_frames // grid.width
    overlap = overlap_columns(grid.width)
    fresh = fresh_columns(grid.width) * per_column
    starts = range(fresh, n_frames, fresh)
    frames = [frame for start in starts for frame in (start, start + overlap * per_column)]
    return [frame for frame in frames if frame < n_frames]


def _near(frames: Sequence[int], n_frames: int) -> NDArray[np.bool_]:
    flags = np.zeros(n_frames, dtype=np.bool_)
    for frame in frames:
        flags[max(0, frame - NEAR_FRAMES) : frame + NEAR_FRAMES + 1] = True
    return flags


def _flux_summary(parts: list[NDArray[np.float64]]) -> Scores | None:
    flux = np.concatenate(parts)
    if not flux.size:
        return None
    median, high = np.percentile(flux, [50, 95])
    return {
        "n_frames": len(flux),
        "median_db": round(float(median), 3),
        "p95_db": round(float(high), 3),
    }
