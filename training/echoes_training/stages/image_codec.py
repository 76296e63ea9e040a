"""Trains the picture codec: first codes that tell what the teacher sees, then their decoder."""

import dataclasses
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from echoes_training import checkpoint
from echoes_training.checkpoint import TrainState
from echoes_training.config import ImageCodecStageConfig
from echoes_training.data.index import Clip
from echoes_training.data.view_cache import Maps, Seen, ViewCache, make_views
from echoes_training.device import autocast, channels_last, full_precision
from echoes_training.losses import Judgement, fool, perceptual
from echoes_training.models.discriminators import PatchDiscriminator
from echoes_training.models.image_codec import ImageCodec, Restorer
from echoes_training.optim import Learner
from echoes_training.processes import Processes
from echoes_training.stages.codec_step import evaluate_codec, learn, revive, teach
from echoes_training.stages.codecs import CODEC
from echoes_training.stages.loop import Measures, Prefetch, Scalars, train
from echoes_training.stages.media import Pictures

MEASURED = 256
"""Pictures from which the mean and the deviation of the teacher's channels are taken."""


class Distillation(nn.Module):
    """What the codes are trained on: the teacher's features and the colours, asked back."""

    def __init__(self, codec: ImageCodec) -> None:
        super().__init__()
        self.codec = codec
        self.restorer = Restorer(codec.config, codec.shapes)

    def forward(self, x: Tensor, maps: Maps, whole: Tensor) -> dict[str, Tensor]:
        """Losses by name, and ``z`` and ``codes``.

        Args:
            x: views (B, 3, H, W).
            maps: what the teacher sees in them, standardised.
            whole: what it sees in the centred crops of the same pictures, standardised, pooled
                (B, C): a part, a drawing or a cluttered view shall be told as what it shows.
        """
        z = self.codec.latents(maps, x).float()
        quantized = self.codec.quantize(z)
        restored, pooled, colours = self.restorer(quantized.z_q)
        distances = [_cosine_distance(a, b) for a, b in zip(restored, maps, strict=True)]
        cell = x.shape[2] // colours.shape[2]
        return {
            **{f"map{i}": distance for i, distance in enumerate(distances)},
            "whole": _cosine_distance(pooled, whole),
            "colours": (colours - F.avg_pool2d(x, cell)).abs().mean(),
            **quantized.losses,
            "z": z,
            "codes": quantized.codes,
        }


class Decoding(nn.Module):
    """The decoder's losses but for the discriminator's, of fixed codes."""

    def __init__(self, codec: ImageCodec) -> None:
        super().__init__()
        self.codec = codec

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Losses by name, and ``decoded``."""
        with torch.no_grad(), full_precision(x.device):
            seen = self.codec.teacher(x)
            codes = self.codec.codes_of(seen, x)
        decoded = self.codec.decode(codes)
        return {
            "reconstruction": (decoded - x).abs().mean(),
            "perceptual": perceptual(list(seen), list(self.codec.teacher(decoded))),
            "decoded": decoded,
        }


def train_image_codec(run: Path, clips: list[Clip], config: ImageCodecStageConfig) -> None:
    """Trains to ``config.loop.steps``, resuming from the newest checkpoint in ``run``.

    The views of the training pictures lie in ``run``/views, 100 kB each at 128 x 128, and may be
    deleted when the training is over.

    Raises:
        InputError: if the teacher is not installed.
    """
    loop = config.loop
    code_loop = dataclasses.replace(
        loop, steps=config.code_steps, batch_size=config.code_batch_size
    )
    decoder_loop = dataclasses.replace(loop, steps=max(1, loop.steps - config.code_steps))
    processes = Processes(loop.device)
    device = processes.device
    torch.manual_seed(loop.seed)
    pictures = Pictures(clips, config)
    distillation = Distillation(ImageCodec(config.model))
    codec = distillation.codec
    if checkpoint.newest(run) is None:
        codec.teacher.load_published()
    distillation = channels_last(distillation.to(device))
    critic = PatchDiscriminator(config.model.in_channels, config.discriminator_width)
    critic = channels_last(critic.to(device))
    coder = nn.ModuleList([codec.encoder, codec.quantize, distillation.restorer])
    learner = Learner(distillation, code_loop, processes, trained=coder, may_idle=True)
    decoder = Learner(
        Decoding(codec), decoder_loop, processes, trained=codec.decoder, may_idle=True
    )
    judge = Learner(Judgement(critic), decoder_loop, processes)
    state = TrainState(
        modules={CODEC: codec, "restorer": distillation.restorer, "discriminator": critic},
        optimizers={
            "codes": learner.optimizer,
            "decoder": decoder.optimizer,
            "discriminator": judge.optimizer,
        },
    )
    views = _views(run, pictures, codec, config, processes)
    first = np.arange(0, len(views), max(1, len(views) // MEASURED))
    codec.measure(views.maps(first))
    pooled = [m.mean(dim=(2, 3)) for m in views.last_map(first).split(64)]
    typical = torch.cat(pooled)
    pooled_mean, pooled_spread = typical.mean(dim=0), typical.std(dim=0).clamp(min=1e-3)

    def rows_of(step: int, members: range) -> NDArray[np.int64]:
        """Each sample's own, whoever computes it."""
        draws = [np.random.default_rng((loop.seed, step, place)) for place in members]
        return np.array([rng.integers(len(views)) for rng in draws])

    code_places = processes.parts(code_loop.batch_size, loop.accumulate)
    places = processes.parts(loop.batch_size, loop.accumulate)

    def make_seen(step: int) -> list[Seen]:
        return [views.seen(rows_of(step, members)) for members in code_places]

    def make_pictures(step: int) -> list[Tensor]:
        pictures = [views.pictures(rows_of(step, members)) for members in places]
        return [x.to(device, memory_format=torch.channels_last) for x in pictures]

    seen_of = Prefetch(make_seen, config.code_steps, device)
    pictures_of = Prefetch(make_pictures, loop.steps, device)

    def learn_codes(step: int) -> Measures:
        def losses_of(seen: Seen) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor]]:
            maps = codec.standardised(seen.maps)
            whole = seen.whole.mean(dim=(2, 3))
            with autocast(loop.precision, device):
                losses = learner(seen.x, maps, (whole - pooled_mean) / pooled_spread)
            return losses, (losses.pop("z").detach(), losses.pop("codes"))

        measures, found = learn(learner, step, seen_of(step), config.loss_weights, losses_of)
        # At the end codes are left where they are: what reads them must find its peace.
        if step < 0.8 * config.code_steps:
            measures["train/revived"] = revive(
                codec.quantize, found, processes, loop, step, config.usage_decay
            )
        return measures

    def learn_decoder(step: int) -> Measures:
        is_adversarial = step >= config.adversarial_start
        at = step - config.code_steps

        def losses_of(x: Tensor) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor]]:
            with autocast(loop.precision, device):
                losses = decoder(x)
                fake = losses.pop("decoded")
                if is_adversarial:
                    losses |= fool(critic, fake)
            return losses, (x, fake.detach())

        measures, pairs = learn(decoder, at, pictures_of(step), config.loss_weights, losses_of)
        return {**measures, **teach(judge, at, pairs)} if is_adversarial else measures

    def step_once(step: int) -> Measures:
        return learn_codes(step) if step < config.code_steps else learn_decoder(step)

    def through(x: Tensor) -> tuple[Tensor, Tensor, Scalars]:
        maps = codec.standardised(codec.seen(x))
        quantized = codec.quantize(codec.latents(maps, x))
        restored, _, _ = distillation.restorer(quantized.z_q)
        distances = {
            f"validation/map{i}": _cosine_distance(a, b).item()
            for i, (a, b) in enumerate(zip(restored, maps, strict=True))
        }
        return quantized.codes, codec.decode(quantized.codes).clamp(-1, 1), distances

    def evaluate(step: int) -> Scalars:
        sheet = run / "samples" / f"{step:07d}.png" if processes.is_main else None
        size = config.model.codebook_size
        return evaluate_codec(pictures, device, size, sheet, through)

    train(run, loop, state, processes, step_once, evaluate)


def _views(
    run: Path,
    pictures: Pictures,
    codec: ImageCodec,
    config: ImageCodecStageConfig,
    processes: Processes,
) -> ViewCache:
    if processes.is_main:
        make_views(
            run / "views",
            [str(clip.image) for clip in pictures.clips["train"]],
            pictures.store,
            codec.seen,
            n_views=config.views,
            seed=config.loop.seed,
            device=processes.device,
        )
    processes.wait()
    device = processes.device
    return ViewCache(run / "views", config.image, device, is_resident=config.data.resident)


def _cosine_distance(a: Tensor, b: Tensor) -> Tensor:
    """Of the vectors along the second dimension."""
    return (1 - F.cosine_similarity(a.float(), b.float(), dim=1)).mean()
