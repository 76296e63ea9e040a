"""Media that were there when the index was made, and are no more."""

from pathlib import Path

import pytest

from echoes_rt.errors import InputError
from echoes_training.data.audio import AudioStore
from echoes_training.data.image import ImageStore
from echoes_training.presets import PRESETS


@pytest.mark.parametrize("content", [None, b"", b"neither a picture nor a sound"])
def test_media_that_cannot_be_read_are_one_sentence(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "media"
    if content is not None:
        path.write_bytes(content)
    specs = PRESETS["tiny"]
    with pytest.raises(InputError, match=f"cannot read the picture {path}; run echoes-train prep"):
        ImageStore(specs.image).get(str(path))
    with pytest.raises(InputError, match=f"cannot read the sound {path}; run echoes-train prepare"):
        AudioStore(specs.mel).get(str(path), 0.0)
