"""What was published about the cost of DINO and Lite-DETR, and what the published code costs (`configs/paper.toml`),
beside what is counted here.

A figure has up to four values: `measured` is our model, computed and counted as the published code and its tools do
(`counting` and `trained` say what differs from `ours`, our model as it computes); `expected` was counted of the
published code; `published` is what the paper prints, nothing of CAFF-DINO. The last two differ here and there, so both
are shown, and nothing is tuned to meet either.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from caffdet_cli.benchmark.counting import (
    Convention,
    Count,
    Way,
    count_operations,
    count_parameters,
    parameters_by_part,
)
from caffdet_cli.benchmark.figures import Case, chosen_cases
from caffdet_cli.benchmark.trained import count_trained
from caffdet_cli.progress import Bars, Progress
from caffdet_cli.settings.load import load_config, names
from caffdet_cli.settings.model import Model

_UNITS: dict[Convention, str] = {"fvcore": "gflops", "multiply-adds": "gmacs", "dino-script": "script_gflops"}


@dataclass(frozen=True)
class Row:
    """One figure."""

    model: str  # as the paper calls it
    quantity: str
    measured: float | None  # None: the model is `missing`
    ours: float | None  # as this package computes; None of DINO's script, whose steps it folds away before it infers
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
    """The figures of `configs/paper.toml` beside ours.

    Args:
        models: only rows of these shipped configurations, or of these names in the papers; empty: all.

    Raises:
        ConfigError: no row is of one of the models.
    """
    return [row for case in (progress or Bars()).track(chosen_cases(models), "counting") for row in rows_of(case)]


def rows_of(case: Case) -> list[Row]:
    """The figures of one case; those of a model that is not shipped say so."""
    missing, published, ours = "", {}, {}
    if case.config in {one.name for one in names() if one.kind == "model"}:
        model = load_config(model=case.config, overrides=case.overrides).config.model
        published = quantities(model, case, "published")
        ours = quantities(model, case, "ours") if case.counting != "dino-script" else {}
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
            source=case.source(values),
            missing=missing,
        )
        for quantity, values in case.figures.items()
    ]


def quantities(model: Model, case: Case, way: Way) -> dict[str, float]:
    """What can be asked of a model: millions of parameters, or 1e9 operations."""
    if case.counting is None:
        found = {**_parameters(count_parameters(model)), **_trained(model, case, way)}
        return {name: numbers / 1e6 for name, numbers in found.items()}
    counted = count_operations(model, *case.size, way=way, all_boxes=case.all_boxes)
    return {name: numbers / 1e9 for name, numbers in _operations(counted, case.counting).items()}


def _trained(model: Model, case: Case, way: Way) -> dict[str, int]:
    found = {}
    if "trainable_params_M" in case.figures:
        found["trainable_params_M"] = count_trained(model, way=way)
    if "trained_params_M" in case.figures:
        recipe = load_config(recipe=case.recipe).config.train
        found["trained_params_M"] = count_trained(model, recipe, way)
    return found


def _parameters(found: Mapping[str, int]) -> dict[str, int]:
    parts = parameters_by_part(found)
    joins = sum(numbers for name, numbers in found.items() if _joins(name))
    outside = ("backbone", "projections", "fusion", "denoising")
    return {
        "params_M": sum(parts.values()),
        "backbone_params_M": parts["backbone"],
        "fusion_params_M": parts["fusion"] - joins,
        "redimension_params_M": joins,
        "finest_fusion_params_M": sum(numbers for name, numbers in found.items() if _is_finest_attention(name)),
        "finest_redimension_params_M": sum(
            numbers for name, numbers in found.items() if name.startswith("pyramid.fusions.0.") and _joins(name)
        ),
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
    return {f"{name}{_UNITS[convention]}": numbers for name, numbers in found.items()}


def _joins(name: str) -> bool:
    """Whether a module or parameter brings a fused level back to the width of the levels ("re-dimension")."""
    return name.startswith("pyramid.fusions.") and ".join." in f"{name}."


def _is_finest_attention(name: str) -> bool:
    return f"{name}.".startswith("pyramid.fusions.0.") and not _joins(name)
