"""The manifest of a bundle: its record in Python, checked when read and when written."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from echoes_rt.errors import ManifestError
from echoes_rt.spec import manifest_rules as rules
from echoes_rt.spec.graph_entry import DataFile, GraphEntry
from echoes_rt.spec.image import ImageSpec
from echoes_rt.spec.json_fields import Object, parse_json, shown
from echoes_rt.spec.manifest_rules import MANIFEST_NAME
from echoes_rt.spec.mel import MelSpec
from echoes_rt.spec.sampling import SamplingDefaults
from echoes_rt.spec.tokens import TokenLayout

__all__ = ["FORMAT_VERSION", "MANIFEST_NAME", "DataFile", "GraphEntry", "Manifest"]

FORMAT_VERSION = 1
MAX_MANIFEST_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """All that a runtime must know of a bundle; ``docs/manifest.md`` has the limits.

    Attributes:
        labels: the sound classes that the model knows; may be empty.
        graphs: by the names of spec.graphs; names unknown there are kept, never run.
    """

    name: str
    license: str
    created_by: str
    image: ImageSpec
    mel: MelSpec
    tokens: TokenLayout
    sampling: SamplingDefaults
    graphs: dict[str, GraphEntry]
    labels: tuple[str, ...] = ()
    description: str = ""

    @property
    def files(self) -> dict[str, DataFile]:
        """Every file but the manifest, once, by name."""
        return {part.file: part for entry in self.graphs.values() for part in entry.files}

    @classmethod
    def from_dict(cls, data: object) -> "Manifest":
        """Reads parsed JSON.

        Raises:
            ManifestError: naming the first key that breaks a rule.
        """
        if not isinstance(data, dict):
            raise ManifestError(f"the manifest must be a JSON object, got {shown(data)}")
        root = Object("", data)
        _check_version(root)
        tokens = rules.tokens(root["tokens"])
        manifest = cls(
            name=rules.name(root["name"]),
            license=rules.line(root["license"]),
            created_by=rules.line(root["created_by"]),
            description=rules.text(root.get("description", "")),
            labels=rules.labels(root["labels"]),
            image=rules.image(root["image"]),
            mel=rules.mel(root["mel"], tokens),
            tokens=tokens,
            sampling=rules.sampling(root["sampling"], tokens),
            graphs=rules.graphs(root["graphs"]),
        )
        rules.check_signatures(manifest.graphs, manifest.image, manifest.mel, manifest.tokens)
        rules.check_files(manifest.graphs)
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
            "labels": list(self.labels),
            "image": asdict(self.image) | {"mean": [*self.image.mean], "std": [*self.image.std]},
            "mel": asdict(self.mel),
            "tokens": asdict(self.tokens),
            "sampling": asdict(self.sampling)
            | {"guidance_interval": [*self.sampling.guidance_interval]},
            "graphs": {name: entry.to_dict() for name, entry in self.graphs.items()},
        }

    def write(self, path: Path | str) -> None:
        """Writes the manifest after checking it by the rules that a reader applies.

        Raises:
            ManifestError: if a reader would refuse it.
        """
        data = self.to_dict()
        self.from_dict(data)
        Path(path).write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def _check_version(root: Object) -> None:
    version = root["format_version"].value
    if isinstance(version, bool | float) or version != FORMAT_VERSION:
        raise ManifestError(
            f"manifest key format_version must be {FORMAT_VERSION}, got {shown(version)}; "
            "install the version of echoes-rt that reads this bundle"
        )
