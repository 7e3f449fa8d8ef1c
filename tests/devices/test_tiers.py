"""SDXL stills on a processor: three presets, and the one that doctor names."""

from __future__ import annotations

import pytest

from pokora_anime.cli import doctor
from pokora_anime.config.compose import compose
from pokora_anime.devices import driver, hardware
from pokora_anime.devices.forecast.estimate import Estimate, here
from pokora_anime.errors import ConfigError
from pokora_anime.schema.settings import Runtime


def test_each_tier_takes_longer_and_more_than_the_one_before() -> None:
    configs = [
        compose("stills", ["base=sdxl", "device.kind=cpu", f"experiment={one}"]) for one in doctor.TIERS
    ]
    found = [Estimate.of([config], here(config.device)) for config in configs]
    assert [one.seconds for one in found] == sorted(one.seconds for one in found)
    assert [one.peak for one in found] == sorted(one.peak for one in found)
    assert found[-1].peak < 16 * hardware.GIB
    assert {config.device.runtime for config in configs} == {Runtime.auto}


@pytest.mark.parametrize(
    ("gigabytes", "named"), [(24, "cpu_careful"), (14, "cpu_balanced"), (12.5, "cpu_fast")]
)
def test_doctor_names_the_largest_tier_that_fits(
    gigabytes: float, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "accelerator_present", lambda: False)
    monkeypatch.setattr(hardware, "memory_here", lambda: (0, round(gigabytes * hardware.GIB)))
    (found,) = doctor._stills()
    assert f"experiment={named} fits" in found.advice
    assert all(tier in found.found for tier in doctor.TIERS)


def test_doctor_says_how_many_stills_fit_beside_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "accelerator_present", lambda: False)
    monkeypatch.setattr(hardware, "memory_here", lambda: (0, 64 * hardware.GIB))
    assert "4 at once with hydra.launcher.n_jobs=4" in doctor._stills()[0].advice
    monkeypatch.setattr(hardware, "memory_here", lambda: (0, 4 * hardware.GIB))
    assert "none fits" in doctor._stills()[0].found


def test_a_preset_that_chooses_what_stills_have_not_is_no_option_of_theirs() -> None:
    with pytest.raises(ConfigError, match=r"CFG-OPTION.*text_only"):
        compose("stills", ["experiment=text_only"])
    assert compose("video", ["experiment=text_only"]).seed == 0
