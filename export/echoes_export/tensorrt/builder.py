"""Builds one TensorRT engine; runs as a process of its own, which the builder may crash.

Reads a ``Job`` as JSON from stdin, writes the engine, and tells its progress in lines of JSON on
stdout: ``{"phase": ...}`` and, last, ``{"layers": ...}`` or ``{"error": ...}``.
"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from echoes_rt.errors import BackendError, EchoesError
from echoes_rt.nvidia.engines import import_tensorrt, make_log

OLDEST = 10
"""The first release whose networks are strongly typed without exceptions."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What the builder is asked for.

    Attributes:
        flavour: of spec.engine_file.
        model: an ONNX file, its weights beside it.
        engine: the file to write.
        sm: compute capability times ten.
        shapes: of every input: its smallest, usual and largest shape.
        timing_cache: a file to read, if it is there, and to write.
    """

    flavour: str
    model: str
    engine: str
    sm: int
    shapes: dict[str, tuple[list[int], list[int], list[int]]]
    timing_cache: str

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def build(job: Job) -> int:
    """Writes the engine and gives its number of layers.

    Raises:
        BackendError: if TensorRT refuses the graph, with what it says.
    """
    trt = import_tensorrt(job.flavour)
    if job.flavour == "tensorrt" and int(trt.__version__.split(".")[0]) < OLDEST:
        raise BackendError(f"TensorRT must be {OLDEST} or newer, found {trt.__version__}")
    log = make_log(trt)
    builder = trt.Builder(log)
    network = builder.create_network(_network_flags(trt))
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(job.model):
        raise BackendError(f"TensorRT cannot read the graph: {_parser_error(parser)}")
    config = _make_config(trt, builder, job)
    # TensorRT-RTX times nothing when it builds: kernels are chosen where they run.
    cache = _read_cache(config, Path(job.timing_cache)) if job.flavour == "tensorrt" else None
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        # The first error is the cause of those after it.
        reason = log.errors[0] if log.errors else "it does not say why"
        raise BackendError(f"TensorRT cannot build the graph: {reason}")
    with Path(job.engine).open("wb") as file:
        file.write(engine)
    if cache is not None:
        Path(job.timing_cache).write_bytes(cache.serialize())
    return int(network.num_layers)


def _network_flags(trt: ModuleType) -> int:
    # In TensorRT 10 by a flag; later there is no other kind, and the flag may go.
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def _parser_error(parser: Any) -> str:
    if not parser.num_errors:
        return "it does not say why"
    error = parser.get_error(0)
    operator = getattr(error, "node_operator", str)()
    return f"node {error.node()} {operator}: {' '.join(error.desc().split())}"


def _make_config(trt: ModuleType, builder: Any, job: Job) -> Any:
    config = builder.create_builder_config()
    # TF32 has ten bits of float32's 23: what is float32 in our graphs is so because it decides.
    if hasattr(trt.BuilderFlag, "TF32"):
        config.clear_flag(trt.BuilderFlag.TF32)
    config.progress_monitor = _make_monitor(trt)
    profile = builder.create_optimization_profile()
    for name, sizes in job.shapes.items():
        profile.set_shape(name, *sizes)
    config.add_optimization_profile(profile)
    if job.flavour == "rtx":
        config.num_compute_capabilities = 1
        config.set_compute_capability(_capability(trt, job.sm), 0)
    return config


def _capability(trt: ModuleType, sm: int) -> Any:
    found = getattr(trt.ComputeCapability, f"SM{sm}", None)
    if found is None:
        known = [n[2:] for n in dir(trt.ComputeCapability) if n.startswith("SM")]
        raise BackendError(
            f"TensorRT-RTX {trt.__version__} builds for sm {', '.join(known)}, got {sm}; "
            "build with --backend tensorrt on the machine itself"
        )
    return found


def _read_cache(config: Any, path: Path) -> Any:
    """A cache of another device or release is one that TensorRT refuses: then it starts empty."""
    data = path.read_bytes() if path.is_file() else b""
    cache = config.create_timing_cache(data)
    if cache is None or not config.set_timing_cache(cache, False):
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)
    return cache


def _make_monitor(trt: ModuleType) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc,name-defined]
        def phase_start(self, phase: str, parent: str | None, num_steps: int) -> None:
            tell(phase=phase)

        def phase_finish(self, phase: str) -> None:
            pass

        def step_complete(self, phase: str, step: int) -> bool:
            return True

    return Monitor()


def tell(**news: object) -> None:
    sys.stdout.write(json.dumps(news) + "\n")
    sys.stdout.flush()


def main() -> None:
    job = Job(**json.loads(sys.stdin.read()))
    try:
        tell(layers=build(job))
    except (EchoesError, ImportError, OSError) as error:
        tell(error=" ".join(str(error).split()))


if __name__ == "__main__":
    main()
