"""The checklist: what is done, what is missing, when it is due, and what comes after."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pokora_anime.errors import PokoraError
from pokora_anime.findings import Finding
from pokora_anime.submission import build, entry_rules, file_names, project
from pokora_anime.submission.project import Project

DONE, OPEN = "[x]", "[ ]"
PRESENTATION = "online in Gather.town, 8 or 10 December; attendance is mandatory"


def as_text(root: Path) -> str:
    """The page. What cannot be judged yet is a line of it, not an error."""
    return "\n".join(_lines(root))


def _lines(root: Path) -> Iterator[str]:
    try:
        words = project.load(root)
    except PokoraError as error:
        words = Project()
        yield f"{OPEN} project     {error.line()}"
    else:
        yield f"{DONE} project     {file_names.FOLDER / file_names.PROJECT}"
    try:
        judged = build.consider(root, words)
    except PokoraError as error:
        yield f"{OPEN} runs        {error.line()}"
    else:
        yield from _state(root, judged)
    yield from _bundles(root)
    yield _deadline(words)
    day = f"; yours: {words.presentation}" if words.presentation else "; enter your day under presentation:"
    yield f"{DONE if words.presentation else OPEN} present     {PRESENTATION}{day}"


def _state(root: Path, judged: build.Judged) -> Iterator[str]:
    barring = entry_rules.barring(judged.findings)
    about = {
        "words": ("SUB-TITLE", "SUB-STATEMENT", "SUB-MEMBER"),
        "source": ("SUB-SOURCE", "SUB-DIRTY", "SUB-CODE"),
    }
    words = [one for one in barring if one.code in about["words"]]
    source = [one for one in barring if one.code in about["source"]]
    rest = [one for one in barring if one not in words and one not in source]
    choice = judged.choice
    video = choice.told(root, "video") or "none"
    yield _line(words, "words", f"{len(judged.project.members)} members")
    yield _line([one for one in rest if one.code == "SUB-VIDEO"], "video", video)
    yield _line(
        [one for one in rest if one.code == "SUB-STILLS"],
        "stills",
        f"{len(choice.pictures)} of {choice.told(root, 'stills') or 'no run'}",
    )
    scored = choice.video is not None and any(name.endswith("scorecard.json") for name in choice.video.files)
    yield f"{DONE if scored else OPEN} scorecard   " + (
        "in the bundle" if scored else "`pokora score RUN` (optional)"
    )
    yield _line(source, "source", judged.source.commit[:12] if judged.source else "none")
    rest = [one for one in rest if one.code not in ("SUB-VIDEO", "SUB-STILLS")]
    yield _line(rest, "eligible", judged.project.contest)
    for line in entry_rules.lines(judged.findings):
        yield f"      {line}"


def _line(found: list[Finding], name: str, text: str) -> str:
    return f"{OPEN if found else DONE} {name:11} {text}"


def _bundles(root: Path) -> Iterator[str]:
    """The newest bundle, and whether the PDFs beside it are still those inside."""
    folder = root / file_names.FOLDER / file_names.DIST
    found = sorted(folder.glob("*.zip"), key=lambda path: path.stat().st_mtime, reverse=True)
    if not found:
        yield f"{OPEN} bundle      `make submission`"
        return
    bundle = found[0]
    draft = "-draft-" in bundle.name
    yield f"{OPEN if draft else DONE} bundle      {bundle}, {bundle.stat().st_size / 1e6:.1f} MB" + (
        " (a draft: not to be handed in)" if draft else ""
    )
    for name in (file_names.WRITEUP, file_names.POSTER):
        beside = bundle.with_name(f"{bundle.stem}-{Path(name).name}")
        if beside.is_file() and not _same(bundle, name, beside):
            yield (
                f"{OPEN} documents   SUB-PDF: {beside} was changed after it was built; "
                "fix: edit submission/project.yaml and build again"
            )


def _same(bundle: Path, name: str, beside: Path) -> bool:
    try:
        with zipfile.ZipFile(bundle) as archive:
            return archive.read(f"{bundle.stem}/{name}") == beside.read_bytes()
    except (OSError, KeyError, zipfile.BadZipFile):
        return False


def _deadline(words: Project) -> str:
    due = words.due
    if due is None:
        return f"{OPEN} deadline    not entered; put the announced one under deadline: in the project"
    now = datetime.now(due.tzinfo or UTC)
    left = (due if due.tzinfo else due.replace(tzinfo=UTC)) - now
    days, hours = left.days, left.seconds // 3600
    when = f"{days} days and {hours} hours left" if left.total_seconds() > 0 else "it is over"
    return f"{DONE if left.total_seconds() > 0 else OPEN} deadline    {words.deadline}: {when}"
