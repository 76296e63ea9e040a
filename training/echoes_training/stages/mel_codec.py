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
    full_precision,
    step_generator,
    to_device,
)
from echoes_training.ema import Average, averages
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

    def forward(
        self, x: Tensor, noise: Tensor, codes_fixed: bool
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """(B, 1, H, W) decoded, and how unevenly the codes are used, where they may change."""
        if not codes_fixed:
            decoded, z = self.codec(x, noise)
            return decoded, {"unevenness": unevenness(z)}
        with torch.no_grad(), full_precision(x.device):
            codes = self.codec.encode(x)
        return self.codec.decode(codes, noise), {}


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
    places = processes.parts(loop.batch_size, loop.accumulate)
    torch.manual_seed(loop.seed)
    segments = Segments(clips, config, device)
    hearing = Hearing(clips, segments.store, ear)
    mel = MelSpectrogram(config.mel).to(device)
    codec = MelCodec(config.model).to(device)
    codec.spread_codes(mel(segments.batch(loop.seed, 0, range(8)))[:, None])
    codec = channels_last(codec)
    critic = channels_last(MelDiscriminator(config.mel.n_mels, config.discriminator_width))
    critic = critic.to(device)
    learner = Learner(Reconstruction(codec), loop, processes, may_idle=True)
    rate = config.discriminator_rate * loop.learning_rate
    judge = Learner(Judgement(critic), dataclasses.replace(loop, learning_rate=rate), processes)
    state = TrainState(
        modules={CODEC: codec, "discriminator": critic},
        optimizers={CODEC: learner.optimizer, "discriminator": judge.optimizer},
        averages=averages({CODEC: codec}, loop.ema_decay),
    )

    def noise_of(step: int, members: range) -> Tensor:
        """Each sample's own, whoever computes it."""
        grid = codec.grid(config.mel.n_mels, config.segment_frames)
        drawn = draw_noise(codec, grid, loop.batch_size, step_generator(loop.seed, step))
        assert drawn is not None
        return to_device(drawn[members], device)

    def make(step: int) -> list[tuple[Tensor, Tensor]]:
        parts = []
        for members in places:
            sounds = segments.batch(loop.seed, step, members)
            x = mel(sounds)[:, None].contiguous(memory_format=torch.channels_last)
            parts.append((x, noise_of(step, members)))
        return parts

    parts_of = Prefetch(make, loop.steps, device)

    def step_once(step: int) -> Measures:
        is_adversarial = step >= config.adversarial_start
        codes_fixed = step >= config.codes_fixed_from
        if step == config.codes_fixed_from and CODEC in state.averages:
            _take_average(codec.encoder, "encoder.", state.averages[CODEC])

        def losses_of(
            part: tuple[Tensor, Tensor],
        ) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor]]:
            x, noise = part
            with autocast(loop.precision, device):
                fake, losses = learner(x, noise, codes_fixed)
                losses |= _distances(x, fake.float())
                if is_adversarial:
                    losses |= fool(critic, fake, x, texture=True)
            return losses, (x, fake.detach().float())

        measures, pairs = learn(learner, step, parts_of(step), config.loss_weights, losses_of)
        return {**measures, **teach(judge, step, pairs)} if is_adversarial else measures

    @torch.no_grad()
    def evaluate(step: int) -> Scalars:
        """Errors on validation clips, codes in use, what the ear hears, a sheet and sounds."""
        real = mel(hearing.samples.to(device))[:, None]
        grid = codec.grid(*real.shape[2:])
        noise = draw_noise(codec, grid, len(real), step_generator(loop.seed, 0))
        assert noise is not None
        codes = torch.cat([codec.encode(part) for part in real.split(8)])
        pairs = zip(codes.split(8), noise.to(device).split(8), strict=True)
        fake = torch.cat([codec.decode(*pair).float() for pair in pairs])
        sounds = torch.cat([griffin_lim(part[:, 0], config.mel) for part in fake.split(8)])
        if processes.is_main:
            mels = (real[:, 0], fake[:, 0])
            write_samples(run, step, mels, (hearing.samples, sounds), config.mel)
        distances = {f"validation/{k}": v.item() for k, v in _distances(real, fake).items()}
        return {
            **distances,
            **code_use(codes, grid.codebook_size),
            **hearing.heard(sounds),
        }

    train(run, loop, state, processes, step_once, evaluate)


@torch.no_grad()
def _take_average(module: nn.Module, prefix: str, average: Average) -> None:
    """The averaged weights are what is used, so they are what stays when the codes are fixed."""
    for name, parameter in module.named_parameters():
        parameter.copy_(average.tensors[prefix + name])


def _distances(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    blurred = [(F.avg_pool2d(real, side) - F.avg_pool2d(fake, side)).abs().mean() for side in BLURS]
    return {"bins": (real - fake).abs().mean(), "blurred": torch.stack(blurred).mean()}
