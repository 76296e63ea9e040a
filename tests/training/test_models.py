import dataclasses

import numpy as np
import pytest
import torch

from echoes_rt.format.mel import DB_OFFSET, DB_RANGE, LOG_FLOOR, MelSpec, mel_filterbank
from echoes_rt.format.tokens import MEDIA, Grid
from echoes_training.evaluate.pitch import kept_within_a_semitone
from echoes_training.losses import phase_advance
from echoes_training.models.discriminators import WaveDiscriminator
from echoes_training.models.mel import MelSpectrogram
from echoes_training.models.quantizer import VectorQuantizer
from echoes_training.models.transformer import MaskedTransformer, MediumEmbedding
from echoes_training.models.vocoder import InverseSTFTHead
from echoes_training.presets import PRESETS

TINY = PRESETS["tiny"]


@pytest.mark.parametrize("normalize", [True, False])
def test_quantizer_takes_the_nearest_code_and_passes_the_gradient(normalize: bool) -> None:
    torch.manual_seed(0)
    quantizer = VectorQuantizer(16, 4, normalize=normalize)
    z = torch.randn(2, 4, 3, 5, requires_grad=True)
    out = quantizer(z)
    flat = z.detach().permute(0, 2, 3, 1)
    if normalize:
        flat = torch.nn.functional.normalize(flat, dim=-1)
    distances = torch.cdist(flat.reshape(-1, 4), quantizer.codebook.detach())
    assert torch.equal(out.codes.flatten(), distances.argmin(dim=1))
    torch.testing.assert_close(out.z_q.detach(), quantizer.lookup(out.codes).detach())
    out.z_q.sum().backward()
    assert z.grad is not None
    assert z.grad.abs().sum() > 0


def test_dead_codes_move_onto_latents_and_used_ones_stay() -> None:
    torch.manual_seed(0)
    quantizer = VectorQuantizer(8, 4, normalize=True)
    z = torch.randn(4, 4, 4, 4)
    generator = torch.Generator().manual_seed(1)
    assert quantizer.revive(z, quantizer(z).codes, generator, decay=0.9) > 0
    latents = torch.nn.functional.normalize(z.permute(0, 2, 3, 1).reshape(-1, 4), dim=-1)
    nearest = torch.cdist(quantizer.codebook.detach(), latents).min(dim=1).values
    assert (nearest < 1e-3).any()
    quantizer.usage.fill_(1 / 8)
    before = quantizer.embedding.weight.clone()
    assert quantizer.revive(z, quantizer(z).codes, generator, decay=1.0) == 0
    assert torch.equal(before, quantizer.embedding.weight)


def test_mel_is_the_one_of_the_spec() -> None:
    spec = MelSpec()
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, spec.n_samples).astype(np.float32)
    padded = np.pad(samples, spec.n_fft // 2, mode="reflect")
    window = np.hanning(spec.win_length + 1)[:-1]
    frames = np.lib.stride_tricks.sliding_window_view(padded, spec.n_fft)[:: spec.hop_length]
    magnitudes = np.abs(np.fft.rfft(frames[: spec.n_frames] * window)).T
    decibels = 20 * np.log10(np.maximum(mel_filterbank(spec) @ magnitudes, LOG_FLOOR))
    expected = 2 * np.clip((decibels + DB_OFFSET) / DB_RANGE, 0, 1) - 1
    actual = MelSpectrogram(spec)(torch.from_numpy(samples)[None])[0].numpy()
    assert actual.shape == (spec.n_mels, spec.n_frames)
    np.testing.assert_allclose(actual, expected, atol=1e-4)


def bins_of(samples: torch.Tensor, spec: MelSpec) -> torch.Tensor:
    """(B, T, bins) complex."""
    window = torch.hann_window(spec.n_fft)
    spectrum = torch.stft(samples, spec.n_fft, spec.hop_length, window=window, return_complex=True)
    return spectrum[..., : spec.n_frames].transpose(1, 2)


def test_inverse_stft_undoes_the_stft() -> None:
    spec = MelSpec()
    head = InverseSTFTHead(8, spec, noise=False)
    samples = torch.randn(1, spec.n_samples)
    spectrum = bins_of(samples, spec)
    # Drives the head with the true log-magnitude and phase in place of its linear layer.
    log_magnitude = spectrum.abs().clamp(min=1e-9).log()
    bins = torch.cat([log_magnitude, spectrum.angle()], dim=-1)
    head.out = torch.nn.Identity()  # type: ignore[assignment]
    mel = torch.zeros(1, spec.n_mels, spec.n_frames)
    torch.testing.assert_close(head(bins, mel)[0], samples, atol=1e-4, rtol=0)


@torch.no_grad()
def test_steady_noise_is_no_comb_of_tones_and_the_same_wherever_it_is_cut() -> None:
    spec = MelSpec(n_frames=256)
    head = InverseSTFTHead(8, spec, noise=True)
    head.out = torch.nn.Identity()  # type: ignore[assignment]
    nothing, everything = -20.0, 0.0

    def sound(tonal: float, noisy: float, mel: torch.Tensor) -> torch.Tensor:
        shape = (1, mel.shape[2], head.n_bins)
        phases = torch.linspace(0, 1000, head.n_bins).expand(shape)  # the same in every frame
        parts = [torch.full(shape, tonal), phases, torch.full(shape, noisy)]
        return head(torch.cat(parts, dim=-1), mel)[0]

    def unevenness(samples: torch.Tensor) -> float:
        """In dB, of the average level of neighbouring bins."""
        level = 20 * bins_of(samples, spec).abs().clamp(min=1e-6).log10().mean(dim=1)[0]
        return float(level[8:-8].std())

    torch.manual_seed(0)
    mel = 0.1 * torch.randn(1, spec.n_mels, spec.n_frames)
    assert unevenness(sound(nothing, everything, mel)) < 1.5
    assert unevenness(sound(everything, nothing, mel)) > 5
    whole = sound(nothing, everything, mel)
    part = sound(nothing, everything, mel[..., 32:])
    near = slice(8 * spec.hop_length, -8 * spec.hop_length)
    torch.testing.assert_close(part[:, near], whole[:, 32 * spec.hop_length :][:, near])


@torch.no_grad()
def test_a_tone_keeps_its_pitch_when_its_phases_run_on() -> None:
    spec = MelSpec(n_frames=64)
    head = InverseSTFTHead(8, spec, noise=False, tones=True)
    n_tones = head.sizes[-1]
    time = torch.arange(spec.n_samples) / spec.sample_rate
    note = sum(torch.sin(2 * torch.pi * 233.1 * k * time + k) / k for k in range(1, 8))
    assert isinstance(note, torch.Tensor)
    spectrum = bins_of(note[None], spec)
    # Drives the head with levels and advances, whose phases it has to find.
    level = spectrum.abs().clamp(min=1e-9).log()[..., :n_tones]
    centres = 2 * torch.pi * spec.hop_length / spec.n_fft * torch.arange(n_tones)
    turned = (spectrum[:, 1:] * spectrum[:, :-1].conj()).angle()[..., :n_tones] - centres
    advance = torch.remainder(turned + torch.pi, 2 * torch.pi) - torch.pi
    advance = torch.cat([advance[:, :1], advance], dim=1)
    assert phase_advance(note[None], advance, spec) < 1e-4
    assert phase_advance(note[None], torch.zeros_like(advance), spec) > 0.1
    nothing = torch.full_like(level[..., :1], -20.0).expand(-1, -1, head.n_bins)
    head.out = torch.nn.Identity()  # type: ignore[assignment]
    head.level = torch.nn.Linear(spec.n_mels, head.n_bins)
    head.level.weight.zero_()
    head.level.bias.zero_()
    parts = [nothing, nothing, level, torch.atanh((advance / torch.pi).clamp(-0.999, 0.999))]
    mel = torch.zeros(1, spec.n_mels, spec.n_frames)
    made = head(torch.cat(parts, dim=-1), mel)[0][0].numpy()
    kept, voiced = kept_within_a_semitone(note.numpy(), made, spec.sample_rate)
    assert voiced > 20
    assert kept == voiced


def test_every_wave_discriminator_judges() -> None:
    verdicts = WaveDiscriminator(4)(torch.randn(2, 4096))
    assert len(verdicts) == 8
    assert all(scores.shape[0] == 2 and len(features) == 4 for scores, features in verdicts)


def test_transformer_reads_both_media_in_both_directions() -> None:
    torch.manual_seed(0)
    model = MaskedTransformer(TINY.transformer.model, TINY.layout).eval()
    tokens = torch.randint(0, 32, (1, TINY.layout.n_tokens))
    logits = model(tokens)
    assert logits.shape == (1, TINY.layout.n_tokens, TINY.layout.vocab_size)
    for position in (0, TINY.layout.n_tokens - 1):
        changed = tokens.clone()
        changed[0, position] = TINY.layout.mask_token_id
        assert not torch.allclose(model(changed)[0, 5], logits[0, 5])


def test_embeddings_started_from_a_codebook_keep_its_neighbours() -> None:
    model = MaskedTransformer(PRESETS["mini"].transformer.model, PRESETS["mini"].layout)
    codebook = torch.nn.functional.normalize(torch.randn(1024, 32), dim=-1)
    codebook[1] = codebook[0] + 0.05 * torch.randn(32)
    model.image.start_from_codebook(codebook, torch.Generator().manual_seed(0))
    rows = model.image.token.weight
    distances = torch.cdist(rows[:1], rows[1:1024])[0]
    assert distances.argmin() == 0


@pytest.mark.parametrize("group", [1, 2])
def test_context_form_is_the_masked_sequence_with_the_context_seen_once(group: int) -> None:
    torch.manual_seed(0)
    shape = dataclasses.replace(
        TINY.transformer.model, layers=2, form="context", image_group=group, audio_group=group
    )
    layout = TINY.layout
    model = MaskedTransformer(shape, layout).eval()
    tokens = torch.randint(0, 32, (3, layout.n_tokens))
    parts = {"image": layout.image_slice, "audio": layout.audio_slice}
    for target, context in (("image", "audio"), ("audio", "image")):
        asked = tokens.clone()
        asked[:, parts[target]][:, ::2] = layout.mask_token_id
        for sees_context in (True, False):
            seen = model.context(asked[:, parts[context]], context) if sees_context else None
            got = model.logits(asked[:, parts[target]], target, seen)
            sees = torch.tensor([[sees_context and name == target for name in MEDIA]]).expand(3, 2)
            torch.testing.assert_close(got, model(asked, sees)[:, parts[target]])


def test_a_context_does_not_look_at_its_target() -> None:
    model = MaskedTransformer(
        dataclasses.replace(TINY.transformer.model, form="context"), TINY.layout
    ).eval()
    tokens = torch.randint(0, 32, (1, TINY.layout.n_tokens))
    changed = tokens.clone()
    changed[0, -1] = TINY.layout.mask_token_id
    sees = torch.tensor([[False, True]])
    before, after = model(tokens, sees)[0], model(changed, sees)[0]
    torch.testing.assert_close(before[TINY.layout.image_slice], after[TINY.layout.image_slice])
    assert not torch.allclose(before[TINY.layout.audio_slice], after[TINY.layout.audio_slice])


def test_codes_of_a_group_share_a_position_and_are_told_apart() -> None:
    torch.manual_seed(0)
    medium = MediumEmbedding(Grid(height=4, width=3, codebook_size=5), 8, group=2)
    assert medium.by_position(torch.arange(12)[None])[0].tolist() == [
        [0, 3], [1, 4], [2, 5], [6, 9], [7, 10], [8, 11],
    ]  # fmt: skip
    tokens = torch.randint(0, 6, (2, 12))
    swapped = tokens.clone()
    swapped[:, [0, 3]] = swapped[:, [3, 0]]
    assert medium.embed(tokens).shape == (2, 6, 8)
    assert (tokens[:, 0] != tokens[:, 3]).any()
    assert not torch.allclose(medium.embed(tokens), medium.embed(swapped))
    h, asked = torch.randn(2, 6, 8), torch.rand(2, 12) < 0.4
    scores, where = medium.logits(h), medium.by_position(asked)
    by_position = torch.stack([medium.by_position(scores[..., k]) for k in range(5)], dim=-1)
    torch.testing.assert_close(medium.logits_at(h, *medium.where(asked)), by_position[where])
    with pytest.raises(ValueError, match="divide"):
        MediumEmbedding(Grid(height=5, width=3, codebook_size=5), 8, group=2)
