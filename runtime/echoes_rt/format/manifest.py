"""The manifest of a bundle: its record in Python, checked when read and when written."""

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from echoes_rt.errors import ManifestError
from echoes_rt.format.graphs import INT8, DataFile, GraphEntry
from echoes_rt.format.image import ImageSpec
from echoes_rt.format.json_fields import parse_json, shown
from echoes_rt.format.mel import MelSpec
from echoes_rt.format.sampling import Sampling
from echoes_rt.format.schema import BrokenRuleError, check, schema
from echoes_rt.format.tokens import Grid, TokenLayout

__all__ = ["FORMAT_VERSION", "MANIFEST_NAME", "DataFile", "GraphEntry", "Manifest"]

FORMAT_VERSION = 2
MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 1 << 20

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """All that a runtime must know of a bundle; ``docs/format.md`` explains it.

    Attributes:
        labels: the sounds that the model knows, each with the categories of the pictures that
            taught it; either may be empty.
        graphs: by the names of docs/format.md; other names are kept, never run.
    """

    name: str
    license: str
    created_by: str
    image: ImageSpec
    mel: MelSpec
    tokens: TokenLayout
    sampling: Sampling
    graphs: dict[str, GraphEntry]
    labels: dict[str, list[str]] = field(default_factory=dict)
    description: str = ""

    @property
    def files(self) -> dict[str, DataFile]:
        """Every file but the manifest, once, by name."""
        return {part.file: part for entry in self.graphs.values() for part in entry.files}

    @property
    def knows(self) -> str:
        """The labels in a line, with the categories of their pictures where these say more."""
        return ", ".join(
            f"{label} ({', '.join(taught)})" if {*taught} - {label} else label
            for label, taught in self.labels.items()
        )

    @property
    def is_int8(self) -> bool:
        """Whether graphs multiply in int8 under their usual names, so that nothing is to choose."""
        entries = self.graphs.items()
        return any(e.precision == "int8" and not name.endswith(INT8) for name, e in entries)

    @classmethod
    def from_dict(cls, data: object) -> "Manifest":
        """Reads parsed JSON.

        Raises:
            ManifestError: naming the first key that breaks a rule.
        """
        if not isinstance(data, dict):
            raise ManifestError(f"the manifest must be a JSON object, got {shown(data)}")
        try:
            return cls._from_checked(check(data, schema()))
        except BrokenRuleError as error:
            raise ManifestError(f"manifest key {error}") from error

    @classmethod
    def _from_checked(cls, data: dict[str, Any]) -> "Manifest":
        """Raises BrokenRuleError for what a schema cannot say."""
        manifest = cls(
            **{key: data[key] for key in ("name", "license", "created_by", "description")},
            labels=data["labels"],
            image=_build("image", ImageSpec, data["image"]),
            mel=_build("mel", MelSpec, data["mel"]),
            tokens=TokenLayout(
                **{
                    medium: _build(f"tokens.{medium}", Grid, part)
                    for medium, part in data["tokens"].items()
                }
            ),
            sampling=_build("sampling", Sampling, data["sampling"]),
            graphs={name: _graph(entry) for name, entry in data["graphs"].items()},
        )
        n_columns = manifest.tokens.audio.width
        if manifest.mel.n_frames % n_columns:
            raise BrokenRuleError(
                "mel.n_frames",
                f"must be a multiple of tokens.audio.width, {n_columns}, got "
                f"{manifest.mel.n_frames}",
            )
        _check_files(manifest.graphs)
        return manifest

    @classmethod
    def read(cls, path: Path | str) -> "Manifest":
        """Reads a manifest file.

        Raises:
            ManifestError: if it cannot be read or breaks a rule; the message begins with the path.
        """
        path = Path(path)
        try:
            with path.open("rb") as file:
                text = file.read(MAX_MANIFEST_BYTES + 1)
        except OSError as error:
            raise ManifestError(f"{path}: cannot be read: {error.strerror}") from error
        if len(text) > MAX_MANIFEST_BYTES:
            raise ManifestError(f"{path}: is larger than the {MAX_MANIFEST_BYTES} bytes allowed")
        try:
            return cls.from_dict(parse_json(text))
        except ManifestError as error:
            raise ManifestError(f"{path}: {error}") from error

    def to_dict(self) -> dict[str, object]:
        return {
            "format_version": FORMAT_VERSION,
            "name": self.name,
            "license": self.license,
            "created_by": self.created_by,
            "description": self.description,
            "labels": self.labels,
            "image": asdict(self.image) | {"mean": [*self.image.mean], "std": [*self.image.std]},
            "mel": asdict(self.mel),
            "tokens": {
                medium: asdict(grid) | {"order": [*grid.order]}
                for medium, grid in self.tokens.grids.items()
            },
            "sampling": self.sampling.to_dict(),
            "graphs": {
                name: asdict(entry) | {"external_data": [asdict(p) for p in entry.external_data]}
                for name, entry in self.graphs.items()
            },
        }

    def write(self, path: Path | str) -> None:
        """Writes the manifest after checking it by the rules that a reader applies.

        Raises:
            ManifestError: if a reader would refuse it.
        """
        data = self.to_dict()
        self.from_dict(data)
        text = json.dumps(data, indent=2)
        # A line for each list of numbers keeps diffs readable.
        text = re.sub(r"\[[-\d.,\s]+\]", lambda found: " ".join(found[0].split()), text)
        Path(path).write_text(text + "\n", encoding="utf-8")


def _build(key: str, cls: type[T], values: dict[str, Any]) -> T:
    try:
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
    except ValueError as error:
        raise BrokenRuleError(key, f"is refused: {error}") from error


def _graph(entry: dict[str, Any]) -> GraphEntry:
    external = tuple(DataFile(**part) for part in entry["external_data"])
    return GraphEntry(**{**entry, "external_data": external})


def _check_files(graphs: dict[str, GraphEntry]) -> None:
    """A file that two graphs share must have one size and one checksum."""
    known: dict[str, DataFile] = {}
    for name, entry in graphs.items():
        for part in entry.files:
            if known.setdefault(part.file, part) != part:
                raise BrokenRuleError(
                    f"graphs.{name}",
                    f"must give file {part.file} the sha256 and size_bytes that another graph "
                    f"gives it, got {part.sha256}, {part.size_bytes}",
                )
