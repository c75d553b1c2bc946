"""KAIST Multispectral Pedestrian as it is published, and in its usual re-packed forms.

    images/setSS/VVVV/{visible,lwir}/IIIIII.jpg      or flat, see `kaist_index`
    imageSets/{train-all-02,test-all-20}.txt         lists of frames, `set06/V000/I00019`
    KAIST_annotation.json                            improved annotations of the test split
    annotations_improved/setSS/VVVV/IIIIII.txt       the same as text
    annotations_sanitized/setSS/VVVV/IIIIII.txt      for training; annotations_original/ likewise
    annotations_paired/setSS/VVVV/{visible,lwir}/IIIIII.txt      for training, each spectrum by itself
    annotations/                                     text, or Pascal VOC files; told by which frames it has

Sets 00-05 are for training, 06-11 are the test. Which annotations count is chosen for training only: the test is
scored by the improved ones, whatever was asked for. Boxes that reach out of the picture stay as they are.
Sources: Hwang et al., CVPR 2015; Liu et al., BMVC 2016 (improved); Li et al., BMVC 2018 (sanitized); Zhang et al.,
ICCV 2019 (paired).
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from caffdet_cli.data.annotations import AnnotationSet
from caffdet_cli.data.formats.frames import read_frames
from caffdet_cli.data.formats.kaist_index import Named, has_frames, index, set_number
from caffdet_cli.data.formats.kaist_json import read_kaist_json
from caffdet_cli.data.formats.kaist_lists import listed
from caffdet_cli.data.formats.kaist_sources import (
    RELEASES,
    SETS,
    Source,
    Sources,
    has_annotations,
    improved_json,
    of_split,
)
from caffdet_cli.data.formats.kaist_text import PERSON, read_kaist
from caffdet_cli.data.formats.label_policy import policy_of
from caffdet_cli.data.formats.layout import PICTURES, Frame, Frames, Raw, Request, SplitName, subfolder
from caffdet_cli.errors import DatasetError
from caffdet_cli.settings.base import Spectrum

LOOKS = "images/setSS/VVVV/{visible,lwir}/*.jpg beside annotations/setSS/VVVV/*.txt or KAIST_annotation.json"

_TEST_FRAMES = 2252  # of test-all-20


def looks_like_kaist(source: Path) -> bool:
    """Whether a folder has pairs of frames of KAIST, and annotations."""
    return _pictures_folder(source) is not None and has_annotations(source)


def read_kaist_folder(request: Request) -> Raw:
    """The splits that have pictures and annotations.

    Raises:
        DatasetError: the annotations that were asked for are not there, or nothing is usable.
    """
    return _Reading(request).raw()


class _Reading:
    def __init__(self, request: Request):
        self._request = request
        self._spectrum: Spectrum = policy_of(request.labels, request.label_spectrum)[1]
        self._pictures = index(_pictures_folder(request.source) or request.source, PICTURES, request)
        self._ids: dict[str, int | str] = {}
        self._releases: dict[SplitName, str] = {}

    def raw(self) -> Raw:
        sources, request = Sources(self._request), self._request
        has = {split: bool(of_split([*self._pictures.rgb, *self._pictures.ir], split)) for split in SETS}
        sets: dict[SplitName, AnnotationSet] = {}
        frames: Frames = {}
        if has["train"] and request.variant != "improved":
            self._add("train", sources.train(), frames)
        path = improved_json(request.source) if has["test"] else None
        if path is not None:
            sets["test"] = read_kaist_json(path, self._pictures, request, self._spectrum)
            self._releases["test"] = RELEASES["improved"]
        elif has["test"]:
            self._add("test", sources.test(), frames)
        self._check_labels(frames)
        if frames:
            sets |= self._read(frames, sets.get("test"))
        if not sets:
            raise DatasetError(f"{request.source}: there are pictures, and no annotations of their sets")
        if "test" in sets:
            self._note_number(sets["test"])
        told = "; ".join(f"{split}: {self._releases[split]}" for split in SETS if split in sets)
        return Raw({split: sets[split] for split in SETS if split in sets}, ("rgb", "ir"), told, whole_boxes=True)

    def _add(self, split: SplitName, source: Source | None, frames: Frames) -> None:
        """Frames of a split by a list or by the official rule."""
        if source is None:
            what = f"there are pictures of {split} sets, and no annotations of them"
            self._request.findings.add("no annotations", split, what, "noted")
            return
        annotated = source.files.names()
        known = of_split({*self._pictures.names(), *annotated}, split)
        names, ids = listed(split, known, self._request)
        names = self._of_its_sets(names, split)
        if source.is_subset and (bare := [name for name in names if name not in annotated]):
            what = f"{len(bare)} frames of the list, for example {bare[0]}; they are not read"
            self._request.findings.add("not annotated", split, what, "noted")
            names = [name for name in names if name in annotated]
        frames[split] = [self._frame(name, source.files) for name in names]
        self._ids.update(ids)
        self._releases[split] = source.release

    def _of_its_sets(self, names: Iterable[str], split: SplitName) -> list[str]:
        """Frames of the split's sets; a list that mixes them would train on the test."""
        kept = []
        for name in names:
            if set_number(name) in SETS[split]:
                kept.append(name)
            else:
                self._request.findings.saw(pictures=1)
                what = f"its set is not one of {split}"
                self._request.findings.add("in the wrong split", name, what, "dropped", pictures=1)
        return kept

    def _frame(self, name: str, files: Named) -> Frame:
        own, other = (files.ir, files.rgb) if self._spectrum == "ir" else (files.rgb, files.ir)
        rgb, ir = self._pictures.rgb.get(name), self._pictures.ir.get(name)
        if name in files.both:
            return Frame(name, rgb, ir, files.both[name])
        return Frame(name, rgb, ir, own.get(name), other.get(name))

    def _read(self, frames: Frames, test: AnnotationSet | None) -> dict[SplitName, AnnotationSet]:
        """Annotation sets; the class has the id that it has in the file of the test split, where there is one."""
        request = self._request if test is None else replace(self._request, first_category_id=test.categories[0].id)
        return read_frames(
            frames, request, label_spectrum=self._spectrum, classes=(PERSON,), ids=self._ids, read=read_kaist
        )

    def _check_labels(self, frames: Frames) -> None:
        apart = any(frame.other_annotation for some in frames.values() for frame in some)
        if self._request.labels is not None and not apart:
            raise DatasetError(
                f"--labels {self._request.labels}: only the paired annotations label each spectrum by itself, and none "
                f"of {self._request.source} are read; --label-spectrum says in whose pixels boxes are"
            )

    def _note_number(self, test: AnnotationSet) -> None:
        if len(test.examples) != _TEST_FRAMES:
            what = f"{len(test.examples)} test frames; numbers in papers are of the {_TEST_FRAMES} of test-all-20"
            self._request.findings.add("other test frames", "test", what, "noted")


def _pictures_folder(source: Path) -> Path | None:
    """Where the pictures of pairs are."""
    folders = (subfolder(source, "images", "JPEGImages"), source)
    found = (folder for folder in folders if folder is not None and has_frames(folder, PICTURES, spectrum=True))
    return next(found, None)
