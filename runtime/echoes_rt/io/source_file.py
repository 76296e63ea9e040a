"""A file to be read, on disk or in memory."""

from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import IO

from echoes_rt.errors import InputError

MAX_MEMORY_BYTES = 1 << 30
"""Of what is read from an open file or a pipe, whose length is not known before."""


@dataclass(frozen=True, kw_only=True)
class MemoryFile:
    """Bytes that are read as a file of that name would be.

    Attributes:
        data: the file's content.
        name: for messages, as ``str`` gives it.
    """

    data: bytes = field(repr=False)
    name: str = "<bytes>"

    def __str__(self) -> str:
        return self.name

    def open(self) -> BytesIO:
        return BytesIO(self.data)


SourceFile = Path | MemoryFile


def read_stream(stream: IO[bytes], name: str | None = None) -> MemoryFile:
    """What is left in an open file or a pipe.

    Raises:
        InputError: if it is open for text, has nothing to read, or more than MAX_MEMORY_BYTES.
    """
    name = name or str(getattr(stream, "name", "<file>"))
    try:
        data = stream.read(MAX_MEMORY_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: it is closed
        raise InputError(f"{name} cannot be read: {error}") from error
    if not isinstance(data, bytes):
        raise InputError(f"{name} gives {type(data).__name__}, not bytes; open it with mode 'rb'")
    if not data:
        raise InputError(f"{name} has nothing to read: it is empty, or at its end")
    if len(data) > MAX_MEMORY_BYTES:
        raise InputError(
            f"{name} has more than the {MAX_MEMORY_BYTES} bytes allowed; give a file's name"
        )
    return MemoryFile(data=data, name=name)


def as_file(file: Path | str | MemoryFile) -> SourceFile:
    return file if isinstance(file, MemoryFile) else Path(file)
