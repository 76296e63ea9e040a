import http.client
import json
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from echoes_rt.bundle import Bundle
from echoes_rt.cli import main
from echoes_rt.demo_server import DemoServer
from echoes_rt.errors import BackendError, InputError


@pytest.fixture
def page(tmp_path: Path) -> Path:
    folder = tmp_path / "web"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html>", "utf-8")
    (folder / "assets" / "a-1.wasm").write_bytes(b"\0asm")
    (tmp_path / "secret.txt").write_text("secret", "utf-8")
    return folder


@pytest.fixture
def server(tiny_bundle: Path, page: Path) -> Iterator[DemoServer]:
    with DemoServer(Bundle.open(tiny_bundle), "127.0.0.1", 0, page) as server, serving(server):
        yield server


@contextmanager
def serving(server: DemoServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


def ask(
    server: DemoServer, path: str, method: str = "GET"
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection(server.server_name, server.server_port, timeout=10)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.msg, response.read()
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["/", "/index.html", "/?seed=3"])
def test_page_is_served_so_that_threads_are_allowed(server: DemoServer, path: str) -> None:
    status, headers, body = ask(server, path)
    assert (status, body) == (200, b"<!doctype html>")
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Cache-Control"] == "no-cache"
    assert "default-src 'self'" in headers["Content-Security-Policy"]


def test_web_assembly_has_its_type_and_may_be_kept(server: DemoServer) -> None:
    status, headers, body = ask(server, "/assets/a-1.wasm")
    assert (status, body) == (200, b"\0asm")
    assert headers["Content-Type"] == "application/wasm"
    assert "immutable" in headers["Cache-Control"]


def test_bundle_is_served_file_by_file(server: DemoServer, tiny_bundle: Path) -> None:
    manifest = json.loads(ask(server, "/bundle/manifest.json")[2])
    for entry in manifest["graphs"].values():
        _, headers, body = ask(server, f"/bundle/{entry['file']}?sha256={entry['sha256']}")
        assert body == (tiny_bundle / entry["file"]).read_bytes()
        assert "immutable" in headers["Cache-Control"]


def test_bundle_of_a_zip_is_there_as_long_as_the_server(
    tiny_bundle: Path, page: Path, tmp_path: Path
) -> None:
    archive = shutil.make_archive(str(tmp_path / "tiny"), "zip", tiny_bundle)
    with DemoServer(Bundle.open(archive), "127.0.0.1", 0, page) as server, serving(server):
        for name in ("manifest.json", "vocoder.onnx"):
            assert ask(server, f"/bundle/{name}")[::2] == (200, (tiny_bundle / name).read_bytes())


def test_head_has_no_body(server: DemoServer) -> None:
    status, headers, body = ask(server, "/", "HEAD")
    assert (status, headers["Content-Length"], body) == (200, "15", b"")


@pytest.mark.parametrize(
    "path",
    [
        "/secret.txt",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/assets/../../secret.txt",
        "//etc/passwd",
        "/assets",
        "/bundle/README.md",  # in the folder, but not in the manifest
        "/bundle/../manifest.json",
    ],
)
def test_nothing_else_is_served(server: DemoServer, path: str) -> None:
    status, headers, body = ask(server, path)
    assert status == 404
    assert b"secret" not in body
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_nothing_can_be_sent(server: DemoServer) -> None:
    assert ask(server, "/", "POST")[0] == 501


def test_file_that_is_gone_is_no_crash(server: DemoServer, page: Path) -> None:
    (page / "assets" / "a-1.wasm").unlink()
    assert ask(server, "/assets/a-1.wasm")[0] == 404
    assert ask(server, "/")[0] == 200


def test_taken_port_is_one_sentence(server: DemoServer, tiny_bundle: Path, page: Path) -> None:
    with pytest.raises(InputError, match=f"port {server.server_port} is taken; give another"):
        DemoServer(Bundle.open(tiny_bundle), "127.0.0.1", server.server_port, page)


def test_port_can_be_had_again_at_once(tiny_bundle: Path, page: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    with DemoServer(bundle, "127.0.0.1", 0, page) as server, serving(server):
        port = server.server_port
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
            while client.recv(1 << 16):  # until the server ends it: its side lingers then
                pass
    DemoServer(bundle, "127.0.0.1", port, page).server_close()


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "no such host"])
def test_foreign_address_is_one_sentence(host: str, tiny_bundle: Path, page: Path) -> None:
    with pytest.raises(InputError, match=f"host {host} is not an address of this machine"):
        DemoServer(Bundle.open(tiny_bundle), host, 0, page)


def test_ipv6_address_is_served(tiny_bundle: Path, page: Path) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with DemoServer(Bundle.open(tiny_bundle), "::1", 0, page) as server, serving(server):
        assert server.url == f"http://[::1]:{server.server_port}/"
        assert ask(server, "/")[0] == 200


def test_page_that_is_not_built_is_one_sentence(tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="the page is not built; in a clone run 'make web'"):
        DemoServer(Bundle.open(tiny_bundle), "127.0.0.1", 0, tmp_path)


def test_demo_in_a_clone_ends_in_one_line_that_says_what_to_do(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("echoes_rt.demo_server.PAGE_FOLDER", tmp_path / "not built")
    result = CliRunner().invoke(main, ["demo", "--port", "0", "--bundle", str(tiny_bundle)])
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert "in a clone run 'make web'" in line


def test_address_is_what_is_printed(
    tiny_bundle: Path, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: DemoServer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("echoes_rt.demo_server.PAGE_FOLDER", page)
    monkeypatch.setattr(DemoServer, "serve_forever", interrupt)
    result = CliRunner().invoke(main, ["demo", "--port", "0", "--bundle", str(tiny_bundle)])
    assert result.exit_code == 0
    assert result.stdout.startswith("http://localhost:")
    assert result.stderr == "Ctrl-C ends it\nended\n"


def test_port_out_of_range_is_a_usage_error() -> None:
    assert CliRunner().invoke(main, ["demo", "--port", "70000"]).exit_code == 2
