"""Trains a VQGAN on pictures or on log-mels: one loop for both media."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from echoes_rt.errors import InputError
from echoes_training import checkpoint
from echoes_training.checkpoint import TrainState
from echoes_training.config import VQGANStageConfig
from echoes_training.data import image as image_data
from echoes_training.data.audio import ANYWHERE, AudioStore, Variation
from echoes_training.data.audio import to_batch as audio_batch
from echoes_training.data.image import ImageStore
from echoes_training.data.index import Clip
from echoes_training.device import autocast, channels_last, step_generator
from echoes_training.losses import total
from echoes_training.losses.adversarial import discriminator_hinge, generator_hinge
from echoes_training.models.category_head import CategoryHead
from echoes_training.models.mel import MelSpectrogram
from echoes_training.models.patch_discriminator import PatchDiscriminator
from echoes_training.models.vqgan import VQGAN
from echoes_training.optim import learning_rate, make_optimizer, update
from echoes_training.sample_sheets import write_mel_sheet
from echoes_training.stages.loop import Scalars, train


class Medium(Protocol):
    """What differs between pictures and sounds."""

    clips: dict[str, list[Clip]]

    def batch(self, clips: list[Clip], rng: np.random.Generator | None) -> Tensor:
        """(B, C, H, W); augmented if there is a generator."""
        ...

    def sheet(self, path: Path, real: Tensor, decoded: Tensor) -> None: ...


class Pictures:
    def __init__(self, clips: list[Clip], config: VQGANStageConfig) -> None:
        self.clips = _by_split([c for c in clips if c.image])
        self.spec = config.image
        self.store = ImageStore(config.image)

    def batch(self, clips: list[Clip], rng: np.random.Generator | None) -> Tensor:
        paths = [c.image for c in clips if c.image]
        if rng is None:
            pictures = [self.store.centred(p) for p in paths]
        else:
            pictures = [self.store.augmented(p, rng) for p in paths]
        return image_data.to_batch(pictures, self.spec)

    def sheet(self, path: Path, real: Tensor, decoded: Tensor) -> None:
        rows = [image_data.to_pixels(x, self.spec) for x in (real, decoded)]
        image_data.write_sheet(path, rows)


class Mels:
    def __init__(
        self, clips: list[Clip], config: VQGANStageConfig, variation: Variation = ANYWHERE
    ) -> None:
        self.variation = variation
        self.clips = _by_split([c for c in clips if c.audio])
        self.store = AudioStore(config.mel)
        self.mel = MelSpectrogram(config.mel)

    def batch(self, clips: list[Clip], rng: np.random.Generator | None) -> Tensor:
        if rng is None:
            sounds = [self.store.get(str(c.audio), c.start) for c in clips]
        else:
            sounds = [
                self.store.augmented(str(c.audio), c.start, rng, self.variation) for c in clips
            ]
        return self.mel(audio_batch(sounds))[:, None]

    def sheet(self, path: Path, real: Tensor, decoded: Tensor) -> None:
        write_mel_sheet(path, [real[:, 0], decoded[:, 0]], self.mel.spec)


def _by_split(clips: list[Clip]) -> dict[str, list[Clip]]:
    splits = {name: [c for c in clips if c.split == name] for name in ("train", "heldout")}
    for name, members in splits.items():
        if not members:
            raise InputError(f"the index has no {name} clip of this medium; prepare more data")
    return splits


def draw(
    members: list[Clip], size: int, labelled_share: float, rng: np.random.Generator
) -> list[Clip]:
    """A batch with replacement; the codec must know best what the transformer will pair."""
    labelled = [c for c in members if c.label] or members
    n_labelled = round(size * labelled_share)
    return [
        *(labelled[i] for i in rng.integers(len(labelled), size=n_labelled)),
        *(members[i] for i in rng.integers(len(members), size=size - n_labelled)),
    ]


def category_numbers(medium: Medium) -> dict[str, int]:
    """The number of each category that is trained on."""
    return {name: i for i, name in enumerate(sorted({c.category for c in medium.clips["train"]}))}


def _new_head(medium: Medium, config: VQGANStageConfig) -> CategoryHead:
    model = config.model
    return CategoryHead(model.channels[-1], model.codebook_dim, len(category_numbers(medium)))


def load_head(run: Path, medium: Medium, config: VQGANStageConfig) -> CategoryHead | None:
    """The classifier that was trained with a codec on the same categories; imports have none."""
    folder = checkpoint.newest(run)
    if folder is not None and not (folder / "category_head.safetensors").exists():
        return None
    head = _new_head(medium, config)
    checkpoint.load_module(run, "category_head", head)
    return head


def train_vqgan(run: Path, medium: Medium, config: VQGANStageConfig) -> None:
    """Trains to ``config.loop.steps``, resuming from the newest checkpoint in ``run``."""
    loop, weights = config.loop, config.loss_weights
    device = torch.device(loop.device)
    torch.manual_seed(loop.seed)
    categories = category_numbers(medium)
    model = channels_last(VQGAN(config.model).to(device))
    head = _new_head(medium, config).to(device)
    critic = PatchDiscriminator(config.model.in_channels, config.discriminator_width)
    critic = channels_last(critic.to(device))
    trained = torch.nn.ModuleList([model, head])
    optimizer = make_optimizer(trained, loop)
    critic_optimizer = make_optimizer(critic, loop)
    state = TrainState(
        modules={"vqgan": model, "category_head": head, "discriminator": critic},
        optimizers={"vqgan": optimizer, "discriminator": critic_optimizer},
    )

    def targets(clips: list[Clip]) -> Tensor:
        return torch.tensor([categories[c.category] for c in clips], device=device)

    def category_loss(features: Tensor, latents: Tensor, clips: list[Clip]) -> Tensor:
        wanted = targets(clips)
        readings = head(features, latents)
        losses = [F.cross_entropy(r, wanted, label_smoothing=0.1) for r in readings]
        return torch.stack(losses).mean()

    def learn_categories(x: Tensor, clips: list[Clip]) -> Scalars:
        """A step of the encoder alone, on latents that are not quantized yet."""
        with autocast(loop.precision, device):
            features = model.encoder.features(x)
            latents = model.quant_conv(model.encoder.conv_out(features))
            if config.model.normalize:
                latents = F.normalize(latents, dim=1)
            loss = category_loss(features, latents, clips)
        norm = update(optimizer, trained, loss, loop)
        return {"train/category": loss.item(), "train/grad_norm": norm}

    def step_once(step: int) -> Scalars:
        rng = np.random.default_rng((loop.seed, step))
        clips = draw(medium.clips["train"], loop.batch_size, config.labelled_share, rng)
        x = medium.batch(clips, rng).to(device, memory_format=torch.channels_last)
        for group in (*optimizer.param_groups, *critic_optimizer.param_groups):
            group["lr"] = learning_rate(loop, step)
        if step < config.category_steps:
            return learn_categories(x, clips)
        adversarial = step >= config.adversarial_start
        with autocast(loop.precision, device):
            features = model.encoder.features(x)
            z = model.quant_conv(model.encoder.conv_out(features))
            quantized = model.quantize(z)
            n_decoded = max(1, round(len(x) * config.decoded_share))
            shown = x[-n_decoded:]
            decoded = model.decode_latents(quantized.z_q[-n_decoded:])
            losses = {
                "reconstruction": (decoded - shown).abs().mean(),
                "category": category_loss(features, quantized.z_q, clips),
                **quantized.losses,
            }
            if adversarial:
                critic.requires_grad_(False)
                losses["adversarial"] = generator_hinge(critic(decoded))
                critic.requires_grad_(True)
        scalars = {f"train/{k}": v.item() for k, v in losses.items()}
        scalars["train/grad_norm"] = update(optimizer, trained, total(losses, weights), loop)
        if adversarial:
            with autocast(loop.precision, device):
                verdict = discriminator_hinge(critic(shown), critic(decoded.detach()))
            update(critic_optimizer, critic, verdict, loop)
            scalars["train/discriminator"] = verdict.item()
        generator = step_generator(loop.seed, step)
        revived = model.quantize.revive(z, quantized.codes, generator, config.usage_decay)
        scalars["train/revived"] = float(revived)
        return scalars

    train(
        run,
        loop,
        state,
        step_once,
        lambda step: _evaluate(run, step, medium, config, model, head, targets),
    )


@torch.no_grad()
def _evaluate(
    run: Path,
    step: int,
    medium: Medium,
    config: VQGANStageConfig,
    model: VQGAN,
    head: CategoryHead,
    targets: Callable[[list[Clip]], Tensor],
) -> Scalars:
    """Error, label accuracy and codebook use on up to 256 held-out clips, evenly spread."""
    model.eval()
    head.eval()
    members = medium.clips["heldout"]
    members = members[:: max(1, len(members) // 256)]
    errors, feature_hits, code_hits = 0.0, 0, 0
    used = torch.zeros(config.model.codebook_size)
    for i in range(0, len(members), 32):
        clips = members[i : i + 32]
        x = medium.batch(clips, None).to(config.loop.device)
        with autocast(config.loop.precision, x.device):
            features = model.encoder.features(x)
            quantized = model.quantize(model.quant_conv(model.encoder.conv_out(features)))
            decoded = model.decode_latents(quantized.z_q)
            from_features, from_codes = head(features, quantized.z_q)
        errors += (decoded - x).abs().mean().item() * len(clips)
        wanted = targets(clips)
        feature_hits += int((from_features.argmax(dim=1) == wanted).sum())
        code_hits += int((from_codes.argmax(dim=1) == wanted).sum())
        used += torch.bincount(quantized.codes.flatten().cpu(), minlength=len(used))
    shown = members[:: max(1, len(members) // 8)][:8]
    x = medium.batch(shown, None).to(config.loop.device)
    medium.sheet(run / "samples" / f"{step:07d}.png", x, model(x)[0].float())
    model.train()
    head.train()
    share = used / used.sum()
    perplexity = float(torch.exp(-(share * (share + 1e-12).log()).sum()))
    return {
        "heldout/reconstruction": errors / len(members),
        "heldout/category_from_features": feature_hits / len(members),
        "heldout/category_from_codes": code_hits / len(members),
        "heldout/codes_used": float((used > 0).sum()),
        "heldout/code_perplexity": perplexity,
    }
