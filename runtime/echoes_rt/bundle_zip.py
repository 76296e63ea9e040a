"""Unpacking the zip of a bundle."""

import zipfile
import zlib
from pathlib import Path
from typing import IO

from echoes_rt.errors import BundleError, ManifestError
from echoes_rt.format.manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, Manifest

# A zip is unpacked to the temporary folder, which is often small.
MAX_ZIP_BYTES = 1 << 33
_CHUNK_BYTES = 1 << 20

# Python's readers of the other kinds unpack as much as there is, however little is asked for.
_BOUNDED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def unpack(source: Path, folder: Path) -> None:
    """Copies the manifest and the files that it lists, and nothing else, out of the zip.

    Raises:
        ManifestError: if the manifest breaks a rule.
        BundleError: if the zip is damaged, lacks a file, or unpacks to too much.
    """
    try:
        _unpack(source, folder)
    # zipfile raises RuntimeError for encrypted members, NotImplementedError for others, ValueError
    # for names that are no text and offsets that lead outside of the file.
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, OSError) as error:
        raise BundleError(f"{source} cannot be unpacked: {error}") from error


def _unpack(source: Path, folder: Path) -> None:
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
    if archive.getinfo(member).compress_type not in _BOUNDED:
        raise BundleError(
            f"{member} of {archive.filename} is neither stored nor deflated; zip it again, as "
            "zip -r does"
        )
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
