"""An ONNX Runtime that lists CUDA, and a session on the CPU that says it is on CUDA."""

from collections.abc import Callable
from typing import Any

import onnxruntime
import pytest

from echoes_rt.backends import probe

REAL_SESSION, REAL_VALUE = onnxruntime.InferenceSession, onnxruntime.OrtValue


class OnHost:
    """A buffer that is asked for on a GPU, and lies in the host's memory."""

    @classmethod
    def ortvalue_from_shape_and_type(cls, shape: Any, dtype: Any, kind: str, index: int) -> Any:
        assert (kind, index) == ("cuda", 0)
        return REAL_VALUE.ortvalue_from_shape_and_type(shape, dtype, "cpu", 0)


class SaysCuda:
    """``tells`` on which provider each node runs, or is of an ONNX Runtime that does not."""

    def __init__(self, graph: Any, tells: bool = False) -> None:
        options = onnxruntime.SessionOptions()
        if tells:
            options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        self._session = REAL_SESSION(graph, options, providers=["CPUExecutionProvider"])
        if tells:
            self.get_provider_graph_assignment_info = (
                self._session.get_provider_graph_assignment_info
            )

    def get_providers(self) -> list[str]:
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    def run_with_iobinding(self, binding: Any, _: Any) -> None:
        self._session.run_with_iobinding(binding)

    def __getattr__(self, name: str) -> Any:
        if name == "get_provider_graph_assignment_info":
            raise AttributeError(name)
        return getattr(self._session, name)


def list_cuda(
    monkeypatch: pytest.MonkeyPatch, session: Callable[[Any], Any]
) -> list[tuple[Any, dict[str, str]]]:
    """Lists CUDA, as the GPU build does, and starts ``session`` of a graph on it.

    The CPU's sessions stay real. Gives the graphs that are started and the options of CUDA.
    """
    asked: list[tuple[Any, dict[str, str]]] = []

    def start(graph: Any, sess_options: Any, providers: list[Any], **_: Any) -> Any:
        if providers == ["CPUExecutionProvider"]:
            return REAL_SESSION(graph, sess_options=sess_options, providers=providers)
        ((name, options),) = providers
        assert name == "CUDAExecutionProvider"
        asked.append((graph, options))
        return session(graph)

    names = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    monkeypatch.setattr(onnxruntime, "InferenceSession", start)
    monkeypatch.setattr(onnxruntime, "OrtValue", OnHost)
    monkeypatch.setattr(probe, "cuda_library", lambda _: None)
    return asked
