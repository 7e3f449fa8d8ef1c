"""The report of a data set: one page with every picture and what is wrong. Torch-free."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image as Pictures

from pokora_anime.provenance.hashing import Table
from pokora_anime.system.html_template import rendered
from pokora_anime.untrusted.png_pictures import Image
from pokora_anime.workshop.data import size_buckets
from pokora_anime.workshop.data.data_set import DataSet, Entry

TEMPLATE = Path(__file__).parent / "templates" / "data_report.html.j2"
SIDE = 192  # pixels of a thumbnail
BASES = (("nano", 256, 32), ("sdxl", 768, 64))  # pixels a side that they are trained at, and the steps of it


def page(data: DataSet, pictures: Mapping[str, Image], notes: Sequence[Table]) -> str:
    """HTML that needs no other file; each note has code, message, where and maybe a thumbnail."""
    by_name: dict[str, list[str]] = {}
    for note in notes:
        by_name.setdefault(str(note["where"]), []).append(str(note["code"]))
    cards = [_card(entry, pictures[entry.name], by_name) for entry in _shown(data)]
    return rendered(TEMPLATE, data=data, notes=notes, cards=cards)


def _shown(data: DataSet) -> Sequence[Entry]:
    """Every picture; of a clip its first, middle and last frame."""
    if not data.clips:
        return data.entries
    return [frames[at] for frames in data.by_clip().values() for at in (0, len(frames) // 2, len(frames) - 1)]


def thumbnail(rgb: Image) -> str:
    """A JPEG in a data URL."""
    picture = Pictures.fromarray(np.ascontiguousarray(rgb))
    picture.thumbnail((SIDE, SIDE), Pictures.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _card(entry: Entry, rgb: Image, notes: Mapping[str, Sequence[str]]) -> dict[str, object]:
    sizes = [
        f"{base} {size_buckets.nearest(entry.width, entry.height, side, step).words}"
        for base, side, step in BASES
    ]
    return {
        **asdict(entry),
        "thumbnail": thumbnail(rgb),
        "codes": [
            *notes.get(entry.original_name, ()),
            *notes.get(entry.original_name.rpartition("/")[0], ()),
        ],
        "buckets": ", ".join(sizes),
    }
