"""The contest's pipeline from fetch to bundle, tiny: every step in processes of its own, behind the guard."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
STEPS = (
    *("dry run", "fetch", "fetch again", "models verify", "still", "clip, killed", "clip, resumed"),
    *("clip, answered", "verify stills", "verify video", "draft bundle", "status"),
)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_pipeline_is_rehearsed_from_fetch_to_bundle(tmp_path: Path) -> None:
    words = [sys.executable, str(ROOT / "benchmarks" / "rehearsal"), "--work", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = [line[:16].strip() for line in done.stdout.splitlines()]
    assert told == list(STEPS)
