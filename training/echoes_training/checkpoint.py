"""Checkpoints as safetensors beside the run's settings; pickle is never written or read."""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from echoes_rt.errors import InputError
from echoes_rt.io.output_file import written
from echoes_training.ema import Average
from echoes_training.processes import gathered, shared_like

BUNDLE_WEIGHTS = "weights.safetensors"
"""Holds every module's tensors under their names in training, in fp16."""


AVERAGED = "_ema"
"""Ends the name of a module's file that holds the moving average of its weights."""


@dataclass(frozen=True, kw_only=True)
class TrainState:
    """Everything that a step changes; all randomness is derived from the step's number."""

    modules: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]
    averages: dict[str, Average] = field(default_factory=dict)


def config_file(run: Path) -> Path:
    return run / "config.json"


def save_config(run: Path, values: Mapping[str, Any]) -> None:
    with written(config_file(run)) as partial:
        partial.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def load_config(run: Path) -> dict[str, Any]:
    """Raises InputError if ``run`` is not the folder of a training run."""
    try:
        values = json.loads(config_file(run).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"{run} is not a training run: cannot read its config.json") from error
    assert isinstance(values, dict)
    return values


def _step_of(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))


def step_name(step: int) -> str:
    """Of a checkpoint's folder; step 0 is a run that was imported, not trained."""
    return f"step-{step:07d}"


def newest(run: Path) -> Path | None:
    """The newest complete checkpoint folder of a run."""
    folders = [p for p in run.glob("step-*") if re.fullmatch(r"step-\d+", p.name)]
    return max(folders, key=_step_of, default=None)


def save(run: Path, step: int, state: TrainState, *, write: bool = True) -> Path:
    """Writes ``run/step-<step>``, then removes the checkpoints before it.

    The folder gets its name only when complete, so that a kill at any moment leaves a good one.
    Where processes share the weights, all must call this, and all but one without ``write``.
    """
    folder = run / step_name(step)
    partial = folder.with_name(folder.name + ".partial")
    if write:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)

    def put(name: str, tensors: Mapping[str, Tensor]) -> None:
        whole = {k: gathered(v).detach().cpu().contiguous() for k, v in tensors.items()}
        if write:
            save_file(whole, partial / f"{name}.safetensors")

    for name, module in state.modules.items():
        put(name, module.state_dict())
    for name, average in state.averages.items():
        put(name + AVERAGED, {**state.modules[name].state_dict(), **average.tensors})
    for name, optimizer in state.optimizers.items():
        put(f"{name}_optimizer", _optimizer_tensors(optimizer))
    if write:
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
        for other in run.glob("step-*"):
            if other != folder and re.fullmatch(r"step-\d+(\.partial)?", other.name):
                shutil.rmtree(other, ignore_errors=True)
    return folder


def load(folder: Path, state: TrainState) -> int:
    """Restores modules and optimizers exactly; returns the number of steps done.

    It does not matter how many processes wrote the checkpoint, or how they shared it.

    Raises:
        InputError: if a module has other shapes, as with other data.
    """
    for name, module in state.modules.items():
        tensors = load_file(folder / f"{name}.safetensors")
        current = module.state_dict()
        try:
            module.load_state_dict({k: shared_like(current.get(k), v) for k, v in tensors.items()})
        except RuntimeError as error:
            raise InputError(
                f"the {name} of {folder} does not fit ({str(error).splitlines()[1].strip()}); "
                "resume with the data that the run began with, or pass another --out"
            ) from error
    for name, average in state.averages.items():
        average.restart()  # from the weights just loaded, if the run had no average until now
        file = folder / f"{name}{AVERAGED}.safetensors"
        if file.exists():
            tensors = load_file(file)
            for key, value in average.tensors.items():
                value.copy_(shared_like(value, tensors[key]))
    for name, optimizer in state.optimizers.items():
        _restore_optimizer(optimizer, load_file(folder / f"{name}_optimizer.safetensors"))
    return _step_of(folder)


def _module_tensors(folder: Path, name: str) -> dict[str, Tensor]:
    """What a module is to be used with: the average of its weights, if the run made one."""
    averaged = folder / f"{name}{AVERAGED}.safetensors"
    return load_file(averaged if averaged.exists() else folder / f"{name}.safetensors")


def load_module(run: Path, name: str, module: nn.Module) -> None:
    """Loads one module's weights, averaged if it has an average, from a run's newest checkpoint."""
    folder = newest(run)
    if folder is None:
        raise InputError(f"{run} has no checkpoint; train it first")
    module.load_state_dict(_module_tensors(folder, name))


def load_start(source: Path, name: str, module: nn.Module) -> None:
    """Loads one module's weights from a training run, or from a bundle that was exported.

    Raises InputError if ``source`` is neither, or its module has other names or shapes.
    """
    weights = source / BUNDLE_WEIGHTS
    if weights.is_file():
        prefix = f"{name}."
        tensors = {
            key.removeprefix(prefix): value.float()
            for key, value in load_file(weights).items()
            if key.startswith(prefix)
        }
    else:
        folder = newest(source)
        if folder is None:
            raise InputError(f"{source} is neither a training run nor a bundle; cannot start there")
        tensors = _module_tensors(folder, name)
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise InputError(
            f"the {name} of {source} does not fit this preset: {str(error).splitlines()[1].strip()}"
        ) from error


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{key}": torch.as_tensor(value)
        for index, entry in state.items()
        for key, value in entry.items()
    }


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, key = name.split(".", 1)
        parameter = parameters[int(index)]
        if tensor.shape == parameter.shape:
            tensor = shared_like(parameter, tensor)
        state.setdefault(int(index), {})[key] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
