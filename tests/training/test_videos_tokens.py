"""Shards become codes in pairs, and the transformer trains on them."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.numpy import save_file
from tests.training.runs import forked, invoke, metrics, train, video_clip

from echoes_training.cli import main
from echoes_training.data import audio as audio_data
from echoes_training.data import image as image_data
from echoes_training.data.tokens import TokenCache, TokenTable
from echoes_training.data.videos import shards
from echoes_training.data.videos.decode import ClipError
from echoes_training.data.videos.sample import ClipForm, Extract, files_of, read_sample
from echoes_training.data.videos.table import VideoClip
from echoes_training.models.mel import MelSpectrogram
from echoes_training.presets import PRESETS
from echoes_training.stages import tokenize_shards
from echoes_training.stages.codecs import codec_of_run

TINY = PRESETS["tiny"]
N_CLIPS, N_FRAMES, SPOILT, SHORT = 11, 3, 2, 5
FORM = ClipForm(
    n_frames=N_FRAMES,
    height=TINY.image.height,
    width=TINY.image.width,
    sample_rate=TINY.mel.sample_rate,
    seconds=0.12,  # the last frame is shown after the tiny codec's window of 0.093 s
    shortest_s=0.05,
)


def clip(number: int) -> VideoClip:
    split = "heldout" if number % 4 == 3 else "train"
    return video_clip(key=f"{number:08d}", video=f"v{number}", seconds=FORM.seconds, split=split)


def made(one: VideoClip) -> Extract:
    """Noise in pictures and sound; one clip is of no use, and one is short."""
    number = int(one.key)
    if number == SPOILT:
        return Extract(files={}, fault=ClipError("silent", "nothing"))
    rng = np.random.default_rng(number)
    frames = rng.integers(0, 255, (N_FRAMES, FORM.height, FORM.width, 3), dtype=np.uint8)
    length = 0.06 if number == SHORT else FORM.seconds
    samples = rng.uniform(-0.5, 0.5, round(length * FORM.sample_rate)).astype(np.float32)
    return Extract(files=files_of(one, list(frames), [0.0, 0.05, 0.1], samples, FORM))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    planned = shards.plan([clip(number) for number in range(N_CLIPS)], 4)
    out = tmp_path / "shards"
    out.mkdir()
    shards.begin(out, shards.describe(planned, FORM, 4))
    for shard in planned:
        shards.write_shard(out, shard, map(made, shard.clips))
    return out


def command(folder: Path, codecs: dict[str, Path], out: Path) -> list[str]:
    options = [f"--{stage}={run}" for stage, run in codecs.items()]
    return ["tokenize", "--shards", str(folder), *options, "--out", str(out)]


def tokenize(folder: Path, codecs: dict[str, Path], out: Path) -> Result:
    return invoke(*command(folder, codecs, out))


def test_each_clip_is_a_pair_of_its_frames_and_its_sound(
    folder: Path, codecs: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "tokens.safetensors"
    result = tokenize(folder, codecs, out)
    assert result.exit_code == 0, result.output
    assert not out.with_name("tokens.safetensors.parts").exists()
    cache = TokenCache.load(out)
    good = [number for number in range(N_CLIPS) if number != SPOILT]
    assert sorted(cache.groups) == sorted(f"pair:v{number}@0" for number in good)
    image_codec, mel_codec = (codec_of_run(run).model for run in codecs.values())
    np.testing.assert_array_equal(cache.image_codebook, image_codec.codebook)
    mel = MelSpectrogram(TINY.mel)
    for group, name in enumerate(cache.groups):
        number = int(name.removeprefix("pair:v").removesuffix("@0"))
        sample = read_sample(made(clip(number)).files)
        frames = image_data.to_batch(sample.frames[:2], TINY.image)  # the third is not heard
        samples = np.zeros(TINY.mel.n_samples, np.float32)
        heard = sample.samples[: len(samples)]
        samples[: len(heard)] = heard
        with torch.no_grad():
            pictures = image_codec.encode(frames).flatten(1)
            sound = mel_codec.encode(mel(audio_data.to_batch([samples]))[:, None]).flatten(1)
        images = cache.image.group == group
        np.testing.assert_array_equal(cache.image.codes[images], pictures)
        np.testing.assert_array_equal(cache.audio.codes[cache.audio.group == group], sound)
        assert cache.image.validation[images].tolist() == [number % 4 == 3] * 2


def test_a_killed_run_goes_on_with_the_next_shard_and_ends_with_the_same_bytes(
    folder: Path, codecs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = tmp_path / "whole.safetensors", tmp_path / "tokens.safetensors"
    assert tokenize(folder, codecs, whole).exit_code == 0
    job = {"commands": [command(folder, codecs, out)], "death": "while writing a shard"}
    assert forked([job], tmp_path) == [[-9]]
    assert not out.exists()
    left = [path.name for path in out.with_name("tokens.safetensors.parts").iterdir()]
    (kept,) = (name.split(".")[0] for name in left if "partial" not in name)
    assert len(left) == 2
    read: list[str] = []
    read_tar = shards.read_tar
    monkeypatch.setattr(
        tokenize_shards, "read_tar", lambda path: read.append(path.stem) or read_tar(path)
    )
    assert tokenize(folder, codecs, out).exit_code == 0
    assert sorted([kept, *read]) == sorted(path.stem for path in folder.glob("*.tar"))
    assert out.read_bytes() == whole.read_bytes()


def test_parts_of_other_codecs_are_made_again(
    folder: Path, codecs: dict[str, Path], tmp_path: Path
) -> None:
    whole, out = tmp_path / "whole.safetensors", tmp_path / "tokens.safetensors"
    assert tokenize(folder, codecs, whole).exit_code == 0
    parts = out.with_name("tokens.safetensors.parts")
    parts.mkdir()
    codes = np.zeros((3, 16), np.int16)
    for name in ("train-000000", "heldout-000000"):
        arrays = {"image.codes": codes, "image.clip": np.arange(3), "audio.codes": codes}
        save_file(arrays, parts / f"{name}.safetensors", metadata={"made_from": "other codecs"})
    assert tokenize(folder, codecs, out).exit_code == 0
    assert out.read_bytes() == whole.read_bytes()


def test_the_transformer_trains_on_them(
    folder: Path, codecs: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "tokens.safetensors"
    assert tokenize(folder, codecs, out).exit_code == 0
    run = tmp_path / "run"
    train("transformer", "--tokens", out, "--out", run, "--preset", "tiny")
    assert metrics(run)[-1]["validation/all_audio_given_image"] > 0


def test_shards_of_another_size_or_not_whole_are_refused(
    folder: Path, codecs: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "tokens.safetensors"
    description = folder / shards.SET_NAME
    whole = description.read_text("utf-8")
    description.write_text(whole.replace('"height": 32', '"height": 64'), "utf-8")
    result = tokenize(folder, codecs, out)
    assert "64 x 32 pixels, 22050 Hz, 0.12 s, the codecs read 32 x 32 pixels" in result.stderr
    description.write_text(whole, "utf-8")
    (folder / "train-000000.jsonl").unlink()
    result = tokenize(folder, codecs, out)
    assert result.exit_code == 1
    assert "holds 7 of 11 clips; let `echoes-train prepare videos` finish" in result.stderr
    description.unlink()
    assert "is not a folder of shards" in tokenize(folder, codecs, out).stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no tar at all" * 99, "cannot be read: "),
        (bytes(10_240), "holds 0 clips, its list 4; remove both files"),
    ],
)
def test_a_damaged_shard_is_one_clear_line(
    folder: Path, codecs: dict[str, Path], tmp_path: Path, data: bytes, message: str
) -> None:
    tar = folder / "train-000001.tar"
    tar.write_bytes(data)
    result = tokenize(folder, codecs, tmp_path / "tokens.safetensors")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith(f"Error: the shard {tar} {message}")


def test_without_media_the_usage_is_told(codecs: dict[str, Path], tmp_path: Path) -> None:
    options = [f"--{stage}={run}" for stage, run in codecs.items()]
    result = CliRunner().invoke(main, ["tokenize", *options, "--out", str(tmp_path / "t")])
    assert result.exit_code == 2
    assert "--shards" in result.stderr


def test_rows_are_found_by_group_as_a_search_would_find_them() -> None:
    rng = np.random.default_rng(0)
    table = TokenTable(
        codes=np.zeros((60, 1), np.int16),
        group=rng.integers(-1, 9, 60).astype(np.int32),
        validation=rng.random(60) < 0.3,
    )
    for validation in (False, True):
        rows = table.rows_by_group(validation=validation)
        for group in range(9):
            expected = np.flatnonzero((table.group == group) & (table.validation == validation))
            np.testing.assert_array_equal(rows.get(group, []), expected)
        assert -1 not in rows
    nothing = dataclasses.replace(table, validation=np.ones(60, np.bool_))
    assert nothing.rows_by_group(validation=False) == {}
