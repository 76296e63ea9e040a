"""Trains the codec of log-mels: encoder, codes and a decoder that draws, against discriminators."""

import dataclasses
import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echoes_training.checkpoint import TrainState
from echoes_training.config import MelCodecStageConfig
from echoes_training.data.index import Clip
from echoes_training.device import (
    autocast,
    channels_last,
    step_generator,
    to_device,
)
from echoes_training.ema import averages
from echoes_training.evaluate.griffin_lim import griffin_lim
from echoes_training.losses import Judgement, fool
from echoes_training.models.codec import draw_noise
from echoes_training.models.mel import MelSpectrogram
from echoes_training.models.mel_codec import MelCodec, MelDiscriminator
from echoes_training.optim import Learner
from echoes_training.processes import Processes, mean_over_processes
from echoes_training.sample_sheets import write_samples
from echoes_training.stages.codec_step import code_use, learn, teach
from echoes_training.stages.codecs import CODEC
from echoes_training.stages.hearing import Hearing
from echoes_training.stages.loop import Measures, Prefetch, Scalars, train
from echoes_training.stages.vocoder import Segments

BLURS = (4, 8)
"""Sides of the blocks whose means must be right; what lies within a block is left to be drawn."""


class Reconstruction(nn.Module):
    """The codec as one function of its input, for all of its parameters at once."""

    def __init__(self, codec: MelCodec) -> None:
        super().__init__()
        self.codec = codec

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """(B, 1, H, W) decoded, and how unevenly the codes are used."""
        decoded, z = self.codec(x, noise)
        return decoded, {"unevenness": unevenness(z)}


def unevenness(z: Tensor) -> Tensor:
    """How far (B, D, h, w) latents are from using all combinations of levels equally often.

    Zero where the dimensions are uncorrelated over the batch of all processes and each has mean and
    variance of a uniform distribution after the quantizer's sigmoid (in the manner of VICReg, arXiv
    2105.04906). Without it all dimensions learn to say how loud it is.
    """
    u = (z.float().sigmoid() - 0.5).transpose(0, 1).flatten(1) * math.sqrt(12)
    mean = mean_over_processes(u.mean(dim=1))
    centred = u - mean[:, None]
    covariance = mean_over_processes(centred @ centred.t() / u.shape[1])
    identity = torch.eye(len(u), device=z.device)
    return mean.square().mean() + (covariance - identity).square().sum() / len(u)


def train_mel_codec(
    run: Path, clips: list[Clip], config: MelCodecStageConfig, ear: Path | None
) -> None:
    """Trains to ``config.loop.steps``, resuming from the newest checkpoint in ``run``."""
    loop = config.loop
    processes = Processes(loop.device)
    device = processes.device
    torch.manual_seed(loop.seed)
    segments = Segments(clips, config, device)
    hearing = Hearing(clips, segments.store, ear)
    mel = MelSpectrogram(config.mel).to(device)
    codec = MelCodec(config.model).to(device)
    codec.spread_codes(mel(segments.batch(loop.seed, 0, range(8)))[:, None])
    codec = channels_last(codec)
    critic = channels_last(MelDiscriminator(config.mel.n_mels, config.discriminator_width))
    critic = critic.to(device)
    learner = Learner(Reconstruction(codec), loop, processes)
    rate = config.discriminator_rate * loop.learning_rate
    judge = Learner(Judgement(critic), dataclasses.replace(loop, learning_rate=rate), processes)
    state = TrainState(
        modules={CODEC: codec, "discriminator": critic},
        optimizers={CODEC: learner.optimizer, "discriminator": judge.optimizer},
        averages=averages({CODEC: codec}, loop.ema_decay),
    )

    material = Material(codec, segments, mel, config, processes)
    parts_of = Prefetch(material.parts, loop.steps, device)

    def step_once(step: int) -> Measures:
        is_adversarial = step >= config.adversarial_start

        def losses_of(
            part: tuple[Tensor, Tensor],
        ) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor]]:
            x, noise = part
            with autocast(loop.precision, device):
                fake, losses = learner(x, noise)
                losses |= distances(x, fake.float())
                if is_adversarial:
                    losses |= fool(critic, fake, x, texture=True)
            return losses, (x, fake.detach().float())

        measures, pairs = learn(learner, step, parts_of(step), config.loss_weights, losses_of)
        return {**measures, **teach(judge, step, pairs)} if is_adversarial else measures

    def evaluate(step: int) -> Scalars:
        return decoded_well(run, step, codec, mel, hearing, processes)

    train(run, loop, state, processes, step_once, evaluate)


class Material:
    """What a training of a mel codec sees in a step: log-mels, and noise to decode them with."""

    def __init__(
        self,
        codec: MelCodec,
        segments: Segments,
        mel: MelSpectrogram,
        config: MelCodecStageConfig,
        processes: Processes,
    ) -> None:
        self.codec = codec
        self.segments = segments
        self.mel = mel
        self.loop = config.loop
        self.grid = codec.grid(config.mel.n_mels, config.segment_frames)
        self.places = processes.parts(self.loop.batch_size, self.loop.accumulate)

    def parts(self, step: int) -> list[tuple[Tensor, Tensor]]:
        """(b, 1, H, W) and noise of each part; each sample has its own, whoever computes it."""
        parts = []
        seed, size = self.loop.seed, self.loop.batch_size
        for members in self.places:
            sounds = self.segments.batch(seed, step, members)
            x = self.mel(sounds)[:, None].contiguous(memory_format=torch.channels_last)
            noise = draw_noise(self.codec, self.grid, size, step_generator(seed, step))
            assert noise is not None
            parts.append((x, to_device(noise[members], x.device)))
        return parts


@torch.no_grad()
def decoded_well(
    run: Path,
    step: int,
    codec: MelCodec,
    mel: MelSpectrogram,
    hearing: Hearing,
    processes: Processes,
) -> Scalars:
    """Errors on validation clips, codes in use, what the ear hears; writes a sheet and sounds."""
    real = mel(hearing.samples.to(processes.device))[:, None]
    grid = codec.grid(*real.shape[2:])
    noise = draw_noise(codec, grid, len(real), step_generator(0, 0))
    assert noise is not None
    codes = torch.cat([codec.encode(part) for part in real.split(8)])
    pairs = zip(codes.split(8), noise.to(real.device).split(8), strict=True)
    fake = torch.cat([codec.decode(*pair).float() for pair in pairs])
    sounds = torch.cat([griffin_lim(part[:, 0], mel.spec) for part in fake.split(8)])
    if processes.is_main:
        mels = (real[:, 0], fake[:, 0])
        write_samples(run, step, mels, (hearing.samples, sounds), mel.spec)
    return {
        **{f"validation/{name}": value.item() for name, value in distances(real, fake).items()},
        **code_use(codes, grid.codebook_size),
        **hearing.heard(sounds),
    }


def distances(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    blurred = [(F.avg_pool2d(real, side) - F.avg_pool2d(fake, side)).abs().mean() for side in BLURS]
    return {"bins": (real - fake).abs().mean(), "blurred": torch.stack(blurred).mean()}
