"""TensorRT engine files: their names, the record beside each, and whether one still fits.

``decode_audio.rtx.sm89.fp16.engine`` lies in a bundle's ``engines`` folder, its record beside it,
with ``.json`` behind the name. An engine runs only where all of its ``EngineKey`` holds.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from echoes_rt.errors import BackendError, EchoesError
from echoes_rt.format.graphs import DataFile, TensorSpec

SCHEMA = 2
"""Of the record, and of the graphs that engines are built from: other numbers are stale."""

ENGINES_FOLDER = "engines"
FLAVOURS = ("rtx", "tensorrt")
"""TensorRT-RTX, whose engines are built anywhere, and TensorRT, which builds where they run."""

PRECISIONS = ("fp32", "fp16", "int8")

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class EngineKey:
    """All that an engine depends on.

    Attributes:
        graph: a name of docs/format.md.
        flavour: one of ``FLAVOURS``.
        version: of that library, such as 1.7.1.116.
        sm: compute capability times ten, such as 89.
        precision: one of ``PRECISIONS``.
        model_sha256: ``model_sha256`` of the bundle's files.
        driver: version of the GPU driver that chose its kernels; None where none did.
        l4t: release of Jetson Linux, such as 36.4.3; None anywhere else.
    """

    graph: str
    flavour: str
    version: str
    sm: int
    precision: str
    model_sha256: str
    driver: str | None = None
    l4t: str | None = None

    @property
    def file_name(self) -> str:
        return f"{self.graph}.{self.flavour}.sm{self.sm}.{self.precision}.engine"


@dataclass(frozen=True, kw_only=True)
class EngineFile:
    """The record beside an engine.

    Attributes:
        engine_sha256: of the engine file.
        inputs: as the engine has them; a str in a shape is a free dimension.
        outputs: likewise.
        ranges: smallest, usual and largest size of each free dimension.
        calibration_sha256: of the pictures that int8 scales were measured on.
        build_s: how long building took.
    """

    key: EngineKey
    engine_sha256: str
    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]
    ranges: dict[str, tuple[int, int, int]]
    calibration_sha256: str | None = None
    build_s: float = 0.0

    def write(self, engine: Path) -> None:
        """Writes the record of ``engine``, whole or not at all."""
        record = asdict(self)
        data = {"schema": SCHEMA, **record.pop("key"), **record}
        partial = engine.with_name(f".{engine.name}.json.partial")
        partial.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
        partial.replace(record_path(engine))

    @classmethod
    def read(cls, engine: Path) -> "EngineFile":
        """Reads the record of ``engine``.

        Raises:
            BackendError: if there is none, or it is of another schema or damaged.
        """
        path = record_path(engine)
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data.pop("schema") != SCHEMA:
                raise BackendError(f"{engine} was built by another version of echoes-rt; {_MEND}")
            key = EngineKey(**{name: data.pop(name) for name in EngineKey.__dataclass_fields__})
            inputs, outputs = (_tensors(data.pop(side)) for side in ("inputs", "outputs"))
            ranges = {name: _range(*sizes) for name, sizes in data.pop("ranges").items()}
            free = {d for spec in inputs.values() for d in spec.shape if isinstance(d, str)}
            if free != ranges.keys():
                raise ValueError
            return cls(key=key, inputs=inputs, outputs=outputs, ranges=ranges, **data)
        except OSError as error:
            reason = f"{path} cannot be read: {error.strerror}"
            raise BackendError(f"{reason}; {_MEND}") from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BackendError(f"{path} is no record of an engine; {_MEND}") from error

    def check(self, engine: Path, wanted: EngineKey) -> None:
        """Refuses an engine that is stale, made for another machine, or damaged.

        Raises:
            BackendError: naming the first thing that does not fit.
        """
        found = self.key
        for name, text in _DIFFERENCES.items():
            built, here = getattr(found, name), getattr(wanted, name)
            # An engine that no driver or Jetson had a part in does not depend on them.
            is_free = name in ("driver", "l4t") and built is None
            if built != here and not is_free:
                said = text.format(built=built, here=here)
                raise BackendError(f"engine {engine} {said}; {_MEND}")
        if file_sha256(engine) != self.engine_sha256:
            raise BackendError(f"engine {engine} is damaged: its sha256 is another; {_MEND}")


_MEND = "build it again with echoes-export engine"

# The model first: of an engine for other weights nothing else matters.
_DIFFERENCES = {
    "graph": "holds graph {built}, not {here}",
    "model_sha256": "was built from another bundle",
    "flavour": "is of {built}, and {here} runs here",
    "version": "was built by version {built}, and version {here} runs here",
    "sm": "was built for sm_{built}, and this is sm_{here}",
    "precision": "computes in {built}, and {here} was asked for",
    "driver": "was built with driver {built}, and driver {here} runs here",
    "l4t": "was built on Jetson Linux {built}, and this is {here}",
}


def record_path(engine: Path) -> Path:
    return engine.with_name(f"{engine.name}.json")


def model_sha256(files: Iterable[DataFile]) -> str:
    """One hash for a bundle: of the names and hashes of all its files (``Manifest.files``)."""
    lines = sorted(f"{file.sha256}  {file.file}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def file_sha256(path: Path, error_kind: type[EchoesError] = BackendError) -> str:
    """In hexadecimal digits.

    Raises:
        error_kind: if the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise error_kind(f"{path} cannot be read: {error.strerror}") from error
    return digest.hexdigest()


def _tensors(data: dict[str, dict[str, object]]) -> dict[str, TensorSpec]:
    return {
        name: TensorSpec(dtype=str(entry["dtype"]), shape=tuple(entry["shape"]))  # type: ignore[arg-type]
        for name, entry in data.items()
    }


def _range(smallest: int, usual: int, largest: int) -> tuple[int, int, int]:
    return int(smallest), int(usual), int(largest)
