"""The list of released files: what it says holds together, and what somebody adds is checked."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffdet_cli.errors import ConfigError, WeightsError
from caffdet_cli.paths import shipped
from caffdet_cli.released.fetch import by_hand, place_of
from caffdet_cli.released.registry import KINDS, chosen, read_registry, registry
from caffdet_cli.settings.load import load_config, names
from caffdet_cli.weights.known import find_weights, how_to_get

SHIPPED = read_registry(shipped("configs") / "weights.toml")
PLAIN = {"kind": '"weights"', "about": '"mine"', "file": '"mine.pth"', "url": '"https://example.org/mine.pth"'}


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAFFDET_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CAFFDET_REGISTRY", raising=False)


@pytest.mark.parametrize("entry", SHIPPED, ids=lambda entry: entry.name)
def test_an_entry_holds_together(entry):
    assert entry.kind in KINDS
    if entry.url:
        assert entry.url.endswith(f"/{entry.file}")
    if entry.record:
        assert entry.url.startswith(entry.record.replace("/api/", "/"))
    if entry.configuration:
        load_config(model=entry.configuration, overrides=entry.settings)
    assert entry.configuration or not entry.settings
    assert set(entry.published) <= {"AP", "AP50", "AP75"}
    assert entry.facts()["name"] == entry.name


def test_streams_are_those_of_the_configuration():
    for entry in SHIPPED:
        if entry.configuration and entry.stream_order:
            assert load_config(model=entry.configuration).config.model.spectra == entry.stream_order


def test_published_lite_dino_files_are_named_after_their_ap():
    for entry in SHIPPED:
        if entry.name.startswith("lite-dino"):
            assert f"_{100 * entry.published['AP']:.1f}.pth" in entry.file


def test_every_recipe_starts_from_a_released_file():
    recipes = [
        load_config(files=[shipped.path]).config.train.weights for shipped in names() if shipped.kind == "recipe"
    ]
    assert set(filter(None, recipes)) <= set(registry())


def test_files_have_different_names():
    files = [entry.file.lower() for entry in SHIPPED]
    assert len(set(files)) == len(files)


def own(tmp_path: Path, **facts: str | None) -> Path:
    path = tmp_path / "own.toml"
    lines = [f"{key} = {value}" for key, value in {**PLAIN, **facts}.items() if value is not None]
    path.write_text("\n".join(["[mine]", *lines]), encoding="utf-8")
    return path


def test_a_groups_own_list_is_added(tmp_path, monkeypatch):
    monkeypatch.setenv("CAFFDET_REGISTRY", str(own(tmp_path)))
    assert list(registry())[-1] == "mine"
    assert len(registry()) == len(SHIPPED) + 1


def test_a_missing_list_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("CAFFDET_REGISTRY", str(tmp_path / "nowhere.toml"))
    with pytest.raises(ConfigError, match=r"nowhere.toml: No such file.* \$CAFFDET_REGISTRY"):
        registry()


def test_a_file_name_that_is_taken_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("CAFFDET_REGISTRY", str(own(tmp_path, file='"R50_s3ex3_50.4.PTH"')))
    with pytest.raises(ConfigError, match="mine and lite-dino-r50-coco have the same file name"):
        registry()


def test_a_name_that_is_shipped_is_refused(tmp_path, monkeypatch):
    path = own(tmp_path)
    path.write_text(path.read_text().replace("[mine]", "[resnet50-imagenet]"))
    monkeypatch.setenv("CAFFDET_REGISTRY", str(path))
    with pytest.raises(ConfigError, match=r"\[resnet50-imagenet\]: caffdet ships a file of this name"):
        registry()


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"kind": '"wieghts"'}, "kind = 'wieghts' is none of weights"),
        ({"kind": None}, "kind is missing"),
        ({"file": None}, "file is missing"),
        ({"about": '""'}, "about is missing"),
        ({"url": None}, "needs either url, or page"),
        ({"page": '"https://example.org"'}, "needs either url, or page"),
        ({"url": '"http://example.org/x"'}, "is no https address"),
        ({"url": '"file:///etc/passwd"'}, "is no https address"),
        ({"record": '"ftp://example.org/x"'}, "is no https address"),
        ({"file": '"../evil.pth"'}, "cannot be a file"),
        ({"file": '"/etc/passwd"'}, "cannot be a file"),
        ({"file": '".hidden"'}, "cannot be a file"),
        ({"file": '"a/b"'}, "cannot be a file"),
        ({"file": '"C:\\\\x"'}, "cannot be a file"),
        ({"file": '"note.json"'}, "cannot be a file; .json, .part and .lock are taken"),
        ({"size": '"big"'}, "size = 'big' is not of the kind"),
        ({"size": "-1"}, "size = -1"),
        ({"size": "true"}, "size = True"),
        ({"md5": '"abc"'}, "is no md5"),
        ({"sha256": '"0676BA61"'}, "is no sha256"),
        ({"published": "{ AP = 50.4 }"}, "published = "),
        ({"stream_order": '"ir"'}, "stream_order = "),
        ({"licens": '"MIT"'}, "'licens' is no fact .* did you mean 'licence'"),
        ({"about": '"unfinished'}, "cannot read"),
    ],
)
def test_a_wrong_entry_is_told_with_its_place(tmp_path, facts, says):
    with pytest.raises(ConfigError, match=says) as caught:
        read_registry(own(tmp_path, **facts))
    assert "own.toml" in str(caught.value)


@pytest.mark.parametrize("content", [b"x = 1", b"\xff", b"[[", b"a = " + b"[" * 100_000, b"#" * 2_000_000])
def test_a_file_that_is_no_list_is_told(tmp_path, content):
    path = tmp_path / "own.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"own\.toml"):
        read_registry(path)


@given(st.text(min_size=1, max_size=30))
def test_a_file_of_any_name_stays_in_the_cache(tmp_path_factory, name):
    path = tmp_path_factory.getbasetemp() / "any.toml"
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    path.write_bytes(f'[x]\nkind="log"\nabout="x"\nurl="https://a.org/x"\nfile="{quoted}"'.encode(errors="replace"))
    try:
        entry = read_registry(path)[0]
    except ConfigError:
        return
    assert place_of(entry).parent.name == "weights"
    assert place_of(entry).name == entry.file
    assert not entry.file.startswith(".")


def test_an_unknown_name_is_told_with_one_like_it():
    with pytest.raises(WeightsError, match="'caff-lite-dino-r50-llvp'; did you mean 'caff-lite-dino-r50-llvip'"):
        chosen(["caff-lite-dino-r50-llvp"])
    assert [entry.name for entry in chosen(["flir-annotations", "flir-annotations"])] == ["flir-annotations"]


def test_what_is_not_at_hand_names_the_command_that_fetches_it():
    with pytest.raises(
        WeightsError, match=r"are not at hand. To fetch them:\n  caffdet download-weights lite-dino-r50-coco"
    ):
        find_weights("lite-dino-r50-coco")


def test_what_a_person_must_fetch_names_the_page_and_the_command():
    entry = registry()["dino-swin-l-5scale-coco"]
    with pytest.raises(WeightsError, match=r"open https://drive.google.com/.* caffdet weights add checkpoint0027"):
        find_weights(entry.name)
    assert entry.page in by_hand(entry)
    assert how_to_get(entry) == f"caffdet weights add {entry.file}"


def test_annotations_are_no_weights():
    with pytest.raises(WeightsError, match="llvip-annotations is no file of weights"):
        find_weights("llvip-annotations")


def test_a_released_file_at_hand_is_found_by_name():
    place = place_of(registry()["caff-lite-dino-r50-flir"])
    place.parent.mkdir(parents=True)
    place.touch()
    assert find_weights("caff-lite-dino-r50-flir") == place
