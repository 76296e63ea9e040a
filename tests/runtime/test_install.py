"""The install line that errors name is one that works where echoes-rt came from."""

import json
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner

from echoes_rt import demo_server
from echoes_rt.bundle import Bundle
from echoes_rt.demo_server import DemoServer
from echoes_rt.errors import BackendError
from echoes_rt.install import clone, install_line, missing_extra

ORIGINS: dict[str, tuple[Any, str, Path | None]] = {
    "an index": (None, 'pip install "echoes-rt[video]"', None),
    "a clone": (
        {"url": "file:///home/me/my%20echoes", "dir_info": {}},
        'pip install "echoes-rt[video] @ file:///home/me/my%20echoes"',
        Path("/home/me/my echoes"),
    ),
    "a clone, editable": (
        {"url": "file:///home/me/my%20echoes", "dir_info": {"editable": True}},
        'pip install -e "/home/me/my echoes[video]"',
        Path("/home/me/my echoes"),
    ),
    "a wheel": (
        {"url": "https://example.com/e.whl", "archive_info": {}},
        'pip install "echoes-rt[video] @ https://example.com/e.whl"',
        None,
    ),
    "a repository": (
        {"url": "https://example.com/e", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
        'pip install "echoes-rt[video] @ git+https://example.com/e@abc"',
        None,
    ),
}


def installed(monkeypatch: pytest.MonkeyPatch, origin: Any) -> None:
    """As pip leaves it, which says whence in a file, or not at all."""
    found = SimpleNamespace(read_text=lambda _: None if origin is None else json.dumps(origin))
    monkeypatch.setattr(metadata, "distribution", lambda _: found)


@pytest.mark.parametrize("origin", ORIGINS)
def test_extra_is_installed_from_where_the_package_came(
    origin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, line, folder = ORIGINS[origin]
    installed(monkeypatch, stored)
    assert install_line("video") == line
    assert clone() == folder


def test_page_that_is_built_after_the_installation_is_found(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, {"url": tmp_path.as_uri(), "dir_info": {}})
    monkeypatch.setattr(demo_server, "PAGE_FOLDER", tmp_path / "site-packages")
    bundle = Bundle.open(tiny_bundle)
    with pytest.raises(BackendError, match="make web"):
        DemoServer(bundle, "127.0.0.1", 0)
    page = tmp_path / "runtime/echoes_rt/web/index.html"
    page.parent.mkdir(parents=True)
    page.touch()
    with DemoServer(bundle, "127.0.0.1", 0) as server:
        assert server.routes["/"] == page


def test_checkout_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(_: str) -> Any:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "distribution", nothing)
    assert install_line("video") == 'pip install ".[video]" in it'


def test_a_module_of_ours_that_is_missing_is_a_bug() -> None:
    with pytest.raises(ModuleNotFoundError):
        missing_extra(ModuleNotFoundError(name="echoes_rt.nothing"), "training")


@pytest.mark.parametrize(
    ("program", "arguments", "extra"),
    [
        ("training", ("vocoder", "--index", "i.jsonl", "--out", "run"), "training"),
        ("training", ("cost",), "training"),
        ("export", ("verify", "bundle"), "export"),
        ("export", ("quantize", "bundle"), "export"),
    ],
)
def test_commands_without_their_extra_are_one_line(
    program: str,
    arguments: tuple[str, ...],
    extra: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    main: click.Command = pytest.importorskip(f"echoes_{program}.cli").main
    for name in [*sys.modules]:
        if name.startswith(("echoes_training.", "echoes_export.")):
            monkeypatch.delitem(sys.modules, name)
    for name in ("torch", "onnx"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bundle").mkdir()
    (tmp_path / "i.jsonl").touch()
    result = CliRunner().invoke(main, [*arguments])
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1), result.output
    assert f"[{extra}]" in result.stderr
