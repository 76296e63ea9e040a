"""The C++ library against the Python runtime, on the same bundle."""

import ctypes
import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from native import MEDIA, GenerateOptions, Native, NativeError, StepCallback, picture

from echoes_rt import Echoes
from echoes_rt.format.image import ImageSpec
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
    """Different options for each seed, for Python and for C."""
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
    }
    return numbers | python, numbers | native


def photo(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 150, 2)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def assert_close(made: np.ndarray, expected: np.ndarray) -> None:
    expected = expected.reshape(made.shape)
    assert np.abs(made - expected).max() < 1e-4


@pytest.mark.parametrize("seed", SEEDS)
def test_sound_of_a_picture(seed: int, native: Native, echoes: Echoes) -> None:
    python, c = dials(seed)
    expected = echoes.image_to_audio(photo(seed), **python)
    options, codes = native.options(**c)
    made = native.image_to_audio(photo(seed), options)
    assert codes["audio"].tolist() == expected.codes.tolist()
    assert (codes["image"] == -1).all()  # none was made
    assert_close(made, expected.samples)
    options, by_steps = native.options(**c, on_step=EVERY_STEP)
    assert (native.image_to_audio(photo(seed), options) == made).all()
    assert by_steps["audio"].tolist() == codes["audio"].tolist()


@pytest.mark.parametrize("seed", SEEDS)
def test_picture_of_a_sound(seed: int, native: Native, echoes: Echoes) -> None:
    python, c = dials(seed)
    rng = np.random.default_rng(seed)
    sound = rng.normal(0, 0.2, rng.integers(1, 5000)).astype(np.float32)
    expected = echoes.audio_to_image(sound, **python)
    options, codes = native.options(**c)
    made = native.audio_to_image(sound, options)
    assert codes["image"].tolist() == expected.codes.tolist()
    assert np.abs(made.astype(int) - expected.pixels).max() <= 1  # a half may round either way


@pytest.mark.parametrize("seed", SEEDS)
def test_both_from_nothing(seed: int, native: Native, echoes: Echoes) -> None:
    python, c = dials(seed)
    sound, picture = echoes.cogenerate(**python)
    options, codes = native.options(**c)
    pixels, samples = native.cogenerate(options)
    assert codes["image"].tolist() == picture.codes.tolist()
    assert codes["audio"].tolist() == sound.codes.tolist()
    assert_close(samples, sound.samples)
    assert np.abs(pixels.astype(int) - picture.pixels).max() <= 1


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
    assert codes["audio"].tolist() == expected.codes.tolist()
    assert_close(made, expected.samples)
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
    assert_close(native.extend(original, duration, image, options), expected.samples)
    assert codes["audio"].tolist() == expected.codes.tolist()


@pytest.mark.parametrize("seed", SEEDS)
def test_variations(seed: int, native: Native, echoes: Echoes) -> None:
    python, c = dials(seed)
    keep = seed % 11 / 10
    sound = np.random.default_rng(seed).normal(0, 0.2, 3000).astype(np.float32)
    expected = echoes.vary(sound, keep=keep, **python)
    options, codes = native.options(**c)
    made = native.vary_audio(sound, keep, options)
    assert codes["audio"].tolist() == expected.codes.tolist()
    assert_close(made, expected.samples)
    expected = echoes.vary(photo(seed), keep=keep, **python)
    pixels = native.vary_image(photo(seed), keep, options)
    assert codes["image"].tolist() == expected.codes.tolist()
    assert np.abs(pixels.astype(int) - expected.pixels).max() <= 1


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
    options, _ = native.options(**c, on_step=EVERY_STEP)
    assert native.decode_tokens(target, tokens, context, options).tolist() == expected.tolist()


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
    bundle: Path, tmp_path: Path, native: Native, library: Path
) -> None:
    copy = shutil.copytree(bundle, tmp_path / "bundle")
    manifest = json.loads((copy / "manifest.json").read_text("utf-8"))
    del manifest["graphs"]["decode_audio"]
    (copy / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    without = Native(library, copy, device=b"cpu", threads=1)
    made = [model.image_to_audio(photo(0), model.options()[0]) for model in (native, without)]
    without.close()
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
    native.call(
        "echoes_mask_audio",
        native.model,
        ctypes.c_double(clip_s * 0.3),
        ctypes.c_double(clip_s * 0.5),
        codes.ctypes.data_as(ctypes.c_void_p),
        ctypes.c_size_t(len(codes)),
    )
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


def test_pictures_shrink_and_grow_as_in_python(build: Path) -> None:
    hooks = ctypes.CDLL(str(build / "tests" / "libechoes_test_hooks.so"))
    rng = np.random.default_rng(0)
    sizes = [(32, 32), (30, 20), (17, 40)]
    for i in range(120):
        width, height = sizes[i % len(sizes)]
        times = int(rng.integers(1, 5))
        shape = [rng.integers(1, 300, 2), rng.integers(1, 45, 2), (height * times, width * times)]
        rgb = rng.integers(0, 256, (*shape[i % 7 % 3], 3), dtype=np.uint8)
        made = np.zeros((height, width, 3), np.uint8)
        hooks.hook_resize(
            rgb.ctypes.data_as(ctypes.c_void_p),
            *(rgb.shape[1], rgb.shape[0], width, height),
            made.ctypes.data_as(ctypes.c_void_p),
        )
        expected = resize(rgb, ImageSpec(height=height, width=width))
        assert (made == expected).all(), (rgb.shape, made.shape)


PIXELS = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)


def confidence_of(model: Native) -> float:
    found = ctypes.c_float(-1)
    model.call("echoes_confidence", model.model, *picture(PIXELS), ctypes.byref(found))
    return found.value


def test_the_confidence_is_pythons(library: Path, confident_bundle: Path) -> None:
    echoes = Echoes.load(confident_bundle, device="cpu")
    expected = echoes.confidence(echoes.encode_image(PIXELS))
    assert expected is not None
    model = Native(library, confident_bundle, device=b"cpu", threads=1)
    assert math.isclose(confidence_of(model), float(expected[0]), abs_tol=1e-6)
    model.close()


def test_a_bundle_that_cannot_tell_says_so(library: Path, tiny_bundle: Path) -> None:
    model = Native(library, tiny_bundle, device=b"cpu", threads=1)
    assert math.isnan(confidence_of(model))
    model.close()
