"""A model card from what a manifest and the models say of themselves."""

from echoes_export.bundle.models import Models
from echoes_rt.format.manifest import Manifest


def generated_card(manifest: Manifest, models: Models) -> str:
    """Markdown; says what is known here and nothing of quality, which only evaluation knows."""
    image, mel, tokens, sampling = (
        manifest.image,
        manifest.mel,
        manifest.tokens,
        manifest.sampling,
    )
    sizes = {
        name: sum(parameter.numel() for parameter in module.parameters())
        for name, module in models.modules.items()
    }
    parts = "\n".join(f"| {name} | {size / 1e6:.2f} M |" for name, size in sizes.items())
    precision = manifest.graphs["image_encoder"].precision
    labels = ", ".join(manifest.labels) or "not recorded"
    return f"""# {manifest.name}

A bundle of echoes-rt: it looks at a picture and makes the sound that belongs to it.

- Licence: {manifest.license}
- Made by: {manifest.created_by}
- Picture: {image.height} x {image.width}, {tokens.image.height} x {tokens.image.width} codes
- Sound: {mel.duration_s:.2f} s at {mel.sample_rate} Hz, {tokens.audio.height} x \
{tokens.audio.width} codes
- Sampling: {sampling.steps} steps, guidance scale {sampling.guidance_scale:g}
- Weights: {precision}, computed in fp32
- Knows: {labels}

| model | parameters |
| --- | --- |
{parts}
"""
