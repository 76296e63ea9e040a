"""The recipe of docs/train.md: three commands from one's own pairs and a bundle to a bundle."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file
from tests.training.runs import invoke, metrics

from echoes_rt import Echoes
from echoes_rt.cli import main as runtime
from echoes_training.bundles import open_source, read_weights
from echoes_training.checkpoint import newest
from echoes_training.data.tokens import TokenCache

Export = Callable[..., Result]
N_PAIRS = 6


@pytest.fixture(scope="module")
def table(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of one colour each, and the tone that belongs to it; one row is broken."""
    folder = tmp_path_factory.mktemp("pairs")
    mel = open_source(str(tiny_bundle)).manifest.mel
    time = np.arange(mel.n_samples) / mel.sample_rate
    with (folder / "pairs.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "audio", "label"])
        for i in range(N_PAIRS):
            picture = np.full((40, 50, 3), 40 * i, np.uint8)
            cv2.imwrite(str(folder / f"{i}.png"), picture)
            tone = 0.3 * np.sin(2 * np.pi * (300 + 700 * i) * time)
            soundfile.write(folder / f"{i}.wav", tone, mel.sample_rate)
            rows.writerow([f"{i}.png", f"{i}.wav", "tone"])
        rows.writerow(["missing.png", "0.wav", "tone"])
    return folder / "pairs.csv"


@pytest.fixture(scope="module")
def tokens(table: Path, tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tokens") / "tokens.safetensors"
    result = invoke("tokenize", "--pairs", table, "--codecs", tiny_bundle, "--out", out)
    assert f"transformer --tokens {out} --start-from {tiny_bundle}" in result.stderr
    assert result.exit_code == 0, result.output
    assert "missing.png" in result.stderr
    return out


def test_codes_are_those_of_the_bundle(table: Path, tokens: Path, tiny_bundle: Path) -> None:
    cache = TokenCache.load(tokens)
    assert len(cache.groups) == N_PAIRS
    (held,) = np.flatnonzero(cache.image.validation)
    number = int(cache.groups[cache.image.group[held]].removeprefix("pair:"))
    echoes = Echoes.load(tiny_bundle, device="cpu", threads=1)
    ours = echoes.encode_image(table.parent / f"{number}.png")
    np.testing.assert_array_equal(cache.image.codes[held], ours.ravel())


def test_three_commands_make_a_bundle(
    table: Path, tokens: Path, tiny_bundle: Path, export: Export, tmp_path: Path
) -> None:
    run, out = tmp_path / "run", tmp_path / "mine"
    result = invoke(
        *("transformer", "--tokens", tokens, "--start-from", tiny_bundle, "--out", run),
        *("--preset", "tiny", "--set", "loop.steps=40", "--set", "loop.log_every=1"),
        *("--set", "loop.learning_rate=0.01"),
    )
    assert result.exit_code == 0, result.output
    lines = metrics(run)
    following = result.stderr.splitlines()[-1].partition("next: echoes-export ")[2].split()
    assert following[:-2] == ["bundle", "--base", str(tiny_bundle), "--transformer", str(run)]
    losses = [line["train/loss"] for line in lines if "train/loss" in line]
    assert np.mean(losses[-8:]) < 0.9 * np.mean(losses[:8])

    result = export("bundle", "--base", tiny_bundle, "--out", out, transformer=run)
    assert result.exit_code == 0, result.output
    assert "NO" not in result.stdout
    base, mine = open_source(str(tiny_bundle)).manifest, open_source(str(out)).manifest
    assert mine.name == f"{base.name}-tuned"
    assert (mine.sampling, mine.license) == (base.sampling, base.license)
    assert mine.labels == {"tone": ["tone"]}
    said = CliRunner().invoke(runtime, ["info", str(out)]).stdout
    assert "\nknows     tone\n" in said
    assert f"\ncard      {out / 'README.md'}: " in said
    card, base_card = ((folder / "README.md").read_text("utf-8") for folder in (out, tiny_bundle))
    assert base_card.splitlines()[-1] in card.splitlines()
    before, after = (load_file(f / "weights.safetensors") for f in (tiny_bundle, out))
    changed = {key.split(".")[0] for key in before if not torch.equal(before[key], after[key])}
    assert changed == {"transformer"}
    sound = Echoes.load(out, device="cpu", threads=1).generate(table.parent / "1.png", seed=1)
    assert np.abs(sound.samples).max() > 0

    verified = export("verify", out, "--base", tiny_bundle, transformer=run)
    assert verified.exit_code == 0, verified.output


def test_training_begins_with_the_weights_of_the_bundle(
    tokens: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    """At a learning rate of 0 they stay what they were; the shape is the bundle's, too."""
    result = invoke(
        *("transformer", "--tokens", tokens, "--start-from", tiny_bundle, "--out", tmp_path / "r"),
        *("--preset", "tiny", "--set", "loop.learning_rate=0.0"),
    )
    assert result.exit_code == 0, result.output
    folder = newest(tmp_path / "r")
    assert folder is not None
    trained = load_file(folder / "transformer.safetensors")
    bundle = open_source(str(tiny_bundle)).bundle
    assert bundle is not None
    stored = read_weights(bundle)[1]["transformer"]
    assert trained.keys() == stored.keys()
    for key, tensor in stored.items():
        torch.testing.assert_close(trained[key], tensor, rtol=0, atol=0)
    settings = json.loads((tmp_path / "r" / "config.json").read_text())["config"]
    assert settings["loop"]["steps"] == 1


@pytest.mark.parametrize(
    ("options", "status", "sentence"),
    [
        (["--codecs", "nowhere"], 1, "Error: nowhere is neither a training run nor a bundle: "),
        (["--codecs", "{run}"], 1, "is a training run, expected a bundle"),
        ([], 2, "pass --image-codec and --mel-codec, or --codecs alone"),
        (["--codecs", "x", "--image-codec", "."], 2, "or --codecs alone"),
        (["--codecs", "x", "--index", "{table}"], 2, "pass one of --index, --shards and --pairs"),
    ],
)
def test_sources_that_are_unusable_or_contradict_are_refused(
    options: list[str],
    status: int,
    sentence: str,
    table: Path,
    runs: dict[str, Path],
    tmp_path: Path,
) -> None:
    filled = [option.format(run=runs["transformer"], table=table) for option in options]
    result = invoke("tokenize", "--pairs", table, *filled, "--out", tmp_path / "t.safetensors")
    assert result.exit_code == status
    assert sentence in result.stderr
    assert not (tmp_path / "t.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--base", "{base}"], "--base alone would export the same bundle; give a run with it"),
        (["--random", "tiny", "--base", "{base}"], "give it without runs and --base"),
        ([], "missing --image-codec, --mel-codec, --vocoder, --transformer; give it, or --base"),
    ],
)
def test_exports_without_a_source_are_a_usage_error(
    arguments: list[str], sentence: str, export: Export, tiny_bundle: Path, tmp_path: Path
) -> None:
    filled = [argument.format(base=tiny_bundle) for argument in arguments]
    result = export("bundle", *filled, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert sentence in result.stderr.replace("\n", " ")
    assert not (tmp_path / "out").exists()


def test_a_run_of_other_sizes_does_not_fit_the_base(
    export: Export, runs: dict[str, Path], tiny_bundle: Path, tmp_path: Path
) -> None:
    other = tmp_path / "run"
    other.mkdir()
    config = json.loads((runs["vocoder"] / "config.json").read_text())
    config["config"]["mel"]["f_max"] = 3000.0
    (other / "config.json").write_text(json.dumps(config))
    for folder in runs["vocoder"].glob("step-*"):
        (other / folder.name).symlink_to(folder)
    result = export("bundle", "--base", tiny_bundle, "--out", tmp_path / "out", vocoder=other)
    assert result.exit_code == 1
    assert "were trained on different mels" in result.stderr


def test_untrained_models_of_a_preset(export: Export, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = export("bundle", "--random", "tiny", "--out", out, "--sampling", "steps=3")
    assert result.exit_code == 0, result.output
    assert "NO" not in result.stdout
    manifest = open_source(str(out)).manifest
    assert (manifest.name, manifest.sampling.steps) == ("echoes-tiny-random", 3)
