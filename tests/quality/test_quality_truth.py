"""Metrics against constructed truth: a known fault moves the numbers that it must and leaves the rest."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pokora_anime.quality.metrics import metric_selftest
from pokora_anime.quality.metrics.metric_selftest import EXPECTED, FAULTS, RAMP, Cell, Expected
from pokora_anime.quality.metrics.metric_table import COLORS, GENERATED, METRICS

SMALL = metric_selftest.ground(seed=5, size=160, frames=41)
# Flicker is random: over the three joins of one short clip it does not average out.
TOO_FEW_JOINS = {("seam_ratio", "flicker"), ("seam_worst", "flicker")}
Table = Mapping[str, Mapping[str, Cell]]


@pytest.fixture(scope="module")
def table() -> Table:
    return metric_selftest.compare([SMALL])


def found(table: Table, fault: str, name: str) -> float:
    value = table[name][fault].value
    assert value is not None
    return value


def spoiled(table: Table, fault: str) -> set[str]:
    """Metrics that went from good to bad."""
    bands = {metric.id: metric.band(GENERATED, COLORS) for metric in METRICS}
    return {
        name
        for name, cells in table.items()
        if bands[name].verdict(cells[fault].clean).value == "good"
        and bands[name].verdict(cells[fault].value).value == "bad"
    }


def test_every_metric_but_the_prompts_has_a_fault_that_must_move_it() -> None:
    assert set(EXPECTED) == {metric.id for metric in METRICS}
    assert all(len(row) == len(FAULTS) for row in EXPECTED.values())
    moving = {name for name, row in EXPECTED.items() if {Expected.up, Expected.down} & set(row)}
    # MAWE falls where flicker passes for motion and rises where motion is lost: no fault moves it one way.
    assert set(EXPECTED) - moving == {"prompt_adherence", "mawe"}


def test_every_number_does_what_the_table_says(table: Table) -> None:
    wrong = {(name, fault) for name, row in table.items() for fault, cell in row.items() if not cell.right}
    assert wrong <= TOO_FEW_JOINS, metric_selftest.as_text(table)


@pytest.mark.parametrize(
    ("fault", "bad"),
    [
        ("static", {"median_flow", "dynamic_degree"}),
        ("cut", {"scene_cuts", "subject_consistency", "background_consistency"}),
        ("seam", {"seam_ratio", "seam_worst", "seam_motion"}),
        ("ghost", {"seam_ghost"}),
        ("flicker", {"flicker", "background_flicker"}),
        ("ramp", set[str]()),
        ("shuffled", {"motion_smoothness"}),
        ("blur", {"sharpness", "sharpness_hold"}),
    ],
)
def test_a_fault_spoils_its_own_numbers_and_no_other(table: Table, fault: str, bad: set[str]) -> None:
    assert spoiled(table, fault) == bad


def test_a_still_picture_has_perfect_joins_and_nothing_to_divide_by(table: Table) -> None:
    for name in ("median_flow", "flicker", "warp_error", "color_drift"):
        assert found(table, "static", name) == 0
    assert found(table, "static", "seam_ratio") == found(table, "static", "seam_worst") == 1
    assert table["mawe"]["static"].value is table["motion_smoothness"]["static"].value is None


def test_a_ramp_is_a_drift_of_its_size(table: Table) -> None:
    # The first and the last second lie a second apart from the ends.
    assert found(table, "ramp", "color_drift") == pytest.approx(RAMP * (1 - 8 / 40), rel=0.25)
