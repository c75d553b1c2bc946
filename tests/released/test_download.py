"""Fetching from a real server with bad habits: resumed, verified, whole or not at all, one at a time."""

import hashlib
import json
import os
import random
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from file_server import FileServer, serving
from hypothesis import given
from hypothesis import strategies as st

from caffdet_cli.errors import OutputError, RunError, WeightsError
from caffdet_cli.progress import Progress
from caffdet_cli.released.addresses import cached_name, check_typed, is_address, is_safe
from caffdet_cli.released.cache_files import alone
from caffdet_cli.released.checksums import Facts, measure, note_of, parse_note, remembered
from caffdet_cli.released.download import Changed, download
from caffdet_cli.released.fetch import Ways, fetch, fetch_address, size_of, ways
from caffdet_cli.released.meter import Meter, how_far
from caffdet_cli.released.part import Part
from caffdet_cli.released.patience import Patience, from_environment
from caffdet_cli.released.registry import Entry
from caffdet_cli.released.transport import Range, parse_range
from caffdet_cli.released.zenodo import parse_record
from caffdet_cli.weights.known import find_weights

CONTENT = b"PK\x03\x04" + random.Random(0).randbytes(200_000)
OTHER = b"PK\x03\x04" + random.Random(1).randbytes(200_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HASTY = Patience(silence=0.3, tries=3, pause=0.01)
NAME = "weights.pth"


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving() as server:
        yield server


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of weights, this test's own, and no environment that reaches elsewhere."""
    for name in list(os.environ):
        if name.startswith("CAFFDET_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CAFFDET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights"


class Heard(Progress):
    """What was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def warn(self, text: str) -> None:
        self.lines.append(f"warning: {text}")


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def get(server: FileServer, heard: Heard) -> Callable[..., Path]:
    """Fetch the entry at /files/weights.pth; facts of the entry and ways can be said."""

    def call(overwrite: bool = False, mirror: str = "", offline: bool = False, **facts: object) -> Path:
        how = Ways(mirror, offline, HASTY)
        return fetch(entry(server, **facts), how, Meter(heard), overwrite).path

    return call


def entry(server: FileServer, **facts: object) -> Entry:
    plain = Entry("weights", "weights", "some weights", NAME, url=f"{server.address}/files/{NAME}", sha256=SHA256)
    return replace(plain, **facts)  # type: ignore[arg-type]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def final_names(folder: Path) -> list[str]:
    return [name for name in names(folder) if not name.startswith(".")]


# what goes well


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


# what goes wrong: one sentence, exit code 1, nothing under the final name


def refused(get: Callable[..., Path], cache: Path, says: str, **options: object) -> None:
    with pytest.raises(RunError, match=says) as caught:
        get(**options)
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)
    assert final_names(cache) == []


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


# records, mirrors, addresses


def of_record(server: FileServer) -> dict[str, object]:
    return {"sha256": "", "record": f"{server.address}/api/records/7"}


def test_size_and_md5_come_from_the_record_once(server, get, cache):
    server.put_record(7, **{"other.pth": OTHER, NAME: CONTENT})
    server.put(f"/files/{NAME}", CONTENT)
    get(**of_record(server))
    assert get(overwrite=True, **of_record(server)).read_bytes() == CONTENT
    assert len(server.asked_for("/api/records/7")) == 1


def test_a_file_that_is_not_the_records_is_refused(server, get, cache):
    server.put_record(7, **{NAME: CONTENT})
    server.put(f"/files/{NAME}", OTHER)
    refused(get, cache, "md5 .*, not .* as the record .*/api/records/7 says", **of_record(server))


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"files": [{}]}', b"[" * 100_000, b"x" * 5_000_000])
def test_a_record_that_tells_nothing_is_one_sentence(server, get, cache, answer):
    server.put("/api/records/7", answer, kind="application/json")
    server.put(f"/files/{NAME}", CONTENT)
    refused(get, cache, "/api/records/7", **of_record(server))
    assert server.asked_for(f"/files/{NAME}") == []


def test_an_unsteady_record_is_asked_again(server, get):
    server.put_record(7, **{NAME: CONTENT}).statuses = [503]
    server.served["/api/records/7"].cuts = [10]
    server.put(f"/files/{NAME}", CONTENT)
    assert get(**of_record(server)).read_bytes() == CONTENT


def test_a_mirror_is_tried_first(server, get):
    server.put(f"/mirror/{NAME}", CONTENT)
    assert get(mirror=f"{server.address}/mirror").read_bytes() == CONTENT
    assert server.asked_for(f"/files/{NAME}") == []


@pytest.mark.parametrize("content", [None, OTHER])
def test_a_mirror_without_the_file_or_with_another_one_does_no_harm(server, get, heard, content):
    if content is not None:
        server.put(f"/mirror/{NAME}", content)
    server.put(f"/files/{NAME}", CONTENT)
    assert get(mirror=f"{server.address}/mirror").read_bytes() == CONTENT
    assert any(line.startswith("the mirror does not help: ") for line in heard.lines)


def test_a_mirrors_notes_stand_in_for_a_record_out_of_reach(server, get, cache, tmp_path, monkeypatch):
    server.put(f"/files/{NAME}", CONTENT)
    get(sha256="")
    note = note_of(cache / NAME).read_bytes()
    monkeypatch.setenv("CAFFDET_CACHE", str(tmp_path / "another"))
    server.put(f"/mirror/{NAME}", CONTENT)
    server.put(f"/mirror/{NAME}.json", note, kind="application/json")
    facts = {"sha256": "", "record": f"{server.address}/nowhere", "url": f"{server.address}/nowhere"}
    assert get(mirror=f"{server.address}/mirror", **facts).read_bytes() == CONTENT
    server.put(f"/mirror/{NAME}", OTHER)
    with pytest.raises(RunError):
        get(mirror=f"{server.address}/mirror", overwrite=True, **facts)


def test_a_mirrors_notes_check_what_nobody_else_does(server, get, cache, heard):
    mirror = f"{server.address}/mirror"
    server.put(f"/mirror/{NAME}", OTHER)
    note = {"size": len(CONTENT), "sha256": SHA256, "md5": hashlib.md5(CONTENT).hexdigest()}
    server.put(f"/mirror/{NAME}.json", json.dumps(note).encode())
    server.put(f"/files/{NAME}", OTHER)
    refused(get, cache, "as the mirror's note", mirror=mirror, sha256="")
    server.put(f"/mirror/{NAME}.json", json.dumps({**note, "checked": False}).encode())
    assert get(mirror=mirror, sha256="").read_bytes() == OTHER
    assert any("never checked" in line for line in heard.lines)


@pytest.mark.parametrize("note", [None, b"{}", b'{"size": 1, "md5": "%b", "sha256": "%b"}' % (b"0" * 32, b"0" * 64)])
def test_a_mirror_without_a_fitting_note_serves_what_the_list_knows(server, get, cache, note):
    server.put(f"/mirror/{NAME}", CONTENT)
    if note:
        server.put(f"/mirror/{NAME}.json", note)
    assert get(mirror=f"{server.address}/mirror", sha256=SHA256[:8]).read_bytes() == CONTENT


def test_what_lies_behind_a_login_is_for_a_person(server, get):
    facts = {"url": "", "page": "https://drive.example/folder"}
    with pytest.raises(
        WeightsError, match=r"open https://drive.example/folder, save .* caffdet weights add weights.pth"
    ):
        get(**facts)
    server.put(f"/mirror/{NAME}", CONTENT)
    assert get(mirror=f"{server.address}/mirror", **facts).read_bytes() == CONTENT


def test_sizes_can_be_known_before(server, heard):
    server.put_record(7, **{NAME: CONTENT})
    server.put(f"/files/{NAME}", CONTENT + b"..")
    how, meter = Ways(patience=HASTY), Meter(heard)
    assert size_of(entry(server, **of_record(server)), how, meter) == len(CONTENT)
    assert size_of(entry(server), how, meter) == len(CONTENT) + 2
    assert server.asked[-1].method == "HEAD"
    assert size_of(entry(server, size=5), how, meter) == 5
    assert size_of(entry(server), Ways(offline=True), meter) is None
    assert size_of(entry(server, url=f"{server.address}/gone"), how, meter) is None
    assert heard.lines[-1].startswith("warning: weights: ")


def test_an_address_is_fetched_once_and_told(server, heard, cache):
    server.put("/a/best%20one.pth?x=1", CONTENT)
    address = f"{server.address}/a/best%20one.pth?x=1"
    place = find_weights(address, heard)
    assert place.read_bytes() == CONTENT
    assert place.parent == cache
    assert place.name.startswith("best_one-")
    assert place.suffix == ".pth"
    assert address.removesuffix("?x=1") in heard.lines[0]
    assert find_weights(address) == place
    assert len(server.asked) == 1


def test_an_address_without_progress_is_told_on_standard_error(server, capsys):
    server.put("/x.pth", CONTENT)
    find_weights(f"{server.address}/x.pth")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"caffdet: fetching {server.address}/x.pth into ")


def test_an_address_is_not_fetched_offline(server, monkeypatch):
    server.put("/x.pth", CONTENT)
    monkeypatch.setenv("CAFFDET_OFFLINE", "1")
    with pytest.raises(WeightsError, match="offline"):
        find_weights(f"{server.address}/x.pth")
    assert server.asked == []


def test_a_damaged_file_of_an_address_is_told_with_the_way_around(server):
    server.put("/x.pth", CONTENT)
    place = find_weights(f"{server.address}/x.pth", Heard())
    place.write_bytes(CONTENT[:-1])
    with pytest.raises(RunError, match=r"is damaged: 200003 bytes, not 200004 .* remove it, and the same command"):
        find_weights(f"{server.address}/x.pth", Heard())
    place.unlink()
    assert find_weights(f"{server.address}/x.pth", Heard()).read_bytes() == CONTENT


@pytest.mark.parametrize("habits", [{}, {"cuts": [5000, 0, 0, 0, 0]}, {"statuses": [403]}, {"statuses": [404]}])
def test_what_may_be_a_secret_in_an_address_is_neither_said_nor_written(server, heard, cache, habits):
    address = f"{server.address}/x.pth?token=HUSH"
    server.put("/x.pth?token=HUSH", CONTENT, **habits)
    with suppress(RunError):
        try:
            fetch_address(address, Ways(patience=HASTY), Meter(heard))
        except RunError as error:
            heard.say(str(error))
            raise
    with pytest.raises(WeightsError) as caught:
        fetch_address(f"{address}2", Ways(offline=True), Meter(heard))
    assert "HUSH" not in " ".join([*heard.lines, str(caught.value)])
    written = [path.read_bytes() for path in cache.iterdir()]
    assert written
    assert not any(b"HUSH" in each for each in written)


def test_with_a_query_what_came_is_gone_on_with(server, heard):
    server.put("/x.pth?token=HUSH", CONTENT, cuts=[5000])
    fetch_address(f"{server.address}/x.pth?token=HUSH", Ways(patience=HASTY), Meter(heard))
    assert server.asked[1].headers["range"] == "bytes=5000-"


def test_the_address_of_a_released_file_is_that_file(server, tmp_path, monkeypatch):
    own = tmp_path / "own.toml"
    address = f"{server.address}/files/mine.pth"
    own.write_text(
        f'[mine]\nkind = "weights"\nabout = "mine"\nfile = "mine.pth"\nurl = "{address}"\nsha256 = "{SHA256}"\n'
    )
    monkeypatch.setenv("CAFFDET_REGISTRY", str(own))
    server.put("/files/mine.pth", CONTENT)
    assert fetch_address(f"{address}?download=1", ways(), Meter()).name == "mine.pth"


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("ftp://example.org/x.pth", "begins with https://"),
        ("file:///etc/passwd", "begins with https://"),
        ("https://", "begins with https://"),
        ("https://[::1/x", "begins with https://"),
        ("https://example.org:99999/x", "begins with https://"),
        ("https://example.org/a b", "has %20 for spaces"),
        ("https://example.org/\n", "begins with https://"),
        ("https://me:secret@example.org/x.pth", "carries a user name"),
    ],
)
def test_addresses_that_cannot_be_opened_are_refused(address, says):
    with pytest.raises(WeightsError, match=says) as caught:
        find_weights(address)
    assert "secret" not in str(caught.value)


def test_only_https_is_opened_unless_somebody_typed_it():
    assert is_safe("https://example.org/x")
    assert is_safe("http://localhost:80/x")
    assert not is_safe("http://example.org/x")
    check_typed("http://example.org/x")


@given(st.text(max_size=300), st.text(max_size=20))
def test_names_in_the_cache_never_leave_it(path, query):
    name = cached_name(f"https://example.org/{quote(path)}?{quote(query)}")
    assert Path(name).name == name
    assert not name.startswith(".")
    assert name.isascii()
    assert len(name) < 120


def test_every_address_has_its_own_name():
    assert cached_name("https://a.org/x.pth") != cached_name("https://b.org/x.pth")
    assert cached_name("https://a.org/../../etc/passwd").startswith("passwd-")
    assert cached_name("https://a.org/%2e%2e%2fx.PTH").endswith(".pth")


@pytest.mark.parametrize("text", ["C:\\weights.pth", "runs/best", "weights.pth", "~/x", ""])
def test_files_are_no_addresses(text):
    assert not is_address(text)


# proxies and certificates


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
