"""Work recorded once and launched as one."""

import ctypes
from collections.abc import Callable

from echoes_rt.nvidia.cuda_driver import HANDLE
from echoes_rt.nvidia.gpu import Gpu

# Only calls of the capturing thread are looked at: others may allocate meanwhile.
_THREAD_LOCAL = 1


class CudaGraph:
    """Work in a GPU's stream, launched as one."""

    def __init__(self, gpu: Gpu, executable: int) -> None:
        self._gpu = gpu
        self._executable = executable

    @classmethod
    def capture(cls, gpu: Gpu, record: Callable[[], None]) -> "CudaGraph":
        """Records what ``record`` puts into the stream.

        ``record`` must have run before, so that nothing is allocated for the first time.

        Raises:
            BackendError: where that is not possible.
        """
        driver = gpu.driver
        driver.call("cuStreamBeginCapture_v2", gpu.stream, _THREAD_LOCAL)
        try:
            record()
        finally:
            # Always ended: a stream that is being captured can do nothing else.
            graph = HANDLE()
            driver.call("cuStreamEndCapture", gpu.stream, ctypes.byref(graph))
        executable = driver.get("cuGraphInstantiateWithFlags", HANDLE, graph, 0)
        driver.call("cuGraphDestroy", graph)
        return cls(gpu, executable)

    def launch(self) -> None:
        self._gpu.driver.call("cuGraphLaunch", self._executable, self._gpu.stream)

    def free(self) -> None:
        self._gpu.driver.call("cuGraphExecDestroy", self._executable)
