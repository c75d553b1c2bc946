"""Which annotations of KAIST a split has: four were published, and copies keep them in folders of many names."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from caffdet_cli.data.formats.kaist_index import Named, has_frames, index, set_number
from caffdet_cli.data.formats.kaist_json import find_kaist_json
from caffdet_cli.data.formats.kaist_lists import is_listed_by_rule
from caffdet_cli.data.formats.layout import Request, SplitName, subfolder
from caffdet_cli.errors import DatasetError

VARIANTS = ("sanitized", "paired", "original", "improved")
"""Of the training split, the first that is there unless one is named; `improved`: the test split alone."""

SETS: dict[SplitName, range] = {"train": range(6), "test": range(6, 12)}

RELEASES = {
    "sanitized": "sanitized (Li et al., 2018)",
    "paired": "paired (Zhang et al., 2019)",
    "original": "original (Hwang et al., 2015)",
    "improved": "improved (Liu et al., 2016)",
}
_SUBSETS = ("sanitized", "paired")  # known to leave frames of train-all-02 out
_UNTOLD = ""  # `annotations/`, which does not say what it holds
_SUFFIXES = (".txt", ".xml")


class Source(NamedTuple):
    """Annotations of one split."""

    files: Named
    release: str  # which ones these are, in words
    is_subset: bool = False


def has_annotations(source: Path) -> bool:
    """Whether a folder has annotations of any kind."""
    return any(_folder(source, name) for name in (*VARIANTS, _UNTOLD)) or improved_json(source) is not None


def improved_json(source: Path) -> Path | None:
    """The improved annotations of the test split as one file.

    Raises:
        DatasetError: there are several.
    """
    return find_kaist_json(source, subfolder(source, "annotations"))


def of_split(names: Iterable[str], split: SplitName) -> list[str]:
    """Frames whose set is one of the split's."""
    return [name for name in names if set_number(name) in SETS[split]]


class Sources:
    """The annotation folders of a data set; each is looked through once."""

    def __init__(self, request: Request):
        self._request = request
        self._seen: dict[Path, Named] = {}

    def train(self) -> Source | None:
        """Of the training split: those that were asked for, else the first of `VARIANTS`.

        Raises:
            DatasetError: those that were asked for are not there.
        """
        asked, folder = self._request.variant, self._request.source
        for variant in VARIANTS[:3] if asked is None else (asked,):
            if files := self._files(variant, "train"):
                return Source(files, RELEASES[variant], variant in _SUBSETS)
        files = self._files(_UNTOLD, "train") if asked in (None, "original") else None
        if files is not None:
            whole = any(not is_listed_by_rule("train", name) for name in files.names())
            told = RELEASES["original"] if whole or asked else "those of annotations/, which does not say what it holds"
            return Source(files, told)
        if asked is not None:
            raise DatasetError(
                f"{folder} has no annotations of training sets in annotations_{asked}, which --variant {asked} reads; "
                "give their folder that name, or leave --variant out"
            )
        return None

    def test(self) -> Source | None:
        """Of the test split, where they are no JSON file: the improved ones, else what there is, with a finding."""
        if files := self._files("improved", "test"):
            return Source(files, RELEASES["improved"])
        if files := self._files(_UNTOLD, "test"):
            if all(is_listed_by_rule("test", name) for name in files.names()):
                what = "taken for the improved ones: only frames of test-all-20 have some"
                self._request.findings.add("annotations told by their frames", "annotations", what, "noted")
                return Source(files, RELEASES["improved"])
        else:
            files = self._files("original", "test")
        if files is None:
            return None
        what = "the original ones; numbers in papers are of the improved ones, which KAIST_annotation.json has"
        self._request.findings.add("original test annotations", "annotations", what, "kept")
        return Source(files, f"{RELEASES['original']}, not the improved ones")

    def _files(self, variant: str, split: SplitName) -> Named | None:
        """Annotations of a split's sets; None where there are none."""
        folder = _folder(self._request.source, variant)
        if folder is None:
            return None
        if folder not in self._seen:
            self._seen[folder] = index(folder, _SUFFIXES, self._request)
        files = Named(*({name: some[name] for name in of_split(some, split)} for some in self._seen[folder]))
        return files if files.names() else None


def _folder(source: Path, variant: str) -> Path | None:
    plain = subfolder(source, "annotations")
    if variant == _UNTOLD:
        return plain if plain is not None and has_frames(plain, _SUFFIXES) else None
    named = subfolder(source, f"annotations_{variant}", f"annotations-{variant}", f"{variant}_annotations")
    return named or (None if plain is None else subfolder(plain, variant))
