"""What the C library and the Python runtime cost above ONNX Runtime's own runs, in one process.

    PYTHONPATH=runtime:tests/cpp python cpp_bindings/bench/overhead.py BUILD

BUILD is where the library was built. All contestants make the sound of one picture, in turns and in
another order each round. "Raw" is nothing but the runs of the graphs, by ONNX Runtime, on inputs
that were recorded before and are bound. Costs are compared round by round, and the median is told:
what else the machine does then touches all alike.
"""

import ctypes
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np
from native import Native

from echoes_rt import Echoes
from echoes_rt.backends.onnx import OnnxSession
from echoes_rt.bundle import find_bundle

Recorded = list[tuple[Any, str, dict[str, np.ndarray[Any, Any]]]]
"""Of each run: ONNX Runtime's session, its output's name, its inputs."""


@contextmanager
def recording() -> Iterator[Recorded]:
    """Notes every run of a graph until it is left."""
    runs: Recorded = []
    run = OnnxSession.run

    def noted(session: OnnxSession, inputs: Mapping[str, np.ndarray[Any, Any]]) -> Any:
        outputs = run(session, inputs)
        copies = {name: np.ascontiguousarray(values) for name, values in inputs.items()}
        runs.append((session._session, next(iter(outputs)), copies))
        return outputs

    OnnxSession.run = noted  # type: ignore[method-assign]
    try:
        yield runs
    finally:
        OnnxSession.run = run  # type: ignore[method-assign]


def raw(runs: Recorded) -> Callable[[], object]:
    """The recorded runs by ONNX Runtime alone."""
    bound = []
    for session, output, inputs in runs:
        binding = session.io_binding()
        for name, values in inputs.items():
            binding.bind_cpu_input(name, values)
        binding.bind_output(output)
        bound.append((session, binding, inputs))  # which are bound where they lie

    def run() -> None:
        for session, binding, _ in bound:
            session.run_with_iobinding(binding)

    return run


def contestants(
    build: Path, bundle: Path, threads: int, pixels: np.ndarray[Any, Any]
) -> dict[str, Callable[[], object]]:
    echoes = Echoes.load(bundle, device="cpu", threads=threads)
    with recording() as runs:
        expected = echoes.image_to_audio(pixels, seed=1)
    native = Native(build / "libechoes_rt.so", bundle, device=b"cpu", threads=threads)
    options, codes = native.options(seed=1)
    native.image_to_audio(pixels, options)
    if codes["audio"].tolist() != expected.codes.tolist():
        raise click.ClickException("C and Python give different codes: there is nothing to compare")
    options.image_codes = options.audio_codes = None  # these end here
    size = ctypes.c_size_t(expected.samples.size)
    samples = np.zeros(size.value, dtype=np.float32)
    arguments = (
        *(native.model, pixels.ctypes.data_as(ctypes.c_void_p)),
        *(ctypes.c_int32(pixels.shape[1]), ctypes.c_int32(pixels.shape[0])),
        *(ctypes.byref(options), samples.ctypes.data_as(ctypes.c_void_p), ctypes.byref(size)),
    )
    return {
        "raw": raw(runs),
        "C": lambda: native.call("echoes_image_to_audio", *arguments),
        "Python": lambda: echoes.image_to_audio(pixels, seed=1),
    }


def measure(
    run: Mapping[str, Callable[[], object]], rounds: int
) -> dict[str, list[tuple[float, float]]]:
    """Milliseconds of each round, by the clock and of the processor."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in run}
    names = [*run]
    for i in range(-1, rounds):  # the first one warms up
        first = i % len(names)
        for name in names[first:] + names[:first]:
            time.sleep(0.02)
            clock, processor = time.perf_counter(), time.process_time()
            run[name]()
            spent = (time.perf_counter() - clock, time.process_time() - processor)
            if i >= 0:
                times[name].append((spent[0] * 1000, spent[1] * 1000))
    return times


def lines(times: Mapping[str, list[tuple[float, float]]]) -> Iterator[str]:
    yield "| | clock, ms | above raw | processor, ms | above raw |"
    yield "| --- | --- | --- | --- | --- |"
    for name, spent in times.items():
        cells = []
        for of in (0, 1):
            cells.append(f"{statistics.median(ms[of] for ms in spent):.1f}")
            pairs = zip(spent, times["raw"], strict=True)
            above = statistics.median(ms[of] / raw[of] - 1 for ms, raw in pairs)
            cells.append("" if name == "raw" else f"{above:+.2%}")
        yield f"| {name} | {' | '.join(cells)} |"


@click.command()
@click.argument("build", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--bundle", help="A folder or a bundled name; the default bundle if none.")
@click.option("--rounds", default=30, show_default=True, type=click.IntRange(3))
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1, 64))
def main(build: Path, bundle: str | None, rounds: int, threads: int) -> None:
    """Prints a table of what each contestant takes for one sound."""
    import onnxruntime

    os.environ.setdefault("ECHOES_RT_ORT", str(Path(onnxruntime.__file__).parent / "capi"))
    folder = find_bundle(bundle).folder
    pixels = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    before = os.getloadavg()[0]
    times = measure(contestants(build.resolve(), folder, threads, pixels), rounds)
    click.echo(
        f"{folder.name}, one sound, {rounds} rounds, ONNX Runtime {onnxruntime.__version__}, "
        f"{threads} threads; load average {before:.1f} before, {os.getloadavg()[0]:.1f} after\n"
    )
    for line in lines(times):
        click.echo(line)


if __name__ == "__main__":
    main()
