"""Cached codes: what the transformer reads instead of pictures and sounds."""

import json
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from echoes_rt.errors import InputError
from echoes_rt.io.output_file import written


@dataclass(frozen=True, kw_only=True)
class TokenTable:
    """The codes of many views of one medium.

    Attributes:
        codes: (M, n) int16, one view a row.
        group: (M,) int32; pictures and sounds of the same group belong together, -1 is unpaired.
        validation: (M,) bool: not trained on.
    """

    codes: NDArray[np.int16]
    group: NDArray[np.int32]
    validation: NDArray[np.bool_]

    def rows_by_group(self, *, validation: bool) -> dict[int, NDArray[np.int64]]:
        chosen = np.flatnonzero((self.validation == validation) & (self.group >= 0))
        chosen = chosen[np.argsort(self.group[chosen], kind="stable")]
        groups, first = np.unique(self.group[chosen], return_index=True)
        # One sort for all groups: with a group a clip there may be hundreds of thousands.
        return dict(zip(groups.tolist(), np.split(chosen, first[1:]), strict=False))


@dataclass(frozen=True, kw_only=True)
class TokenCache:
    """Both media, the codebooks that the codes point into, the groups' names and the labels."""

    image: TokenTable
    audio: TokenTable
    image_codebook: NDArray[np.float32]
    audio_codebook: NDArray[np.float32]
    groups: list[str]
    labels: dict[str, list[str]] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Writes one safetensors file, complete or not at all."""
        tensors: dict[str, NDArray[np.generic]] = {
            "image.codebook": self.image_codebook,
            "audio.codebook": self.audio_codebook,
        }
        for name, table in (("image", self.image), ("audio", self.audio)):
            tensors |= {f"{name}.{key}": values for key, values in vars(table).items()}
        # One entry: safetensors writes several in an order that changes from file to file.
        names = json.dumps({"groups": self.groups, "labels": self.labels})
        with written(path) as partial:
            save_file(tensors, partial, metadata={"names": names})

    @classmethod
    def load(cls, path: Path) -> "TokenCache":
        """The arrays stay in the file until their rows are read, and processes share them.

        Raises:
            InputError: if the file is not a token cache.
        """
        from safetensors import SafetensorError, safe_open

        try:
            # For torch, unlike for numpy, the tensors are views of the file, mapped into memory.
            with safe_open(path, framework="pt") as file:
                tensors = {name: file.get_tensor(name).numpy() for name in file.keys()}  # noqa: SIM118
                names = json.loads(file.metadata()["names"])
            keys = [field.name for field in fields(TokenTable)]
            tables = {
                name: TokenTable(**{key: tensors[f"{name}.{key}"] for key in keys})
                for name in ("image", "audio")
            }
            return cls(
                **tables,
                image_codebook=tensors["image.codebook"],
                audio_codebook=tensors["audio.codebook"],
                groups=names["groups"],
                labels=names["labels"],
            )
        except (OSError, KeyError, TypeError, SafetensorError) as error:
            raise InputError(f"{path} is not a token cache; run echoes-train tokenize") from error
