"""The numbers that people look at first, as Markdown tables."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from echoes_training.evaluate.dials import PICTURE_SERIES, SOUND_SERIES

if TYPE_CHECKING:
    from echoes_training.evaluate.listen import Row

Rows = list[list[str]]


def tables(report: dict[str, Any]) -> list[str]:
    """The lines of a report, ready to be pasted."""
    lines = markdown(_recognised(report))
    if "ear" in report["real"]:
        lines = [*markdown(_by_ear(report)), "", *lines]
    lines += ["", *_plain_lines(report)]
    tasks: tuple[tuple[str, Callable[[dict[str, Any]], Rows]], ...] = (
        ("unknown", _called_unknown),
        ("unknown", _sounds_of_unknown),
        ("cogenerated", _cogenerated),
        ("inpainted", _inpainted),
        ("diversity", _diversity),
        ("ranked", _ranked),
        ("seams", _seams),
    )
    for name, rows_of in tasks:
        if report.get(name):
            lines += ["", *markdown(rows_of(report[name]))]
    return lines


def listened(rows: "Sequence[Row]", gflop: float, n_codes: int) -> list[str]:
    """A table of what is left of real sounds, the shares of each label, and what decoding costs."""
    head = ["heard by the independent ear", "exact", "coarse", "Frechet distance", "in tune"]
    table: Rows = [head]
    for row in rows:
        shares = [_share(value) for value in (row.heard.exact, row.heard.coarse)]
        table.append([row.name, *shares, _decimal(row.frechet, 1), _share(row.in_tune)])
    by_label: Rows = [["exact of sounds", *(row.name for row in rows)]]
    for label in rows[0].heard.per_label:
        counts = [row.heard.per_label[label] for row in rows]
        by_label.append([label.replace("_", " "), *(f"{exact}/{n}" for exact, _, n in counts)])
    cost = f"{n_codes} codes a clip; mel decoder and vocoder: {gflop:.2f} GFLOP a clip"
    return [*markdown(table), "", *markdown(by_label), "", cost]


def markdown(rows: Rows) -> list[str]:
    """A table whose first row is its head; all but the first column are numbers."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * width if i == 0 else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    return [line(rows[0]), line(rule), *(line(row) for row in rows[1:])]


def _recognised(report: dict[str, Any]) -> Rows:
    names = [name for name in (*SOUND_SERIES, *PICTURE_SERIES) if name in report]
    rows = [["recognised", *(name.replace("_", " ") for name in names)]]
    for label in report["labels"]:
        row = [_share(report[name]["per_label"].get(label)) for name in names]
        rows.append([label.replace("_", " "), *row])
    for key in ("balanced", "overall"):
        rows.append([key, *(_share(report[name][key]) for name in names)])
    return [*rows, ["n", *(str(report[name]["n"]) for name in names)]]


def _by_ear(report: dict[str, Any]) -> Rows:
    """The headline: what an ear heard that nothing of the bundle has met."""
    rows = [["heard by the independent ear", "exact", "coarse", "sounds"]]
    for name in SOUND_SERIES:
        if name in report:
            found = report[name]["ear"]
            shares = [_share(found[key]) for key in ("exact", "coarse")]
            rows.append([name.replace("_", " "), *shares, str(report[name]["n"])])
    return rows


def _plain_lines(report: dict[str, Any]) -> list[str]:
    distances = {k: v for k, v in report["frechet"].items() if isinstance(v, dict)}
    lines = [
        "Frechet distance: "
        + ", ".join(
            f"{k} {v['plain']:.2f} (balanced {v['balanced']:.2f})" for k, v in distances.items()
        )
    ]
    if codec := report.get("image_codec"):
        lines.append(
            f"Picture codec: mean error {codec['pixel_error']:.1f} of 255, "
            f"of each picture's mean colour alone {codec['pixel_error_of_mean_colour']:.1f}"
        )
    for name, use in report.get("codebooks", {}).items():
        lines.append(
            f"{name} codebook: {use['used']} of {use['codebook_size']} used, "
            f"perplexity {use['perplexity']:.1f}"
        )
    if "loudness" in report:
        lines.append(_loudness_line(report["loudness"]))
    return lines


def _loudness_line(loudness: dict[str, Any]) -> str:
    ranges = [
        f"{name} {loudness[name]['rms_dbfs']['min']:.1f} to {loudness[name]['rms_dbfs']['max']:.1f}"
        for name in ("real", "generated")
    ]
    faults = ", ".join(
        f"{loudness[key]} {key.replace('_', ' ')}"
        for key in ("silent", "too_loud", "clipped", "nan")
    )
    return f"RMS in dBFS: {', '.join(ranges)}; of {loudness['n_generated']} generated: {faults}"


def _called_unknown(scores: dict[str, Any]) -> Rows:
    splits = scores["called_unknown"]
    rows = [["pictures called unknown", *splits]]
    labels = sorted({name for found in splits.values() for name in found["known"]["by_name"]})
    for label in labels:
        shares = [found["known"]["by_name"].get(label) for found in splits.values()]
        rows.append([label.replace("_", " "), *map(_share, shares)])
    for title, group in (("all labels", "known"), ("categories of no label", "others")):
        rows.append([title, *(_share(found[group]["share"]) for found in splits.values())])
        rows.append([f"n, {title}", *(str(found[group]["n"]) for found in splits.values())])
    return rows


def _sounds_of_unknown(scores: dict[str, Any]) -> Rows:
    heard = scores["heard"]
    head = f"heard by the {heard['by']} for {heard['n']} pictures of no label"
    counts = sorted(heard["counts"].items(), key=lambda item: (-item[1], item[0]))
    rows = [[name.replace("_", " "), _share(count / heard["n"])] for name, count in counts]
    return [[head, "share"], *rows]


def _cogenerated(scores: dict[str, Any]) -> Rows:
    head = [f"{scores['n']} pairs from nothing", "agree", "by chance"]
    head += [f"effective labels {where}" for where in ("heard", "seen", "in pairs that agree")]
    spreads = [f"{scores[key]['effective']:.1f}" for key in ("sounds", "pictures", "agreeing")]
    return [head, ["", _share(scores["agree"]), _share(scores["by_chance"]), *spreads]]


def _inpainted(scores: dict[str, Any]) -> Rows:
    columns = ("real", "codec", "filled", "same_label", "other_label")
    head = [f"middle third of {scores['n']} sounds", *(name.replace("_", " ") for name in columns)]
    rows = [head]
    for title, key in (("heard in it: the clip's label", "inside"), ("clip recognised", "whole")):
        rows.append([title, *(_share(scores[key].get(name)) for name in columns)])
    distances = [scores["distance_db"].get(name) for name in columns]
    return [*rows, ["log-mel distance to the real one, dB", *(_decimal(d, 1) for d in distances)]]


def _diversity(scores: dict[str, Any]) -> Rows:
    names = [name for name, group in scores.items() if group]
    keys = {"embedding": "embeddings", "log_mel_db": "log-mels, dB"}
    return [
        ["mean distance in a group", *names],
        *([title, *(_decimal(scores[n][key], 2) for n in names)] for key, title in keys.items()),
        ["groups", *(str(scores[name]["n_groups"]) for name in names)],
    ]


def _ranked(scores: dict[str, Any]) -> Rows:
    media = list(scores.values())
    rows = [[f"recognised, of {media[0]['n_candidates']}", *scores]]
    for key in ("average", "best", "any"):
        rows.append([key, *(_share(medium[key]) for medium in media)])
    return [*rows, ["n", *(str(medium["n"]) for medium in media)]]


def _seams(scores: dict[str, Any]) -> Rows:
    rows = [[f"spectral flux in {scores['n']} long sounds, dB", "median", "95 %", "frames"]]
    for name in ("windows", "chunks", "elsewhere"):
        if (flux := scores[name]) is not None:
            values = [_decimal(flux["median_db"], 2), _decimal(flux["p95_db"], 2)]
            rows.append([name, *values, str(flux["n_frames"])])
    return rows


def _share(value: float | None) -> str:
    return _decimal(value, 3)


def _decimal(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
