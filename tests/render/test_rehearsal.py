"""The contest's pipeline from fetch to bundle, tiny: every step in processes of its own, behind the guard."""

from __future__ import annotations

import runpy
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STEPS = (
    *("dry run", "fetch", "fetch again", "models verify", "still", "clip, killed", "clip, resumed"),
    *("clip, answered", "verify stills", "verify video", "draft bundle", "status"),
)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_pipeline_is_rehearsed_from_fetch_to_bundle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])  # it puts its own folders there
    status = runpy.run_path(str(ROOT / "benchmarks" / "rehearsal" / "__main__.py"))["main"](
        ["--work", str(tmp_path)]
    )
    shown = capsys.readouterr()
    assert status == 0, shown.err
    told = [line[:16].strip() for line in shown.out.splitlines()]
    assert told == list(STEPS)
