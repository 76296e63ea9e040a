"""Which labels a model knows."""

from echoes_training.data.index import Clip


def labels_of(clips: list[Clip]) -> tuple[str, ...]:
    """Those that pictures and sounds share, sorted."""
    with_image = {clip.label for clip in clips if clip.image and clip.label}
    with_audio = {clip.label for clip in clips if clip.audio and clip.label}
    return tuple(sorted(with_image & with_audio))
