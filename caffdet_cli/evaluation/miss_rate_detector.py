"""The miss rate of a detector on a data set; of a pair model also with each spectrum removed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from caffdet_cli.data.annotations import AnnotationSet
from caffdet_cli.data.demo_set import place_of
from caffdet_cli.data.splits import load_split
from caffdet_cli.evaluation.detector import Found, evaluate
from caffdet_cli.evaluation.miss_rate import MissRateReport, evaluate_miss_rate
from caffdet_cli.evaluation.miss_rate_report import write_miss_rates
from caffdet_cli.evaluation.miss_rate_settings import USUAL, Setting
from caffdet_cli.evaluation.miss_rate_truth import miss_rate_truth
from caffdet_cli.settings.load import load_data


def evaluate_miss_rate_of(
    weights: str, dataset: str, settings: Sequence[Setting] = USUAL, *, compatible: bool = False, **options: Any
) -> dict[str, MissRateReport]:
    """Miss rates by what the detector was given: "pair", "rgb", "ir".

    Args:
        options: as `caffdet_cli.evaluation.detector.evaluate` has them; its folder gets the miss rates and their curves
            as well.

    Raises:
        WeightsError, DatasetError, ConfigError, OutputError: what is wrong, and where.
    """
    _check(dataset, options)
    reports: dict[str, MissRateReport] = {}

    def judge(given: str, annotations: AnnotationSet, found: Found, folder: Path | None) -> None:
        truth = miss_rate_truth(annotations)
        reports[given] = evaluate_miss_rate(truth, found, settings, compatible=compatible)
        if folder is not None:
            write_miss_rates(reports, folder)

    evaluate(weights, dataset, judge=judge, **options)
    return reports


def _check(dataset: str, options: Mapping[str, Any]) -> None:
    """Refuse a data set without pedestrians before anything is detected in it."""
    data = load_data(dataset, options.get("overrides") or ())
    said = options.get("data_root")
    root = place_of(data, None if said is None else Path(said), options.get("progress"))
    miss_rate_truth(load_split(data, options.get("split"), root)[1])
