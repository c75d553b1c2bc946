"""What was published about cost (`configs/paper.toml`), beside what is counted here.

A figure has up to four values: `measured` is our model, computed and counted as the published code and its tools do
(`counting` says what differs from `ours`, our model as it computes); `expected` is what the published code's own tool
gives; `published` is what the paper prints. The last two differ here and there, so both are shown, and nothing is tuned
to meet either.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from caffdet_cli.benchmark.counting import (
    Convention,
    Count,
    Way,
    count_operations,
    count_parameters,
    parameters_by_part,
)
from caffdet_cli.errors import ConfigError
from caffdet_cli.paths import shipped
from caffdet_cli.progress import Bars, Progress
from caffdet_cli.settings.load import load_config, names
from caffdet_cli.settings.model import Model

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_CONVENTIONS: tuple[Convention, ...] = ("fvcore", "multiply-adds")


class Case(NamedTuple):
    """Figures of one model that are counted together."""

    name: str  # as the paper calls it
    config: str  # a shipped configuration
    overrides: tuple[str, ...]
    all_boxes: bool  # its code computes the boxes of all tokens, not only of the chosen ones
    source: str
    counting: Convention | None  # None: parameters
    size: tuple[int, int]  # height and width; of parameters 0
    figures: Mapping[str, Mapping[str, float]]  # quantity -> "expected", "published"


@dataclass(frozen=True)
class Row:
    """One figure."""

    model: str  # as the paper calls it
    quantity: str
    measured: float | None  # None: the model is `missing`
    ours: float | None  # as this package computes; of parameters the same
    expected: float | None
    published: float | None
    size: str
    counting: str
    source: str
    missing: str = ""

    @property
    def agrees(self) -> bool | None:
        """Within 1 % of `expected`, or of what rounds to it; None where one of the two is missing."""
        if self.measured is None or self.expected is None:
            return None
        half_step = 0.5 * 10.0 ** int(Decimal(str(self.expected)).as_tuple().exponent)
        return abs(self.measured - self.expected) <= max(0.01 * self.expected, half_step * (1 + 1e-9))

    def json(self) -> dict[str, Any]:
        """As `caffdet benchmark --paper --json` writes it."""
        return {**asdict(self), "agrees": self.agrees}


def paper_rows(models: Sequence[str] = (), progress: Progress | None = None) -> list[Row]:
    """The published figures beside ours.

    Args:
        models: only rows of these shipped configurations, or of these names in the papers; empty: all.

    Raises:
        ConfigError: no row is of one of the models.
    """
    cases = list(published_cases())
    known = {case.config for case in cases}
    for model in models:
        if model not in known | {case.name for case in cases}:
            raise ConfigError(f"--paper has no figures of {model!r}; it has those of {', '.join(sorted(known))}")
    chosen = [case for case in cases if not models or case.config in models or case.name in models]
    return [row for case in (progress or Bars()).track(chosen, "counting") for row in rows_of(case)]


def published_cases() -> Iterator[Case]:
    """The table of figures."""
    table = tomllib.loads((shipped("configs") / "paper.toml").read_text(encoding="utf-8"))
    for model in table["model"]:
        facts = (
            model["name"],
            model["config"],
            tuple(model.get("set", ())),
            model.get("boxes_of_all_tokens", False),
            model["source"],
        )
        if "parameters" in model:
            yield Case(*facts, None, (0, 0), model["parameters"])
        for convention in _CONVENTIONS:
            for size, figures in model.get(convention, {}).items():
                height, width = map(int, size.split("x"))
                yield Case(*facts, convention, (height, width), figures)


def rows_of(case: Case) -> list[Row]:
    """The figures of one case; those of a model that is not shipped say so."""
    missing, published, ours = "", {}, {}
    if case.config in {one.name for one in names() if one.kind == "model"}:
        model = load_config(model=case.config, overrides=case.overrides).config.model
        published, ours = quantities(model, case, "published"), quantities(model, case, "ours")
    else:
        missing = f"there is no configuration {case.config} yet"
    return [
        Row(
            model=case.name,
            quantity=quantity,
            measured=published.get(quantity),
            ours=ours.get(quantity),
            expected=values.get("expected"),
            published=values.get("published"),
            size="x".join(map(str, case.size)) if case.counting else "",
            counting=case.counting or "parameters",
            source=case.source,
            missing=missing,
        )
        for quantity, values in case.figures.items()
    ]


def quantities(model: Model, case: Case, way: Way) -> dict[str, float]:
    """What can be asked of a model: millions of parameters, or 1e9 operations."""
    if case.counting is None:
        return {name: numbers / 1e6 for name, numbers in _parameters(count_parameters(model)).items()}
    counted = count_operations(model, *case.size, way=way, all_boxes=case.all_boxes)
    return {name: numbers / 1e9 for name, numbers in _operations(counted, case.counting).items()}


def _parameters(found: Mapping[str, int]) -> dict[str, int]:
    parts = parameters_by_part(found)
    joins = sum(numbers for name, numbers in found.items() if _joins(name))
    outside = ("backbone", "projections", "fusion", "denoising")
    return {
        "params_M": sum(parts.values()),
        "backbone_params_M": parts["backbone"],
        "fusion_params_M": parts["fusion"] - joins,
        "redimension_params_M": joins,
        "projections_params_M": parts["projections"],
        "transformer_params_M": sum(numbers for part, numbers in parts.items() if part not in outside),
    }


def _operations(counted: Count, convention: Convention) -> dict[str, int]:
    parts = counted.by_part(convention)
    joins = counted.total(convention, within=_joins)
    found = {
        "": sum(parts.values()),
        **{f"{part}_": numbers for part, numbers in parts.items()},
        "fusion_": parts["fusion"] - joins,
        "finest_fusion_": counted.total(convention, within=_is_finest_attention),
        "redimension_": joins,
        "decoder_and_heads_": parts["decoder"] + parts["heads"],
    }
    unit = "gflops" if convention == "fvcore" else "gmacs"
    return {f"{name}{unit}": numbers for name, numbers in found.items()}


def _joins(name: str) -> bool:
    """Whether a module or parameter brings a fused level back to the width of the levels ("re-dimension")."""
    return name.startswith("pyramid.fusions.") and ".join." in f"{name}."


def _is_finest_attention(name: str) -> bool:
    return f"{name}.".startswith("pyramid.fusions.0.") and not _joins(name)
