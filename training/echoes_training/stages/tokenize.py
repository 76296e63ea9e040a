"""Turns pictures and sounds into codes, once, in many augmented views."""

import itertools
import logging
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from echoes_rt.errors import InputError
from echoes_training.data.audio import ALIGNED
from echoes_training.data.index import Clip, shared_labels
from echoes_training.data.tokens import TokenCache, TokenTable
from echoes_training.device import pick_device
from echoes_training.models.codec import Codec
from echoes_training.stages.codecs import TrainedCodec
from echoes_training.stages.media import Medium, Mels, Pictures, by_recording

logger = logging.getLogger(__name__)

BATCH = 32
RENDERED = 0.25
"""Share of a label's views that are of a soundfont, where there are recordings, too."""
OF_ONE = 0.1
"""Largest share of such a label's views that are of one recording."""


def tokenize(
    clips: list[Clip],
    image: TrainedCodec,
    mel: TrainedCodec,
    *,
    image_views: int,
    audio_views: int,
    unpaired_views: int,
    seed: int,
) -> TokenCache:
    """Encodes every clip: augmented views of what is trained on, the plain view of what is not.

    Args:
        clips: pictures, sounds and pairs.
        image: the picture codec.
        mel: the mel codec.
        image_views: views of a picture that has a partner, in the mean of its group.
        audio_views: views of a sound that has a partner, in the mean of its group.
        unpaired_views: views of a clip that has none.
        seed: of the augmentation.
    """
    groups = _groups(clips)
    names = sorted({name for name in groups if name is not None})
    ids = [-1 if name is None else names.index(name) for name in groups]
    group_of = dict(zip(map(id, clips), ids, strict=True))

    def table(medium: Medium, codec: Codec, views: int, salt: int) -> TokenTable:
        members: dict[int, list[Clip]] = {}
        jobs: list[Clip] = []
        for clip in itertools.chain.from_iterable(medium.clips.values()):
            if clip.split == "validation":
                jobs.append(clip)
            else:
                members.setdefault(group_of[id(clip)], []).append(clip)
        for group, of_group in members.items():
            jobs += spread(of_group, len(of_group) * (views if group >= 0 else unpaired_views))
        codes = np.concatenate(list(_encode(medium, codec, jobs, (seed, salt))))
        return TokenTable(
            codes=codes,
            group=np.array([group_of[id(c)] for c in jobs], np.int32),
            validation=np.array([c.split == "validation" for c in jobs], np.bool_),
        )

    cache = TokenCache(
        image=table(Pictures(clips, image), image.model, image_views, 0),
        audio=table(Mels(clips, mel, ALIGNED), mel.model, audio_views, 1),
        image_codebook=image.model.codebook.cpu().numpy(),
        audio_codebook=mel.model.codebook.cpu().numpy(),
        groups=names,
        labels=shared_labels(clips),
    )
    logger.info(
        "%d views of pictures, %d of sounds, %d groups",
        len(cache.image.codes),
        len(cache.audio.codes),
        len(names),
    )
    return cache


def spread(clips: list[Clip], n_views: int) -> list[Clip]:
    """Of which clip each view is: a recording with many clips counts no more than one with one.

    Where a label has recordings, what a soundfont plays is a quarter of it: it is there in any
    number, and it is not what a picture of the thing makes anyone expect. Of few recordings it is
    more, or the label would be one of them.
    """
    rendered = [clip for clip in clips if clip.source == "soundfont"]
    recorded = [clip for clip in clips if clip.source != "soundfont"]
    if not rendered or not recorded:
        return _in_turns(clips, n_views)
    n_recordings = len(by_recording(recorded))
    n_recorded = round(n_views * min(1 - RENDERED, OF_ONE * n_recordings))
    return _in_turns(recorded, n_recorded) + _in_turns(rendered, n_views - n_recorded)


def _in_turns(clips: list[Clip], n_views: int) -> list[Clip]:
    recordings = by_recording(clips)
    rounds = (divmod(i, len(recordings)) for i in range(n_views))
    return [recordings[which][turn % len(recordings[which])] for turn, which in rounds]


def _groups(clips: list[Clip]) -> list[str | None]:
    """What a clip belongs to: its own pair, or its label if both media have it."""
    shared = shared_labels(clips)
    names: list[str | None] = []
    for i, clip in enumerate(clips):
        if clip.image and clip.audio:
            names.append(f"pair:{i}")
        else:
            names.append(f"label:{clip.label}" if clip.label in shared else None)
    if not any(names):
        raise InputError("the index has no pair: no clip with both media and no label in both")
    return names


@torch.no_grad()
def _encode(
    medium: Medium, codec: Codec, jobs: list[Clip], seed: tuple[int, int]
) -> Iterator[NDArray[np.int16]]:
    device = pick_device("auto")
    codec = codec.to(device)
    for at in tqdm(range(0, len(jobs), BATCH), mininterval=5, unit="batch"):
        part = jobs[at : at + BATCH]
        views = [
            medium.batch(
                [clip],
                None if clip.split == "validation" else np.random.default_rng((*seed, at + i)),
            )
            for i, clip in enumerate(part)
        ]
        codes = codec.encode(torch.cat(views).to(device))
        yield codes.flatten(1).cpu().numpy().astype(np.int16)
