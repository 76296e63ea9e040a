"""Trains a codec's decoder alone: its codes, and all that was trained on them, stay valid."""

import dataclasses
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echoes_rt.errors import InputError
from echoes_training.checkpoint import TrainState
from echoes_training.config import RefineStageConfig, VQGANStageConfig
from echoes_training.device import autocast, channels_last, full_precision
from echoes_training.ema import averages
from echoes_training.losses import total
from echoes_training.losses.adversarial import perceptual
from echoes_training.models.codec_judges import CategoryHead, PatchDiscriminator
from echoes_training.models.vqgan import VQGAN
from echoes_training.optim import Learner
from echoes_training.processes import Processes
from echoes_training.stages.batches import Batches, Medium, Part
from echoes_training.stages.codec_step import Judgement, fool
from echoes_training.stages.codecs import CODEC
from echoes_training.stages.loop import Measures, Scalars, mean, measured, train


def refine(
    run: Path,
    medium: Medium,
    model: VQGAN,
    head: CategoryHead | None,
    categories: Mapping[str, int],
    codec: VQGANStageConfig,
    config: RefineStageConfig,
) -> None:
    """Trains ``model``'s decoder to ``config.loop.steps`` with a discriminator.

    A decoder trained on absolute error alone answers with the mean of all that a code may stand
    for, in which harmonics and edges cancel; the discriminator makes it choose, and the category
    that the codec's own encoder reads from the result makes it choose what the thing is (if the
    codec has a ``head`` that reads ``categories``, by their numbers).
    """
    loop = config.loop
    processes = Processes(loop.device)
    device = processes.device
    torch.manual_seed(loop.seed)
    model = channels_last(model.to(device)).eval().requires_grad_(False)
    trained = nn.ModuleList([model.post_quant_conv, model.decoder]).requires_grad_(True)
    critic = PatchDiscriminator(codec.model.in_channels, config.discriminator_width)
    critic = channels_last(critic.to(device))
    heads: dict[str, nn.Module] = {}
    if head is not None:
        heads["category_head"] = head = head.to(device).eval().requires_grad_(False)
    if config.data.resident:
        medium.reside(device)
    batches = Batches(medium, loop, codec.labelled_share, device, categories)
    step_once = RefineStep(config, batches, processes, model, trained, head, critic)
    state = TrainState(
        modules={CODEC: model, **heads, "discriminator": critic},
        optimizers={
            "decoder": step_once.decoder.optimizer,
            "discriminator": step_once.judge.optimizer,
        },
        averages=averages({CODEC: model}, loop.ema_decay),
    )

    @torch.no_grad()
    def evaluate(step: int) -> Scalars:
        members = medium.clips["validation"]
        shown = members[:: max(1, len(members) // 64)][:64]
        x = medium.batch(shown, None).to(device)
        decoded = torch.cat([model(part)[0] for part in torch.split(x, 16)])
        if processes.is_main:
            spread = slice(0, None, max(1, len(shown) // 8))
            medium.sheet(run / "samples" / f"{step:07d}.png", x[spread], decoded[spread].float())
        levels = [model.encoder.pyramid(y) for y in (x, decoded)]
        scalars = {
            "validation/reconstruction": (decoded - x).abs().mean().item(),
            "validation/perceptual": perceptual(*levels).item(),
        }
        if head is not None:
            logits = _read(head, levels[1][-1])
            hits = logits.argmax(dim=1) == batches.wanted(shown)
            scalars["validation/category"] = hits.float().mean().item()
        return scalars

    train(run, loop, state, processes, step_once, evaluate)


def with_new_decoder(
    model: VQGAN, codec: VQGANStageConfig, config: RefineStageConfig
) -> tuple[VQGAN, VQGANStageConfig]:
    """The codec with an untrained decoder of ``config.decoder_channels``, and its settings.

    Raises:
        InputError: if the widths are not one for each level.
    """
    try:
        shape = dataclasses.replace(codec.model, decoder_channels=config.decoder_channels)
    except ValueError as error:
        raise InputError(f"--set decoder_channels: {error}") from error
    torch.manual_seed(config.loop.seed)
    renewed = VQGAN(shape)
    renewed.encoder, renewed.quant_conv = model.encoder, model.quant_conv
    renewed.quantize = model.quantize
    return renewed, dataclasses.replace(codec, model=shape)


class Decoding(nn.Module):
    """A codec as nothing but a decoder of codes."""

    def __init__(self, model: VQGAN) -> None:
        super().__init__()
        self.model = model

    def forward(self, codes: Tensor) -> Tensor:
        return self.model.decode(codes)


def _read(head: CategoryHead, features: Tensor) -> Tensor:
    """(B, n_categories) logits of what decoded clips show."""
    return head.from_features(features.mean(dim=(2, 3)))


class RefineStep:
    """One step of the decoder, then of the discriminator: call it with the step's number."""

    def __init__(
        self,
        config: RefineStageConfig,
        batches: Batches,
        processes: Processes,
        model: VQGAN,
        trained: nn.Module,
        head: CategoryHead | None,
        critic: PatchDiscriminator,
    ) -> None:
        loop = config.loop
        self.config = config
        self.processes = processes
        self.parts = batches.parts_of(processes)
        self.model = model
        self.head = head
        self.critic = critic
        self.decoder = Learner(Decoding(model), loop, processes, trained=trained)
        self.judge = Learner(Judgement(critic), loop, processes)

    def __call__(self, step: int) -> Measures:
        rows: list[Measures] = []
        decoded: list[tuple[Tensor, Tensor]] = []

        def loss_of(part: Part) -> Tensor:
            with self._autocast():
                losses, fake = self._losses(part, step)
            rows.append(measured(losses))
            if "adversarial" in losses:
                balance = self._balance(losses)
                rows[-1] |= measured({"balance": balance})
                losses["adversarial"] = losses["adversarial"] * balance
            decoded.append((part.x, fake.detach()))
            return total(losses, self.config.loss_weights)

        def verdict_on(pair: tuple[Tensor, Tensor]) -> Tensor:
            with self._autocast():
                verdict: Tensor = self.judge(*pair)
            verdicts.append(measured({"discriminator": verdict}))
            return verdict

        verdicts: list[Measures] = []
        norm = self.decoder.update(step, self.parts(step), loss_of)
        measures = {**mean(rows), "train/grad_norm": norm}
        if step < self.config.adversarial_start:
            return measures
        norm = self.judge.update(step, decoded, verdict_on)
        return {**measures, **mean(verdicts), "train/discriminator_grad_norm": norm}

    def _autocast(self) -> AbstractContextManager[object]:
        return autocast(self.config.loop.precision, self.processes.device)

    def _losses(self, part: Part, step: int) -> tuple[dict[str, Tensor], Tensor]:
        """The losses by name, and what becomes of the codes."""
        encoder = self.model.encoder
        with torch.no_grad(), full_precision(part.x.device):
            seen = encoder.pyramid(part.x)
            codes = self.model.codes_of(seen[-1])
            if self.config.shift:
                seen = encoder.pyramid(self._shifted(part.x, step))
        fake = self.decoder(codes)
        levels = encoder.pyramid(self._shifted(fake, step))
        losses = {
            "reconstruction": (fake - part.x).abs().mean(),
            "perceptual": perceptual(seen, levels),
        }
        if self.head is not None:
            losses["category"] = F.cross_entropy(_read(self.head, levels[-1]), part.wanted)
        if step >= self.config.adversarial_start:
            losses["adversarial"] = fool(self.critic, fake)
        return losses, fake

    def _shifted(self, x: Tensor, step: int) -> Tensor:
        """(B, C, H, W), moved by the same random number of rows and columns in a step."""
        if not self.config.shift:
            return x
        rng = np.random.default_rng((self.config.loop.seed, step))
        rows, columns = (int(n) for n in rng.integers(self.config.shift + 1, size=2))
        return torch.roll(x, (rows, columns), dims=(2, 3))

    def _balance(self, losses: dict[str, Tensor]) -> Tensor:
        """How much stronger the reconstruction pulls at the last layer than the discriminator does.

        The adaptive weight of VQGAN (arXiv 2012.09841, equation 7), of one part of the batch.
        """
        last = self.model.decoder.conv_out.weight
        pull, push = (
            self.processes.mean(torch.autograd.grad(losses[name], last, retain_graph=True)[0])
            for name in ("reconstruction", "adversarial")
        )
        return (pull.norm() / (push.norm() + 1e-6)).clamp(max=1e4).detach()
