"""A decoding step on fixed buffers: its tokens stay on the device from one step to the next."""

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoes_rt.backends.base import Around, Arrays
from echoes_rt.backends.device import parse_device
from echoes_rt.backends.lifetime import run_watched
from echoes_rt.backends.onnx import count_on, open_graph, tensors_of
from echoes_rt.backends.session_start import SessionDials, first_line, import_onnxruntime
from echoes_rt.backends.worker import Worker
from echoes_rt.errors import BackendError
from echoes_rt.nvidia.step_buffers import CONTEXT, NEXT, STATE, StepBuffers

logger = logging.getLogger(__name__)

MAX_GRAPHS = 96
"""Recorded at most, since none is ever given back: twelve sizes of eight steps. Decodings of
further sizes run without recording, on buffers of their own."""

_NOT_RECORDED = -1
"""As the number of a graph: ONNX Runtime neither records nor replays."""


class BoundStep:
    """Graph ``decode_*_step`` on a CUDA device, or on the CPU.

    The plan of all steps is put on the device once, and two buffers of tokens take turns: what one
    step writes the next one reads. Since no address ever changes for decodings of one size, CUDA
    replays each of their steps as one recorded graph. Decodings of several threads take turns.

    Attributes:
        unrecorded: why CUDA replays no recorded graph although it should; None: all is well.
    """

    def __init__(self, path: Path, device: str, dials: SessionDials | None = None) -> None:
        """Raises as ``OnnxSession`` does."""
        self._path = path
        self._device = parse_device(device)
        self._dials = dials or SessionDials()
        self._worker = Worker(path.name)
        self._lock = threading.Lock()
        self._kept: dict[Any, StepBuffers] = {}
        self._recorded: set[int] = set()
        self.around: Around = nullcontext
        self.unrecorded: str | None = None
        self._is_recording = self._device.kind == "cuda" and self._dials.profile is None
        self._worker.run(self._open)
        self.inputs = tensors_of(path.name, self._session.get_inputs())

    @property
    def device(self) -> str:
        return str(self._device)

    @property
    def launches(self) -> int:
        """A recorded step is launched as one."""
        return 1 if self._is_recording else count_on(self._device, self._session)

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """One step, from host to host."""
        rest = {name: array for name, array in inputs.items() if name not in (STATE, CONTEXT)}
        return {NEXT: self.run_steps(inputs[STATE], inputs[CONTEXT], [rest], lambda _: None)}

    def run_steps(
        self,
        tokens: NDArray[np.int32],
        context: NDArray[Any],
        steps: Sequence[Arrays],
        after: Callable[[int], None],
    ) -> NDArray[np.int32]:
        """As in ``StepSession``; the inputs of every step are on the device before the first."""
        with self._lock:
            buffers = self._worker.run(lambda: self._filled(tokens, context, steps))
            for number in range(len(steps)):
                self._worker.run(partial(self._launch, buffers, number))
                after(number)
            return self._worker.run(lambda: buffers.tokens(len(steps)))

    def end_profile(self) -> Path:
        """The file that tells of every node."""
        return Path(self._session.end_profiling())

    def _open(self) -> None:
        if self._is_recording:
            provider = {**self._dials.provider, "enable_cuda_graph": "1"}
            try:
                recording = replace(self._dials, provider=provider)
                self._session = open_graph(self._path, self.device, recording)
                return
            except BackendError as error:
                self._give_up_recording(error)
        self._session = open_graph(self._path, self.device, self._dials)

    def _give_up_recording(self, error: Exception) -> None:
        self._is_recording = False
        self.unrecorded = first_line(error)
        logger.warning(
            "%s is not recorded as a CUDA graph and takes longer: %s",
            self._path.name,
            self.unrecorded,
        )

    def _filled(
        self, tokens: NDArray[np.int32], context: NDArray[Any], steps: Sequence[Arrays]
    ) -> StepBuffers:
        size = StepBuffers.size_of(tokens, context, steps)
        buffers = self._kept.get(size)
        if buffers is None:
            used = sum(kept.n_steps for kept in self._kept.values())
            is_kept = used + len(steps) <= MAX_GRAPHS
            buffers = StepBuffers(self._device, tokens, context, steps, used if is_kept else None)
            if is_kept:
                self._kept[size] = buffers
        buffers.fill(tokens, context, steps)
        return buffers

    def _launch(self, buffers: StepBuffers, step: int) -> None:
        number = _NOT_RECORDED if buffers.first is None else buffers.first + step + 1
        options = import_onnxruntime().RunOptions()
        if self._is_recording:
            options.add_run_config_entry("gpu_graph_id", str(number))
        try:
            binding = buffers.binding(self._session, step)
            with self.around():
                run_watched(lambda: self._session.run_with_iobinding(binding, options), options)
        except Exception as error:  # ONNX Runtime's exceptions share no other parent
            if not self._is_recording or number in {_NOT_RECORDED, *self._recorded}:
                raise BackendError(
                    f"{self._path.name} failed on {self.device}: {first_line(error)}"
                ) from error
            # What fails only while it is recorded may still run.
            self._give_up_recording(error)
            self._open()
            for kept in {id(b): b for b in (buffers, *self._kept.values())}.values():
                kept.unbind()
            self._launch(buffers, step)
        else:
            self._recorded.add(number)
