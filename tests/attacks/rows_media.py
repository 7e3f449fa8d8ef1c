"""Attacks on the MP4 and the PNGs of a run: hashes, nodes, ledger and signature computed anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from support import forged_media
from support.forged_media import Forge

from attacks.attack import Attack
from attacks.rows_record import Opened
from pokora_anime.provenance import run_layout

PICTURES = ("keyframe.png", "control_depth.png", "sheet.png")
Change = Callable[[Path], None]


def mended(name: str, forge: Forge) -> Change:
    """Forges one file of a run, then everything that follows from it."""

    def change(folder: Path) -> None:
        path = folder / name
        path.write_bytes(forge(path.read_bytes()))
        opened = Opened(folder)
        if name == run_layout.VIDEO:
            opened.deliver(opened.frames())
        opened.seal()

    return change


ROWS: list[Attack] = [
    *(
        Attack(name=name, hole="mp4", subject="run", forge=mended(run_layout.VIDEO, forge),
               codes=frozenset({"VID-BOX", "VID-TIME", "VID-FRAMES", "VID-DECODE"}))
        for name, forge in forged_media.MP4.items()
    ),
    *(
        Attack(name=f"{name} ({PICTURES[number % 3]})", hole="png", subject="run",
               forge=mended(PICTURES[number % 3], forge), codes=frozenset({"INT-PICTURE", "VID-SHEET"}))
        for number, (name, forge) in enumerate(forged_media.PNG.items())
    ),
]  # fmt: skip
