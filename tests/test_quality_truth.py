"""Metrics against constructed truth: a known fault moves the numbers that it must and leaves the rest."""

from __future__ import annotations

import pytest

from pokora_anime.quality import truth
from pokora_anime.quality.metrics import METRICS
from pokora_anime.quality.truth import EXPECTED, FAULTS, RAMP, Expected

SMALL = truth.ground(seed=5, size=160, frames=41)


@pytest.fixture(scope="module")
def clean() -> dict[str, float | None]:
    return truth.measure(SMALL, truth.clean(SMALL))


def found(fault: str) -> dict[str, float]:
    values = truth.measure(SMALL, FAULTS[fault](SMALL))
    return {name: value for name, value in values.items() if value is not None}


def moved(clean: dict[str, float | None], values: dict[str, float]) -> set[str]:
    """Metrics that went from good to bad."""
    bands = {metric.id: metric.band("generated", "colours and edges") for metric in METRICS}
    return {
        name
        for name, value in values.items()
        if bands[name].verdict(clean[name]).value == "good" and bands[name].verdict(value).value == "bad"
    }


def test_every_metric_has_its_expectation() -> None:
    assert set(EXPECTED) == {metric.id for metric in METRICS}
    assert all(len(row) == len(FAULTS) for row in EXPECTED.values())
    for metric in METRICS:
        if metric.id not in ("prompt_adherence", "sharpness", "sharpness_hold"):
            assert {Expected.up, Expected.down, Expected.ideal} & set(EXPECTED[metric.id]), metric.id


def test_a_still_picture_fails_by_its_motion_alone(clean: dict[str, float | None]) -> None:
    values = found("static")
    assert moved(clean, values) == {"median_flow", "dynamic_degree"}
    assert values["median_flow"] == values["flicker"] == values["warp_error"] == values["color_drift"] == 0
    assert values["seam_ratio"] == values["seam_worst"] == 1
    assert "mawe" not in values and "motion_smoothness" not in values


def test_a_cut_is_found_and_moves_no_seam(clean: dict[str, float | None]) -> None:
    values = found("cut")
    assert moved(clean, values) == {"scene_cuts", "subject_consistency", "background_consistency"}
    for name in ("seam_ratio", "seam_worst", "flicker", "warp_error", "sharpness"):
        assert values[name] == pytest.approx(clean[name], rel=0.05), name


def test_a_seam_is_found_at_the_joins_and_nowhere_else(clean: dict[str, float | None]) -> None:
    values = found("seam")
    assert {"seam_ratio", "seam_worst", "seam_motion"} <= moved(clean, values)
    assert values["color_step"] > 0.8
    for name in ("warp_error", "sharpness", "subject_consistency"):
        assert values[name] == pytest.approx(clean[name], rel=0.05), name
    assert values["scene_cuts"] == 0


def test_flicker_is_found_and_is_no_seam(clean: dict[str, float | None]) -> None:
    values = found("flicker")
    assert {"flicker", "background_flicker"} <= moved(clean, values)
    assert not {"seam_ratio", "seam_worst", "color_step", "color_drift", "scene_cuts"} & moved(clean, values)
    for name in ("sharpness", "subject_consistency", "background_consistency"):
        assert values[name] == pytest.approx(clean[name], rel=0.05), name


def test_a_ramp_is_a_drift_of_its_size_and_no_flicker(clean: dict[str, float | None]) -> None:
    values = found("ramp")
    # The first and the last second lie a second apart from the ends.
    assert values["color_drift"] == pytest.approx(RAMP * (1 - 8 / 40), rel=0.25)
    assert moved(clean, values) == set()
    for name in ("warp_error", "seam_ratio", "sharpness"):
        assert values[name] == pytest.approx(clean[name], rel=0.05), name


@pytest.mark.slow
def test_every_number_does_what_the_table_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert truth.selftest() == 0, capsys.readouterr().out
