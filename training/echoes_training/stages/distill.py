"""Trains a transformer that answers in a few unguided steps what its guided teacher does in more.

Self-distillation through time (arXiv 2410.21035) with classifier-free guidance folded in. The
teacher decodes a target; the student sees it as it was at each of the student's own steps, and
learns the distributions that the teacher drew those codes from: given what is known, their mean is
what the teacher comes to. A student is a teacher like any other, so that the number of steps may
also be halved in rounds, by one run after the other.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echoes_rt.errors import InputError
from echoes_rt.format.tokens import MEDIA, OTHER, Grid
from echoes_training import checkpoint
from echoes_training.bundles import Source
from echoes_training.checkpoint import TrainState
from echoes_training.config import DistillStageConfig, TransformerStageConfig
from echoes_training.data.tokens import TokenCache
from echoes_training.device import autocast
from echoes_training.ema import averages
from echoes_training.masking import Mask, draw_state, draw_unknown, hide
from echoes_training.models.transformer import MaskedTransformer
from echoes_training.optim import Learner
from echoes_training.processes import Processes
from echoes_training.stages import codebooks
from echoes_training.stages.loop import Measures, Scalars, mean, measured, train
from echoes_training.stages.rollouts import (
    Lesson,
    Task,
    context_of,
    guided_hidden,
    lesson_of,
)
from echoes_training.stages.sequences import Sequences

VALIDATED = 32
"""Pairs that are measured on."""


def student_of(teacher: Source, config: DistillStageConfig) -> TransformerStageConfig:
    """The student's settings: it has the shape of its teacher.

    Raises:
        InputError: if there is no such teacher, or it cannot be guided.
    """
    model, layout = teacher.transformer_shape()
    if model.form != "context":
        raise InputError(
            f"the transformer of {teacher.place} has form {model.form}; only one of form context "
            "can be distilled"
        )
    if teacher.is_folded and config.teacher.guidance_scale != 1:
        raise InputError(
            f"guidance is folded into the transformer of {teacher.place}, so that teacher."
            f"guidance_scale must be 1, got {config.teacher.guidance_scale:g}; pass --set "
            "teacher.guidance_scale=1"
        )
    return TransformerStageConfig(loop=config.loop, model=model, layout=layout)


def distill(
    run: Path,
    cache: TokenCache,
    config: DistillStageConfig,
    student: TransformerStageConfig,
    teacher_folder: Path,
) -> None:
    """Trains to ``config.loop.steps``, resuming from the newest checkpoint in ``run``.

    Args:
        run: the folder.
        cache: codes of the codecs that the teacher was trained with.
        config: how to train.
        student: from ``student_of``.
        teacher_folder: of the teacher's run or bundle.
    """
    loop = config.loop
    processes = Processes(loop.device)
    torch.manual_seed(loop.seed)
    sequences = Sequences(cache, student)
    if processes.is_main:
        codebooks.keep(run, codebooks.of_cache(cache))
    teacher, model = (
        MaskedTransformer(student.model, student.layout).to(processes.device) for _ in range(2)
    )
    for network in (teacher, model):
        checkpoint.load_start(teacher_folder, "transformer", network)
    teacher.eval().requires_grad_(False)
    tasks = Tasks(sequences, config)
    step_once = DistillStep(config, tasks, processes, teacher, model)
    state = TrainState(
        modules={"transformer": model},
        optimizers={"transformer": step_once.learner.optimizer},
        averages=averages({"transformer": model}, loop.ema_decay),
    )
    lessons = {
        name: lesson_of(teacher, task.to(processes.device), config.teacher, config.steps)
        for name, task in tasks.validation().items()
    }

    @torch.no_grad()
    def evaluate(step: int) -> Scalars:
        """Divergence from the teacher on validation pairs, of a code in nats."""
        return {
            f"validation/{name}": (divergence(model, lesson) / len(lesson.wanted)).item()
            for name, lesson in lessons.items()
        }

    train(run, loop, state, processes, step_once, evaluate)


class Tasks:
    """Draws what the teacher is to decode."""

    def __init__(self, sequences: Sequences, config: DistillStageConfig) -> None:
        self.sequences = sequences
        self.config = config

    def batch(self, step: int, places: range) -> list[Task]:
        """Of a step, for both media; each of the samples by its place in the whole batch."""
        generators = [
            np.random.default_rng((self.config.loop.seed, step, place)) for place in places
        ]
        sees = [rng.random() >= self.config.unpaired for rng in generators]
        return self._tasks(generators, sees, self.config, validation=False)

    def validation(self) -> dict[str, Task]:
        """All unknown, of either medium, with the other one and without."""
        whole = replace(self.config, context_mask=0.0, partly_known=0.0)
        tasks = {}
        for is_paired in (True, False):
            rng = np.random.default_rng((self.config.loop.seed, 1))
            drawn = self._tasks([rng] * VALIDATED, [is_paired] * VALIDATED, whole, validation=True)
            for task in drawn:
                name = f"given_{OTHER[task.medium]}" if is_paired else "alone"
                tasks[f"{task.medium}_{name}"] = task
        return tasks

    def _tasks(
        self,
        generators: Sequence[np.random.Generator],
        sees: Sequence[bool],
        config: DistillStageConfig,
        *,
        validation: bool,
    ) -> list[Task]:
        layout = self.sequences.config.layout
        pairs = np.stack([self.sequences.pair(rng, validation=validation)[0] for rng in generators])
        codes = torch.from_numpy(pairs).long()
        sizes = [grid.n_tokens for grid in layout.grids.values()]
        media = dict(zip(MEDIA, codes.split(sizes, dim=1), strict=True))
        tasks = []
        for medium, grid in layout.grids.items():
            other = layout.grids[OTHER[medium]]
            drawn = [
                (
                    _unknown(grid, config, rng),
                    hide(other.n_tokens, rng.uniform(0, config.context_mask), rng),
                    rng.random(grid.n_tokens),
                )
                for rng in generators
            ]
            unknown, unseen, uniforms = (
                torch.from_numpy(np.stack(rows)) for rows in zip(*drawn, strict=True)
            )
            tasks.append(
                Task(
                    medium=medium,
                    tokens=media[medium].masked_fill(unknown, grid.mask_token),
                    others=media[OTHER[medium]].masked_fill(unseen, other.mask_token),
                    sees=torch.tensor(sees),
                    uniforms=uniforms,
                )
            )
        return tasks


def _unknown(grid: Grid, config: DistillStageConfig, rng: np.random.Generator) -> Mask:
    """(n,): a teacher of one step meets what the student will, which starts from nothing."""
    if config.teacher.steps > 1:
        return draw_unknown(grid, config.partly_known, rng)
    hidden, _ = draw_state(grid, config.partly_known, 0.0, rng)
    return hidden


class Student(nn.Module):
    """A transformer as what is trained."""

    def __init__(self, model: MaskedTransformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, lessons: Sequence[Lesson]) -> Tensor:
        return torch.stack([divergence(self.model, lesson) for lesson in lessons]).sum()


class DistillStep:
    """One step of the student's training: call it with the step's number."""

    def __init__(
        self,
        config: DistillStageConfig,
        tasks: Tasks,
        processes: Processes,
        teacher: MaskedTransformer,
        model: MaskedTransformer,
    ) -> None:
        loop = config.loop
        self.config = config
        self.tasks = tasks
        self.processes = processes
        self.teacher = teacher
        self.places = processes.parts(loop.batch_size, loop.accumulate)
        self.learner = Learner(Student(model), loop, processes)

    def __call__(self, step: int) -> Measures:
        parts = [self._lessons(step, places) for places in self.places]
        n_codes = torch.tensor(sum(len(lesson.wanted) for part in parts for lesson in part))
        n_asked = self.processes.sum(n_codes).to(self.processes.device)
        # The learner takes the mean of all parts, so that a sum is to be as many times larger.
        n_parts = len(parts) * self.processes.size
        rows: list[Measures] = []

        def loss_of(lessons: list[Lesson]) -> Tensor:
            with self._autocast():
                loss: Tensor = n_parts * self.learner(lessons) / n_asked
            rows.append(measured({"divergence": loss}))
            return loss

        norm = self.learner.update(step, parts, loss_of)
        return {**mean(rows), "train/grad_norm": norm}

    def _lessons(self, step: int, places: range) -> list[Lesson]:
        config = self.config
        with self._autocast():
            return [
                lesson_of(
                    self.teacher, task.to(self.processes.device), config.teacher, config.steps
                )
                for task in self.tasks.batch(step, places)
            ]

    def _autocast(self) -> AbstractContextManager[object]:
        return autocast(self.config.loop.precision, self.processes.device)


def divergence(model: MaskedTransformer, lesson: Lesson) -> Tensor:
    """Kullback-Leibler, from what is wanted of each code to what ``model`` says, in sum."""
    sees = lesson.context >= 0
    context = context_of(model, lesson.medium, lesson.others)
    if context is not None:
        context = context[lesson.context[sees]]
    h = guided_hidden(model, lesson.medium, lesson.tokens, sees, context, scale=1)
    medium = model.medium(lesson.medium)
    scores = medium.logits_at(h, *medium.where(lesson.asked))
    return F.kl_div(scores.float().log_softmax(dim=-1), lesson.wanted, reduction="sum")
