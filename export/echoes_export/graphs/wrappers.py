"""Modules with exactly the inputs and outputs of the graphs that are made of them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echoes_export.bundle.models import Models
from echoes_export.graphs.decode_graphs import network_signature
from echoes_rt.format.graphs import BATCH, FRAMES, SAMPLES, SEEN, GraphSpec, TensorSpec
from echoes_rt.format.mel import MelSpec
from echoes_rt.format.tokens import MEDIA, OTHER, Grid
from echoes_training.models.attention import Block, attend
from echoes_training.models.mel import MelSpectrogram
from echoes_training.models.melgan import MelGAN
from echoes_training.models.transformer import MaskedTransformer, MediumEmbedding
from echoes_training.models.vocoder import Vocoder


class Wrapped(nn.Module):
    """What a graph computes, and the models that ``compute`` closes over.

    Each has its own name here, so that every weight in a graph has the name that it has in the
    bundle's weights file.
    """

    def __init__(self, compute: Callable[..., Tensor], **models: nn.Module) -> None:
        super().__init__()
        self._compute = compute
        for name, model in models.items():
            self.add_module(name, model)

    def forward(self, given: Tensor, noise: Tensor | None = None) -> Tensor:
        return self._compute(given) if noise is None else self._compute(given, noise)


class Network(nn.Module):
    """The rows of a batch that see the context, and behind them those that do not."""

    def __init__(self, transformer: MaskedTransformer, target: str) -> None:
        super().__init__()
        self.transformer = transformer
        self.target = target

    def forward(
        self,
        context: Tensor,
        seen_tokens: Tensor,
        seen_positions: Tensor,
        alone_tokens: Tensor,
        alone_positions: Tensor,
    ) -> Tensor:
        """Logits (rows, M, V) of the M tokens of each row that are asked for."""
        h, mixed = self._until_last(context, seen_tokens, alone_tokens)
        model, positions = self.transformer, torch.cat([seen_positions, alone_positions])
        return _asked(model, model.medium(self.target), h, mixed, positions)

    def _until_last(self, context: Tensor, seen: Tensor, alone: Tensor) -> tuple[Tensor, Tensor]:
        """What the target's positions are before the last block, and what its attention gives."""
        model, n_seen = self.transformer, seen.shape[0]
        h = model.medium(self.target).embed(torch.cat([seen, alone]))
        last = len(model.blocks) - 1
        for layer, block in enumerate(model.blocks):
            assert isinstance(block, Block)
            q, (k, v) = block.attention.project(block.attention_norm(h))
            keys, values = (
                torch.cat([context[:, layer, which], own[:n_seen]], dim=2)
                for which, own in enumerate((k, v))
            )
            parts = [attend(q[:n_seen], keys, values), attend(q[n_seen:], k[n_seen:], v[n_seen:])]
            mixed = torch.cat(parts)
            if layer < last:
                h = block.finish(h, mixed)
        return h, mixed


class JointNetwork(Network):
    """``Network`` of a joint form, whose rows without context see mask tokens in its place."""

    def _until_last(self, context: Tensor, seen: Tensor, alone: Tensor) -> tuple[Tensor, Tensor]:
        model, tokens = self.transformer, torch.cat([seen, alone])
        shape = (alone.shape[0], context.shape[1])
        nothing = torch.full(shape, model.layout.mask_token_id, dtype=context.dtype)
        both = {self.target: tokens, OTHER[self.target]: torch.cat([context, nothing])}
        h = model.embed(torch.cat([both[medium] for medium in MEDIA], dim=1))
        *blocks, last = model.blocks
        for block in blocks:
            h = block(h)
        assert isinstance(last, Block)
        which = MEDIA.index(self.target)
        return model.split(h)[which], model.split(last.mix(h))[which]


def _asked(
    model: MaskedTransformer, target: MediumEmbedding, h: Tensor, mixed: Tensor, codes: Tensor
) -> Tensor:
    """Logits (rows, M, V) of (rows, M) codes.

    After the last attention no position looks at another, so what nobody reads is left out.
    """
    n_rows, n_positions, _ = h.shape
    group, width = target.group, target.grid.width
    row, place = codes // width, codes
    if group > 1:
        place = row // group * width + codes % width
    flat = (torch.arange(n_rows, device=h.device)[:, None] * n_positions + place).flatten()
    last = model.blocks[-1]
    assert isinstance(last, Block)
    kept = (x.flatten(0, 1).index_select(0, flat) for x in (h, mixed))
    logits = target.head(model.norm(last.finish(*kept)))
    if group > 1:
        slot = torch.arange(flat.shape[0], device=h.device) * group + (row % group).flatten()
        logits = logits.unflatten(1, (group, -1)).flatten(0, 1).index_select(0, slot)
    return logits.unflatten(0, (n_rows, -1))


class VocoderGraph(nn.Module):
    """The vocoder with the matrices of its inverse DFT computed in the graph.

    They have n_fft**2 / 2 entries but only n_fft different cosines. They are gathered from those,
    by exact integers, once when a session starts; the file holds a few vectors.
    """

    cosine: Tensor
    bin_weight: Tensor
    bins: Tensor

    def __init__(self, vocoder: Vocoder, spec: MelSpec) -> None:
        super().__init__()
        self.vocoder = vocoder
        self.n_fft = spec.n_fft
        n_bins = spec.n_fft // 2 + 1
        angle = 2 * math.pi * np.arange(spec.n_fft) / spec.n_fft
        weight = np.full((n_bins, 1), 2.0 / spec.n_fft)
        weight[0] = weight[-1] = 1.0 / spec.n_fft
        for name, values in (
            ("cosine", np.cos(angle)[:, None].astype(np.float32)),
            ("bin_weight", weight.astype(np.float32)),
            ("bins", np.arange(n_bins, dtype=np.int32)),
        ):
            self.register_buffer(name, torch.from_numpy(values), persistent=False)

    def bases(self) -> dict[str, Tensor]:
        """(n_bins, n_bins) each, equal to the vocoder's own up to rounding."""
        turn = (self.bins[:, None] * self.bins) % self.n_fft
        quarter = (turn + self.n_fft // 4) % self.n_fft  # cos(x + pi / 2) = -sin(x)
        return {
            f"head.{name}": self.bin_weight * F.embedding(place, self.cosine).squeeze(-1)
            for name, place in (("even", turn), ("odd", quarter))
        }

    def forward(self, mel: Tensor) -> Tensor:
        waveform = torch.func.functional_call(self.vocoder, self.bases(), (mel,))
        assert isinstance(waveform, Tensor)
        return waveform


@dataclass(frozen=True, kw_only=True)
class Part:
    """A module and what its graph takes and gives."""

    module: nn.Module
    signature: GraphSpec


def graph_parts(models: Models) -> dict[str, Part]:
    """Every graph that is one module's, by name."""
    image, mel, layout = models.image, models.mel, models.layout
    pixels = TensorSpec(dtype="float32", shape=(BATCH, 3, image.height, image.width))
    clip = TensorSpec(dtype="float32", shape=(BATCH, mel.n_mels, mel.n_frames))
    image_codes, audio_codes = (
        TensorSpec(dtype="int32", shape=(BATCH, layout.grids[medium].n_tokens)) for medium in MEDIA
    )
    samples = TensorSpec(dtype="float32", shape=(BATCH, SAMPLES))
    frames = TensorSpec(dtype="float32", shape=(BATCH, mel.n_mels, FRAMES))
    shape = models.mel_codec.noise_shape(layout.audio)
    noise = {"noise": TensorSpec(dtype="float32", shape=(BATCH, *shape))} if shape else {}
    image_codec, mel_codec, vocoder = models.image_codec, models.mel_codec, models.vocoder
    transformer, confidence = models.transformer, models.confidence
    # In double precision: a code that lies on a tie must not depend on the library's FFT.
    spectrogram = MelSpectrogram(mel, torch.float64)

    def cells(codes: Tensor, grid: Grid) -> Tensor:
        return codes.unflatten(1, (grid.height, grid.width))

    def encode_image(image: Tensor) -> Tensor:
        return image_codec.encode(image).flatten(1).to(torch.int32)

    def decode_image(codes: Tensor) -> Tensor:
        return image_codec.decode(cells(codes, layout.image)).clamp(-1, 1)

    def encode_mel(mel: Tensor) -> Tensor:
        return mel_codec.encode(mel[:, None]).flatten(1).to(torch.int32)

    def decode_mel(codes: Tensor, noise: Tensor | None = None) -> Tensor:
        return mel_codec.decode(cells(codes, layout.audio), noise).clamp(-1, 1).squeeze(1)

    images, mels = {"image_codec": image_codec}, {"mel_codec": mel_codec}
    parts = {
        "image_encoder": _part(Wrapped(encode_image, **images), image=pixels, codes=image_codes),
        "image_decoder": _part(Wrapped(decode_image, **images), codes=image_codes, image=pixels),
        "log_mel": _part(
            Wrapped(lambda samples: spectrogram(samples).float(), mel=spectrogram),
            samples=samples,
            mel=frames,
        ),
        "mel_encoder": _part(Wrapped(encode_mel, **mels), mel=clip, codes=audio_codes),
        "mel_decoder": _part(Wrapped(decode_mel, **mels), codes=audio_codes, **noise, mel=clip),
        "vocoder": _part(
            Wrapped(lambda mel: vocoder(mel), vocoder=vocoder)
            if isinstance(vocoder, MelGAN)
            else VocoderGraph(vocoder, mel),
            mel=frames,
            waveform=samples,
        ),
    }
    for medium, codes in zip(MEDIA, (image_codes, audio_codes), strict=True):
        context = context_spec(transformer, medium)
        given = TensorSpec(dtype=context.dtype, shape=(BATCH, *context.shape[1:]))
        # A joint form sees its context anew in every step: codes are all that it needs.
        module = Wrapped(lambda codes: codes.clone())
        if transformer.form == "context":
            see = partial(transformer.context, medium=medium)
            module = Wrapped(see, transformer=transformer)
        parts[f"context_{medium}"] = _part(module, codes=codes, context=given)
    if confidence is not None:
        parts["confidence"] = _part(
            Wrapped(
                lambda codes: confidence(image_codec.summary(cells(codes, layout.image))),
                confidence=confidence,
                **images,
            ),
            codes=image_codes,
            confidence=TensorSpec(dtype="float32", shape=(BATCH,)),
        )
    return parts


def network_part(models: Models, target: str) -> Part:
    """The network that decodes a target; a part of the graphs of ``decode_graphs``."""
    make = Network if models.transformer.form == "context" else JointNetwork
    context = context_spec(models.transformer, OTHER[target])
    return Part(
        module=make(models.transformer, target).eval(),
        signature=network_signature(models.layout.grids[target], context),
    )


def context_spec(transformer: MaskedTransformer, medium: str) -> TensorSpec:
    """What ``context_<medium>`` gives."""
    if transformer.form == "joint":
        grid = transformer.layout.grids[medium]
        return TensorSpec(dtype="int32", shape=(SEEN, grid.n_tokens))
    blocks, n_positions = transformer.blocks, transformer.medium(medium).n_positions
    block = blocks[0]
    assert isinstance(block, Block)
    heads, width = block.attention.heads, transformer.norm.normalized_shape[0]
    shape = (SEEN, len(blocks), 2, heads, n_positions, width // heads)
    return TensorSpec(dtype="float32", shape=shape)


def _part(module: nn.Module, **tensors: TensorSpec) -> Part:
    """The last tensor is what it gives."""
    *inputs, output = tensors
    signature = GraphSpec(
        inputs={name: tensors[name] for name in inputs}, outputs={output: tensors[output]}
    )
    return Part(module=module.eval(), signature=signature)
