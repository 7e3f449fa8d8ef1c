"""The checklist: what is done, what is missing, when it is due, and what comes after."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pokora_anime.errors import PokoraError
from pokora_anime.submission import build, entry_rules, file_names, project
from pokora_anime.submission.project import Project

DONE, OPEN = "[x]", "[ ]"
PRESENTATION = "online in Gather.town, 8 or 10 December; attendance is mandatory"


@dataclass(frozen=True, slots=True)
class Item:
    """A line of the checklist: what it is about, whether it is done, what is said of it, and what bars it."""

    name: str
    done: bool
    text: str
    details: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The item as it is printed."""
        return [f"{DONE if self.done else OPEN} {self.name:11} {self.text}", *self.details]


def as_text(root: Path) -> str:
    """The page. What cannot be judged yet is a line of it, not an error."""
    return "\n".join(line for item in items(root) for line in item.lines())


def items(root: Path) -> Iterator[Item]:
    """The checklist."""
    try:
        words = project.load(root)
    except PokoraError as error:
        words = Project()
        yield Item("project", False, error.line())
    else:
        yield Item("project", True, str(file_names.FOLDER / file_names.PROJECT))
    try:
        judged = build.consider(root, words)
    except PokoraError as error:
        yield Item("runs", False, error.line())
    else:
        yield from _state(root, judged)
    yield from _bundles(root)
    yield _deadline(words)
    day = f"; yours: {words.presentation}" if words.presentation else "; enter your day under presentation:"
    yield Item("present", bool(words.presentation), f"{PRESENTATION}{day}")


def _state(root: Path, judged: build.Judged) -> Iterator[Item]:
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
    yield Item("words", not words, f"{len(judged.project.members)} members")
    yield Item("video", all(one.code != "SUB-VIDEO" for one in rest), video)
    stills = f"{len(choice.pictures)} of {choice.told(root, 'stills') or 'no run'}"
    yield Item("stills", all(one.code != "SUB-STILLS" for one in rest), stills)
    scored = choice.video is not None and any(name.endswith("scorecard.json") for name in choice.video.files)
    yield Item("scorecard", scored, "in the bundle" if scored else "`pokora score RUN` (optional)")
    yield Item("source", not source, judged.source.commit[:12] if judged.source else "none")
    rest = [one for one in rest if one.code not in ("SUB-VIDEO", "SUB-STILLS")]
    found = tuple(f"      {line}" for line in entry_rules.lines(judged.findings))
    yield Item("eligible", not rest, judged.project.contest, found)


def _bundles(root: Path) -> Iterator[Item]:
    """The newest bundle, and whether the PDFs beside it are still those inside."""
    folder = root / file_names.FOLDER / file_names.DIST
    found = sorted(folder.glob("*.zip"), key=lambda path: path.stat().st_mtime, reverse=True)
    if not found:
        yield Item("bundle", False, "`make submission`")
        return
    bundle = found[0]
    draft = "-draft-" in bundle.name
    size = f"{bundle}, {bundle.stat().st_size / 1e6:.1f} MB"
    yield Item("bundle", not draft, size + (" (a draft: not to be handed in)" if draft else ""))
    for name in (file_names.WRITEUP, file_names.POSTER):
        beside = bundle.with_name(f"{bundle.stem}-{Path(name).name}")
        if beside.is_file() and not _same(bundle, name, beside):
            fix = "fix: edit submission/project.yaml and build again"
            yield Item("documents", False, f"SUB-PDF: {beside} was changed after it was built; {fix}")


def _same(bundle: Path, name: str, beside: Path) -> bool:
    try:
        with zipfile.ZipFile(bundle) as archive:
            return archive.read(f"{bundle.stem}/{name}") == beside.read_bytes()
    except (OSError, KeyError, zipfile.BadZipFile):
        return False


def _deadline(words: Project) -> Item:
    due = words.due
    if due is None:
        return Item("deadline", False, "not entered; put the announced one under deadline: in the project")
    now = datetime.now(due.tzinfo or UTC)
    left = (due if due.tzinfo else due.replace(tzinfo=UTC)) - now
    days, hours = left.days, left.seconds // 3600
    when = f"{days} days and {hours} hours left" if left.total_seconds() > 0 else "it is over"
    return Item("deadline", left.total_seconds() > 0, f"{words.deadline}: {when}")
