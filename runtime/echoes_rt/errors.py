"""What users are told, and text of unknown origin made fit for a terminal."""

import re

_MAX_CHARS = 1000

# Control codes, what turns the direction of writing, and halves of surrogate pairs, as which Python
# has the bytes of a file name that are no UTF-8.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def escape(text: str) -> str:
    r"""With ``\x1b`` and the like in the place of what a terminal would obey or cannot show."""
    return _UNFIT.sub(_escaped, text)


def one_line(text: str) -> str:
    """The same as one line; of a very long one the middle is left out."""
    line = escape(re.sub(r"\s*[\r\n]\s*", " ", text.strip()))
    if len(line) <= _MAX_CHARS:
        return line
    half = (_MAX_CHARS - 5) // 2
    return f"{line[:half]} ... {line[-half:]}"


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00  # the byte
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


class EchoesError(Exception):
    """The parent of every error that is the user's to mend.

    Its message is one line that a terminal can show, whatever the names and files that it quotes.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(one_line(message))


class InputError(EchoesError):
    """A file, array or option given by the caller cannot be used."""


class BundleError(EchoesError):
    """A bundle cannot be opened or is damaged."""


class ManifestError(BundleError):
    """A bundle's manifest breaks the rules of docs/format.md."""


class BackendError(EchoesError):
    """The requested device or runtime library cannot be used on this machine."""


class CancelledError(EchoesError):
    """The caller's own step callback asked to stop."""
