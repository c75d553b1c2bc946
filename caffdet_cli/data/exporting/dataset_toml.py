"""`dataset.toml` beside converted annotations: the [data] table of the settings."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import tomli_w

from caffdet_cli.data.formats.layout import SplitName
from caffdet_cli.data.formats.toml_folder import has_toml, settings_of
from caffdet_cli.settings.base import Spectrum
from caffdet_cli.settings.data import Data
from caffdet_cli.settings.load import load_config

_OWN = ("voc", "yolo")
"""Formats of a user's own data."""


class Known(NamedTuple):
    """What a data set is."""

    format: str
    dataset: str  # the shipped data set that it is
    source: Path
    name: str  # of a user's own
    classes: tuple[str, ...]
    spectra: tuple[Spectrum, ...]
    label_spectrum: Spectrum
    rig: str = ""  # file of the cameras' geometry


RIG = "rig.toml"
"""The name of a copy of it, beside the TOML."""


def dataset_toml(known: Known, splits: Iterable[SplitName]) -> str:
    """The file's text. What is known of a shipped data set comes from there."""
    own = known.format in _OWN  # what learns from random weights
    kind = "caff-lite-dino" if len(known.spectra) == 2 else "lite-dino"
    table = {
        "name": re.sub(r"[^\w.+-]", "-", known.name) if own else known.dataset,
        "root": ".",
        "classes": list(known.classes),
        "label_spectrum": known.label_spectrum,
        "model": f"{kind}-r18" if own else f"{kind}-r50",
        "recipe": "from-scratch" if own else "caff-lite",
        **_shipped(known),
        "rig": RIG if known.rig else "",
        "splits": {split: {"annotations": [f"{split}.json"]} for split in splits},
    }
    document: dict[str, object] = {"data": {key: value for key, value in table.items() if value != ""}}
    alone = load_config(model=str(table["model"])).config.model.spectra == ("rgb",)
    if alone and known.label_spectrum == "ir":  # the shipped models of one spectrum look at RGB
        document["model"] = {"spectra": ["ir"]}
    return tomli_w.dumps(document)


def _shipped(known: Known) -> dict[str, object]:
    """Licence and home page of a shipped data set; of one of single pictures also its model and recipe.

    Of a folder with a `dataset.toml` all that this says and a conversion does not change.
    """
    if known.format in _OWN:
        return {}
    again = known.format == "coco" and has_toml(known.source)
    data = settings_of(known.source) if again else load_config(dataset=known.dataset).config.data
    facts: dict[str, object] = {"licence": data.licence, "homepage": data.homepage}
    if again:
        facts["name"] = data.name
        facts["classes"] = _in_order(known.classes, data.classes)
        if data.thermal != Data().thermal:
            facts["thermal"] = data.thermal.model_dump(mode="json")
    own = load_config(model=data.model).config.model if data.model else None
    single = own is not None and len(own.spectra) == 1  # a set whose pictures are no pairs names what fits it
    if known.format == "coco" or single:
        facts |= {key: value for key, value in (("model", data.model), ("recipe", data.recipe)) if value}
    return facts


def _in_order(classes: Sequence[str], said: Sequence[str]) -> list[str]:
    """Classes in the order that the source's settings say; all of them, where it leaves some out."""
    return [*(name for name in said if name in classes), *(name for name in classes if name not in said)]
