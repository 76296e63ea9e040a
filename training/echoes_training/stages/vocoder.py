"""Trains the vocoder on segments of real sound."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from echoes_rt.errors import InputError
from echoes_training import checkpoint
from echoes_training.checkpoint import TrainState
from echoes_training.config import MelCodecStageConfig, VocoderStageConfig, from_dict
from echoes_training.data.audio import ANYWHERE, AudioStore, Samples, to_batch
from echoes_training.data.index import Clip
from echoes_training.data.resident import ResidentSounds, SoundView
from echoes_training.device import autocast, to_device
from echoes_training.ema import averages
from echoes_training.losses import Judgement, fool, multi_resolution_stft, phase_advance
from echoes_training.models.discriminators import WaveDiscriminator
from echoes_training.models.mel import MelSpectrogram
from echoes_training.models.vocoder import Vocoder, make_vocoder
from echoes_training.optim import Learner
from echoes_training.processes import Processes
from echoes_training.sample_sheets import write_samples
from echoes_training.stages.codec_step import learn, teach
from echoes_training.stages.hearing import Hearing
from echoes_training.stages.loop import Measures, Prefetch, Scalars, train
from echoes_training.stages.media import Draws, by_split

SILENT_PEAK = 0.003
"""Segments below this peak (-50 dBFS) teach little and are drawn again."""


RESIDENT_TRIES = 4
"""How often at most, where segments are cut on a GPU: there all are cut, and one is kept."""


class Segments:
    """Random cuts of the clips; the recordings of short events are mostly silence."""

    def __init__(
        self,
        clips: list[Clip],
        config: VocoderStageConfig | MelCodecStageConfig,
        device: torch.device,
    ) -> None:
        splits = by_split(clips, "audio")
        self.draws = Draws(splits["train"], config.labelled_share)
        self.store = AudioStore(config.mel)
        self.size = config.segment_frames * config.mel.hop_length
        self.device = device
        self.resident = (
            ResidentSounds(self.store, splits["train"], device) if config.data.resident else None
        )

    def batch(self, seed: int, step: int, places: range) -> Tensor:
        """(b, S): the samples of a step at these places in the batch of all processes."""
        generators = [np.random.default_rng((seed, step, place)) for place in places]
        if self.resident is not None:
            return self._resident(self.resident, generators)
        return to_device(to_batch([self.draw(rng) for rng in generators]), self.device)

    def _resident(self, sounds: ResidentSounds, generators: list[np.random.Generator]) -> Tensor:
        clips, views, starts = [], [], []
        for rng in generators:
            for _ in range(RESIDENT_TRIES):
                clips.append(self.draws.clip(rng))
                views.append(SoundView.draw(ANYWHERE, sounds.spec, rng))
                starts.append(int(rng.integers(sounds.spec.n_samples - self.size + 1)))
        at = to_device(torch.tensor(starts), self.device)[:, None]
        x = sounds.varied(clips, views, ANYWHERE)
        tries = x.gather(1, at + torch.arange(self.size, device=self.device))
        tries = tries.unflatten(0, (len(generators), RESIDENT_TRIES))
        is_heard = tries.abs().amax(dim=2) > SILENT_PEAK
        # The first that is heard, or else the last.
        is_heard[:, -1] = True
        first = is_heard.int().argmax(dim=1)
        return tries[torch.arange(len(generators), device=self.device), first]

    def draw(self, rng: np.random.Generator) -> Samples:
        for _ in range(10):
            clip = self.draws.clip(rng)
            samples = self.store.augmented(str(clip.audio), clip.start, rng, ANYWHERE)
            at = int(rng.integers(len(samples) - self.size + 1))
            segment = samples[at : at + self.size]
            if np.abs(segment).max() > SILENT_PEAK:
                break
        return segment


class Synthesis(nn.Module):
    """A vocoder of any architecture as one function: samples, and how its phases advance."""

    def __init__(self, vocoder: nn.Module) -> None:
        super().__init__()
        self.vocoder = vocoder

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor | None]:
        if isinstance(self.vocoder, Vocoder):
            return self.vocoder.with_advance(mel)
        return self.vocoder(mel), None


def train_vocoder(
    run: Path, clips: list[Clip], config: VocoderStageConfig, ear: Path | None
) -> None:
    """Trains to ``config.loop.steps``, resuming from the newest checkpoint in ``run``.

    The vocoder itself learns in fp32: phases need more than the eight bits of a bf16 mantissa.
    """
    loop = config.loop
    processes = Processes(loop.device)
    device = processes.device
    all_places = processes.parts(loop.batch_size, loop.accumulate)
    torch.manual_seed(loop.seed)
    segments = Segments(clips, config, device)
    hearing = Hearing(clips, segments.store, ear)
    mel = MelSpectrogram(config.mel).to(device)
    model = make_vocoder(config.model, config.mel).to(device)
    critic = WaveDiscriminator(config.discriminator_width).to(device)
    learner = Learner(Synthesis(model), loop, processes)
    judge = Learner(Judgement(critic), loop, processes)
    state = TrainState(
        modules={"vocoder": model, "discriminator": critic},
        optimizers={"vocoder": learner.optimizer, "discriminator": judge.optimizer},
        averages=averages({"vocoder": model}, loop.ema_decay),
    )

    def make(step: int) -> list[Tensor]:
        return [segments.batch(loop.seed, step, places) for places in all_places]

    parts_of = Prefetch(make, loop.steps, device)

    def step_once(step: int) -> Measures:
        parts = parts_of(step)
        is_adversarial = step >= config.adversarial_start
        measures = {}
        if is_adversarial:
            with torch.no_grad():
                pairs = [(real, model(mel(real))) for real in parts]
            measures = teach(judge, step, pairs)

        def losses_of(real: Tensor) -> tuple[dict[str, Tensor], None]:
            real_mel = mel(real)
            fake, advance = learner(real_mel)
            losses = {
                "mel": (real_mel - mel(fake)).abs().mean(),
                "stft": multi_resolution_stft(real, fake, processes.norm),
            }
            if advance is not None:
                losses["advance"] = phase_advance(real, advance, config.mel)
            if is_adversarial:
                with autocast(loop.precision, device):
                    losses |= fool(critic, fake, real)
            return losses, None

        return {**measures, **learn(learner, step, parts, config.loss_weights, losses_of)[0]}

    @torch.no_grad()
    def evaluate(step: int) -> Scalars:
        """Errors on validation clips, what the ear hears, a sheet and sounds."""
        real = hearing.samples.to(device)
        decoded = torch.cat([model(mel(part)) for part in real.split(8)])
        real_mel, fake_mel = mel(real), mel(decoded)
        if processes.is_main:
            write_samples(run, step, (real_mel, fake_mel), (real, decoded), config.mel)
        return {
            "validation/mel": (real_mel - fake_mel).abs().mean().item(),
            "validation/stft": multi_resolution_stft(real, decoded).item(),
            **hearing.heard(decoded),
        }

    train(run, loop, state, processes, step_once, evaluate)


def vocoder_of_run(run: Path) -> nn.Module:
    """A trained vocoder, ready to use: (B, n_mels, T) log-mels to (B, T * hop_length) samples."""
    settings = checkpoint.load_config(run)
    if settings.get("stage") != "vocoder":
        raise InputError(f"{run} is no run of a vocoder; give one of echoes-train vocoder")
    config = from_dict(VocoderStageConfig, settings["config"])
    model = make_vocoder(config.model, config.mel)
    checkpoint.load_module(run, "vocoder", model)
    return model.eval().requires_grad_(False)
