"""`dataset.toml` beside converted annotations: the [data] table of the settings."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import tomli_w

from caffdet_cli.data.formats.coco_folder import is_converted
from caffdet_cli.data.formats.layout import SplitName
from caffdet_cli.settings.base import Spectrum
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
        "splits": {split: {"annotations": [f"{split}.json"]} for split in splits},
    }
    document: dict[str, object] = {"data": {key: value for key, value in table.items() if value != ""}}
    alone = load_config(model=str(table["model"])).config.model.spectra == ("rgb",)
    if alone and known.label_spectrum == "ir":  # the shipped models of one spectrum look at RGB
        document["model"] = {"spectra": ["ir"]}
    return tomli_w.dumps(document)


def _shipped(known: Known) -> dict[str, str]:
    """Licence and home page of a shipped data set; of one of single pictures also its model and recipe."""
    if known.format in _OWN:
        return {}
    again = known.format == "coco" and is_converted(known.source)
    data = load_config(dataset=str(known.source) if again else known.dataset).config.data
    facts = {"licence": data.licence, "homepage": data.homepage}
    if again:
        facts["name"] = data.name
    own = load_config(model=data.model).config.model if data.model else None
    single = own is not None and len(own.spectra) == 1  # a set whose pictures are no pairs names what fits it
    if known.format == "coco" or single:
        facts |= {key: value for key, value in (("model", data.model), ("recipe", data.recipe)) if value}
    return facts
