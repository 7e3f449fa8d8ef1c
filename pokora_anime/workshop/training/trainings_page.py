"""One page of several trainings: how far each is, and a way to its own page. Torch-free."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pokora_anime.system.files.atomic_files import write_atomic, writing
from pokora_anime.system.html_template import rendered

TEMPLATE = Path(__file__).parent / "templates" / "trainings_page.html.j2"
SHEET = "weights.png"


def write(path: Path, works: Mapping[str, Path], told: Mapping[str, str]) -> None:
    """Writes it; `works` are the trainings' folders by id, `told` how far each is.

    Raises MachineError SYS-*.
    """
    rows = [(name, _link(path, work), told[name], (work / SHEET).is_file()) for name, work in works.items()]
    done = all(text not in ("waits", "is being trained") for text in told.values())
    page = rendered(TEMPLATE, rows=rows, running=not done, sheet=SHEET)
    with writing(path.parent, len(page)):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, page.encode())


def _link(path: Path, work: Path) -> str:
    return Path(os.path.relpath(work, path.parent)).as_posix()
