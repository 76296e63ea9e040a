"""What the published numbers were made with, by the name of the embedder."""

from dataclasses import dataclass

CLIP_S = 8.0
"""av-benchmark's, which MMAudio's tables and many since use."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """One embedder of av-benchmark and of the papers.

    Attributes:
        what: the network and how it is used there.
        metric: what its Frechet distance is called; empty if none is published.
        dimensions: of its embeddings.
    """

    what: str
    metric: str
    dimensions: int


PUBLISHED = {
    "vggish": Published(
        what="VGGish: 0.96 s pieces, no PCA, without the last ReLU",
        metric="FAD",
        dimensions=128,
    ),
    "panns": Published(
        what="PANNs Cnn14 at 16 kHz: window 512, hop 160, 64 mels from 50 to 8000 Hz",
        metric="FD PANNs",
        dimensions=2048,
    ),
    "passt": Published(
        what="PaSST at 32 kHz, padded to 320,000 samples: 527 logits, 768 features",
        metric="FD PaSST",
        dimensions=768,
    ),
    "imagebind": Published(
        what="ImageBind huge: cosine of the picture's or video's and the sound's embedding",
        metric="",
        dimensions=1024,
    ),
    "clip": Published(
        what="CLIP ViT-B/32 for pictures, Wav2CLIP at 16 kHz for sounds: cosine",
        metric="",
        dimensions=512,
    ),
}

SCORE_NAMES = {"clip": "CLIP-score", "imagebind": "ImageBind score"}

DEFINITIONS = {
    "sounds": "mean of the channels, less its mean, resampled as torchaudio does by default, "
    "then cut; no other normalisation",
    "frechet": "|m1 - m2|^2 + Tr(C1 + C2 - 2 (C1 C2)^(1/2)), covariances with the divisor N - 1, "
    "all rows of all files",
    "kl_softmax": "KL(reference || generated) of softmaxes, summed over classes, mean over pairs "
    "(AudioGen, av-benchmark)",
    "kl_sigmoid": "the same sum with sigmoids in place of softmaxes (av-benchmark)",
    "kl_specvqgan": "as kl_softmax, 1e-6 added to the generated probabilities (SpecVQGAN's MKL)",
    "inception": "exp of the mean KL to the mean, over 10 splits of the generated sounds shuffled "
    "by RandomState(2020)",
    "score": "mean cosine of a sound's and its picture's embedding",
}
