"""The errors that a user of echoes-rt may meet; every message is one sentence with a way out."""

from echoes_rt.plain_text import one_line


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
