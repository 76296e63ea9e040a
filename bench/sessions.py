"""Other engines behind the runtime's own interface of a session."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from echoes_export.graphs.nodes import signature_of

Arrays = dict[str, NDArray[Any]]


class TorchSession:
    """A wrapper module of ``echoes_export.graphs.wrappers`` as a session.

    In ``half`` the products run in float16; norms stay in float32, as in the engines.
    """

    def __init__(
        self,
        module: nn.Module,
        inputs: tuple[str, ...],
        output: str,
        device: str = "cpu",
        *,
        half: bool = False,
    ) -> None:
        self.device = device
        self._module = module.to(device)
        self._names = inputs
        self._output = output
        self._half = half

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        arrays = (np.ascontiguousarray(inputs[name]) for name in self._names)
        tensors = [torch.from_numpy(array).to(self.device) for array in arrays]
        dtype = torch.float16 if self._half else None
        with torch.inference_mode(), torch.autocast(self.device, dtype, enabled=self._half):
            output = self._module(*tensors)
        is_real = output.is_floating_point()
        return {self._output: (output.float() if is_real else output).cpu().numpy()}


class OpenVINOSession:
    """A graph of a bundle, or a model made of one, compiled by OpenVINO for the CPU."""

    device = "cpu"

    def __init__(self, model: Any, precision: str, threads: int) -> None:
        import openvino

        settings = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
        }
        self._compiled = openvino.Core().compile_model(model, "CPU", settings)
        self._request = self._compiled.create_infer_request()
        self._outputs = [output.any_name for output in self._compiled.outputs]

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        found = self._request.infer(dict(inputs))
        return {name: np.array(found[name]) for name in self._outputs}


def openvino_model(path: Path, sizes: Mapping[str, int]) -> Any:
    """Reads a graph with these free sizes: OpenVINO is faster when it knows every shape."""
    import openvino

    model = openvino.Core().read_model(path)
    signature = signature_of(onnx.load(path, load_external_data=False))
    shapes = {
        name: [sizes.get(dim) if isinstance(dim, str) else dim for dim in spec.shape]
        for name, spec in signature.inputs.items()
    }
    if all(dim is not None for shape in shapes.values() for dim in shape):
        model.reshape(shapes)
    return model


def openvino_int8(model: Any, samples: list[Arrays]) -> Any:
    """Post-training quantization by nncf, weights and what enters the products."""
    import nncf

    return nncf.quantize(
        model,
        nncf.Dataset(samples),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(samples),
    )
