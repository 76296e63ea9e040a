"""``config.pbtxt``: what Triton is told of a model, in protobuf's text format."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from echoes_rt.format.graphs import GraphSpec, TensorSpec

TYPES = {"float32": "TYPE_FP32", "int32": "TYPE_INT32"}
MAX_DELAY_US = 2000
"""How long a request waits for others to be computed with; a whole one takes several times as
long."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One model of an ensemble; ``inputs`` and ``outputs`` map its tensors to the ensemble's."""

    model: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str]


def model_config(name: str, signature: GraphSpec, max_batch: int, *, tensorrt: bool) -> str:
    """Of a graph that ONNX Runtime runs, on each GPU that the server has, or else on the CPU.

    Args:
        name: of the model.
        signature: every tensor begins with the batch.
        max_batch: requests that are computed at once.
        tensorrt: whether ONNX Runtime hands it to TensorRT, in float16.
    """
    parts = [f"dynamic_batching {{ max_queue_delay_microseconds: {MAX_DELAY_US} }}"]
    if tensorrt:
        parts.append(_TENSORRT)
    return _config(name, 'backend: "onnxruntime"', signature, max_batch, parts)


def ensemble_config(name: str, signature: GraphSpec, max_batch: int, steps: Sequence[Step]) -> str:
    """Of models that run one after the other; ``signature`` is of the whole."""
    scheduling = ["ensemble_scheduling {", *(_step(step) for step in steps), "}"]
    return _config(name, 'platform: "ensemble"', signature, max_batch, scheduling)


def _config(name: str, kind: str, signature: GraphSpec, max_batch: int, more: list[str]) -> str:
    parts = [
        f'name: "{name}"',
        kind,
        f"max_batch_size: {max_batch}",
        *(_tensor("input", key, spec) for key, spec in signature.inputs.items()),
        *(_tensor("output", key, spec) for key, spec in signature.outputs.items()),
        *more,
    ]
    return "\n".join(parts) + "\n"


_TENSORRT = """optimization {
  execution_accelerators {
    gpu_execution_accelerator {
      name: "tensorrt"
      parameters { key: "precision_mode" value: "FP16" }
    }
  }
}"""


def _tensor(side: str, name: str, spec: TensorSpec) -> str:
    dims = ", ".join(str(dim) if isinstance(dim, int) else "-1" for dim in spec.shape[1:])
    return f'{side} {{ name: "{name}" data_type: {TYPES[spec.dtype]} dims: [ {dims} ] }}'


def _step(step: Step) -> str:
    maps = [
        f'    {side} {{ key: "{key}" value: "{value}" }}'
        for side, pairs in (("input_map", step.inputs), ("output_map", step.outputs))
        for key, value in pairs.items()
    ]
    return "\n".join(
        ["  step {", f'    model_name: "{step.model}"', "    model_version: -1", *maps, "  }"]
    )
