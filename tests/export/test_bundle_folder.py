"""A bundle that is replaced is there at every moment, the old one or the new."""

import errno
import os
from pathlib import Path

import pytest

from echoes_export.bundle.folder import appearing
from echoes_rt.errors import InputError


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder that is in the way."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "old").touch()
    return folder


def content(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def fill(out: Path) -> None:
    with appearing(out) as partial:
        assert content(out) == ["old"]
        (partial / "new").touch()


def test_what_was_there_is_replaced_as_a_whole(out: Path) -> None:
    fill(out)
    assert content(out.parent) == ["bundle", "new"]
    assert out.stat().st_mode & 0o777 == 0o755


def test_link_to_a_bundle_stays_one(out: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    link = tmp_path_factory.mktemp("elsewhere") / "link"
    link.symlink_to(out)
    fill(link)
    assert content(out.parent) == ["bundle", "new"]
    assert [*link.parent.iterdir()] == [link]
    assert link.is_symlink()


@pytest.mark.parametrize("failing", [1, 2])
def test_failing_rename_leaves_what_was_there(
    failing: int, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_at(monkeypatch, {failing})
    with pytest.raises(InputError, match=r"bundle cannot be written: Device or resource busy$"):
        fill(out)
    assert content(out.parent) == ["bundle", "old"]


def test_old_bundle_that_cannot_be_put_back_is_named_and_kept(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_at(monkeypatch, {2, 3})
    with pytest.raises(InputError, match="; what was there is now at ") as caught:
        fill(out)
    assert content(Path(str(caught.value).rpartition(" now at ")[2])) == ["old"]


def fail_at(monkeypatch: pytest.MonkeyPatch, calls: set[int]) -> None:
    """Makes some calls of Path.rename fail, counted from 1."""
    rename = Path.rename
    made: list[Path] = []

    def fail(path: Path, target: Path) -> Path:
        made.append(path)
        if len(made) in calls:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
