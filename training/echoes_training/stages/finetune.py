"""The settings of a transformer's training that begins with trained weights."""

import dataclasses

from echoes_training.bundles import Source
from echoes_training.config import TransformerStageConfig

FEWER_STEPS = 10
SMALLER_STEPS = 5


def finetuning(config: TransformerStageConfig, source: Source) -> TransformerStageConfig:
    """A tenth of the steps of ``config`` at a fifth of its rate, with the source's own shape.

    Without the loss that names groups: what a picture is, the weights know.
    """
    loop = dataclasses.replace(
        config.loop,
        steps=max(1, config.loop.steps // FEWER_STEPS),
        warmup_steps=max(1, config.loop.warmup_steps // FEWER_STEPS),
        learning_rate=config.loop.learning_rate / SMALLER_STEPS,
    )
    model, layout = source.transformer_shape()
    return dataclasses.replace(config, loop=loop, model=model, layout=layout, group_steps=0)
