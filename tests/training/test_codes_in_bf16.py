"""Autocast to bf16 must not change a code: what was learnt of codes would be of others."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from echoes_training.models.codec import Codec
from echoes_training.models.mel_codec import MelCodec
from echoes_training.models.quantizer import VectorQuantizer
from echoes_training.presets import PRESETS
from echoes_training.stages.mel_decoder import Decoding

TINY = PRESETS["edge-tiny"]
MEL = TINY.mel


def bf16() -> torch.autocast:
    """A new one each time: one that is entered twice does not end."""
    return torch.autocast("cpu", torch.bfloat16)


@pytest.mark.parametrize("normalize", [True, False])
def test_the_nearest_code_is_that_of_fp32(normalize: bool) -> None:
    torch.manual_seed(0)
    quantizer = VectorQuantizer(512, 16, normalize=normalize)
    latents = torch.randn(400, 16)
    expected = quantizer.nearest(latents)
    with bf16():
        assert torch.equal(quantizer.nearest(latents), expected)
        rounded = (latents @ quantizer.codebook.t()).float()
    if not normalize:
        rounded = rounded - 0.5 * quantizer.codebook.square().sum(dim=1)
    assert not torch.equal(rounded.argmax(dim=1), expected)


def decoded_codes(codec: Codec, learn: Callable[[], object], patch: pytest.MonkeyPatch) -> Tensor:
    """What the codec was asked to decode."""
    seen: list[Tensor] = []
    decode = codec.decode

    def recorded(codes: Tensor, noise: Tensor | None = None) -> Tensor:
        seen.append(codes)
        return decode(codes, noise)

    patch.setattr(codec, "decode", recorded)
    learn()
    return seen[0]


def test_a_mel_decoder_learns_from_the_codes_of_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    codec = MelCodec(TINY.mel_codec.model)
    x = torch.randn(32, 1, MEL.n_mels, MEL.n_frames)
    codec.spread_codes(x)
    noise = torch.rand(32, *codec.noise_shape(codec.grid(*x.shape[2:])))

    def learn() -> None:
        with bf16():
            Decoding(codec)(x, noise)

    assert torch.equal(decoded_codes(codec, learn, monkeypatch), codec.encode(x))
    with bf16():
        assert not torch.equal(codec.encode(x), decoded_codes(codec, learn, monkeypatch))
