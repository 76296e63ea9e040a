from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tests.training.runs import invoke, metrics, train

from echoes_rt.errors import InputError
from echoes_training.checkpoint import newest
from echoes_training.evaluate.griffin_lim import griffin_lim
from echoes_training.evaluate.pitch import kept_within_a_semitone, pitches
from echoes_training.losses import Judgement, feature_statistics, fool
from echoes_training.models.codec import draw_noise
from echoes_training.models.discriminators import ProjectedDiscriminator
from echoes_training.models.mel import MelSpectrogram
from echoes_training.models.mel_codec import FiniteScalarQuantizer, MelCodec, MelDiscriminator
from echoes_training.models.teacher import EfficientNetLite0Teacher
from echoes_training.presets import PRESETS
from echoes_training.stages.codecs import codec_of_run
from echoes_training.stages.mel_codec import unevenness
from echoes_training.stages.vocoder import vocoder_of_run

CONFIG = PRESETS["edge-tiny"].mel_codec.model
MEL = PRESETS["tiny"].mel


@pytest.fixture
def codec() -> MelCodec:
    torch.manual_seed(0)
    codec = MelCodec(CONFIG).eval()
    codec.spread_codes(torch.randn(4, 1, MEL.n_mels, MEL.n_frames))
    return codec


def test_every_code_is_one_combination_of_levels() -> None:
    quantize = FiniteScalarQuantizer((4, 4, 2))
    assert quantize.codebook.shape == (32, 3)
    assert len(quantize.codebook.unique(dim=0)) == 32
    z = 4 * torch.randn(2, 3, 5, 7)
    codes = quantize.codes(z)
    assert codes.min() >= 0
    assert codes.max() < 32
    assert torch.allclose(quantize.lookup(codes), quantize(z))


def test_rounding_lets_the_gradient_through() -> None:
    z = torch.zeros(1, 3, 1, 1, requires_grad=True)
    FiniteScalarQuantizer((4, 4, 2))(z).sum().backward()
    assert z.grad is not None
    assert (z.grad > 0).all()


@torch.no_grad()
def test_codes_say_what_and_noise_says_which(codec: MelCodec) -> None:
    grid = codec.grid(MEL.n_mels, MEL.n_frames)
    assert (grid.height, grid.width, grid.codebook_size) == (2, 2, 32)
    codes = codec.encode(torch.randn(3, 1, MEL.n_mels, MEL.n_frames))
    assert codes.shape == (3, grid.height, grid.width)
    noise = draw_noise(codec, grid, 3, torch.Generator().manual_seed(1))
    assert noise is not None
    decoded = codec.decode(codes, noise)
    assert decoded.shape == (3, 1, MEL.n_mels, MEL.n_frames)
    assert torch.equal(decoded, codec.decode(codes, noise))
    assert not torch.allclose(decoded, codec.decode(codes, noise.flip(0)))
    assert torch.allclose(codec.decode(codes), codec.decode(codes, torch.full_like(noise, 0.5)))
    other = (codes + 1) % grid.codebook_size
    assert not torch.allclose(decoded, codec.decode(other, noise))


@torch.no_grad()
def test_what_is_far_away_in_time_changes_nothing(codec: MelCodec) -> None:
    """So a long sound may be decoded in windows."""
    codes = torch.randint(0, 32, (1, 2, 40))
    longer = torch.cat([codes, torch.randint(0, 32, (1, 2, 8))], dim=2)
    part, whole = codec.decode(codes), codec.decode(longer)
    assert torch.allclose(part[..., : 16 * 30], whole[..., : 16 * 30], atol=1e-5)


def test_discriminators_see_patches_and_columns() -> None:
    verdicts = MelDiscriminator(16, 4)(torch.randn(2, 1, 16, 32))
    assert len(verdicts) == 3
    assert all(len(features) >= 3 for _, features in verdicts)


def test_statistics_ask_for_a_texture_and_not_for_its_places() -> None:
    features = torch.randn(2, 3, 4, 64, generator=torch.Generator().manual_seed(0))
    assert feature_statistics([features], [features.roll(5, dims=-1)]) < 1e-6
    assert feature_statistics([features], [torch.ones_like(features)]) > 0.5


def test_griffin_lim_keeps_the_mel() -> None:
    time = np.arange(MEL.n_samples) / MEL.sample_rate
    sound = torch.from_numpy(0.3 * np.sin(2 * np.pi * 1000 * time)).float()[None]
    mel = MelSpectrogram(MEL)
    again = mel(griffin_lim(mel(sound), MEL))
    assert (again - mel(sound))[..., 2:-2].abs().mean() < 0.06


@pytest.mark.parametrize("hz", [98.0, 220.0, 440.0, 1046.5])
def test_pitch_of_a_note(hz: float) -> None:
    time = np.arange(11_025) / 22_050
    note = sum(np.sin(2 * np.pi * hz * k * time) / k for k in (1, 2, 3)).astype(np.float32)
    found = pitches(0.2 * note, 22_050)
    assert np.nanmedian(found) == pytest.approx(hz, rel=0.01)
    assert kept_within_a_semitone(note, note, 22_050)[0] > 10
    higher = np.interp(np.arange(len(note)) * 1.12, np.arange(len(note)), note).astype(np.float32)
    kept, voiced = kept_within_a_semitone(note[:9000], higher[:9000], 22_050)
    assert kept == 0
    assert voiced > 10


def test_noise_and_silence_have_no_pitch() -> None:
    noise = np.random.default_rng(0).standard_normal(11_025).astype(np.float32)
    assert np.isnan(pitches(noise, 22_050)).mean() > 0.9
    assert np.isnan(pitches(np.zeros(11_025, np.float32), 22_050)).all()


def in_tensorboard(run: Path) -> EventAccumulator:
    events = EventAccumulator(str(run / "tensorboard"))
    return events.Reload()


def test_training_reports_what_the_ear_hears_and_its_parts_can_be_listened_to(
    media_index: Path, ear_folder: Path, tmp_path: Path
) -> None:
    codec, vocoder = tmp_path / "codec", tmp_path / "vocoder"
    for command, run in (("mel-codec", codec), ("vocoder", vocoder)):
        sources = ("--index", media_index, "--ear", ear_folder)
        train(command, *sources, "--out", run, "--preset", "edge-tiny")
        last = metrics(run)[-1]
        assert 0 <= last["validation/ear_exact"] <= last["validation/ear_coarse"] <= 1
        for medium in ("images", "audio"):
            (shown,) = set(in_tensorboard(run).Tags()[medium])
            assert shown == "samples"
        sound = in_tensorboard(run).Audio("samples")[-1]
        written = soundfile.info(run / "samples" / f"{sound.step:07d}.wav")
        assert (written.samplerate, written.frames) == (sound.sample_rate, sound.length_frames)
    with pytest.raises(InputError, match="no run of a vocoder"):
        vocoder_of_run(codec)
    sheet = tmp_path / "sheet.png"
    result = train(
        *("listen", "--index", media_index, "--cache", tmp_path, "--ear", ear_folder),
        *("--mel-codec", codec, "--vocoder", vocoder, "--out", sheet),
    )
    rows = {line.split("|")[1].strip(): line for line in result.stdout.splitlines() if "|" in line}
    assert "1.000" in rows["real"]
    assert {"mel, Griffin-Lim", "mel, vocoder", "codec, Griffin-Lim", "codec, vocoder"} < {*rows}
    assert sheet.stat().st_size > 1000


def test_codes_are_uneven_where_dimensions_say_the_same_or_keep_to_one_level() -> None:
    uniform = torch.rand(4, 5, 10, 50, generator=torch.Generator().manual_seed(0)).logit()
    assert unevenness(uniform) < 0.02
    assert unevenness(uniform[:, :1].expand(-1, 5, -1, -1)) > 3
    assert unevenness(0.1 * uniform) > 0.5
    assert unevenness(uniform + 4) > 1


def test_codes_of_another_training_are_told_by_the_codebook(codec: MelCodec) -> None:
    torch.manual_seed(1)
    assert codec.codebook.shape[0] == 32
    assert not torch.allclose(codec.codebook, MelCodec(CONFIG).codebook)


def test_a_decoder_is_trained_alone_and_takes_its_codecs_place(
    media_index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EfficientNetLite0Teacher, "load_published", lambda _: None)
    codec, decoder = tmp_path / "codec", tmp_path / "decoder"
    common = ("--index", media_index, "--preset", "edge-tiny")
    average = ("--set", "loop.ema_decay=0.5", "--set", "loop.log_every=1")
    train("mel-codec", *common, "--out", codec, *average)
    result = train("mel-decoder", *common, "--codec", codec, "--out", decoder, *average)
    assert "echoes-export bundle" in result.stderr
    before, after = (codec_of_run(run).model.state_dict() for run in (codec, decoder))
    assert all(torch.equal(before[name], after[name]) for name in before if "encoder" in name)
    assert not torch.equal(before["decoder.conv_in.weight"], after["decoder.conv_in.weight"])
    last = [row for row in metrics(decoder) if "train/projected" in row][-1]
    assert {"train/projected_adversarial", "train/blurred", "train/discriminator"} <= {*last}
    command = ("mel-decoder", *common, "--codec", codec, "--out", decoder, "--resume")
    train(*command, "--set", "loop.steps=6")
    assert newest(decoder).name == "step-0000006"  # type: ignore[union-attr]


def test_a_codec_whose_decoder_does_not_draw_is_refused(
    media_index: Path, codecs: dict[str, Path], tmp_path: Path
) -> None:
    source = ("--index", media_index)
    to = ("--codec", codecs["mel-codec"], "--out", tmp_path / "decoder")
    result = invoke("mel-decoder", *source, "--preset", "edge-tiny", *to)
    assert result.exit_code == 1
    assert "VQGAN" in result.stderr
    result = invoke("mel-decoder", *source, "--preset", "tiny", *to)
    assert result.exit_code == 1
    assert "preset tiny" in result.stderr


def test_a_projected_discriminator_learns_without_its_teacher() -> None:
    torch.manual_seed(0)
    critic = ProjectedDiscriminator(EfficientNetLite0Teacher(), levels=3, width=8)
    real = torch.randn(4, 1, 16, 32)
    fake = real.roll(8, dims=2).flip(0) * 0.5
    z = torch.randn(4, 3, 2, 2)
    critic.measure(real)
    judge = Judgement(critic)
    before = {name: p.clone() for name, p in critic.teacher.named_parameters()}
    optimizer = torch.optim.Adam([p for p in critic.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = judge(real, fake, z)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    assert set(fool(critic, fake, real, z, texture=True)) == {
        "adversarial",
        "feature_matching",
        "feature_statistics",
    }
    for name, p in critic.teacher.named_parameters():
        assert not p.requires_grad
        assert torch.equal(p, before[name])
    assert all(p.requires_grad for p in critic.heads.parameters())
