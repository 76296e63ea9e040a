"""Untrained models of a named size, and the bundle made of them."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from echoes_export.bundle.about import About
from echoes_export.bundle.models import Models, random_models
from echoes_export.bundle.weights_file import rounded
from echoes_export.bundle.write import write_bundle
from echoes_export.precision.quantize import add_int8_graphs
from echoes_rt.bundle import Bundle
from echoes_rt.format.sampling import Sampling
from echoes_training.presets import PRESETS


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One size: the same weights for torch and for the bundle.

    Attributes:
        bundle: with int8 graphs, too.
        sampling: of the teacher's plain loop, which the other engines run.
        student: of ours; docs/results.md says how the two compare by the ear.
        members: sounds of one run.
    """

    size: str
    models: Models
    bundle: Bundle
    sampling: Sampling
    student: Sampling
    members: int = 1

    @property
    def picture(self) -> NDArray[np.float32]:
        """(members, 3, H, W) of noise."""
        spec = self.models.image
        shape = (self.members, 3, spec.height, spec.width)
        return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)

    @property
    def texture(self) -> dict[str, NDArray[np.float32]]:
        """The noise of a mel decoder that draws what codes leave open; nothing of another."""
        shape = self.models.mel_codec.noise_shape(self.models.layout.audio)
        drawn = np.random.default_rng(0).random((self.members, *shape), dtype=np.float32)
        return {"noise": drawn} if shape else {}

    @property
    def duration_s(self) -> float:
        return self.models.mel.duration_s


def make_subject(size: str, work: Path, sampling: Sampling, student: Sampling) -> Subject:
    """Exports to ``work``; speed does not depend on what weights know."""
    preset = PRESETS[size]
    models = rounded(random_models(preset, seed=0), "fp16")
    most = preset.layout.audio.n_tokens
    sampling, student = (replace(s, steps=min(s.steps, most)) for s in (sampling, student))
    folder = work / size
    about = About(name=f"bench-{size}", description="Random weights.", sampling=student)
    write_bundle(folder, models, about, weights="fp16", accept=lambda _: None)
    add_int8_graphs(folder)
    return Subject(
        size=size,
        models=models,
        bundle=Bundle.open(folder),
        sampling=sampling,
        student=student,
    )
