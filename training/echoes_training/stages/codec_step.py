"""One step of a codec's training: encoder, decoder and codes, then the discriminator."""

from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echoes_training.config import VQGANStageConfig
from echoes_training.device import autocast, step_generator
from echoes_training.losses import total
from echoes_training.losses.adversarial import discriminator_hinge, generator_hinge
from echoes_training.models.codec_judges import CategoryHead, PatchDiscriminator
from echoes_training.models.vqgan import VQGAN
from echoes_training.optim import Learner
from echoes_training.processes import Processes
from echoes_training.stages.batches import Batches, Part
from echoes_training.stages.loop import Measures, mean, measured

INTERMEDIATE = ("z", "codes", "shown", "decoded")
"""What ``CodecLosses`` gives beside losses."""


class CodecLosses(nn.Module):
    """What the codec is trained on, but for the discriminator's opinion."""

    def __init__(self, model: VQGAN, head: CategoryHead, decoded_share: float) -> None:
        super().__init__()
        self.model = model
        self.head = head
        self.decoded_share = decoded_share

    def forward(self, x: Tensor, wanted: Tensor, categories_only: bool) -> dict[str, Tensor]:
        """Losses by name, and what else is asked of a full step (``INTERMEDIATE``).

        Categories alone are a step of the encoder, on latents that are not quantized yet.
        """
        model = self.model
        features = model.encoder.features(x)
        z = model.quant_conv(model.encoder.conv_out(features))
        if categories_only:
            latents = F.normalize(z, dim=1) if model.quantize.normalize else z
            return {"category": self._category(features, latents, wanted)}
        quantized = model.quantize(z)
        n_decoded = max(1, round(len(x) * self.decoded_share))
        shown = x[-n_decoded:]
        decoded = model.decode_latents(quantized.z_q[-n_decoded:])
        return {
            "reconstruction": (decoded - shown).abs().mean(),
            "category": self._category(features, quantized.z_q, wanted),
            **quantized.losses,
            "z": z,
            "codes": quantized.codes,
            "shown": shown,
            "decoded": decoded,
        }

    def _category(self, features: Tensor, latents: Tensor, wanted: Tensor) -> Tensor:
        readings = self.head(features, latents)
        losses = [F.cross_entropy(r, wanted, label_smoothing=0.1) for r in readings]
        return torch.stack(losses).mean()


class Judgement(nn.Module):
    """The discriminator's own loss."""

    def __init__(self, critic: PatchDiscriminator) -> None:
        super().__init__()
        self.critic = critic

    def forward(self, real: Tensor, fake: Tensor) -> Tensor:
        return discriminator_hinge(self.critic(real), self.critic(fake))


def fool(critic: PatchDiscriminator, decoded: Tensor) -> Tensor:
    """The loss that the discriminator teaches; itself it learns nothing from it."""
    critic.requires_grad_(False)
    loss = generator_hinge(critic(decoded))
    critic.requires_grad_(True)
    return loss


class CodecStep:
    """One step of the codec's training: call it with the step's number."""

    def __init__(
        self,
        config: VQGANStageConfig,
        batches: Batches,
        processes: Processes,
        losses: CodecLosses,
        critic: PatchDiscriminator,
    ) -> None:
        loop = config.loop
        self.config = config
        self.batches = batches
        self.processes = processes
        self.parts = batches.parts_of(processes)
        self.quantizer = losses.model.quantize
        self.critic = critic
        may_idle = config.category_steps > 0
        self.codec = Learner(losses, loop, processes, may_idle=may_idle)
        self.judge = Learner(Judgement(critic), loop, processes)

    def __call__(self, step: int) -> Measures:
        parts = self.parts(step)
        only_categories = step < self.config.category_steps
        is_adversarial = not only_categories and step >= self.config.adversarial_start
        found: list[dict[str, Tensor]] = []

        def loss_of(part: Part) -> Tensor:
            with self._autocast():
                losses = self.codec(part.x, part.wanted, only_categories)
                kept = {k: losses.pop(k) for k in INTERMEDIATE if k in losses}
                if is_adversarial:
                    losses["adversarial"] = fool(self.critic, kept["decoded"])
            found.append({k: v.detach() for k, v in {**losses, **kept}.items()})
            weights = {"category": 1.0} if only_categories else self.config.loss_weights
            return total(losses, weights)

        norm = self.codec.update(step, parts, loss_of)
        losses = [{k: v for k, v in f.items() if k not in INTERMEDIATE} for f in found]
        measures = mean(map(measured, losses))
        measures["train/grad_norm"] = norm
        if is_adversarial:
            measures |= self._teach_judge(step, found)
        if not only_categories:
            measures["train/revived"] = self._revive(step, found)
        return measures

    def _autocast(self) -> AbstractContextManager[object]:
        return autocast(self.config.loop.precision, self.processes.device)

    def _teach_judge(self, step: int, found: list[dict[str, Tensor]]) -> Measures:
        verdicts: list[Measures] = []

        def loss_of(seen: dict[str, Tensor]) -> Tensor:
            with self._autocast():
                verdict: Tensor = self.judge(seen["shown"], seen["decoded"])
            verdicts.append(measured({"discriminator": verdict}))
            return verdict

        norm = self.judge.update(step, found, loss_of)
        return {**mean(verdicts), "train/discriminator_grad_norm": norm}

    def _revive(self, step: int, found: list[dict[str, Tensor]]) -> Tensor:
        z, codes = (self.processes.whole_batch([f[k] for f in found]) for k in ("z", "codes"))
        generator = step_generator(self.config.loop.seed, step)
        return self.quantizer.revive(z, codes, generator, self.config.usage_decay)
