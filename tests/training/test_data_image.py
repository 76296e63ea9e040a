"""The pictures that are trained on are those that the runtime shows the model."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.training import runs

from echoes_rt.errors import InputError
from echoes_rt.format.image import ImageSpec
from echoes_rt.io.image import load_image, read_image
from echoes_training.data.audio import AudioStore
from echoes_training.data.checking import fault
from echoes_training.data.image import ImageStore, to_batch
from echoes_training.data.index import Clip
from echoes_training.presets import PRESETS

SPEC = ImageSpec(height=32, width=32)


def clip(picture: Path) -> Clip:
    return runs.clip(image=str(picture), category="pairs")


def pictures() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    bgra = rng.integers(0, 256, (36, 40, 4), dtype=np.uint8)
    bgra[:18, :, 3] = 0
    return {
        "transparent": bgra,
        "16 bits": rng.integers(0, 1 << 16, (36, 40, 3), dtype=np.uint16),
        "grey": bgra[:, :, 0],
        "colour": bgra[:, :, :3],
    }


@pytest.mark.parametrize("kind", pictures())
def test_training_sees_what_the_runtime_sees(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), pictures()[kind])
    store = ImageStore(SPEC)
    np.testing.assert_array_equal(store.get(str(path)), read_image(path))
    seen = to_batch([store.centred(str(path))], SPEC).numpy()
    np.testing.assert_allclose(seen, load_image(path, SPEC), atol=1e-6)


def test_what_the_runtime_cannot_read_is_not_listed(tmp_path: Path) -> None:
    """A portable pixmap, which OpenCV reads and the runtime does not."""
    good, bad = tmp_path / "a.png", tmp_path / "a.ppm"
    for path in (good, bad):
        cv2.imwrite(str(path), pictures()["colour"])
    assert fault(clip(good)) is None
    assert f"{bad}: {bad} is not a picture that can be read; " in (fault(clip(bad)) or "")
    with pytest.raises(InputError, match=r"cannot read the picture .*a\.ppm; run echoes-"):
        ImageStore(SPEC).get(str(bad))


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
