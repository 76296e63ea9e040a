"""Finding, opening and verifying bundles."""

import hashlib
import os
import shutil
import tempfile
import weakref
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from echoes_rt.errors import BundleError, ManifestError
from echoes_rt.spec.manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, DataFile, Manifest

DEFAULT_BUNDLE = "echoes-mini"
BUNDLE_VARIABLE = "ECHOES_RT_BUNDLE"
BUNDLED_FOLDER = Path(__file__).parent / "bundles"

# A zip is unpacked to the temporary folder, which is often small.
MAX_ZIP_BYTES = 1 << 33
_CHUNK_BYTES = 1 << 20


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

        Raises:
            ManifestError: if the manifest breaks a rule.
            BundleError: if there is no bundle, or a file is missing or damaged.
        """
        source = Path(path)
        try:
            if source.is_dir():
                manifest = _read_manifest(source)
                _verify(source, manifest.files.values())
                return cls(source=source, folder=source, manifest=manifest)
            if source.is_file() and zipfile.is_zipfile(source):
                return cls._open_zip(source)
            is_there = source.exists()
        except OSError as error:
            raise BundleError(f"bundle {source} cannot be read: {error.strerror}") from error
        if is_there:
            raise BundleError(f"{source} is not a bundle: expected a folder or a .zip of one")
        raise BundleError(f"no bundle at {source}: expected a folder with a {MANIFEST_NAME}")

    @classmethod
    def _open_zip(cls, source: Path) -> "Bundle":
        folder = Path(tempfile.mkdtemp(prefix="echoes-rt-"))
        try:
            try:
                _unpack(source, folder)
            # zipfile raises RuntimeError for encrypted members, NotImplementedError for others.
            except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError) as error:
                raise BundleError(f"{source} cannot be unpacked: {error}") from error
            manifest = _read_manifest(folder)
            _verify(folder, manifest.files.values())
            bundle = cls(source=source, folder=folder, manifest=manifest)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        weakref.finalize(bundle, shutil.rmtree, folder, ignore_errors=True)
        return bundle

    def graph_path(self, name: str) -> Path:
        """Where the ONNX file of a graph lies.

        Raises:
            BundleError: if the bundle has no such graph.
        """
        entry = self.manifest.graphs.get(name)
        if entry is None:
            raise BundleError(
                f"bundle {self.manifest.name} has no graph {name!r}; "
                f"it has {', '.join(self.manifest.graphs)}"
            )
        return self.folder / entry.file


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


def _verify(folder: Path, files: Iterable[DataFile]) -> None:
    root = folder.resolve()
    for part in files:
        path = folder / part.file
        if not path.is_file():
            raise BundleError(f"bundle {folder} lacks the file {part.file}; get the bundle again")
        if not path.resolve().is_relative_to(root):
            raise BundleError(f"file {part.file} of bundle {folder} is a link that leaves it")
        size = path.stat().st_size
        if size != part.size_bytes:
            raise BundleError(
                f"file {part.file} of bundle {folder} has {size} bytes, the manifest says "
                f"{part.size_bytes}; get the bundle again"
            )
        digest = _sha256(path)
        if digest != part.sha256:
            raise BundleError(
                f"file {part.file} of bundle {folder} has the checksum {digest[:12]}..., the "
                f"manifest says {part.sha256[:12]}...; get the bundle again"
            )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}") from error
    return digest.hexdigest()


def _unpack(source: Path, folder: Path) -> None:
    """Copies the manifest and the files that it lists, and nothing else, out of the zip."""
    with zipfile.ZipFile(source) as archive:
        prefix = _manifest_prefix(source, archive)
        _copy(archive, f"{prefix}{MANIFEST_NAME}", folder / MANIFEST_NAME, MAX_MANIFEST_BYTES)
        try:
            files = Manifest.read(folder / MANIFEST_NAME).files
        except ManifestError as error:
            # Name the zip: the temporary folder means nothing to the user.
            raise ManifestError(str(error).replace(str(folder), str(source), 1)) from error
        total = sum(part.size_bytes for part in files.values())
        if total > MAX_ZIP_BYTES:
            raise BundleError(
                f"{source} unpacks to {total} bytes, at most {MAX_ZIP_BYTES} are allowed; "
                "unpack it yourself and give the folder"
            )
        members = set(archive.namelist())
        for part in files.values():
            if f"{prefix}{part.file}" not in members:
                raise BundleError(f"bundle {source} lacks the file {part.file}")
            target = folder / part.file
            target.parent.mkdir(parents=True, exist_ok=True)
            _copy(archive, f"{prefix}{part.file}", target, part.size_bytes)


def _manifest_prefix(source: Path, archive: zipfile.ZipFile) -> str:
    """The bundle lies at the top of the zip or in its only top folder."""
    found = [
        name
        for name in archive.namelist()
        if name == MANIFEST_NAME or (name.count("/") == 1 and name.endswith(f"/{MANIFEST_NAME}"))
    ]
    if len(found) != 1:
        raise BundleError(
            f"{source} is not a bundle: it has {len(found)} {MANIFEST_NAME} at its top"
        )
    return found[0].removesuffix(MANIFEST_NAME)


def _copy(archive: zipfile.ZipFile, member: str, target: Path, max_bytes: int) -> None:
    with archive.open(member) as packed, target.open("wb") as file:
        _copy_bounded(packed, file, member, max_bytes)


def _copy_bounded(packed: IO[bytes], file: IO[bytes], member: str, max_bytes: int) -> None:
    """The sizes in a zip's directory may lie, so the bytes themselves are counted."""
    left = max_bytes
    while chunk := packed.read(min(_CHUNK_BYTES, left + 1)):
        left -= len(chunk)
        if left < 0:
            raise BundleError(f"{member} unpacks to more than the {max_bytes} bytes announced")
        file.write(chunk)
