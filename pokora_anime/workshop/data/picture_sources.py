"""Licence and source of each picture: the command's, and those of sources.csv that differ. Torch-free."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from pokora_anime.catalogue.licences import LICENCES, Terms, open_ids
from pokora_anime.errors import DataError
from pokora_anime.system.did_you_mean import nearest

SOURCES = "sources.csv"  # beside the pictures: file, licence, source, author of those that have their own
MIN_SOURCE = 8  # characters; less says nothing about where pictures came from


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is said of every picture that sources.csv does not name."""

    licence: str
    source: str
    author: str = ""


def check_licence(name: str, where: str) -> None:
    """Raises DataError DAT-LICENCE for a licence that is unknown, unclear or not free."""
    licence = LICENCES.get(name)
    if licence is not None and licence.terms is Terms.open:
        return
    close = nearest(name.upper(), [one.upper() for one in open_ids()])
    meant = next((one for one in open_ids() if one.upper() == close), "")
    unfree = licence is not None and licence.terms is Terms.non_commercial
    raise DataError(
        "DAT-LICENCE",
        f"{where} {name}, which is not free" if unfree else f"{where} {name}",
        expected=f"one of {', '.join(open_ids())}",
        fix="use pictures under a free licence" if unfree else f"--licence {meant or 'CC0-1.0'}",
    )


def check_source(source: str) -> None:
    if len(" ".join(source.split())) < MIN_SOURCE:
        raise DataError(
            "DAT-SOURCE",
            f"--source {source!r}",
            expected="who made the pictures, or where they were published",
            fix="for example --source 'drawn by me'",
        )


def by_file(folder: Path, told: Told) -> dict[str, Told]:
    """By file, what sources.csv says of it. Raises DataError DAT-SOURCES."""
    path = folder / SOURCES
    if not path.is_file():
        return {}
    found: dict[str, Told] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            rows = list(csv.DictReader(handle))
        for row in rows:
            one = Told(
                licence=(row.get("licence") or told.licence).strip(),
                source=(row.get("source") or told.source).strip(),
                author=(row.get("author") or told.author).strip(),
            )
            check_licence(one.licence, f"{SOURCES}: {row['file']}:")
            found[row["file"].strip()] = one
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, AttributeError) as error:
        raise DataError(
            "DAT-SOURCES",
            f"{path} cannot be read ({type(error).__name__})",
            expected="a table with the columns file, licence, source, author",
            fix=f"mend {SOURCES}, or take it away",
        ) from error
    return found
