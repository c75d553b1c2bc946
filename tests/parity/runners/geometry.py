"""The steps of training pictures that both loader cases and transform cases record, by the names in `operations`."""

from collections.abc import Mapping
from typing import Any

from harness import Case

from caffdet_cli.data.geometry import resize_size
from caffdet_cli.data.transforms import Pair, clip, crop, hflip, resize

RESIZE = "bilinear, antialiased"


def changed(case: Case, pair: Pair, operation: Mapping[str, Any]) -> Pair:
    """The pair after the operation's one step."""
    parameters = operation["parameters"]
    match operation["name"]:
        case "hflip":
            after = hflip(pair)
        case "crop":
            window = (parameters[key] for key in ("top", "left", "height", "width"))
            require(case, parameters, drop_empty=True)
            after = crop(pair, *window)
        case "resize":
            require(case, parameters, interpolation=RESIZE)
            after = resize(
                pair, resize_size(*pair.size, parameters["short_side"], limit(parameters["max_side"], parameters))
            )
        case other:
            case.not_built(f"operation {other!r} of {case.kind}")
    return clip(after) if parameters.get("drop_empty") else after


def limit(max_side: int | None, parameters: Mapping[str, Any]) -> int | None:
    """The largest long side; None where the case's way to write "no limit" stands."""
    return None if max_side is None or max_side == parameters.get("no_max_side") else max_side


def require(case: Case, parameters: Mapping[str, Any], **known: Any) -> None:
    """The case ends as not built where it asks for another value of a parameter than the one this project has."""
    for key, value in known.items():
        if parameters.get(key, value) != value:
            case.not_built(f"{key} = {parameters[key]!r} in {case.kind}")
