"""Which device runs the graphs, and why."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from echoes_rt.backends.device import Device, parse_device
from echoes_rt.backends.probe import missing_provider
from echoes_rt.backends.session_start import import_onnxruntime
from echoes_rt.bundle import Bundle
from echoes_rt.errors import BackendError
from echoes_rt.format.engine_file import ENGINES_FOLDER
from echoes_rt.nvidia.engines import FoundEngine, find_engines

logger = logging.getLogger(__name__)

_CPU = Device(kind="cpu")
_CUDA = Device(kind="cuda")


@dataclass(frozen=True, kw_only=True)
class DeviceChoice:
    """What runs a bundle's graphs.

    Attributes:
        device: such as ``cpu`` or ``cuda:0``, never ``auto``.
        reason: a sentence for people.
        engines: by graph, where the device is TensorRT.
        others: the device of the graphs without an engine; empty where no graph has one.
        precision: ``int8`` where a CPU is to run the graphs of that name, or the bundle has no
            others; else ``fp32``.
    """

    device: str
    reason: str
    engines: Mapping[str, FoundEngine] = field(default_factory=dict)
    others: str = ""
    precision: str = "fp32"

    def device_of(self, graph: str) -> str:
        return self.device if graph in self.engines or not self.others else self.others

    @property
    def kind(self) -> str:
        return parse_device(self.device).kind


def choose_device(requested: str = "auto", bundle: Bundle | None = None) -> DeviceChoice:
    """Turns ``auto`` or a device's name into a device that computes here.

    Args:
        requested: ``auto``, or what ``parse_device`` reads.
        bundle: whose engines TensorRT would run; without one it cannot.

    Raises:
        InputError: if there is no such device.
        BackendError: if the requested device does not start; only ``auto`` falls back.
    """
    if requested == "auto":
        choice = _automatic(bundle)
        logger.info("device %s: %s", choice.device, choice.reason)
        return choice
    device = parse_device(requested)
    if device.kind == "tensorrt":
        return _tensorrt(device, bundle, requested)
    import_onnxruntime()
    missing = None if device.kind == "cpu" else missing_provider(device)
    if missing is not None:
        raise BackendError(f"device {requested} cannot be used: {missing}")
    return DeviceChoice(device=str(device), reason="asked for")


def _automatic(bundle: Bundle | None) -> DeviceChoice:
    """TensorRT where the bundle has engines for it, else CUDA, else the CPU."""
    reasons = []
    if bundle is not None and (bundle.folder / ENGINES_FOLDER).is_dir():
        try:
            return _tensorrt(Device(kind="tensorrt"), bundle, "tensorrt")
        except BackendError as error:
            reasons.append(f"no TensorRT: {_without_mend(str(error))}")
    missing = missing_provider(_CUDA)
    if missing is None:
        return DeviceChoice(device=str(_CUDA), reason="; ".join([*reasons, "CUDA starts"]))
    return DeviceChoice(device="cpu", reason="; ".join([*reasons, _without_mend(missing)]))


def _without_mend(said: str) -> str:
    return said.partition("; ")[0]


def _tensorrt(device: Device, bundle: Bundle | None, requested: str) -> DeviceChoice:
    """Engines where there are some, CUDA or else the CPU for the graphs between them."""
    import_onnxruntime()
    try:
        if bundle is None:
            raise BackendError("there is no bundle with engines to run; name one")
        engines = find_engines(bundle, device.index)
    except BackendError as error:
        raise BackendError(f"device {requested} cannot be used: {error}") from error
    cuda = Device(kind="cuda", index=device.index)
    others = str(_CPU if missing_provider(cuda) else cuda)
    names = ", ".join(engine.text for engine in engines.values())
    return DeviceChoice(
        device=str(device),
        reason=f"engines: {names}; other graphs run on {others}",
        engines=engines,
        others=others,
    )
