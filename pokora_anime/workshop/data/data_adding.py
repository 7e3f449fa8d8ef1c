"""A folder of pictures becomes a version of a data set; what is unusable is left out and told. Torch-free."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image as Pictures

from pokora_anime.catalogue.licences import LICENCES, Terms, open_ids
from pokora_anime.errors import DataError
from pokora_anime.findings import Finding, Severity
from pokora_anime.provenance.hashing import Table, array_hash
from pokora_anime.system.did_you_mean import nearest
from pokora_anime.untrusted.png_pictures import Image
from pokora_anime.workshop.data import captions, data_store, near_duplicates, picture_reading, size_buckets
from pokora_anime.workshop.data.data_report import thumbnail
from pokora_anime.workshop.data.data_set import ID, DataSet, Entry
from pokora_anime.workshop.data.data_store import Stored
from pokora_anime.workshop.data.near_duplicates import Fingerprint

SOURCES = "sources.csv"  # beside the pictures: file, licence, source, author of those that have their own
FEWEST = 8
MOST = 2000
MOST_SIDE = 2048  # pixels that are kept
MIN_SOURCE = 8  # characters; less says nothing about where pictures came from
_DEPTH = 2  # folders in folders
_CROPPED = 0.3
_PLAIN = 6.0  # grey levels of deviation, below which a picture shows nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is said of every picture that sources.csv does not name."""

    licence: str
    source: str
    author: str = ""


@dataclass(slots=True, kw_only=True)
class Added:
    """What came of it: the version, whether it is a new one, and every finding."""

    stored: Stored
    new: bool
    found: int
    findings: list[Finding]


@dataclass(slots=True)
class _Collected:
    """Pictures that are used, and what was found on the way; `shown` are thumbnails by file."""

    entries: list[Entry] = field(default_factory=list[Entry])
    pictures: dict[str, Image] = field(default_factory=dict[str, Image])
    prints: list[Fingerprint] = field(default_factory=list[Fingerprint])
    findings: list[Finding] = field(default_factory=list[Finding])
    shown: dict[str, str] = field(default_factory=dict[str, str])


def add(folder: Path, identifier: str, told: Told, *, few: bool = False) -> Added:
    """Read a folder's pictures and store them as a version of the data set.

    Raises DataError DAT-ID, DAT-LICENCE, DAT-SOURCE, DAT-EMPTY, DAT-FEW; MachineError SYS-*.
    """
    if not ID.fullmatch(identifier):
        raise DataError(
            "DAT-ID",
            f"--id {identifier!r}",
            expected="small letters, digits and -, at most 40",
            fix="--id mychar",
        )
    check_licence(told.licence, "--licence")
    _check_source(told.source)
    files = _files(folder)
    own = _sources(folder, told)
    collected = _Collected()
    for file in files:
        _take(file, folder, own.get(file.relative_to(folder).as_posix(), told), collected)
    _check_count(collected, folder, len(files), few=few)
    data = DataSet(id=identifier, entries=tuple(sorted(collected.entries)))
    stored, new = data_store.store(data, collected.pictures, _notes(collected))
    return Added(stored=stored, new=new, found=len(files), findings=collected.findings)


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


def _check_source(source: str) -> None:
    if len(" ".join(source.split())) < MIN_SOURCE:
        raise DataError(
            "DAT-SOURCE",
            f"--source {source!r}",
            expected="who made the pictures, or where they were published",
            fix="for example --source 'drawn by me'",
        )


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError("DAT-EMPTY", f"{folder} is no folder", expected="a folder of pictures", fix="ls")
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in picture_reading.SUFFIXES
        and len(path.relative_to(folder).parts) <= _DEPTH + 1
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )
    if not found:
        others = sorted({path.suffix for path in folder.iterdir() if path.is_file() and path.suffix})
        held = f", only {', '.join(others[:5])}" if others else ""
        raise DataError(
            "DAT-EMPTY",
            f"{folder} holds no pictures{held}",
            expected=f"files that end in {', '.join(picture_reading.SUFFIXES)}",
            fix="save your drawings as PNG in one folder",
        )
    if len(found) > MOST:
        raise DataError(
            "DAT-MANY",
            f"{folder} holds {len(found)} pictures",
            expected=f"at most {MOST}",
            fix="choose the best: a character wants 20 to 40",
        )
    return found


def _sources(folder: Path, told: Told) -> dict[str, Told]:
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


def _take(file: Path, folder: Path, told: Told, into: _Collected) -> None:
    """Reads one file; what is wrong with it becomes a finding."""
    where = file.relative_to(folder).as_posix()
    try:
        drawing = picture_reading.read(file)
    except picture_reading.Unusable as error:
        into.findings.append(_finding(error.code, error.message, where, error.got, error.fix, out=True))
        return
    rgb = _kept(drawing.rgb)
    one = near_duplicates.fingerprint(rgb)
    same = next((i for i, other in enumerate(into.prints) if one.like(other)), None)
    if same is not None:
        first, into.shown[where] = into.entries[same].original_name, thumbnail(rgb)
        message, fix = "nearly the same picture as another one", f"keep one of {where} and {first}"
        into.findings.append(_finding("DAT-SAME", message, where, first, fix, out=True))
        return
    caption = captions.beside(file)
    for finding in _about(drawing, rgb, caption, where):
        into.findings.append(finding)
        into.shown[where] = thumbnail(rgb)
    name = _name(where, into.pictures)
    into.prints.append(one)
    into.pictures[name] = rgb
    into.entries.append(
        Entry(
            name=name,
            pixels=array_hash(rgb),
            width=rgb.shape[1],
            height=rgb.shape[0],
            caption=caption.text,
            licence=told.licence,
            source=" ".join(told.source.split()),
            author=" ".join(told.author.split()),
            original=drawing.sha256,
            original_name=where,
        )
    )


def _about(
    drawing: picture_reading.Drawing, rgb: Image, caption: captions.Caption, where: str
) -> Iterator[Finding]:
    """What is worth knowing of a picture that is used."""
    height, width = rgb.shape[:2]
    if caption.problem:
        fix = "write what changes from picture to picture, and not what is always so"
        yield _finding(
            caption.code, "a caption that is missing or not read as it is", where, caption.problem, fix
        )
    if drawing.transparent:
        yield _finding(
            "DAT-ALPHA", "transparent places became white", where, "", "draw a ground if white is wrong"
        )
    if drawing.turned:
        yield _finding("DAT-TURNED", "it was turned upright, as its EXIF data ask", where, "", "")
    if rgb.shape != drawing.rgb.shape:
        got = f"{drawing.rgb.shape[1]}x{drawing.rgb.shape[0]} to {width}x{height}"
        yield _finding("DAT-SCALED", "it was made smaller: no base is trained on more", where, got, "")
    cut = size_buckets.cropped(width, height, size_buckets.nearest(width, height, 768, 64))
    if cut > _CROPPED:
        got, fix = f"{cut:.0%} of {width}x{height}", "crop it yourself, to 1 by 2 at most"
        yield _finding("DAT-CROPPED", "a training would cut much of it off", where, got, fix)
    if float(np.asarray(Pictures.fromarray(rgb).resize((32, 32)), np.float64).std()) < _PLAIN:
        yield _finding("DAT-PLAIN", "a picture that shows next to nothing", where, "", "take it out")


def _kept(rgb: Image) -> Image:
    if max(rgb.shape[:2]) <= MOST_SIDE:
        return rgb
    picture = Pictures.fromarray(rgb)
    picture.thumbnail((MOST_SIDE, MOST_SIDE), Pictures.Resampling.LANCZOS)
    return np.asarray(picture, np.uint8)


def _name(where: str, taken: dict[str, Image]) -> str:
    """The file's name in plain letters, told apart from those before it."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", where.rpartition(".")[0].replace("/", "-")).strip("-")[:80]
    name, count = plain or "picture", 2
    folded = {one.lower() for one in taken}
    while name.lower() in folded:
        name, count = f"{plain or 'picture'}-{count}", count + 1
    return name


def _check_count(found: _Collected, folder: Path, files: int, *, few: bool) -> None:
    used = len(found.entries)
    if used >= FEWEST or (few and used):
        return
    left_out = [finding for finding in found.findings if finding.severity is Severity.review]
    codes = [finding.code for finding in left_out]
    why = "; ".join(
        f"{codes.count(code)} {next(f.message for f in left_out if f.code == code)}"
        for code in dict.fromkeys(codes)
    )
    raise DataError(
        "DAT-FEW" if used else "DAT-EMPTY",
        f"{used} of {files} pictures in {folder} can be used{f' ({why})' if why else ''}",
        expected=f"at least {FEWEST} that differ: fewer are learnt by heart",
        fix="add more pictures, or --few to go on with these" if used else "mend or replace them",
    )


def _finding(code: str, message: str, where: str, got: str, fix: str, *, out: bool = False) -> Finding:
    """`out`: the picture is left out."""
    severity = Severity.review if out else Severity.note
    return replace(Finding(code=code, severity=severity, message=message), where=where, got=got, fix=fix)


def _notes(found: _Collected) -> list[Table]:
    rows: Sequence[Finding] = sorted(found.findings, key=lambda one: one.severity is Severity.note)
    return [
        {
            **one.to_plain(),
            "left_out": one.severity is Severity.review,
            "thumbnail": found.shown.get(one.where, ""),
        }
        for one in rows
    ]
