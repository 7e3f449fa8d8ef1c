"""Pictures of the nano bench: the contact sheet, the moving samples and the sample page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks.nano.nano_flow import Clip
from benchmarks.nano.nano_rows import Row
from benchmarks.nano.nano_sections import FPS, SHOWN, read_strip
from benchmarks.nano.nano_table import Line, markdown_table
from pokora_anime.errors import ConfigError
from pokora_anime.quality.contact_sheet import contact_sheet

MOVING, COLUMNS, SIDE = 8, 4, 192  # clips in the moving picture, in a row, pixels a clip
SHEET_COLUMNS = 6
CLIPS, SHEET = "nano-clips.webp", "nano-sheet.jpg"


def first_clips(pictures: Path, rows: Sequence[Row], most: int) -> list[tuple[Row, Clip]]:
    """The first prompts' rows and clips, in the order of their seeds: none is left out."""
    found: list[tuple[Row, Clip]] = []
    for row in rows[: min(most, SHOWN)]:
        path = pictures / f"{row['index']:03d}.png"
        if not path.exists():
            break
        found.append((row, read_strip(path)))
    return found


def write_sheet(path: Path, shown: Sequence[tuple[Row, Clip]]) -> None:
    """The middle frames of the first clips with their prompts."""
    from PIL import Image

    frames = [clip[len(clip) // 2] for _, clip in shown]
    labels = [f"{row['index']}: {row['prompt']}" for row, _ in shown]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(contact_sheet(frames, SHEET_COLUMNS, labels)).save(path)


def write_moving(path: Path, shown: Sequence[tuple[Row, Clip]]) -> None:
    """The first clips beside each other as an animated WebP."""
    from PIL import Image

    clips = [clip for _, clip in shown[:MOVING]]
    clips = clips[: len(clips) // COLUMNS * COLUMNS] or clips[:1]
    frames: list[Image.Image] = []
    for k in range(len(clips[0])):
        small = [cv2.resize(clip[k], (SIDE, SIDE), interpolation=cv2.INTER_AREA) for clip in clips]
        rows = [np.concatenate(small[i : i + COLUMNS], 1) for i in range(0, len(small), COLUMNS)]
        frames.append(Image.fromarray(np.concatenate(rows)))
    path.parent.mkdir(parents=True, exist_ok=True)
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=1000 // FPS, loop=0, quality=80)


def fill_page(page: Path, lines: Sequence[Line], shown: Sequence[tuple[Row, Clip]], about: str) -> None:
    """Writes measured table, pictures and prompts between the page's markers and beside it.

    Raises ConfigError CFG-PAGE where the page lacks a marker.
    """
    text = page.read_text(encoding="utf-8")
    prompts = "\n".join(f"{row['index']}. seed {row['index']}: `{row['prompt']}`" for row, _ in shown)
    for name, block in (("about", about), ("table", markdown_table(lines)), ("prompts", prompts)):
        text = fill(text, name, block)
    if shown:
        write_moving(page.parent / "images" / CLIPS, shown)
        write_sheet(page.parent / "images" / SHEET, shown)
    page.write_text(text, encoding="utf-8")


def fill(text: str, name: str, block: str) -> str:
    """Puts a block between `<!-- bench:NAME -->` and `<!-- /bench -->`."""
    pattern = rf"(<!-- bench:{name} -->\n).*?(\n<!-- /bench -->)"
    filled, count = re.subn(pattern, lambda match: match[1] + block + match[2], text, flags=re.DOTALL)
    if count != 1:
        raise ConfigError(
            "CFG-PAGE",
            f"{count} places for the bench's {name} on the page",
            expected=f"one <!-- bench:{name} --> ... <!-- /bench -->",
            fix="--page docs/nano.md",
        )
    return filled
