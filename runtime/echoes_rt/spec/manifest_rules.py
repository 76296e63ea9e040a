"""The rules that a manifest must keep, key by key."""

import re

from echoes_rt.errors import ManifestError
from echoes_rt.spec.graph_entry import DataFile, GraphEntry
from echoes_rt.spec.graphs import Dim, GraphSpec, TensorSpec, graph_specs
from echoes_rt.spec.image import ImageSpec
from echoes_rt.spec.json_fields import Field, Object, shown
from echoes_rt.spec.mel import MelSpec
from echoes_rt.spec.sampling import GUIDANCE_SCHEDULES, SamplingDefaults
from echoes_rt.spec.tokens import Grid, TokenLayout

MANIFEST_NAME = "manifest.json"

REQUIRED_GRAPHS = ("image_encoder", "step", "mel_decoder", "vocoder")
"""What image to audio needs; the other graphs of spec.graphs may be missing."""

PRECISIONS = ("fp32", "fp16", "int8")
DTYPES = ("float32", "float16", "int32", "int64", "uint8", "bool")

MAX_IMAGE_SIDE = 4096
MAX_GRID_SIDE = 1024
MAX_CODEBOOK_SIZE = 1 << 16
MAX_TOKENS = 1 << 14
MAX_FRAMES = 1 << 17
MAX_FILE_BYTES = 1 << 34
MAX_LABELS = 10_000

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_GRAPH_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
# Without control codes, which a terminal would obey.
_LINE = re.compile(r"(?!\s)[^\x00-\x1f\x7f-\x9f]{1,1000}")
_TEXT = re.compile(r"[^\x00-\x09\x0b-\x1f\x7f-\x9f]{0,10000}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
# Letters that mean the same on every file system: no backslash, no drive colon, no control code.
_FILE = re.compile(r"(?!/)[A-Za-z0-9._\-/ ]{1,255}(?<!/)")


def name(field: Field) -> str:
    return field.string(_NAME, "1 to 64 of a-z, 0-9, '.', '_', '-'")


def line(field: Field) -> str:
    return field.string(_LINE, "a line of text")


def text(field: Field) -> str:
    return field.string(_TEXT, "text of at most 10000 characters")


def labels(field: Field) -> tuple[str, ...]:
    labels = [line(item) for item in field.array(0, MAX_LABELS, "labels")]
    if len(set(labels)) < len(labels):
        raise field.wrong("an array without repeats")
    return tuple(labels)


def image(field: Field) -> ImageSpec:
    part = field.object()
    height, width = (part[key].integer(1, MAX_IMAGE_SIDE) for key in ("height", "width"))
    mean, std = (
        tuple(value.number(low, 255.0) for value in part[key].array(3, 3, "numbers"))
        for key, low in (("mean", -255.0), ("std", 1e-6))
    )
    return field.build(lambda: ImageSpec(height=height, width=width, mean=mean, std=std))  # type: ignore[arg-type]


def mel(field: Field, tokens: TokenLayout) -> MelSpec:
    part = field.object()
    sizes = {
        key: part[key].integer(1, limit)
        for key, limit in (
            ("sample_rate", 384_000),
            ("n_fft", 1 << 16),
            ("win_length", 1 << 16),
            ("hop_length", 1 << 16),
            ("n_mels", 1024),
            ("n_frames", MAX_FRAMES),
        )
    }
    f_min, f_max = (part[key].number(0.0, 192_000.0) for key in ("f_min", "f_max"))
    mel = field.build(lambda: MelSpec(**sizes, f_min=f_min, f_max=f_max))
    if mel.n_frames % tokens.audio.width:
        raise part["n_frames"].wrong(f"a multiple of tokens.audio.width, {tokens.audio.width}")
    return mel


def tokens(field: Field) -> TokenLayout:
    part = field.object()
    layout = TokenLayout(image=_grid(part["image"]), audio=_grid(part["audio"]))
    if layout.n_tokens > MAX_TOKENS:
        raise ManifestError(
            f"manifest key tokens must hold at most {MAX_TOKENS} tokens, got {layout.n_tokens}"
        )
    return layout


def _grid(field: Field) -> Grid:
    part = field.object()
    return Grid(
        height=part["height"].integer(1, MAX_GRID_SIDE),
        width=part["width"].integer(1, MAX_GRID_SIDE),
        codebook_size=part["codebook_size"].integer(1, MAX_CODEBOOK_SIZE),
    )


def sampling(field: Field, tokens: TokenLayout) -> SamplingDefaults:
    part = field.object()
    steps = part["steps"].integer(1, tokens.audio.n_tokens)
    dials = {
        key: part[key].number(0.0, 1000.0)
        for key in ("guidance_scale", "temperature", "choice_temperature")
    }
    schedule = part.get("guidance_schedule", "constant").choice(GUIDANCE_SCHEDULES)
    start, stop = (
        share.number(0.0, 1.0)
        for share in part.get("guidance_interval", [0.0, 1.0]).array(2, 2, "numbers")
    )
    return field.build(
        lambda: SamplingDefaults(
            steps=steps, guidance_schedule=schedule, guidance_interval=(start, stop), **dials
        )
    )


def graphs(field: Field) -> dict[str, GraphEntry]:
    part = field.object()
    for name in part.values:
        if not _GRAPH_NAME.fullmatch(name):
            raise ManifestError(
                "manifest key graphs must name graphs by 1 to 64 of a-z, 0-9, '_', got "
                f"{shown(name)}"
            )
    for name in REQUIRED_GRAPHS:
        part[name].object()
    return {name: _graph(entry.object()) for name, entry in part.items()}


def _graph(part: Object) -> GraphEntry:
    file = _data_file(part)
    external = part.get("external_data", []).array(0, 64, "files")
    return GraphEntry(
        file=file.file,
        sha256=file.sha256,
        size_bytes=file.size_bytes,
        precision=part["precision"].choice(PRECISIONS),
        signature=GraphSpec(inputs=_tensors(part["inputs"]), outputs=_tensors(part["outputs"])),
        external_data=tuple(_data_file(item.object()) for item in external),
    )


def _data_file(part: Object) -> DataFile:
    allowed = "a path inside the bundle's folder, of A-Z, a-z, 0-9, '.', '_', '-', ' ' and '/'"
    field = part["file"]
    file = field.string(_FILE, allowed)
    if any(step in ("", ".", "..") for step in file.split("/")):
        raise field.wrong(allowed)
    if file == MANIFEST_NAME:
        raise field.wrong(f"a file other than {MANIFEST_NAME}")
    return DataFile(
        file=file,
        sha256=part["sha256"].string(_SHA256, "64 lower-case hexadecimal digits"),
        size_bytes=part["size_bytes"].integer(1, MAX_FILE_BYTES),
    )


def _tensors(field: Field) -> dict[str, TensorSpec]:
    tensors = {}
    for name, tensor in field.object().items():
        dtype, shape = tensor.array(2, 2, "items, a dtype and a shape")
        tensors[name] = TensorSpec(
            dtype=dtype.choice(DTYPES),
            shape=tuple(_dim(dim) for dim in shape.array(0, 8, "dimensions")),
        )
    return tensors


def _dim(field: Field) -> Dim:
    if isinstance(field.value, str):
        return field.string(_GRAPH_NAME, "a dimension's name")
    return field.integer(1, (1 << 31) - 1)


def check_signatures(
    graphs: dict[str, GraphEntry], image: ImageSpec, mel: MelSpec, tokens: TokenLayout
) -> None:
    """Compares the signature of every graph that spec.graphs knows."""
    specs = graph_specs(image, mel, tokens)
    for name in graphs.keys() & specs.keys():
        for side in ("inputs", "outputs"):
            got, allowed = getattr(graphs[name].signature, side), getattr(specs[name], side)
            if got != allowed:
                raise ManifestError(
                    f"manifest key graphs.{name}.{side} must be {_tensors_text(allowed)}, as the "
                    f"keys image, mel and tokens say, got {_tensors_text(got)}"
                )


def check_files(graphs: dict[str, GraphEntry]) -> None:
    """A file that two graphs share must have one size and one checksum."""
    known: dict[str, DataFile] = {}
    for name, entry in graphs.items():
        for part in entry.files:
            if known.setdefault(part.file, part) != part:
                raise ManifestError(
                    f"manifest key graphs.{name} must give file {part.file} the sha256 and "
                    f"size_bytes that another graph gives it, got {part.sha256}, {part.size_bytes}"
                )


def _tensors_text(tensors: dict[str, TensorSpec]) -> str:
    return ", ".join(
        f"{name} {tensor.dtype} ({', '.join(str(dim) for dim in tensor.shape)})"
        for name, tensor in tensors.items()
    )
