"""Detectors whose files name no classes, as published ones: what `predict` and `weights convert` make of them."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny_detector, tiny_pair_settings, tiny_settings

from caffdet_cli.errors import ConfigError
from caffdet_cli.main import main
from caffdet_cli.models.build import detector
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.settings.model import Input
from caffdet_cli.weights.class_names import with_names
from caffdet_cli.weights.coco_slots import coco_slots
from caffdet_cli.weights.store import read_weights, save_weights

SMALL = Input(short_side=48, max_side=64)


def names(words: str, slots: int) -> tuple[str | None, ...]:
    return with_names(Conventions(), words.split(","), slots).classes


@pytest.fixture
def nameless(tmp_path):
    """Files of a detector of one spectrum with 91 slots, and of a pair detector with 3."""
    single = tiny_settings(input=SMALL, outputs=91, labels="category_ids")
    pair = tiny_pair_settings(input=SMALL, outputs=3, labels="category_ids")
    files = {"single": (single, detector(single, 91)), "pair": (pair, tiny_detector(pair))}
    found = {}
    for name, (settings, network) in files.items():
        known = Conventions(input=SMALL, spectra=settings.spectra, label_spectrum=settings.spectra[0])
        found[name] = tmp_path / f"{name}.safetensors"
        save_weights(found[name], network.state_dict(), settings, known)
    return found


def predicted(file: Path, root: Path, out: Path, *more: str) -> int:
    where = ["--rgb", str(root / "rgb"), "--ir", str(root / "ir"), "-o", str(out), "--score", "0", "--device", "cpu"]
    return main(["predict", "--weights", str(file), *where, "--no-draw", *more])


def found_in(out: Path) -> set[int]:
    return {entry["category_id"] for entry in json.loads((out / "detections.json").read_text())}


def test_released_files_of_coco_find_its_classes_and_others_ask(nameless, make_pairs, tmp_path, capsys, monkeypatch):
    """Upstream trains with 91 slots on any data: their number alone says nothing."""
    root = make_pairs(count=1).root
    assert predicted(nameless["single"], root, tmp_path / "out") == 2
    assert "what its 91 class slots are called" in capsys.readouterr().err
    (tmp_path / "list.toml").write_text(
        '[own]\nkind = "weights"\nabout = "x"\nfile = "single.safetensors"\nurl = "https://x.example/single.safetensors"\n'
        'dataset = "coco"\n'
    )
    monkeypatch.setenv("CAFFDET_REGISTRY", str(tmp_path / "list.toml"))
    assert predicted(nameless["single"], root, tmp_path / "out") == 0
    assert found_in(tmp_path / "out")
    assert found_in(tmp_path / "out") <= {slot for slot, name in enumerate(coco_slots()) if name}
    monkeypatch.delenv("CAFFDET_REGISTRY")
    assert predicted(nameless["single"], root, tmp_path / "again", "--classes", "coco") == 0
    assert found_in(tmp_path / "again") == found_in(tmp_path / "out")


def test_a_pair_detector_asks_for_names_and_takes_them(nameless, make_pairs, tmp_path, capsys):
    root = make_pairs(count=1).root
    assert predicted(nameless["pair"], root, tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert "does not say what its 3 class slots are called; say it: --classes 0=person" in said
    assert not (tmp_path / "out").exists()
    assert predicted(nameless["pair"], root, tmp_path / "all", "--classes", "person, car,deer") == 0
    every = found_in(tmp_path / "all")
    kept = sorted(every)[0]
    assert predicted(nameless["pair"], root, tmp_path / "out", "--classes", f"{kept}=person") == 0
    assert found_in(tmp_path / "out") == {kept}


def test_weights_with_names_keep_their_category_ids():
    known = Conventions(classes=("person", "deer"), category_ids=(7, 9))
    assert with_names(known, ["human", "deer"], 2).category_ids == (7, 9)
    assert with_names(known, ["1=deer"], 2).category_ids == (None, 9)


def test_convert_keeps_names_of_some_slots(nameless, tmp_path):
    out = tmp_path / "named.safetensors"
    assert main(["weights", "convert", str(nameless["pair"]), "-o", str(out), "--classes", "1=person"]) == 0
    conventions = read_weights(out).conventions
    assert conventions.classes == (None, "person", None)
    assert conventions.category_ids == (None, 1, None)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("person", "names 1 classes, the head has 3 slots; 0=NAME,3=OTHER names some"),
        ("3=person", "slot from 0 to 2"),
        ("-1=person", "slot from 0 to 2"),
        ("0=", "SLOT=NAME"),
        ("0=a,car", "SLOT=NAME"),
        ("0=a,0=b", "slot 0 is a already"),
        ("0=a,1=a", "a name twice"),
        ("a,b,", "an empty one"),
        ("coco", "names 91 classes"),
        ("99999999999999999999=a", "slot from 0 to 2"),
    ],
)
def test_what_is_no_name_of_a_slot_is_refused(words, why):
    with pytest.raises(ConfigError, match=why):
        names(words, 3)


@given(st.dictionaries(st.integers(0, 8), st.text("abc xyz", min_size=1).map(str.strip).filter(bool), min_size=1))
def test_names_of_some_slots_are_theirs(wanted):
    if len(set(wanted.values())) < len(wanted):
        return
    found = names(",".join(f"{slot}={name}" for slot, name in wanted.items()), 9)
    assert {slot: name for slot, name in enumerate(found) if name} == wanted
