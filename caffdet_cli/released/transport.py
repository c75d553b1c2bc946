"""One answer of a server: opened, bounded, with every fault told apart into those that may pass and those that stay.

Standard library only; proxies come from the environment (`https_proxy`, `no_proxy`, ...), certificates from the system.
"""

import errno
import http.client
import io
import re
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, NamedTuple
from urllib.parse import urlsplit

from caffdet_cli.errors import RunError
from caffdet_cli.released.addresses import shown

_BLOCK = 1 << 16
_LEAST = 64  # bytes per second: fewer are no transfer
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_LONGEST_WAIT = 60.0  # seconds that a server may ask for
_NO_ADDRESS = ("unknown url type", "no host given")  # what urllib says
_NO_WAY = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN)


class Faulty(Exception):
    """A fault that may pass.

    Args:
        wait: seconds that the server asked for.
    """

    def __init__(self, reason: str, wait: float = 0.0):
        super().__init__(reason)
        self.wait = wait


class Unreachable(Faulty):
    """There is no connection at all."""


class NotThere(RunError):
    """The server has no such file."""


class BadRange(Exception):
    """The file ends before the byte that was asked for.

    Args:
        total: how long it is, where the server tells.
    """

    def __init__(self, total: int | None):
        super().__init__(total)
        self.total = total


class Range(NamedTuple):
    """What a Content-Range header says; `total` where it is told."""

    first: int
    last: int
    total: int | None


@contextmanager
def opened(
    url: str, silence: float, headers: Mapping[str, str] | None = None, method: str = "GET"
) -> Iterator[http.client.HTTPResponse]:
    """The server's answer, after at most five redirects; https stays https.

    Args:
        silence: seconds without a byte after which the connection is given up.

    Raises:
        Faulty: it may be better in a moment. BadRange: the Range in `headers` does not fit.
        NotThere, RunError: it stays so.
    """
    redirects = _Redirects({"User-Agent": "caffdet", "Accept-Encoding": "identity", **(headers or {})})
    request = urllib.request.Request(url, headers=dict(redirects.headers), method=method)
    try:
        answer = _opener(redirects).open(request, timeout=silence)
    except urllib.error.HTTPError as error:
        with error:
            raise _refusal(redirects.name(url), error) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _no_answer(redirects.last or url, redirects.name(url), error, silence) from error
    with answer:
        encoding = answer.headers.get("Content-Encoding", "identity").lower()
        if encoding != "identity":
            raise RunError(f"{redirects.name(url)} is sent in the form {encoding!r}, not as it is; fetch it by hand")
        yield answer


def blocks(answer: http.client.HTTPResponse, silence: float) -> Iterator[bytes]:
    """The content as it comes. That the server stops early is not told here: count the bytes.

    Raises:
        Faulty: nothing came for `silence` seconds, or next to nothing, or the connection broke.
    """
    begin, count = time.monotonic(), 0
    while True:
        try:
            block = answer.read1(_BLOCK)
        except TimeoutError as error:
            raise Faulty(f"nothing came for {silence:g} seconds") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Faulty(f"the connection broke ({_words(error)})") from error
        if not block:
            return
        yield block
        count += len(block)
        if (seconds := time.monotonic() - begin) > silence:
            if count < _LEAST * seconds:
                raise Faulty(f"only {count} bytes came in {seconds:.0f} seconds")
            begin, count = time.monotonic(), 0


def length_of(answer: http.client.HTTPResponse) -> int | None:
    """Content-Length, where it is told and is a number."""
    text = answer.headers.get("Content-Length", "")
    return int(text) if re.fullmatch(r"[0-9]{1,15}", text) else None


def parse_range(text: str | None) -> Range | None:
    """`bytes 5-9/10`; None where it is anything else or contradicts itself."""
    found = re.fullmatch(r"bytes ([0-9]{1,15})-([0-9]{1,15})/(\*|[0-9]{1,15})", text or "")
    if not found:
        return None
    first, last, total = int(found[1]), int(found[2]), None if found[3] == "*" else int(found[3])
    return Range(first, last, total) if first <= last and (total is None or last < total) else None


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Passes on what caffdet itself asks for, and nothing that urllib adds, such as the password of a proxy."""

    max_redirections = 5

    def __init__(self, headers: Mapping[str, str]):
        self.headers = headers
        self.last = ""  # the address that was led on to

    def name(self, url: str) -> str:
        """The address that was asked at last, for messages."""
        return f"{shown(self.last)} (where {shown(url)} leads)" if self.last else shown(url)

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request:
        scheme = urlsplit(newurl).scheme
        if scheme != "https" and (scheme != "http" or req.type == "https"):
            raise RunError(
                f"{shown(req.full_url)} leads on to {shown(newurl)[:200]}, where caffdet does not follow; "
                "fetch it by hand"
            )
        self.last = newurl
        return urllib.request.Request(newurl, headers=dict(self.headers), method=req.get_method(), unverifiable=True)

    def http_error_308(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage
    ) -> object:  # Python 3.10 does not know it
        return self.http_error_302(req, fp, code, msg, headers)


class _Limited(io.RawIOBase):
    """The bytes of a connection; while there is a deadline, it is for all of them and not for the next one."""

    def __init__(self, raw: Any, seconds: float | None):
        self._raw = raw
        self.deadline = None if seconds is None else time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise TimeoutError
        count: int | None = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    """Its header must be there in the time that one silence may take."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any):
        super().__init__(sock, *args, **options)
        self._limited = _Limited(self.fp.detach(), sock.gettimeout())
        self.fp = io.BufferedReader(self._limited)

    def begin(self) -> None:
        super().begin()
        self._limited.deadline = None


class _Connection(http.client.HTTPConnection):
    response_class = _Answer


class _SafeConnection(http.client.HTTPSConnection):
    response_class = _Answer


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Connection, req)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_SafeConnection, req)


def _opener(redirects: _Redirects) -> urllib.request.OpenerDirector:
    """Without what else urllib can open: files, ftp, data."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        _Http(),
        _Https(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        redirects,
    ):
        opener.add_handler(handler)
    return opener


def _refusal(name: str, error: urllib.error.HTTPError) -> Exception:
    """What a status other than success means."""
    if error.code == 416:
        total = re.fullmatch(r"bytes \*/([0-9]{1,15})", error.headers.get("Content-Range", ""))
        return BadRange(int(total[1]) if total else None)
    if error.code in (404, 410):
        return NotThere(f"{name} is not there ({error.code}); it was moved or removed")
    if error.code in (401, 403):
        return RunError(f"{name} may not be fetched ({error.code}); the server wants a permission")
    if error.code == 407:
        return RunError(f"{name}: the proxy wants a user name and a password (407); put them in https_proxy")
    if error.code in _PASSING:
        return Faulty(f"the server answers {error.code}", _asked_wait(error.headers.get("Retry-After")))
    if 300 <= error.code < 400:
        return RunError(f"{name} leads on and on, or where caffdet does not follow ({error.code}); fetch it by hand")
    return RunError(f"{name} cannot be fetched: the server answers {error.code}")


def _asked_wait(text: str | None) -> float:
    return min(float(text), _LONGEST_WAIT) if re.fullmatch(r"[0-9]{1,9}", text or "") and text else 0.0


def _no_answer(url: str, name: str, error: Exception, silence: float) -> Exception:
    """What it means that no answer came."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    server, proxy = urlsplit(shown(url)).netloc, _proxy_for(url)
    if isinstance(error, (ValueError, http.client.InvalidURL)) or str(reason).startswith(_NO_ADDRESS):
        if proxy:
            return RunError(f"{proxy} names no proxy; write it like http://proxy.example:3128, or unset it")
        return RunError(f"{name} cannot be fetched: it is, or leads to, no address")
    if isinstance(reason, ssl.SSLCertVerificationError):
        return RunError(
            f"the certificate of {server} is not trusted ({reason.verify_message}); where a network has its own "
            "certificates, set SSL_CERT_FILE to the file with them"
        )
    if isinstance(reason, (socket.gaierror, ConnectionRefusedError)) or getattr(reason, "errno", None) in _NO_WAY:
        by = f", by the proxy that {proxy} names," if proxy else ""
        return Unreachable(f"{server}{by} cannot be reached ({_words(reason)})")
    if isinstance(reason, TimeoutError):
        return Faulty(f"{server} did not answer within {silence:g} seconds")
    if isinstance(reason, OSError) and "Tunnel connection failed" in str(reason):
        return RunError(f"the proxy does not let caffdet through to {server}: {reason}")
    if isinstance(error, (OSError, http.client.HTTPException)):
        return Faulty(f"{server} broke the connection ({_words(reason)})")
    return RunError(f"{name} cannot be fetched: {_words(reason)}")


def _proxy_for(url: str) -> str:
    """The variable that names the proxy of an address; empty where there is none."""
    parts = urlsplit(url)
    if parts.scheme not in urllib.request.getproxies() or urllib.request.proxy_bypass(parts.netloc):
        return ""
    return f"{parts.scheme}_proxy"


def _words(error: object) -> str:
    """In one line; a part of it may come from the server."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split())[:200] or type(error).__name__
