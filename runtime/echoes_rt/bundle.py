"""Finding, opening and verifying bundles."""

import hashlib
import os
import weakref
import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from echoes_rt.bundle_zip import unpack
from echoes_rt.errors import BundleError
from echoes_rt.format.engine_file import file_sha256
from echoes_rt.format.external_data import external_locations
from echoes_rt.format.graphs import DataFile
from echoes_rt.format.manifest import MANIFEST_NAME, Manifest
from echoes_rt.io.leftovers import ScratchFolder

DEFAULT_BUNDLE = "echoes-mini"
BUNDLE_VARIABLE = "ECHOES_RT_BUNDLE"
BUNDLED_FOLDER = Path(__file__).parent / "bundles"

CARD_NAME = "README.md"
"""The model card: what taught each label, sources, licences, figures."""

MAX_GRAPH_BYTES = 1 << 31


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A verified bundle.

    Attributes:
        source: the folder or zip that was opened.
        folder: where the files lie; a temporary folder if ``source`` is a zip, which goes when
            the Bundle does.
    """

    source: Path
    folder: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: Path | str) -> "Bundle":
        """Opens a bundle's folder, or a zip of it, and verifies every file that it lists.

        Files may be links, as in the cache of the Hugging Face hub: their checksums say what they
        are.

        Raises:
            ManifestError: if the manifest breaks a rule.
            BundleError: if there is no bundle, or a file is missing or damaged.
        """
        source = Path(path)
        try:
            if source.is_dir():
                manifest = _read_manifest(source)
                _verify(source, manifest)
                return cls(source=source, folder=source, manifest=manifest)
            is_zip = source.is_file() and zipfile.is_zipfile(source)
            is_there = source.exists()
        except OSError as error:
            raise BundleError(f"bundle {source} cannot be read: {error.strerror}") from error
        if is_zip:
            return cls._open_zip(source)
        if is_there:
            raise BundleError(f"{source} is not a bundle: expected a folder or a .zip of one")
        raise BundleError(f"no bundle at {source}: expected a folder with a {MANIFEST_NAME}")

    @classmethod
    def _open_zip(cls, source: Path) -> "Bundle":
        scratch = ScratchFolder()
        try:
            unpack(source, scratch.path)
            manifest = _read_manifest(scratch.path)
            _verify(scratch.path, manifest)
            bundle = cls(source=source, folder=scratch.path, manifest=manifest)
        except BaseException:
            scratch.remove()
            raise
        weakref.finalize(bundle, scratch.remove)
        return bundle

    def graph_path(self, name: str) -> Path:
        """Where the ONNX file of a graph lies.

        Raises:
            BundleError: if the bundle has no such graph, or its file is no longer the one that was
                verified.
        """
        entry = self.manifest.graphs.get(name)
        if entry is None:
            raise BundleError(
                f"bundle {self.manifest.name} has no graph {name!r}; "
                f"it has {', '.join(self.manifest.graphs)}"
            )
        path = self.folder / entry.file
        # It may be loaded long after it was opened.
        _compare(self.folder, entry.files[0], file_sha256(path, BundleError))
        return path


def find_bundle(name_or_path: Path | str | None = None) -> Bundle:
    """Opens a bundle by path, or by the name of one that came with the package.

    Without an argument, the environment variable ECHOES_RT_BUNDLE decides, then the default.

    Raises:
        BundleError: if there is none, or it is damaged.
    """
    if name_or_path is not None:
        return _find(str(name_or_path), hint="")
    named = os.environ.get(BUNDLE_VARIABLE)
    if named:
        return _find(named, hint=f" (from the environment variable {BUNDLE_VARIABLE})")
    default = BUNDLED_FOLDER / DEFAULT_BUNDLE
    if not default.is_dir():
        raise BundleError(
            f"this installation comes without the default bundle {DEFAULT_BUNDLE}; "
            f"give the path of one with --bundle or {BUNDLE_VARIABLE}"
        )
    return Bundle.open(default)


def bundled_names() -> list[str]:
    """Names of the bundles that came with the package."""
    return sorted(path.parent.name for path in BUNDLED_FOLDER.glob(f"*/{MANIFEST_NAME}"))


def _find(name_or_path: str, hint: str) -> Bundle:
    try:
        if Path(name_or_path).exists():
            return Bundle.open(name_or_path)
    except OSError as error:
        raise BundleError(
            f"bundle {name_or_path}{hint} cannot be read: {error.strerror}"
        ) from error
    if name_or_path in bundled_names():
        return Bundle.open(BUNDLED_FOLDER / name_or_path)
    names = ", ".join(bundled_names()) or "none"
    raise BundleError(
        f"no bundle {name_or_path!r}{hint}: it is neither a folder, a .zip, nor the name of a "
        f"bundle that came with echoes-rt ({names})"
    )


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST_NAME
    if not path.is_file():
        raise BundleError(f"{folder} is not a bundle: it has no {MANIFEST_NAME}")
    return Manifest.read(path)


def _verify(folder: Path, manifest: Manifest) -> None:
    """Every file that is listed, and that the graphs read no others."""
    graphs = {entry.file for entry in manifest.graphs.values()}
    for part in manifest.files.values():
        path = folder / part.file
        if not path.is_file():
            raise BundleError(f"bundle {folder} lacks the file {part.file}; get the bundle again")
        size = path.stat().st_size
        if size != part.size_bytes:
            raise BundleError(
                f"file {part.file} of bundle {folder} has {size} bytes, the manifest says "
                f"{part.size_bytes}; get the bundle again"
            )
        if part.file in graphs:
            _verify_graph(folder, part, manifest.files.keys())
        else:
            _compare(folder, part, file_sha256(path, BundleError))


def _verify_graph(folder: Path, part: DataFile, listed: Collection[str]) -> None:
    """Its checksum, and that ONNX Runtime will read no other file of the machine for it."""
    if part.size_bytes > MAX_GRAPH_BYTES:
        raise BundleError(
            f"graph {part.file} of bundle {folder} has {part.size_bytes} bytes, ONNX allows "
            f"{MAX_GRAPH_BYTES}; move its weights to a file of their own"
        )
    path = folder / part.file
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}") from error
    _compare(folder, part, hashlib.sha256(data).hexdigest())
    try:
        locations = external_locations(data)
    except ValueError as error:
        raise BundleError(f"{part.file} of bundle {folder} is no ONNX graph: {error}") from error
    beside = part.file.rpartition("/")[0]
    for location in sorted(locations):
        if (f"{beside}/{location}" if beside else location) not in listed:
            raise BundleError(
                f"graph {part.file} of bundle {folder} reads the file {location!r}, which the "
                "manifest does not list; do not use this bundle"
            )


def _compare(folder: Path, part: DataFile, digest: str) -> None:
    if digest != part.sha256:
        raise BundleError(
            f"file {part.file} of bundle {folder} has the checksum {digest[:12]}..., the "
            f"manifest says {part.sha256[:12]}...; get the bundle again"
        )
