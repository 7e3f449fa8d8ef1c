"""Launchers: the same frames whoever starts the jobs, equal jobs once, a lost worker's job repeated."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest
from support import once_per_session

from pokora_anime.cli import main
from pokora_anime.provenance.run_reading import read_run

TINY = (
    *("base.width=64", "base.height=64", "finish.width=64", "finish.height=64", "speed.steps=1"),
    *("device.threads=1", "seed=1,2,1,-1"),  # two are equal, one fails
)
SIDE_BY_SIDE = ("hydra.launcher.n_jobs=2",)
WALL = 600  # seconds, on a busy machine


def launched(root: Path, *words: str, **environment: str) -> tuple[Path, str]:
    """A sweep by a process of its own: its folder and what it said. Three jobs pass and one fails."""
    line = [sys.executable, "-m", "pokora_anime.cli", "stills", "-m", *TINY, *words, "--out", str(root)]
    done = subprocess.run(
        line,
        capture_output=True,
        text=True,
        timeout=WALL,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )
    assert done.returncode == 1 and "1 of 4 renders failed" in done.stderr, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    return Path(done.stdout.splitlines()[-1]), done.stderr


def serial(root: Path) -> Path:
    return launched(root, "hydra/launcher=basic")[0]


@pytest.fixture(scope="module")
def reference() -> Mapping[int, str]:
    return pictures(once_per_session.made("launched", serial))


def jobs(folder: Path) -> list[dict[str, str]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("job-*.json"))]


def pictures(folder: Path) -> dict[int, str]:
    """What each job's still is, by the job's number; equal jobs have one run."""
    told = jobs(folder)
    assert ["path" in job for job in told] == [True, True, True, False]
    assert told[0]["path"] == told[2]["path"] != told[1]["path"]
    assert "CFG-RANGE" in told[3]["error"]
    runs = {number: read_run(Path(job["path"])) for number, job in enumerate(told[:3])}
    return {number: run.node(run.results[0]).output for number, run in runs.items()}


@pytest.mark.apart
def test_joblib_renders_the_same_side_by_side(tmp_path: Path, reference: Mapping[int, str]) -> None:
    folder, said = launched(tmp_path, *SIDE_BY_SIDE)
    assert pictures(folder) == reference
    lines = [line for line in said.splitlines() if re.match(r"(job \d seed=-?\d+: )?\[\d+:\d\d\] ", line)]
    assert lines and all(line.startswith("job ") for line in lines)
    assert not list(folder.glob("tmp-*"))
    page = (folder / "index.html").read_text()
    assert page.count('class="card finished"') >= 2 and page.count('class="card failed"') == 1
    again, told = launched(tmp_path, *SIDE_BY_SIDE)  # nothing is left to render
    assert again == folder and "plan:" not in told


@pytest.mark.launcher
def test_submitit_renders_the_same(tmp_path: Path, reference: Mapping[int, str]) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    folder, _ = launched(tmp_path, "hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5")
    assert pictures(folder) == reference


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Ray with two nodes of one core each on this machine: its address."""
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")  # of a busy machine
    utils = pytest.importorskip("ray.cluster_utils")
    found = utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    found.add_node(num_cpus=1)
    yield found.address
    found.shutdown()


@pytest.mark.ray
def test_ray_repeats_the_job_of_a_lost_worker(
    tmp_path: Path, cluster: str, reference: Mapping[int, str]
) -> None:
    line = [sys.executable, "-m", "pokora_anime.cli", "stills", "-m", *TINY, "--out", str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_ADDRESS": cluster}
    sweep = subprocess.Popen(
        [*line, "hydra/launcher=ray"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    lost = lose_a_worker(tmp_path, sweep)
    out, said = sweep.communicate(timeout=WALL)
    assert sweep.returncode == 1 and "1 of 4 renders failed" in said, said[-3000:]
    folder = Path(out.splitlines()[-1])
    assert lost and pictures(folder) == reference


def lose_a_worker(root: Path, sweep: subprocess.Popen[str]) -> bool:
    """Kills the Ray worker of the first job that has begun to render."""
    while sweep.poll() is None:
        if any(root.glob("sweep/*/stills/*/.lock")):
            for process in psutil.process_iter(["cmdline"]):
                if (process.info["cmdline"] or [""])[0].startswith("ray::_run_job"):
                    process.kill()
                    return True
        time.sleep(0.02)
    return False


@pytest.mark.ray
def test_a_cluster_that_is_not_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("hydra_plugins.hydra_ray_launcher")
    monkeypatch.setenv("RAY_ADDRESS", "nowhere")
    assert main(["stills", "-m", "seed=1,2", "hydra/launcher=ray", "--out", str(tmp_path)]) == 4
    assert capsys.readouterr().err.startswith("pokora: SYS-CLUSTER: no Ray cluster at RAY_ADDRESS=nowhere")
    assert not (tmp_path / "sweep").exists()
