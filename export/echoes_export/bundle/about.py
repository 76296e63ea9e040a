"""What a manifest says that the models do not."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from echoes_rt import __version__
from echoes_rt.errors import InputError
from echoes_rt.format.manifest import Manifest
from echoes_rt.format.sampling import Sampling
from echoes_training.data.index import Clip


@dataclass(frozen=True, kw_only=True)
class About:
    """What a manifest says that the models do not.

    Attributes:
        card: text of the model card; empty for a generated one.
    """

    name: str
    license: str = "Apache-2.0"
    created_by: str = f"echoes-rt {__version__}"
    description: str = ""
    labels: tuple[str, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)
    card: str = ""


def about_bundle(
    base: Manifest | None,
    random: str | None,
    *,
    name: str | None,
    license_name: str | None,
    description: str,
    labels: tuple[str, ...],
    card: str,
    sampling: tuple[str, ...],
) -> About:
    """What the command line says, and where it says nothing, what the base bundle does.

    Args:
        base: of the bundle that some of the models come from.
        random: the preset of untrained models.
        name: of the bundle.
        license_name: its licence.
        description: a sentence.
        labels: of the media that it was verified on; those of the base stay.
        card: text of the model card.
        sampling: ``key=value`` settings.

    Raises:
        InputError: if a sampling setting cannot be used.
    """
    usual = f"echoes-{random}-random" if random else "echoes-mini"
    return About(
        name=name or (f"{base.name}-tuned" if base else usual),
        license=license_name or (base.license if base else About.license),
        description=description,
        labels=tuple(sorted({*labels, *(base.labels if base else ())})),
        card=card,
        sampling=_recommended(base.sampling if base else Sampling(), sampling),
    )


def _recommended(defaults: Sampling, assignments: tuple[str, ...]) -> Sampling:
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        if not separator or not hasattr(defaults, key):
            allowed = ", ".join(vars(defaults))
            raise InputError(f"--sampling needs KEY=VALUE with one of {allowed}, got {assignment}")
        kind = type(getattr(defaults, key))
        try:
            value: Any = tuple(map(float, text.split(","))) if kind is tuple else kind(text)
            defaults = dataclasses.replace(defaults, **{key: value})
        except ValueError as error:
            raise InputError(f"--sampling {assignment}: {error}") from error
    return defaults


def labels_of(clips: list[Clip]) -> tuple[str, ...]:
    """Those that pictures and sounds share, sorted."""
    with_image = {clip.label for clip in clips if clip.image and clip.label}
    with_audio = {clip.label for clip in clips if clip.audio and clip.label}
    return tuple(sorted(with_image & with_audio))
