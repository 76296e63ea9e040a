"""The C++ library through ctypes, with numpy arrays, and the programs that its tests run."""

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from ctypes import c_double, c_int32, c_int64, c_size_t, c_uint64, c_void_p
from pathlib import Path
from typing import Any

import numpy as np

SOURCE = Path(__file__).parents[2] / "cpp_bindings"

MEDIA = ("image", "audio")
"""In the order of echoes_medium."""

Codes = dict[str, np.ndarray[Any, Any]]
"""By medium."""

STATUSES = ["ok", "input", "bundle", "backend", "cancelled", "internal"]

StepCallback = ctypes.CFUNCTYPE(c_int32, c_int32, c_int32, c_void_p)
SamplesCallback = ctypes.CFUNCTYPE(c_int32, ctypes.POINTER(ctypes.c_float), c_size_t, c_void_p)


def of(kind: Any, names: str) -> list[tuple[str, Any]]:
    """Fields of one kind."""
    return [(name, kind) for name in names.split()]


class ModelOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("device", ctypes.c_char_p),
        ("onnxruntime_path", ctypes.c_char_p),
        ("threads", c_int32),
    ]


class ModelInfo(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        *of(ctypes.c_char_p, "name license device device_reason unrecorded onnxruntime_version"),
        *of(c_int32, "image_width image_height sample_rate"),
        ("num_samples", c_int64),
        *of(c_int32, "image_columns image_rows audio_columns audio_rows image_codebook_size"),
        *of(c_int32, "audio_codebook_size can_make_images can_read_audio"),
    ]


class GenerateOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("seed", c_uint64),
        *of(c_int32, "steps guidance_schedule"),
        *of(c_double, "guidance_scale temperature guidance_start guidance_stop"),
        ("on_step", StepCallback),
        *of(c_void_p, "user_data image_codes audio_codes"),
    ]


class NativeError(Exception):
    """What a status and its sentence say."""

    def __init__(self, status: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def pointer(array: np.ndarray[Any, Any] | None) -> c_void_p:
    return c_void_p(None) if array is None else array.ctypes.data_as(c_void_p)


class Native:
    """One model of the library."""

    def __init__(self, library: Path, bundle: Path, **options: Any) -> None:
        self.lib = ctypes.CDLL(str(library))
        self.lib.echoes_last_error.restype = ctypes.c_char_p
        self.lib.echoes_model_destroy.argtypes = [c_void_p]
        self.model = c_void_p()
        model_options = ModelOptions(struct_size=ctypes.sizeof(ModelOptions), **options)
        self.call(
            "echoes_model_create",
            str(bundle).encode(),
            ctypes.byref(model_options),
            ctypes.byref(self.model),
        )
        self.info = self.now()

    def close(self) -> None:
        self.lib.echoes_model_destroy(self.model)

    def now(self) -> ModelInfo:
        info = ModelInfo(struct_size=ctypes.sizeof(ModelInfo))
        self.call("echoes_model_get_info", self.model, ctypes.byref(info))
        return info

    def call(self, function: str, *arguments: Any) -> None:
        status = getattr(self.lib, function)(*arguments)
        if status:
            raise NativeError(STATUSES[status], self.lib.echoes_last_error().decode())

    def options(self, **changes: Any) -> tuple[GenerateOptions, Codes]:
        """The bundle's own with changes, and the arrays that will hold the codes."""
        options = GenerateOptions(struct_size=ctypes.sizeof(GenerateOptions))
        self.call("echoes_generate_options_init", self.model, ctypes.byref(options))
        codes = {}
        for medium in MEDIA:
            rows, columns = (getattr(self.info, f"{medium}_{of}") for of in ("rows", "columns"))
            codes[medium] = np.full(rows * columns, -1, dtype=np.int32)
            setattr(options, f"{medium}_codes", pointer(codes[medium]))
        for name, value in changes.items():
            setattr(options, name, value)
        return options, codes

    def filled(
        self, function: str, dtype: type[np.generic], *arguments: Any
    ) -> np.ndarray[Any, Any]:
        """Asks for the size, then for the content."""
        size = c_size_t(0)
        self.call(function, self.model, *arguments, None, ctypes.byref(size))
        buffer = np.zeros(size.value, dtype=dtype)
        self.call(function, self.model, *arguments, pointer(buffer), ctypes.byref(size))
        return buffer

    def image_to_audio(self, pixels: np.ndarray, options: GenerateOptions) -> np.ndarray:
        return self.filled(
            "echoes_image_to_audio", np.float32, *picture(pixels), ctypes.byref(options)
        )

    def audio_to_image(self, sound: np.ndarray, options: GenerateOptions) -> np.ndarray:
        pixels = self.filled(
            "echoes_audio_to_image", np.uint8, *samples(sound), ctypes.byref(options)
        )
        return pixels.reshape(self.info.image_height, self.info.image_width, 3)

    def cogenerate(self, options: GenerateOptions) -> tuple[np.ndarray, np.ndarray]:
        sizes = c_size_t(0), c_size_t(0)

        def call(*buffers: np.ndarray | None) -> None:
            given = [(pointer(b), ctypes.byref(s)) for b, s in zip(buffers, sizes, strict=True)]
            dials = ctypes.byref(options)
            self.call("echoes_cogenerate", self.model, dials, *given[0], *given[1])

        call(None, None)
        pixels, sound = np.zeros(sizes[0].value, np.uint8), np.zeros(sizes[1].value, np.float32)
        call(pixels, sound)
        return pixels.reshape(self.info.image_height, self.info.image_width, 3), sound

    def inpaint(
        self,
        sound: np.ndarray,
        start: float,
        stop: float,
        pixels: np.ndarray | None,
        options: GenerateOptions,
    ) -> np.ndarray:
        times = (c_double(start), c_double(stop))
        arguments = (*samples(sound), *times, *picture(pixels), ctypes.byref(options))
        return self.filled("echoes_inpaint", np.float32, *arguments)

    def extend(
        self,
        sound: np.ndarray,
        duration: float,
        pixels: np.ndarray | None,
        options: GenerateOptions,
    ) -> np.ndarray:
        arguments = (*samples(sound), c_double(duration), *picture(pixels), ctypes.byref(options))
        return self.filled("echoes_continue", np.float32, *arguments)

    def vary_audio(self, sound: np.ndarray, keep: float, options: GenerateOptions) -> np.ndarray:
        arguments = (*samples(sound), c_double(keep), ctypes.byref(options))
        return self.filled("echoes_vary_audio", np.float32, *arguments)

    def vary_image(self, pixels: np.ndarray, keep: float, options: GenerateOptions) -> np.ndarray:
        arguments = (*picture(pixels), c_double(keep), ctypes.byref(options))
        varied = self.filled("echoes_vary_image", np.uint8, *arguments)
        return varied.reshape(self.info.image_height, self.info.image_width, 3)

    def stream(
        self,
        pixels: np.ndarray,
        duration: float,
        options: GenerateOptions,
        on_samples: Callable[[np.ndarray], bool],
    ) -> None:
        def next_samples(data: Any, size: int, _: Any) -> int:
            return on_samples(np.ctypeslib.as_array(data, (size,)).copy())

        callback = SamplesCallback(next_samples)
        arguments = (*picture(pixels), c_double(duration), ctypes.byref(options), callback, None)
        self.call("echoes_stream", self.model, *arguments)

    def decode_tokens(
        self,
        target: str,
        tokens: np.ndarray,
        context: np.ndarray | None,
        options: GenerateOptions,
    ) -> np.ndarray:
        decoded = np.array(tokens, dtype=np.int32)
        arguments = (
            *(c_int32(MEDIA.index(target)), pointer(decoded), c_size_t(len(decoded))),
            *(pointer(context), c_size_t(0 if context is None else len(context))),
            ctypes.byref(options),
        )
        self.call("echoes_decode_tokens", self.model, *arguments)
        return decoded


def picture(pixels: np.ndarray | None) -> tuple[c_void_p, c_int32, c_int32]:
    if pixels is None:
        return c_void_p(None), c_int32(0), c_int32(0)
    return pointer(pixels), c_int32(pixels.shape[1]), c_int32(pixels.shape[0])


def samples(sound: np.ndarray) -> tuple[c_void_p, c_size_t]:
    return pointer(sound), c_size_t(len(sound))


def tool(name: str) -> str | None:
    """A program of this environment (PyPI has cmake and ninja), or of the system."""
    here = str(Path(sys.executable).parent)
    return shutil.which(name, path=here + os.pathsep + os.environ.get("PATH", ""))


def run(*command: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    """What it writes to stdout; a failure shows all that it said."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, env=env, cwd=cwd)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout
