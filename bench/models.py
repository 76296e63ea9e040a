"""Untrained models of a named size, and the bundles made of them."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from echoes_export.bundle.about import About
from echoes_export.bundle.models import Models, random_models
from echoes_export.bundle.write import write_bundle
from echoes_export.precision.quantize import quantize_bundle
from echoes_export.precision.stored import rounded
from echoes_rt.bundle import Bundle
from echoes_rt.format.sampling import Sampling
from echoes_training.presets import PRESETS


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One size: the same weights for torch and for both bundles."""

    size: str
    models: Models
    bundle: Bundle
    int8: Bundle
    sampling: Sampling

    @property
    def picture(self) -> NDArray[np.float32]:
        """(1, 3, H, W) of noise."""
        spec = self.models.image
        shape = (1, 3, spec.height, spec.width)
        return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)

    @property
    def duration_s(self) -> float:
        return self.models.mel.duration_s


def make_subject(size: str, work: Path, sampling: Sampling) -> Subject:
    """Exports to ``work``; speed does not depend on what weights know."""
    preset = PRESETS[size]
    models = rounded(random_models(preset, seed=0), "fp16")
    sampling = replace(sampling, steps=min(sampling.steps, preset.layout.audio.n_tokens))
    plain, small = work / size, work / f"{size}-int8"
    about = About(name=f"bench-{size}", description="Random weights.", sampling=sampling)
    write_bundle(plain, models, about, weights="fp16", accept=lambda _: None)
    quantize_bundle(Bundle.open(plain), small, f"bench-{size}-int8", accept=lambda _: None)
    return Subject(
        size=size,
        models=models,
        bundle=Bundle.open(plain),
        int8=Bundle.open(small),
        sampling=sampling,
    )
