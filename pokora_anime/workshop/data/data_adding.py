"""A folder of pictures becomes a version of a data set; what is unusable is left out and told. Torch-free."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image as Pictures

from pokora_anime.errors import DataError
from pokora_anime.findings import Finding, Severity
from pokora_anime.provenance.hashing import Table, array_hash
from pokora_anime.untrusted.png_pictures import Image
from pokora_anime.workshop.data import (
    captions,
    clip_folders,
    data_store,
    near_duplicates,
    picture_reading,
    picture_sources,
    size_buckets,
)
from pokora_anime.workshop.data.captions import Caption
from pokora_anime.workshop.data.clip_folders import ClipFolder
from pokora_anime.workshop.data.data_report import thumbnail
from pokora_anime.workshop.data.data_set import FRAME_DIGITS, ID, DataSet, Entry, frame_name
from pokora_anime.workshop.data.data_store import Stored
from pokora_anime.workshop.data.near_duplicates import Fingerprint
from pokora_anime.workshop.data.picture_reading import Drawing
from pokora_anime.workshop.data.picture_sources import Told
from pokora_anime.workshop.data.tagging.tagger_choice import Captions

FEWEST = 8
MOST = 2000
MOST_SIDE, MOST_SIDE_OF_FRAMES = 2048, 1024  # pixels that are kept
_DEPTH = 2  # folders in folders
_CROPPED = 0.3
_PLAIN = 6.0  # grey levels of deviation, below which a picture shows nothing


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

    tagger: Captions | None
    entries: list[Entry] = field(default_factory=list[Entry])
    pictures: dict[str, Image] = field(default_factory=dict[str, Image])
    prints: list[Fingerprint] = field(default_factory=list[Fingerprint])
    findings: list[Finding] = field(default_factory=list[Finding])
    shown: dict[str, str] = field(default_factory=dict[str, str])
    clips: dict[str, tuple[Fingerprint, Fingerprint]] = field(
        default_factory=dict[str, tuple[Fingerprint, Fingerprint]]
    )  # first and last frame

    def captioned(self, found: Caption, rgb: Image, where: str) -> Caption:
        """The caption beside a picture, or where there is none the tagger's."""
        if self.tagger is None or found.code != captions.NONE:
            return found
        told = captions.shortened(self.tagger.caption(rgb, where))
        return told if told.text else Caption(text="", code=captions.NONE, problem="the tagger sees nothing")

    def take(self, name: str, rgb: Image, caption: str, told: Told, drawing: Drawing, where: str) -> None:
        """One more picture, from the file `where`."""
        self.pictures[name] = rgb
        self.entries.append(
            Entry(
                name=name,
                pixels=array_hash(rgb),
                width=rgb.shape[1],
                height=rgb.shape[0],
                caption=caption,
                licence=told.licence,
                source=" ".join(told.source.split()),
                author=" ".join(told.author.split()),
                original=drawing.sha256,
                original_name=where,
            )
        )


def add(
    folder: Path,
    identifier: str,
    told: Told,
    *,
    few: bool = False,
    clips: bool = False,
    tagger: Captions | None = None,
) -> Added:
    """Read a folder's pictures, or its clips, and store them as a version of the data set. Captions of those
    that have none are the `tagger`'s.

    Raises DataError DAT-ID, DAT-LICENCE, DAT-SOURCE, DAT-EMPTY, DAT-FEW, DAT-TAGGER; MachineError SYS-*.
    """
    if not ID.fullmatch(identifier):
        raise DataError(
            "DAT-ID",
            f"--id {identifier!r}",
            expected="small letters, digits and -, at most 40",
            fix="--id mychar",
        )
    picture_sources.check_licence(told.licence, "--licence")
    picture_sources.check_source(told.source)
    files = _files(folder)
    own = picture_sources.by_file(folder, told)
    collected = _Collected(tagger=tagger)
    found = _take_clips(folder, own, told, collected) if clips else len(files)
    for file in () if clips else files:
        _take(file, folder, own.get(file.relative_to(folder).as_posix(), told), collected)
    _check_count(collected, folder, found, clips=clips, few=few)
    named = tagger.name if tagger is not None else ""
    data = DataSet(id=identifier, entries=tuple(sorted(collected.entries)), clips=clips, tagger=named)
    stored, new = data_store.store(data, collected.pictures, _notes(collected))
    return Added(stored=stored, new=new, found=found, findings=collected.findings)


def _take_clips(folder: Path, own: Mapping[str, Told], told: Told, into: _Collected) -> int:
    """Reads every clip; how many there are. Raises DataError DAT-EMPTY."""
    clips = clip_folders.found(folder)
    if not clips:
        raise DataError(
            "DAT-EMPTY",
            f"{folder} holds no clips",
            expected="a folder a clip, its frames numbered: pan-00/000.png, pan-00/001.png",
            fix="leave --clips out if these are pictures",
        )
    for clip in clips:
        name = clip.folder.name
        _take_clip(clip, own.get(name, told), into)
    return len(clips)


def _take_clip(clip: ClipFolder, told: Told, into: _Collected) -> None:
    """Reads one clip; what is wrong with it becomes a finding."""
    where = clip.folder.name
    try:
        drawings = clip.read()
    except picture_reading.Unusable as error:
        into.findings.append(_finding(error.code, error.message, where, error.got, error.fix, out=True))
        return
    frames = [_kept(one.rgb, MOST_SIDE_OF_FRAMES) for one in drawings]
    ends = near_duplicates.fingerprint(frames[0]), near_duplicates.fingerprint(frames[-1])
    same = next((name for name, other in into.clips.items() if all(map(Fingerprint.like, ends, other))), None)
    if same is not None:
        into.shown[where] = thumbnail(frames[0])
        message, fix = "nearly the same clip as another one", f"keep one of {where} and {same}"
        into.findings.append(_finding("DAT-SAME", message, where, same, fix, out=True))
        return
    into.clips[where] = ends
    caption = into.captioned(clip.caption(), frames[len(frames) // 2], where)
    for finding in _about(drawings[0], frames[0], caption, where):
        into.findings.append(finding)
        into.shown[where] = thumbnail(frames[0])
    name = _name(f"{where}.", {one[: -FRAME_DIGITS - 1]: rgb for one, rgb in into.pictures.items()})
    for number, (drawing, rgb, (_, file)) in enumerate(zip(drawings, frames, clip.frames, strict=True)):
        into.take(frame_name(name, number), rgb, caption.text, told, drawing, f"{where}/{file.name}")


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


def _take(file: Path, folder: Path, told: Told, into: _Collected) -> None:
    """Reads one file; what is wrong with it becomes a finding."""
    where = file.relative_to(folder).as_posix()
    try:
        drawing = picture_reading.read(file)
    except picture_reading.Unusable as error:
        into.findings.append(_finding(error.code, error.message, where, error.got, error.fix, out=True))
        return
    rgb = _kept(drawing.rgb, MOST_SIDE)
    one = near_duplicates.fingerprint(rgb)
    same = next((i for i, other in enumerate(into.prints) if one.like(other)), None)
    if same is not None:
        first, into.shown[where] = into.entries[same].original_name, thumbnail(rgb)
        message, fix = "nearly the same picture as another one", f"keep one of {where} and {first}"
        into.findings.append(_finding("DAT-SAME", message, where, first, fix, out=True))
        return
    caption = into.captioned(captions.beside(file), rgb, where)
    for finding in _about(drawing, rgb, caption, where):
        into.findings.append(finding)
        into.shown[where] = thumbnail(rgb)
    into.prints.append(one)
    into.take(_name(where, into.pictures), rgb, caption.text, told, drawing, where)


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


def _kept(rgb: Image, most: int) -> Image:
    if max(rgb.shape[:2]) <= most:
        return rgb
    picture = Pictures.fromarray(rgb)
    picture.thumbnail((most, most), Pictures.Resampling.LANCZOS)
    return np.asarray(picture, np.uint8)


def _name(where: str, taken: dict[str, Image]) -> str:
    """The file's name in plain letters, told apart from those before it."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", where.rpartition(".")[0].replace("/", "-")).strip("-")[:80]
    name, count = plain or "picture", 2
    folded = {one.lower() for one in taken}
    while name.lower() in folded:
        name, count = f"{plain or 'picture'}-{count}", count + 1
    return name


def _check_count(found: _Collected, folder: Path, files: int, *, clips: bool, few: bool) -> None:
    used = len(found.clips) if clips else len(found.entries)
    if used >= FEWEST or (few and used):
        return
    left_out = [finding for finding in found.findings if finding.severity is Severity.review]
    codes = [finding.code for finding in left_out]
    why = "; ".join(
        f"{codes.count(code)} {next(f.message for f in left_out if f.code == code)}"
        for code in dict.fromkeys(codes)
    )
    what, fix = "clips" if clips else "pictures", ""
    if not clips and codes.count("DAT-SAME") > used and clip_folders.found(folder):
        fix = ", or --clips if each folder holds the frames of a clip"
    raise DataError(
        "DAT-FEW" if used else "DAT-EMPTY",
        f"{used} of {files} {what} in {folder} can be used{f' ({why})' if why else ''}",
        expected=f"at least {FEWEST} that differ: fewer are learnt by heart",
        fix=(f"add more {what}, or --few to go on with these" if used else "mend or replace them") + fix,
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
