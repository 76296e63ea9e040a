"""What builds engines of TensorRT 10's Python module, as far as we call it.

A process that has this folder on its path takes it for TensorRT. The engines are those of
``fake_tensorrt``: the path of a graph, which is copied, weights and all, into the folder that
FAKE_ENGINES names. ``test_names_are_tensorrts_own`` holds the names to the real module.
"""

import os
import shutil
import tempfile
from enum import Enum
from pathlib import Path
from typing import Any

__version__ = "10.16.2.10"

made: list["Builder"] = []
"""For tests to look at what was asked."""


class ILogger:
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class IProgressMonitor:
    pass


class NetworkDefinitionCreationFlag(Enum):
    EXPLICIT_BATCH = 0
    STRONGLY_TYPED = 1

    def __int__(self) -> int:
        return int(self.value)


class BuilderFlag(Enum):
    FP16 = 0
    TF32 = 6


class INetworkDefinition:
    def __init__(self, flags: int) -> None:
        self.flags = flags
        self.graph: Path | None = None

    num_layers = 3


class ParserError:
    def node(self) -> int:
        return 4

    def node_operator(self) -> str:
        return "Frobnicate"

    def desc(self) -> str:
        return "no importer\n  for it"


class OnnxParser:
    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        self.network = network
        self.num_errors = 0

    def parse_from_file(self, path: str) -> bool:
        self.network.graph = Path(path)
        self.num_errors = int(Path(path).read_bytes().startswith(b"unreadable"))
        return not self.num_errors

    def get_error(self, index: int) -> ParserError:
        assert index < self.num_errors
        return ParserError()


class ITimingCache:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def serialize(self) -> bytes:
        return self.data


class IOptimizationProfile:
    def __init__(self) -> None:
        self.shapes: dict[str, tuple[list[int], ...]] = {}

    def set_shape(self, name: str, *sizes: list[int]) -> None:
        smallest, usual, largest = sizes
        assert all(a <= b <= c for a, b, c in zip(smallest, usual, largest, strict=True))
        self.shapes[name] = sizes


class IBuilderConfig:
    progress_monitor: Any = None

    def __init__(self) -> None:
        self.flags = {BuilderFlag.TF32}  # which the real one sets by itself
        self.profiles: list[IOptimizationProfile] = []
        self.tried: list[bytes] = []
        self.cache: ITimingCache | None = None

    def clear_flag(self, flag: BuilderFlag) -> None:
        self.flags.discard(flag)

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def create_timing_cache(self, data: bytes) -> ITimingCache | None:
        self.tried.append(data)
        return None if data.startswith(b"damaged") else ITimingCache(data)

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        if cache.data.startswith(b"foreign") and not ignore_mismatch:
            return False
        self.cache = cache
        return True


class Builder:
    def __init__(self, logger: ILogger) -> None:
        self.logger = logger
        self.config = IBuilderConfig()
        made.append(self)

    def create_network(self, flags: int) -> INetworkDefinition:
        self.network = INetworkDefinition(flags)
        return self.network

    def create_builder_config(self) -> IBuilderConfig:
        return self.config

    def create_optimization_profile(self) -> IOptimizationProfile:
        return IOptimizationProfile()

    def build_serialized_network(
        self, network: INetworkDefinition, config: IBuilderConfig
    ) -> bytes | None:
        graph = network.graph
        assert graph is not None
        config.progress_monitor.phase_start("Building", None, 1)
        if graph.read_bytes().startswith(b"unbuildable"):
            for said in ("no kernel\n  for it", "and so on"):
                self.logger.log(ILogger.ERROR, said)  # type: ignore[attr-defined]
            return None
        if config.cache is not None:
            config.cache.data += b"timed "
        folder = os.environ.get("FAKE_ENGINES")
        if folder is not None:
            copy = Path(tempfile.mkdtemp(dir=folder))
            for part in graph.parent.iterdir():
                shutil.copyfile(part, copy / part.name)
            graph = copy / graph.name
        return b"engine of " + str(graph).encode()
