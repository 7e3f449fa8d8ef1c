"""Where the package that runs lies on this machine. Torch-free."""

from __future__ import annotations

from pathlib import Path

INSTALLED = Path(__file__).resolve().parents[2]
NANO_WEIGHTS = INSTALLED / "nano" / "weights"
