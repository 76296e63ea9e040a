"""The command makes a bundle that the runtime can use, or says in one line why not."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from echoes_export.bundle.models import Models
from echoes_export.bundle.weights_file import rounded
from echoes_rt import Echoes
from echoes_rt.bundle import Bundle
from echoes_training.config import from_dict
from echoes_training.models.transformer import MaskedTransformer, TransformerConfig

Export = Callable[..., Result]

VERIFIED = 9 + 2 * (1 + 2 * 2)
"""Modules; and for each target its logits and two loops, with a context and without."""


def test_runtime_makes_a_sound_with_it(bundle_path: Path) -> None:
    echoes = Echoes.load(bundle_path, device="cpu", threads=1)
    picture = np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8)
    sound = echoes.generate(picture, seed=1)
    assert sound.samples.shape == (echoes.bundle.manifest.mel.n_samples,)
    assert 0 < np.abs(sound.samples).max() <= 1
    assert (sound.sampling.steps, sound.sampling.guidance_scale) == (3, 1.5)
    assert sound.sampling.guidance_interval == (0.0, 0.75)


def test_manifest_says_what_was_asked(bundle_path: Path, models: Models) -> None:
    manifest = Bundle.open(bundle_path).manifest
    assert manifest.name == "echoes-test"
    assert manifest.labels == {"bell": ["church bell", "hand bell"]}
    assert (manifest.image, manifest.mel, manifest.tokens) == (
        models.image,
        models.mel,
        models.layout,
    )
    assert {entry.precision for entry in manifest.graphs.values()} == {"fp16"}
    assert "| transformer |" in (bundle_path / "README.md").read_text()


def test_command_prints_the_tolerance_table(exported: tuple[Path, str]) -> None:
    said = exported[1]
    verified, rounding = said.split("What storing the weights in fp16 changes:")
    assert verified.split()[:5] == ["graph", "metric", "value", "limit", "ok"]
    for text in (verified, rounding):
        assert "\nvocoder " in text
    assert verified.count("yes") == VERIFIED
    assert "NO" not in verified


def test_bundle_is_a_checkpoint(bundle_path: Path, models: Models) -> None:
    path = bundle_path / "weights.safetensors"
    with safe_open(path, framework="pt") as file:
        config = json.loads(file.metadata()["models"])["transformer"]
    prefix = "transformer."
    weights = {
        key.removeprefix(prefix): tensor
        for key, tensor in load_file(path).items()
        if key.startswith(prefix)
    }
    module = MaskedTransformer(from_dict(TransformerConfig, config), models.layout).eval()
    module.load_state_dict(weights)
    tokens = torch.randint(0, models.layout.vocab_size + 1, (2, models.layout.n_tokens))
    torch.testing.assert_close(module(tokens), rounded(models, "fp16").transformer(tokens))


def test_files_hold_nothing_of_this_machine(bundle_path: Path) -> None:
    for path in bundle_path.iterdir():
        data = path.read_bytes()
        for trace in (b".py", b"/home", b"/root", b"site-packages", bytes(bundle_path.parent)):
            assert trace not in data, path.name


def test_verify_accepts_the_runs_it_came_from(
    export: Export, bundle_path: Path, runs: dict[str, Path]
) -> None:
    result = export("verify", bundle_path, **runs)
    assert result.exit_code == 0, result.output
    assert result.stdout.count("yes") == VERIFIED - 1  # confidence is of no run


def test_verify_refuses_other_weights(
    export: Export, bundle_path: Path, runs: dict[str, Path], models: Models, tmp_path: Path
) -> None:
    other = shutil.copytree(runs["transformer"], tmp_path / "transformer")
    (weights,) = other.glob("step-*/transformer.safetensors")
    tensors = load_file(weights)
    tensors["audio.head.bias"][0] = 0.7
    save_file(tensors, weights)
    result = export("verify", bundle_path, **(runs | {"transformer": other}))
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: out of tolerance: logits_audio; ")
    assert result.stderr.count("\n") == 1
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("logits_audio")]
    assert line.endswith("NO")


def refused(export: Export, tmp_path: Path, *arguments: object, **runs: Path) -> str:
    """What the command says; it must be one line, and leave nothing."""
    before = sorted(tmp_path.rglob("*"))
    result = export("bundle", *arguments, **runs)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before
    return str(result.stderr)


Run = dict[str, Path]


def missing(runs: Run, folder: Path) -> Run:
    return {"transformer": folder}


def swapped(runs: Run, folder: Path) -> Run:
    return {"image_codec": runs["mel_codec"]}


def untrained(runs: Run, folder: Path) -> Run:
    folder.mkdir()
    shutil.copy(runs["vocoder"] / "config.json", folder)
    return {"vocoder": folder}


def damaged(runs: Run, folder: Path) -> Run:
    shutil.copytree(runs["vocoder"], folder)
    (weights,) = folder.glob("step-*/vocoder.safetensors")
    weights.write_bytes(weights.read_bytes()[:1000])
    return {"vocoder": folder}


def of_another_grid(runs: Run, folder: Path) -> Run:
    """The row and column vectors do not fit either, which is found first."""
    shutil.copytree(runs["transformer"], folder)
    config = json.loads((folder / "config.json").read_text())
    config["config"]["layout"]["image"] = {"height": 2, "width": 8, "codebook_size": 32}
    (folder / "config.json").write_text(json.dumps(config))
    return {"transformer": folder}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (missing, "is not a training run: cannot read its config.json"),
        (swapped, "is a run of mel_codec, expected one of image_codec"),
        (untrained, "has no checkpoint; train it first"),
        (damaged, "cannot be loaded: "),
        (of_another_grid, "cannot be loaded: "),
    ],
)
def test_unusable_runs_are_refused(
    change: Callable[[Run, Path], Run], sentence: str, export: Export, runs: Run, tmp_path: Path
) -> None:
    given = runs | change(runs, tmp_path / "run")
    assert sentence in refused(export, tmp_path, "--out", tmp_path / "out", **given)


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        ("steps", "--sampling needs KEY=VALUE with one of steps, guidance_scale, temperature, "),
        ("pace=3", "--sampling needs KEY=VALUE with one of steps, "),
        ("steps=many", "--sampling steps=many: invalid literal for int"),
        ("guidance_interval=0.5,0.2", "guidance_interval must be two rising shares in [0, 1]"),
        ("guidance_interval=0.5", "--sampling guidance_interval=0.5: "),
        (
            "temperature=-1",
            "--sampling temperature=-1: temperature must be a number in [0, 10], got -1",
        ),
    ],
)
def test_unusable_sampling_is_refused(
    assignment: str, sentence: str, export: Export, runs: dict[str, Path], tmp_path: Path
) -> None:
    arguments = ("--out", tmp_path / "out", "--sampling", assignment)
    assert sentence in refused(export, tmp_path, *arguments, **runs)


def test_taken_place_is_refused(export: Export, runs: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    said = refused(export, tmp_path, "--out", out, **runs)
    assert said == f"Error: {out} exists already; pass --overwrite or another --out\n"
    said = refused(export, tmp_path, "--out", out, "--overwrite", **runs)
    assert said == f"Error: {out} exists and is not a bundle; give another --out\n"
