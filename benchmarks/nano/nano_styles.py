"""The style LoRAs of the nano bench: told apart, and what of the prompts is lost with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.nano import nano_metrics
from benchmarks.nano.nano_rows import Row
from benchmarks.nano.nano_table import Line, rights, share_line, title
from pokora_anime.nano.probe import STILL
from pokora_anime.nano.world.vocabulary import ATTRIBUTES

BAR, LOST_BAR = 0.95, 0.02
PLAIN = "plain"


def lines(rows: Sequence[Row]) -> list[Line]:
    """What is promised of the style LoRAs at weight 1."""
    return [told_apart(rows), lost(rows)]


def told_apart(rows: Sequence[Row]) -> Line:
    """Whether the probe tells which style LoRA was on."""
    by_style = {
        style: [float(row[style]["style"] == number) for row in rows]
        for number, style in enumerate(ATTRIBUTES["style"])
    }
    shares = {style: nano_metrics.share(right) for style, right in by_style.items()}
    every = [one for right in by_style.values() for one in right]
    return share_line("style LoRAs told apart at weight 1", every, BAR, by_style=shares)


def lost(rows: Sequence[Row]) -> Line:
    """What a style costs, in pictures of the same prompts from the same noise as without it."""
    found: dict[str, dict[str, float]] = {}
    for style in ATTRIBUTES["style"][1:]:
        for name in (one for one in STILL if one != "style"):
            plain, styled = rights(rows, PLAIN, name), rights(rows, style, name)
            if plain:
                less, low, high = nano_metrics.bootstrap_difference(np.array(plain), np.array(styled))
                shares = {"plain": nano_metrics.share(plain), "styled": nano_metrics.share(styled)}
                found[f"{style}, {title(name)}"] = {**shares, "lost": less, "low": low, "high": high}
    name, worst = max(found.items(), key=lambda item: item[1]["lost"])
    return Line(
        what="style LoRAs at weight 1: accuracy lost against plain, worst attribute",
        bar=f"<= {100 * LOST_BAR:g} points",
        shown=f"{100 * worst['lost']:+.1f} ({name}, {100 * worst['low']:+.1f} to {100 * worst['high']:+.1f})",
        value=worst["lost"],
        met=worst["lost"] <= LOST_BAR,
        count=len(rows),
        interval=(worst["low"], worst["high"]),
        details=found,
    )
