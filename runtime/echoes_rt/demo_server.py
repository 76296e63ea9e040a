"""Serves the browser's page and a bundle; nothing else of the disk can be asked for."""

import errno
import ipaddress
import logging
import os
import re
import shutil
import socket
import socketserver
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from echoes_rt.bundle import Bundle
from echoes_rt.errors import BackendError, InputError, escape
from echoes_rt.format.manifest import MANIFEST_NAME
from echoes_rt.install import clone

logger = logging.getLogger(__name__)

PAGE_FOLDER = Path(__file__).parent / "web"
"""What ``make web`` builds in a clone; a released wheel has it."""

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
}

_HEADERS = {
    # Browsers let WebAssembly use threads only on a page that no other page can look into.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    # The page asks nobody else for anything.
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; media-src blob:; "
        "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_HOST = re.compile(r"(?:\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?::\d{1,5})?")

_UNCHANGING = "public, max-age=31536000, immutable"

MAX_CONNECTIONS = 64
"""Beyond them a connection is closed at once; a browser opens six."""

# How long a client may take for a request, and for a response at the least speed.
_REQUEST_S = 30
_BYTES_PER_S = 1 << 14


class DemoServer(ThreadingHTTPServer):
    """One thread per connection, a bounded number of them; ``with`` closes it."""

    daemon_threads = True
    # Elsewhere than on POSIX it would let two servers share a port.
    allow_reuse_address = os.name == "posix"

    def __init__(self, bundle: Bundle, host: str, port: int, page: Path | None = None) -> None:
        """Binds the address; ``serve_forever`` answers.

        Args:
            bundle: what the page loads.
            host: an address of this machine.
            port: 0 takes any that is free.
            page: the built page's folder; by default PAGE_FOLDER, or that of the clone from which
                this package was installed.

        Raises:
            BackendError: if the page is not there.
            InputError: if the address cannot be had.
        """
        if not host.strip():
            raise InputError("host must be an address of this machine, got none; use 127.0.0.1")
        self.bundle = bundle  # held on to: the unpacked files of a zip go with it
        self.routes = _routes(bundle, page or _page_folder())
        self.unchanging = {
            f"/bundle/{name}": f"sha256={part.sha256}"
            for name, part in bundle.manifest.files.items()
        }
        machine = socket.gethostname().lower()
        self.names = {"localhost", host.lower(), machine, f"{machine}.local"}
        self.ends: dict[socket.socket, float] = {}
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            raise InputError(_refusal(host, port, error)) from error

    def server_bind(self) -> None:
        """As the parent's parent: the parent asks the network for this machine's name."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    @property
    def url(self) -> str:
        host = self.server_name
        if host in ("127.0.0.1", "0.0.0.0", "::"):
            host = "localhost"
        elif ":" in host:
            host = f"[{host}]"
        return f"http://{host}:{self.server_port}/"

    def allow(self, connection: socket.socket, seconds: float) -> None:
        """From now on the connection may last that long."""
        self.ends[connection] = time.monotonic() + seconds

    def verify_request(self, request: Any, client_address: Any) -> bool:
        return len(self.ends) < MAX_CONNECTIONS

    def process_request(self, request: Any, client_address: Any) -> None:
        self.allow(request, _REQUEST_S)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.ends.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Ends what has lasted too long; its thread wakes up with an end of file or an error."""
        now = time.monotonic()
        for connection, end in list(self.ends.items()):
            if end < now:
                with suppress(OSError):  # it has just ended by itself
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients go away in the middle; the parent would print a traceback."""
        logger.info("connection of %s: %r", client_address, sys.exc_info()[1])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _REQUEST_S
    server: DemoServer

    def do_GET(self) -> None:
        self._answer(is_body_wanted=True)

    def do_HEAD(self) -> None:
        self._answer(is_body_wanted=False)

    def version_string(self) -> str:
        return "echoes-rt"

    def log_message(self, format: str, *args: object) -> None:
        logger.info("%s %s", self.address_string(), escape(format % args))

    def end_headers(self) -> None:
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def _answer(self, *, is_body_wanted: bool) -> None:
        if {"content-length", "transfer-encoding"} & {name.lower() for name in self.headers}:
            self.close_connection = True  # its body is not read, and is no next request
        if not self._is_meant_for_us():
            self.send_error(
                HTTPStatus.MISDIRECTED_REQUEST, "This server goes by its address, not by a name"
            )
            return
        address, _, query = self.path.partition("?")
        path = self.server.routes.get(unquote(address))
        try:
            file = None if path is None else path.open("rb")
        except OSError as error:
            logger.warning("%s cannot be read: %s", path, error.strerror)
            file = None
        if path is None or file is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        with file:
            size = os.fstat(file.fileno()).st_size
            # Built assets have their checksum in their name, files of a bundle in the query.
            is_unchanging = address.startswith("/assets/") or (
                query and query == self.server.unchanging.get(address)
            )
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", _TYPES.get(path.suffix, "application/octet-stream"))
            self.send_header("Content-Length", str(size))
            self.send_header("Cache-Control", _UNCHANGING if is_unchanging else "no-cache")
            self.end_headers()
            if is_body_wanted:
                self.server.allow(self.connection, _REQUEST_S + size / _BYTES_PER_S)
                shutil.copyfileobj(file, self.wfile)
        self.server.allow(self.connection, _REQUEST_S)

    def _is_meant_for_us(self) -> bool:
        """Whether the browser was asked for this machine, and not for a stranger's name of it.

        A name that first leads to the stranger's page and then to this server would let that page
        read the bundle (DNS rebinding). Addresses cannot be turned round like that.
        """
        hosts = self.headers.get_all("Host") or []
        found = _HOST.fullmatch(hosts[0].strip().lower()) if len(hosts) == 1 else None
        if found is None:
            return False
        try:
            ipaddress.ip_address(found["address"] or found["name"])
        except ValueError:
            return found["name"] in self.server.names
        return True


def _page_folder() -> Path:
    """That of the package; if it was installed before the page was built, that of its clone."""
    source = clone()
    if (PAGE_FOLDER / "index.html").is_file() or source is None:
        return PAGE_FOLDER
    return source / "runtime" / "echoes_rt" / "web"


def _routes(bundle: Bundle, page: Path) -> Mapping[str, Path]:
    """Every address that is answered, and its file."""
    if not (page / "index.html").is_file():
        raise BackendError(
            "the page is not built; in a clone run 'make web', which needs Node.js 20.19 or newer"
        )
    routes = {
        f"/{path.relative_to(page).as_posix()}": path for path in page.rglob("*") if path.is_file()
    }
    routes["/"] = page / "index.html"
    for name in (MANIFEST_NAME, *bundle.manifest.files):
        routes[f"/bundle/{name}"] = bundle.folder / name
    return routes


def _refusal(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is taken; give another with --port, or 0 for any that is free"
    if isinstance(error, PermissionError):
        return f"port {port} may not be used by this user; give one of 1024 or above with --port"
    # EAFNOSUPPORT: a machine without IPv6.
    if isinstance(error, socket.gaierror) or error.errno in (
        errno.EADDRNOTAVAIL,
        errno.EAFNOSUPPORT,
    ):
        return f"host {host} is not an address of this machine; use 127.0.0.1 or 0.0.0.0"
    return f"{host}:{port} cannot be used: {error.strerror or error}"
