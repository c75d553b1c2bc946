"""Names for the class slots of a detector whose file has none, as published ones have."""

from collections.abc import Sequence

from caffdet_cli.errors import ConfigError
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.weights.coco_slots import coco_slots

Slots = tuple[str | None, ...]


def with_names(conventions: Conventions, words: Sequence[str], slots: int) -> Conventions:
    """The conventions with names for the class slots.

    Args:
        words: a name for every slot in their order; or `0=person`, `3=car`: those of some slots; or the word `coco`.
        slots: of the detector.

    Raises:
        ConfigError: there is no such slot, or a name or a slot is there twice.
    """
    names = _of_some(words, slots) if any("=" in word for word in words) else _of_all(words, slots)
    given = [name for name in names if name is not None]
    if len(set(given)) < len(given) or not all(given):
        raise ConfigError("--classes has a name twice, or an empty one")
    known = conventions.category_ids or range(slots)
    ids = tuple(number if name is not None else None for number, name in zip(known, names, strict=True))
    return conventions.model_copy(update={"classes": names, "category_ids": ids})


def usual_names(spectra: Sequence[str], slots: int) -> Slots:
    """Those of COCO for a released detector of one spectrum with its 91 slots; else none.

    What the slots of a pair's detector mean, the category ids of its own data set decided.
    """
    names = coco_slots()
    return names if len(spectra) == 1 and slots == len(names) else ()


def _of_all(words: Sequence[str], slots: int) -> Slots:
    names: Slots = coco_slots() if list(words) == ["coco"] else tuple(words)
    if len(names) != slots:
        raise ConfigError(
            f"--classes names {len(names)} classes, the head has {slots} slots; 0=NAME,3=OTHER names some of them"
        )
    return names


def _of_some(words: Sequence[str], slots: int) -> Slots:
    names: list[str | None] = [None] * slots
    for word in words:
        number, equals, name = (part.strip() for part in word.partition("="))
        slot = int(number) if number.isascii() and number.isdigit() and len(number) < 7 else slots
        if not equals or not name or slot >= slots:
            raise ConfigError(f"--classes {word}: write SLOT=NAME with a slot from 0 to {slots - 1}")
        if names[slot] is not None:
            raise ConfigError(f"--classes {word}: slot {slot} is {names[slot]} already")
        names[slot] = name
    return tuple(names)
