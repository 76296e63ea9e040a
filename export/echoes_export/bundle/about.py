"""What a manifest says that the models do not."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from echoes_rt import __version__
from echoes_rt.errors import InputError
from echoes_rt.format.manifest import Manifest
from echoes_rt.format.sampling import Sampling, SamplingOptions
from echoes_training import checkpoint
from echoes_training.bundles import folded_sampling
from echoes_training.data.index import Clip, shared_labels


@dataclass(frozen=True, kw_only=True)
class About:
    """What a manifest says that the models do not.

    Attributes:
        card: text of the model card; empty for a generated one.
        base_card: that of the bundle it is made from, which the card then holds.
    """

    name: str
    license: str = "Apache-2.0"
    created_by: str = f"echoes-rt {__version__}"
    description: str = ""
    labels: dict[str, list[str]] = field(default_factory=dict)
    sampling: Sampling = field(default_factory=Sampling)
    card: str = ""
    base_card: str = ""


def about_bundle(
    base: Manifest | None,
    random: str | None,
    *,
    transformer: Path | None = None,
    name: str | None,
    license_name: str | None,
    description: str,
    labels: dict[str, list[str]],
    card: str,
    base_card: str,
    sampling: tuple[str, ...],
) -> About:
    """What the command line says, and where it says nothing, what the base bundle does.

    Args:
        base: of the bundle that some of the models come from.
        random: the preset of untrained models.
        transformer: its run, if it has one: a distilled one says how it decodes.
        name: of the bundle.
        license_name: its licence.
        description: a sentence.
        labels: from ``labels_known``.
        card: text of the model card.
        base_card: of the base bundle, whose attributions hold for what is made of it.
        sampling: ``key=value`` settings.

    Raises:
        InputError: if a sampling setting cannot be used.
    """
    usual = f"echoes-{random}-random" if random else "echoes-mini"
    return About(
        name=name or (f"{base.name}-tuned" if base else usual),
        license=license_name or (base.license if base else About.license),
        description=description,
        labels=labels,
        card=card,
        base_card=base_card,
        sampling=_recommended(_usual(base, transformer), sampling),
    )


def _usual(base: Manifest | None, transformer: Path | None) -> Sampling:
    """How the transformer decodes where nobody says otherwise."""
    taught = None if transformer is None else folded_sampling(transformer)
    if taught is not None:
        return taught
    is_of_another = base is not None and base.sampling.is_folded and transformer is not None
    return Sampling() if base is None or is_of_another else base.sampling


def _recommended(defaults: Sampling, assignments: tuple[str, ...]) -> Sampling:
    # Whether guidance is folded in, the weights have decided.
    allowed = SamplingOptions.__annotations__
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        if not separator or key not in allowed:
            raise InputError(
                f"--sampling needs KEY=VALUE with one of {', '.join(allowed)}, got {assignment}"
            )
        kind = type(getattr(defaults, key))
        try:
            value: Any = tuple(map(float, text.split(","))) if kind is tuple else kind(text)
            defaults = dataclasses.replace(defaults, **{key: value})
        except ValueError as error:
            raise InputError(f"--sampling {assignment}: {error}") from error
    return defaults


def labels_known(
    clips: list[Clip], transformer: Path | None, base: Manifest | None
) -> dict[str, list[str]]:
    """What the transformer was trained on: its run's labels, else the base's; and the media's.

    Args:
        clips: that the bundle is verified on.
        transformer: its run, if it is not the base's.
        base: of the bundle that the other models come from.
    """
    known = {} if base is None else base.labels
    if transformer is not None:
        known = checkpoint.load_config(transformer).get("labels", {})
    return dict(sorted((known | shared_labels(clips)).items()))
