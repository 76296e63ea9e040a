"""One loaded bundle: its graphs, and the one question that every task asks them."""

import logging
import os
import threading
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from echoes_rt.audio import clip_mel
from echoes_rt.backends.base import Session
from echoes_rt.backends.bound import BoundStep
from echoes_rt.backends.device import HALF_KINDS, parse_device
from echoes_rt.backends.gpu import Gpu
from echoes_rt.backends.lifetime import never_free
from echoes_rt.backends.onnx import OnnxSession
from echoes_rt.backends.select import DeviceChoice, choose_device
from echoes_rt.backends.session_start import SessionDials
from echoes_rt.backends.tensorrt import TensorRTSession
from echoes_rt.bundle import Bundle, find_bundle
from echoes_rt.decode import fused, resident, stepwise
from echoes_rt.decode.noise import uniforms
from echoes_rt.decode.plan import BoolArray, known_media, make_plan
from echoes_rt.decode.reference import FloatArray, IntArray
from echoes_rt.errors import BundleError, InputError
from echoes_rt.image import RgbArray, load_image, to_pixels
from echoes_rt.options import OnStep, SamplingOptions, apply_options, report_steps
from echoes_rt.sources import AudioLike, clip_of
from echoes_rt.spec.graphs import HALF
from echoes_rt.spec.manifest import Manifest
from echoes_rt.spec.sampling import SamplingDefaults
from echoes_rt.spec.tokens import Grid, TokenLayout

if TYPE_CHECKING:
    from typing_extensions import Self

logger = logging.getLogger(__name__)

_ENGINES: "weakref.WeakSet[Engine]" = weakref.WeakSet()

QUIETEST_RMS = 0.01
"""-40 dBFS, at which an event in a quiet room is still heard beside a speaker's own noise."""


class Engine:
    """A loaded bundle; one serves many calls, also from several threads at once."""

    def __init__(self, bundle: Bundle, choice: DeviceChoice, threads: int | None = None) -> None:
        self.bundle = bundle
        self.choice = choice
        self._threads = threads
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()
        self._gpu: Gpu | None = None
        _ENGINES.add(self)

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
    ) -> "Self":
        """Opens a bundle and chooses a device; graphs are loaded when first needed.

        Args:
            bundle: a folder, a zip or a bundled name; None is the default bundle.
            device: ``auto``, or what ``parse_device`` reads, such as ``cuda:1``.
            threads: CPU threads for one operator; None is one a core, or the quota.

        Raises:
            BundleError: if there is no such bundle, or it is damaged.
            BackendError: if the device cannot be used.
        """
        if threads is not None and not 1 <= threads <= 1024:
            raise InputError(f"threads must be in [1, 1024], got {threads}")
        if not isinstance(bundle, Bundle):
            bundle = find_bundle(bundle)
        return cls(bundle, choose_device(device, bundle), threads)

    @property
    def manifest(self) -> Manifest:
        return self.bundle.manifest

    def prepare(self, *graphs: str) -> None:
        """Loads graphs that will be needed; without it they are loaded when first run.

        Raises:
            BundleError: if the bundle has no such graph.
        """
        for name in graphs:
            self._session(name)

    def encode_image(self, image: Path | str | RgbArray) -> IntArray:
        """(1, N_i) image codes of a picture."""
        pixels = load_image(image, self.manifest.image)
        codes = self._session("image_encoder").run({"image": pixels})["codes"]
        return self._codes(codes, "image_encoder", self.manifest.tokens.image)

    def encode_audio(self, audio: AudioLike) -> IntArray:
        """(1, N_a) audio codes of the first clip of a sound file or of (S,) samples."""
        mel = self.manifest.mel
        return self.encode_mel(clip_mel(clip_of(audio, 0.0, mel), mel)[None])

    def encode_mel(self, mel: FloatArray) -> IntArray:
        """(B, n_mels, n_frames) log-mels to (B, N_a) audio codes."""
        codes = self._session("mel_encoder").run({"mel": mel})["codes"]
        return self._codes(codes, "mel_encoder", self.manifest.tokens.audio)

    def decode_tokens(
        self,
        tokens: IntArray,
        mask: BoolArray,
        *,
        seeds: Sequence[int],
        sampling: SamplingDefaults | None = None,
        condition: BoolArray | None = None,
        window: int = 0,
        on_step: OnStep | None = None,
    ) -> IntArray:
        """Fills in what is masked and keeps the rest: every task is a question to this method.

        Args:
            tokens: (B, N), image codes first, then audio codes.
            mask: (B, N), True where unknown.
            seeds: B of them; a member's tokens do not depend on the others'.
            sampling: by default the bundle's, with no more steps than there are unknown tokens.
            condition: (B, N), what guidance is measured against; by default the media that are
                known in full.
            window: which part of a long sound this is; it has its own noise.
            on_step: called after each step with its 0-based index and the number of steps; may
                return False to cancel. Where a GPU runs all steps in one call, it is called for
                each of them after the last.

        Returns:
            (B, N) int32 with no mask left.

        Raises:
            InputError: if the question makes no sense.
            CancelledError: if ``on_step`` returned False.
        """
        layout = self.manifest.tokens
        _check_question(tokens, mask, len(seeds), layout)
        if sampling is None:
            sampling = self.sampling(int(mask.sum(axis=1).max()))
        plan = make_plan(mask, sampling)
        noise = uniforms(seeds, sampling.steps, layout.n_tokens, window)
        condition = known_media(mask, layout) if condition is None else condition
        graph = self.loop_graph(on_step)
        session = self._session(graph)
        if graph == "decode":
            decoded = fused.decode(session, tokens, mask, plan, noise, condition=condition)
            report_steps(on_step, plan.steps)
            return self._tokens(decoded, graph)
        loop = resident.decode if isinstance(session, BoundStep) else stepwise.decode
        decoded = loop(
            session,  # type: ignore[arg-type]  # each loop gets the session that it is for
            tokens,
            mask,
            plan,
            noise,
            condition=condition,
            mask_token_id=layout.mask_token_id,
            on_step=on_step,
        )
        return self._tokens(decoded, graph)

    @property
    def is_one_call(self) -> bool:
        """Whether an engine makes the sound of a picture in one call."""
        return "image_to_audio" in self.choice.engines

    def image_to_samples(
        self, image: Path | str | RgbArray, *, seeds: Sequence[int], sampling: SamplingDefaults
    ) -> tuple[FloatArray, IntArray]:
        """(B, S) samples in [-1, 1] and (B, N_a) codes of a picture, for B seeds, in one call."""
        layout = self.manifest.tokens
        pixels = load_image(image, self.manifest.image)
        mask = np.zeros((len(seeds), layout.n_tokens), dtype=np.bool_)
        mask[:, layout.audio_slice] = True
        plan = make_plan(mask, sampling)
        noise = uniforms(seeds, sampling.steps, layout.n_tokens)
        pictures = np.repeat(pixels, len(seeds), axis=0)
        session = self._session("image_to_audio")
        samples, codes = fused.image_to_audio(session, pictures, plan, noise)
        codes = self._codes(codes, "image_to_audio", layout.audio)
        return _levelled(self._finite(samples, "image_to_audio")), codes

    def loop_graph(self, on_step: OnStep | None = None) -> str:
        """The graph that ``decode_tokens`` runs: the whole loop, or one step of it.

        An engine's loop is over before anybody could want it to stop. On the CPU only the host's
        loop can call back, and with ONNX Runtime's GPUs control flow costs more than it saves.
        """
        if self.choice.engines:
            return "decode" if "decode" in self.choice.engines else "step"
        wanted = {"cpu": "step" if on_step else "decode", "cuda": "decode_step"}
        graph = wanted.get(self.choice.kind, "step")
        return graph if graph in self.manifest.graphs else "step"

    def variant(self, name: str) -> str:
        """The name of what ONNX Runtime runs for a graph: in float16 where a GPU can have it."""
        half = f"{name}{HALF}"
        kind = parse_device(self.choice.device_of(name)).kind
        return half if kind in HALF_KINDS and half in self.manifest.graphs else name

    def logits(self, tokens: IntArray) -> FloatArray:
        """(B, N) tokens, ``mask_token_id`` where unknown, to (B, N, V) logits."""
        return np.asarray(self._session("step").run({"tokens": tokens})["logits"])

    def decode_image(self, codes: IntArray) -> RgbArray:
        """(B, N_i) image codes to (B, H, W, 3) uint8 RGB."""
        normal = self._session("image_decoder").run({"codes": codes})["image"]
        return to_pixels(self._finite(normal, "image_decoder"), self.manifest.image)

    def decode_mel(self, codes: IntArray) -> FloatArray:
        """(B, N_a) audio codes to (B, n_mels, n_frames) log-mels."""
        return np.asarray(self._session("mel_decoder").run({"codes": codes})["mel"])

    def vocode(self, mel: FloatArray) -> FloatArray:
        """(B, n_mels, T) log-mels to (B, T * hop_length) samples, of any height."""
        samples = self._session("vocoder").run({"mel": mel})["waveform"]
        n_samples = mel.shape[2] * self.manifest.mel.hop_length
        if samples.shape[1] != n_samples:
            raise BundleError(
                f"the vocoder of bundle {self.manifest.name} gave {samples.shape[1]} samples for "
                f"{mel.shape[2]} frames, which are {n_samples}; get the bundle again"
            )
        return self._finite(samples, "vocoder")

    def decode_audio(self, codes: IntArray) -> FloatArray:
        """(B, N_a) audio codes to (B, S) samples in [-1, 1]."""
        return _levelled(self.vocode(self.decode_mel(codes)))

    def sampling(self, n_unknown: int, options: SamplingOptions | None = None) -> SamplingDefaults:
        """The bundle's defaults with what is not None in their place, and at most one step a token.

        Raises:
            InputError: if a value is out of range, which for ``steps`` ends at all tokens.
        """
        max_steps = self.manifest.tokens.n_tokens
        return apply_options(
            self.manifest.sampling, options or {}, n_unknown=n_unknown, max_steps=max_steps
        )

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
        return np.asarray(codes)

    def _tokens(self, tokens: IntArray, graph: str) -> IntArray:
        layout = self.manifest.tokens
        self._codes(tokens[:, layout.image_slice], graph, layout.image)
        self._codes(tokens[:, layout.audio_slice], graph, layout.audio)
        return tokens

    def _session(self, name: str) -> Session:
        with self._lock:
            if name not in self._sessions:
                start = time.perf_counter()
                session = self._sessions[name] = self._load(name)
                took_ms = (time.perf_counter() - start) * 1000
                logger.info("graph %s on %s in %.0f ms", name, session.device, took_ms)
            return self._sessions[name]

    def _load(self, name: str) -> Session:
        path = self.bundle.graph_path(self.variant(name))  # says if the bundle has no such graph
        signature = self.manifest.graphs[name].signature
        engine = self.choice.engines.get(name)
        if engine is not None:
            return TensorRTSession(engine, signature, self._open_gpu())
        device, dials = self.choice.device_of(name), self._dials(name)
        if name == "decode_step":
            return BoundStep(path, signature, device, dials)
        return OnnxSession(path, signature, device, dials=dials)

    def _dials(self, name: str) -> SessionDials:
        """How the session of a graph is started."""
        return SessionDials(threads=self._threads)

    def _open_gpu(self) -> Gpu:
        if self._gpu is None:
            self._gpu = Gpu.open(parse_device(self.choice.device).index)
        return self._gpu


def _start_over() -> None:
    """In a forked process, which has none of the threads of its parent's sessions."""
    for engine in list(_ENGINES):
        never_free(engine._sessions)
        engine._lock, engine._sessions = threading.Lock(), {}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_over)


def _levelled(samples: FloatArray) -> FloatArray:
    """(B, S) samples, each member scaled: never clipped, and loud enough to be heard.

    What is quieter than ``QUIETEST_RMS`` is raised to it, as far as its peak allows; digital
    silence stays.
    """
    peaks = np.abs(samples).max(axis=1, keepdims=True).astype(np.float64)
    rms = np.sqrt(np.square(samples, dtype=np.float64).mean(axis=1, keepdims=True))
    smallest = np.finfo(np.float32).tiny
    gains = np.maximum(1.0, QUIETEST_RMS / np.maximum(rms, smallest))
    return np.asarray(samples * np.minimum(gains, 1.0 / np.maximum(peaks, smallest)), np.float32)


def _check_question(tokens: IntArray, mask: BoolArray, n_members: int, layout: TokenLayout) -> None:
    shape = (n_members, layout.n_tokens)
    if tokens.shape != shape or mask.shape != shape or mask.dtype != np.bool_:
        raise InputError(
            f"tokens and a bool mask must both be {shape} for {n_members} seeds, got "
            f"{tokens.shape} and {mask.shape} {mask.dtype}"
        )
    for grid, medium in ((layout.image, layout.image_slice), (layout.audio, layout.audio_slice)):
        known = tokens[:, medium][~mask[:, medium]]
        wrong = known[(known < 0) | (known >= grid.codebook_size)]
        if wrong.size:
            raise InputError(
                f"known tokens must be codes in [0, {grid.codebook_size}), got {wrong[0]}"
            )
