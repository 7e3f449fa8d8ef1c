"""`pokora open`: a run's clip, still or page in the desktop's own program."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pokora_anime.cli.parser import OneLineParser
from pokora_anime.errors import ConfigError
from pokora_anime.history import run_origin
from pokora_anime.provenance.run_layout import REPORTS, VIDEO, still_name
from pokora_anime.untrusted.untrusted_names import shown

DESCRIPTION = """Opens a run's clip or first still, or with --page the page with its score, in the desktop's
program for it. Where there is no desktop the path is printed, and nothing else is done."""
EXAMPLES = """Try
  pokora open outputs/video/NAME
  pokora open outputs/video/NAME --page
  pokora open outputs/stills/NAME#2"""
_SHOWN = (".mp4", ".png", ".webp", ".html")


def main(arguments: Sequence[str]) -> int:
    """Open it and print its path; returns the exit status. Raises ConfigError CFG-FILE."""
    parser = OneLineParser(
        prog="pokora open",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", metavar="FILE|RUN", help="a run, a still as RUN#2, or a file of a run")
    parser.add_argument("--page", action="store_true", help="the page with the score")
    parser.add_argument("--out", type=Path, default=Path("outputs"), metavar="DIR", help="default: ./outputs")
    options = parser.parse_args(list(arguments))
    path = target(options.what, options.out, page=options.page)
    print(path)
    show(path)
    return 0


def show(path: Path) -> bool:
    """Open a file in the desktop's program for it; False where there is no desktop."""
    line = opener()
    if line:
        subprocess.Popen(
            [*line, str(path.resolve())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    return bool(line)


def target(what: str, root: Path, *, page: bool = False) -> Path:
    """The file to open. Raises ConfigError CFG-FILE where it is not there, or is none that a run writes."""
    name, _, number = what.partition("#") if not Path(what).exists() else (what, "", "")
    path = run_origin.place(name, root)
    if path.is_dir():
        path = _of_run(path, number, page=page)
    if not path.is_file() or path.suffix.lower() not in _SHOWN:
        raise ConfigError(
            "CFG-FILE", f"{shown(path)} is no file to open", expected="a finished run", fix="`pokora list`"
        )
    return path


def _of_run(folder: Path, number: str, *, page: bool) -> Path:
    if page:
        return folder / REPORTS / "scorecard.html"
    if number.isdecimal() and len(number) < 5:
        return folder / still_name(int(number) - 1)
    finished = next((folder / name for name in (VIDEO, still_name(0)) if (folder / name).is_file()), None)
    return finished or folder / REPORTS / "preview.webp"


def opener() -> list[str]:
    """The command that opens a file on this desktop; empty where there is no desktop."""
    if sys.platform == "darwin":
        return ["open"]
    desktop = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    found = [*(["wslview"] if os.environ.get("WSL_DISTRO_NAME") else []), *(["xdg-open"] if desktop else [])]
    return next(([program] for name in found if (program := shutil.which(name))), list[str]())
