"""A decoding step on fixed buffers: its tokens stay on the device from one step to the next."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoes_rt.backends.base import Around, Arrays
from echoes_rt.backends.device import parse_device
from echoes_rt.backends.lifetime import run_watched
from echoes_rt.backends.onnx import count_on, open_graph, tensors_of
from echoes_rt.backends.session_start import SessionDials, first_line, import_onnxruntime
from echoes_rt.errors import BackendError

logger = logging.getLogger(__name__)

STATE, NEXT, CONTEXT = "tokens", "decoded", "context"
"""The input that goes round, the output that it comes back as, and what all steps share."""

Shapes = tuple[tuple[str, tuple[int, ...]], ...]


class BoundStep:
    """Graph ``decode_*_step`` on a CUDA device, or on the CPU.

    Two buffers of tokens take turns: what one step writes the next one reads. Since no address
    ever changes, CUDA replays a step as one recorded graph, one for each turn and for each set of
    shapes. Decodings of several threads take turns.
    """

    def __init__(self, path: Path, device: str, dials: SessionDials | None = None) -> None:
        """Raises as ``OnnxSession`` does."""
        self._name = path.name
        self._device = parse_device(device)
        self._session, self._is_recording = self._open(path, dials or SessionDials())
        self.inputs = tensors_of(self._name, self._session.get_inputs())
        self._buffers: dict[tuple[str, tuple[int, ...]], Any] = {}
        self._bindings: dict[tuple[Shapes, int], tuple[int, Any]] = {}
        self._lock = threading.Lock()
        self.around: Around = nullcontext
        # A recorded step is launched as one.
        self.launches = 1 if self._is_recording else count_on(self._device, self._session)

    @property
    def device(self) -> str:
        return str(self._device)

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """One step, from host to host."""
        with self.begin(inputs[STATE], inputs[CONTEXT]) as state:
            state.step({k: v for k, v in inputs.items() if k not in (STATE, CONTEXT)})
            return {NEXT: state.tokens()}

    @contextmanager
    def begin(self, tokens: NDArray[np.int32], context: NDArray[Any]) -> Iterator["BoundStepState"]:
        """Puts (B, N) tokens and the context on the device."""
        with self._lock:
            self._write(f"{STATE}0", tokens)
            self._write(CONTEXT, context)
            yield BoundStepState(self, tokens.shape, context.shape)

    def end_profile(self) -> Path:
        """The file that tells of every node."""
        return Path(self._session.end_profiling())

    def _open(self, path: Path, dials: SessionDials) -> tuple[Any, bool]:
        """The session, and whether it records CUDA graphs."""
        if self._device.kind != "cuda" or dials.profile is not None:
            return open_graph(path, self.device, dials), False
        recording = SessionDials(
            threads=dials.threads, provider={**dials.provider, "enable_cuda_graph": "1"}
        )
        try:
            return open_graph(path, self.device, recording), True
        except BackendError as error:
            logger.info("%s without a CUDA graph: %s", self._name, error)
            return open_graph(path, self.device, dials), False

    def _buffer(self, name: str, shape: tuple[int, ...]) -> Any:
        """That of an input; ``tokens0`` and ``tokens1`` are those of the tokens."""
        if (name, shape) not in self._buffers:
            spec = self.inputs[STATE if name.startswith(STATE) else name]
            self._buffers[name, shape] = import_onnxruntime().OrtValue.ortvalue_from_shape_and_type(
                [*shape], np.dtype(spec.dtype).type, self._device.kind, self._device.index
            )
        return self._buffers[name, shape]

    def _binding(self, shapes: Shapes, turn: int) -> tuple[int, Any]:
        """Its number, by which CUDA's recorded graph is found again, and the binding."""
        if (shapes, turn) not in self._bindings:
            binding = self._session.io_binding()
            for name, shape in shapes:
                if name == STATE:
                    binding.bind_ortvalue_input(name, self._buffer(f"{STATE}{turn}", shape))
                    binding.bind_ortvalue_output(NEXT, self._buffer(f"{STATE}{1 - turn}", shape))
                else:
                    binding.bind_ortvalue_input(name, self._buffer(name, shape))
            self._bindings[shapes, turn] = (len(self._bindings) + 1, binding)
        return self._bindings[shapes, turn]

    def _launch(self, shapes: Shapes, turn: int) -> None:
        number, binding = self._binding(shapes, turn)
        options = import_onnxruntime().RunOptions()
        if self._is_recording:
            options.add_run_config_entry("gpu_graph_id", str(number))
        try:
            with self.around():
                run_watched(lambda: self._session.run_with_iobinding(binding, options), options)
        except Exception as error:  # ONNX Runtime's exceptions share no other parent
            raise BackendError(f"{self._name} failed on {self.device}: {first_line(error)}") from (
                error
            )

    def _write(self, name: str, array: NDArray[Any]) -> None:
        buffer = self._buffer(name, array.shape)
        if array.size:
            buffer.update_inplace(np.ascontiguousarray(array))


class BoundStepState:
    """A decoding in progress."""

    def __init__(self, step: BoundStep, tokens: tuple[int, ...], context: tuple[int, ...]) -> None:
        self._step = step
        self._shapes = {STATE: tokens, CONTEXT: context}
        self._turn = 0

    def step(self, inputs: Arrays) -> None:
        """One step; ``inputs`` are what the graph takes besides tokens and context."""
        for name, array in inputs.items():
            self._step._write(name, array)
            self._shapes[name] = array.shape
        self._step._launch(tuple(self._shapes.items()), self._turn)
        self._turn = 1 - self._turn

    def tokens(self) -> NDArray[np.int32]:
        """(B, N) as they are now."""
        name = f"{STATE}{self._turn}"
        return np.array(self._step._buffer(name, self._shapes[STATE]).numpy())
