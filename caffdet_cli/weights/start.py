"""Starting a detector from another one's weights: what fits is copied, the rest keeps its initial values.

A pair model starts from a detector of one spectrum ("COCO initialisation"): its backbone and its neck go into both
streams. Published CAFF results are out of reach without it. Where the classes are others, the heads' rows of classes
with the same name are copied.

Source: --pretrain_model_coco in main.py of kevinhelvig/CAFF-DETR.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from caffdet_cli.settings.model import DeformableDecoder, InterleavedEncoder, Model, ResNet

Names = Sequence[str | None]  # of class slots

_BY_CLASS = re.compile(  # tensors with a row for each class slot; the last has one more
    r"(heads\.class_head|heads\.class_heads\.\d+|selection\.class_head)\.(weight|bias)|denoising\.table\.weight"
)
_STREAM = re.compile(r"pyramid\.(backbone|neck)s\.\d+\.(.+)")


class Account(NamedTuple):
    """What became of every tensor; names of the started model, except for `unused`."""

    copied: list[str]  # from the tensor of the same name
    to_both_streams: list[str]  # from the one backbone or neck of the source
    left: list[str]  # the source has nothing for them: initial values
    mismatched: list[str]  # the source's shape is another (class count, number of queries): initial values
    unused: list[str]  # names of the source that no tensor was filled from
    by_class: list[str]  # heads of other classes: rows of the classes below were copied, the others are initial values
    classes: list[tuple[str, str | None]]  # every class of the started model, and the one that it got its rows from

    def rows(self, spectra: Sequence[str] = ()) -> list[tuple[str, int, str]]:
        """A summary for a table: part of the model, number of tensors, what became of them.

        Args:
            spectra: the streams of a pair model, whose parts are counted apart.
        """
        fates = {
            "copied": self.copied,
            "copied into both streams": self.to_both_streams,
            "copied class by class": self.by_class,
            "initial values: not in the starting weights": self.left,
            "initial values: another shape": self.mismatched,
            "not in this model": self.unused,
        }
        streams = {name: _stream(name) for names in fates.values() for name in names}
        apart = {(found[0], found[1]) for found in streams.values() if found}
        shared = {part for part, number in apart if (part, 1 - number) not in apart}
        counts: Counter[tuple[str, str]] = Counter()
        for fate, names in fates.items():
            for name in names:
                found = streams[name] if len(spectra) == 2 else None
                whose = "both" if found and found[0] in shared else spectra[found[1]] if found else ""
                counts[f"{_part(name)} ({whose})" if whose else _part(name), fate] += 1
        order = list(dict.fromkeys(part for part, _ in counts))
        return [(part, counts[part, fate], fate) for part in order for fate in fates if counts[part, fate]]

    def class_lines(self) -> list[str]:
        """What became of each class, where the heads' classes are others."""
        known = [f"{name} (from {origin})" if origin != name else name for name, origin in self.classes if origin]
        new = [name for name, origin in self.classes if origin is None]
        lines = [f"classes that the starting weights know: {', '.join(known)}"] if known else []
        return [*lines, f"classes that start from initial values: {', '.join(new)}"] if new else lines


def start_from_single(
    state: Mapping[str, Tensor],
    source: Mapping[str, Tensor],
    model: Model,
    names: Names = (),
    source_names: Names = (),
) -> tuple[dict[str, Tensor], Account]:
    """Fill a detector's state from another one's.

    Args:
        state: `state_dict()` of the detector that is to start, with its initial values.
        source: state of the trained detector under our names: of one spectrum, or of the same kind as `state`.
        model: settings of the detector that is to start.
        names, source_names: of the class slots of both; where they are others, rows go by name.

    Returns:
        Its new state, and what was copied.
    """
    started = dict(state)
    account = Account([], [], [], [], [], [], [])
    rows = same_classes(names, source_names)
    others = bool(rows) and list(map(_plain_or_none, names)) != list(map(_plain_or_none, source_names))
    used = set()
    kind, other_kind = _queries_of(state), _queries_of(source)
    any_class = kind == "proposals"
    for name, value in state.items():
        origin = next((each for each in _origins(name, model) if each in source), None)
        if origin is None or (kind != other_kind and name.startswith("selection.")):  # another meaning, same names
            account.left.append(name)
            continue
        used.add(origin)
        same_rows = source[origin].shape[1:] == value.shape[1:] and source[origin].dim() == value.dim()
        if any_class and name.startswith("selection.class_head.") and same_rows:
            # Of Deformable-DETR's proposals only the first slot counts, and it means any class.
            started[name] = _refilled(value, source[origin], {0: 0})
            account.copied.append(name)
            continue
        if _BY_CLASS.fullmatch(name) and others and same_rows:
            # Of published heads the slots of no class are copied too, as upstream does.
            whole = model.labels == "category_ids" and source[origin].shape == value.shape
            base = _without_new(source[origin], value, names, rows) if whole else value
            started[name] = _refilled(base, source[origin], rows)
            account.by_class.append(name)
            continue
        if source[origin].shape != value.shape:
            account.mismatched.append(name)
            continue
        started[name] = source[origin]
        (account.copied if origin == name else account.to_both_streams).append(name)
    account.unused.extend(name for name in source if name not in used)
    if account.by_class:
        account.classes.extend(
            (name, source_names[rows[slot]] if slot in rows else None) for slot, name in enumerate(names) if name
        )
    return started, account


def _queries_of(state: Mapping[str, Tensor]) -> str:
    """Where a detector's queries come from, by its tensors; empty where there is no detector but a backbone."""
    signs = {"position": "proposals", "embedding": "learned", "transform": "tokens"}
    return next((kind for part, kind in signs.items() if f"selection.{part}.weight" in state), "")


def same_classes(names: Names, source_names: Names) -> dict[int, int]:
    """Slots of classes with the same name, in any spelling of capitals, `-` and `_`: started -> source."""
    known = {_plain(name): slot for slot, name in enumerate(source_names) if name}
    return {slot: known[_plain(name)] for slot, name in enumerate(names) if name and _plain(name) in known}


def _plain_or_none(name: str | None) -> str | None:
    return None if name is None else _plain(name)


def _plain(name: str) -> str:
    return name.casefold().replace("-", " ").replace("_", " ").strip()


def _without_new(source: Tensor, value: Tensor, names: Names, rows: Mapping[int, int]) -> Tensor:
    """Rows of the source, but initial ones for classes that it does not know."""
    base = source.clone()
    for slot, name in enumerate(names):
        if name is not None and slot not in rows and slot < len(base):
            base[slot] = value[slot]
    return base


def _refilled(value: Tensor, source: Tensor, rows: Mapping[int, int]) -> Tensor:
    filled = value.clone()
    for slot, origin in rows.items():
        if slot < len(filled) and origin < len(source):
            filled[slot] = source[origin].to(filled.dtype)
    return filled


def remarks(source: Model, model: Model, configuration: str = "", assumed: Collection[str] = ()) -> list[str]:
    """What is computed in another way than the starting weights were trained with; one sentence each.

    Args:
        configuration: a shipped model that takes the whole of the weights, if there is one.
        assumed: settings of the encoder that the file of the weights does not tell.
    """
    take = f"; --model {configuration} takes the whole file" if configuration else ""
    found = []
    if source.key_aware != model.key_aware:
        kinds = {True: "key-aware", False: "plain"}
        found.append(
            f"the starting weights are of {kinds[source.key_aware]} attention and the model is "
            f"{kinds[model.key_aware]} (model.key_aware = {str(model.key_aware).lower()}): what only one of them has "
            f"starts from initial values, and results of the weights are not kept{take}"
        )
    if source.encoder.name != model.encoder.name:
        found.append(
            f"the starting weights have encoder.name = {source.encoder.name!r}, the model "
            f"{model.encoder.name!r}: layers update other tokens than they were trained for{take}"
        )
    elif isinstance(source.encoder, InterleavedEncoder) and isinstance(model.encoder, InterleavedEncoder):
        for key in ("blocks", "high_levels", "small_feedforward", "shared_offsets", "project_keys"):
            theirs, ours = getattr(source.encoder, key), getattr(model.encoder, key)
            if theirs != ours:
                how = "are read with" if key in assumed else "were trained with"
                unsaid = " (their file does not tell it)" if key in assumed else ""
                found.append(
                    f"the starting weights {how} encoder.{key} = {_toml(theirs)}{unsaid}, the model has "
                    f"{_toml(ours)}{take}"
                )
    found += _of_decoders(source, model, take)
    if (theirs := _body(source)) != (ours := _body(model)):
        found.append(
            f"the starting weights have {theirs} as backbone, the model {ours}: what does not fit starts from initial "
            f"values{take}"
        )
    if len(source.spectra) == len(model.spectra) == 2:
        if [one.name for one in source.fusions] != [one.name for one in model.fusions]:
            found.append(
                f"the starting weights have fusion.name = {source.fusion_words!r}, the model {model.fusion_words!r}: "
                f"the fusion starts from initial values{take}"
            )
        if not source.shared_backbone and model.shared_backbone:
            found.append(
                "the starting weights have two backbones, the model has one: the second stream's is left out "
                "(model.shared_backbone = false keeps both)"
            )
    return found


def _of_decoders(source: Model, model: Model, take: str) -> Iterator[str]:
    """Where queries come from and how boxes are refined."""
    if source.decoder.name != model.decoder.name:
        yield (
            f"the starting weights have decoder.name = {source.decoder.name!r}, the model {model.decoder.name!r}: "
            f"queries and heads start from initial values{take}"
        )
    elif isinstance(source.decoder, DeformableDecoder) and isinstance(model.decoder, DeformableDecoder):
        for key in ("refine", "two_stage", "mixed_selection"):
            theirs, ours = getattr(source.decoder, key), getattr(model.decoder, key)
            if theirs != ours:
                yield (
                    f"the starting weights were trained with decoder.{key} = {_toml(theirs)}, the model has "
                    f"{_toml(ours)}{take}"
                )
    if (source.position_temperature, source.position_shift) != (model.position_temperature, model.position_shift):
        yield (
            f"the starting weights have position_temperature = {source.position_temperature:g} and position_shift = "
            f"{source.position_shift:g}, the model {model.position_temperature:g} and {model.position_shift:g}{take}"
        )


def _body(model: Model) -> str:
    backbone = model.backbone
    if isinstance(backbone, ResNet):
        return f"resnet {backbone.depth} ({backbone.normalisation} normalisation)"
    return f"swin {backbone.size} (window {backbone.window})"


def _toml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _origins(name: str, model: Model) -> list[str]:
    """Names in the source that `name` may be filled from, best first."""
    found = _STREAM.fullmatch(name) if len(model.spectra) == 2 else None
    if found is None:
        return [name]
    part, rest = found.groups()
    # One backbone for both streams: of a detector of one spectrum, or of a pair that shares it.
    shared = [f"pyramid.backbones.0.{rest}"] if part == "backbone" else []
    return [name, f"pyramid.{part}.{rest}", *shared]


def _stream(name: str) -> tuple[str, int] | None:
    """`backbone` or `neck`, and the number of the stream that it is of."""
    found = re.fullmatch(r"pyramid\.(backbone|neck)s\.([01])\..+", name)
    return (found[1], int(found[2])) if found else None


def _part(name: str) -> str:
    """`pyramid.backbones`, `encoder`: where a tensor belongs, in one or two words of its name."""
    words = name.split(".")
    return ".".join(words[:2]) if words[0] == "pyramid" else words[0]
