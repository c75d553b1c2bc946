"""One parity case: what was recorded, the inputs and weights it was recorded with, and the comparison.

A runner computes what the case asks for with this project's code and calls `case.check(name, actual)` for every
recorded array, then `case.finish(...)`. `finish` fails when an array is out of its tolerance, and also when a recorded
array was neither compared nor named with a reason why it need not be, so that a runner cannot pass by doing nothing.
The rules (inputs, tolerance classes, order) are those of `shared/parity/README.md`; the values come from `protocol.py`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import protocol
import pytest
from comparing import (
    Difference,
    allowed_of,
    as_array,
    batched,
    compare,
    match_detections,
    sentence,
    share_of,
    summary_of,
)

STATISTICS = (
    ".stats",
    "__stats",
    "/stats",
)  # suffixes of [mean, population standard deviation, largest absolute value]
LOGGED = ("cardinality_error", "class_error", "loss_xy", "loss_hw")  # figures of a loss case that are not in its total
CHECKPOINT_FILES = ("case.json", "state_dict.json", "tied_keys.json")  # how a case is made, not what it recorded


class Case:
    """The folder `<family>/<case>` of a parity case."""

    def __init__(self, folder: Path, strict: bool = False):
        self.folder = folder
        self.strict = strict
        self.facts: dict[str, Any] = json.loads((folder / "case.json").read_text(encoding="utf-8"))
        self.family: str = self.facts["family"]
        self.kind: str = self.facts["kind"]
        self.name = f"{folder.parent.name}/{folder.name}"
        self.differences: dict[str, Difference] = {}
        self.finished = False
        self._given: set[str] = set()

    # What the case holds

    @cached_property
    def golden(self) -> dict[str, np.ndarray]:
        """The recorded arrays, statistics left out. Reading one here does not count as comparing it."""
        return {name: array for name, array in self._arrays.items() if not self._is_statistic(name)}

    def statistics(self, name: str) -> np.ndarray | None:
        """Recorded [mean, population standard deviation, abs-max] of the whole array `name`."""
        return next((self._arrays[name + end] for end in STATISTICS if name + end in self._arrays), None)

    def is_full(self, name: str) -> bool:
        """Whether all of `name` is recorded, in its own shape, and not every n-th value."""
        shape = self._shape(name)
        return name in self.golden and (shape is None or self.golden[name].shape == shape)

    def given(self, name: str) -> np.ndarray:
        """A recorded array that this case is given (targets, masks, shapes) instead of computing it."""
        self._given.add(name)
        return self.golden[name]

    def input(self, name: str) -> np.ndarray:
        """The input called `name`: recorded, written out in case.json, or noise with its transform."""
        entry = self.inputs.get(name, {})
        if name in self.golden and self.is_full(name) and _fits(self.golden[name], entry.get("shape")):
            return self.given(name)
        if "value" in entry:
            return np.asarray(entry["value"])
        if not entry:
            raise KeyError(f"{self.name} has no input {name!r}; it has {sorted(self.inputs)}")
        noise = protocol.noise(name, tuple(entry["shape"]), self.facts["salt"])
        return _transformed(noise, entry.get("transform", {}))

    @property
    def inputs(self) -> dict[str, dict[str, Any]]:
        """The entries of `inputs` by name."""
        entries = self.facts.get("inputs") or ()
        return {entry["name"]: entry for entry in entries if isinstance(entry, dict)}

    def file(self, name: str) -> Any:
        """The parsed JSON file `name` of the case."""
        return json.loads((self.folder / name).read_text(encoding="utf-8"))

    def weights(self, part: str = "") -> dict[str, np.ndarray]:
        """Every parameter and float buffer by its published key; `part` as in `protocol.load`."""
        return protocol.load(self.folder, part)

    @property
    def losses(self) -> dict[str, float]:
        """Recorded loss terms by their published names, before their weights."""
        return dict(self._first("losses", "loss", "loss_dict", default={}))

    @property
    def loss_weights(self) -> dict[str, float]:
        """Recorded weights of the loss terms."""
        return dict(self._first("weights", "loss_weights", "weight_dict", default={}))

    @property
    def total(self) -> float | None:
        """Recorded weighted sum of the loss terms."""
        return self._first("total", "weighted_total", "loss_total", default=None)

    # Tolerances

    def class_of(self, name: str, ordered: bool = False) -> str:
        """The tolerance class of `name`: "set" first (unless `ordered`), then the longest prefix, then "forward"."""
        classes = {key: tuple(prefixes) for key, prefixes in self.facts.get("tolerance_arrays", {}).items()}
        if name.startswith(classes.pop("set", ())) and not ordered:
            return "set"
        classes["exact"] = tuple(self.facts["tolerance"].get("exact", ()))
        found = [
            (len(prefix), key) for key, prefixes in classes.items() for prefix in prefixes if name.startswith(prefix)
        ]
        return max(found)[1] if found else "forward"

    def tolerance_of(self, name: str, ordered: bool = False) -> dict[str, float] | None:
        """`{"atol", "rtol_absmax"}` of `name`; None where it must be equal."""
        return self._tolerance(self.class_of(name, ordered))

    # Comparing

    def check(self, name: str, actual: Any, ordered: bool = False) -> None:
        """Compare a whole array of ours with what was recorded of it; nothing happens where nothing was recorded.

        An array whose order is not safe is compared as a set of integers per row, unless `ordered` says that recorded
        values were forced upstream of it.
        """
        if name not in self.golden:
            return
        ours, kind = as_array(actual), self.class_of(name, ordered)
        if kind == "set":
            self._check_set(name, ours)
            return
        shape = self._shape(name)
        if shape is not None and ours.shape != shape:
            self._add(Difference(name, math.inf, math.inf, f"shape {ours.shape}, recorded {shape}"))
            return
        tolerance = self._tolerance(kind)
        self._add(compare(name, self.golden[name], protocol.stored(ours, self._how(name)), tolerance))
        statistics = self.statistics(name)
        if statistics is not None:
            found = compare(name, statistics, summary_of(ours), tolerance or self._tolerance("forward"))
            self._add(found._replace(detail="[mean, std, abs-max]"))

    def check_value(self, name: str, recorded: Any, actual: Any, detail: str = "", kind: str | None = None) -> None:
        """Compare numbers or lists that stand in a file or in case.json, by the tolerance class `kind` or of `name`."""
        tolerance = self._tolerance(kind or self.class_of(name))
        theirs, ours = as_array(recorded), as_array(actual)
        if theirs.size == 0 and ours.size == 0:
            theirs = ours  # JSON writes (0, 4) as []
        found = compare(name, theirs, ours, tolerance)
        self._add(found if found.detail else found._replace(detail=detail))

    def check_exact(self, name: str, recorded: Any, actual: Any, detail: str = "") -> None:
        """Compare two JSON-like values (text, numbers, lists, tables) that must be equal."""
        same = recorded == json.loads(json.dumps(actual))
        self._add(Difference(name, 0.0 if same else math.inf, 0.0 if same else math.inf, detail))

    def check_loss(self, name: str, recorded: float, actual: Any) -> None:
        """Compare one loss value."""
        self.check_value(f"losses[{name}]", recorded, float(actual), kind="loss")

    def check_losses(self, terms: Mapping[str, Any], total: Any) -> None:
        """Compare every recorded loss term (unweighted, published names) and the weighted total.

        Figures that are only logged are compared where `terms` has them.
        """
        for name, recorded in self.losses.items():
            if name in terms:
                self.check_loss(name, recorded, terms[name])
            elif not name.startswith(LOGGED):
                self._add(Difference(f"losses[{name}]", math.inf, math.inf, "not computed"))
        if self.total is not None:
            self.check_loss("total", self.total, total)
        self.check("total", total)

    def check_gradients(self, norms: Mapping[str, float | None], table: str | None = None) -> None:
        """Compare L2 norms of gradients by published key with gradients.json (its `table` where it has several).

        None means that a parameter has no gradient. A parameter with a gradient that the file does not list fails.
        """
        recorded = self.file("gradients.json")
        recorded = recorded if table is None else recorded[table]
        for key, norm in recorded.items():
            ours = norms.get(key)
            if norm is not None and ours is not None:
                self.check_value("gradients.json", norm, float(ours), key, kind="grad_norm")
            elif (norm is None) != (ours is None):
                self._add(Difference("gradients.json", math.inf, math.inf, f"{key}: recorded {norm}, ours {ours}"))
        for key in [key for key, norm in norms.items() if norm is not None and key not in recorded]:
            self._add(Difference("gradients.json", math.inf, math.inf, f"{key}: not recorded"))

    def check_detections(self, names: tuple[str, str, str], scores: Any, labels: Any, boxes: Any) -> None:
        """Compare detections as sets; `names` are those of the recorded scores (B, n) or (n,), labels and boxes.

        Each recorded detection needs one of ours with its label, its score and its box. Only one that is as good as
        the last of the list may be missing: another of equal score took its place.
        """
        score_limit, box_limit = (self._limit(names[0]), self._limit(names[2]))
        ours = [np.atleast_2d(as_array(scores)), np.atleast_2d(as_array(labels)), batched(as_array(boxes))]
        theirs = [
            np.atleast_2d(self.golden[names[0]]),
            np.atleast_2d(self.golden[names[1]]),
            batched(self.golden[names[2]]),
        ]
        if ours[0].shape != theirs[0].shape:
            self._add(Difference(names[0], math.inf, math.inf, f"shape {ours[0].shape}, recorded {theirs[0].shape}"))
            return
        found = [match_detections(*picture, score_limit, box_limit) for picture in zip(*theirs, *ours, strict=True)]
        score, box = (max(entry[part] for entry in found) for part in (0, 1))
        self._add(Difference(names[0], score, share_of(score, score_limit), "as a set"))
        self._add(Difference(names[1], 0.0, 0.0, "as a set"))
        self._add(Difference(names[2], box, share_of(box, box_limit), "as a set"))

    def finish(self, exempt: Mapping[str, str] | None = None) -> None:
        """Fail unless every comparison passed and everything recorded was compared, given or is `exempt`.

        Args:
            exempt: name or pattern (`fnmatch`) of a recorded array or file -> why it need not be compared.
        """
        self.finished = True
        exempt = exempt or {}
        failures = [sentence(found) for found in self.differences.values() if not found.passed]
        forgotten = [name for name in self.recorded if not any(fnmatchcase(name, pattern) for pattern in exempt)]
        if forgotten:
            failures.append(f"recorded, but neither compared nor exempt: {', '.join(forgotten)}")
        if failures:
            pytest.fail(f"{self.name}:\n  " + "\n  ".join(failures), pytrace=False)

    @property
    def recorded(self) -> list[str]:
        """What was recorded and is neither compared nor given: arrays, JSON files, the losses."""
        names = [*self.golden, *self._recorded_files()]
        if self.losses:
            names.append("losses")
        done = self._given | {name.split("[")[0] if name.startswith("losses[") else name for name in self.differences}
        return [name for name in names if name not in done]

    def largest(self) -> Difference | None:
        """The comparison that came nearest to its tolerance, or went furthest beyond it."""
        return max(self.differences.values(), key=lambda found: (found.share, found.worst), default=None)

    def report(self) -> dict[str, Any]:
        """The largest difference for the summary after the tests; empty where nothing was compared."""
        found = self.largest()
        return {} if found is None else {**found._asdict(), "compared": len(self.differences)}

    def not_built(self, what: str) -> NoReturn:
        """End the case: this project does not have `what` yet. An expected failure, or a failure in strict mode."""
        not_built(what, self.strict)

    # Inside

    @cached_property
    def _arrays(self) -> dict[str, np.ndarray]:
        path = self.folder / "golden.npz"
        if not path.exists():
            return {}
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}

    def _is_statistic(self, name: str) -> bool:
        return any(name.endswith(end) and name[: -len(end)] in self._arrays for end in STATISTICS)

    def _recorded_files(self) -> list[str]:
        names = sorted(path.name for path in self.folder.glob("*.json"))
        return [name for name in names if not name.endswith(CHECKPOINT_FILES)]

    def _output(self, name: str) -> Any:
        return (self.facts.get("outputs") or {}).get(name)

    def _how(self, name: str) -> str | None:
        entry = self._output(name)
        return entry.get("stored") if isinstance(entry, dict) else entry

    def _shape(self, name: str) -> tuple[int, ...] | None:
        entry = self._output(name)
        return tuple(entry["shape"]) if isinstance(entry, dict) and "shape" in entry else None

    def _tolerance(self, kind: str) -> dict[str, float] | None:
        return self.facts["tolerance"].get(kind) if kind != "exact" else None

    def _limit(self, name: str) -> float:
        """Largest absolute difference that `name` may have."""
        return allowed_of(
            self.golden[name], self._tolerance(self.class_of(name, ordered=True)) or {"atol": 0.0, "rtol_absmax": 0.0}
        )

    def _first(self, *keys: str, default: Any) -> Any:
        return next((self.facts[key] for key in keys if key in self.facts), default)

    def _add(self, found: Difference) -> None:
        """Keep the worse of two findings about one name."""
        before = self.differences.get(found.name)
        if before is None or found.share > before.share:
            self.differences[found.name] = found

    def _check_set(self, name: str, ours: np.ndarray) -> None:
        recorded = self.golden[name]
        if recorded.dtype.kind not in "iu":
            raise TypeError(
                f"{name} of {self.name} has no safe order: use check_detections, "
                "or force recorded values and say ordered=True"
            )
        same = recorded.shape == ours.shape and np.array_equal(np.sort(recorded, -1), np.sort(ours, -1))
        self._add(Difference(name, 0.0 if same else math.inf, 0.0 if same else math.inf, "as a set"))


def not_built(what: str, strict: bool) -> NoReturn:
    """Report a variant that this project does not have yet."""
    message = f"not yet built: {what}"
    if strict:
        pytest.fail(message, pytrace=False)
    pytest.xfail(message)


def _transformed(value: np.ndarray, how: dict[str, Any]) -> np.ndarray:
    """`value * scale + offset`, then `then`, then `reshape`; float32 as the reference had it."""
    value = value * np.float32(how.get("scale", 1.0)) + np.float32(how.get("offset", 0.0))
    match how.get("then"):
        case None:
            pass
        case "sigmoid":
            value = (1.0 / (1.0 + np.exp(-value.astype(np.float64)))).astype(np.float32)
        case "softmax":
            wide = np.exp(value.astype(np.float64) - value.max(axis=how["axis"], keepdims=True))
            value = (wide / wide.sum(axis=how["axis"], keepdims=True)).astype(np.float32)
        case other:
            raise ValueError(f"unknown transform {other!r}")
    return value.reshape(how["reshape"]) if "reshape" in how else value


def _fits(array: np.ndarray, shape: list[int] | None) -> bool:
    return shape is None or array.shape == tuple(shape)
