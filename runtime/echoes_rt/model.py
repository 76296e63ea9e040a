"""One loaded bundle: its graphs, and the one question that every task asks them."""

import logging
import math
import os
import threading
import time
import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

import numpy as np
from numpy.typing import NDArray

from echoes_rt.backends.base import Session, StepSession, WatchedSession, Watcher
from echoes_rt.backends.device import HALF_KINDS, parse_device
from echoes_rt.backends.lifetime import never_free
from echoes_rt.backends.onnx import OnnxSession
from echoes_rt.backends.precision import with_precision
from echoes_rt.backends.select import DeviceChoice, choose_device
from echoes_rt.backends.session_start import SessionDials
from echoes_rt.bundle import Bundle, find_bundle
from echoes_rt.cpu_limit import usable_cpus
from echoes_rt.decode import steps
from echoes_rt.decode.noise import MEL_STREAM, uniforms
from echoes_rt.decode.plan import FloatArray, IntArray, make_plan
from echoes_rt.decode.steps import OnStep
from echoes_rt.errors import BundleError, InputError
from echoes_rt.format.graphs import HALF, INT8, TensorSpec
from echoes_rt.format.manifest import Manifest
from echoes_rt.format.sampling import Sampling, SamplingOptions
from echoes_rt.format.tokens import OTHER, Grid
from echoes_rt.io.image import RgbArray, to_input, to_pixels
from echoes_rt.io.sources import AudioLike, ImageLike, clip_of, rgb_of
from echoes_rt.nvidia.bound import BoundStep
from echoes_rt.nvidia.gpu import Gpu
from echoes_rt.nvidia.tensorrt import TensorRTSession
from echoes_rt.options import check_names, check_numbers

if TYPE_CHECKING:
    from typing_extensions import Self

logger = logging.getLogger(__name__)

_ENGINES: "weakref.WeakSet[Model]" = weakref.WeakSet()

QUIETEST_RMS = 0.01
"""-40 dBFS, at which an event in a quiet room is still heard beside a speaker's own noise."""


class Model:
    """A loaded bundle; one serves many calls, also from several threads at once."""

    def __init__(
        self,
        bundle: Bundle,
        choice: DeviceChoice,
        threads: int | None = None,
        watcher: Watcher | None = None,
    ) -> None:
        self.bundle = bundle
        self.choice = choice
        self._threads = threads
        self._watcher = watcher
        self._sessions: dict[str, WatchedSession] = {}
        self._lock = threading.Lock()
        self._gpu: Gpu | None = None
        _ENGINES.add(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.manifest.name} on {self.choice.device})"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__} holds sessions and threads, which cannot be pickled or copied; "
            "call its load() in each process"
        )

    @classmethod
    def load(
        cls,
        bundle: Bundle | Path | str | None = None,
        device: str = "auto",
        threads: int | None = None,
        precision: str = "fp32",
    ) -> "Self":
        """Opens a bundle and chooses a device; graphs are loaded when first needed.

        Args:
            bundle: a folder, a zip or a bundled name; None is the default bundle.
            device: ``auto``, or what ``parse_device`` reads, such as ``cuda:1``.
            threads: CPU threads for one operator; None is one a core, or the quota.
            precision: of a CPU's matrix products: ``fp32``, ``int8`` where the bundle has such
                graphs, or ``auto``: int8 where this processor gains by it. A bundle in int8 alone
                is that, whatever is asked for.

        Raises:
            BundleError: if there is no such bundle, or it is damaged.
            BackendError: if the device cannot be used.
            InputError: if the number of threads or the precision cannot be had.
        """
        if threads is not None:
            check_numbers(threads=threads)
        if threads is not None and not 1 <= threads <= 1024:
            raise InputError(f"threads must be in [1, 1024], got {threads}")
        if not isinstance(bundle, Bundle):
            bundle = find_bundle(bundle)
        return cls(
            bundle, with_precision(choose_device(device, bundle), precision, bundle), threads
        )

    def beside(self, watcher: Watcher) -> "Model":
        """A second model of the same bundle, device and GPU, which ``watcher`` sees at work."""
        watched = Model(self.bundle, self.choice, self._threads, watcher)
        watched._gpu = self._gpu
        return watched

    @property
    def manifest(self) -> Manifest:
        return self.bundle.manifest

    @property
    def callers(self) -> int:
        """How many threads should call graphs at once where there is much to do.

        On a CPU of several cores two: while one waits until an operator's threads are done, the
        other has work for them.
        """
        threads = self._threads or usable_cpus()
        return 2 if threads > 1 and parse_device(self.choice.device).kind == "cpu" else 1

    def prepare(self, *graphs: str) -> None:
        """Loads graphs that will be needed; without it they are loaded when first run.

        Raises:
            BundleError: if the bundle has no such graph.
        """
        for name in graphs:
            self.session(name)

    def encode_image(self, image: ImageLike) -> IntArray:
        """(1, N_i) image codes of a picture."""
        pixels = to_input(rgb_of(image), self.manifest.image)
        codes = self.session("image_encoder").run({"image": pixels})["codes"]
        return self._codes(codes, "image_encoder", self.manifest.tokens.image)

    def confidence(self, codes: IntArray) -> FloatArray | None:
        """(B, N_i) image codes to (B,) in [0, 1]: how surely a picture shows what the model knows.

        Below ``CONFIDENT`` it is unlike all that the model knows, and its sound is a guess. None:
        the bundle has no graph that tells.
        """
        if "confidence" not in self.manifest.graphs:
            return None
        _check_codes(codes, None, self.manifest.tokens.image, is_whole=True)
        found = self.session("confidence").run({"codes": codes})["confidence"]
        if found.shape != (len(codes),):
            raise BundleError(
                f"the confidence of bundle {self.manifest.name} has the shape {found.shape}, "
                f"expected {(len(codes),)}; get the bundle again"
            )
        return self._finite(found, "confidence")

    def log_mel(self, samples: FloatArray) -> FloatArray:
        """(B, S) samples to (B, n_mels, S // hop_length) log-mels in [-1, 1].

        S must be above ``n_fft // 2``, which reflect padding needs.
        """
        return np.asarray(self.session("log_mel").run({"samples": samples})["mel"])

    def clip_mel(self, samples: FloatArray) -> FloatArray:
        """(n_mels, n_frames) of the first clip of (S,) samples, which silence makes full."""
        clip = np.zeros((1, self.manifest.mel.n_samples), dtype=np.float32)
        length = min(len(samples), clip.shape[1])
        clip[0, :length] = samples[:length]
        (mel,) = self.log_mel(clip)
        return np.asarray(mel)

    def encode_audio(self, audio: AudioLike) -> IntArray:
        """(1, N_a) audio codes of the first clip of a sound."""
        mel = self.clip_mel(clip_of(audio, 0.0, self.manifest.mel))
        return self.encode_mel(mel[None])

    def encode_mel(self, mel: FloatArray) -> IntArray:
        """(B, n_mels, n_frames) log-mels to (B, N_a) audio codes."""
        codes = self.session("mel_encoder").run({"mel": mel})["codes"]
        return self._codes(codes, "mel_encoder", self.manifest.tokens.audio)

    def decode_tokens(
        self,
        target: str,
        tokens: IntArray,
        context: IntArray | None = None,
        *,
        seeds: Sequence[int],
        sampling: Sampling | None = None,
        window: int = 0,
        on_step: OnStep | None = None,
    ) -> IntArray:
        """Fills in what is unknown and keeps the rest: every task is a question to this method.

        Args:
            target: ``image`` or ``audio``.
            tokens: (B, N) codes of the target, ``mask_token`` of its grid where unknown.
            context: (B, N') codes of the other medium, all known; None: there is none.
            seeds: B of them; a member's tokens do not depend on the others'.
            sampling: by default the bundle's, with no more steps than there are unknown tokens.
            window: which part of a long sound this is; it has its own noise.
            on_step: called after each step with its 0-based index and the number of steps; may
                return False to cancel. Where a model runs all steps in one call, it is called
                for each of them after the last.

        Returns:
            (B, N) int32 with no mask left.

        Raises:
            InputError: if the question makes no sense.
            CancelledError: if ``on_step`` returned False.
        """
        grids = self.manifest.tokens.grids
        grid = grids[target]
        _check_codes(tokens, len(seeds), grid, is_whole=False)
        if context is not None:
            other = grids[OTHER[target]]
            _check_codes(context, len(seeds), other, is_whole=True)
        mask = tokens == grid.mask_token
        n_unknown = int(mask.sum(axis=1).max())
        sampling = self.sampling(n_unknown) if sampling is None else self._checked(sampling)
        plan = make_plan(mask, grid.order, sampling)
        noise = uniforms(seeds, window, grid.n_tokens)
        seen = self.context(target, context)
        graph = f"decode_{target}"
        if graph in self.choice.engines and context is not None:
            decoded = steps.decode_at_once(self.session(graph), tokens, seen, plan, noise, on_step)
        else:
            graph = f"{graph}_step"
            session = cast(StepSession, self.session(graph))
            decoded = steps.decode(session, tokens, seen, plan, noise, on_step)
        return self._codes(decoded, graph, grid)

    def context(self, target: str, codes: IntArray | None) -> NDArray[Any]:
        """What decoding a target needs of the other medium's (B, N') codes; of None, no rows."""
        if codes is None:
            spec = self.session(f"decode_{target}_step").inputs["context"]
            return np.zeros((0, *_sizes(spec)), dtype=spec.dtype)
        return self.session(f"context_{OTHER[target]}").run({"codes": codes})["context"]

    def decoding_graphs(self, target: str) -> tuple[str, ...]:
        """What ``decode_tokens`` runs."""
        graph = f"decode_{target}"
        step = graph if graph in self.choice.engines else f"{graph}_step"
        return f"context_{OTHER[target]}", step

    def variant(self, name: str) -> str:
        """The name of what ONNX Runtime runs for a graph: in float16 or int8 where it is chosen."""
        is_half = parse_device(self.choice.device_of(name)).kind in HALF_KINDS
        suffix = HALF if is_half else INT8 if self.choice.precision == "int8" else ""
        return f"{name}{suffix}" if f"{name}{suffix}" in self.manifest.graphs else name

    def logits(self, target: str, tokens: IntArray, context: IntArray | None = None) -> FloatArray:
        """(B, N) tokens of a target, and the other medium's codes, to (B, N, V) logits."""
        seen = self.context(target, context)
        session = self.session(f"logits_{target}")
        return np.asarray(session.run({"tokens": tokens, "context": seen})["logits"])

    def decode_image(self, codes: IntArray) -> RgbArray:
        """(B, N_i) image codes to (B, H, W, 3) uint8 RGB."""
        _check_codes(codes, None, self.manifest.tokens.image, is_whole=True)
        normal = self.session("image_decoder").run({"codes": codes})["image"]
        return to_pixels(self._finite(normal, "image_decoder"), self.manifest.image)

    def decode_mel(
        self, codes: IntArray, *, seeds: Sequence[int] | None = None, window: int = 0
    ) -> FloatArray:
        """(B, N_a) audio codes to (B, n_mels, n_frames) log-mels.

        Args:
            codes: of B members.
            seeds: B of them, where the decoder takes noise to draw what codes leave open; by
                default 0, 1 and so on.
            window: as in ``decode_tokens``.
        """
        _check_codes(codes, None, self.manifest.tokens.audio, is_whole=True)
        session = self.session("mel_decoder")
        inputs: dict[str, NDArray[Any]] = {"codes": codes}
        noise = session.inputs.get("noise")
        if noise is not None:
            shape = _sizes(noise)
            members = range(len(codes)) if seeds is None else seeds
            drawn = uniforms(members, MEL_STREAM + window, math.prod(shape))
            inputs["noise"] = drawn.reshape(len(codes), *shape)
        return np.asarray(session.run(inputs)["mel"])

    def vocode(self, mel: FloatArray) -> FloatArray:
        """(B, n_mels, T) log-mels to (B, T * hop_length) samples, of any height."""
        samples = self.session("vocoder").run({"mel": mel})["waveform"]
        n_samples = mel.shape[2] * self.manifest.mel.hop_length
        if samples.shape[1] != n_samples:
            raise BundleError(
                f"the vocoder of bundle {self.manifest.name} gave {samples.shape[1]} samples for "
                f"{mel.shape[2]} frames, which are {n_samples}; get the bundle again"
            )
        return self._finite(samples, "vocoder")

    def decode_audio(self, codes: IntArray, *, seeds: Sequence[int] | None = None) -> FloatArray:
        """(B, N_a) audio codes to (B, S) samples in [-1, 1]; ``seeds`` are as in ``decode_mel``."""
        return levelled(self.vocode(self.decode_mel(codes, seeds=seeds)))

    def sampling(self, n_unknown: int, options: SamplingOptions | None = None) -> Sampling:
        """The bundle's defaults with what is not None in their place, and at most one step a token.

        Raises:
            InputError: if a value is out of range, or there is no such option.
        """
        changes: dict[str, Any] = {k: v for k, v in (options or {}).items() if v is not None}
        check_names(changes, SamplingOptions)
        try:
            asked = replace(self.manifest.sampling, **changes)
        except ValueError as error:
            raise InputError(str(error)) from error
        return replace(asked, steps=min(asked.steps, max(1, n_unknown)))

    def _checked(self, sampling: Sampling) -> Sampling:
        """Raises InputError for a guidance scale where there is none to choose."""
        try:
            return replace(sampling, guidance=self.manifest.sampling.guidance)
        except ValueError as error:
            raise InputError(str(error)) from error

    def _finite(self, values: FloatArray, graph: str) -> FloatArray:
        if not np.isfinite(values).all():
            raise BundleError(
                f"the {graph} of bundle {self.manifest.name} gave values that are not numbers; "
                "get the bundle again or use device cpu"
            )
        return np.asarray(values)

    def _codes(self, codes: IntArray, graph: str, grid: Grid) -> IntArray:
        wrong = codes[(codes < 0) | (codes >= grid.codebook_size)]
        if wrong.size:
            raise BundleError(
                f"the {graph} of bundle {self.manifest.name} gave the code {wrong[0]}, of "
                f"[0, {grid.codebook_size}); get the bundle again"
            )
        return codes

    def session(self, name: str) -> Session:
        with self._lock:
            if name not in self._sessions:
                start = time.perf_counter()
                session = self._sessions[name] = self._load(name)
                took_ms = (time.perf_counter() - start) * 1000
                logger.info("graph %s on %s in %.0f ms", name, session.device, took_ms)
            return self._sessions[name]

    def unrecorded(self) -> dict[str, str]:
        """Of the graphs that ran on a GPU and should be CUDA graphs but are not: why."""
        with self._lock:
            sessions = dict(self._sessions)
        return {name: s.unrecorded for name, s in sessions.items() if s.unrecorded is not None}

    def precision(self, name: str) -> str:
        """In which a graph computes here: ``fp32``, ``fp16`` or ``int8``."""
        if name in self.choice.engines:
            return self.choice.engines[name].record.key.precision
        variant = self.variant(name)
        if variant == f"{name}{HALF}":
            return "fp16"
        # What is stored in float16 is read back into float32.
        return "int8" if self.manifest.graphs[variant].precision == "int8" else "fp32"

    def gpu(self) -> Gpu:
        """The NVIDIA GPU of the device, whose stream all engines share."""
        if self._gpu is None:
            self._gpu = Gpu(parse_device(self.choice.device).index)
        return self._gpu

    def _load(self, name: str) -> WatchedSession:
        session = self._open(name)
        if self._watcher is not None:
            self._watcher.loaded(name, session)
        return session

    def _open(self, name: str) -> WatchedSession:
        path = self.bundle.graph_path(self.variant(name))  # says if the bundle has no such graph
        model = self.choice.engines.get(name)
        if model is not None:
            return TensorRTSession(model, self.gpu())
        device, dials = self.choice.device_of(name), SessionDials(threads=self._threads)
        if self._watcher is not None:
            dials = self._watcher.dials(name, device, dials)
        if name.endswith("_step") and parse_device(device).kind == "cuda":
            return BoundStep(path, device, dials)
        return OnnxSession(path, device, dials)


def _start_over() -> None:
    """In a forked process, which has none of the threads of its parent's sessions."""
    for model in list(_ENGINES):
        never_free(model._sessions)
        model._lock, model._sessions = threading.Lock(), {}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_over)


def levelled(samples: FloatArray) -> FloatArray:
    """(B, S) samples, each member scaled: never clipped, and loud enough to be heard.

    What is quieter than ``QUIETEST_RMS`` is raised to it, as far as its peak allows; digital
    silence stays.
    """
    peaks = np.abs(samples).max(axis=1, keepdims=True).astype(np.float64)
    rms = np.sqrt(np.square(samples, dtype=np.float64).mean(axis=1, keepdims=True))
    smallest = np.finfo(np.float32).tiny
    gains = np.maximum(1.0, QUIETEST_RMS / np.maximum(rms, smallest))
    return np.asarray(samples * np.minimum(gains, 1.0 / np.maximum(peaks, smallest)), np.float32)


def _sizes(spec: TensorSpec) -> list[int]:
    """Without the batch; a free one, which the format does not allow, the backend refuses."""
    return [dim for dim in spec.shape[1:] if isinstance(dim, int)]


def _check_codes(codes: IntArray, n_seeds: int | None, grid: Grid, *, is_whole: bool) -> None:
    """Raises InputError unless they are (B, N) codes, or mask tokens where not ``is_whole``."""
    is_batch = codes.ndim == 2 and n_seeds in (None, len(codes))
    if not is_batch or codes.shape[1] != grid.n_tokens or codes.dtype != np.int32:
        members = "B" if n_seeds is None else n_seeds
        raise InputError(
            f"codes must be ({members}, {grid.n_tokens}) int32, got {codes.shape} {codes.dtype}"
        )
    most = grid.codebook_size - int(is_whole)
    wrong = codes[(codes < 0) | (codes > most)]
    if wrong.size:
        raise InputError(f"codes must be in [0, {most}], got {wrong[0]}")
