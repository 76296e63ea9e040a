"""A whole evaluation of the tiny bundle, as a function and by the command line."""

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from echoes_rt import BundleError, Echoes
from echoes_rt.errors import InputError
from echoes_training.cli import main
from echoes_training.data.index import read_index, write_index
from echoes_training.evaluate.dials import PARTS
from echoes_training.evaluate.evaluation import (
    EvaluateConfig,
    Evaluation,
    decode_audio,
    jobs_of,
)
from echoes_training.evaluate.figures import draw_sheet
from echoes_training.evaluate.judge import ClassifierConfig, PictureClassifierConfig, cached_judge
from echoes_training.evaluate.report import evaluate
from echoes_training.evaluate.table import tables

CONFIG = EvaluateConfig(
    pictures_per_label=2,
    sounds_per_label=2,
    n_seeds=3,
    n_pairs=5,
    ranked_per_label=1,
    n_streams=2,
    batch_size=4,
    threads=1,
    classifier=ClassifierConfig(width=4, embedding_dim=4, steps=4, batch_size=8),
    picture_classifier=PictureClassifierConfig(width=2, embedding_dim=4, steps=4, batch_size=8),
)


@pytest.fixture(scope="module")
def echoes(tiny_bundle: Path) -> Echoes:
    return Echoes.load(tiny_bundle, "cpu", threads=1)


def test_batches_give_what_the_verbs_give(evaluation: Evaluation) -> None:
    echoes = evaluation.echoes
    dials = {"steps": 3, "temperature": 0.9}
    for rows in (evaluation.some_pictures(1), evaluation.some_sounds(1)):
        jobs = jobs_of(rows, 3, first_seed=7)
        assert [job.seed for job in jobs] == [7, 8, 9, 10, 11, 12]
        tokens = [*evaluation.answers(jobs, dials)]
        assert [len(part) for part in tokens] == [4, 2]
        if rows[0].image:
            made = np.concatenate([*evaluation.made_sounds(jobs, dials)])
            for job, sound in zip(jobs, made, strict=True):
                alone = echoes.generate(job.clip.image, seed=job.seed, **dials)
                np.testing.assert_allclose(sound, alone.samples, atol=1e-5)
        else:
            made = np.concatenate([echoes.decode_image(part) for part in tokens])
            for job, picture in zip(jobs, made, strict=True):
                given = evaluation.samples(job.clip)
                alone = echoes.generate(given, seed=job.seed, **dials)
                np.testing.assert_array_equal(picture, alone.pixels)


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
    sounds = decode_audio(echoes, codes)
    assert np.isnan(sounds).all(axis=1).tolist() == [False, True, False]
    assert np.isfinite(sounds[[0, 2]]).all()


@pytest.fixture(scope="module")
def evaluation(
    echoes: Echoes, media_index: Path, tmp_path_factory: pytest.TempPathFactory
) -> Evaluation:
    cache = tmp_path_factory.mktemp("cache")
    return Evaluation(echoes, read_index(media_index), cache, {}, CONFIG)


def test_report_has_every_number_and_is_the_same_each_time(evaluation: Evaluation) -> None:
    report = evaluate(evaluation)
    assert json.loads(json.dumps(report)) == json.loads(json.dumps(evaluate(evaluation)))
    assert {*PARTS} <= report.keys()
    assert report["bundle"]["name"] == "echoes-tiny"
    assert len(report["bundle"]["manifest_sha256"]) == 64
    assert report["labels"] == ["high", "low"]
    assert report["n_taught"] == report["n_taught_pictures"] == 8
    counts = {"real": 2, "vocoder": 2, "codec": 2, "generated": 6}
    counts |= {"real_pictures": 2, "image_codec": 2, "pictures": 6}
    for name, n in counts.items():
        assert report[name]["n"] == n
        assert np.sum(report[name]["confusion"]) == n
    decoded = [
        evaluation.echoes.decode_image(evaluation.image_codes([c]))[0]
        for c in evaluation.heldout_pictures
    ]
    real = np.concatenate([*evaluation.real_pictures(evaluation.heldout_pictures)])
    error = np.abs(real.astype(float) - np.stack(decoded)).mean()
    assert report["image_codec"]["pixel_error"] == pytest.approx(error, abs=0.01)
    sounds = report["generated"]["sounds"]
    assert [sound["seed"] for sound in sounds] == list(range(6))
    assert {sound["picture"].split("/")[-1] for sound in sounds} == {"high5.png", "low5.png"}
    recognised = np.mean([sound["label"] == sound["heard_as"] for sound in sounds])
    assert report["generated"]["overall"] == pytest.approx(recognised, abs=1e-4)
    assert report["codebooks"]["audio"]["n_codes"] == 2 * 8
    assert report["codebooks"]["image"]["n_codes"] == 2 * 16
    assert report["loudness"]["n_generated"] == 6
    assert report["frechet"]["n_reference"] == 2
    assert report["frechet"]["real_train"]["n"] == 8
    assert report["frechet"]["generated"]["plain"] >= 0
    check_tables(tables(json.loads(json.dumps(report))))


def check_tables(lines: list[str]) -> None:
    """Markdown, one table for the accuracies and one for each task."""
    starts = [i for i, line in enumerate(lines) if line.startswith("| --")]
    assert len(starts) == 6
    for start in starts:
        table = lines[start - 1 :]
        rows = table[: table.index("") if "" in table else len(table)]
        assert len({line.count("|") for line in rows}) == 1
    assert "nan" not in " ".join(lines).replace("0 nan", "")


def test_only_the_parts_asked_for(evaluation: Evaluation, tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, parts=("generated",), n_seeds=1)
    partial = Evaluation(evaluation.echoes, evaluation.clips, tmp_path, {}, config)
    report = evaluate(partial)
    assert "real" in report
    assert {*PARTS} & report.keys() == {"generated"}
    assert not any(path.name.startswith("picture") for path in tmp_path.iterdir())


def test_sheet_has_a_row_for_each_label(evaluation: Evaluation, tmp_path: Path) -> None:
    draw_sheet(evaluation, tmp_path / "sheet.png")
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None
    assert sheet.shape[:2] == (2 * 175, 5 * 320)
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]


def arguments(index: Path, bundle: Path, folder: Path, *more: str) -> list[str]:
    return [
        *("evaluate", "--bundle", str(bundle), "--index", str(index)),
        *("--cache", str(folder / "cache"), "--out", str(folder / "report.json")),
        *("--threads", "1", "--device", "cpu", *more),
    ]


def test_command_writes_the_report(
    media_index: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "echoes_training.evaluate.evaluation.cached_judge",
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
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["|", "recognised", "|", "real", "|", "generated", "|"]
    assert f"{report['generated']['overall']:.3f}" in next(x for x in lines if "overall" in x)


def test_command_passes_every_dial_on(
    media_index: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {}

    def remember(evaluation: Evaluation) -> None:
        given.update(dataclasses.asdict(evaluation.config), sampling=evaluation.sampling)
        raise InputError("seen")

    monkeypatch.setattr("echoes_training.evaluate.report.evaluate", remember)
    more = ("--sounds-per-label", "3", "--pairs", "7", "--streams", "2", "--ranked-per-label", "4")
    dials = ("--guidance-schedule", "annealed", "--guidance-interval", "0.25", "0.75")
    result = CliRunner().invoke(main, arguments(media_index, tiny_bundle, tmp_path, *more, *dials))
    assert result.exit_code == 1
    assert given["parts"] == PARTS
    assert (given["sounds_per_label"], given["n_pairs"], given["n_streams"]) == (3, 7, 2)
    assert given["ranked_per_label"] == 4
    assert given["sampling"].guidance_schedule == "annealed"
    assert given["sampling"].guidance_interval == (0.25, 0.75)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--steps", "1001"), "steps must be a whole number in [1, 1000], got 1001"),
        (("--temperature", "11"), "temperature must be a number in [0, 10], got 11"),
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
