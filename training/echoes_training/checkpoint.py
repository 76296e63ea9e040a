"""Checkpoints as safetensors beside the run's settings; pickle is never written or read."""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from echoes_rt.errors import InputError

BUNDLE_WEIGHTS = "weights.safetensors"
"""Holds every module's tensors under their names in training, in fp16."""


@dataclass(frozen=True, kw_only=True)
class TrainState:
    """Everything that a step changes; all randomness is derived from the step's number."""

    modules: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]


def config_file(run: Path) -> Path:
    return run / "config.json"


def save_config(run: Path, values: Mapping[str, Any]) -> None:
    run.mkdir(parents=True, exist_ok=True)
    config_file(run).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


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


def save(run: Path, step: int, state: TrainState) -> Path:
    """Writes ``run/step-<step>``, then removes the checkpoint before it.

    The folder gets its name only when complete, so that a kill at any moment leaves a good one.
    """
    previous = newest(run)
    folder = run / step_name(step)
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name, module in state.modules.items():
        tensors = {k: v.detach().cpu().contiguous() for k, v in module.state_dict().items()}
        save_file(tensors, partial / f"{name}.safetensors")
    for name, optimizer in state.optimizers.items():
        save_file(_optimizer_tensors(optimizer), partial / f"{name}_optimizer.safetensors")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    if previous is not None and previous != folder:
        shutil.rmtree(previous, ignore_errors=True)
    return folder


def load(folder: Path, state: TrainState) -> int:
    """Restores modules and optimizers exactly; returns the number of steps done."""
    for name, module in state.modules.items():
        module.load_state_dict(load_file(folder / f"{name}.safetensors"))
    for name, optimizer in state.optimizers.items():
        _restore_optimizer(optimizer, load_file(folder / f"{name}_optimizer.safetensors"))
    return _step_of(folder)


def load_module(run: Path, name: str, module: nn.Module) -> None:
    """Loads one module's weights from a run's newest checkpoint."""
    folder = newest(run)
    if folder is None:
        raise InputError(f"{run} has no checkpoint; train it first")
    module.load_state_dict(load_file(folder / f"{name}.safetensors"))


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
        tensors = load_file(folder / f"{name}.safetensors")
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise InputError(
            f"the {name} of {source} does not fit this preset: {str(error).splitlines()[1].strip()}"
        ) from error


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{key}": torch.as_tensor(value).detach().cpu().contiguous()
        for index, entry in state.items()
        for key, value in entry.items()
    }


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
