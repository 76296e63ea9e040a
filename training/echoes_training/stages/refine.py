"""Trains a codec's decoder alone: its codes, and all that was trained on them, stay valid."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echoes_training.checkpoint import TrainState
from echoes_training.config import RefineStageConfig, VQGANStageConfig
from echoes_training.data.index import Clip
from echoes_training.device import autocast, channels_last
from echoes_training.losses import total
from echoes_training.losses.adversarial import discriminator_hinge, generator_hinge
from echoes_training.losses.perceptual import perceptual
from echoes_training.models.category_head import CategoryHead
from echoes_training.models.patch_discriminator import PatchDiscriminator
from echoes_training.models.vqgan import VQGAN
from echoes_training.optim import learning_rate, make_optimizer, update
from echoes_training.stages.loop import Scalars, train
from echoes_training.stages.vqgan import Medium, category_numbers, draw


def refine(
    run: Path,
    medium: Medium,
    model: VQGAN,
    head: CategoryHead | None,
    codec: VQGANStageConfig,
    config: RefineStageConfig,
) -> None:
    """Trains ``model``'s decoder to ``config.loop.steps`` with a discriminator.

    A decoder trained on absolute error alone answers with the mean of all that a code may stand
    for, in which harmonics and edges cancel; the discriminator makes it choose, and the category
    that the codec's own encoder reads from the result makes it choose what the thing is (if the
    codec has a ``head`` that reads categories).
    """
    loop = config.loop
    device = torch.device(loop.device)
    torch.manual_seed(loop.seed)
    categories = category_numbers(medium)
    model = channels_last(model.to(device)).eval().requires_grad_(False)
    trained = nn.ModuleList([model.post_quant_conv, model.decoder]).requires_grad_(True)
    critic = PatchDiscriminator(codec.model.in_channels, config.discriminator_width)
    critic = channels_last(critic.to(device))
    optimizer = make_optimizer(trained, loop)
    critic_optimizer = make_optimizer(critic, loop)
    heads: dict[str, nn.Module] = {}
    if head is not None:
        heads["category_head"] = head = head.to(device).eval().requires_grad_(False)
    state = TrainState(
        modules={"vqgan": model, **heads, "discriminator": critic},
        optimizers={"decoder": optimizer, "discriminator": critic_optimizer},
    )

    def read(head: CategoryHead, features: Tensor, clips: list[Clip]) -> tuple[Tensor, Tensor]:
        """(B, n_categories) logits of what decoded clips show, and (B,) what they should."""
        wanted = torch.tensor([categories[c.category] for c in clips], device=device)
        return head.from_features(features.mean(dim=(2, 3))), wanted

    def step_once(step: int) -> Scalars:
        rng = np.random.default_rng((loop.seed, step))
        clips = draw(medium.clips["train"], loop.batch_size, codec.labelled_share, rng)
        x = medium.batch(clips, rng).to(device, memory_format=torch.channels_last)
        for group in (*optimizer.param_groups, *critic_optimizer.param_groups):
            group["lr"] = learning_rate(loop, step)
        with autocast(loop.precision, device):
            with torch.no_grad():
                seen = model.encoder.pyramid(x)
                codes = model.codes_of(seen[-1])
            decoded = model.decode(codes)
            critic.requires_grad_(False)
            levels = model.encoder.pyramid(decoded)
            losses = {
                "reconstruction": (decoded - x).abs().mean(),
                "perceptual": perceptual(seen, levels),
            }
            if head is not None:
                losses["category"] = F.cross_entropy(*read(head, levels[-1], clips))
            losses["adversarial"] = generator_hinge(critic(decoded))
            critic.requires_grad_(True)
        scalars = {f"train/{k}": v.item() for k, v in losses.items()}
        balance = _balance(losses, model.decoder.conv_out.weight)
        scalars["train/balance"] = balance.item()
        losses["adversarial"] = losses["adversarial"] * balance
        update(optimizer, trained, total(losses, config.loss_weights), loop)
        with autocast(loop.precision, device):
            verdict = discriminator_hinge(critic(x), critic(decoded.detach()))
        update(critic_optimizer, critic, verdict, loop)
        return {**scalars, "train/discriminator": verdict.item()}

    @torch.no_grad()
    def evaluate(step: int) -> Scalars:
        members = medium.clips["heldout"]
        shown = members[:: max(1, len(members) // 64)][:64]
        x = medium.batch(shown, None).to(device)
        decoded = torch.cat([model(part)[0] for part in torch.split(x, 16)])
        spread = slice(0, None, max(1, len(shown) // 8))
        medium.sheet(run / "samples" / f"{step:07d}.png", x[spread], decoded[spread].float())
        levels = [model.encoder.pyramid(y) for y in (x, decoded)]
        scalars = {
            "heldout/reconstruction": (decoded - x).abs().mean().item(),
            "heldout/perceptual": perceptual(*levels).item(),
        }
        if head is not None:
            logits, wanted = read(head, levels[1][-1], shown)
            scalars["heldout/category"] = (logits.argmax(dim=1) == wanted).float().mean().item()
        return scalars

    train(run, loop, state, step_once, evaluate)


def _balance(losses: dict[str, Tensor], last: Tensor) -> Tensor:
    """How much stronger the reconstruction pulls at the last layer than the discriminator does.

    The adaptive weight of VQGAN (arXiv 2012.09841, equation 7).
    """
    (pull,) = torch.autograd.grad(losses["reconstruction"], last, retain_graph=True)
    (push,) = torch.autograd.grad(losses["adversarial"], last, retain_graph=True)
    return (pull.norm() / (push.norm() + 1e-6)).clamp(max=1e4).detach()
