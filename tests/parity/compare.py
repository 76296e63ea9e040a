"""Runs the published networks' own code beside ours, on the same random weights.

``python tests/parity/compare.py CLONES`` prints one row per network. CLONES is a folder with clones
of CompVis/taming-transformers, LTH14/mage and v-iashin/SpecVQGAN under their repositories' names;
their code is imported from there, nothing of it is here. Needs the training extra and librosa.
"""

import contextlib
import io
import json
import subprocess
import sys
import tempfile
import types
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import soundfile
import torch
from torch import Tensor, nn

from echoes_rt.format.mel import MelSpec
from echoes_rt.io.audio import read_audio
from echoes_training.published.command import import_checkpoint

CLONES = {
    "taming": "taming-transformers",
    "maskgit": "mage",
    "specvqgan": "SpecVQGAN",
    "melgan": "SpecVQGAN",
    "front-end": "SpecVQGAN",
}
FIXTURES = Path(__file__).parents[1] / "fixtures" / "published"
RECORDINGS = [f"data/neural_audio_codec/{n}1/original.wav" for n in ("clean_speech", "music")]
"""Of SpecVQGAN's own repository: real ones, for the front end."""

LIMIT = 1e-4
CODEC = {
    "double_z": False,
    "z_channels": 256,
    "ch": 128,
    "ch_mult": [1, 1, 2, 2, 4],
    "num_res_blocks": 2,
    "dropout": 0.0,
}
PICTURE = {**CODEC, "resolution": 256, "in_channels": 3, "out_ch": 3, "attn_resolutions": [16]}
MEL = {**CODEC, "resolution": 848, "in_channels": 1, "out_ch": 1, "attn_resolutions": [53]}
CODEBOOK = {"n_embed": 1024, "embed_dim": 256}


@dataclass(frozen=True, kw_only=True)
class Row:
    network: str
    compared: str
    difference: float
    limit: float = LIMIT

    @property
    def is_ok(self) -> bool:
        return self.difference <= self.limit  # also false for what is no number

    def __str__(self) -> str:
        verdict = "yes" if self.is_ok else "NO"
        return f"{self.network:10} {self.compared:48} {self.difference:12.2e}  {verdict}"


def stub(name: str, **contents: object) -> None:
    """Puts an empty module in the place of one that the network itself does not need."""
    module = types.ModuleType(name)
    module.__dict__.update(contents)
    sys.modules[name] = module


def rearrange(tensor: Tensor, pattern: str) -> Tensor:
    """The part of einops that the codecs use: a change of the dimensions' order."""
    before, after = (side.split() for side in pattern.split("->"))
    return tensor.permute([before.index(name) for name in after])


class ModelCheckpoint:
    """Lightning's checkpoints name a class of this name; it must not matter that ours has none."""


def stub_lightning() -> None:
    stub("pytorch_lightning", LightningModule=nn.Module)
    stub("pytorch_lightning.callbacks")
    ModelCheckpoint.__module__ = "pytorch_lightning.callbacks.model_checkpoint"
    stub(ModelCheckpoint.__module__, ModelCheckpoint=ModelCheckpoint)
    stub("einops", rearrange=rearrange)
    for name in ("main", "train"):  # whence the models take the loss, which is left out anyway
        stub(name, instantiate_from_config=lambda _config: nn.Conv2d(1, 1, 1))


def reference_codec(kind: str) -> nn.Module:
    stub_lightning()
    with contextlib.redirect_stdout(io.StringIO()):
        if kind == "specvqgan":
            from specvqgan.models.vqgan import VQModel  # type: ignore[import-not-found]

            return VQModel(ddconfig=MEL, lossconfig=None, **CODEBOOK)
        from taming.models.vqgan import VQModel  # type: ignore[import-not-found]

        loss = {} if kind == "maskgit" else {"lossconfig": None}
        return VQModel(ddconfig=PICTURE, **CODEBOOK, **loss)


def reference_melgan() -> nn.Module:
    stub("librosa.filters", mel=None)
    stub("librosa", filters=sys.modules["librosa.filters"])
    from vocoder.modules import Generator  # type: ignore[import-not-found]

    return Generator(80, 32, 3)


def reference(kind: str) -> nn.Module:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of its old weight_norm
        model = reference_melgan() if kind == "melgan" else reference_codec(kind)
    return model.eval().requires_grad_(False)


def latents(model: Any, x: Tensor) -> Tensor:
    h = model.encoder(x)
    return model.quant_conv(h) if hasattr(model, "quant_conv") else h


def randomize_codec(model: Any, x: Tensor) -> None:
    """Start values would hide mistakes: biases are 0, norms 1, and one code is nearest to all."""
    for tensor in model.state_dict().values():
        if tensor.ndim == 1:
            tensor.add_(0.1 * torch.randn(tensor.shape))
    z = latents(model, x).permute(0, 2, 3, 1).flatten(0, 2)
    near = z[torch.randint(len(z), (CODEBOOK["n_embed"],))]
    model.quantize.embedding.weight.copy_(near + 0.5 * z.std(dim=0) * torch.randn(near.shape))


def save_lightning(model: nn.Module, path: Path) -> None:
    content = {
        "epoch": 39,
        "pytorch-lightning_version": "1.2.10",
        "state_dict": model.state_dict(),
        "callbacks": {ModelCheckpoint: {"best_model_path": "x", "best": ModelCheckpoint()}},
        "optimizer_states": [{"state": {}, "param_groups": []}],
    }
    torch.save(content, path)


def compare_codec(kind: str, folder: Path) -> Iterable[Row]:
    from echoes_training.stages.codecs import codec_of_run

    model = reference(kind)
    x = torch.rand(1, 1, 80, 848) if kind == "specvqgan" else torch.rand(1, 3, 256, 256)
    x = x if kind == "maskgit" else 2 * x - 1
    randomize_codec(model, x)
    save_lightning(model, folder / "last.ckpt")
    n_tensors, n_dropped = import_checkpoint(kind, folder / "last.ckpt", folder / "run")
    ours = codec_of_run(folder / "run").model
    z_q, _, info = model.encode(x)
    theirs = info[2].flatten()
    codes = ours.encode(x)
    n_wrong = int((codes.flatten() != theirs).sum())
    n_used = len(theirs.unique())
    yield Row(
        network=kind,
        compared=f"{n_tensors} tensors ({n_dropped} left out), latents",
        difference=(ours.latents(x) - latents(model, x)).abs().max().item(),
    )
    yield Row(
        network=kind,
        compared=f"codes that differ, of {len(theirs)} ({n_used} different)",
        difference=n_wrong,
        limit=0,
    )
    difference = (ours.decode(theirs.view(codes.shape)) - model.decode(z_q)).abs().max().item()
    yield Row(network=kind, compared="reconstruction", difference=difference)


def randomize_melgan(model: Any, mel: Tensor) -> None:
    for name, tensor in model.state_dict().items():
        if name.endswith("weight_g"):
            tensor.copy_(1 + 0.2 * torch.rand(tensor.shape))
        else:
            tensor.copy_(torch.randn(tensor.shape) * (0.1 if name.endswith("bias") else 1))
    # As loud as sound is: tanh neither idles nor saturates.
    before_tanh = model.model[:-1](mel)
    model.state_dict()["model.24.weight_g"].div_(2 * before_tanh.std())


def compare_melgan(folder: Path) -> Iterable[Row]:
    from echoes_training import checkpoint
    from echoes_training.config import VocoderStageConfig, from_dict
    from echoes_training.models.vocoder import make_vocoder

    model = reference("melgan")
    mel = torch.rand(1, 80, 848)
    randomize_melgan(model, mel)
    torch.save(model.state_dict(), folder / "best_netG.pt")
    n_tensors, _ = import_checkpoint("melgan", folder / "best_netG.pt", folder / "run")
    config = from_dict(VocoderStageConfig, checkpoint.load_config(folder / "run")["config"])
    ours = make_vocoder(config.model, config.mel)
    checkpoint.load_module(folder / "run", "vocoder", ours)
    theirs = model(mel).squeeze(1)
    difference = (ours(2 * mel - 1) - theirs).abs().max().item()
    yield Row(
        network="melgan",
        compared=f"{n_tensors} tensors, waveform of RMS {theirs.std().item():.2f}",
        difference=difference,
    )


class Compose:
    """What the front end takes from torchvision."""

    def __init__(self, transforms: list[Callable[[Any], Any]]) -> None:
        self.transforms = transforms

    def __call__(self, x: Any) -> Any:
        for transform in self.transforms:
            x = transform(x)
        return x


def reference_mel(path: Path) -> np.ndarray[Any, Any]:
    """SpecVQGAN's (80, 860) in [0, 1] of a sound file at 22,050 Hz.

    It pins librosa 0.8, whose stft pads by reflection; newer ones pad with zeros unless told.
    """
    import librosa  # type: ignore[import-not-found]

    stub("torchvision", transforms=types.SimpleNamespace(Compose=Compose))
    librosa.stft = partial(librosa.stft, pad_mode="reflect")
    from feature_extraction.extract_mel_spectrogram import (  # type: ignore[import-not-found]
        get_spectrogram,
    )

    with contextlib.redirect_stdout(io.StringIO()):
        _, mel = get_spectrogram(str(path), None, 220_500, save_results=False)
    return np.asarray(mel)


def chirp() -> np.ndarray[Any, np.dtype[np.float32]]:
    """Ten seconds of a rising tone and noise, which starts and ends loudly."""
    time = np.arange(220_500) / 22_050
    noise = np.random.default_rng(0).standard_normal(len(time)) * 10 ** (-time / 2)
    return np.asarray(0.3 * np.sin(2 * np.pi * (100 + 400 * time) * time) + 0.1 * noise, np.float32)


def compare_front_end(folder: Path, recordings: Iterable[Path]) -> Iterable[Row]:
    """Of the chirp and of real recordings, both of our implementations."""
    spec = MelSpec(n_frames=848)
    yield from compare_log_mel(folder, "chirp", chirp(), spec)
    for path in recordings:
        samples = read_audio(path, spec.sample_rate)
        yield from compare_log_mel(folder, path.parent.name, samples, spec)


def compare_log_mel(
    folder: Path, name: str, samples: np.ndarray[Any, Any], spec: MelSpec
) -> Iterable[Row]:
    from echoes_training.models.mel import MelSpectrogram, log_mel

    soundfile.write(folder / "sound.wav", samples, spec.sample_rate, subtype="FLOAT")
    theirs = 2 * reference_mel(folder / "sound.wav") - 1
    clip = np.zeros(220_500, dtype=np.float32)
    clip[: len(samples)] = samples[: len(clip)]
    silent = f"{np.mean(theirs <= -1):.0%} silent"
    for what, ours in (
        ("graph", log_mel(clip, spec)),
        ("training", MelSpectrogram(spec)(torch.from_numpy(clip)[None])[0].numpy()),
    ):
        yield Row(
            network="front-end",
            compared=f"log-mel of {name}, {silent}, {what}",
            difference=float(np.abs(ours[:, : theirs.shape[1]] - theirs).max()),
        )


def write_fixtures(kind: str, folder: Path) -> None:
    """The facts that the quick tests need: names and shapes, and a few frames of a mel."""
    FIXTURES.mkdir(parents=True, exist_ok=True)
    if kind == "front-end":
        soundfile.write(folder / "sound.wav", chirp(), 22_050, subtype="FLOAT")
        mel = reference_mel(folder / "sound.wav")
        frames = {str(t): [round(float(v), 6) for v in mel[:, t]] for t in (0, 1, 2, 430, 859)}
        text = json.dumps(frames, indent=0)
    else:
        state = reference(kind).state_dict()
        shapes = {k: list(v.shape) for k, v in state.items() if not k.startswith("loss.")}
        lines = (f"{json.dumps(name)}: {json.dumps(shape)}" for name, shape in shapes.items())
        text = "{\n" + ",\n".join(lines) + "\n}"
    (FIXTURES / f"{kind}.json").write_text(text + "\n", encoding="utf-8")


@click.command()
@click.argument("clones", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--only", type=click.Choice(tuple(CLONES)), help="One network, in this process.")
@click.option("--write", is_flag=True, help="Write the fixtures of the quick tests instead.")
def main(clones: Path, only: str | None, write: bool) -> None:
    """Exit with 1 if one of the networks does not do what the original does."""
    if only is None:
        # Two of the clones have packages of the same name, so each has its own process.
        command = [sys.executable, __file__, *sys.argv[1:]]
        codes = [subprocess.run([*command, "--only", kind]).returncode for kind in CLONES]
        sys.exit(max(codes))
    sys.path.insert(0, str(clones / CLONES[only]))
    with tempfile.TemporaryDirectory() as name, torch.inference_mode():
        folder = Path(name)
        if write:
            write_fixtures(only, folder)
            return
        if only == "front-end":
            recordings = [clones / CLONES[only] / name for name in RECORDINGS]
            rows = list(compare_front_end(folder, recordings))
        else:
            rows = list(compare_melgan(folder) if only == "melgan" else compare_codec(only, folder))
    for row in rows:
        click.echo(str(row))
    if not all(row.is_ok for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
