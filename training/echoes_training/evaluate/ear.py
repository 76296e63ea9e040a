"""An independent ear: YAMNet, calibrated to labels, hears what a sound is.

It shares no data, weights or loss with anything that is trained here, and must never be in a loss.
"""

import csv
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from echoes_rt.errors import InputError
from echoes_rt.install import install_line

# The front end of YAMNet (AudioSet, Apache-2.0): 25 ms frames every 10 ms, patches of 0.96 s.
RATE, WINDOW, HOP, FFT, PATCH = 16_000, 400, 160, 512, 96
N_MELS, LOW_HZ, HIGH_HZ = 64, 125.0, 7500.0
LOG_OFFSET = 0.001
SECONDS = 5.0
"""As much of a sound is heard, from its beginning."""

Samples = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """What was heard in sounds whose labels are known.

    Attributes:
        exact: share heard as the label, of those whose label the ear can judge.
        coarse: share heard as something of the label's family.
        per_label: (exact, coarse, sounds) of each label.
        confusion: by label, how often each thing was heard.
    """

    exact: float
    coarse: float
    per_label: dict[str, tuple[int, int, int]]
    confusion: dict[str, dict[str, int]]

    def scalars(self, prefix: str) -> dict[str, float]:
        return {f"{prefix}_exact": self.exact, f"{prefix}_coarse": self.coarse}


class Ear:
    """A folder with YAMNet (``.tflite``), its class map (``.csv``) and ``groups.json``.

    ``groups.json`` says which classes count as hearing which label, and how their scores are
    calibrated: ``heard`` has for each thing its YAMNet ``classes``, ``family`` and ``bias`` (one
    thing is ``nothing``); ``labels`` the thing that each is ``heard_as``, or null where it is not
    judged, and its ``family``; a thing's score is ``scale`` times the logit of its highest class
    score in any window, plus ``bias``; ``peak`` is that to which sounds are scaled.
    """

    def __init__(self, folder: Path) -> None:
        """Raises InputError if the folder lacks a part, or ai-edge-litert is not installed."""
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise InputError(f"--ear needs ai-edge-litert; {install_line('ear')}") from error
        try:
            self.groups: dict[str, Any] = json.loads((folder / "groups.json").read_text("utf-8"))
            with (folder / "yamnet_class_map.csv").open(encoding="utf-8", newline="") as file:
                names = [row["display_name"] for row in csv.DictReader(file)]
            self._net = Interpreter(str(folder / "yamnet_spectra_in.tflite"), num_threads=1)
            self._classes = {
                thing: [names.index(name) for name in group["classes"]]
                for thing, group in self.groups["heard"].items()
            }
            missing = {"peak", "scale", "labels"} - self.groups.keys()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"cannot read the ear in {folder}: {error!r}") from error
        if missing:
            raise InputError(f"{folder / 'groups.json'} lacks {', '.join(sorted(missing))}")
        self._net.allocate_tensors()
        self._input = self._net.get_input_details()[0]["index"]
        self._output = self._net.get_output_details()[0]["index"]
        self._filters = _mel_filters()
        self._window = np.hanning(WINDOW + 1)[:WINDOW]

    def check(self, labels: Sequence[str]) -> None:
        """Raises InputError if there are no labels, or some that the ear does not know."""
        if not labels:
            raise InputError("an ear needs labelled sounds; the index has none to judge")
        if unknown := sorted({*labels} - self.groups["labels"].keys()):
            raise InputError(
                f"the ear does not know the label {unknown[0]!r}; it knows "
                f"{', '.join(sorted(self.groups['labels']))}"
            )

    def evidence(self, samples: Samples, sample_rate: int) -> dict[str, float]:
        """The calibrated score of each thing that can be heard in (S,) samples."""
        scores = self._scores(self._prepared(samples, sample_rate)).max(axis=0)
        clipped = np.clip(scores, 0.002, 0.998)
        logits = np.log(clipped / (1 - clipped))
        return {
            thing: self.groups["scale"] * float(logits[indices].max())
            + self.groups["heard"][thing]["bias"]
            for thing, indices in self._classes.items()
        }

    @cached_property
    def things(self) -> tuple[str, ...]:
        """What may be heard: what any label sounds like, or nothing."""
        sounds = {known["heard_as"] for known in self.groups["labels"].values()}
        return tuple(sorted({"nothing", *sounds} - {None}))

    def hear(self, samples: Samples, sample_rate: int) -> str:
        """Which of ``things`` is heard in (S,) samples."""
        evidence = self.evidence(samples, sample_rate)
        return max(self.things, key=evidence.__getitem__)

    def judge(self, sounds: Sequence[tuple[str, Samples]], sample_rate: int) -> Verdicts:
        """What is heard in each (label, samples), among all labels of the ear and nothing."""
        self.check([label for label, _ in sounds])
        labels = self.groups["labels"]
        counts: dict[str, list[int]] = {}
        confusion: dict[str, Counter[str]] = {}
        for label, samples in sounds:
            heard = self.hear(samples, sample_rate)
            row = counts.setdefault(label, [0, 0, 0])
            row[0] += heard == labels[label]["heard_as"]
            row[1] += self.groups["heard"][heard]["family"] == labels[label]["family"]
            row[2] += 1
            confusion.setdefault(label, Counter())[heard] += 1
        judged = [row for label, row in counts.items() if labels[label]["heard_as"]]
        return Verdicts(
            exact=sum(row[0] for row in judged) / max(1, sum(row[2] for row in judged)),
            coarse=sum(row[1] for row in counts.values()) / max(1, len(sounds)),
            per_label={label: (row[0], row[1], row[2]) for label, row in sorted(counts.items())},
            confusion={label: dict(found) for label, found in sorted(confusion.items())},
        )

    def _prepared(self, samples: Samples, sample_rate: int) -> Samples:
        """At the ear's rate, of its length, and at one peak: loudness is not judged."""
        if sample_rate != RATE:
            samples = soxr.resample(samples, sample_rate, RATE)
        samples = samples[: int(SECONDS * RATE)]
        samples = np.pad(samples, (0, max(0, WINDOW + HOP * (PATCH - 1) - len(samples))))
        scaled = samples * (self.groups["peak"] / max(1e-6, float(np.abs(samples).max())))
        return np.asarray(scaled, np.float32)

    def _scores(self, samples: Samples) -> NDArray[np.float32]:
        """(patches, classes) in [0, 1], a patch every 0.48 s."""
        frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
        magnitudes = np.abs(np.fft.rfft(frames * self._window, FFT))
        log_mel = np.log(magnitudes @ self._filters + LOG_OFFSET).astype(np.float32)
        found = []
        for start in range(0, len(log_mel) - PATCH + 1, PATCH // 2):
            self._net.set_tensor(self._input, log_mel[None, start : start + PATCH])
            self._net.invoke()
            found.append(self._net.get_tensor(self._output).reshape(-1).copy())
        return np.array(found)


def _mel_filters() -> NDArray[np.float64]:
    """(FFT // 2 + 1, N_MELS) triangles on the HTK mel scale."""

    def mel(hz: NDArray[np.float64]) -> NDArray[np.float64]:
        return 1127.0 * np.log(1.0 + hz / 700.0)

    low, high = mel(np.array([LOW_HZ, HIGH_HZ]))
    edges = np.linspace(low, high, N_MELS + 2)
    bins = mel(np.linspace(0.0, RATE / 2, FFT // 2 + 1))[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    filters = np.clip(np.minimum(rising, falling), 0.0, None)
    filters[0] = 0.0
    return filters
