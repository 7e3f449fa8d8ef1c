"""`pokora bench gpu` on the smallest frame: every arm runs, rows are kept, the table tells them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu.gpu import main, missed
from benchmarks.gpu.gpu_arms import Arm
from benchmarks.gpu.gpu_rows import Row, Rows, ratio, table
from pokora_anime.errors import MachineError

SMALL = ["--device", "cpu", "--side", "32", "--rounds", "1", "--threads", "1", "--out"]


def row(arm: str, round_: int, seconds: float) -> Row:
    return Row(arm=arm, round=round_, seconds=seconds, busy=seconds / 2, first_segment=0.0, peak_bytes=0)


def test_every_arm_runs_and_neither_hydra_nor_imageio_is_needed(tmp_path: Path) -> None:
    code = (
        "import sys; from benchmarks.gpu.gpu import main; main(sys.argv[1:]);"
        "assert not {'hydra', 'omegaconf', 'imageio_ffmpeg', 'imageio'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, *SMALL, str(tmp_path)], check=True, stdout=subprocess.DEVNULL)
    lines = (tmp_path / "gpu-cpu.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["side"] == 32
    measured = [json.loads(line) for line in lines[1:]]
    assert len(measured) == 8 and all(one["seconds"] > 0 for one in measured)
    told = (tmp_path / "gpu-cpu.md").read_text()
    assert all(one["arm"] in told for one in measured) and "x of stock, CFG off" in told


def test_a_stopped_bench_goes_on_with_what_it_has(tmp_path: Path) -> None:
    rows = Rows(tmp_path / "rows.jsonl", {"side": 32}, fresh=False)
    rows.add(row("ours", 0, 2.0))
    again = Rows(tmp_path / "rows.jsonl", {"side": 32}, fresh=False)
    assert again.has("ours", 0) and not again.has("ours", 1) and again.of("ours") == rows.of("ours")
    assert not Rows(tmp_path / "rows.jsonl", {"side": 64}, fresh=False).has("ours", 0)


def test_arms_are_compared_round_by_round(tmp_path: Path) -> None:
    rows = Rows(tmp_path / "rows.jsonl", {}, fresh=True)
    for round_, (stock, ours) in enumerate([(10.0, 5.0), (100.0, 60.0), (20.0, 14.0)]):
        rows.add(row("stock", round_, stock))
        rows.add(row("ours", round_, ours))
    assert ratio(rows.of("ours"), rows.of("stock"), busy=False) == pytest.approx(0.6)
    assert ratio(rows.of("ours"), [], busy=False) is None
    told = list(table(rows, [("stock", "stock", ""), ("ours", "exact", "stock")], busy=False))
    assert told[-1] == "| ours | exact | 14.00 |  |  | 0.60x of stock |"
    arm = Arm(name="ours", kind="exact", baseline="stock", make=lambda: lambda: None)
    assert missed(rows, [arm]) == [] and missed(rows, [arm], bar=0.5) == ["ours: 0.600"]


def test_a_device_that_is_not_here_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="SYS-DEVICE"):
        main(["--device", "tpu", "--out", str(tmp_path)])


@pytest.mark.parametrize("gigabytes", [24, 12, 8])
def test_the_capped_plans_hold_no_more_than_the_cap(gigabytes: int) -> None:
    import torch

    from benchmarks.gpu.gpu_arms import Setting
    from benchmarks.gpu.gpu_capped import planned

    setting = Setting(device=torch.device("cuda"), dtype=torch.bfloat16, side=768, segments=1)
    assert planned(setting, gigabytes).peak < gigabytes * 2**30
