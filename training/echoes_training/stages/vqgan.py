"""Trains a VQGAN on pictures or on log-mels: one loop for both media."""

from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from echoes_rt.errors import InputError
from echoes_rt.format.image import ImageSpec
from echoes_rt.format.mel import MelSpec
from echoes_training import checkpoint
from echoes_training.checkpoint import TrainState
from echoes_training.config import VQGANStageConfig
from echoes_training.data import image as image_data
from echoes_training.data.audio import ANYWHERE, AudioStore, Variation
from echoes_training.data.audio import to_batch as audio_batch
from echoes_training.data.image import ImageStore
from echoes_training.data.index import Clip
from echoes_training.data.resident_pictures import ResidentPictures
from echoes_training.data.resident_sounds import ResidentSounds, SoundView
from echoes_training.device import autocast, channels_last
from echoes_training.ema import averages
from echoes_training.models.codec_judges import CategoryHead, PatchDiscriminator
from echoes_training.models.mel import MelSpectrogram
from echoes_training.models.vqgan import VQGAN
from echoes_training.processes import Processes
from echoes_training.sample_sheets import write_mel_sheet
from echoes_training.stages import categories
from echoes_training.stages.batches import Batches, Medium
from echoes_training.stages.codec_step import CodecLosses, CodecStep
from echoes_training.stages.codecs import CODEC
from echoes_training.stages.loop import Scalars, train


class Specs(Protocol):
    """Anything that says what media a codec is for: its settings, or the codec itself."""

    @property
    def image(self) -> ImageSpec: ...

    @property
    def mel(self) -> MelSpec: ...


class Pictures:
    def __init__(self, clips: list[Clip], specs: Specs) -> None:
        self.clips = _by_split([c for c in clips if c.image])
        self.spec = specs.image
        self.store = ImageStore(specs.image)
        self.resident: ResidentPictures | None = None

    def reside(self, device: torch.device) -> None:
        paths = [str(clip.image) for clip in self.clips["train"]]
        self.resident = ResidentPictures(self.store, paths, device)

    def views(self, clips: list[Clip], generators: list[np.random.Generator]) -> Tensor:
        if self.resident is not None:
            return self.resident.augmented([str(clip.image) for clip in clips], generators)
        return _one_by_one(self, clips, generators)

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
    def __init__(self, clips: list[Clip], specs: Specs, variation: Variation = ANYWHERE) -> None:
        self.variation = variation
        self.clips = _by_split([c for c in clips if c.audio])
        self.store = AudioStore(specs.mel)
        self.mel = MelSpectrogram(specs.mel)
        self.resident: ResidentSounds | None = None

    def reside(self, device: torch.device) -> None:
        self.resident = ResidentSounds(self.store, self.clips["train"], device)
        self.resident_mel = MelSpectrogram(self.mel.spec).to(device)

    def views(self, clips: list[Clip], generators: list[np.random.Generator]) -> Tensor:
        if self.resident is None:
            return _one_by_one(self, clips, generators)
        views = [SoundView.draw(self.variation, self.mel.spec, rng) for rng in generators]
        return self.resident_mel(self.resident.varied(clips, views, self.variation))[:, None]

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


def _one_by_one(medium: Medium, clips: list[Clip], generators: list[np.random.Generator]) -> Tensor:
    """Alone each, as a mel's last bits depend on how many are computed with it."""
    pairs = zip(clips, generators, strict=True)
    return torch.cat([medium.batch([clip], rng) for clip, rng in pairs])


def _by_split(clips: list[Clip]) -> dict[str, list[Clip]]:
    splits = {name: [c for c in clips if c.split == name] for name in ("train", "validation")}
    for name, members in splits.items():
        if not members:
            raise InputError(
                f"the index has no {name} clip of this medium; prepare more data, or give rows of "
                f"your table the split {name}"
            )
    return splits


def _new_head(config: VQGANStageConfig, n_categories: int) -> CategoryHead:
    return CategoryHead(config.model.channels[-1], config.model.codebook_dim, n_categories)


def load_head(run: Path, config: VQGANStageConfig, n_categories: int) -> CategoryHead | None:
    """The classifier that was trained with a codec; imports have none.

    Raises:
        InputError: if it tells another number of categories apart.
    """
    folder = checkpoint.newest(run)
    if folder is not None and not (folder / "category_head.safetensors").exists():
        return None
    head = _new_head(config, n_categories)
    try:
        checkpoint.load_module(run, "category_head", head)
    except RuntimeError as error:
        raise InputError(
            f"{run} was not trained on the {n_categories} categories of the index; pass the "
            "index of that run, or refine without categories: --set loss_weights.category=0"
        ) from error
    return head


def train_vqgan(run: Path, medium: Medium, config: VQGANStageConfig) -> None:
    """Trains to ``config.loop.steps``, resuming from the newest checkpoint in ``run``.

    The settings of the run are there already, and say what the categories are.
    """
    loop = config.loop
    processes = Processes(loop.device)
    device = processes.device
    torch.manual_seed(loop.seed)
    model = channels_last(VQGAN(config.model).to(device))
    # Other processes may not see yet what the main one has written.
    numbers = processes.same(
        categories.numbers(run, medium.clips["train"]) if processes.is_main else {}
    )
    head = _new_head(config, len(numbers)).to(device)
    critic = PatchDiscriminator(config.model.in_channels, config.discriminator_width)
    critic = channels_last(critic.to(device))
    if config.data.resident:
        medium.reside(device)
    batches = Batches(medium, loop, config.labelled_share, device, numbers)
    losses = CodecLosses(model, head, config.decoded_share)
    step_once = CodecStep(config, batches, processes, losses, critic)
    state = TrainState(
        modules={CODEC: model, "category_head": head, "discriminator": critic},
        optimizers={
            CODEC: step_once.codec.optimizer,
            "discriminator": step_once.judge.optimizer,
        },
        averages=averages({CODEC: model, "category_head": head}, loop.ema_decay),
    )

    def evaluate(step: int) -> Scalars:
        sheet = run / "samples" / f"{step:07d}.png" if processes.is_main else None
        return _evaluate(sheet, batches, config, model, head)

    train(run, loop, state, processes, step_once, evaluate)


@torch.no_grad()
def _evaluate(
    sheet: Path | None,
    batches: Batches,
    config: VQGANStageConfig,
    model: VQGAN,
    head: CategoryHead,
) -> Scalars:
    """Error, label accuracy and codebook use on up to 511 held-out clips, evenly spread."""
    model.eval()
    head.eval()
    medium, device = batches.medium, batches.device
    members = medium.clips["validation"]
    members = members[:: max(1, len(members) // 256)]
    errors, feature_hits, code_hits = 0.0, 0, 0
    used = torch.zeros(config.model.codebook_size)
    for i in range(0, len(members), 32):
        clips = members[i : i + 32]
        x = medium.batch(clips, None).to(device)
        with autocast(config.loop.precision, device):
            features = model.encoder.features(x)
            quantized = model.quantize(model.quant_conv(model.encoder.conv_out(features)))
            decoded = model.decode_latents(quantized.z_q)
            from_features, from_codes = head(features, quantized.z_q)
        errors += (decoded - x).abs().mean().item() * len(clips)
        wanted = batches.wanted(clips)
        feature_hits += int((from_features.argmax(dim=1) == wanted).sum())
        code_hits += int((from_codes.argmax(dim=1) == wanted).sum())
        used += torch.bincount(quantized.codes.flatten().cpu(), minlength=len(used))
    shown = members[:: max(1, len(members) // 8)][:8]
    if sheet is not None:
        x = medium.batch(shown, None).to(device)
        medium.sheet(sheet, x, model(x)[0].float())
    model.train()
    head.train()
    share = used / used.sum()
    perplexity = float(torch.exp(-(share * (share + 1e-12).log()).sum()))
    return {
        "validation/reconstruction": errors / len(members),
        "validation/category_from_features": feature_hits / len(members),
        "validation/category_from_codes": code_hits / len(members),
        "validation/codes_used": float((used > 0).sum()),
        "validation/code_perplexity": perplexity,
    }
