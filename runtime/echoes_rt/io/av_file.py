"""What FFmpeg reads, through PyAV, the extra ``video``: containers of pictures and sound."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from echoes_rt.errors import BackendError, InputError
from echoes_rt.install import install_line
from echoes_rt.io.source_file import MemoryFile, SourceFile

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm")
"""What is read as a video; its sound is read where a sound is asked for."""

AV_SOUND_SUFFIXES = (".m4a", ".m4b", ".aac", ".mka", ".weba")
"""What is read as a sound and is none of libsndfile's."""

# By content FFmpeg would also take a playlist for a video, and open the files that it names.
_OPTIONS = {
    "format_whitelist": "mov,matroska,aac,ogg,mp3,flac",
    "protocol_whitelist": "file",
}


def import_av(needed_for: str) -> ModuleType:
    """PyAV, or BackendError that says what is missing."""
    try:
        import av
    except ImportError as error:
        raise BackendError(f"{needed_for} needs PyAV; {install_line('video')}") from error
    module: ModuleType = av
    return module


@contextmanager
def open_av(source: SourceFile, kind: str) -> Iterator[Any]:
    """An input container; whatever FFmpeg says of a broken file becomes an InputError.

    Args:
        source: the file.
        kind: "video" or "sound", for messages.

    Raises:
        InputError: if it cannot be read.
        BackendError: if PyAV is missing.
    """
    av = import_av(kind if kind == "video" else str(source))
    try:
        if isinstance(source, MemoryFile):
            file: Any = source.open()
        elif source.is_file():
            # Absolute, because FFmpeg takes what stands before a colon for a protocol.
            file = str(source.absolute())
        else:
            raise InputError(f"no {kind} at {source}")
        # Titles in another encoding are no reason to refuse it.
        container = av.open(file, metadata_errors="replace", options=_OPTIONS)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise InputError(f"{source} is not a {kind} that can be read: {said(error)}") from error
    with container:
        try:
            yield container
        except av.FFmpegError as error:
            raise InputError(f"{kind} {source} cannot be decoded: {said(error)}") from error


def said(error: Exception) -> str:
    """What went wrong, without the numbers and names that PyAV and soundfile put round it."""
    return getattr(error, "strerror", None) or getattr(error, "error_string", None) or str(error)


def main_pictures(container: Any) -> Any:
    """The first stream of moving pictures, None if there is none: a cover is none."""
    is_cover = _cover_flag()
    return next((s for s in container.streams.video if not s.disposition & is_cover), None)


def _cover_flag() -> Any:
    from av.stream import Disposition

    return Disposition.attached_pic
