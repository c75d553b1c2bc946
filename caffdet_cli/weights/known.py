"""From the words after --weights to a file."""

import sys
from pathlib import Path

from caffdet_cli.errors import WeightsError
from caffdet_cli.progress import Progress
from caffdet_cli.released.addresses import is_address
from caffdet_cli.released.fetch import by_hand, fetch_address, place_of, ways
from caffdet_cli.released.meter import Meter, StreamMeter
from caffdet_cli.released.registry import Entry, did_you_mean, registry

_IN_FOLDER = (
    "model.safetensors",
    "best/model.safetensors",
    "checkpoints/best/model.safetensors",
    "checkpoints/last/model.safetensors",
)


def find_weights(weights: str, progress: Progress | None = None) -> Path:
    """The file of a run folder, a checkpoint folder, a file, a released name, or an address.

    An address is fetched into the cache once, which is told to `progress` (None: on standard error); a name never is.

    Raises:
        WeightsError: it is not at hand; says what to type.
        RunError: an address cannot be fetched.
    """
    if is_address(weights):
        return fetch_address(weights, ways(), Meter(progress) if progress else StreamMeter(sys.stderr))
    path = Path(weights).expanduser()
    if path.is_dir():
        for inside in _IN_FOLDER:
            if (path / inside).is_file():
                return path / inside
        raise WeightsError(f"{path} has no checkpoint (looked for {', '.join(_IN_FOLDER)})")
    if path.is_file():
        return path
    entries = registry()
    if weights in entries:
        return _of_name(entries[weights])
    names = [name for name, entry in entries.items() if _is_loadable(entry)]
    if path.suffix or len(path.parts) > 1:
        raise WeightsError(
            f"{path} is not there; give a checkpoint file, a run folder, an address, or a name of "
            "caffdet download-weights --list"
        )
    raise WeightsError(
        f"no weights are called {weights!r}; {did_you_mean(weights, names)} "
        "(caffdet download-weights --list); or give a file, a run folder or an address"
    )


def how_to_get(entry: Entry) -> str:
    """What to type where a released file is not at hand."""
    return f"caffdet download-weights {entry.name}" if entry.url else f"caffdet weights add {entry.file}"


def _of_name(entry: Entry) -> Path:
    if not _is_loadable(entry):
        raise WeightsError(f"{entry.name} is no file of weights ({entry.about})")
    place = place_of(entry)
    if place.is_file():
        return place
    fetch = f"To fetch them:\n  {how_to_get(entry)}" if entry.url else f"{by_hand(entry)}"
    raise WeightsError(
        f"weights {entry.name!r} ({entry.about}) are not at hand. {fetch}\nor give another file with --weights FILE"
    )


def _is_loadable(entry: Entry) -> bool:
    return entry.kind in ("weights", "backbone")
