"""The decoding loop in one call: all steps run inside the graph."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoes_rt.backends.base import Session
from echoes_rt.decode.plan import BoolArray, DecodePlan
from echoes_rt.decode.reference import FloatArray, IntArray


def decode(
    session: Session,
    tokens: IntArray,
    mask: BoolArray,
    plan: DecodePlan,
    uniforms: FloatArray,
    *,
    condition: BoolArray,
) -> IntArray:
    """Gives token for token what ``reference.decode`` gives; ``session`` runs graph ``decode``.

    The graph knows the mask token.
    """
    question = {"tokens": tokens.astype(np.int32), "mask": mask, "condition": condition}
    return np.asarray(session.run(question | plan_inputs(plan, uniforms))["decoded"])


def image_to_audio(
    session: Session, image: FloatArray, plan: DecodePlan, uniforms: FloatArray
) -> tuple[FloatArray, IntArray]:
    """Runs graph ``image_to_audio``.

    Args:
        session: of that graph.
        image: (B, 3, H, W), normalised.
        plan: for B members whose image is known and whose sound is not.
        uniforms: (K, 2, B, N).

    Returns:
        (B, S) samples of any height, and the (B, N_a) audio codes behind them.
    """
    outputs = session.run({"image": image} | plan_inputs(plan, uniforms))
    return np.asarray(outputs["waveform"]), np.asarray(outputs["codes"])


def plan_inputs(plan: DecodePlan, uniforms: FloatArray) -> dict[str, NDArray[Any]]:
    return {**vars(plan), "uniforms": uniforms}
