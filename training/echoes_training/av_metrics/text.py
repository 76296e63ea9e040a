"""A report for people, as Markdown."""

from typing import Any

from echoes_training.av_metrics.protocol import PUBLISHED
from echoes_training.evaluate.table import markdown

Lines = list[str]


def text_report(report: dict[str, Any]) -> Lines:
    protocol = report["protocol"]
    lines = [*_numbers(report), ""]
    for name in ("generated", "reference"):
        lines.append(f"- {name}: {_set_line(report['sets'][name])}")
    lines.append(f"- pairs by file name: {report['pairing']['n_pairs']}")
    lines.append(f"- clips: the first {protocol['clip_s']:g} s; {protocol['sounds']}")
    lines += [f"- {key}: {protocol[key]}" for key in _definitions(report)]
    lines += [
        f"- {name}: {known.what}"
        for name in report["embedders"]
        if (known := PUBLISHED.get(name)) is not None
    ]
    if report["cautions"]:
        lines += ["", "Before you compare with another table:"]
        lines += [f"- {line}" for line in report["cautions"]]
    return lines


def _numbers(report: dict[str, Any]) -> Lines:
    rows = [["metric", "value", "N generated", "N reference"]]
    for name, scores in report["frechet"].items():
        sizes = [str(scores["n_generated"]), str(scores["n_reference"])]
        rows.append([f"{_frechet_name(name)}, lower is better", f"{scores['value']:.4f}", *sizes])
    for name, scores in report["kl"].items():
        size = str(scores["n_pairs"])
        for kind in ("softmax", "sigmoid", "specvqgan"):
            rows.append([f"KL {name}, {kind}, lower is better", f"{scores[kind]:.4f}", size, size])
    for name, scores in report["inception"].items():
        value = f"{scores['mean']:.4f} +- {scores['std']:.4f}"
        rows.append([f"IS {name}, higher is better", value, str(scores["n"]), "-"])
    for scores in report["score"].values():
        value = f"{scores['cosine']:.4f}"
        rows.append(
            [f"{scores['called']}, higher is better", value, str(scores["n_pairs"]), "pictures"]
        )
    return markdown(rows)


def _frechet_name(name: str) -> str:
    known = PUBLISHED.get(name)
    return known.metric if known and known.metric else f"FD {name}"


def _set_line(scores: dict[str, Any]) -> str:
    line = f"{scores['n']} files of {scores['folder']}"
    if (duration := scores["duration_s"]) is None:
        return f"{line}, embeddings alone"
    rates = ", ".join(f"{rate} Hz" for rate in scores["sample_rates"])
    return f"{line}, {duration['min']:g} to {duration['max']:g} s at {rates}"


def _definitions(report: dict[str, Any]) -> Lines:
    names = [name for name in ("frechet", "inception", "score") if report[name]]
    return names + (["kl_softmax", "kl_sigmoid", "kl_specvqgan"] if report["kl"] else [])
