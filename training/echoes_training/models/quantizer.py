"""Nearest-code quantization with a straight-through gradient."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echoes_training.device import full_precision, to_device


@dataclass(frozen=True, kw_only=True)
class QuantizerOutput:
    """z_q (B, D, H, W) carries the straight-through gradient; codes (B, H, W) int64."""

    z_q: Tensor
    codes: Tensor
    losses: dict[str, Tensor]


class VectorQuantizer(nn.Module):
    """Vector quantization (arXiv 1711.00937), optionally on the unit sphere (arXiv 2110.04627).

    On the sphere both latents and codes are l2-normalised, so that the nearest code is the one of
    the highest cosine; this keeps many more codes in use when training is short.
    """

    usage: Tensor

    def __init__(self, codebook_size: int, codebook_dim: int, *, normalize: bool) -> None:
        super().__init__()
        self.normalize = normalize
        self.embedding = nn.Embedding(codebook_size, codebook_dim)
        if normalize:
            nn.init.normal_(self.embedding.weight)
        else:
            nn.init.uniform_(self.embedding.weight, -1 / codebook_size, 1 / codebook_size)
        # Running share of latents that chose each code. All start dead, so that the first call of
        # revive() puts all codes but the most chosen ones onto latents of the first batch, as far
        # as there are latents.
        self.register_buffer("usage", torch.zeros(codebook_size))

    @property
    def codebook(self) -> Tensor:
        """(codebook_size, codebook_dim), unit rows when on the sphere."""
        weight = self.embedding.weight
        return F.normalize(weight, dim=-1) if self.normalize else weight

    def nearest(self, latents: Tensor) -> Tensor:
        """(..., D) latents to (...) int64 codes; on the sphere the latents' norm does not count."""
        codebook = self.codebook
        with full_precision(latents.device):
            scores = latents.float() @ codebook.t()
        if not self.normalize:
            scores = scores - 0.5 * codebook.square().sum(dim=1)
        return scores.argmax(dim=-1)

    def lookup(self, codes: Tensor) -> Tensor:
        """(B, H, W) codes to (B, D, H, W) latents."""
        return F.embedding(codes, self.codebook).permute(0, 3, 1, 2)

    def forward(self, z: Tensor) -> QuantizerOutput:
        """Quantizes z (B, D, H, W)."""
        z_e = z.permute(0, 2, 3, 1).float()
        if self.normalize:
            z_e = F.normalize(z_e, dim=-1)
        with torch.no_grad():
            codes = self.nearest(z_e)
        chosen = F.embedding(codes, self.codebook)
        losses = {
            "vq/codebook": (chosen - z_e.detach()).square().mean(),
            "vq/commitment": (chosen.detach() - z_e).square().mean(),
        }
        z_q = z_e + (chosen - z_e).detach()
        return QuantizerOutput(z_q=z_q.permute(0, 3, 1, 2), codes=codes, losses=losses)

    @torch.no_grad()
    def revive(self, z: Tensor, codes: Tensor, generator: torch.Generator, decay: float) -> Tensor:
        """Updates ``usage`` and moves codes that are hardly used onto latents of this batch.

        A code is dead below a tenth of an even share (VQ-VAE training practice, e.g. Jukebox,
        arXiv 2005.00341, appendix B).

        Returns:
            (), the number of codes moved.
        """
        size = self.usage.numel()
        share = torch.bincount(codes.flatten(), minlength=size).float() / codes.numel()
        self.usage.mul_(decay).add_(share, alpha=1 - decay)
        dead = self.usage < 0.1 / size
        latents = z.permute(0, 2, 3, 1).reshape(-1, z.shape[1]).float()
        if self.normalize:
            latents = F.normalize(latents, dim=-1)
        order = to_device(torch.randperm(len(latents), generator=generator), z.device)
        # The first dead code takes the first latent, and so on. As a choice for every code, since
        # to count the dead ones would be to wait for a GPU.
        place = dead.cumsum(0) - 1
        moved = dead & (place < len(latents))
        replacement = latents[order[place.clamp(0, len(latents) - 1)]]
        self.embedding.weight.copy_(replacement.where(moved[:, None], self.embedding.weight))
        self.usage.masked_fill_(moved, 1 / size)
        return moved.sum()
