"""The files that a command reads and writes; ``-`` is standard input or output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeGuard

from echoes_rt.errors import InputError

if TYPE_CHECKING:
    from echoes_rt.io.source_file import SourceFile
    from echoes_rt.results import Result

STANDARD = Path("-")


def read_source(path: Path) -> SourceFile:
    """The path, or what standard input holds.

    Raises:
        InputError: if there is no such file, or standard input is empty or a terminal.
    """
    from echoes_rt.io.source_file import read_stream

    if path != STANDARD:
        if not os.path.lexists(path):
            raise InputError(f"there is no file {path}")
        return path
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError("- reads a file from standard input, and that is a terminal; pipe it in")
    return read_stream(sys.stdin.buffer, "standard input")


def expand(sources: tuple[Path, ...]) -> list[SourceFile]:
    """The sources, with what can be read in a folder in its place, and standard input read.

    Of several files one may be missing: the others are still made.

    Raises:
        InputError: if a folder has nothing that can be read, or a single file is not there.
    """
    files: list[SourceFile] = []
    for source in sources:
        if _is_folder(source):
            files += _in_folder(source)
        else:
            is_one_of_several = len(sources) > 1 and source != STANDARD
            files.append(source if is_one_of_several else read_source(source))
    return files


def needs_folder(sources: tuple[Path, ...], out: str) -> bool:
    """Whether what is made of them goes into a folder, be it there or not."""
    return len(sources) > 1 or _is_folder(sources[0]) or out.endswith(("/", os.sep))


@contextmanager
def writable(out: Path, files: list[SourceFile], results: int) -> Iterator[Path]:
    """``out``, or a name of which the file goes to standard output when all is well.

    Raises:
        InputError: if standard output would get more than one result.
    """
    from echoes_rt.io.sources import is_sound

    if out != STANDARD:
        yield out
        return
    if len(files) * results > 1:
        raise InputError("standard output takes one result; give a folder, or a name for --count")
    is_picture = not is_watched(files[0], out) and is_sound(files[0])
    with TemporaryDirectory() as folder:
        path = Path(folder, "stdout.png" if is_picture else "stdout.wav")
        yield path
        sys.stdout.buffer.write(path.read_bytes())


def save(result: Result, out: Path) -> None:
    """Writes a result by its suffix, or as WAV or PNG to standard output."""
    if out == STANDARD:
        result.save(sys.stdout.buffer)
    else:
        result.save(out)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # what is wrong with it is said where it is read
        return False


def _in_folder(folder: Path) -> list[SourceFile]:
    from echoes_rt.io.av_file import VIDEO_SUFFIXES
    from echoes_rt.io.image import READ_PICTURE_SUFFIXES
    from echoes_rt.io.sound_file import is_sound_path

    seen = (*READ_PICTURE_SUFFIXES, *VIDEO_SUFFIXES)
    try:
        names = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise InputError(f"folder {folder} cannot be read: {error.strerror}") from error
    files = [path for path in names if path.suffix.lower() in seen or is_sound_path(path)]
    if not files:
        raise InputError(f"folder {folder} has no picture, sound or video in it")
    return [*files]


def output_files(
    files: list[SourceFile], out: Path, results: int, *, is_into_folder: bool
) -> list[list[Path]]:
    """Where the results of each file go, checked before any work.

    Args:
        files: from ``expand``.
        out: a name, or a folder.
        results: of each file.
        is_into_folder: ``out`` must be a folder, and is made if there is none.

    Raises:
        InputError: if a file and its result are of the same medium, or nothing can be written, or
            a result would take the place of a source.
    """
    from echoes_rt.io.audio import check_sound_path
    from echoes_rt.io.image import PICTURE_SUFFIXES, check_image_path
    from echoes_rt.io.output_file import check_not_input, is_folder
    from echoes_rt.io.sound_file import is_sound_path
    from echoes_rt.io.sources import medium_of
    from echoes_rt.io.video import check_video_path

    is_there = is_folder(out)
    files_of = []
    for file in files:
        if is_watched(file, out):
            suffix, check = ".mp4", check_video_path
        elif medium_of(file) == "picture":
            suffix, check = ".wav", check_sound_path
        else:
            suffix, check = ".png", check_image_path
        stem = file.stem if isinstance(file, Path) else "stdin"
        name = out / f"{stem}{suffix}" if is_there or is_into_folder else out
        if check is check_image_path and is_sound_path(name):
            raise InputError(
                f"generate makes a picture of a sound, got {file} and {name}; "
                "use vary or continue for more sound"
            )
        if check is check_sound_path and name.suffix.lower() in PICTURE_SUFFIXES:
            raise InputError(
                f"generate makes a sound of a picture, got {file} and {name}; "
                "use vary for another picture"
            )
        numbered = [name.with_stem(f"{name.stem}-{i + 1}") for i in range(results)]
        files_of.append((check, numbered if results > 1 else [name]))
    if is_into_folder and not is_there:
        _make_folder(out)
    written = [check(name).resolve() for check, names in files_of for name in names]
    if len(set(written)) < len(written):
        raise InputError("two sources would give a file of the same name; rename one")
    for path in written:
        check_not_input(path, [file for file in files if isinstance(file, Path)])
    return [names for _, names in files_of]


def is_watched(file: SourceFile, out: Path) -> TypeGuard[Path]:
    """Whether it is a video of which the pictures count: the sound does where one is made."""
    from echoes_rt.io.image import PICTURE_SUFFIXES
    from echoes_rt.io.video import is_video_path

    is_picture = out.suffix.lower() in PICTURE_SUFFIXES and not _is_folder(out)
    return isinstance(file, Path) and is_video_path(file) and not is_picture


def _make_folder(folder: Path) -> None:
    from echoes_rt.io.audio import SOUND_SUFFIXES
    from echoes_rt.io.image import PICTURE_SUFFIXES
    from echoes_rt.io.video import WRITTEN_VIDEO_SUFFIXES

    if folder.suffix.lower() in (*SOUND_SUFFIXES, *PICTURE_SUFFIXES, *WRITTEN_VIDEO_SUFFIXES):
        raise InputError(
            f"OUT must be a folder for several sources or a folder of them, got {folder}"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror}") from error
