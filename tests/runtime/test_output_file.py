"""Files appear whole or not at all, and nothing is left beside them."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from echoes_rt.errors import EchoesError, InputError
from echoes_rt.io import leftovers, output_file
from echoes_rt.io.leftovers import ScratchFolder
from echoes_rt.io.output_file import check_place, replacing, written

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="permissions and locks of POSIX")

HOLD = """
import sys, time
from pathlib import Path
from echoes_rt.io.leftovers import ScratchFolder
from echoes_rt.io.output_file import replacing
folder = ScratchFolder()
with replacing(Path(sys.argv[1])) as partial:
    partial.write_bytes(b"half")
    print(folder.path, flush=True)
    time.sleep(60)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(path: Path, data: bytes = b"new") -> None:
    check_place(path)
    with replacing(path) as partial:
        partial.write_bytes(data)


def test_failure_leaves_the_old_file(tmp_path: Path) -> None:
    out = tmp_path / "out.bin"
    out.write_bytes(b"old")

    check_place(out)
    with pytest.raises(TypeError), replacing(out) as partial:
        partial.write_bytes("opened, but this is no bytes")  # type: ignore[arg-type]
    assert (names(tmp_path), out.read_bytes()) == (["out.bin"], b"old")


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444])
def test_replaced_file_keeps_its_mode(mode: int, tmp_path: Path) -> None:
    out = tmp_path / "out.bin"
    out.write_bytes(b"old")
    out.chmod(mode)
    write(out)
    assert (out.stat().st_mode & 0o777, out.read_bytes()) == (mode, b"new")


def test_new_file_has_the_mode_that_the_user_wants(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path / "out.bin")
    finally:
        os.umask(before)
    assert (tmp_path / "out.bin").stat().st_mode & 0o777 == 0o640


def test_file_and_folder_reach_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []

    def fsync(descriptor: int) -> None:
        is_folder = os.path.samestat(os.fstat(descriptor), tmp_path.stat())
        synced.append("folder" if is_folder else "file")
        assert (tmp_path / "out.bin").exists() == is_folder

    monkeypatch.setattr(os, "fsync", fsync)
    write(tmp_path / "out.bin")
    assert synced == ["file", "folder"]


@pytest.mark.parametrize("code", [errno.EBUSY, errno.EPERM])
def test_mount_point_is_written_in_place(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.bin"
    out.write_bytes(b"something longer")
    inode = out.stat().st_ino

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "replace", refuse)
    write(out)
    assert (out.read_bytes(), out.stat().st_ino, names(tmp_path)) == (b"new", inode, ["out.bin"])


def test_what_can_neither_be_replaced_nor_written_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out.bin").write_bytes(b"old")
    monkeypatch.setattr(output_file, "_is_mount_point", lambda _: True)
    check_place(tmp_path / "out.bin")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(InputError, match="neither be replaced nor written"):
        check_place(tmp_path / "out.bin")


def test_a_strangers_file_in_a_sticky_folder_cannot_be_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.bin"
    out.write_bytes(b"old")
    tmp_path.chmod(0o1777)
    assert output_file._is_replaceable(out)
    monkeypatch.setattr(os, "geteuid", lambda: out.stat().st_uid + 1)
    assert not output_file._is_replaceable(out)
    tmp_path.chmod(0o777)
    assert output_file._is_replaceable(out)


def test_folder_without_new_files_still_has_its_file_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container whose root is read-only and whose output is mounted."""
    out, scratch = tmp_path / "fixed" / "out.bin", tmp_path / "scratch"
    out.parent.mkdir()
    scratch.mkdir()
    out.write_bytes(b"old")
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    create, replace = output_file._create, Path.replace

    def refuse(partial: Path) -> tuple[Path, int]:
        if partial.parent == out.parent:
            raise OSError(errno.EROFS, "Read-only file system")
        return create(partial)

    def refuse_move(source: Path, target: Path) -> Path:
        if target.parent == out.parent:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return replace(source, target)

    monkeypatch.setattr(output_file, "_create", refuse)
    monkeypatch.setattr(Path, "replace", refuse_move)
    write(out)
    assert (out.read_bytes(), names(scratch)) == (b"new", [])
    with pytest.raises(InputError, match="Read-only file system"):
        check_place(out.with_name("other.bin"))


@pytest.mark.parametrize(
    "name",
    [
        *("folder", "missing/a.wav", "/proc/a.wav", "pipe", "circle"),
        *("n" * 256, "\uff46" * 84 + ".wav", "a\0b.wav"),
    ],
)
def test_places_that_cannot_be_written_are_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to("back")
    (tmp_path / "back").symlink_to("circle")
    with pytest.raises(InputError, match="cannot write"):
        check_place(tmp_path / name)


def test_checking_leaves_no_trace_and_a_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "a.bin")
    check_place(tmp_path / "link")
    assert names(tmp_path / "real") == []
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "a.bin").read_bytes() == b"new"


def test_next_process_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    out, scratch = tmp_path / "out.wav", tmp_path / "scratch"
    scratch.mkdir()
    (scratch / "echoes-rt-scratch-of-mine").mkdir()  # not one of ours: another number of letters
    (tmp_path / ".notes.partial.wav").write_bytes(b"a user's own")
    command = [sys.executable, "-c", HOLD, str(out)]
    environment = {**os.environ, "TMPDIR": str(scratch)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        assert folder.parent == scratch
        try:
            run_once(out, scratch)  # takes nothing from a living process
            assert folder.exists()
            assert len(list(tmp_path.glob(".*.partial.wav"))) == 2
        finally:
            process.send_signal(signal.SIGKILL)
    assert folder.exists()
    run_once(out, scratch)
    assert names(tmp_path) == [".notes.partial.wav", "out.wav", "scratch"]
    assert names(scratch) == ["echoes-rt-scratch-of-mine"]


def run_once(out: Path, scratch: Path) -> None:
    """What another process does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(scratch))
        with ScratchFolder():
            write(out)


def test_scratch_folder_outlives_a_forked_process() -> None:
    with ScratchFolder() as path:
        owner = ScratchFolder()
        child = os.fork()
        if child == 0:
            owner.remove()
            os._exit(0)
        os.waitpid(child, 0)
        assert owner.path.exists()
        owner.remove()
        assert not owner.path.exists()
    assert not path.exists()


def test_folder_that_was_taken_for_abandoned_is_made_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Another process may look between its making and its lock."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    hold, first = leftovers.hold, []

    def too_late(path: Path) -> int | None:
        if not first:
            first.append(path)
            leftovers.remove_abandoned([path])
        return hold(path)

    monkeypatch.setattr(leftovers, "hold", too_late)
    with ScratchFolder() as path:
        assert path.exists()
        assert path != first[0]


def test_no_place_for_temporary_files_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(EchoesError, match="no temporary folder can be made: No such file"):
        ScratchFolder()


def test_what_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(InputError, match=r"cannot write .*x: "),
        written(tmp_path / "file" / "x") as partial,
    ):
        partial.touch()
    with written(tmp_path / "new" / "x") as partial:
        partial.write_text("y")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["x"]
