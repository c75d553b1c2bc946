"""Proxies, certificates, and the small parts of a transfer."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from fetching import CONTENT, Heard, final_names
from file_server import serving
from hypothesis import given
from hypothesis import strategies as st

from caffdet_cli.errors import RunError
from caffdet_cli.released.checksums import parse_note
from caffdet_cli.released.meter import how_far
from caffdet_cli.released.patience import from_environment
from caffdet_cli.released.transport import Range, parse_range
from caffdet_cli.released.zenodo import parse_record
from caffdet_cli.weights.known import find_weights


def test_a_proxy_of_the_environment_is_used(server, monkeypatch):
    server.put("http://files.example/x.pth", CONTENT)
    monkeypatch.setenv("http_proxy", server.address)
    assert find_weights("http://files.example/x.pth", Heard()).read_bytes() == CONTENT


def test_a_proxy_that_says_no_is_named(server, monkeypatch, cache):
    monkeypatch.setenv("https_proxy", server.address)  # it does not know CONNECT
    with pytest.raises(RunError, match=r"the proxy does not let caffdet through to files.example"):
        find_weights("https://files.example/x.pth", Heard())
    server.put("http://files.example/x.pth", statuses=[407])
    monkeypatch.setenv("http_proxy", server.address)
    with pytest.raises(RunError, match="the proxy wants a user name and a password"):
        find_weights("http://files.example/x.pth", Heard())
    assert final_names(cache) == []


@pytest.mark.parametrize("proxy", ["http://me:secret@127.0.0.1:notaport", "socks5://127.0.0.1:1", "http:///x"])
def test_a_proxy_that_is_none_is_told_at_once(monkeypatch, proxy):
    monkeypatch.setenv("http_proxy", proxy)
    heard = Heard()
    with pytest.raises(RunError, match="http_proxy names no proxy; write it like") as caught:
        find_weights("http://files.example/x.pth", heard)
    assert "secret" not in str(caught.value)
    assert not any("trying again" in line for line in heard.lines)


def test_a_proxy_out_of_reach_is_named(monkeypatch):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    with pytest.raises(RunError, match=r"files\.example, by the proxy that https_proxy names, cannot be reached"):
        find_weights("https://files.example/x.pth", Heard())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for this machine that nobody trusts, with its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    subprocess.run([openssl, *words.split(), "-keyout", path, "-out", f"{path}.crt"], check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


def test_a_certificate_that_is_not_trusted_is_told_at_once(certificate):
    with serving(certificate) as server:
        server.put("/x.pth", CONTENT)
        with pytest.raises(RunError, match=r"certificate of 127.0.0.1:.* is not trusted .* set SSL_CERT_FILE"):
            find_weights(f"{server.address}/x.pth", Heard())
        assert server.asked == []


def test_a_certificate_can_be_trusted_and_https_stays_https(certificate, server, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.crt")
    server.put("/x.pth", CONTENT)
    with serving(certificate) as safe:
        safe.put("/x.pth", CONTENT)
        assert find_weights(f"{safe.address}/x.pth", Heard()).read_bytes() == CONTENT
        safe.put("/y.pth", redirect=f"{server.address}/x.pth")
        with pytest.raises(RunError, match=r"leads on to http://127.0.0.1:.* where caffdet does not follow"):
            find_weights(f"{safe.address}/y.pth", Heard())


# small parts


@given(st.text(max_size=60))
def test_any_content_range_is_read_or_refused(text):
    found = parse_range(text)
    assert found is None or 0 <= found.first <= found.last


@given(st.integers(0, 10**14), st.integers(0, 10**14), st.integers(0, 10**14))
def test_content_range_is_read_where_it_makes_sense(first, last, total):
    found = parse_range(f"bytes {first}-{last}/{total}")
    assert found == (Range(first, last, total) if first <= last < total else None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["files", "key", "size"]), inner),
    max_leaves=8,
)


@given(JSON | st.fixed_dictionaries({"files": st.lists(st.fixed_dictionaries({"key": st.just("x"), "size": JSON}))}))
def test_any_record_and_note_are_read_or_refused(content):
    text = json.dumps(content).encode()
    for parse in (lambda: parse_record(text, "x", ""), lambda: parse_note(text, "")):
        with pytest.raises(ValueError):  # noqa: PT011  # none of them has a checksum
            parse()


@pytest.mark.parametrize("text", ["0", "-1", "nan", "soon", "1e9"])
def test_a_wrong_timeout_is_refused(monkeypatch, text):
    monkeypatch.setenv("CAFFDET_TIMEOUT", text)
    with pytest.raises(Exception, match=f"CAFFDET_TIMEOUT={text}"):
        from_environment()


def test_progress_has_rate_and_time_left():
    assert how_far(34_100_000, 180_300_000, 2_100_000) == "34.1 of 180.3 MB, 2.1 MB/s, 1:10 left"
    assert how_far(5_000, None, 100) == "5.0 kB, 0.1 kB/s"
    assert how_far(0, 100, 0) == "0.0 kB of 0.1 kB, 0.0 kB/s"
