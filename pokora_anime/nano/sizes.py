"""Sizes of the family's pictures and clips: importable without torch, for processes that only draw."""

from __future__ import annotations

PICTURE = 256  # pixels a side
LATENT = 32  # latent cells a side
FRAMES = 16
FPS = 8
