"""The files of a scorecard: its numbers and its page."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import quote

from pokora_anime.provenance.run_layout import CHOREOGRAPHY, REPORTS
from pokora_anime.quality.report.scorecard_page import page
from pokora_anime.quality.scorecard import REPORT, SCORECARD, Scorecard
from pokora_anime.system.files.atomic_files import write_atomic, writing


def write(card: Scorecard, folder: Path, clip: Path | None = None) -> tuple[Path, Path]:
    """Writes scorecard.json and the page; returns both. Raises MachineError SYS-*.

    The page shows `clip`, and beside it the poses that were planned for it if its run has them.
    """
    shown = quote(Path(os.path.relpath(clip, folder)).as_posix()) if clip is not None else ""
    data = json.dumps(card.to_json(), indent=1, ensure_ascii=False) + "\n"
    planned = clip.parent / REPORTS / CHOREOGRAPHY if clip is not None else None
    track = planned.read_bytes() if planned is not None and planned.is_file() else b""
    texts = {SCORECARD: data, REPORT: page(card, shown, track)}
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            write_atomic(folder / name, text.encode())
    return folder / SCORECARD, folder / REPORT
