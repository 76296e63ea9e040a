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
from echoes_training.data.index import read_index, shared_labels


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


def recommended(
    base: Manifest | None, transformer: Path | None, assignments: tuple[str, ...]
) -> Sampling:
    """How a bundle decodes where nobody says otherwise.

    Args:
        base: of the bundle that some of the models come from.
        transformer: its run, if it has one: a distilled one says how it decodes.
        assignments: ``key=value`` settings.

    Raises:
        InputError: if a setting cannot be used.
    """
    defaults = _usual(base, transformer)
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


def _usual(base: Manifest | None, transformer: Path | None) -> Sampling:
    taught = None if transformer is None else folded_sampling(transformer)
    if taught is not None:
        return taught
    is_of_another = base is not None and base.sampling.is_folded and transformer is not None
    return Sampling() if base is None or is_of_another else base.sampling


def labels_known(
    index: Path | None, transformer: Path | None, base: Manifest | None
) -> dict[str, list[str]]:
    """What the transformer was trained on: its run's labels, else the base's; and the media's.

    Args:
        index: of the media that the bundle is verified on.
        transformer: its run, if it is not the base's.
        base: of the bundle that the other models come from.
    """
    known = {} if base is None else base.labels
    if transformer is not None:
        known = checkpoint.load_config(transformer).get("labels", {})
    clips = [] if index is None else read_index(index)
    return dict(sorted((known | shared_labels(clips)).items()))
