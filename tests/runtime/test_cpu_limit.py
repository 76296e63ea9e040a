"""Threads stay within what a container may use."""

import os
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
from tests.runtime.commands import Run

from echoes_rt import Echoes, cpu_limit, doctor
from echoes_rt.backends.device import Device
from echoes_rt.backends.session_start import SessionDials, start_session
from echoes_rt.commands.terminal import prepare_process
from echoes_rt.cpu_limit import BLAS_VARIABLES, cpu_quota, thread_limit, usable_cpus
from echoes_rt.errors import BackendError
from echoes_rt.profile import gemm_peak

V2, V1 = "cgroup2 cgroup rw", "cgroup cgroup rw,cpu,cpuacct"


def process(folder: Path, group: str, mount: str, kind: str) -> Path:
    """A stand-in for /proc/self: ``mount`` is the mount's root, which lies at ``folder``/fs."""
    proc = folder / "proc"
    proc.mkdir()
    (folder / "fs").mkdir()
    (proc / "cgroup").write_text(f"7:memory:/elsewhere\n{group}\n")
    other = "30 23 0:25 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
    (proc / "mountinfo").write_text(f"{other}\n31 23 0:26 {mount} {folder}/fs rw - {kind}\n")
    return proc


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_version_2_takes_the_strictest_group_above(tmp_path: Path) -> None:
    proc = process(tmp_path, "0::/pod/app", "/", V2)
    write(tmp_path / "fs/pod/app/cpu.max", "max 100000\n")
    assert cpu_quota(proc) is None
    write(tmp_path / "fs/pod/app/cpu.max", "350000 100000\n")
    write(tmp_path / "fs/pod/cpu.max", "150000 100000\n")
    assert cpu_quota(proc) == 1.5


def test_version_1_has_two_files(tmp_path: Path) -> None:
    proc = process(tmp_path, "3:cpu,cpuacct:/docker/1f", "/", V1)
    write(tmp_path / "fs/docker/1f/cpu.cfs_period_us", "50000\n")
    write(tmp_path / "fs/docker/1f/cpu.cfs_quota_us", "-1\n")
    assert cpu_quota(proc) is None
    write(tmp_path / "fs/docker/1f/cpu.cfs_quota_us", "100000\n")
    assert cpu_quota(proc) == 2


@pytest.mark.parametrize(
    ("group", "mount", "kind"),
    [
        ("3:cpu,cpuacct:/docker/1f", "/docker/1f", V1),  # no namespace: the mount shows it as root
        ("3:cpu,cpuacct:/docker/1f", "/", V1),  # the path is the host's and not to be seen here
        ("0::/", "/", V2),
        ("0::/../other", "/", V2),
    ],
)
def test_container_sees_its_group_as_the_root(
    group: str, mount: str, kind: str, tmp_path: Path
) -> None:
    proc = process(tmp_path, group, mount, kind)
    write(tmp_path / "fs/cpu.max", "100000 100000\n")
    assert cpu_quota(proc) == 1


@pytest.mark.parametrize("text", ["", "0 0", "a b", "100000", "1 2 3"])
def test_strange_files_are_no_quota(text: str, tmp_path: Path) -> None:
    proc = process(tmp_path, "0::/", "/", V2)
    write(tmp_path / "fs/cpu.max", text)
    assert cpu_quota(proc) is None


def test_without_linux_there_is_no_quota(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) is None


def pretend(monkeypatch: pytest.MonkeyPatch, quota: float | None, bound: int = 8) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(bound)), raising=False)
    monkeypatch.setattr(cpu_limit, "cpu_quota", lambda: quota)
    monkeypatch.setattr(doctor, "cpu_quota", lambda: quota)


@pytest.mark.parametrize(
    ("bound", "quota", "usable", "limit"),
    [
        (8, None, 8, None),
        (8, 2.5, 2, 2),
        (8, 0.5, 1, 1),
        (8, 16.0, 8, None),
        (3, None, 3, 3),
        (3, 2.0, 2, 2),
    ],
)
def test_limit_is_the_smaller_of_quota_and_cpus(
    bound: int, quota: float | None, usable: int, limit: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, quota, bound)
    assert (usable_cpus(), thread_limit()) == (usable, limit)


@pytest.mark.parametrize(
    ("asked", "quota", "threads"), [(None, 1.0, 1), (4, 1.0, 4), (None, None, 0)]
)
def test_sessions_keep_to_it(
    asked: int | None,
    quota: float | None,
    threads: int,
    tiny_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pretend(monkeypatch, quota)
    options: list[Any] = []
    monkeypatch.setattr(
        onnxruntime, "InferenceSession", lambda _, sess_options, **__: options.append(sess_options)
    )
    start_session(tiny_bundle / "step.onnx", Device(kind="cpu"), SessionDials(threads=asked))
    assert options[0].intra_op_num_threads == threads


@pytest.mark.parametrize(("quota", "callers"), [(1.0, 1), (2.0, 2)])
def test_graphs_are_called_at_once_where_it_allows(
    quota: float, callers: int, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, quota)
    assert Echoes.load(tiny_bundle, device="cpu").callers == callers


def test_command_keeps_numpys_library_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, 2.5)
    for name in BLAS_VARIABLES:
        monkeypatch.setenv(name, "5")
    monkeypatch.delenv(BLAS_VARIABLES[0])
    prepare_process()
    assert [os.environ[name] for name in BLAS_VARIABLES] == ["2", *["5"] * 4]


def test_profile_keeps_to_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, 2.5)
    asked: list[int] = []

    def note(threads: int) -> None:
        asked.append(threads)
        raise BackendError("enough")

    monkeypatch.setattr(gemm_peak, "gemm_peak", note)
    run("profile", "--device", "cpu", "-q")
    assert asked == [2]


def test_doctor_names_the_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, 1.5)
    assert str(doctor.examine()["cpu"]).endswith(
        "8 logical cores, a quota of 1.5 CPUs; threads by default: 1"
    )
