"""The settings of a run: a new one's come from a preset, those of one that goes on from itself."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from echoes_rt.errors import InputError
from echoes_training import DEFAULT_PRESET, checkpoint
from echoes_training.bundles import Source
from echoes_training.config import (
    LoopConfig,
    TransformerStageConfig,
    VQGANStageConfig,
    from_dict,
    override,
    to_dict,
)
from echoes_training.presets import PRESETS
from echoes_training.processes import Processes
from echoes_training.stages.loop import resolve

CHANGEABLE = (
    "loop.steps",
    "loop.learning_rate",
    "loop.grad_clip",
    "loop.ema_decay",
    "loop.precision",
    "loop.device",
    "loop.accumulate",
    "loop.log_every",
    "loop.evaluate_every",
    "loop.checkpoint_minutes",
    "data.resident",
    "compiled",
    "sharded",
)
"""What may be set anew when a run goes on: all else belongs to its weights or its data."""


CODECS = ("image_codec", "mel_codec")
"""The stages of which there are two kinds; the preset says which."""

Resume = Literal["run", "auto"]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the command line asks of a run.

    Attributes:
        command: e.g. ``mel-codec``.
        preset: None where the option was left out, as with ``start_from``.
        resume: ``run``: go on with the run that is there; ``auto``: begin it if there is none;
            None: there must be none.
        start_option: which option ``start_from`` is.
    """

    command: str
    run: Path
    preset: str | None
    assignments: tuple[str, ...]
    resume: Resume | None
    start_from: str | None = None
    start_option: str = "--start-from"

    @property
    def stage(self) -> str:
        """The preset's settings that it takes."""
        return self.command.replace("-", "_")


def configure(asked: Asked, start: Source | None = None) -> Any:
    """The settings to train with; nothing is written yet.

    Args:
        asked: what the command line says.
        start: what is fine-tuned, if the run is new.

    Raises:
        InputError: if a setting cannot be used, or the run that is there cannot go on with it.
    """
    saved = _saved(asked)
    if saved is None:
        preset = asked.preset or DEFAULT_PRESET
        config = getattr(PRESETS[preset], asked.stage)
        if config is None:
            raise InputError(
                f"preset {preset} has no {asked.command}: its codec's decoder draws nothing; pass "
                "another --preset"
            )
        if start is not None:
            config = finetuning(config, start)
        config = override(config, asked.assignments)
    else:
        config = _continued(asked, saved)
    return dataclasses.replace(config, loop=resolve(config.loop))


def save_settings(asked: Asked, loop: LoopConfig, facts: Mapping[str, Any]) -> None:
    """Writes what is known of the run beside its checkpoints, before it trains.

    Of a run that goes on only the settings of its stage are written anew.
    """
    key = _key(asked)
    processes = Processes(loop.device)
    if processes.is_main:
        saved = _saved(asked)
        if saved is None:
            values = {
                "stage": asked.stage,
                "command": asked.command,
                **facts,
                "preset": asked.preset or DEFAULT_PRESET,
            }
        else:
            values = {**saved, key: facts[key]}
        checkpoint.save_config(asked.run, values)
    processes.wait()


def start_of(asked: Asked) -> str | None:
    """The run or bundle with whose weights the training begins; None once it has weights itself."""
    if checkpoint.newest(asked.run) is not None:
        return None
    saved = _saved(asked)
    return asked.start_from if saved is None else saved.get("start_from")


def _key(asked: Asked) -> str:
    """Under which name the settings of the stage are saved, beside those of the model it changes.

    A distilled run has its transformer's, too.
    """
    return "distill" if asked.stage == "distill" else "config"


def _saved(asked: Asked) -> dict[str, Any] | None:
    """What was saved of the run that goes on; None if it is new."""
    run = asked.run
    folder = checkpoint.newest(run)
    if folder is None:
        # A run may have been stopped before its first checkpoint.
        if asked.resume is not None and checkpoint.config_file(run).is_file():
            return _checked(asked, checkpoint.load_config(run))
        if asked.resume == "run":
            raise InputError(
                f"there is no run at {run} to resume; leave --resume out to begin one, or pass "
                "--resume=auto"
            )
        return None
    if asked.resume is None:
        raise InputError(f"{run} holds a run already; pass --resume or another --out")
    if folder.name == checkpoint.step_name(0):
        raise InputError(f"{run} was imported, so there is no training to resume")
    return _checked(asked, checkpoint.load_config(run))


def _checked(asked: Asked, saved: dict[str, Any]) -> dict[str, Any]:
    """Raises InputError unless the command line asks for the run that was saved."""
    run, made_by = asked.run, _command(saved)
    if made_by != asked.command:
        raise InputError(
            f"{run} is a run of {made_by}, not of {asked.command}; pass another --out, or resume "
            f"it with echoes-train {made_by}"
        )
    for name, option, value in (
        ("preset", "--preset", asked.preset),
        ("start_from", asked.start_option, asked.start_from),
    ):
        # Runs of older versions do not say.
        began = saved.get(name, value)
        if value is not None and began != value:
            how = f"without {option}" if began is None else f"with {option} {began}"
            raise InputError(
                f"{run} began {how} and cannot go on with {value}; leave {option} out to resume "
                "it, or pass another --out"
            )
    return saved


def _command(saved: Mapping[str, Any]) -> str:
    """The command that makes such a run."""
    return str(saved.get("command", saved.get("stage"))).replace("_", "-")


def _continued(asked: Asked, saved: Mapping[str, Any]) -> Any:
    values = saved[_key(asked)]
    try:
        before = from_dict(_config_class(asked.stage, values), values)
    except ValueError as error:
        raise InputError(
            f"{asked.run} began with another version ({error}); go on with that one, or pass "
            "another --out"
        ) from error
    # The machine may be another one.
    here = dataclasses.replace(before, loop=dataclasses.replace(before.loop, device="auto"))
    config = override(here, asked.assignments)
    for key, was, now in _differences(to_dict(before), to_dict(config)):
        if key not in CHANGEABLE:
            raise InputError(
                f"{asked.run} began with {key}={was} and cannot go on with {now}; leave it out, or "
                f"pass another --out (what may change: {', '.join(CHANGEABLE)})"
            )
    return config


def _config_class(stage: str, values: Mapping[str, Any]) -> type[Any]:
    if stage in CODECS and values["model"]["architecture"] == "vqgan":
        return VQGANStageConfig
    return type(getattr(PRESETS[DEFAULT_PRESET], stage))


def _differences(
    before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Key, old and new value of each setting that differs."""
    for name, was in before.items():
        now = after[name]
        if isinstance(was, dict):
            yield from _differences(was, now, f"{prefix}{name}.")
        elif was != now:
            yield f"{prefix}{name}", was, now


FEWER_STEPS = 30
SMALLER_STEPS = 5


def finetuning(config: TransformerStageConfig, source: Source) -> TransformerStageConfig:
    """A thirtieth of the steps of ``config`` at a fifth of its rate, in the source's own shape.

    Without the loss that names groups: what a picture is, the weights know. Without an average of
    the weights, too, which would still be full of those it began with.
    """
    loop = dataclasses.replace(
        config.loop,
        steps=max(1, config.loop.steps // FEWER_STEPS),
        warmup_steps=max(1, config.loop.warmup_steps // FEWER_STEPS),
        learning_rate=config.loop.learning_rate / SMALLER_STEPS,
        ema_decay=0.0,
    )
    model, layout = source.transformer_shape()
    return dataclasses.replace(config, loop=loop, model=model, layout=layout, group_steps=0)
