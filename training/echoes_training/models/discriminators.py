"""Discriminators: patches, what a pretrained network sees, and waveforms in two ways."""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from echoes_training.losses import Verdict
from echoes_training.models.teacher import Teacher

PERIODS = (2, 3, 5, 7, 11)
WINDOWS = (512, 1024, 2048)


class PatchDiscriminator(nn.Module):
    """(B, C, H, W) -> scores (B, 1, h, w), one per patch; spectral norm keeps it calm."""

    def __init__(self, in_channels: int, width: int, levels: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for level in range(levels):
            next_channels = width * 2**level
            conv = nn.Conv2d(channels, next_channels, 4, stride=2, padding=1)
            layers += [spectral_norm(conv), nn.LeakyReLU(0.2)]
            channels = next_channels
        layers.append(spectral_norm(nn.Conv2d(channels, 1, 3, padding=1)))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> list[Verdict]:
        return [(self.layers(x), [])]


class ProjectedDiscriminator(nn.Module):
    """Judges what a pretrained network sees of a log-mel, map by map (arXiv 2111.01007).

    (B, 1, H, W) and the codes' levels (B, D, h, w) to one verdict for each map of the ``teacher``,
    which does not learn. It tells decoded from real where patches trained from nothing do not.
    """

    def __init__(self, teacher: Teacher, levels: int, width: int = 64) -> None:
        super().__init__()
        self.teacher = teacher.requires_grad_(False)
        self.heads = nn.ModuleList(_Head(n, levels, width) for n in teacher.channels)
        for i, n in enumerate(teacher.channels):
            self.register_buffer(f"mean{i}", torch.zeros(n, 1, 1))
            self.register_buffer(f"deviation{i}", torch.ones(n, 1, 1))

    def seen(self, x: Tensor) -> tuple[Tensor, ...]:
        """The teacher's maps; at twice the size, as its first layers halve it twice."""
        larger = F.interpolate(x.float(), scale_factor=2.0, mode="bilinear")
        maps: tuple[Tensor, ...] = self.teacher(larger.expand(-1, 3, -1, -1))
        return maps

    @torch.no_grad()
    def measure(self, x: Tensor) -> None:
        """Sets by what the maps are standardised, channel by channel."""
        for i, features in enumerate(self.seen(x)):
            self.get_buffer(f"mean{i}").copy_(features.mean(dim=(0, 2, 3))[:, None, None])
            spread = features.std(dim=(0, 2, 3))[:, None, None]
            self.get_buffer(f"deviation{i}").copy_(spread + 0.05)

    def forward(self, x: Tensor, z: Tensor) -> list[Verdict]:
        verdicts = []
        for i, (head, features) in enumerate(zip(self.heads, self.seen(x), strict=True)):
            h = (features - self.get_buffer(f"mean{i}")) / self.get_buffer(f"deviation{i}")
            verdicts.append((head(h, z), [h]))
        return verdicts


class _Head(nn.Module):
    """(B, channels, H, W) beside levels of codes to scores (B, 1, H, W)."""

    def __init__(self, channels: int, levels: int, width: int) -> None:
        super().__init__()
        self.features = nn.Conv2d(channels, width, 1)
        self.given = nn.Conv2d(levels + 1, width, 1)
        self.layers = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.last = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        z = F.adaptive_avg_pool2d(
            z, (x.shape[2], x.shape[3])
        )  # repeats, where a map is finer than the codes
        rows = torch.linspace(-1, 1, x.shape[2], device=x.device, dtype=x.dtype)
        height = rows[None, None, :, None].expand(len(x), 1, -1, x.shape[3])
        h = F.leaky_relu(self.features(x) + self.given(torch.cat([z, height], dim=1)), 0.2)
        for layer in self.layers:
            h = h + F.leaky_relu(layer(h), 0.2)
        return self.last(h)


def _run(layers: nn.ModuleList, last: nn.Module, x: Tensor) -> Verdict:
    features = []
    for layer in layers:
        x = F.leaky_relu(layer(x), 0.1)
        features.append(x)
    return last(x), features


class PeriodDiscriminator(nn.Module):
    """Sees the samples folded into rows of ``period`` (arXiv 2010.05646): (B, S) -> scores."""

    def __init__(self, period: int, width: int) -> None:
        super().__init__()
        self.period = period
        widths = (1, width, 2 * width, 4 * width, 4 * width)
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(a, b, (5, 1), stride=(3, 1), padding=(2, 0)))
            for a, b in itertools.pairwise(widths)
        )
        self.last = weight_norm(nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, waveform: Tensor) -> Verdict:
        extra = -waveform.shape[-1] % self.period
        padded = F.pad(waveform[:, None], (0, extra), mode="reflect")
        rows = padded.reshape(*padded.shape[:2], -1, self.period)
        return _run(self.layers, self.last, rows)


class SpectrogramDiscriminator(nn.Module):
    """Sees the complex spectrogram of one window (arXiv 2210.13438): (B, S) -> scores."""

    window: Tensor

    def __init__(self, n_fft: int, width: int) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(a, width, (3, 9), stride=(1, 2), padding=(1, 4)))
            for a in (2, width, width, width)
        )
        self.last = weight_norm(nn.Conv2d(width, 1, (3, 3), padding=(1, 1)))

    def forward(self, waveform: Tensor) -> Verdict:
        spectrum = torch.stft(
            waveform.float(), self.n_fft, self.n_fft // 4, window=self.window, return_complex=True
        )
        # (B, 2, T, bins); the square root of the magnitude lets quiet bins count, too.
        x = torch.view_as_real(spectrum * (spectrum.abs() + 1e-4).rsqrt()).permute(0, 3, 2, 1)
        return _run(self.layers, self.last, x)


class WaveDiscriminator(nn.Module):
    """All of them: (B, S) -> one verdict each."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.judges = nn.ModuleList(
            [
                *(PeriodDiscriminator(p, width) for p in PERIODS),
                *(SpectrogramDiscriminator(n, width) for n in WINDOWS),
            ]
        )

    def forward(self, waveform: Tensor) -> list[Verdict]:
        return [judge(waveform) for judge in self.judges]
