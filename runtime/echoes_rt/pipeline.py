"""Everything that a loaded bundle can be asked for, in both directions."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from echoes_rt.decode.plan import FloatArray, IntArray
from echoes_rt.errors import InputError
from echoes_rt.format.tokens import MEDIA
from echoes_rt.io.image import RgbArray, read_stored_image
from echoes_rt.io.source_file import MemoryFile
from echoes_rt.io.sources import (
    AudioLike,
    Given,
    ImageLike,
    Source,
    check_no_start,
    clip_of,
    given,
    is_sound,
    recording_of,
    rgb_of,
)
from echoes_rt.io.stored_picture import StoredPicture
from echoes_rt.io.video import add_sound
from echoes_rt.model import Model
from echoes_rt.options import Options, check_numbers
from echoes_rt.results import Picture, Result, Sound
from echoes_rt.tasks import fill_picture, fill_sound, whole
from echoes_rt.tasks import stream as streaming
from echoes_rt.tasks.call import Call
from echoes_rt.tasks.stream import Stream

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Echoes", "Picture", "Result", "Sound", "Stream"]


class Echoes(Model):
    """A loaded bundle and its verbs, the same as the command line's.

    Every verb takes the keywords of ``Options``: ``seed``, ``on_step`` and the sampling dials.
    Every verb raises InputError if a file or an option cannot be used, and CancelledError if
    ``on_step`` said so.
    """

    @overload
    def generate(
        self, source: Image.Image, *, duration: float | None = None, **options: Unpack[Options]
    ) -> Sound: ...
    @overload
    def generate(
        self, source: tuple[NDArray[Any], int], *, start: float = 0.0, **options: Unpack[Options]
    ) -> Picture: ...
    @overload
    def generate(
        self, source: ImageLike | AudioLike, *, duration: float, **options: Unpack[Options]
    ) -> Sound: ...
    @overload
    def generate(
        self, source: ImageLike | AudioLike, *, start: float = 0.0, **options: Unpack[Options]
    ) -> Sound | Picture: ...
    def generate(
        self,
        source: ImageLike | AudioLike,
        *,
        duration: float | None = None,
        start: float = 0.0,
        **options: Unpack[Options],
    ) -> Sound | Picture:
        """Makes the sound of a picture, or the picture of a sound.

        Args:
            source: a picture or a sound, by its suffix, content or dimensions: (S,) samples are a
                sound, arrays of more dimensions pictures. Of a video the sound counts.
            duration: seconds of the sound of a picture, up to an hour; None is one clip.
            start: second of a sound at which the clip that counts begins; 0 for a picture.
        """
        call = Call.of(self, options)
        if duration is None:
            return self._generate(call, [source], start)[0][0]
        media = given(source)
        if is_sound(media):
            raise InputError("duration is for the sound of a picture, and a sound was given")
        check_no_start(media, start)
        return self._long_sound(call, media, duration)

    def image_to_audio(
        self,
        image: ImageLike,
        *,
        duration: float | None = None,
        **options: Unpack[Options],
    ) -> Sound:
        """``generate`` for a picture."""
        call = Call.of(self, options)
        if duration is not None:
            return self._long_sound(call, image, duration)
        codes = self._image_codes(call, image)
        return cast(Sound, whole.results_of(call, "image", codes)[0][0])

    def audio_to_image(
        self,
        audio: AudioLike,
        *,
        start: float = 0.0,
        **options: Unpack[Options],
    ) -> Picture:
        """``generate`` for a sound."""
        call = Call.of(self, options)
        codes = self._audio_codes(call, audio, start)
        return cast(Picture, whole.results_of(call, "audio", codes)[0][0])

    def generate_many(
        self,
        sources: Sequence[ImageLike | AudioLike],
        *,
        count: int = 1,
        rank: int | None = None,
        start: float = 0.0,
        **options: Unpack[Options],
    ) -> list[list[Sound | Picture]]:
        """Several results of each of several sources, decoded together.

        No member depends on the others, except in int8. Memory is that of the results and of a
        batch of ``whole.BATCH``.

        Args:
            sources: as in ``generate``.
            count: results of each source; the i-th has the seed ``seed + i``.
            rank: keep only this many, the likeliest first.
            start: as in ``generate``.
        """
        return self._generate(Call.of(self, options), sources, start, count, rank)

    def cogenerate(
        self,
        **options: Unpack[Options],
    ) -> tuple[Sound, Picture]:
        """Makes a sound and the picture that belongs to it from nothing."""
        return cast(tuple[Sound, Picture], whole.both(Call.of(self, options)))

    def inpaint(
        self,
        audio: AudioLike,
        *,
        start: float,
        stop: float,
        image: ImageLike | None = None,
        **options: Unpack[Options],
    ) -> Sound:
        """Makes a part of a recording anew; the rest stays, sample for sample.

        Args:
            audio: the result has its sample rate, channels and depth.
            start: second at which the new part begins.
            stop: second at which it ends.
            image: what is to be heard in it.
        """
        call = Call.of(self, options)
        check_numbers(start=start, stop=stop)
        recording = recording_of(audio, self.manifest.mel)
        codes = None if image is None else self._image_codes(call, image)
        return fill_sound.inpaint(call, recording, start, stop, codes)

    def inpaint_image(
        self,
        image: ImageLike,
        mask: ImageLike,
        *,
        audio: AudioLike | None = None,
        **options: Unpack[Options],
    ) -> Picture:
        """Makes a part of a picture anew; the rest stays, pixel for pixel.

        Args:
            image: the result has its size and colour profile.
            mask: as large as the picture; what is nearer to white than to black is made anew.
            audio: what is to be seen there.
        """
        call = Call.of(self, options)
        hidden = rgb_of(mask).mean(axis=2) > 127
        codes = None if audio is None else self._audio_codes(call, audio, 0.0)
        source = given(image)
        if isinstance(source, (Path, MemoryFile)):
            stored = read_stored_image(source)
        else:
            stored = StoredPicture(pixels=rgb_of(source), icc=None)
        return fill_picture.inpaint_picture(call, stored, hidden, codes)

    def continue_(
        self,
        audio: AudioLike,
        *,
        duration: float = 5.0,
        image: ImageLike | None = None,
        **options: Unpack[Options],
    ) -> Sound:
        """A recording and more of it.

        Args:
            audio: the result has its sample rate, channels and depth.
            duration: seconds to add.
            image: what is to be heard in them.
        """
        call = Call.of(self, options)
        recording = recording_of(audio, self.manifest.mel)
        codes = None if image is None else self._image_codes(call, image)
        return fill_sound.extend(call, recording, duration, codes)

    def vary(
        self,
        source: ImageLike | AudioLike,
        *,
        keep: float = 0.5,
        start: float = 0.0,
        **options: Unpack[Options],
    ) -> Sound | Picture:
        """A sound like the given one, or a picture like the given one.

        Args:
            source: as in ``generate``.
            keep: share of its codes that stay; the others are made anew.
            start: second of a sound at which the clip begins.
        """
        call, media = Call.of(self, options), given(source)
        if is_sound(media):
            return whole.vary(call, "audio", self._clip(media, start), keep)
        check_no_start(media, start)
        return whole.vary(call, "image", rgb_of(media), keep)

    def stream(
        self,
        image: ImageLike | Callable[[float], RgbArray],
        *,
        duration: float | None = None,
        **options: Unpack[Options],
    ) -> Stream:
        """The sound of a picture, of any length and in constant memory: made while it is read.

        Args:
            image: a picture, or a function of the second that gives the one to be heard from then
                on.
            duration: seconds in all; None never ends.
        """
        call = Call.of(self, options)
        mel, n_samples = self.manifest.mel, None
        if duration is not None:
            streaming.check_duration(duration)
            n_samples = max(1, round(duration * mel.sample_rate))
        confidence = None
        if callable(image):
            picture_at = image
            chunks = streaming.stream(
                call, lambda second: self._image_codes(call, picture_at(second)), n_samples
            )
        else:
            codes = self._image_codes(call, image)
            confidence = call.confidences(codes)[0]
            chunks = streaming.stream(call, lambda _: codes, n_samples)
        return Stream(
            chunks=chunks,
            duration_s=duration,
            sample_rate=mel.sample_rate,
            sampling=self.sampling(self.manifest.tokens.audio.n_tokens, call.options),
            confidence=confidence,
            **call.origin(),
        )

    def add_sound(self, video: Path | str, out: Path | str, **options: Unpack[Options]) -> Stream:
        """Writes a video with the sound of what it shows, or that sound; docs/use.md says how.

        Args:
            video: MP4, MOV, Matroska or WebM; its pictures are copied as they are.
            out: ends in .mp4, .m4v, .mov or .mkv, or as a sound does.

        Returns:
            The sound that was written, which is over: its seed, length and timings.

        Raises:
            BackendError: if PyAV is missing.
        """
        return add_sound(self, Path(video), Path(out), options)

    def windows(self, duration: float) -> int:
        """How many decodings a stream of ``duration`` seconds takes, for a progress bar."""
        streaming.check_duration(duration)
        return streaming.count_windows(self.manifest.mel, self.manifest.tokens.audio, duration)

    def _long_sound(self, call: Call, image: Source, duration: float) -> Sound:
        streaming.check_duration(duration, streaming.MAX_HELD_S)
        codes = self._image_codes(call, image)
        n_samples = max(1, round(duration * self.manifest.mel.sample_rate))
        windows: deque[IntArray] = deque(maxlen=1)
        chunks = streaming.stream(call, lambda _: codes, n_samples, on_window=windows.append)
        samples = np.concatenate([*chunks])
        sampling = self.sampling(self.manifest.tokens.audio.n_tokens, call.options)
        sure = call.confidences(codes)[0]
        made = call.result("audio", samples, windows[-1], sampling, confidence=sure)
        return cast(Sound, made)

    def _generate(
        self,
        call: Call,
        sources: Sequence[ImageLike | AudioLike],
        start: float,
        count: int = 1,
        rank: int | None = None,
    ) -> list[list[Sound | Picture]]:
        whole.check_count(count, rank)
        if isinstance(sources, (str, bytes)):  # or each of its letters were one
            raise InputError(f"sources must be a list, got {sources!r}; generate takes one source")
        encoded = [self._encoded(call, given(source), start) for source in sources]
        results: list[list[Sound | Picture]] = [[] for _ in encoded]
        for medium in MEDIA:
            places = [i for i, (found, _) in enumerate(encoded) if found == medium]
            if places:
                codes = np.concatenate([encoded[i][1] for i in places])
                made = whole.results_of(call, medium, codes, count, rank)
                for i, members in zip(places, made, strict=True):
                    results[i] = members
        return results

    def _encoded(self, call: Call, source: Given, start: float) -> tuple[str, IntArray]:
        """The medium of a source, and its (1, N) codes."""
        if is_sound(source):
            return "audio", self._audio_codes(call, source, start)
        check_no_start(source, start)
        return "image", self._image_codes(call, source)

    def _image_codes(self, call: Call, image: Source) -> IntArray:
        call.load("image_encoder")
        with call.clock.stage("encode_image"):
            return self.encode_image(rgb_of(image))

    def _audio_codes(self, call: Call, audio: Source, start: float) -> IntArray:
        call.load("log_mel", "mel_encoder")
        with call.clock.stage("encode_audio"):
            return self.encode_audio(self._clip(audio, start))

    def _clip(self, audio: Source, start: float) -> FloatArray:
        check_numbers(start=start)
        return clip_of(audio, start, self.manifest.mel)
