"""Fetching from a real server with bad habits: resumed, verified, whole or not at all, one at a time."""

import hashlib
import os
import threading

import pytest
from fetching import CONTENT, HASTY, NAME, OTHER, Heard, entry, final_names, names

from caffdet_cli.errors import RunError
from caffdet_cli.released.cache_files import alone
from caffdet_cli.released.checksums import Facts, measure, note_of, remembered
from caffdet_cli.released.download import download
from caffdet_cli.released.fetch import Ways, fetch
from caffdet_cli.released.meter import Meter
from caffdet_cli.released.part import Part
from caffdet_cli.weights.known import find_weights


def test_a_file_is_fetched_once_and_remembered(server, get, cache):
    server.put(f"/files/{NAME}", CONTENT)
    assert get().read_bytes() == CONTENT
    assert get() == cache / NAME
    assert len(server.asked) == 1
    assert names(cache) == [f".{NAME}.lock", NAME, f"{NAME}.json"]
    assert remembered(cache / NAME) == measure(cache / NAME)._replace(told_by=f"the note {note_of(cache / NAME)}")


def test_what_came_is_gone_on_with(server, get, heard):
    server.put(f"/files/{NAME}", CONTENT, cuts=[50_000, 30_000])
    assert get().read_bytes() == CONTENT
    asked = [each.headers.get("range") for each in server.asked]
    assert asked == [None, "bytes=50000-", "bytes=80000-"]
    assert [each.headers.get("if-range") for each in server.asked] == [None, '"first"', '"first"']
    assert any("ended after 50000 of 200004 bytes; trying again" in line for line in heard.lines)


def test_a_later_call_goes_on_after_a_failure(server, get, cache):
    server.put(f"/files/{NAME}", CONTENT, cuts=[1000, 1000, 1000])
    with pytest.raises(RunError, match=r"3 times in a row; try again later; 3\.0 kB are kept") as caught:
        get()
    assert caught.value.exit_code == 1
    assert final_names(cache) == []
    assert get().read_bytes() == CONTENT
    assert server.asked[-1].headers["range"] == "bytes=3000-"


def test_faults_do_not_add_up_while_it_gets_on(server, get):
    content = CONTENT + bytes(4 << 20)
    server.put(f"/files/{NAME}", content, cuts=[1_100_000] * 3)
    assert get(sha256=hashlib.sha256(content).hexdigest()).stat().st_size == len(content)


def test_last_modified_serves_where_there_is_no_strong_etag(server, get):
    modified = "Thu, 10 Oct 2024 08:00:00 GMT"
    server.put(f"/files/{NAME}", CONTENT, cuts=[5000], etag='W/"weak"', modified=modified)
    assert get(sha256="").read_bytes() == CONTENT
    assert server.asked[1].headers["if-range"] == modified


def test_without_validator_and_checksum_it_begins_anew(server, get):
    server.put(f"/files/{NAME}", CONTENT, cuts=[5000], etag="")
    assert get(sha256="").read_bytes() == CONTENT
    assert "range" not in server.asked[1].headers


def test_with_a_checksum_no_validator_is_needed(server, get):
    server.put(f"/files/{NAME}", CONTENT, cuts=[5000], etag="")
    assert get().read_bytes() == CONTENT
    assert server.asked[1].headers["range"] == "bytes=5000-"


def test_a_server_that_ignores_ranges_begins_anew(server, get):
    server.put(f"/files/{NAME}", CONTENT, cuts=[5000], ranges="ignored")
    assert get().read_bytes() == CONTENT


def test_a_server_that_gives_another_range_is_not_believed(server, get):
    server.put(f"/files/{NAME}", CONTENT, cuts=[5000], ranges="shifted")
    assert get(sha256="").read_bytes() == CONTENT
    assert [each.headers.get("range") for each in server.asked] == [None, "bytes=5000-", None]


@pytest.mark.parametrize("ranges", ["given", "without If-Range"])
def test_a_file_that_changed_meanwhile_begins_anew(server, get, ranges):
    served = server.put(f"/files/{NAME}", OTHER, cuts=[5000, 0, 0])
    with pytest.raises(RunError):
        get(sha256="")
    served.content, served.etag, served.ranges = CONTENT, '"second"', ranges
    assert get(sha256="").read_bytes() == CONTENT


def test_a_part_of_another_file_is_noticed_by_the_checksum(server, get, heard):
    served = server.put(f"/files/{NAME}", OTHER, cuts=[5000, 0, 0], etag="")
    with pytest.raises(RunError):
        get()
    served.content = CONTENT
    assert get().read_bytes() == CONTENT
    assert any("does not belong to it; beginning anew" in line for line in heard.lines)


def test_a_part_that_is_whole_needs_no_more_bytes(server, get, cache):
    server.put(f"/files/{NAME}", CONTENT, cuts=[5000, 0, 0])
    with pytest.raises(RunError):
        get()
    (cache / f".{NAME}.part").write_bytes(CONTENT)
    before = server.sent
    assert get().read_bytes() == CONTENT
    assert server.sent == before


@pytest.mark.parametrize("note", [b"", b"[]", b"{}", b'{"url": 1}', b"[" * 100_000, b'{"url": "\\n"}'])
def test_a_spoilt_note_of_a_part_begins_anew(server, get, cache, note):
    server.put(f"/files/{NAME}", CONTENT)
    cache.mkdir(parents=True)
    (cache / f".{NAME}.part").write_bytes(OTHER[:1000])
    (cache / f".{NAME}.part.json").write_bytes(note)
    assert get().read_bytes() == CONTENT
    assert "range" not in server.asked[0].headers


def test_a_part_longer_than_the_file_begins_anew(server, get, cache):
    server.put(f"/files/{NAME}", CONTENT, cuts=[5000, 0, 0])
    with pytest.raises(RunError):
        get()
    (cache / f".{NAME}.part").write_bytes(CONTENT + b"more")
    assert get().read_bytes() == CONTENT


def test_stalls_are_given_up_and_gone_on_with(server, get, heard):
    server.put(f"/files/{NAME}", CONTENT, stalls=[60_000])
    assert get().read_bytes() == CONTENT
    assert any("nothing came for 0.3 seconds; trying again" in line for line in heard.lines)


def test_a_slow_server_is_no_stall(server, get):
    server.put(f"/files/{NAME}", CONTENT[:20_000], pause=0.15)
    assert get(sha256="").stat().st_size == 20_000


def test_a_drip_is_a_stall(server, get, heard):
    served = server.put(f"/files/{NAME}", CONTENT, pause=0.05, block=1)
    with pytest.raises(RunError, match=r"only \d+ bytes came in 0 seconds, 3 times in a row"):
        get()
    served.pause, served.block = 0.0, 4096
    assert get().read_bytes() == CONTENT


def test_a_server_may_say_how_long_to_wait(server, get, heard):
    server.put(f"/files/{NAME}", CONTENT, statuses=[503], headers={"Retry-After": "1"})
    get()
    assert "the server answers 503; trying again in 1 s" in heard.lines


@pytest.mark.parametrize("status", [500, 502, 503, 429, 408])
def test_passing_faults_of_the_server_are_tried_again(server, get, status):
    server.put(f"/files/{NAME}", CONTENT, statuses=[status, status])
    assert get().read_bytes() == CONTENT


def test_a_chunked_answer_without_length_is_taken(server, get):
    server.put(f"/files/{NAME}", CONTENT, chunked=True)
    assert get(sha256="").read_bytes() == CONTENT


def test_a_chunked_answer_that_ends_early_is_noticed(server, get):
    server.put(f"/files/{NAME}", CONTENT, chunked=True, cuts=[5000])
    assert get(sha256="").read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_redirects_are_followed_and_keep_the_range(server, get):
    server.put(f"/files/{NAME}", redirect=f"{server.address}/elsewhere")
    server.put("/elsewhere", CONTENT, cuts=[5000])
    assert get().read_bytes() == CONTENT
    assert server.asked_for("/elsewhere")[1].headers["range"] == "bytes=5000-"


def test_a_redirect_takes_no_password_of_a_proxy_along(server, monkeypatch):
    monkeypatch.setenv("http_proxy", server.address.replace("//", "//me:secret@"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server.put("http://files.example/x.pth", redirect=f"{server.address}/y.pth")
    server.put("/y.pth", CONTENT)
    find_weights("http://files.example/x.pth", Heard())
    assert "proxy-authorization" in server.asked[0].headers
    assert "proxy-authorization" not in server.asked[1].headers
    assert server.asked[1].headers["user-agent"] == "caffdet"


def test_the_servers_own_name_for_the_file_is_ignored(server, get, cache):
    server.put(f"/files/{NAME}", CONTENT, headers={"Content-Disposition": 'attachment; filename="../../evil.pth"'})
    get()
    assert final_names(cache) == [NAME, f"{NAME}.json"]


# several at once


def test_one_of_several_callers_fetches(server, cache):
    server.put(f"/files/{NAME}", CONTENT, pause=0.005)
    told = [Heard() for _ in range(4)]
    threads = [
        threading.Thread(target=fetch, args=(entry(server), Ways(patience=HASTY), Meter(heard))) for heard in told
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.asked) == 1
    assert (cache / NAME).read_bytes() == CONTENT
    waited = [heard for heard in told if any("waiting for another caffdet" in line for line in heard.lines)]
    assert len(waited) == 3


def test_without_locks_everybody_has_a_part_of_his_own(server, tmp_path):
    server.put("/x", CONTENT)
    part = Part(tmp_path / "x.pth", shared=False)
    download(f"{server.address}/x", part, Facts(), Meter(), HASTY)
    assert str(os.getpid()) in part.path.name
    part.close()
    assert names(tmp_path) == []


def test_a_lock_is_given_back(tmp_path):
    for _ in range(2):
        with alone(tmp_path / "x", lambda: pytest.fail("nobody has it")) as locked:
            assert locked
