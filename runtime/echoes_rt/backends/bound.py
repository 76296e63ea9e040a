"""A decoding step on fixed buffers: its tokens stay on the device from one step to the next."""

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoes_rt.backends.base import Around
from echoes_rt.backends.device import parse_device
from echoes_rt.backends.lifetime import running
from echoes_rt.backends.onnx import count_on, open_graph
from echoes_rt.backends.session_start import SessionDials, first_line, import_onnxruntime
from echoes_rt.errors import BackendError
from echoes_rt.spec.graphs import BATCH, GUIDED, GraphSpec

logger = logging.getLogger(__name__)

STATE, NEXT = "tokens", "decoded"
"""The input that goes round, and the output that it comes back as."""

Arrays = Mapping[str, NDArray[Any]]


class BoundStep:
    """Graph ``decode_step`` on a CUDA device, or on the CPU.

    Two buffers of tokens take turns: what one step writes the next one reads. Since no address
    ever changes, CUDA replays a step as one recorded graph, one for each batch size, turn and
    kind of guidance. Decodings of several threads take turns.
    """

    def __init__(
        self, path: Path, signature: GraphSpec, device: str, dials: SessionDials | None = None
    ) -> None:
        """Raises as ``OnnxSession`` does."""
        self._name = path.name
        self._device = parse_device(device)
        self._signature = signature
        self._session, self._is_recording = self._open(path, dials or SessionDials())
        self._buffers: dict[int, dict[str, Any]] = {}
        self._bindings: dict[tuple[int, bool, int], tuple[int, Any]] = {}
        self._lock = threading.Lock()
        self.around: Around = nullcontext
        # A recorded step is launched as one.
        self.launches = 1 if self._is_recording else count_on(self._device, self._session)

    @property
    def device(self) -> str:
        return str(self._device)

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """One step, from host to host."""
        with self.begin(inputs[STATE], inputs["condition"]) as state:
            state.step(inputs, is_guided=bool(len(inputs["condition"])))
            return {NEXT: state.tokens()}

    @contextmanager
    def begin(self, tokens: NDArray[Any], condition: NDArray[Any]) -> Iterator["StepState"]:
        """Puts (B, N) tokens on the device, and the (B, N) condition if there is one."""
        with self._lock:
            buffers = self._buffers_of(len(tokens))
            self._write(buffers, f"{STATE}0", tokens)
            if len(condition):
                self._write(buffers, "condition", condition)
            yield StepState(self, buffers, len(tokens))

    def end_profile(self) -> Path:
        """The file that tells of every node."""
        return Path(self._session.end_profiling())

    def _open(self, path: Path, dials: SessionDials) -> tuple[Any, bool]:
        """The session, and whether it records CUDA graphs."""
        if self._device.kind != "cuda" or dials.profile is not None:
            return open_graph(path, self._signature, self.device, dials), False
        recording = SessionDials(
            threads=dials.threads, provider={**dials.provider, "enable_cuda_graph": "1"}
        )
        try:
            return open_graph(path, self._signature, self.device, recording), True
        except BackendError as error:
            logger.info("%s without a CUDA graph: %s", self._name, error)
            return open_graph(path, self._signature, self.device, dials), False

    def _buffers_of(self, members: int) -> dict[str, Any]:
        if members not in self._buffers:
            value = import_onnxruntime().OrtValue
            place = (self._device.kind, self._device.index)
            sizes: dict[int | str, int | str] = {BATCH: members, GUIDED: members}
            specs = {f"{STATE}{turn}": self._signature.inputs[STATE] for turn in range(2)}
            specs |= {n: spec for n, spec in self._signature.inputs.items() if n != STATE}
            buffers = {
                name: value.ortvalue_from_shape_and_type(
                    [sizes.get(dim, dim) for dim in spec.shape],
                    np.dtype(spec.dtype).type,
                    *place,
                )
                for name, spec in specs.items()
            }
            width = specs["condition"].shape[1]
            buffers["no condition"] = value.ortvalue_from_shape_and_type(
                [0, width], np.bool_, *place
            )
            self._buffers[members] = buffers
        return self._buffers[members]

    def _binding(self, members: int, is_guided: bool, turn: int) -> tuple[int, Any]:
        """Its number, by which CUDA's recorded graph is found again, and the binding."""
        key = (members, is_guided, turn)
        if key not in self._bindings:
            buffers = self._buffers[members]
            binding = self._session.io_binding()
            for name in self._signature.inputs:
                source = {STATE: f"{STATE}{turn}"}.get(name, name)
                if name == "condition" and not is_guided:
                    source = "no condition"
                binding.bind_ortvalue_input(name, buffers[source])
            binding.bind_ortvalue_output(NEXT, buffers[f"{STATE}{1 - turn}"])
            self._bindings[key] = (len(self._bindings) + 1, binding)
        return self._bindings[key]

    def _launch(self, members: int, is_guided: bool, turn: int) -> None:
        number, binding = self._binding(members, is_guided, turn)
        options = import_onnxruntime().RunOptions()
        if self._is_recording:
            options.add_run_config_entry("gpu_graph_id", str(number))
        try:
            with self.around(), running(options):
                self._session.run_with_iobinding(binding, options)
        except Exception as error:  # ONNX Runtime's exceptions share no other parent
            raise BackendError(f"{self._name} failed on {self.device}: {first_line(error)}") from (
                error
            )

    def _write(self, buffers: dict[str, Any], name: str, array: NDArray[Any]) -> None:
        dtype = self._signature.inputs[STATE if name.startswith(STATE) else name].dtype
        buffers[name].update_inplace(np.ascontiguousarray(array, dtype=dtype))


class StepState:
    """A decoding in progress."""

    def __init__(self, step: BoundStep, buffers: dict[str, Any], members: int) -> None:
        self._step = step
        self._buffers = buffers
        self._members = members
        self._turn = 0

    def step(self, dials: Arrays, *, is_guided: bool) -> None:
        """One step; ``dials`` are what the graph takes besides tokens and condition."""
        for name in self._step._signature.inputs.keys() - {STATE, "condition"}:
            self._step._write(self._buffers, name, dials[name])
        self._step._launch(self._members, is_guided, self._turn)
        self._turn = 1 - self._turn

    def tokens(self) -> NDArray[Any]:
        """(B, N) as they are now."""
        return np.array(self._buffers[f"{STATE}{self._turn}"].numpy())
