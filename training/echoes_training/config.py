"""The settings of every stage: frozen dataclasses and ``key=value`` overrides."""

import ast
import dataclasses
import typing
from dataclasses import dataclass, field
from typing import Any, TypeVar

from echoes_rt.errors import InputError
from echoes_rt.format.image import ImageSpec
from echoes_rt.format.mel import MelSpec
from echoes_rt.format.sampling import Sampling
from echoes_rt.format.tokens import TokenLayout
from echoes_training.models.image_codec import ImageCodecConfig
from echoes_training.models.mel_codec import MelCodecConfig
from echoes_training.models.teacher import check_teacher
from echoes_training.models.transformer import TransformerConfig
from echoes_training.models.vocoder import VocoderConfig
from echoes_training.models.vqgan import VQGANConfig

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """What every training loop needs.

    Attributes:
        batch_size: of a step, over all processes: how many there are changes no result.
        accumulate: into how many parts each process divides its share of a batch, to save memory.
        learning_rate: peak, after ``warmup_steps`` and before a cosine fall to zero at ``steps``.
        ema_decay: of the moving average of the weights that is evaluated and exported; 0 for none.
        precision: ``auto`` (measured), ``bf16`` autocast or ``fp32``.
        checkpoint_minutes: wall-clock minutes between checkpoints.
    """

    steps: int
    batch_size: int
    learning_rate: float
    warmup_steps: int = 100
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 1e-4
    grad_clip: float = 1.0
    accumulate: int = 1
    ema_decay: float = 0.0
    seed: int = 0
    precision: str = "auto"
    device: str = "auto"
    log_every: int = 25
    evaluate_every: int = 500
    checkpoint_minutes: float = 5.0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_size < 1:
            raise ValueError(
                f"steps and batch_size must be positive, got {self.steps}, {self.batch_size}"
            )
        if self.accumulate < 1 or self.batch_size % self.accumulate:
            raise ValueError(
                f"accumulate must divide the batch_size of {self.batch_size}, got {self.accumulate}"
            )
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay must be in [0, 1), got {self.ema_decay}")
        if self.precision not in ("auto", "bf16", "fp32"):
            raise ValueError(f"precision must be auto, bf16 or fp32, got {self.precision!r}")
        if self.log_every < 1 or self.evaluate_every < 1:
            raise ValueError(
                "log_every and evaluate_every must be positive, "
                f"got {self.log_every}, {self.evaluate_every}"
            )


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """How media reach the device.

    Attributes:
        resident: whether pictures (uint8) and sounds (int16) lie on the device from the beginning
            and are augmented there, instead of on the CPU.
    """

    resident: bool = False


@dataclass(frozen=True, kw_only=True)
class _AdversarialStageConfig:
    """What trainings against discriminators have in common.

    Attributes:
        adversarial_start: the first step with the discriminators.
        loss_weights: by name of the loss; a loss without a weight is an error.
    """

    loop: LoopConfig
    mel: MelSpec
    data: DataConfig = field(default_factory=DataConfig)
    discriminator_width: int
    adversarial_start: int
    loss_weights: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class VQGANStageConfig(_AdversarialStageConfig):
    """A VQGAN's training.

    Attributes:
        labelled_share: of the clips, how many are drawn by label; the rest from all.
        usage_decay: of the running code usage that decides which codes are dead.
    """

    model: VQGANConfig
    image: ImageSpec
    discriminator_width: int = 32
    usage_decay: float = 0.95
    labelled_share: float = 0.5
    loss_weights: dict[str, float] = field(
        default_factory=lambda: {
            "reconstruction": 1.0,
            "vq/codebook": 1.0,
            "vq/commitment": 0.25,
            "adversarial": 0.05,
        }
    )


@dataclass(frozen=True, kw_only=True)
class ImageCodecStageConfig(_AdversarialStageConfig):
    """Training of the picture codec: its codes, then its decoder.

    Attributes:
        loop: of both; ``batch_size`` is the decoder's, and each begins with the full rate.
        views: random views of each training picture, kept on disk with the teacher's features.
        code_steps: the first steps, in which the codes learn and the decoder does not.
        code_batch_size: of these steps.
        usage_decay: of the running code usage that decides which codes are dead.
        loss_weights: ``map0`` and on are the teacher's maps, finest first; ``whole`` is the mean
            of the last map of the centred crop.
    """

    model: ImageCodecConfig
    image: ImageSpec
    views: int
    code_steps: int
    code_batch_size: int
    usage_decay: float = 0.97
    loss_weights: dict[str, float] = field(
        default_factory=lambda: {
            "map0": 0.2,
            "map1": 1.0,
            "whole": 2.0,
            "colours": 1.0,
            "vq/codebook": 1.0,
            "vq/commitment": 0.25,
            "reconstruction": 1.0,
            "perceptual": 0.1,  # with more, decoders please the teacher with spots of texture
            "adversarial": 0.02,
        }
    )

    def __post_init__(self) -> None:
        if not 1 <= self.code_steps <= self.loop.steps:
            raise ValueError(
                f"code_steps must be from 1 to loop.steps, {self.loop.steps}, got {self.code_steps}"
            )


@dataclass(frozen=True, kw_only=True)
class MelCodecStageConfig(_AdversarialStageConfig):
    """Training of the codec of log-mels, on random segments of ``segment_frames`` frames.

    Attributes:
        labelled_share: of the segments, how many are drawn by label; the rest from all clips.
        discriminator_rate: their learning rate, as a multiple of the codec's: at the same rate they
            fall behind it, and no texture is asked for.
    """

    model: MelCodecConfig
    image: ImageSpec
    segment_frames: int
    labelled_share: float = 0.5
    discriminator_rate: float = 2.5
    loss_weights: dict[str, float] = field(
        default_factory=lambda: {
            "bins": 2.0,
            "blurred": 10.0,
            "unevenness": 0.2,
            "adversarial": 1.0,
            "feature_matching": 10.0,
            "feature_statistics": 20.0,
        }
    )

    def __post_init__(self) -> None:
        if self.mel.n_mels != 8 * self.model.rows:
            raise ValueError(
                f"model.rows must be an eighth of {self.mel.n_mels} bands, got {self.model.rows}"
            )
        if self.segment_frames % 16 or not 0 < self.segment_frames <= self.mel.n_frames:
            raise ValueError(
                f"segment_frames must be a multiple of 16 up to {self.mel.n_frames}, "
                f"got {self.segment_frames}"
            )


@dataclass(frozen=True, kw_only=True)
class MelDecoderStageConfig(MelCodecStageConfig):
    """Training of a mel codec's decoder alone: the codes stay, so that a transformer may, too.

    The shape, the mel and the pictures are the codec's.

    Attributes:
        teacher: a name of ``models.teacher.TEACHERS``: discriminators judge what it sees.
        loss_weights: how strongly each loss pulls at the decoded log-mel (``losses.balanced``).
    """

    teacher: str
    loss_weights: dict[str, float] = field(
        default_factory=lambda: {
            "blurred": 1.0,
            "adversarial": 1.0,
            "feature_statistics": 0.5,
            "projected_adversarial": 1.5,
            "projected_feature_matching": 0.5,
            "projected_feature_statistics": 0.5,
        }
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_teacher(self.teacher)


@dataclass(frozen=True, kw_only=True)
class VocoderStageConfig(_AdversarialStageConfig):
    """The vocoder's training, on random segments of ``segment_frames`` frames.

    Attributes:
        labelled_share: of the segments, how many are drawn by label; the rest from all clips.
    """

    model: VocoderConfig
    segment_frames: int
    labelled_share: float = 0.5
    loss_weights: dict[str, float] = field(
        default_factory=lambda: {
            "mel": 30.0,
            "stft": 0.5,
            "advance": 1.0,
            "adversarial": 1.0,
            "feature_matching": 4.0,
        }
    )


@dataclass(frozen=True, kw_only=True)
class TransformerStageConfig:
    """The masked transformer's training on cached codes.

    Attributes:
        masking: of a joint form, ``independent`` draws a mask ratio per medium, ``joint`` one for
            both (the trap of docs/train.md, kept for the ablation).
        full_mask: probability, per medium that is asked for, that none of it is known.
        partly_known: share of targets of which the data say a part, as in inpainting; in context
            form.
        no_mask: probability, per medium, of a ratio of 0; of a joint form.
        context_mask: the largest share of a context that is hidden, in context form: so that no
            single code of a picture decides what is heard.
        unpaired: share of sequences without the other medium: the second branch of guidance. In
            context form both media of such a sequence are asked for, each alone; in joint form one
            is, and the other one is fully masked.
        group_weight: of the auxiliary loss that names the pair's group from either medium's
            positions; it makes each medium tell the other what the pair is about.
        group_steps: the first steps, in which that loss counts; later it would only distract.
        label_smoothing: as in MaskGIT (arXiv 2202.04200).
        compiled: whether the blocks are compiled (``torch.compile``): minutes at the start, then
            fewer launches a step.
        sharded: with several processes, each keeps a share of the weights and of the optimizer's
            state (FSDP) instead of all of it (DDP).
    """

    loop: LoopConfig
    model: TransformerConfig
    layout: TokenLayout
    masking: str = "independent"
    full_mask: float = 0.2
    no_mask: float = 0.45
    partly_known: float = 0.3
    context_mask: float = 0.0
    unpaired: float = 0.15
    group_weight: float = 0.5
    group_steps: int = 0
    label_smoothing: float = 0.1
    compiled: bool = False
    sharded: bool = False

    def __post_init__(self) -> None:
        if self.masking not in ("independent", "joint"):
            raise ValueError(f"masking must be independent or joint, got {self.masking!r}")
        if min(self.full_mask, self.no_mask) < 0 or self.full_mask + self.no_mask > 1:
            raise ValueError(
                "full_mask and no_mask must be probabilities whose sum is at most 1, "
                f"got {self.full_mask}, {self.no_mask}"
            )
        for name in ("context_mask", "unpaired", "partly_known"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class DistillStageConfig:
    """Training of a student that answers in a few passes what a guided teacher does in more.

    Attributes:
        steps: the numbers of passes in which the student is to decode; each is taught, and the
            first is what a bundle of it recommends.
        teacher: how the teacher decodes.
        context_mask: the largest share of the other medium that is hidden from both.
        unpaired: share of samples without the other medium, which the teacher decodes unguided.
        partly_known: share of targets of which the data say a part, as in inpainting.
    """

    loop: LoopConfig
    steps: tuple[int, ...] = (4, 2)
    teacher: Sampling = field(default_factory=lambda: Sampling(steps=8))
    context_mask: float = 0.0
    unpaired: float = 0.15
    partly_known: float = 0.3

    def __post_init__(self) -> None:
        if not self.steps or min(self.steps) < 1 or max(self.steps) > self.teacher.steps:
            raise ValueError(
                f"steps must be numbers from 1 to teacher.steps, {self.teacher.steps}, "
                f"got {self.steps}"
            )
        if self.teacher.temperature == 0:
            raise ValueError("teacher.temperature must be above 0, got 0")
        for name in ("context_mask", "unpaired", "partly_known"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}")


def to_dict(config: Any) -> dict[str, Any]:
    """A dataclass as JSON-ready values."""
    return dataclasses.asdict(config)


def from_dict(cls: type[T], values: dict[str, Any]) -> T:
    """The inverse of ``to_dict``, by the dataclass's type hints.

    Raises:
        ValueError: if there is no such setting, or the dataclass refuses a value.
    """
    hints = typing.get_type_hints(cls)
    if unknown := values.keys() - hints.keys():
        raise ValueError(f"there is no setting {min(unknown)}")
    arguments = {}
    for key, value in values.items():
        hint = hints[key]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            value = from_dict(hint, value)
        elif typing.get_origin(hint) is tuple:
            value = tuple(value)
        arguments[key] = value
    return cls(**arguments)


def override(config: T, assignments: tuple[str, ...]) -> T:
    """Applies ``a.b=value`` settings, e.g. ``loop.steps=100``, all at once: their order is free.

    Raises:
        InputError: for an unknown key, a value of the wrong type, or one that the config refuses.
    """
    values = to_dict(config)
    keys = []
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        if not separator:
            raise InputError(f"--set needs key=value, got {assignment!r}")
        _assign(values, key, text)
        keys.append(key)
    try:
        return from_dict(type(config), values)
    except ValueError as error:
        raise InputError(f"--set {', '.join(keys)}: {error}") from error


def _assign(values: dict[str, Any], key: str, text: str) -> None:
    *parents, last = key.split(".")
    for name in parents:
        values = _part(values, name, key)
    current = _part(values, last, key)
    if isinstance(current, dict):
        raise InputError(f"--set {key}: set its parts, e.g. {key}.{next(iter(current))}")
    values[last] = _parse(text, current, key)


def _part(values: Any, name: str, key: str) -> Any:
    if not isinstance(values, dict):
        raise InputError(f"--set: no {key!r}; there is nothing below the value {values!r}")
    if name not in values:
        raise InputError(f"--set: no {key!r}; {name!r} must be one of {', '.join(values)}")
    return values[name]


def _parse(text: str, current: Any, key: str) -> Any:
    if isinstance(current, str):
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError) as error:
        raise InputError(f"--set {key}: cannot read {text!r} as a value") from error
    if isinstance(current, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if isinstance(current, tuple) and isinstance(value, list):
        value = tuple(value)
    if type(value) is not type(current):
        kind = type(current).__name__
        raise InputError(f"--set {key}: needs a value like {current!r} ({kind}), got {text!r}")
    return value
