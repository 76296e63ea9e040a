from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.training import runs

from echoes_rt.format.mel import MelSpec
from echoes_training.data.audio import ANYWHERE, AudioStore, resampled
from echoes_training.data.index import Clip
from echoes_training.stages.media import Draws
from echoes_training.stages.tokenize import spread


def clip(recording: str, label: str | None, start: float = 0.0) -> Clip:
    facts = {"label": label, "category": "any", "start": start}
    return runs.clip(audio=f"{recording}.wav", recording=recording, **facts)


def test_a_long_recording_counts_no_more_than_a_short_one() -> None:
    long = [clip("long", "sea", float(start)) for start in range(50)]
    draws = Draws([*long, clip("short", "sea"), clip("bell", "bell")], labelled_share=1.0)
    rng = np.random.default_rng(0)
    drawn = [draws.clip(rng).recording for _ in range(4000)]
    assert drawn.count("bell") / 4000 == pytest.approx(1 / 2, abs=0.05)
    assert drawn.count("long") / 4000 == pytest.approx(1 / 4, abs=0.05)
    assert drawn.count("short") / 4000 == pytest.approx(1 / 4, abs=0.05)


def test_clips_without_a_label_are_drawn_as_asked() -> None:
    members = [clip(f"{i}", None) for i in range(9)] + [clip("bell", "bell")]
    rng = np.random.default_rng(0)
    for share, expected in ((0.5, 0.55), (1.0, 1.0), (0.0, 0.1)):
        drawn = [Draws(members, share).clip(rng).label for _ in range(2000)]
        assert drawn.count("bell") / 2000 == pytest.approx(expected, abs=0.05)


def test_a_short_sound_is_heard_again_after_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = MelSpec()
    store = AudioStore(spec)
    short = np.zeros(spec.n_samples, np.float32)
    short[:2000] = 0.5
    monkeypatch.setattr(store, "get", lambda path, start: short)
    views = [store.augmented("a", 0.0, np.random.default_rng(i), ANYWHERE) for i in range(40)]
    heard = [float((np.abs(view) > 1e-3).mean()) / (2000 / spec.n_samples) for view in views]
    assert 0.5 < sum(share > 2 for share in heard) / 40 < 0.95
    assert len({np.flatnonzero(np.abs(view) > 1e-3).size for view in views}) > 10  # speeds differ
    assert all(np.abs(view).max() <= 1 for view in views)


def test_views_of_a_label_are_shared_among_its_recordings_and_a_quarter_is_rendered() -> None:
    recorded = [*(clip("long", "bell", float(start)) for start in range(9)), clip("short", "bell")]
    others = [clip(f"take{i}", "bell") for i in range(8)]
    rendered = [replace(clip(f"tune{i}", "bell"), source="soundfont") for i in range(30)]
    views = Counter(view.recording[:4] for view in spread([*recorded, *others, *rendered], 400))
    assert views == {"long": 30, "shor": 30, "take": 240, "tune": 100}
    few = Counter(view.recording[:4] for view in spread([*recorded, *rendered], 400))
    assert few == {"long": 40, "shor": 40, "tune": 320}
    assert len({view.start for view in spread(recorded, 100) if view.recording == "long"}) == 9
    assert Counter(map(id, spread(rendered, 60))) == {id(member): 2 for member in rendered}


@pytest.mark.parametrize("speed", [0.94, 1.06])
def test_a_sound_that_goes_on_does_not_end_in_silence(speed: float) -> None:
    whole = np.sin(np.arange(20_000) * 0.1).astype(np.float32)
    short = np.where(np.arange(20_000) < 10_000, whole, 0)
    whole[-80:] = 0  # of a file that is a little shorter than a clip
    both = torch.from_numpy(np.stack([whole, short]))
    found = resampled(both, torch.tensor([[speed], [speed]], dtype=torch.float64)).numpy()
    assert np.abs(found[0, -200:]).max() > 0.5
    assert not found[1, -8000:].any()
    expected = np.interp(np.arange(9_000) * speed, np.arange(20_000), short)
    np.testing.assert_allclose(found[1, :9_000], expected, atol=1e-5)
