"""Trains the decoder of a mel codec alone, against what a pretrained network sees in log-mels."""

import dataclasses
from pathlib import Path

import torch
from torch import Tensor, nn

from echoes_rt.errors import InputError
from echoes_training import checkpoint
from echoes_training.bundles import Source
from echoes_training.checkpoint import TrainState
from echoes_training.config import MelDecoderStageConfig
from echoes_training.data.index import Clip
from echoes_training.device import autocast, channels_last, full_precision
from echoes_training.ema import averages
from echoes_training.losses import Judgement, balanced, fool
from echoes_training.models.discriminators import ProjectedDiscriminator
from echoes_training.models.mel import MelSpectrogram
from echoes_training.models.mel_codec import MelCodec, MelDiscriminator
from echoes_training.models.teacher import TEACHERS
from echoes_training.optim import Learner
from echoes_training.processes import Processes
from echoes_training.stages.codec_step import teach
from echoes_training.stages.codecs import CODEC, TrainedCodec, codec_of_run, codecs_of_bundle
from echoes_training.stages.hearing import Hearing
from echoes_training.stages.loop import Measures, Prefetch, Scalars, mean, measured, train
from echoes_training.stages.mel_codec import Material, decoded_well, distances
from echoes_training.stages.vocoder import Segments


def mel_codec_of(source: Source) -> TrainedCodec:
    """The codec whose decoder is to be trained.

    Raises:
        InputError: if ``source`` holds none whose decoder draws.
    """
    if source.bundle is None:
        found = checkpoint.load_config(source.folder).get("stage")
        if found != "mel_codec":
            raise InputError(f"{source.place} is a run of {found}, expected one of mel-codec")
        codec = codec_of_run(source.folder)
    else:
        codec = codecs_of_bundle(source)[1]
    if not isinstance(codec.model, MelCodec):
        raise InputError(
            f"the mel codec of {source.place} is a VQGAN, whose decoder draws nothing; pass one "
            "trained with another preset"
        )
    return codec


def of_codec(config: MelDecoderStageConfig, codec: TrainedCodec) -> MelDecoderStageConfig:
    """``config`` for the shape and the media of this codec."""
    assert isinstance(codec.model, MelCodec)
    return dataclasses.replace(config, model=codec.model.config, mel=codec.mel, image=codec.image)


class Decoding(nn.Module):
    """The decoder as one function of a log-mel, whose codes are fixed."""

    def __init__(self, codec: MelCodec) -> None:
        super().__init__()
        self.codec = codec

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 1, H, W) decoded, and the levels of its codes (B, D, h, w)."""
        with torch.no_grad(), full_precision(x.device):
            codes = self.codec.encode(x)
        return self.codec.decode(codes, noise), self.codec.quantize.lookup(codes)


def train_mel_decoder(
    run: Path,
    clips: list[Clip],
    config: MelDecoderStageConfig,
    start: TrainedCodec,
    ear: Path | None,
) -> None:
    """Trains to ``config.loop.steps``, resuming from the newest checkpoint in ``run``.

    Raises:
        InputError: if the teacher is not installed.
    """
    loop = config.loop
    processes = Processes(loop.device)
    device = processes.device
    torch.manual_seed(loop.seed)
    segments = Segments(clips, config, device)
    hearing = Hearing(clips, segments.store, ear)
    mel = MelSpectrogram(config.mel).to(device)
    codec = MelCodec(config.model)
    codec.load_state_dict(start.model.state_dict())
    codec.encoder.requires_grad_(False)
    codec = channels_last(codec.to(device))
    material = Material(codec, segments, mel, config, processes)
    critic = MelDiscriminator(config.mel.n_mels, config.discriminator_width)
    projected = ProjectedDiscriminator(TEACHERS[config.teacher](), len(config.model.levels))
    if checkpoint.newest(run) is None:
        projected.teacher.load_published()
    critic = channels_last(critic.to(device))
    projected = channels_last(projected.to(device))
    projected.measure(mel(segments.batch(loop.seed, 0, range(8)))[:, None])
    learner = Learner(Decoding(codec), loop, processes, trained=codec.decoder, may_idle=True)
    judges = {
        "discriminator": Learner(
            Judgement(critic),
            dataclasses.replace(loop, learning_rate=config.discriminator_rate * loop.learning_rate),
            processes,
        ),
        "projected": Learner(
            Judgement(projected), loop, processes, trained=projected.heads, may_idle=True
        ),
    }
    state = TrainState(
        modules={CODEC: codec, "discriminator": critic, "projected": projected},
        optimizers={CODEC: learner.optimizer, **{k: j.optimizer for k, j in judges.items()}},
        averages=averages({CODEC: codec}, loop.ema_decay),
    )
    parts_of = Prefetch(material.parts, loop.steps, device)

    def step_once(step: int) -> Measures:
        rows: list[Measures] = []
        pairs: list[tuple[Tensor, Tensor, Tensor]] = []

        def loss_of(part: tuple[Tensor, Tensor]) -> Tensor:
            x, noise = part
            with autocast(loop.precision, device):
                decoded, z = learner(x, noise)
                fake = decoded.detach().float().requires_grad_()
                losses = {"blurred": distances(x, fake)["blurred"]}
                if step >= config.adversarial_start:
                    asked = fool(critic, fake, x, texture=True)
                    losses |= {k: asked[k] for k in ("adversarial", "feature_statistics")}
                    seen = fool(projected, fake, x, z, texture=True)
                    losses |= {f"projected_{name}": loss for name, loss in seen.items()}
            rows.append(measured(losses))
            pairs.append((x, fake.detach(), z))
            pull = balanced(losses, config.loss_weights, fake)
            return (decoded.float() * pull).sum(dim=(1, 2, 3)).mean()

        norm = learner.update(step, parts_of(step), loss_of)
        measures = {**mean(rows), "train/grad_norm": norm}
        told = teach(judges["discriminator"], step, [(x, fake) for x, fake, _ in pairs])
        seen = teach(judges["projected"], step, pairs)
        return {
            **measures,
            **told,
            **{k.replace("discriminator", "projected"): v for k, v in seen.items()},
        }

    def evaluate(step: int) -> Scalars:
        return decoded_well(run, step, codec, mel, hearing, processes)

    train(run, loop, state, processes, step_once, evaluate)
