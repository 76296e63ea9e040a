"""The server of the page gives its own files to this machine alone, and no client can end it."""

import http.client
import json
import shutil
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from echoes_rt import demo_server
from echoes_rt.bundle import Bundle
from echoes_rt.cli import main
from echoes_rt.demo_server import DemoServer
from echoes_rt.errors import InputError


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


def raw(server: DemoServer, request: bytes) -> bytes:
    """What comes back until the server ends the connection."""
    with socket.create_connection((server.server_name, server.server_port), timeout=10) as client:
        client.sendall(request)
        answer = b""
        while data := client.recv(1 << 16):
            answer += data
        return answer


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:80", 200),
        ("127.0.0.1:8000", 200),
        ("192.168.1.7", 200),  # an address cannot be turned round
        ("[::1]:8000", 200),
        (socket.gethostname(), 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example:8000", 421),
        ("localhost:80, evil.example", 421),
        ("[evil.example]", 421),
        ("1.2.3.4@evil.example", 421),
        ("", 421),
    ],
)
@pytest.mark.parametrize("path", ["/", "/bundle/manifest.json"])
def test_stranger_who_turns_a_name_round_reads_nothing(
    path: str, host: str, status: int, server: DemoServer
) -> None:
    answer = raw(
        server, f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    )
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert (b"echoes-tiny" in answer) == (status == 200 and path != "/")


@pytest.mark.parametrize("hosts", [b"", b"Host: localhost\r\nHost: evil.example\r\n"])
def test_request_has_one_host(hosts: bytes, server: DemoServer) -> None:
    request = b"GET / HTTP/1.1\r\n" + hosts + b"Connection: close\r\n\r\n"
    assert raw(server, request).startswith(b"HTTP/1.1 421 ")


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET http://[ HTTP/1.1",
        b"GET //[::1 HTTP/1.1",
        b"GET /%00 HTTP/1.1",
        b"GET /\x80\xff HTTP/1.1",
        b"GET /\x1b[31m HTTP/1.1",
        b"GET / HTTP/9.9",
        b"GET / HTTP/1." + b"9" * 5000,
        b"GET / HTTP/1.1.1",
        b"\x16\x03\x01\x02\0\x01",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1",
        b"GET / and more",
    ],
)
def test_malformed_requests_leave_no_traceback(
    request_line: bytes, server: DemoServer, capfd: pytest.CaptureFixture[str]
) -> None:
    answer = raw(server, request_line + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert b" 200 " not in answer.split(b"\r\n")[0]
    assert ask(server, "/")[0] == 200
    assert capfd.readouterr().err == ""


def test_clients_that_go_away_leave_no_traceback(
    server: DemoServer, capfd: pytest.CaptureFixture[str]
) -> None:
    for request in (b"GET /bundle/weights.safetensors HTTP/1.1\r\nHost: a\r\n\r\n", b"GET / HT"):
        for _ in range(5):
            client = socket.create_connection((server.server_name, server.server_port), timeout=10)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sendall(request)
            client.close()  # with a reset
    assert ask(server, "/")[0] == 200
    assert capfd.readouterr().err == ""


def test_body_is_no_next_request(server: DemoServer) -> None:
    body = b"GET /bundle/manifest.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    request = f"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    assert raw(server, request.encode() + body).count(b"HTTP/1.1 ") == 1


def test_connections_are_bounded_in_number_and_time(
    server: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = (server.server_name, server.server_port)
    monkeypatch.setattr(demo_server, "MAX_CONNECTIONS", 3)
    slow = [socket.create_connection(address, timeout=10) for _ in range(3)]
    for client in slow:
        client.sendall(b"GET / HTTP/1.1\r\nX-a: ")
    while len(server.ends) < 3:
        time.sleep(0.01)
    with socket.create_connection(address, timeout=10) as one_too_many:
        assert one_too_many.recv(1) == b""
    for connection in server.ends:
        server.allow(connection, -1)
    for client in slow:
        assert client.recv(1) == b""
        client.close()
    while server.ends:
        time.sleep(0.01)
    assert ask(server, "/")[0] == 200


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
        for query in ("", "?sha256=", f"?sha256={'0' * 64}", f"?sha256={entry['sha256']}&a"):
            headers = ask(server, f"/bundle/{entry['file']}{query}")[1]
            assert headers["Cache-Control"] == "no-cache"
    headers = ask(server, f"/bundle/manifest.json?sha256={'0' * 64}")[1]
    assert headers["Cache-Control"] == "no-cache"


def test_bundle_of_a_zip_is_there_as_long_as_the_server(
    tiny_bundle: Path, page: Path, tmp_path: Path
) -> None:
    archive = shutil.make_archive(str(tmp_path / "tiny"), "zip", tiny_bundle)
    with DemoServer(Bundle.open(archive), "127.0.0.1", 0, page) as server, serving(server):
        for name in ("manifest.json", "vocoder.onnx"):
            assert ask(server, f"/bundle/{name}")[::2] == (200, (tiny_bundle / name).read_bytes())


def test_head_has_no_body_and_nothing_can_be_sent(server: DemoServer) -> None:
    status, headers, body = ask(server, "/", "HEAD")
    assert (status, headers["Content-Length"], body) == (200, "15", b"")
    assert ask(server, "/", "POST")[0] == 501


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


def test_file_that_is_gone_is_no_crash(server: DemoServer, page: Path) -> None:
    (page / "assets" / "a-1.wasm").unlink()
    assert ask(server, "/assets/a-1.wasm")[0] == 404
    assert ask(server, "/")[0] == 200


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("127.0.0.1", "port .* is taken; give another"),
        ("", "host must be an address of this machine"),  # and not all of them
        (" ", "host must be an address of this machine"),
        *((host, f"host {host} is not an address") for host in ("192.0.2.1", "2001:db8::1", "a b")),
    ],
)
def test_place_that_cannot_be_had_is_one_sentence(
    host: str, words: str, server: DemoServer, tiny_bundle: Path, page: Path
) -> None:
    with pytest.raises(InputError, match=words):
        DemoServer(Bundle.open(tiny_bundle), host, server.server_port, page)


def test_port_can_be_had_again_at_once(tiny_bundle: Path, page: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    with DemoServer(bundle, "127.0.0.1", 0, page) as server, serving(server):
        port = server.server_port
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            while client.recv(1 << 16):  # until the server ends it: its side lingers then
                pass
    DemoServer(bundle, "127.0.0.1", port, page).server_close()


def test_ipv6_address_is_served(tiny_bundle: Path, page: Path) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with DemoServer(Bundle.open(tiny_bundle), "::1", 0, page) as server, serving(server):
        assert server.url == f"http://[::1]:{server.server_port}/"
        assert ask(server, "/")[0] == 200


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
