"""A whole evaluation of the tiny bundle, as a function and by the command line."""

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from echoes_rt import BundleError, Echoes
from echoes_training.cli import main
from echoes_training.data.index import read_index, write_index
from echoes_training.evaluate import chain
from echoes_training.evaluate.chain import Job
from echoes_training.evaluate.classifier import ClassifierConfig, cached_judge
from echoes_training.evaluate.figures import draw_report, draw_sheet
from echoes_training.evaluate.report import EvaluateConfig, Evaluation, evaluate

CONFIG = EvaluateConfig(
    pictures_per_label=2,
    n_seeds=3,
    batch_size=4,
    threads=1,
    classifier=ClassifierConfig(width=4, embedding_dim=4, steps=4, batch_size=8),
)


@pytest.fixture(scope="module")
def echoes(tiny_bundle: Path) -> Echoes:
    return Echoes.load(tiny_bundle, "cpu", threads=1)


def test_batches_give_what_generate_gives(echoes: Echoes, media_index: Path) -> None:
    pictures = sorted({clip.image for clip in read_index(media_index) if clip.image})[:2]
    jobs = [Job(picture=picture, seed=seed) for picture in pictures for seed in (0, 7)]
    sampling = echoes.sampling(8, {"steps": 3, "temperature": 0.9})
    made = np.concatenate([*chain.generate(echoes, jobs, sampling, batch_size=3)])
    for job, sound in zip(jobs, made, strict=True):
        alone = echoes.generate(job.picture, seed=job.seed, steps=3, temperature=0.9)
        np.testing.assert_allclose(sound, alone.samples, atol=1e-5)


def test_a_sound_that_the_runtime_refuses_is_nan_and_spares_the_others(
    echoes: Echoes, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = np.zeros((3, 8), dtype=np.int32)
    codes[1] = 5
    decode = echoes.decode_audio

    def refuse(given: np.ndarray) -> np.ndarray:
        if (given == 5).any():
            raise BundleError("samples that are not numbers")
        return decode(given)

    monkeypatch.setattr(echoes, "decode_audio", refuse)
    sounds = chain.decode_audio(echoes, codes)
    assert np.isnan(sounds).all(axis=1).tolist() == [False, True, False]
    assert np.isfinite(sounds[[0, 2]]).all()


@pytest.fixture(scope="module")
def evaluation(
    echoes: Echoes, media_index: Path, tmp_path_factory: pytest.TempPathFactory
) -> Evaluation:
    cache = tmp_path_factory.mktemp("cache")
    sampling = echoes.bundle.manifest.sampling
    return Evaluation(echoes, read_index(media_index), cache, sampling, CONFIG)


def test_report_has_every_number_and_is_the_same_each_time(evaluation: Evaluation) -> None:
    report = evaluate(evaluation)
    assert json.loads(json.dumps(report)) == json.loads(json.dumps(evaluate(evaluation)))
    assert report["bundle"]["name"] == "echoes-tiny"
    assert len(report["bundle"]["manifest_sha256"]) == 64
    assert report["labels"] == ["high", "low"]
    assert report["n_taught"] == 8
    for name, n in {"real": 2, "vocoder": 2, "codec": 2, "generated": 6}.items():
        assert report[name]["n"] == n
        assert np.sum(report[name]["confusion"]) == n
    sounds = report["generated"]["sounds"]
    assert [sound["seed"] for sound in sounds] == list(range(6))
    assert {sound["picture"].split("/")[-1] for sound in sounds} == {"high4.png", "low4.png"}
    recognised = np.mean([sound["label"] == sound["heard_as"] for sound in sounds])
    assert report["generated"]["overall"] == pytest.approx(recognised, abs=1e-4)
    assert report["codebooks"]["audio"]["n_codes"] == 2 * 8
    assert report["codebooks"]["image"]["n_codes"] == 2 * 16
    assert report["loudness"]["n_generated"] == 6
    assert report["frechet"]["n_reference"] == 2
    assert report["frechet"]["real_train"]["n"] == 8
    assert report["frechet"]["generated"]["plain"] >= 0


def test_only_the_parts_asked_for(evaluation: Evaluation, tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, parts=("generated",), n_seeds=1)
    partial = Evaluation(evaluation.echoes, evaluation.clips, tmp_path, evaluation.sampling, config)
    report = evaluate(partial)
    assert "real" in report
    assert "generated" in report
    assert not {"vocoder", "codec", "codebooks"} & report.keys()
    draw_report(report, tmp_path / "report.png")
    assert cv2.imread(str(tmp_path / "report.png")) is not None


def test_sheet_has_a_row_for_each_label(evaluation: Evaluation, tmp_path: Path) -> None:
    draw_sheet(evaluation, tmp_path / "sheet.png")
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None
    assert sheet.shape[:2] == (2 * 175, 4 * 320)
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]


def arguments(index: Path, bundle: Path, folder: Path, *more: str) -> list[str]:
    return [
        *("evaluate", "--bundle", str(bundle), "--index", str(index)),
        *("--cache", str(folder / "cache"), "--out", str(folder / "report.json")),
        *("--threads", "1", "--device", "cpu", *more),
    ]


def test_command_writes_report_and_figure(
    media_index: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "echoes_training.evaluate.report.cached_judge",
        lambda cache, rows, labels, store, _: cached_judge(
            cache, rows, labels, store, CONFIG.classifier
        ),
    )
    more = ("--seeds", "1", "--steps", "2", "--part", "generated", "--part", "codebooks")
    result = CliRunner().invoke(main, arguments(media_index, tiny_bundle, tmp_path, *more))
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert report["settings"]["sampling"]["steps"] == 2
    assert report["settings"]["parts"] == ["generated", "codebooks"]
    assert (tmp_path / "report.png").is_file()
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["recognised", "real", "generated"]
    assert f"{report['generated']['overall']:.3f}" in next(x for x in lines if "overall" in x)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--steps", "9"), "steps must be a whole number in [1, 8], got 9"),
        (("--temperature", "11"), "temperature must be in [0, 10], got 11"),
        (("--out", "nowhere/report.json"), "there is no folder nowhere"),
        (("--bundle", "nothing"), "no bundle 'nothing'"),
    ],
)
def test_bad_options_are_one_line_before_any_work(
    media_index: Path, tiny_bundle: Path, tmp_path: Path, more: tuple[str, ...], message: str
) -> None:
    result = CliRunner().invoke(main, arguments(media_index, tiny_bundle, tmp_path, *more))
    assert result.exit_code == 1
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_an_index_without_labels_is_refused(
    media_index: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "index.jsonl"
    write_index(bare, [dataclasses.replace(c, label=None) for c in read_index(media_index)])
    result = CliRunner().invoke(main, arguments(bare, tiny_bundle, tmp_path))
    assert result.exit_code == 1
    assert "labelled sounds of two or more labels" in result.stderr
