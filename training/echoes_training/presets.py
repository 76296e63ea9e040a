"""Named sizes: everything that a model is made of and every stage's settings."""

import dataclasses
from dataclasses import dataclass

from echoes_rt.format.image import ImageSpec
from echoes_rt.format.mel import MelSpec
from echoes_rt.format.sampling import Sampling
from echoes_rt.format.tokens import Grid, TokenLayout
from echoes_training.config import (
    DistillStageConfig,
    ImageCodecStageConfig,
    LoopConfig,
    MelCodecStageConfig,
    MelDecoderStageConfig,
    TransformerStageConfig,
    VocoderStageConfig,
    VQGANStageConfig,
)
from echoes_training.models.image_codec import ImageCodecConfig
from echoes_training.models.mel_codec import MelCodecConfig
from echoes_training.models.transformer import TransformerConfig
from echoes_training.models.vocoder import VocoderConfig
from echoes_training.models.vqgan import VQGANConfig


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Everything that has a size: the contracts and the stages."""

    image: ImageSpec
    mel: MelSpec
    layout: TokenLayout
    image_codec: ImageCodecStageConfig | VQGANStageConfig
    mel_codec: MelCodecStageConfig | VQGANStageConfig
    mel_decoder: MelDecoderStageConfig | None = None
    vocoder: VocoderStageConfig
    transformer: TransformerStageConfig
    distill: DistillStageConfig


def _mel_decoder(
    codec: MelCodecStageConfig, loop: LoopConfig, adversarial_start: int = 80
) -> MelDecoderStageConfig:
    """Of the same codec, on the same segments."""
    return MelDecoderStageConfig(
        loop=loop,
        model=codec.model,
        image=codec.image,
        mel=codec.mel,
        segment_frames=codec.segment_frames,
        discriminator_width=codec.discriminator_width,
        adversarial_start=adversarial_start,
        teacher="efficientnet-lite0",
    )


def _tiny() -> Preset:
    """Seconds on one core: for tests and for trying a change."""
    image = ImageSpec(height=32, width=32)
    mel = MelSpec(n_fft=256, win_length=256, hop_length=64, n_mels=16, n_frames=32)
    layout = TokenLayout(
        image=Grid(height=4, width=4, codebook_size=32),
        audio=Grid(height=2, width=4, codebook_size=32),
    )
    loop = LoopConfig(
        steps=4,
        batch_size=2,
        learning_rate=1e-3,
        warmup_steps=1,
        evaluate_every=2,
        precision="fp32",  # not by timing: two runs of a test must compute alike
    )
    codec = VQGANConfig(
        in_channels=3,
        stem=4,
        channels=(4, 6),  # 6 makes groups of three channels, not of one
        decoder_channels=(4, 6),
        res_blocks=1,
        attention=False,
        encoder_norm="batch",
        codebook_size=32,
        codebook_dim=8,
        normalize=True,
    )
    return Preset(
        image=image,
        mel=mel,
        layout=layout,
        image_codec=VQGANStageConfig(
            loop=loop, model=codec, image=image, mel=mel, adversarial_start=2, discriminator_width=4
        ),
        mel_codec=VQGANStageConfig(
            loop=loop,
            model=dataclasses.replace(
                codec,
                in_channels=1,
                stem=8,
                channels=(6,),
                decoder_channels=(6,),
                encoder_norm="group",
            ),
            image=image,
            mel=mel,
            adversarial_start=2,
            discriminator_width=4,
        ),
        vocoder=VocoderStageConfig(
            loop=loop,
            model=VocoderConfig(width=16, layers=1, noise=True),
            mel=mel,
            segment_frames=32,
            adversarial_start=2,
            discriminator_width=4,
        ),
        transformer=TransformerStageConfig(
            loop=loop, model=TransformerConfig(width=16, layers=1, heads=2), layout=layout
        ),
        distill=DistillStageConfig(loop=loop),
    )


def _edge_tiny() -> Preset:
    """``tiny`` with the codecs of ``mini``."""
    tiny = _tiny()
    image, mel, loop = tiny.image, tiny.mel, tiny.vocoder.loop
    layout = dataclasses.replace(tiny.layout, audio=Grid(height=2, width=2, codebook_size=32))
    mel_codec = MelCodecStageConfig(
        loop=loop,
        model=MelCodecConfig(
            rows=2,
            channels=(4, 4, 6, 6),
            decoder_channels=(4, 4, 6, 6),
            mixer=4,
            levels=(4, 4, 2),
        ),
        image=image,
        mel=mel,
        segment_frames=32,
        discriminator_width=4,
        adversarial_start=2,
    )
    return dataclasses.replace(
        tiny,
        layout=layout,
        image_codec=ImageCodecStageConfig(
            loop=loop,
            model=ImageCodecConfig(
                teacher="efficientnet-lite0",
                maps=2,
                rows=4,
                columns=4,
                cell=4,
                width=8,
                heads=2,
                blocks=1,
                decoder_channels=(6, 6, 4, 4),
                codebook_size=32,
                codebook_dim=8,
            ),
            image=image,
            mel=mel,
            views=1,
            code_steps=2,
            code_batch_size=4,
            discriminator_width=4,
            adversarial_start=3,
        ),
        mel_codec=mel_codec,
        mel_decoder=_mel_decoder(mel_codec, loop, adversarial_start=1),
        transformer=dataclasses.replace(tiny.transformer, layout=layout),
    )


def _mini() -> Preset:
    """The bundled model, as training/runs/mini.sh trains it."""
    image = ImageSpec()
    mel = MelSpec()
    layout = TokenLayout(
        image=Grid(height=8, width=8, codebook_size=1024),
        audio=Grid(height=10, width=27, codebook_size=1024),
    )
    mel_codec = MelCodecStageConfig(
        loop=LoopConfig(
            steps=12_000,
            batch_size=12,
            learning_rate=4e-4,
            betas=(0.5, 0.9),
            ema_decay=0.995,
        ),
        model=MelCodecConfig(
            rows=10,
            channels=(24, 48, 96, 192),
            decoder_channels=(32, 64, 96, 192),
            mixer=192,
        ),
        image=image,
        mel=mel,
        segment_frames=208,
        discriminator_width=24,
        adversarial_start=300,
    )
    return Preset(
        image=image,
        mel=mel,
        layout=layout,
        image_codec=ImageCodecStageConfig(
            loop=LoopConfig(
                steps=6000, batch_size=16, learning_rate=1.5e-3, betas=(0.9, 0.98), warmup_steps=50
            ),
            model=ImageCodecConfig(
                teacher="efficientnet-lite0",
                maps=2,
                rows=8,
                columns=8,
                cell=2,
                width=192,
                heads=4,
                blocks=2,
                decoder_channels=(192, 128, 64, 32),
                codebook_size=1024,
                codebook_dim=16,
            ),
            image=image,
            mel=mel,
            views=6,
            code_steps=3000,
            code_batch_size=64,
            discriminator_width=32,
            adversarial_start=5000,
        ),
        mel_codec=mel_codec,
        mel_decoder=_mel_decoder(
            mel_codec,
            LoopConfig(
                steps=1200,
                batch_size=8,
                learning_rate=4e-4,
                betas=(0.5, 0.95),
                warmup_steps=50,
                ema_decay=0.998,
            ),
        ),
        vocoder=VocoderStageConfig(
            loop=LoopConfig(
                steps=12_000,
                batch_size=12,
                learning_rate=5e-4,
                betas=(0.8, 0.99),
                ema_decay=0.999,
            ),
            model=VocoderConfig(width=256, layers=6, noise=True, tones=True),
            mel=mel,
            segment_frames=64,
            adversarial_start=600,
            discriminator_width=16,
        ),
        transformer=TransformerStageConfig(
            loop=LoopConfig(
                steps=24_000,
                batch_size=16,
                learning_rate=1e-3,
                warmup_steps=200,
                weight_decay=0.03,
                ema_decay=0.999,
            ),
            # No dropout: so small a network fits the data too little, not too well.
            model=TransformerConfig(width=192, layers=5, heads=3, audio_group=2),
            layout=layout,
            context_mask=0.5,
            group_steps=512,
            # With few steps of decoding a tenth of the draws would be any code at all.
            label_smoothing=0.0,
        ),
        distill=DistillStageConfig(
            loop=LoopConfig(
                steps=2400,
                batch_size=24,
                learning_rate=5e-4,
                warmup_steps=20,
                ema_decay=0.995,
                evaluate_every=200,
            ),
            # Guidance alone: answers to what the data know in part, without decoding.
            steps=(1,),
            teacher=Sampling(steps=1, guidance_scale=3.0, temperature=0.6),
            context_mask=0.5,
            partly_known=0.8,
        ),
    )


def _base() -> Preset:
    """The paper's shape (arXiv 2405.14598): 256 codes of a picture, 265 of ten seconds of sound.

    The codecs are the networks of taming-transformers' f16 VQGAN and of SpecVQGAN, so that
    ``echoes-train import`` fills them; the mel is SpecVQGAN's.
    """
    image = ImageSpec(height=256, width=256)
    mel = MelSpec(n_frames=848)
    layout = TokenLayout(
        image=Grid(height=16, width=16, codebook_size=1024),
        audio=Grid(height=5, width=53, codebook_size=1024),
    )
    widths = (128, 128, 256, 256, 512)
    codec = VQGANConfig(
        in_channels=3,
        stem=1,
        channels=widths,
        decoder_channels=widths,
        res_blocks=2,
        attention=True,
        codebook_size=1024,
        codebook_dim=256,
        normalize=False,
    )
    codec_loop = LoopConfig(steps=500_000, batch_size=32, learning_rate=1.5e-4, warmup_steps=2000)
    return Preset(
        image=image,
        mel=mel,
        layout=layout,
        image_codec=VQGANStageConfig(
            loop=codec_loop, model=codec, image=image, mel=mel, adversarial_start=250_000
        ),
        mel_codec=VQGANStageConfig(
            loop=codec_loop,
            model=dataclasses.replace(codec, in_channels=1),
            image=image,
            mel=mel,
            adversarial_start=250_000,
        ),
        vocoder=VocoderStageConfig(
            loop=LoopConfig(steps=500_000, batch_size=16, learning_rate=5e-4, betas=(0.8, 0.99)),
            # Width and layers of Vocos (arXiv 2306.00814).
            model=VocoderConfig(width=512, layers=8, noise=True, tones=True),
            mel=mel,
            segment_frames=64,
            adversarial_start=20_000,
            discriminator_width=32,
        ),
        transformer=TransformerStageConfig(
            loop=LoopConfig(
                steps=400_000,
                batch_size=256,
                learning_rate=2e-4,
                betas=(0.9, 0.96),  # as MaskGIT (arXiv 2202.04200)
                warmup_steps=10_000,
                weight_decay=0.045,
                ema_decay=0.9999,
            ),
            model=TransformerConfig(width=768, layers=12, heads=12, dropout=0.1),
            layout=layout,
        ),
        distill=DistillStageConfig(
            loop=LoopConfig(
                steps=20_000, batch_size=128, learning_rate=5e-5, warmup_steps=500, ema_decay=0.999
            ),
        ),
    )


def _large() -> Preset:
    """``base`` with a transformer of the size of SpecVQGAN's."""
    base = _base()
    model = TransformerConfig(width=1024, layers=24, heads=16, dropout=0.1)
    transformer = dataclasses.replace(base.transformer, model=model, sharded=True)
    return dataclasses.replace(base, transformer=transformer)


def _edge(model: TransformerConfig) -> Preset:
    """Ten seconds for small machines: a pretrained trunk for pictures, and mini's decoders."""
    base, mini = _base(), _mini()
    assert isinstance(mini.mel_codec, MelCodecStageConfig)
    layout = dataclasses.replace(base.layout, audio=Grid(height=10, width=53, codebook_size=1024))
    mel_codec = dataclasses.replace(
        mini.mel_codec,
        mel=base.mel,
        loop=LoopConfig(
            steps=200_000, batch_size=32, learning_rate=3e-4, betas=(0.5, 0.9), ema_decay=0.999
        ),
    )
    return dataclasses.replace(
        base,
        layout=layout,
        image_codec=ImageCodecStageConfig(
            loop=LoopConfig(steps=300_000, batch_size=32, learning_rate=3e-4, warmup_steps=1000),
            model=ImageCodecConfig(
                teacher="efficientnet-lite0",
                maps=2,
                rows=16,
                columns=16,
                cell=2,
                width=256,
                heads=8,
                blocks=4,
                decoder_channels=(256, 256, 128, 64),
                codebook_size=1024,
                codebook_dim=32,
            ),
            image=base.image,
            mel=base.mel,
            views=6,
            code_steps=100_000,
            code_batch_size=128,
            discriminator_width=64,
            adversarial_start=150_000,
        ),
        mel_codec=mel_codec,
        mel_decoder=_mel_decoder(mel_codec, dataclasses.replace(mel_codec.loop, steps=20_000)),
        vocoder=dataclasses.replace(base.vocoder, model=mini.vocoder.model),
        transformer=dataclasses.replace(
            base.transformer, model=model, layout=layout, context_mask=0.5
        ),
    )


PRESETS = {
    "tiny": _tiny(),
    "edge-tiny": _edge_tiny(),
    "mini": _mini(),
    "edge-small": _edge(
        TransformerConfig(width=512, layers=8, heads=8, dropout=0.1, image_group=2, audio_group=2)
    ),
    "edge": _edge(
        TransformerConfig(width=768, layers=12, heads=12, dropout=0.1, image_group=2, audio_group=2)
    ),
    "base": _base(),
    "large": _large(),
}
