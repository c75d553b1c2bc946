"""A real server of files on this machine, with every bad habit that servers have; its records answer like Zenodo's."""

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal, NamedTuple


@dataclass
class Served:
    """One address. Lists are used up, one element for every request; then it behaves."""

    content: bytes = b""
    etag: str = '"first"'
    modified: str = ""
    kind: str = "application/octet-stream"
    ranges: Literal["given", "ignored", "shifted", "without If-Range"] = "given"
    claims: int | None = None  # Content-Length, and the total of Content-Range
    chunked: bool = False
    redirect: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    statuses: list[int] = field(default_factory=list)  # answered instead
    cuts: list[int] = field(default_factory=list)  # bytes after which the connection is closed
    stalls: list[int] = field(default_factory=list)  # bytes after which nothing comes any more
    pause: float = 0.0  # seconds before every block
    block: int = 4096
    hold: threading.Event | None = None  # the last block waits for it


class Asked(NamedTuple):
    """A request that came."""

    method: str
    path: str
    headers: dict[str, str]


class FileServer:
    """What it serves, and what it was asked."""

    def __init__(self, certificate: Path | None = None) -> None:
        self.served: dict[str, Served] = {}
        self.asked: list[Asked] = []
        self.sent = 0  # bytes of content
        self.closing = threading.Event()
        handler = type("Handler", (_Handler,), {"files": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that do not trust it
        scheme = "http" if certificate is None else "https"
        self.address = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"

    def put(self, path: str, content: bytes = b"", **habits: object) -> Served:
        """Serve `content` at `path`."""
        self.served[path] = Served(content, **habits)  # type: ignore[arg-type]
        return self.served[path]

    def put_record(self, number: int, **files: bytes) -> Served:
        """Serve what the API of a record tells about its files."""
        listed = [
            {"id": name, "key": name, "size": len(content), "checksum": f"md5:{md5(content).hexdigest()}", "links": {}}
            for name, content in files.items()
        ]
        content = json.dumps({"id": number, "metadata": {"title": "Weights"}, "files": listed}).encode()
        return self.put(f"/api/records/{number}", content, kind="application/json")

    def asked_for(self, path: str) -> list[Asked]:
        return [each for each in self.asked if each.path == path]

    def wait_for_bytes(self, count: int) -> None:
        """Until so much was sent."""
        limit = time.monotonic() + 30
        while self.sent < count:
            assert time.monotonic() < limit, "nobody fetched it"
            time.sleep(0.01)

    def run(self) -> None:
        self._server.serve_forever(poll_interval=0.01)

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def serving(certificate: Path | None = None) -> Iterator[FileServer]:
    """A server, for the time of a block; with https where it has a certificate and key in this file."""
    server = FileServer(certificate)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join(timeout=10)


class _Handler(BaseHTTPRequestHandler):
    files: FileServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.files.asked.append(Asked(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
        self.close_connection = True
        served = self.files.served.get(self.path)
        with suppress(OSError):  # the client may leave
            if served is None:
                self._status(404)
            elif served.statuses:
                self._status(served.statuses.pop(0), served.headers)
            elif served.redirect:
                self._status(302, {"Location": served.redirect})
            else:
                self._answer(served)

    def _status(self, code: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _answer(self, served: Served) -> None:
        start = self._start(served)
        total = len(served.content) if served.claims is None else served.claims
        if start is not None and start >= total:
            self._status(416, {"Content-Range": f"bytes */{total}"})
            return
        if start is None:
            self.send_response(200)
            length, content = total, served.content
        else:
            first = start + 1 if served.ranges == "shifted" else start
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{total - 1}/{total}")
            length, content = total - first, served.content[first:]
        self.send_header("Content-Type", served.kind)
        for name, value in {"ETag": served.etag, "Last-Modified": served.modified, **served.headers}.items():
            if value:
                self.send_header(name, value)
        self.send_header(*(("Transfer-Encoding", "chunked") if served.chunked else ("Content-Length", str(length))))
        self.end_headers()
        if self.command == "GET":
            self._send(content, served)

    def _start(self, served: Served) -> int | None:
        """The first byte that is given; None: all of them."""
        asked = self.headers.get("Range", "")
        if not asked or served.ranges == "ignored":
            return None
        condition = self.headers.get("If-Range")
        if condition and served.ranges != "without If-Range" and condition not in (served.etag, served.modified):
            return None
        return int(asked.removeprefix("bytes=").removesuffix("-"))

    def _send(self, content: bytes, served: Served) -> None:
        cut = served.cuts.pop(0) if served.cuts else None
        stall = served.stalls.pop(0) if served.stalls else None
        end = min(each for each in (len(content), cut, stall) if each is not None)
        for position in range(0, end, served.block):
            block = content[position : min(position + served.block, end)]
            self.files.closing.wait(served.pause)
            if served.hold and position + served.block >= end:
                served.hold.wait(60)
            self.wfile.write(b"%x\r\n%b\r\n" % (len(block), block) if served.chunked else block)
            self.wfile.flush()
            self.files.sent += len(block)
        if stall is not None:
            self.files.closing.wait(30)
        elif served.chunked and cut is None:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *words: object) -> None:
        """Silent."""
