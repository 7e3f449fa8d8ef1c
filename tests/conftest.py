"""Every test starts with one torch thread: results differ in their last bits with another count."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from support import once_per_session

WORKER = "workerinput"  # what pytest-xdist gives the configuration of each of its processes
# By the seconds that they take, most first.
DEAREST = (
    *("test_pipeline.py", "test_attack_rows.py", "test_nano_train.py", "test_verify.py", "test_rehearsal.py"),
    *("test_submission.py", "test_reproduce.py", "test_compiled.py", "test_draft.py", "test_replay.py"),
    *("test_bench_clips.py", "test_join_maps.py", "test_guard.py", "test_devices.py", "test_choreography.py"),
    *("test_studio.py", "test_lora_training.py", "test_data_sets.py"),
    *("test_camera_window.py", "test_bench_gpu.py", "test_advice.py", "test_gate.py", "test_fetch.py"),
)


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, WORKER):
        once_per_session.begin()


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, WORKER):
        once_per_session.end()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The dearest files first, so that no process is left with one of them at the end.

    What takes its time alone, or drives a browser, runs where `-m` asks for it, as `.ci/run` does at the end.
    """
    for name in ("browser", "apart"):
        if name not in str(config.option.markexpr):
            apart = pytest.mark.skip(reason=f"runs with `-m {name}`, after all else in .ci/run")
            for item in items:
                if item.get_closest_marker(name):
                    item.add_marker(apart)
    rank = {name: place for place, name in enumerate(DEAREST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


@pytest.fixture(autouse=True, scope="module")
def one_thread_for_fixtures() -> Iterator[None]:
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
