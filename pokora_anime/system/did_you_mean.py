"""The known name that somebody may have meant. Torch-free."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


def nearest(name: str, known: Sequence[str], cutoff: float = 0.55) -> str:
    """The known name most like `name`, or an empty string."""
    found = difflib.get_close_matches(name, known, n=1, cutoff=cutoff)
    return found[0] if found else ""
