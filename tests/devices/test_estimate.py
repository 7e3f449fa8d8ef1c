"""`pokora estimate`: the forecast of a run, here and on cards, before anything is rendered."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose as hydra_compose
from hydra import initialize_config_dir

from pokora_anime.cli.bench import measure_rates as bench_rates
from pokora_anime.cli.render import estimate_command
from pokora_anime.config.compose import compose, typed
from pokora_anime.devices import hardware
from pokora_anime.devices.forecast import cards, disk_space, plan_text, rates
from pokora_anime.devices.forecast.cards import Source
from pokora_anime.devices.forecast.plan import first_fitting, forecast, ladder
from pokora_anime.devices.forecast.rates import Accelerator, Rates
from pokora_anime.devices.forecast.workload import Job
from pokora_anime.devices.hardware import GIB
from pokora_anime.errors import ConfigError, MachineError, PokoraError, PromptError
from pokora_anime.jobs import sweep_jobs
from pokora_anime.schema.config_groups import conf_dir, register_schemas
from pokora_anime.schema.settings import DeviceConfig, DeviceKind, Family

CARDS = ("T4", "L4", "A10G", "RTX 4090", "A100", "H100", "H200", "Apple M2")
Told = Callable[..., Any]


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of its own, where nothing was measured."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("POKORA_DATA", str(folder))
    return folder


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    """The JSON of an estimate."""

    def ask(*words: str) -> Any:
        assert estimate_command.main([*words, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return ask


# One arithmetic: what is estimated is what a run forecasts


def test_a_clip_takes_what_its_run_forecasts(told: Told, tmp_path: Path) -> None:
    config = compose("video", ["device.kind=cpu", "device.memory_gb=8"])
    found = told("device.kind=cpu", "device.memory_gb=8", "--out", str(tmp_path))
    there, job = hardware.described(config.device, bf16=hardware.cpu_bf16()), Job.of(config)
    steps = ladder(job, there)
    run = steps[first_fitting(steps, there.memory)]
    (machine,) = found["machines"]
    assert machine["seconds"]["total"] == pytest.approx(run.seconds, abs=0.06)
    assert machine["seconds"]["starting"] == pytest.approx(run.starting, abs=0.06) and run.starting > 5
    assert (machine["memory_bytes"], machine["fits"]) == (run.peak, True)
    assert found["disk_bytes"] == disk_space.needed(config)
    assert machine["plan"] == plan_text.settings(run.plan, job, there)
    assert machine["dollars"] == {"on_demand": None, "spot": None, "seller": "", "prices": None}


@pytest.mark.parametrize(
    "words", [["seed=x"], ["speed=lmc"], ["shot.prompt=a photo of https://a.b/c.png"], ["sed=1"]]
)
def test_an_estimate_refuses_what_a_render_refuses(words: list[str]) -> None:
    with pytest.raises(PokoraError) as estimated:
        estimate_command.main(["video", *words, "--gpu", "H100"])
    from pokora_anime.cli.render.check import examine

    try:
        codes = {finding.code for finding in examine("video", words)[1]}
    except PokoraError as error:
        codes = {error.code}
    assert estimated.value.code in codes


# Cards


def test_each_card_has_a_time_and_says_whether_it_fits(told: Told) -> None:
    found = {machine["name"]: machine for machine in told("stills", "base=sdxl", "--gpu", "all")["machines"]}
    assert set(CARDS) <= set(found) and list(found) == list(cards.table())
    for name, machine in found.items():
        card = cards.table()[name]
        assert machine["fits"] and machine["rates"] == card.rates.value and machine["note"] == ""
        assert machine["seconds"]["total"] > machine["seconds"]["computing"] > 0
        hours = machine["seconds"]["total"] / 3600
        for kind, price in (("on_demand", card.on_demand), ("spot", card.spot)):
            paid = machine["dollars"][kind]
            assert paid is None if price is None else paid == pytest.approx(price * hours, rel=0.01)


def test_no_rate_of_the_table_claims_to_be_measured_and_each_price_has_a_day() -> None:
    for card in cards.table().values():
        assert card.rates is not Source.measured
        assert card.prices is not None or card.on_demand is card.spot is None
        assert card.spot is None or (card.on_demand is not None and card.spot < card.on_demand)


def test_all_cards_are_a_row_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert estimate_command.main(["video", "base=sdxl", "control=pose_depth", "--gpu", "all"]) == 0
    rows = capsys.readouterr().out.splitlines()
    for name in cards.table():
        assert sum(row.startswith(f"{name:14} ") for row in rows) == 1
    row = next(row for row in rows if row.startswith("H100 "))
    assert "yes" in row and row.count("$") == 2 and "2026-" in row
    small = next(index for index, row in enumerate(rows) if row.startswith("Apple M2  "))
    assert " no " in rows[small] and "with control=none it does" in rows[small + 1]
    assert "No card was measured" in rows[-1]


def test_a_run_that_does_not_fit_is_answered_with_the_cheapest_that_does(told: Told) -> None:
    found = told("base=sdxl", "control=pose_depth", "--gpu", "Apple M2")["machines"][0]
    assert (found["fits"], found["possible"], found["cheapest_that_fits"]) == (False, True, "control=none")
    assert found["memory_bytes"] <= found["memory_to_use_bytes"]
    less = told("base=sdxl", "control=none", "--gpu", "Apple M2")["machines"][0]
    assert less["fits"] and less["seconds"] == found["seconds"]


def test_a_run_that_fits_in_no_way_has_no_price(data: Path, told: Told) -> None:
    (data / "cards.yaml").write_text(
        "cards: {Tiny: {peak: 1, memory_gb: 0.5, efficiency: 0.5, on_demand: 1}}"
    )
    found = told("base=sdxl", "--gpu", "tiny")["machines"][0]
    assert (found["fits"], found["possible"], found["dollars"]["on_demand"]) == (False, False, None)


@pytest.mark.parametrize(
    ("typed_name", "name"),
    [
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("NVIDIA A100-PCIE-40GB", "A100 40GB"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("geforce rtx4090", "RTX 4090"),
        ("4090", "RTX 4090"),
        ("Tesla T4", "T4"),
        ("m2 max", "Apple M2 Max"),
    ],
)
def test_a_card_is_known_by_a_drivers_name(typed_name: str, name: str) -> None:
    card, note = cards.find(typed_name)
    assert (card.name, note) == (name, "")


@pytest.mark.parametrize(("asked", "nearest"), [("H10", "H100"), ("RTX 4080", "RTX 4090"), ("L40S", "L4")])
def test_an_unknown_card_is_taken_for_the_nearest_and_that_is_said(
    asked: str, nearest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert estimate_command.main(["--gpu", asked]) == 0
    out, err = capsys.readouterr()
    assert f"no {asked!r} in the table" in err and f"nearest name, {nearest}" in err
    assert f"machine   {nearest}, " in out


def test_a_laptops_chip_is_not_taken_for_the_card_of_its_name() -> None:
    assert "nearest" in cards.find("NVIDIA GeForce RTX 4090 Laptop GPU")[1]
    assert "nearest" in cards.find("Apple M2 Pro")[1]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--gpu", "zzz"], "CFG-GPU"),
        (["--gpu"], "CFG-SYNTAX"),
        (["--gpu="], "CFG-SYNTAX"),
        (["vidoe"], "CFG-COMMAND"),
        (["--jsno"], "CFG-SYNTAX"),
        (["--cfg"], "CFG-SYNTAX"),
        (["seed=1,2"], "CFG-SWEEP"),
        (["device.kind=cuda"], "CFG-DEVICE"),
    ],
)
def test_bad_input_is_one_line_with_a_code(words: list[str], code: str) -> None:
    with pytest.raises(ConfigError) as error:
        estimate_command.main(words)
    assert error.value.code == code and "\n" not in error.value.line() and error.value.fix


def test_a_price_that_is_missing_leaves_the_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert estimate_command.main(["--gpu", "Apple M1"]) == 0
    page = capsys.readouterr().out
    assert "time only: no price for Apple M1" in page and "time      " in page


# The user's own table


def test_a_users_table_overrides_and_adds(data: Path, told: Told) -> None:
    before = told("base=sdxl", "--gpu", "T4")["machines"][0]
    (data / "cards.yaml").write_text(
        "cards:\n"
        "  t4: {efficiency: 0.4, rates: measured, on_demand: 2, prices: 2027-01-02, spot: 1}\n"
        "  Lab card: {peak: 100, memory_gb: 48, efficiency: 0.5}\n"
    )
    after = told("base=sdxl", "--gpu", "T4")["machines"][0]
    assert after["flops_a_second"] == 2 * before["flops_a_second"]
    assert (after["rates"], after["dollars"]["prices"]) == ("measured", "2027-01-02")
    assert after["memory_to_use_bytes"] == before["memory_to_use_bytes"]
    own = told("base=sdxl", "--gpu", "lab card")["machines"][0]
    assert own["fits"] and own["rates"] == "assumed" and own["dollars"]["on_demand"] is None


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("cards: [", "no YAML"),
        ("- 1", "no `cards:`"),
        ("cards: {T4: 3}", "T4 is no mapping"),
        ("cards: {T4: {peek: 3}}", "T4.peek"),
        ("cards: {T4: {peak: fast}}", "T4.peak: fast"),
        ("cards: {T4: {efficiency: 2}}", "T4.efficiency: 2"),
        ("cards: {T4: {prices: today}}", "T4.prices: today"),
        ("cards: {T4: {kind: tpu}}", "T4.kind: tpu"),
        ("cards: {New: {memory_gb: 8}}", "New.peak: None"),
    ],
)
def test_a_damaged_table_is_one_line_and_stops_no_render(data: Path, text: str, got: str) -> None:
    (data / "cards.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        cards.find("T4")
    assert error.value.code == "CFG-CARDS" and got in error.value.got and "cards.yaml" in error.value.got
    assert hardware._rate_of("Tesla T4") == 0.0


# Sweeps


def test_a_sweep_is_the_sum_of_its_jobs_with_one_start(told: Told) -> None:
    words = ["seed=1,2,3", "speed=lcm", "device.kind=cpu", "device.memory_gb=8"]
    found = told("sweep", *words)
    single = told("video", "sweep=grid", "seed=1", *words[1:])["machines"][0]
    (machine,) = found["machines"]
    assert (found["jobs"], found["n_jobs"], len(machine["seconds_by_job"])) == (3, 1, 3)
    after = single["seconds"]["total"] - Rates().starting
    assert machine["seconds"]["total"] == pytest.approx(Rates().starting + 3 * after, abs=0.4)
    assert machine["labels"] == ["seed=1", "seed=2", "seed=3"]
    assert found["disk_bytes"] == 3 * told("video", "sweep=grid", "seed=1", "speed=lcm")["disk_bytes"]


def test_jobs_side_by_side_share_the_device_and_add_their_memory(told: Told) -> None:
    words = ["--multirun", "seed=1,2", "device.kind=cpu", "device.memory_gb=1.5"]
    after, beside = told("video", *words), told("video", *words, "hydra.launcher.n_jobs=2")
    one, two = after["machines"][0], beside["machines"][0]
    assert (after["n_jobs"], beside["n_jobs"]) == (1, 2)
    assert two["memory_bytes"] == 2 * one["memory_bytes"] and two["seconds"] == one["seconds"]
    assert one["fits"] and not two["fits"] and two["cheapest_that_fits"] == "hydra.launcher.n_jobs=1"


def test_jobs_are_configured_as_they_would_be_rendered() -> None:
    words = ["seed=3,4", "speed=lcm,hq", "shot.seconds=2"]
    listed, at_once = sweep_jobs.configs("video", words)
    register_schemas()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        typed_words = [
            [f"seed={seed}", f"speed={speed}", words[2]] for seed in (3, 4) for speed in ("lcm", "hq")
        ]
        composed = [typed("video", hydra_compose("video", overrides=one), one) for one in typed_words]
    assert at_once == 1 and [config for _, config in listed] == composed
    assert [label for label, _ in listed][:2] == ["seed=3 speed=lcm", "seed=3 speed=hq"]


def test_a_mistake_in_one_job_is_told() -> None:
    with pytest.raises(ConfigError, match="seed"):
        estimate_command.main(["stills", "--multirun", "seed=1,-2"])
    with pytest.raises(PromptError):
        estimate_command.main(["stills", "--multirun", "shot.prompt={a|b"])


# This machine's rates


def measured(**changes: Any) -> Rates:
    found = Rates(nano=5e10, wide=2e11, starting=3.0, delivering=1e-7, measured="2026-11-30")
    return replace(found, machine=rates.processor(), **changes)


def test_measured_rates_are_kept_and_forecast_with(told: Told) -> None:
    words = ["device.kind=cpu", "device.memory_gb=16"]
    nano, sdxl = (told("stills", *words, base)["machines"][0] for base in ("base=nano", "base=sdxl"))
    bench_rates.keep(measured())
    assert rates.read() == measured()
    after = [told("stills", *words, base)["machines"][0] for base in ("base=nano", "base=sdxl")]
    assert [one["rates"] for one in (nano, *after)] == ["assumed", "measured", "measured"]
    assert after[0]["seconds"]["computing"] > nano["seconds"]["computing"]
    assert after[1]["seconds"]["computing"] < sdxl["seconds"]["computing"]
    assert after[0]["seconds"]["starting"] == pytest.approx(nano["seconds"]["starting"] - 2.7, abs=0.11)
    config = compose("stills", words).device
    here = hardware.of_cpu(config, 16 * GIB, bf16=False)
    assert here.rate_of(Family.sdxl) == pytest.approx(config.threads * 2e11 * 75 / 120)


def test_rates_of_another_machine_are_left_alone() -> None:
    bench_rates.keep(replace(measured(), machine="another"))
    assert rates.read() == Rates()


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"nano": 0}'])
def test_damaged_rates_are_one_line_and_stop_no_render(data: Path, text: str) -> None:
    (data / "rates.json").write_text(text)
    with pytest.raises(ConfigError, match=r"CFG-RATES.*pokora bench rates"):
        estimate_command.main([])
    assert rates.here() == Rates()


def test_a_measured_card_is_this_machines(told: Told) -> None:
    card = Accelerator(kind=DeviceKind.cuda, name="Some card", memory=24 * GIB, rate=1e14)
    bench_rates.keep(measured(accelerator=card))
    (machine,) = told("base=sdxl")["machines"]
    assert (machine["name"], machine["rates"], machine["flops_a_second"]) == ("Some card", "measured", 10**14)
    assert hardware._rate_of("Some card") == 1e14
    assert told("device.kind=cpu", "device.memory_gb=8")["machines"][0]["kind"] == "cpu"


def test_a_measured_rate_changes_seconds_and_no_plan() -> None:
    job = Job.of(compose("video", ["base=sdxl", "speed=hq", "control=pose_depth"]))
    card = hardware.of_card(cards.table()["T4"], DeviceConfig())
    stated = replace(card, stated=card.rate)
    faster = replace(stated, rate=100 * card.rate)
    assert [one.plan for one in ladder(job, faster)] == [one.plan for one in ladder(job, stated)]
    assert ladder(job, faster)[0] == forecast(ladder(job, stated)[0].plan, job, faster)
    assert [one.plan for one in ladder(job, replace(card, rate=faster.rate))] != [
        one.plan for one in ladder(job, card)
    ]


def test_two_clips_tell_networks_and_delivery_apart() -> None:
    small = bench_rates.Clip(starting=5.0, seconds=10.0, delivered=1_000_000, flops=8e11)
    large = replace(small, seconds=19.0, delivered=10_000_000)
    nano, delivering = bench_rates.apart(small, large, cores=2)
    assert delivering == pytest.approx(2e-6) and nano == pytest.approx(8e11 / 9 / 2)
    with pytest.raises(MachineError, match="SYS-BENCH"):
        bench_rates.apart(small, replace(large, seconds=9.0), cores=2)


def test_a_busy_machine_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (3.0, 0.0, 0.0))
    assert "load 3.0 on 2 cores" in bench_rates.busy(2) and bench_rates.busy(8) == ""


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_layers_of_sdxls_kind_are_counted_and_timed(dtype: torch.dtype) -> None:
    assert 1e7 < bench_rates.wide(torch.device("cpu"), dtype, [(64, 8), (128, 4)]) < 1e13


# Light


def test_no_torch_and_no_numpy_is_imported() -> None:
    code = (
        "import sys; from pokora_anime.cli import main;"
        "assert main(sys.argv[1:]) == 0;"
        "heavy = {'torch', 'numpy', 'diffusers', 'rich'} & set(sys.modules); assert not heavy, heavy"
    )
    for words in (["video", "base=sdxl", "--gpu", "all"], ["sweep", "--json"], ["--help"]):
        said = subprocess.run(
            [sys.executable, "-c", code, "estimate", *words], check=True, capture_output=True, text=True
        )
        assert said.stdout
