"""The two detectors of a late fusion: whether they go together, and what they have in common."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from caffdet_cli.data.annotations import Example
from caffdet_cli.data.thermal import described
from caffdet_cli.errors import ConfigError, DatasetError
from caffdet_cli.progress import Progress
from caffdet_cli.settings.base import Spectrum
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.settings.model import Model
from caffdet_cli.weights.load import load_detector

OPTIONS = ("--weights", "--weights-ir")


class Member(NamedTuple):
    """A detector that is known and not in memory."""

    option: str  # that named it
    weights: str
    model: Model
    conventions: Conventions
    source: Path


Two = tuple[Member, Member]


def two_members(weights: str, weights_ir: str) -> Two:
    """Read both once, so that a broken one is told before the other has looked at everything; keep neither.

    Raises:
        WeightsError: not at hand, or broken.
        ConfigError: they look at the same spectrum, or are one file.
    """
    found = []
    for option, words in zip(OPTIONS, (weights, weights_ir), strict=True):
        loaded = load_detector(words)
        found.append(Member(option, words, loaded.model, loaded.conventions, loaded.source))
    first, second = found
    _check_spectra(first, second)
    return first, second


def _check_spectra(first: Member, second: Member) -> None:
    """The first one looks at RGB and the second one at infrared; either may look at both."""
    if first.source.resolve() == second.source.resolve():
        raise ConfigError(
            f"--weights and --weights-ir are the same file ({first.source}): it cannot know more than itself; "
            "leave --weights-ir out"
        )
    sees = (first.conventions.spectra, second.conventions.spectra)
    if sees == (("ir",), ("rgb",)):
        raise ConfigError(
            f"--weights {first.source} looks at ir alone and --weights-ir {second.source} at rgb alone: exchange them"
        )
    for member, spectrum in zip((first, second), ("rgb", "ir"), strict=True):
        if spectrum not in member.conventions.spectra:
            raise ConfigError(
                f"{member.option} {member.source} looks at {member.conventions.spectra[0]} alone, as "
                f"{_other(member, first, second).option} does; late fusion needs one here that looks at {spectrum}"
            )


def _other(member: Member, first: Member, second: Member) -> Member:
    return second if member is first else first


def keys_of(two: Two) -> tuple[str, str]:
    """What each looks at, as keys of reports: "rgb" and "ir"; "pair" for both, and "pair-ir" where the first has it."""
    first, second = ("pair" if len(each.conventions.spectra) == 2 else each.conventions.spectra[0] for each in two)
    return first, second if second != first else f"{second}-ir"


def seen_by(conventions: Conventions, examples: Sequence[Example]) -> tuple[Example, ...]:
    """Those that have a picture of a spectrum that the detector looks at."""
    return tuple(each for each in examples if any(getattr(each, spectrum) for spectrum in conventions.spectra))


def check_pictures(two: Two, has: Mapping[Spectrum, bool], where: str) -> None:
    """Each member has something to look at.

    Args:
        has: whether there are pictures of a spectrum.
        where: they are looked for, in words: "DATASET has" or so.

    Raises:
        DatasetError: a member's spectrum is not there.
    """
    for member in two:
        if not any(has[spectrum] for spectrum in member.conventions.spectra):
            spectrum = member.conventions.spectra[0]
            raise DatasetError(
                f"{where} no {spectrum} pictures, and {member.option} {member.source} looks at them; "
                f"give them, or leave it out and take the other detector alone"
            )


def joint_classes(two: Two, progress: Progress) -> tuple[str, ...]:
    """Names of all classes, those of the first member first; which of them one member lacks is told.

    Raises:
        ConfigError: not one class is known to both.
    """
    first, second = ([name for name in each.conventions.classes if name is not None] for each in two)
    if not set(first) & set(second):
        raise ConfigError(
            f"{two[0].source} finds {_listed(first)}, and {two[1].source} finds {_listed(second)}: they have no class "
            "in common (classes are matched by name)"
        )
    for own, other, member in ((first, second, two[0]), (second, first, two[1])):
        if lonely := [name for name in own if name not in other]:
            progress.warn(f"only {member.option} knows {_listed(lonely)}: it alone decides about that")
    return tuple(dict.fromkeys([*first, *second]))


def tell_differences(two: Two, progress: Progress) -> None:
    """What makes two members less comparable than they look, each of which is handled."""
    first, second = (member.conventions for member in two)
    if "ir" in first.spectra and first.thermal != second.thermal:
        progress.warn(
            f"the two detectors read thermal counts differently: --weights by {described(first.thermal)}, "
            f"--weights-ir by {described(second.thermal)}; each is given its own"
        )
    if shared := [spectrum for spectrum in first.spectra if spectrum in second.spectra]:
        progress.warn(
            f"both detectors look at {' and '.join(shared)}, so that they err together: fused scores are too sure, "
            "their order is what counts"
        )
    if len(first.spectra) == len(second.spectra) == 2 and first.spectra != second.spectra:
        progress.say(
            f"stream order of --weights: {', '.join(first.spectra)}; of --weights-ir: {', '.join(second.spectra)}; "
            "each is given its own"
        )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:8]))
    return (shown + (", ..." if len(names) > 8 else "")) or "no class"
