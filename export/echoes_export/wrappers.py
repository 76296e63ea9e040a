"""Modules with exactly the inputs and outputs that ``echoes_rt.spec.graphs`` gives each graph."""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echoes_export.models import Models
from echoes_rt.spec.mel import MelSpec, hann_window
from echoes_rt.spec.tokens import Grid, TokenLayout
from echoes_training.models.codec import Codec
from echoes_training.models.melgan import MelGAN
from echoes_training.models.transformer import MaskedTransformer
from echoes_training.models.vocoder import Vocoder

# A wrapper holds a model under the model's own name, so that every weight in a graph has the name
# that it has in the bundle's weights file.


class ImageEncoder(nn.Module):
    def __init__(self, image_vqgan: Codec) -> None:
        super().__init__()
        self.image_vqgan = image_vqgan

    def forward(self, image: Tensor) -> Tensor:
        return self.image_vqgan.encode(image).flatten(1).to(torch.int32)


class ImageDecoder(nn.Module):
    def __init__(self, image_vqgan: Codec, grid: Grid) -> None:
        super().__init__()
        self.image_vqgan = image_vqgan
        self.grid = grid

    def forward(self, codes: Tensor) -> Tensor:
        grid = codes.unflatten(1, (self.grid.height, self.grid.width))
        return self.image_vqgan.decode(grid).clamp(-1, 1)


class MelEncoder(nn.Module):
    def __init__(self, mel_vqgan: Codec) -> None:
        super().__init__()
        self.mel_vqgan = mel_vqgan

    def forward(self, mel: Tensor) -> Tensor:
        return self.mel_vqgan.encode(mel[:, None]).flatten(1).to(torch.int32)


class MelDecoder(nn.Module):
    def __init__(self, mel_vqgan: Codec, grid: Grid) -> None:
        super().__init__()
        self.mel_vqgan = mel_vqgan
        self.grid = grid

    def forward(self, codes: Tensor) -> Tensor:
        grid = codes.unflatten(1, (self.grid.height, self.grid.width))
        return self.mel_vqgan.decode(grid).clamp(-1, 1).squeeze(1)


class Step(nn.Module):
    def __init__(self, transformer: MaskedTransformer) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, tokens: Tensor) -> Tensor:
        return self.transformer(tokens)


class Scores(nn.Module):
    """``Step`` for the unknown tokens alone; a part of the decode graph."""

    def __init__(self, transformer: MaskedTransformer) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(
        self, seen: Tensor, image_rows: Tensor, audio_rows: Tensor
    ) -> tuple[Tensor, Tensor]:
        return self.transformer.logits_at(seen, image_rows, audio_rows)


class VocoderGraph(nn.Module):
    """The vocoder with its inverse-DFT matrix computed in the graph.

    The matrix has 2 * n_fft**2 entries but only n_fft different cosines. It is gathered from those,
    by exact integers, once when a session starts; the file holds a few vectors.
    """

    cosine: Tensor
    bin_weight: Tensor
    window: Tensor
    bins: Tensor
    places: Tensor

    def __init__(self, vocoder: Vocoder, spec: MelSpec) -> None:
        super().__init__()
        self.vocoder = vocoder
        self.n_fft = spec.n_fft
        self.n_bins = spec.n_fft // 2 + 1
        angle = 2 * math.pi * np.arange(spec.n_fft) / spec.n_fft
        weight = np.full((self.n_bins, 1), 2.0 / spec.n_fft)
        weight[0] = weight[-1] = 1.0 / spec.n_fft
        for name, values in (
            ("cosine", np.cos(angle)[:, None]),
            ("bin_weight", weight),
            ("window", hann_window(spec)),
            ("bins", np.arange(self.n_bins)[:, None]),
            ("places", np.arange(spec.n_fft)[None]),
        ):
            dtype = np.float32 if values.dtype.kind == "f" else np.int32
            self.register_buffer(name, torch.from_numpy(values.astype(dtype)), persistent=False)

    def basis(self) -> Tensor:
        """(2 * n_bins, n_fft), equal to the vocoder's own up to rounding."""
        turn = (self.bins * self.places) % self.n_fft
        quarter = (turn + self.n_fft // 4) % self.n_fft  # cos(x + pi / 2) = -sin(x)
        rows = [
            self.bin_weight * F.embedding(place, self.cosine).squeeze(-1)
            for place in (turn, quarter)
        ]
        return torch.cat(rows) * self.window

    def forward(self, mel: Tensor) -> Tensor:
        buffers = {"head.basis": self.basis()}
        waveform = torch.func.functional_call(self.vocoder, buffers, (mel,))
        assert isinstance(waveform, Tensor)
        return waveform


class MelGANGraph(nn.Module):
    def __init__(self, vocoder: MelGAN) -> None:
        super().__init__()
        self.vocoder = vocoder

    def forward(self, mel: Tensor) -> Tensor:
        return self.vocoder(mel)


def _vocoder_graph(models: Models) -> nn.Module:
    if isinstance(models.vocoder, MelGAN):
        return MelGANGraph(models.vocoder)
    return VocoderGraph(models.vocoder, models.mel)


def graph_modules(models: Models) -> dict[str, nn.Module]:
    """The wrapper of every graph, by the names of ``echoes_rt.spec.graphs``."""
    layout: TokenLayout = models.layout
    modules: dict[str, nn.Module] = {
        "image_encoder": ImageEncoder(models.image_vqgan),
        "image_decoder": ImageDecoder(models.image_vqgan, layout.image),
        "mel_encoder": MelEncoder(models.mel_vqgan),
        "mel_decoder": MelDecoder(models.mel_vqgan, layout.audio),
        "step": Step(models.transformer),
        "vocoder": _vocoder_graph(models),
    }
    return {name: module.eval() for name, module in modules.items()}
