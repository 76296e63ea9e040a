"""From a picture to its sound with one loaded bundle."""

import logging
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from echoes_rt.audio import clip_mel, read_audio, write_audio
from echoes_rt.backends.base import Session
from echoes_rt.backends.onnx import OnnxSession
from echoes_rt.backends.select import DeviceChoice, choose_device
from echoes_rt.bundle import Bundle, find_bundle
from echoes_rt.decode import stepwise
from echoes_rt.decode.noise import MAX_SEED, check_seed, uniforms
from echoes_rt.decode.plan import BoolArray, known_media, make_plan
from echoes_rt.decode.reference import FloatArray, IntArray
from echoes_rt.decode.stepwise import OnStep
from echoes_rt.errors import BundleError, InputError
from echoes_rt.image import RgbArray, load_image
from echoes_rt.spec.sampling import SamplingDefaults
from echoes_rt.spec.tokens import TokenLayout

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Sound:
    """A generated sound and all that is needed to make it again.

    Attributes:
        samples: (S,) float32 in [-1, 1].
        codes: (N_a,) int32, the audio codes behind it, row-major.
        timings_ms: wall-clock time by stage, in the order of the stages.
    """

    samples: FloatArray
    sample_rate: int
    codes: IntArray
    seed: int
    sampling: SamplingDefaults
    bundle: str
    device: str
    timings_ms: dict[str, float]

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.sample_rate

    def save(self, path: Path | str) -> Path:
        """Writes WAV, FLAC or OGG by suffix; the file appears whole or not at all.

        Raises:
            InputError: for an unknown suffix or a place that cannot be written.
        """
        return write_audio(path, self.samples, self.sample_rate)


class Echoes:
    """A loaded bundle; one serves many calls, also from several threads at once."""

    def __init__(self, bundle: Bundle, choice: DeviceChoice, threads: int | None = None) -> None:
        self.bundle = bundle
        self.choice = choice
        self._threads = threads
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()

    @classmethod
    def load(
        cls,
        bundle: Bundle | Path | str | None = None,
        device: str = "auto",
        threads: int | None = None,
    ) -> "Echoes":
        """Opens a bundle and chooses a device; graphs are loaded when first needed.

        Args:
            bundle: a folder, a zip or a bundled name; None is the default bundle.
            device: ``auto``, ``cpu``, ``cuda`` or ``cuda:<index>``.
            threads: CPU threads for one operator; None leaves it to ONNX Runtime.

        Raises:
            BundleError: if there is no such bundle, or it is damaged.
            BackendError: if the device cannot be used.
        """
        if threads is not None and not 1 <= threads <= 1024:
            raise InputError(f"threads must be in [1, 1024], got {threads}")
        if not isinstance(bundle, Bundle):
            bundle = find_bundle(bundle)
        return cls(bundle, choose_device(device), threads)

    def generate(
        self,
        image: Path | str | RgbArray,
        *,
        seed: int | None = None,
        steps: int | None = None,
        guidance_scale: float | None = None,
        temperature: float | None = None,
        choice_temperature: float | None = None,
        on_step: OnStep | None = None,
    ) -> Sound:
        """Makes the sound of a picture.

        Args:
            image: a file, or an (H, W, 3) uint8 RGB array.
            seed: in [0, 2**64 - 1]; None draws one, which the Sound reports.
            steps: parallel decoding passes; like the next three, None takes the bundle's default.
            guidance_scale: how much more the picture counts than habit; 1 is off.
            temperature: how boldly codes are drawn; 0 always takes the likeliest.
            choice_temperature: how much chance decides which codes are fixed first.
            on_step: called after each step with its 0-based index and the number of steps; may
                return False to cancel.

        Raises:
            InputError: if the picture or an option cannot be used.
            CancelledError: if ``on_step`` returned False.
        """
        layout = self.bundle.manifest.tokens
        sampling = self.sampling(
            layout.audio.n_tokens,
            steps=steps,
            guidance_scale=guidance_scale,
            temperature=temperature,
            choice_temperature=choice_temperature,
        )
        seed = secrets.randbelow(MAX_SEED + 1) if seed is None else check_seed(seed)
        clock = _Clock()
        with clock.stage("load"):
            for name in ("image_encoder", "step", "mel_decoder", "vocoder"):
                self._session(name)
        with clock.stage("encode_image"):
            image_codes = self.encode_image(image)
        tokens = np.full((1, layout.n_tokens), layout.mask_token_id, dtype=np.int32)
        tokens[:, layout.image_slice] = image_codes
        with clock.stage("decode_tokens"):
            tokens = self.decode_tokens(
                tokens,
                tokens == layout.mask_token_id,
                seeds=[seed],
                sampling=sampling,
                on_step=on_step,
            )
        codes = tokens[:, layout.audio_slice]
        with clock.stage("decode_audio"):
            samples = self.decode_audio(codes)[0]
        return Sound(
            samples=samples,
            sample_rate=self.bundle.manifest.mel.sample_rate,
            codes=codes[0],
            seed=seed,
            sampling=sampling,
            bundle=self.bundle.manifest.name,
            device=self.choice.device,
            timings_ms=clock.timings_ms,
        )

    def encode_image(self, image: Path | str | RgbArray) -> IntArray:
        """(1, N_i) image codes of a picture."""
        pixels = load_image(image, self.bundle.manifest.image)
        return np.asarray(self._session("image_encoder").run({"image": pixels})["codes"])

    def encode_audio(self, audio: Path | str | FloatArray) -> IntArray:
        """(1, N_a) audio codes of the first clip of a sound file or of (S,) samples."""
        mel = self.bundle.manifest.mel
        samples = audio if isinstance(audio, np.ndarray) else read_audio(audio, mel.sample_rate)
        clip = clip_mel(samples, mel)[None]
        return np.asarray(self._session("mel_encoder").run({"mel": clip})["codes"])

    def decode_tokens(
        self,
        tokens: IntArray,
        mask: BoolArray,
        *,
        seeds: Sequence[int],
        sampling: SamplingDefaults | None = None,
        condition: BoolArray | None = None,
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
            on_step: as in ``generate``.

        Returns:
            (B, N) int32 with no mask left.
        """
        layout = self.bundle.manifest.tokens
        _check_question(tokens, mask, len(seeds), layout)
        if sampling is None:
            most = max(1, int(mask.sum(axis=1).max()))
            default = self.bundle.manifest.sampling
            sampling = replace(default, steps=min(default.steps, most))
        return stepwise.decode(
            self._session("step"),
            tokens,
            mask,
            make_plan(mask, sampling),
            uniforms(seeds, sampling.steps, layout.n_tokens),
            condition=known_media(mask, layout) if condition is None else condition,
            mask_token_id=layout.mask_token_id,
            on_step=on_step,
        )

    def decode_audio(self, codes: IntArray) -> FloatArray:
        """(B, N_a) audio codes to (B, S) samples in [-1, 1]."""
        mel = self._session("mel_decoder").run({"codes": codes})["mel"]
        samples = self._session("vocoder").run({"mel": mel})["waveform"]
        if not np.isfinite(samples).all():
            raise BundleError(
                f"the vocoder of bundle {self.bundle.manifest.name} gave samples that are not "
                "numbers; get the bundle again or use device cpu"
            )
        # Scaled, not clipped: clipping would be heard.
        peaks = np.abs(samples).max(axis=1, keepdims=True)
        return np.asarray(samples / np.maximum(peaks, 1.0), dtype=np.float32)

    def sampling(
        self,
        n_unknown: int,
        *,
        steps: int | None = None,
        guidance_scale: float | None = None,
        temperature: float | None = None,
        choice_temperature: float | None = None,
    ) -> SamplingDefaults:
        """The bundle's defaults with what is not None in their place.

        Raises:
            InputError: if a value is out of range; ``steps`` may not exceed ``n_unknown``.
        """
        given = {
            "steps": steps,
            "guidance_scale": guidance_scale,
            "temperature": temperature,
            "choice_temperature": choice_temperature,
        }
        for name, value in given.items():
            if value is not None and (isinstance(value, bool) or not isinstance(value, Real)):
                raise InputError(f"{name} must be a number, got {value!r}")
        if steps is not None and not (isinstance(steps, Integral) and 1 <= steps <= n_unknown):
            raise InputError(f"steps must be a whole number in [1, {n_unknown}], got {steps}")
        changes: dict[str, Any] = {name: v for name, v in given.items() if v is not None}
        try:
            return replace(self.bundle.manifest.sampling, **changes)
        except ValueError as error:
            raise InputError(str(error)) from error

    def _session(self, name: str) -> Session:
        with self._lock:
            if name not in self._sessions:
                start = time.perf_counter()
                self._sessions[name] = OnnxSession(
                    self.bundle.graph_path(name),
                    self.bundle.manifest.graphs[name].signature,
                    self.choice.device,
                    self._threads,
                )
                took_ms = (time.perf_counter() - start) * 1000
                logger.info("graph %s on %s in %.0f ms", name, self.choice.device, took_ms)
            return self._sessions[name]


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


class _Clock:
    def __init__(self) -> None:
        self.timings_ms: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.timings_ms[name] = (time.perf_counter() - start) * 1000
