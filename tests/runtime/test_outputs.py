"""What a bundle's graphs give is checked where it comes in: any nonsense is one sentence."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from echoes_rt import Echoes
from echoes_rt.backends.onnx import OnnxSession, tensors_of
from echoes_rt.errors import BackendError, BundleError

PICTURE = np.zeros((40, 50, 3), np.uint8)
SOUND = np.zeros(2048, np.float32)

Verb = Callable[[Echoes], object]

VERBS: dict[str, Verb] = {
    "generate": lambda echoes: echoes.generate(PICTURE, seed=1),
    "picture": lambda echoes: echoes.generate(SOUND, seed=1),
    "vary": lambda echoes: echoes.vary(SOUND, seed=1),
    "stream": lambda echoes: list(echoes.stream(PICTURE, duration=0.2, seed=1)),
    "cogenerate": lambda echoes: echoes.cogenerate(seed=1),
}


def shaped(shape: tuple[int, ...], value: float, dtype: Any) -> Any:
    return np.full(shape, value, dtype)


WRONG = {
    "generate": [
        ("image_encoder", shaped((1, 15), 0, np.int32)),
        ("image_encoder", shaped((0, 16), 0, np.int32)),
        ("image_encoder", shaped((1, 16), -1, np.int32)),
        ("image_encoder", shaped((1, 16), 32, np.int32)),
        ("context_image", shaped((1, 2), 0, np.float32)),
        ("decode_audio_step", shaped((1, 8), 32, np.int32)),
        ("decode_audio_step", shaped((1, 8), -1, np.int32)),
        ("decode_audio_step", shaped((1, 9), 0, np.int32)),
        ("decode_audio_step", shaped((8,), 0, np.int32)),
        ("decode_audio_step", shaped((1, 8), 0, np.float32)),
        ("mel_decoder", shaped((1, 16, 31), 0, np.float32)),
        ("mel_decoder", shaped((5, 16, 32), 0, np.float32)),
        ("vocoder", shaped((1, 7), 0, np.float32)),
        ("vocoder", shaped((1, 0), 0, np.float32)),
        ("vocoder", shaped((2, 2048), 0, np.float32)),
        ("vocoder", shaped((1, 2048), np.nan, np.float32)),
    ],
    "picture": [
        ("mel_encoder", shaped((1, 7), 0, np.int32)),
        ("mel_encoder", shaped((1, 8), 2**31 - 1, np.int32)),
        ("image_decoder", shaped((1, 3, 33, 32), 0, np.float32)),
        ("image_decoder", shaped((1, 3, 0, 0), 0, np.float32)),
        ("image_decoder", shaped((1, 3, 32, 32), np.inf, np.float32)),
    ],
    "vary": [("mel_encoder", shaped((2, 8), 0, np.int32))],
    "stream": [
        ("mel_decoder", shaped((1, 16, 0), 0, np.float32)),
        ("vocoder", shaped((1, 10**6), 0, np.float32)),
    ],
    "cogenerate": [("image_decoder", shaped((1, 1, 32, 32), 0, np.float32))],
}

CASES = [(verb, *case) for verb, cases in WRONG.items() for case in cases]


@pytest.mark.parametrize(
    ("verb", "graph", "output"), CASES, ids=[f"{v}-{g}-{o.shape}-{o.flat[:1]}" for v, g, o in CASES]
)
def test_wrong_output_is_one_sentence(
    verb: str, graph: str, output: Any, tiny_bundle: Path
) -> None:
    echoes = Echoes.load(tiny_bundle, device="cpu", threads=1)
    session = echoes.session(graph)
    assert isinstance(session, OnnxSession)
    session._session = SimpleNamespace(run=lambda *_: [output])
    with pytest.raises(BundleError) as caught:
        VERBS[verb](echoes)
    assert graph in str(caught.value)


@pytest.mark.parametrize("graph", ["image_encoder", "decode_audio_step", "vocoder"])
def test_output_of_another_name_is_one_sentence(graph: str, tiny_bundle: Path) -> None:
    echoes = Echoes.load(tiny_bundle, device="cpu", threads=1)
    session = echoes.session(graph)
    assert isinstance(session, OnnxSession)
    real, (spec,) = session._session, session._outputs.values()
    session._outputs = {"strange": spec}
    session._session = SimpleNamespace(run=lambda _, *asked: real.run(None, *asked))
    with pytest.raises(BundleError, match=rf"{graph}\.onnx has strange, not "):
        echoes.generate(PICTURE, seed=1)


@pytest.mark.parametrize(
    "said",
    [
        "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : std::bad_alloc",
        "[ONNXRuntimeError] : 2 : Failed to allocate memory for requested buffer of size 4000",
    ],
)
def test_lack_of_memory_is_said_as_that(said: str, tiny_bundle: Path) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError(said)

    echoes = Echoes.load(tiny_bundle, device="cpu", threads=1)
    session = echoes.session("image_encoder")
    assert isinstance(session, OnnxSession)
    session._session = SimpleNamespace(run=fail)
    with pytest.raises(BackendError, match="not enough memory"):
        echoes.generate(PICTURE, seed=1)


def test_names_that_are_no_text_are_one_sentence() -> None:
    class Described:
        name, type = "codes", "tensor(int32)"

        @property
        def shape(self) -> list[str]:
            raise UnicodeDecodeError("utf-8", b"b\xff", 1, 2, "invalid start byte")

    with pytest.raises(BundleError, match=r"decode\.onnx"):
        tensors_of("decode.onnx", [Described()])
