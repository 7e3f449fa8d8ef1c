"""`pokora gallery`: all runs on one page, to look at, compare and choose from."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pokora_anime.cli.history import open_run
from pokora_anime.cli.parser import OneLineParser
from pokora_anime.errors import ConfigError
from pokora_anime.history.gallery import gallery_files, gallery_tables
from pokora_anime.untrusted.untrusted_names import shown

DESCRIPTION = """Writes index.html over all runs below an output folder, or of one sweep, with runs.csv beside
it: clips play under the pointer, are ranked by any score, filtered, and compared side by side. The page
refers to no other host. Its path is printed; --open shows it in the desktop's browser."""
EXAMPLES = """Try
  pokora gallery --open
  pokora gallery outputs/sweep/NAME
  pokora favourite outputs/video/NAME"""


def main(arguments: Sequence[str]) -> int:
    """Write the page and print its path; returns the exit status. Raises ConfigError CFG-FILE, SYS-*."""
    parser = OneLineParser(
        prog="pokora gallery",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sweep", nargs="?", type=Path, metavar="SWEEP", help="a sweep's folder or its name")
    parser.add_argument("--open", action="store_true", help="show it in the desktop's browser")
    parser.add_argument("--out", type=Path, default=Path("outputs"), metavar="DIR", help="default: ./outputs")
    options = parser.parse_args(list(arguments))
    page = write(options.sweep, options.out)
    if not gallery_tables.has_parquet():
        print(gallery_tables.MISSING, file=sys.stderr)
    print(page)
    if options.open and not open_run.show(page):
        print("no desktop here: open that file in a browser", file=sys.stderr)
    return 0


def write(sweep: Path | None, root: Path) -> Path:
    """The page of a sweep or of all runs. Raises ConfigError CFG-FILE for a folder that is not there."""
    if sweep is None:
        if not root.is_dir():
            raise _missing(root, "an output folder", "`pokora video` makes one, or name it with --out")
        return gallery_files.write_root(root)
    folder = next((one for one in (sweep, root / "sweep" / sweep) if one.is_dir()), None)
    if folder is None or folder.resolve().parent.name != "sweep":
        raise _missing(sweep, "the folder of a sweep", "`pokora gallery` shows all runs")
    return gallery_files.write_sweep(folder.resolve())


def _missing(path: Path, expected: str, fix: str) -> ConfigError:
    return ConfigError("CFG-FILE", f"{shown(path)} is no folder to show", expected=expected, fix=fix)
