"""The bench of CPU-seconds against another commit: pairs, a table, and the exit status of its bar."""

from __future__ import annotations

import subprocess

import pytest

from benchmarks.regression.__main__ import ROOT, main


def test_a_case_over_the_bar_fails(capsys: pytest.CaptureFixture[str]) -> None:
    if subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True).returncode:
        pytest.skip("no checkout")
    words = ["--against", "HEAD", "--rounds", "1", "--cases", "help"]
    assert main([*words, "--bar", "50"]) == 0 and "at most 50.00: kept" in capsys.readouterr().out
    assert main([*words, "--bar", "0.01"]) == 1 and "MISSED" in capsys.readouterr().out
