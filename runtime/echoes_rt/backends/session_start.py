"""Sessions of ONNX Runtime, as all of echoes-rt starts them."""

import contextlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from echoes_rt.backends.device import Device
from echoes_rt.backends.lifetime import starting
from echoes_rt.backends.provider import CPU_PROVIDER, add_provider
from echoes_rt.cpu_limit import thread_limit
from echoes_rt.errors import BackendError
from echoes_rt.install import install_line

# Errors reach the user as exceptions; on stderr they would only say the same in many lines.
_FATAL_ONLY, _WARNINGS = 4, 2

_NO_MEMORY = ("std::bad_alloc", "Failed to allocate memory")

_CONFIG = {
    # A bundle's graphs run one after another, each with threads of its own: those of the last one
    # would spin for a while and take the cores from the next.
    "session.force_spinning_stop": "1",
    # The arena grows in powers of two, which is for what comes and goes, not for weights.
    "session.use_device_allocator_for_initializers": "1",
}


# ONNX Runtime 1.29 and newer sends usage data to Microsoft unless this is set before it is loaded.
TELEMETRY_VARIABLE = "ORT_DISABLE_TELEMETRY"


def import_onnxruntime() -> ModuleType:
    """The only place that imports it; its telemetry is off unless the environment says otherwise.

    Raises:
        BackendError: if it is missing or broken.
    """
    os.environ.setdefault(TELEMETRY_VARIABLE, "1")
    try:
        import onnxruntime
    except ImportError as error:
        if getattr(error, "name", None) == "onnxruntime":
            raise BackendError(
                f"no ONNX Runtime found; {install_line('cpu')}, or [gpu] in its place"
            ) from error
        raise BackendError(f"ONNX Runtime is installed but cannot be loaded: {error}") from error
    if os.environ[TELEMETRY_VARIABLE] == "1":
        # A program that loaded it before us had it start with telemetry; this ends most of it.
        onnxruntime.disable_telemetry_events()
    module: ModuleType = onnxruntime
    return module


@dataclass(frozen=True, kw_only=True)
class SessionDials:
    """How a session is started.

    Attributes:
        threads: for one operator of the CPU; None is one a core, as far as the
            process may use them.
        profile: how the file's name begins that tells of every node; None: none is written.
        is_packing: whether weights are laid out anew for the CPU's kernels, which is faster.
        is_strict: whether to refuse a graph of which any node would run on the CPU.
        provider: options of the execution provider.
    """

    threads: int | None = None
    profile: Path | None = None
    is_packing: bool = True
    is_strict: bool = False
    provider: dict[str, str] = field(default_factory=dict)


@contextlib.contextmanager
def quiet(onnxruntime: ModuleType) -> Iterator[None]:
    """What ONNX Runtime and providers say while a session starts goes to no one."""
    onnxruntime.set_default_logger_severity(_FATAL_ONLY)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        onnxruntime.set_default_logger_severity(_WARNINGS)


def start_session(graph: Path | bytes, device: Device, dials: SessionDials) -> Any:
    """An ``onnxruntime.InferenceSession``; raises what ONNX Runtime raises."""
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    for key, value in _CONFIG.items():
        options.add_session_config_entry(key, value)
    # Left to itself it starts a thread for each core of the machine, whatever the quota.
    threads = thread_limit() if dials.threads is None else dials.threads
    if threads is not None:
        options.intra_op_num_threads = threads
    if dials.profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(dials.profile)
    if not dials.is_packing:
        options.add_session_config_entry("session.disable_prepacking", "1")
    if dials.is_strict:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    providers: list[Any] | None = [CPU_PROVIDER]
    with contextlib.ExitStack() as around:
        if device.kind != "cpu":
            around.enter_context(quiet(onnxruntime))
            options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
            providers = add_provider(onnxruntime, options, device, **dials.provider)
        around.enter_context(starting())
        # Without enable_fallback=0 a failing provider is replaced by the CPU's.
        return onnxruntime.InferenceSession(
            graph if isinstance(graph, bytes) else str(graph),
            sess_options=options,
            providers=providers,
            enable_fallback=0,
        )


def first_line(error: Exception) -> str:
    """Of what ONNX Runtime raised."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return "there is not enough memory" if any(said in line for said in _NO_MEMORY) else line
