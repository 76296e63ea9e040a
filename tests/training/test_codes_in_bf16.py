"""Autocast to bf16 must not change a code: what was learnt of codes would be of others."""

from types import ModuleType

import pytest
import torch

from echoes_training.models.codec import Codec
from echoes_training.models.image_codec import ImageCodec
from echoes_training.models.mel_codec import MelCodec
from echoes_training.models.quantizer import VectorQuantizer
from echoes_training.presets import PRESETS
from echoes_training.stages import image_codec, mel_decoder

TINY = PRESETS["edge-tiny"]


@pytest.mark.parametrize("normalize", [True, False])
def test_the_nearest_code_is_that_of_fp32(normalize: bool) -> None:
    torch.manual_seed(0)
    quantizer = VectorQuantizer(512, 16, normalize=normalize)
    latents = torch.randn(400, 16)
    expected = quantizer.nearest(latents)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(quantizer.nearest(latents), expected)
        rounded = (latents @ quantizer.codebook.t()).float()
    if not normalize:
        rounded = rounded - 0.5 * quantizer.codebook.square().sum(dim=1)
    assert not torch.equal(rounded.argmax(dim=1), expected)


@pytest.mark.parametrize(("stage", "most"), [(mel_decoder, 0.0), (image_codec, 0.1)])
def test_a_decoder_learns_from_the_codes_of_fp32(
    stage: ModuleType, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``most`` is the share of bf16's errors that autocast leaves outside of the codes."""
    torch.manual_seed(0)
    if stage is mel_decoder:
        codec: Codec = MelCodec(TINY.mel_codec.model).eval()
        x = torch.randn(32, 1, TINY.mel.n_mels, TINY.mel.n_frames)
        noise = [torch.rand(32, *codec.noise_shape(codec.grid(*x.shape[2:])))]
    else:
        codec, noise = ImageCodec(TINY.image_codec.model).eval(), []
        x = torch.randn(32, 3, 32, 32)
    codec.spread_codes(x)
    expected, seen = codec.encode(x), []
    monkeypatch.setattr(codec, "decode", lambda codes, *_: seen.append(codes) or x)
    with torch.autocast("cpu", torch.bfloat16):
        stage.Decoding(codec)(x, *noise)
        in_bf16 = codec.encode(x)
    errors = [(codes != expected).float().mean().item() for codes in (*seen, in_bf16)]
    assert errors[0] <= most * errors[1]
    assert errors[1] > 0
