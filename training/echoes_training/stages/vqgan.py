"""Trains a VQGAN on pictures or on log-mels: one loop for both media."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from echoes_training.checkpoint import TrainState
from echoes_training.config import VQGANStageConfig
from echoes_training.device import autocast, channels_last, to_device
from echoes_training.ema import averages
from echoes_training.losses import Judgement, fool
from echoes_training.models.discriminators import PatchDiscriminator
from echoes_training.models.vqgan import VQGAN
from echoes_training.optim import Learner
from echoes_training.processes import Processes
from echoes_training.stages.codec_step import evaluate_codec, learn, revive, teach
from echoes_training.stages.codecs import CODEC
from echoes_training.stages.loop import Measures, Prefetch, Scalars, train
from echoes_training.stages.media import Draws, Medium


def train_vqgan(run: Path, medium: Medium, config: VQGANStageConfig) -> None:
    """Trains to ``config.loop.steps``, resuming from the newest checkpoint in ``run``."""
    loop = config.loop
    processes = Processes(loop.device)
    device = processes.device
    all_places = processes.parts(loop.batch_size, loop.accumulate)
    torch.manual_seed(loop.seed)
    model = channels_last(VQGAN(config.model).to(device))
    critic = PatchDiscriminator(config.model.in_channels, config.discriminator_width)
    critic = channels_last(critic.to(device))
    if config.data.resident:
        medium.reside(device)
    draws = Draws(medium.clips["train"], config.labelled_share)
    learner = Learner(model, loop, processes)
    judge = Learner(Judgement(critic), loop, processes)
    state = TrainState(
        modules={CODEC: model, "discriminator": critic},
        optimizers={CODEC: learner.optimizer, "discriminator": judge.optimizer},
        averages=averages({CODEC: model}, loop.ema_decay),
    )

    def part(step: int, places: range) -> Tensor:
        generators = [np.random.default_rng((loop.seed, step, place)) for place in places]
        x = medium.views([draws.clip(rng) for rng in generators], generators)
        return to_device(x, device).contiguous(memory_format=torch.channels_last)

    def make(step: int) -> list[Tensor]:
        return [part(step, places) for places in all_places]

    parts_of = Prefetch(make, loop.steps, device)

    def step_once(step: int) -> Measures:
        is_adversarial = step >= config.adversarial_start

        def losses_of(x: Tensor) -> tuple[dict[str, Tensor], tuple[Tensor, ...]]:
            with autocast(loop.precision, device):
                decoded, z, quantized = learner(x)
                losses = {"reconstruction": (decoded - x).abs().mean(), **quantized.losses}
                if is_adversarial:
                    losses |= fool(critic, decoded)
            return losses, (x, decoded.detach(), z.detach(), quantized.codes)

        measures, found = learn(learner, step, parts_of(step), config.loss_weights, losses_of)
        if is_adversarial:
            measures |= teach(judge, step, [(x, decoded) for x, decoded, _, _ in found])
        latents = [(z, codes) for _, _, z, codes in found]
        revived = revive(model.quantize, latents, processes, loop, step, config.usage_decay)
        return {**measures, "train/revived": revived}

    def through(x: Tensor) -> tuple[Tensor, Tensor, Scalars]:
        with autocast(loop.precision, device):
            decoded, _, quantized = model(x)
        return quantized.codes, decoded, {}

    def evaluate(step: int) -> Scalars:
        sheet = run / "samples" / f"{step:07d}.png" if processes.is_main else None
        model.eval()
        scalars = evaluate_codec(medium, device, config.model.codebook_size, sheet, through)
        model.train()
        return scalars

    train(run, loop, state, processes, step_once, evaluate)
