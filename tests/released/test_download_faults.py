"""Faults of servers, caches and disks: one sentence, exit code 1, nothing under the final name."""

import hashlib
import socket
import threading
import time
from contextlib import suppress

import pytest
from fetching import CONTENT, HASTY, NAME, OTHER, SHA256, refused

from caffdet_cli.errors import OutputError, RunError, WeightsError
from caffdet_cli.released.checksums import note_of
from caffdet_cli.released.download import Changed


def test_a_missing_file_is_told_at_once(server, get, cache):
    refused(get, cache, r"/files/weights\.pth is not there \(404\); it was moved or removed")
    assert len(server.asked) == 1


@pytest.mark.parametrize(("status", "says"), [(403, "wants a permission"), (410, "not there"), (418, "answers 418")])
def test_refusals_are_told_at_once(server, get, cache, status, says):
    server.put(f"/files/{NAME}", CONTENT, statuses=[status])
    refused(get, cache, says)
    assert len(server.asked) == 1


def test_faults_that_do_not_pass_are_given_up(server, get, cache):
    server.put(f"/files/{NAME}", CONTENT, statuses=[503] * 9)
    refused(get, cache, "answers 503, 3 times in a row; try again later$")
    assert len(server.asked) == 3


def test_no_server_is_told_at_once(server, get, cache):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    refused(get, cache, "no connection: .* cannot be reached .Connection refused.", url=f"http://127.0.0.1:{port}/x")


def test_something_that_is_no_http_is_told(get, cache):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def speak() -> None:
            for _ in range(HASTY.tries):
                connection, _address = listening.accept()
                with connection:
                    connection.recv(1000)
                    connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")

        thread = threading.Thread(target=speak)
        thread.start()
        refused(get, cache, "broke the connection", url=f"http://127.0.0.1:{listening.getsockname()[1]}/x")
        thread.join()


def test_a_header_that_drips_is_given_up(get, cache):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
                for _ in range(100):
                    connection.sendall(b"x")
                    time.sleep(0.1)

        def answer() -> None:
            for _ in range(HASTY.tries):
                threading.Thread(target=drip, args=(listening.accept()[0],), daemon=True).start()

        thread = threading.Thread(target=answer)
        thread.start()
        begin = time.monotonic()
        refused(get, cache, "did not answer within 0.3 s", url=f"http://127.0.0.1:{listening.getsockname()[1]}/x")
        assert time.monotonic() - begin < 5
        thread.join()


def test_another_content_is_named_and_the_old_file_stays(server, get, cache):
    server.put(f"/files/{NAME}", CONTENT)
    get()
    server.put(f"/files/{NAME}", OTHER)
    found = hashlib.sha256(OTHER).hexdigest()
    with pytest.raises(Changed, match=f"sha256 {found}, not {SHA256} as the registry says") as caught:
        get(overwrite=True)
    assert "nothing was replaced" in str(caught.value)
    assert (cache / NAME).read_bytes() == CONTENT
    assert not (cache / f".{NAME}.part").exists()


def test_what_was_remembered_counts_like_what_is_published(server, get, cache):
    server.put(f"/files/{NAME}", CONTENT)
    get(sha256="")
    server.put(f"/files/{NAME}", OTHER)
    with pytest.raises(Changed, match=f"not {SHA256[:8]}.* as the note .* to accept the other file, remove"):
        get(sha256="", overwrite=True)
    assert (cache / NAME).read_bytes() == CONTENT
    note_of(cache / NAME).unlink()
    assert get(sha256="", overwrite=True).read_bytes() == OTHER


def test_another_size_than_was_remembered_is_told_with_the_way_around(server, get, cache):
    server.put(f"/files/{NAME}", CONTENT)
    get(sha256="")
    server.put(f"/files/{NAME}", CONTENT + b"more")
    with pytest.raises(Changed, match=r"has 200008 bytes, .* to accept the other file, remove .*\.json first"):
        get(sha256="", overwrite=True)


def test_another_size_is_told_before_anything_is_fetched(server, get, cache):
    server.put(f"/files/{NAME}", CONTENT + b"x")
    refused(get, cache, "has 200005 bytes, not 200004 as the registry says", size=len(CONTENT))
    assert not (cache / f".{NAME}.part").exists()


def test_a_server_that_promises_more_than_it_has_is_given_up(server, get, cache):
    server.put(f"/files/{NAME}", CONTENT, claims=len(CONTENT) + 10)
    refused(get, cache, "ended after 200004 of 200014 bytes|other bytes|ends before")


def test_a_server_that_sends_without_end_is_stopped(server, get, cache):
    server.put(f"/files/{NAME}", CONTENT * 200, chunked=True)
    refused(get, cache, "sends more than the 200004 bytes", size=len(CONTENT))
    assert server.sent < len(CONTENT) * 200


def test_a_size_beyond_reason_is_refused(server, get, cache):
    server.put(f"/files/{NAME}", CONTENT, claims=1 << 40)
    refused(get, cache, "more than any file of weights", sha256="")


def test_a_disk_without_room_is_told_before_anything_is_fetched(server, get, cache):
    server.put(f"/files/{NAME}", CONTENT, claims=(1 << 36) - 1)
    refused(get, cache, "needs 68719.5 MB more, .* free some space", sha256="")


def test_a_web_page_is_no_file(server, get, cache):
    server.put(f"/files/{NAME}", b"<html>Sign in</html>", kind="text/html; charset=utf-8")
    refused(get, cache, "is a web page, not a file")


def test_a_page_in_disguise_is_no_file(server, get, cache):
    server.put(f"/files/{NAME}", b"<!DOCTYPE html><p>Quota exceeded")
    refused(get, cache, "is a web page", sha256="")
    assert not (cache / f".{NAME}.part").exists()


def test_a_compressed_answer_is_refused(server, get, cache):
    server.put(f"/files/{NAME}", CONTENT, headers={"Content-Encoding": "gzip"})
    refused(get, cache, "in the form 'gzip'")


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x"])
def test_redirects_stay_with_http(server, get, cache, target):
    server.put(f"/files/{NAME}", redirect=target)
    refused(get, cache, "where caffdet does not follow")


def test_the_address_that_failed_is_named(server, get, cache):
    server.put(f"/files/{NAME}", redirect=f"{server.address}/elsewhere?token=HUSH")
    refused(get, cache, rf"/elsewhere \(where {server.address}/files/{NAME} leads\) is not there \(404\)")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    server.put(f"/files/{NAME}", redirect=f"http://me:secret@127.0.0.1:{port}/x")
    refused(get, cache, rf"no connection: 127.0.0.1:{port} cannot be reached")


def test_redirects_in_a_circle_end(server, get, cache):
    server.put(f"/files/{NAME}", redirect=f"{server.address}/files/{NAME}")
    refused(get, cache, "leads on and on")
    assert len(server.asked) <= 10


def test_a_cache_that_is_a_file_is_told(server, get, cache):
    cache.parent.mkdir()
    cache.write_text("mine")
    with pytest.raises(OutputError, match="set CAFFDET_CACHE to a folder that can be written"):
        get()


def test_a_damaged_file_is_told_and_fetched_again_when_asked(server, get, cache):
    server.put(f"/files/{NAME}", CONTENT)
    get().write_bytes(CONTENT[:-1])
    with pytest.raises(RunError, match=r"is damaged, or another file: sha256 .* --overwrite"):
        get()
    assert get(overwrite=True).read_bytes() == CONTENT


def test_offline_fetches_nothing_but_finds_what_is_there(server, get):
    server.put(f"/files/{NAME}", CONTENT)
    with pytest.raises(WeightsError, match="not at hand, and nothing is fetched offline"):
        get(offline=True)
    get()
    assert get(offline=True).read_bytes() == CONTENT
    assert len(server.asked) == 1
