"""The C++ library against the Python runtime, on the same bundle."""

import ctypes
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from native import (
    MEDIA,
    GenerateOptions,
    Native,
    NativeError,
    StepCallback,
    picture,
    pointer,
)

from echoes_rt import Echoes, Picture, Sound
from echoes_rt.format.image import ImageSpec
from echoes_rt.format.sampling import num_masked
from echoes_rt.io.image import resize

SEEDS = [*range(48), 2**32, 2**64 - 1]


EVERY_STEP = StepCallback(lambda _step, _steps, _data: 1)


@pytest.fixture(scope="module")
def echoes(bundle: Path) -> Echoes:
    return Echoes.load(bundle, device="cpu", threads=1)


@pytest.fixture(scope="module")
def recording(echoes: Echoes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two and a half clips of noise, the rate the model's, kept as floats."""
    mel = echoes.manifest.mel
    sound = np.random.default_rng(5).uniform(-0.5, 0.5, mel.n_samples * 5 // 2).astype(np.float32)
    path = tmp_path_factory.mktemp("sounds") / "noise.wav"
    soundfile.write(path, sound, mel.sample_rate, subtype="FLOAT")
    return path


def dials(seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Different options for each seed, for Python and for C; every other seed goes by steps."""
    rng = np.random.default_rng(seed)
    numbers: dict[str, Any] = {
        "seed": seed,
        "steps": int(rng.integers(1, 5)),
        "guidance_scale": float(rng.choice([1.0, rng.uniform(0, 5)])),
        "temperature": float(rng.choice([0.0, 1.0, rng.uniform(0, 2)])),
    }
    is_annealed = int(rng.integers(2))
    start, stop = sorted(rng.uniform(0, 1, 2).tolist()) if rng.random() < 0.5 else (0.0, 1.0)
    python = {
        "guidance_schedule": ("constant", "annealed")[is_annealed],
        "guidance_interval": (start, stop),
    }
    native = {
        "guidance_schedule": is_annealed,
        "guidance_start": start,
        "guidance_stop": stop,
        **({"on_step": EVERY_STEP} if seed % 2 else {}),
    }
    return numbers | python, numbers | native


def photo(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 150, 2)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def assert_close(made: np.ndarray, expected: np.ndarray) -> None:
    expected = expected.reshape(made.shape)
    assert np.abs(made - expected).max() < 1e-4


def assert_same(made: np.ndarray, codes: np.ndarray, expected: Sound | Picture) -> None:
    assert codes.tolist() == expected.codes.tolist()
    if isinstance(expected, Sound):
        assert_close(made, expected.samples)
    else:  # a half may round either way
        assert np.abs(made.astype(int) - expected.pixels).max() <= 1


@pytest.mark.parametrize("seed", SEEDS)
def test_sound_of_a_picture(seed: int, native: Native, echoes: Echoes) -> None:
    python, c = dials(seed)
    expected = echoes.image_to_audio(photo(seed), **python)
    options, codes = native.options(**c)
    made = native.image_to_audio(photo(seed), options)
    assert_same(made, codes["audio"], expected)
    assert (codes["image"] == -1).all()  # none was made


@pytest.mark.parametrize("seed", SEEDS)
def test_picture_of_a_sound(seed: int, native: Native, echoes: Echoes) -> None:
    python, c = dials(seed)
    rng = np.random.default_rng(seed)
    sound = rng.normal(0, 0.2, rng.integers(1, 5000)).astype(np.float32)
    expected = echoes.audio_to_image(sound, **python)
    options, codes = native.options(**c)
    assert_same(native.audio_to_image(sound, options), codes["image"], expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_both_from_nothing(seed: int, native: Native, echoes: Echoes) -> None:
    python, c = dials(seed)
    sound, picture = echoes.cogenerate(**python)
    options, codes = native.options(**c)
    pixels, samples = native.cogenerate(options)
    assert_same(pixels, codes["image"], picture)
    assert_same(samples, codes["audio"], sound)


@pytest.mark.parametrize("seed", SEEDS)
def test_filling_in(seed: int, native: Native, echoes: Echoes, recording: Path) -> None:
    python, c = dials(seed)
    python["steps"] = c["steps"] = min(2, c["steps"])  # of one column two codes are unknown
    original, rate = soundfile.read(recording, dtype="float32")
    rng = np.random.default_rng(seed)
    start = float(rng.uniform(0, 0.2))
    stop = start + float(rng.uniform(0.001, 0.02))
    image = photo(seed) if seed % 2 else None
    expected = echoes.inpaint(recording, start=start, stop=stop, image=image, **python)
    options, codes = native.options(**c)
    made = native.inpaint(original, start, stop, image, options)
    assert_same(made, codes["audio"], expected)
    untouched = np.ones(len(made), dtype=bool)
    untouched[max(0, round((start - 0.021) * rate)) : round((stop + 0.021) * rate)] = False
    assert untouched.any()
    assert (made == original)[untouched].all()


@pytest.mark.parametrize("seed", SEEDS)
def test_going_on(seed: int, native: Native, echoes: Echoes, recording: Path) -> None:
    python, c = dials(seed)
    original, _ = soundfile.read(recording, dtype="float32")
    image = photo(seed) if seed % 2 else None
    duration = 0.05 + 0.005 * (seed % 50)
    expected = echoes.continue_(recording, duration=duration, image=image, **python)
    options, codes = native.options(**c)
    assert_same(native.extend(original, duration, image, options), codes["audio"], expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_variations(seed: int, native: Native, echoes: Echoes) -> None:
    python, c = dials(seed)
    keep = seed % 11 / 10
    sound = np.random.default_rng(seed).normal(0, 0.2, 3000).astype(np.float32)
    expected = echoes.vary(sound, keep=keep, **python)
    options, codes = native.options(**c)
    assert_same(native.vary_audio(sound, keep, options), codes["audio"], expected)
    expected = echoes.vary(photo(seed), keep=keep, **python)
    assert_same(native.vary_image(photo(seed), keep, options), codes["image"], expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_stream(seed: int, native: Native, echoes: Echoes) -> None:
    python, c = dials(seed)
    duration = 3.2 * echoes.manifest.mel.duration_s
    expected = np.concatenate([*echoes.stream(photo(seed), duration=duration, **python)])
    options, _ = native.options(**c)
    chunks: list[np.ndarray] = []
    native.stream(photo(seed), duration, options, lambda c: not chunks.append(c))
    assert len(chunks) > 1
    assert_close(np.concatenate(chunks), expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_any_question(seed: int, native: Native, echoes: Echoes) -> None:
    python, c = dials(seed)
    rng = np.random.default_rng(seed)
    target, other = MEDIA if seed % 2 else MEDIA[::-1]
    grids = echoes.manifest.tokens.grids
    tokens = rng.integers(0, grids[target].codebook_size, grids[target].n_tokens, np.int32)
    mask = rng.random(len(tokens)) < rng.uniform(0.2, 1)
    mask[:4] = True
    tokens[mask] = grids[target].mask_token
    context = None
    if seed % 3:
        context = rng.integers(0, grids[other].codebook_size, grids[other].n_tokens, np.int32)
    sampling = echoes.sampling(
        int(mask.sum()), {name: python[name] for name in python if name != "seed"}
    )
    expected = echoes.decode_tokens(
        target,
        tokens[None],
        None if context is None else context[None],
        seeds=[seed],
        sampling=sampling,
    )[0]
    options, codes = native.options(**c)
    decoded = native.decode_tokens(target, tokens, context, options)
    assert decoded.tolist() == expected.tolist() == codes[target].tolist()
    assert decoded[~mask].tolist() == tokens[~mask].tolist()


def test_no_more_steps_than_unknown_tokens(native: Native, echoes: Echoes) -> None:
    grid = echoes.manifest.tokens.audio
    tokens = np.zeros(grid.n_tokens, np.int32)
    tokens[[3, 5]] = grid.mask_token
    calls: list[tuple[int, int]] = []
    callback = StepCallback(lambda step, steps, _: not calls.append((step, steps)))
    options, _ = native.options(steps=1000, on_step=callback)
    native.decode_tokens("audio", tokens, None, options)
    assert calls == [(0, 2), (1, 2)]


def test_bundle_without_the_whole_loop(
    bundle: Path, tmp_path: Path, native: Native, opened: Callable[..., Native]
) -> None:
    copy = shutil.copytree(bundle, tmp_path / "bundle")
    manifest = json.loads((copy / "manifest.json").read_text("utf-8"))
    del manifest["graphs"]["decode_audio"]
    (copy / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    made = [model.image_to_audio(photo(0), model.options()[0]) for model in (native, opened(copy))]
    assert (made[0] == made[1]).all()


def test_model_tells_what_it_is(native: Native, echoes: Echoes) -> None:
    import onnxruntime

    manifest, info = echoes.manifest, native.info
    assert (info.name.decode(), info.device) == (manifest.name, b"cpu")
    assert info.onnxruntime_version.decode() == onnxruntime.__version__
    assert info.num_samples == manifest.mel.n_samples
    assert (info.image_rows, info.image_columns) == (4, 4)
    assert info.audio_codebook_size == manifest.tokens.audio.codebook_size
    assert (info.can_make_images, info.can_read_audio) == (1, 1)


def test_defaults_are_the_bundles(native: Native, echoes: Echoes) -> None:
    options, _ = native.options()
    sampling = echoes.manifest.sampling
    for name in ("steps", "guidance_scale", "temperature"):
        assert getattr(options, name) == getattr(sampling, name)
    assert (options.guidance_start, options.guidance_stop) == sampling.guidance_interval
    assert options.seed == 0
    assert options.struct_size == ctypes.sizeof(GenerateOptions)


def test_seconds_become_columns(native: Native, echoes: Echoes) -> None:
    grid = echoes.manifest.tokens.audio
    clip_s = echoes.manifest.mel.duration_s
    codes = np.arange(grid.n_tokens, dtype=np.int32)
    expected = codes.reshape(grid.height, grid.width).copy()
    expected[:, math.floor(0.3 * grid.width) : math.ceil(0.5 * grid.width)] = grid.mask_token
    part = (ctypes.c_double(clip_s * 0.3), ctypes.c_double(clip_s * 0.5))
    size = ctypes.c_size_t(len(codes))
    native.call("echoes_mask_audio", native.model, *part, pointer(codes), size)
    assert codes.tolist() == expected.ravel().tolist()
    assert (codes == grid.mask_token).sum() == grid.height  # of four columns, the second


def test_callback_can_cancel(native: Native) -> None:
    callback = StepCallback(lambda step, _steps, _data: step < 1)
    options, _ = native.options(on_step=callback, steps=4)
    with pytest.raises(NativeError, match="cancelled after step 2 of 4") as caught:
        native.image_to_audio(photo(0), options)
    assert caught.value.status == "cancelled"


def test_stream_can_be_cancelled(native: Native) -> None:
    options, _ = native.options()
    with pytest.raises(NativeError, match="cancelled between two parts") as caught:
        native.stream(photo(0), 3600.0, options, lambda _: False)
    assert caught.value.status == "cancelled"


@pytest.fixture
def hooks(build: Path) -> ctypes.CDLL:
    return ctypes.CDLL(str(build / "tests" / "libechoes_test_hooks.so"))


def resized(hooks: ctypes.CDLL, rgb: np.ndarray, height: int, width: int) -> np.ndarray:
    made = np.zeros((height, width, 3), np.uint8)
    hooks.hook_resize(pointer(rgb), rgb.shape[1], rgb.shape[0], width, height, pointer(made))
    return made


def test_pictures_shrink_and_grow_as_in_python(hooks: ctypes.CDLL) -> None:
    rng = np.random.default_rng(0)
    for i in range(120):
        width, height = [(32, 32), (30, 20), (17, 40)][i % 3]
        times = int(rng.integers(1, 5))
        shape = [rng.integers(1, 300, 2), rng.integers(1, 45, 2), (height * times, width * times)]
        rgb = rng.integers(0, 256, (*shape[i % 7 % 3], 3), dtype=np.uint8)
        made = resized(hooks, rgb, height, width)
        expected = resize(rgb, ImageSpec(height=height, width=width))
        assert (made == expected).all(), (rgb.shape, made.shape)


def test_a_large_picture_fits_into_one_pixel(hooks: ctypes.CDLL) -> None:
    """The sum of nine million white pixels is more than an int can hold."""
    white = np.full((3000, 3000, 3), 255, np.uint8)
    assert (resized(hooks, white, 1, 1) == 255).all()


@pytest.mark.parametrize("n_tokens", [1, 8, 135, 265])
def test_schedules_are_pythons(n_tokens: int, hooks: ctypes.CDLL) -> None:
    for steps in range(1, n_tokens + 1):
        kept = np.zeros(steps, np.int32)
        hooks.hook_num_masked(n_tokens, steps, pointer(kept))
        assert kept.tolist() == list(num_masked(n_tokens, steps))


def test_the_confidence_is_pythons(opened: Callable[..., Native], confident_bundle: Path) -> None:
    pixels = photo(0)
    echoes = Echoes.load(confident_bundle, device="cpu")
    expected = echoes.confidence(echoes.encode_image(pixels))
    assert expected is not None
    found, model = ctypes.c_float(-1), opened(confident_bundle)
    model.call("echoes_confidence", model.model, *picture(pixels), ctypes.byref(found))
    assert math.isclose(found.value, float(expected[0]), abs_tol=1e-6)
