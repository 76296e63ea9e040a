"""How surely a picture shows what the model knows, as Python tells it."""

import ctypes
import math
from pathlib import Path

import numpy as np
from native import Native, picture

from echoes_rt import Echoes

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)


def confidence_of(model: Native) -> float:
    found = ctypes.c_float(-1)
    model.call("echoes_confidence", model.model, *picture(PIXELS), ctypes.byref(found))
    return found.value


def test_the_confidence_is_pythons(library: Path, confident_bundle: Path) -> None:
    echoes = Echoes.load(confident_bundle, device="cpu")
    expected = echoes.confidence(echoes.encode_image(PIXELS))
    assert expected is not None
    model = Native(library, confident_bundle, device=b"cpu", threads=1)
    assert math.isclose(confidence_of(model), float(expected[0]), abs_tol=1e-6)
    model.close()


def test_a_bundle_that_cannot_tell_says_so(library: Path, tiny_bundle: Path) -> None:
    model = Native(library, tiny_bundle, device=b"cpu", threads=1)
    assert math.isnan(confidence_of(model))
    model.close()
