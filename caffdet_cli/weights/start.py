"""Starting a detector from another one's weights: what fits is copied, the rest keeps its initial values.

A pair model starts from a detector of one spectrum ("COCO initialisation"): its backbone and its neck go into both
streams. Published CAFF results are out of reach without it.

Source: --pretrain_model_coco in main.py of kevinhelvig/CAFF-DETR.
"""

import re
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from caffdet_cli.settings.model import Model

_STREAM = re.compile(r"pyramid\.(backbone|neck)s\.\d+\.(.+)")


class Account(NamedTuple):
    """What became of every tensor; names of the started model, except for `unused`."""

    copied: list[str]  # from the tensor of the same name
    to_both_streams: list[str]  # from the one backbone or neck of the source
    left: list[str]  # the source has nothing for them: initial values
    mismatched: list[str]  # the source's shape is another (class count, number of queries): initial values
    unused: list[str]  # names of the source that no tensor was filled from

    def rows(self) -> list[tuple[str, int, str]]:
        """A summary for a table: part of the model, number of tensors, what became of them."""
        fates = {
            "copied": self.copied,
            "copied into both streams": self.to_both_streams,
            "initial values: not in the starting weights": self.left,
            "initial values: another shape": self.mismatched,
            "not in this model": self.unused,
        }
        counts = Counter((_part(name), fate) for fate, names in fates.items() for name in names)
        order = list(dict.fromkeys(part for part, _ in counts))
        return [(part, counts[part, fate], fate) for part in order for fate in fates if counts[part, fate]]


def start_from_single(
    state: Mapping[str, Tensor], source: Mapping[str, Tensor], model: Model
) -> tuple[dict[str, Tensor], Account]:
    """Fill a detector's state from another one's.

    Args:
        state: `state_dict()` of the detector that is to start, with its initial values.
        source: state of the trained detector under our names: of one spectrum, or of the same kind as `state`.
        model: settings of the detector that is to start.

    Returns:
        Its new state, and what was copied.
    """
    started = dict(state)
    account = Account([], [], [], [], [])
    used = set()
    for name, value in state.items():
        origin = next((each for each in _origins(name, model) if each in source), None)
        if origin is None:
            account.left.append(name)
            continue
        used.add(origin)
        if source[origin].shape != value.shape:
            account.mismatched.append(name)
            continue
        started[name] = source[origin]
        (account.copied if origin == name else account.to_both_streams).append(name)
    account.unused.extend(name for name in source if name not in used)
    return started, account


def _origins(name: str, model: Model) -> list[str]:
    """Names in the source that `name` may be filled from, best first."""
    found = _STREAM.fullmatch(name) if len(model.spectra) == 2 else None
    return [name] if found is None else [name, f"pyramid.{found[1]}.{found[2]}"]


def _part(name: str) -> str:
    """`pyramid.backbones`, `encoder`: where a tensor belongs, in one or two words of its name."""
    words = name.split(".")
    return ".".join(words[:2]) if words[0] == "pyramid" else words[0]
