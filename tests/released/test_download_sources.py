"""Where a file may come from: records, mirrors, addresses that somebody typed."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pytest
from fetching import CONTENT, HASTY, NAME, OTHER, SHA256, Heard, entry, refused
from file_server import FileServer
from hypothesis import given
from hypothesis import strategies as st

from caffdet_cli.errors import RunError, WeightsError
from caffdet_cli.released.addresses import cached_name, check_typed, is_address, is_safe
from caffdet_cli.released.checksums import note_of
from caffdet_cli.released.fetch import Ways, fetch_address, size_of, ways
from caffdet_cli.released.meter import Meter
from caffdet_cli.weights.known import find_weights


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
