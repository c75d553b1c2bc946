"""Published figures: what is shipped agrees with the published code's own tools."""

import pytest

from caffdet_cli.benchmark.figures import Case, published_cases
from caffdet_cli.benchmark.paper import Row, paper_rows, rows_of
from caffdet_cli.errors import ConfigError
from caffdet_cli.progress import Progress
from caffdet_cli.settings.load import load_config, names

CASES = list(published_cases())


def title(case: Case) -> str:
    return f"{case.name} {case.counting or 'parameters'} {'x'.join(map(str, case.size))}"


def agrees(case: Case) -> None:
    rows = rows_of(case)
    assert [row.quantity for row in rows] == list(case.figures)
    if rows[0].missing:
        pytest.skip(rows[0].missing)
    wrong = [(row.quantity, row.measured, row.expected) for row in rows if row.agrees is False]
    assert not wrong
    assert all(row.measured is not None for row in rows)
    assert all((row.ours is None) == (case.counting == "dino-script") for row in rows)


TYPICAL = ("dino-r50", "lite-dino-r50-h3l1-2p1x3", "caff-lite-dino-r50")
QUICK = [
    case
    for case in CASES
    if case.counting is None
    or (case.size[0] < 800 and "Lite" in case.name)
    or (case.config in TYPICAL and case.counting in ("fvcore", "dino-script") and case.size[0] == 850)
]


@pytest.mark.parametrize("case", QUICK, ids=title)
def test_measured_is_within_a_percent_of_what_the_published_code_counts(case):
    agrees(case)


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in CASES if case not in QUICK], ids=title)
def test_measured_is_within_a_percent_at_other_sizes_too(case):
    agrees(case)


def test_every_figure_has_a_value_and_every_model_valid_settings():
    shipped = {one.name for one in names() if one.kind == "model"}
    for case in CASES:
        assert case.figures
        assert all(set(values) <= {"expected", "published"} and values for values in case.figures.values())
        if case.config in shipped:
            load_config(model=case.config, overrides=case.overrides)


def test_the_tables_of_the_papers_are_there():
    printed = {
        (case.name, quantity) for case in CASES for quantity, each in case.figures.items() if "published" in each
    }
    for name in (
        *("DINO R50 4-scale", "Lite-DINO R50 H2L2-(2+1)x3", "Lite-DINO Swin-T H3L1-(2+1)x3"),
        *("H-DETR R50", "H-DETR Swin-T", "Lite-H-DETR R50 H3L1-(2+1)x3", "Lite-H-DETR Swin-T H2L2-(2+1)x3"),
        *("Deformable-DETR R50, one stage", "Lite-Deformable-DETR R50 H3L1-(3+1)x2"),
    ):
        assert {(name, "gflops"), (name, "encoder_gflops")} <= printed


def test_dinos_own_script_stands_beside_its_paper():
    found = {
        (case.name, case.size): values
        for case in CASES
        for quantity, values in case.figures.items()
        if quantity == "script_gflops" and case.counting == "dino-script"
    }
    assert found == {
        ("DINO R50 4-scale", (850, 1040)): {"expected": 242.1},
        ("DINO R50 4-scale", (800, 1333)): {"expected": 287.3, "published": 279},
        ("DINO R50 5-scale", (850, 1040)): {"expected": 704.1},
        ("DINO R50 5-scale", (800, 1333)): {"expected": 844.6, "published": 860},
    }


def test_what_is_trained_is_told_of_every_caff_model():
    told = {case.name: case for case in CASES if "trained_params_M" in case.figures}
    assert set(told) == {case.name for case in CASES if "CAFF" in case.name}
    assert all("trainable_params_M" in case.figures and case.recipe for case in told.values())
    (case,) = (each for each in told.values() if each.config == "caff-lite-dino-r50")
    rows = {row.quantity: row for row in rows_of(case)}
    backbone = rows["backbone_params_M"].measured
    assert rows["trained_params_M"].measured == pytest.approx(rows["params_M"].measured - backbone)
    unused = 12 * (256 * 256 + 256) / 1e6  # query projections of plain attention, which nothing trains here
    for quantity in ("trainable_params_M", "trained_params_M"):
        assert rows[quantity].ours == pytest.approx(rows[quantity].measured - unused)


def test_a_model_that_is_not_shipped_is_reported_as_missing():
    case = CASES[0]._replace(config="dino-of-tomorrow", figures={"gflops": {"expected": 5.0, "published": 4.0}})
    (row,) = rows_of(case)
    assert (row.measured, row.ours, row.agrees) == (None, None, None)
    assert (row.expected, row.published) == (5.0, 4.0)
    assert row.missing == "there is no configuration dino-of-tomorrow yet"


@pytest.mark.parametrize(
    ("measured", "expected", "result"),
    [(100.9, 100.0, True), (101.2, 100.0, False), (0.72, 0.7, True), (0.76, 0.7, False), (5.0, None, None)],
)
def test_agreement_is_a_percent_or_what_rounds_to_the_expected_figure(measured, expected, result):
    row = Row("m", "gflops", measured, measured, expected, None, "", "fvcore", "")
    assert row.agrees is result
    assert row.json()["agrees"] is result


def test_rows_can_be_chosen_by_configuration_or_by_the_name_in_the_paper():
    by_config = paper_rows(["dino-swin-l"], Progress())
    assert [row.quantity for row in by_config] == ["params_M"]
    assert paper_rows(["DINO Swin-L 4-scale"], Progress()) == by_config


def test_a_model_without_published_figures_is_named():
    with pytest.raises(ConfigError, match="--paper has no figures of 'nope'; it has those of caff-dino-r50, "):
        paper_rows(["nope"], Progress())


def test_sources_are_told_of_the_values_that_are_there():
    (row,) = paper_rows(["dino-swin-l"], Progress())
    assert row.source == "expected: parameters counted on IDEA-Research/DINO"
    for case in CASES:
        for values in case.figures.values():
            source = case.source(values)
            assert ("published: " in source) == ("published" in values)
            assert not ("published" in values and "CAFF" in case.name)  # there are none
            assert ("fvcore" in source) == ("expected" in values and case.counting == "fvcore")
            assert ("FlopCounterMode" in source) == ("expected" in values and case.counting == "multiply-adds")
            assert ("tools/benchmark.py" in source) == ("expected" in values and case.counting == "dino-script")
            assert case.code or "expected" not in values
            assert case.paper or "published" not in values
