"""``echoes-train metrics``: from folders to a report, or to one clear line."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import soundfile
import torch
from click.testing import CliRunner, Result
from onnx import TensorProto, helper

from echoes_training.av_metrics.divergence import inception_score, kl_softmax
from echoes_training.av_metrics.embedder import EmbedderSpec
from echoes_training.av_metrics.media import read_clip, read_picture
from echoes_training.cli import main
from echoes_training.evaluate.frechet import fit_gaussian, frechet_distance

RATE = 8000


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["metrics", *(str(a) for a in arguments)])


def report(out: Path, *arguments: object) -> dict[str, Any]:
    result = run(*arguments, "--out", out)
    assert result.exit_code == 0, result.output
    return json.loads(out.read_text("utf-8"))


def refused(tmp_path: Path, *arguments: object) -> str:
    """What the command says: one line, status 1, and no report."""
    out = tmp_path / "refused.json"
    result = run(*arguments, "--out", out)
    assert result.exit_code == 1, result.output
    assert not out.exists()
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    return line


def save(path: Path, embeddings: np.ndarray | None, logits: np.ndarray | None = None) -> None:
    """Features of clips that are named 0, 1, ..."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for kind, rows in (("embedding", embeddings), ("logits", logits)):
        if rows is not None:
            arrays |= {f"clip{i:02}/{kind}": row for i, row in enumerate(rows)}
    np.savez(path, **arrays)


@pytest.fixture
def features(tmp_path: Path) -> dict[str, np.ndarray]:
    """Of 12 clips on both sides, in two folders of .npz files."""
    rng = np.random.default_rng(0)
    arrays = {
        "real": rng.standard_normal((12, 3, 4)),
        "made": rng.standard_normal((12, 3, 4)) + 1,
        "real_logits": 2 * rng.standard_normal((12, 5)),
        "made_logits": 2 * rng.standard_normal((12, 5)),
    }
    for side in ("real", "made"):
        save(tmp_path / side / "mine.npz", arrays[side], arrays[f"{side}_logits"])
    return arrays


def test_report_of_stored_features(features: dict[str, np.ndarray], tmp_path: Path) -> None:
    arguments = ("--generated", tmp_path / "made", "--reference", tmp_path / "real")
    numbers = report(tmp_path / "out.json", *arguments)
    fitted = [fit_gaussian(features[side].reshape(36, 4)) for side in ("real", "made")]
    frechet = numbers["frechet"]["mine"]
    assert frechet["value"] == pytest.approx(frechet_distance(*fitted))
    assert (frechet["n_generated"], frechet["rows_generated"], frechet["dimensions"]) == (12, 36, 4)
    kl = numbers["kl"]["mine"]
    assert kl["softmax"] == pytest.approx(
        kl_softmax(features["real_logits"], features["made_logits"])
    )
    assert kl["n_pairs"] == 12
    assert numbers["inception"]["mine"]["mean"] == pytest.approx(
        inception_score(features["made_logits"])[0]
    )
    assert numbers["score"] == {}
    assert any("36 rows for 4 dimensions" in line for line in numbers["cautions"])


def test_text_names_protocol_numbers_and_traps(
    features: dict[str, np.ndarray], tmp_path: Path
) -> None:
    result = run(
        *("--generated", tmp_path / "made", "--reference", tmp_path / "real"),
        *("--out", tmp_path / "out.json", "--clip-s", 5),
    )
    assert result.exit_code == 0, result.output
    for part in (
        "| FD mine, lower is better",
        "| KL mine, softmax, lower is better",
        "| IS mine, higher is better",
        "- pairs by file name: 12",
        "clips: the first 5 s",
        "KL(reference || generated)",
        "Before you compare with another table:",
        "clips are cut to 5 s; av-benchmark's tables have 8 s",
        "nothing is published under the name mine",
    ):
        assert part in result.stdout


def test_files_without_a_partner_are_named(features: dict[str, np.ndarray], tmp_path: Path) -> None:
    save(tmp_path / "few" / "mine.npz", features["made"][:11], features["made_logits"][:11])
    arguments = ("--generated", tmp_path / "few", "--reference", tmp_path / "real")
    numbers = report(tmp_path / "all.json", *arguments)
    assert numbers["pairing"]["without_generated"] == ["clip11"]
    assert numbers["frechet"]["mine"]["n_reference"] == 12
    assert any("11 generated, 12 reference files" in line for line in numbers["cautions"])


def test_several_sounds_of_one_reference(features: dict[str, np.ndarray], tmp_path: Path) -> None:
    arrays = {}
    for i, row in enumerate(features["made_logits"]):
        arrays |= {f"clip{i:02}-{k}/logits": row + k * np.arange(5) for k in range(2)}
    (tmp_path / "twice").mkdir()
    np.savez(tmp_path / "twice" / "mine.npz", **arrays)
    arguments = ("--generated", tmp_path / "twice", "--reference", tmp_path / "real")
    numbers = report(tmp_path / "out.json", *arguments, "--pair-by", r"(.+)-\d")
    both = [
        kl_softmax(features["real_logits"], features["made_logits"] + k * np.arange(5))
        for k in range(2)
    ]
    assert numbers["kl"]["mine"]["softmax"] == pytest.approx(np.mean(both))
    assert any("several generated sounds for one" in line for line in numbers["cautions"])


def test_caches_of_av_benchmark(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> dict[str, torch.Tensor]:
        return {f"clip{i:02}": torch.randn(*shape, generator=generator) for i in range(10)}

    caches = {}
    for side in ("real", "made"):
        (tmp_path / side).mkdir()
        pooled, scores = draw(2048), draw(527)
        caches[side] = {
            "vggish_features": draw(8, 128),
            "pann_features": {n: {"2048": pooled[n], "logits": scores[n]} for n in pooled},
            "passt_features_embed": draw(768),
            "passt_logits": draw(527),
            "imagebind_video" if side == "real" else "imagebind_audio": draw(1024),
        }
        for name, values in caches[side].items():
            torch.save(values, tmp_path / side / f"{name}.pth")
    arguments = ("--generated", tmp_path / "made", "--reference", tmp_path / "real")
    numbers = report(tmp_path / "out.json", *arguments)
    assert set(numbers["frechet"]) == {"vggish", "panns", "passt"}
    assert numbers["frechet"]["vggish"]["rows_generated"] == 80
    assert set(numbers["kl"]) == set(numbers["inception"]) == {"panns", "passt"}
    stacked = [
        torch.stack(list(caches[side][name].values()))
        for side, name in (("made", "imagebind_audio"), ("real", "imagebind_video"))
    ]
    expected = torch.cosine_similarity(*stacked).mean().item()
    assert numbers["score"]["imagebind"]["cosine"] == pytest.approx(expected, abs=1e-6)
    assert numbers["score"]["imagebind"]["called"] == "ImageBind score"


def test_a_cache_that_runs_code_is_refused(tmp_path: Path) -> None:
    for side in ("real", "made"):
        (tmp_path / side).mkdir()
        torch.save({"clip": Path("x")}, tmp_path / side / "vggish_features.pth")
    said = refused(tmp_path, "--generated", tmp_path / "made", "--reference", tmp_path / "real")
    assert "vggish_features.pth is not a cache of av-benchmark" in said


class Levels(torch.nn.Module):
    """Mean power of 4 parts, and two scores."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        power = (x * x).reshape(x.shape[0], 4, -1).mean(dim=2)
        return power, torch.stack([power.sum(dim=1), -power.sum(dim=1)], dim=1) - 3


def torchscript(folder: Path) -> Path:
    with torch.no_grad():
        traced = torch.jit.trace(Levels(), torch.zeros(1, 400), check_trace=False)
    traced.save(str(folder / "levels.pt"))
    return describe(folder, "levels", model="levels.pt", outputs=["embedding", "logits"])


def onnx_network(folder: Path) -> Path:
    """(1, 400) to the mean powers of 4 parts."""
    nodes = [
        helper.make_node("Mul", ["x", "x"], ["square"]),
        helper.make_node("Reshape", ["square", "shape"], ["parts"]),
        helper.make_node("ReduceMean", ["parts"], ["y"], axes=[2], keepdims=0),
    ]
    shape = helper.make_tensor("shape", TensorProto.INT64, [3], [1, 4, 100])
    graph = helper.make_graph(
        nodes,
        "levels",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 400])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [shape],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / "levels.onnx")
    return describe(folder, "onnx", model="levels.onnx", outputs=["embedding"])


def describe(folder: Path, name: str, **values: object) -> Path:
    path = folder / f"{name}.json"
    defaults = {"name": name, "medium": "sound", "sample_rate": RATE, "n_samples": 400}
    path.write_text(json.dumps(defaults | values))
    return path


@pytest.fixture
def sounds(tmp_path: Path) -> tuple[Path, Path]:
    """Twelve short sounds on each side; the last generated one is silent."""
    rng = np.random.default_rng(1)
    folders = tmp_path / "made", tmp_path / "real"
    for folder in folders:
        folder.mkdir()
        for i in range(12):
            loud = 0 if (folder.name, i) == ("made", 11) else 0.3
            sound = loud * rng.standard_normal((500, 2))
            soundfile.write(folder / f"clip{i:02}.wav", sound, RATE, subtype="FLOAT")
    return folders


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_networks_of_the_users_own(sounds: tuple[Path, Path], tmp_path: Path) -> None:
    made, real = sounds
    embedders = [torchscript(tmp_path), onnx_network(tmp_path)]
    arguments: list[object] = ["--generated", made, "--reference", real]
    for path in embedders:
        arguments += ["--embedder", path]
    cached = [*arguments, "--cache", tmp_path / "cache", "--clip-s", 0.05]
    numbers = report(tmp_path / "out.json", *cached)
    rows = {}
    for folder in sounds:
        clips = [read_clip(p, RATE, 0.05).reshape(4, 100) for p in sorted(folder.iterdir())]
        rows[folder] = np.square(np.stack(clips)).mean(axis=2)
    expected = frechet_distance(*(fit_gaussian(rows[folder]) for folder in (real, made)))
    for name in ("levels", "onnx"):
        assert numbers["frechet"][name]["value"] == pytest.approx(expected, rel=1e-4)
    assert set(numbers["kl"]) == set(numbers["inception"]) == {"levels"}
    assert numbers["sets"]["generated"]["n_silent"] == 1
    assert numbers["embedders"]["onnx"]["generated"]["clip_s"] == "0.05"
    said = "\n".join(numbers["cautions"])
    assert "1 generated sounds are silent" in said
    assert len(list((tmp_path / "cache").iterdir())) == 4

    for path in embedders:  # Without networks, what was kept is all there is.
        path.with_suffix(".pt").unlink(missing_ok=True)
    again = run(*cached, "--out", tmp_path / "again.json")
    assert again.exit_code == 1
    (tmp_path / "stored").mkdir()
    for i, path in enumerate(sorted((tmp_path / "cache").glob("onnx-*"))):
        folder = tmp_path / "stored" / str(i)
        folder.mkdir()
        path.rename(folder / "onnx.safetensors")
    stored = ("--generated", tmp_path / "stored" / "0", "--reference", tmp_path / "stored" / "1")
    value = report(tmp_path / "stored.json", *stored)["frechet"]["onnx"]["value"]
    assert value == pytest.approx(expected, rel=1e-4)


def test_sounds_are_read_as_the_protocol_says(tmp_path: Path) -> None:
    stereo = np.random.default_rng(0).standard_normal((1000, 2)) * 0.1 + 0.2
    soundfile.write(tmp_path / "x.wav", stereo, RATE, subtype="FLOAT")
    clip = read_clip(tmp_path / "x.wav", RATE, 0.05)
    mono = stereo.mean(axis=1)
    np.testing.assert_allclose(clip, (mono - mono.mean())[:400], atol=1e-6)
    assert len(read_clip(tmp_path / "x.wav", RATE, 8.0)) == 1000


def test_pictures_are_read_as_clip_reads_them(tmp_path: Path) -> None:
    coarse = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    picture = cv2.resize(coarse, (90, 60), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(tmp_path / "x.png"), picture[:, :, ::-1])
    image = pytest.importorskip("PIL.Image")
    short = image.fromarray(picture).resize((48, 32), image.Resampling.BICUBIC)
    middle = np.asarray(short, dtype=np.float32)[:, 8:40] / 255
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    expected = (middle - mean) / std
    ours = read_picture(tmp_path / "x.png", 32, mean, std).transpose(1, 2, 0)
    assert np.abs((ours - expected) * std).max() < 1.01 / 255


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"medium": "video"}, "medium must be sound or picture, got video"),
        ({"model": "net.pkl"}, "model must be .onnx, .pt or .ts, got "),
        ({"outputs": ["features"]}, "outputs must be embedding, logits or -, "),
        ({"outputs": ["-"]}, "outputs must be embedding, logits or -, "),
        ({"sample_rate": "high"}, "sample_rate must be 1000 or more, in Hz, got high"),
        ({"sample_rate": 0}, "sample_rate must be 1000 or more, in Hz, got 0"),
        ({"colour": 1}, "there is no setting colour"),
    ],
)
def test_unusable_descriptions_are_one_line(
    change: dict[str, object], sentence: str, features: object, tmp_path: Path
) -> None:
    path = describe(tmp_path, "x", **({"model": "x.onnx", "outputs": ["embedding"]} | change))
    sides = ("--generated", tmp_path / "made", "--reference", tmp_path / "real")
    assert sentence in refused(tmp_path, *sides, "--embedder", path)


def test_unusable_media_and_features_are_one_line(
    features: dict[str, np.ndarray], tmp_path: Path
) -> None:
    made, real = tmp_path / "made", tmp_path / "real"
    (tmp_path / "empty").mkdir()
    said = refused(tmp_path, "--generated", tmp_path / "empty", "--reference", real)
    assert "has 0 sounds and no embeddings; give an --embedder of sounds" in said
    save(tmp_path / "p" / "mine.npz", None, np.full((12, 5), 0.2))
    said = refused(tmp_path, "--generated", tmp_path / "p", "--reference", real)
    assert "the logits all lie in [0, 1], as probabilities do" in said
    save(tmp_path / "d" / "mine.npz", features["made"][:, :, :3])
    said = refused(tmp_path, "--generated", tmp_path / "d", "--reference", real)
    assert "do not fit: 3 dimensions and 4" in said
    save(tmp_path / "n" / "mine.npz", np.full((12, 4), np.nan))
    said = refused(tmp_path, "--generated", tmp_path / "n", "--reference", real)
    assert "clip00 is empty or has values that are not finite" in said
    save(tmp_path / "o" / "other.npz", features["made"])
    said = refused(tmp_path, "--generated", tmp_path / "o", "--reference", real)
    assert "nothing can be compared" in said
    (tmp_path / "z").mkdir()
    (tmp_path / "z" / "mine.npz").write_text("no zip")
    said = refused(tmp_path, "--generated", tmp_path / "z", "--reference", real)
    assert "holds no embeddings that can be read" in said
    said = refused(tmp_path, "--generated", made, "--reference", real, "--pair-by", "(")
    assert "--pair-by '(' is not a regular expression" in said
    for suffix in (".wav", ".flac"):
        soundfile.write(tmp_path / "empty" / f"a{suffix}", np.zeros(10), RATE)
    said = refused(tmp_path, "--generated", tmp_path / "empty", "--reference", real)
    assert "have one name, and names tell which files belong together" in said


def test_description_of_a_picture_network_has_clips_own_numbers(tmp_path: Path) -> None:
    path = tmp_path / "clip.json"
    values = {"name": "clip", "medium": "picture", "model": "v.onnx", "outputs": ["embedding"]}
    path.write_text(json.dumps(values))
    spec = EmbedderSpec.read(path)
    assert (spec.size, spec.mean[0], spec.std[2]) == (224, 0.48145466, 0.27577711)
    assert spec.model == tmp_path / "v.onnx"
