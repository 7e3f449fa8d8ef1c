"""Write-up and poster: made, and checked against the contest's limits and against what they must name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import cast

from pokora_anime.findings import Finding, blocking
from pokora_anime.provenance.hashing import Json
from pokora_anime.schema.settings import ContestConfig
from pokora_anime.submission import file_names
from pokora_anime.submission.documents import figures, typst_pdf
from pokora_anime.submission.documents.checkpoint_list import Checkpoint, papers
from pokora_anime.submission.documents.content import Content
from pokora_anime.submission.documents.typst_pdf import Facts

# Of the poster's limit: fonts, text and what a contest counts as a megabyte need the rest.
SHARE = 0.95
FONT_BYTES = 400_000
WRITEUP_BYTES = 4_000_000
# Frames of the film in a row and the text's size in points: looser and tighter until the last page is filled.
LAYOUTS: tuple[dict[str, Json], ...] = (
    {"film": 4, "text": 9.6},
    {"film": 8, "text": 9.6},
    {"film": 4, "text": 10.4},
    {"film": 8, "text": 10.4},
)
ENOUGH = 0.5  # of the last page
LIBRARIES = ("typst", "fontpkg-kanit", "justmytype-intl-cjk", "pillow", "numpy", "imageio-ffmpeg")
CJK = "pip install 'pokora_anime[cjk]' where names are Chinese, Japanese or Korean"


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """Both PDFs, what was found about them, and the JPEG quality that the poster's pictures have."""

    writeup: bytes
    poster: bytes
    quality: int
    findings: tuple[Finding, ...]


def make(content: Content, checkpoints: Sequence[Checkpoint], limits: ContestConfig) -> Documents:
    """Compiles and checks both. Raises MachineError SYS-TYPST."""
    most = int(limits.poster_megabytes * 1_000_000)
    small, _ = figures.fitting(content.pictures, WRITEUP_BYTES)
    writeup = _laid_out(content, small, papers(checkpoints), limits.writeup_pages)
    budget = int(most * SHARE) - FONT_BYTES
    while True:
        pictures, quality = figures.fitting(content.pictures, budget)
        poster = typst_pdf.compile_pdf("poster", content.data, pictures)
        if len(poster) <= most * SHARE or budget < FONT_BYTES:
            break
        budget = budget * 9 // 10
    title, members = str(content.data["title"]), cast(list[dict[str, str]], content.data["members"])
    named = must_name(title, members, [one.to_plain() for one in checkpoints])
    found = (
        *check(
            file_names.WRITEUP, writeup, limits.writeup_pages, named, _words(content, "artistic", "notes")
        ),
        *check(file_names.POSTER, poster, 1, named, _words(content, "artistic_short")),
        *_size(poster, most),
    )
    return Documents(writeup=writeup, poster=poster, quality=quality, findings=found)


def _laid_out(content: Content, pictures: Mapping[str, bytes], bib: str, pages: int) -> bytes:
    """The write-up in the first layout that leaves no page nearly empty, else in the fullest one."""
    best, fullest = b"", (False, -1.0)
    for layout in LAYOUTS:
        made = typst_pdf.compile_pdf("writeup", {**content.data, "layout": layout}, pictures, bib)
        filled = typst_pdf.filled(made)
        rank = (typst_pdf.read(made).pages <= pages, filled)
        if rank > fullest:
            best, fullest = made, rank
        if rank[0] and filled >= ENOUGH:
            break
    return best


def libraries() -> dict[str, str]:
    """The versions of what draws and sets documents; "" for what is not installed."""
    found: dict[str, str] = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


Reader = Callable[[bytes], Facts]


def check(
    name: str, data: bytes, pages: int, named: Sequence[str], words: str = "", read: Reader = typst_pdf.read
) -> Iterator[Finding]:
    """SUB-PAGES, SUB-FONT, SUB-TEXT (what must be `named` and is not), SUB-GLYPH (no font has a sign of
    `words`) and SUB-PDF."""
    try:
        facts = read(data)
    except ValueError as error:
        yield blocking("SUB-PDF", "a document that cannot be read", name, str(error), "a sound PDF", "")
        return
    if facts.odd:
        got, wanted = f"it holds {facts.odd}", "text, pictures and links"
        yield blocking("SUB-PDF", "a document that does more than show pages", name, got, wanted, "")
    if facts.pages > pages:
        over = sum(len(text) for text in facts.texts[pages:])
        where = facts.texts[pages][:40]
        yield blocking(
            "SUB-PAGES",
            "a document is too long",
            name,
            f"{facts.pages} pages; about {over} characters are too many, from {where!r} on",
            f"at most {pages}",
            "shorten artistic_statement or technical_notes in submission/project.yaml",
        )
    if facts.foreign_fonts:
        fonts = ", ".join(facts.foreign_fonts)
        yield blocking("SUB-FONT", "fonts that are not embedded", name, fonts, "all fonts embedded", "")
    if lacking := facts.lacking(named):
        got = ", ".join(lacking[:4])
        yield blocking("SUB-TEXT", "what must be named is not in the text", name, got, "every one", CJK)
    if signs := facts.lacking(sorted(set(typst_pdf.squeezed(words)))):
        got = "".join(signs[:20])
        yield blocking("SUB-GLYPH", "signs that no font has", name, got, "text that the fonts can show", CJK)


def must_name(
    title: str, members: Sequence[Mapping[str, str]], rows: Iterable[Mapping[str, Json]]
) -> list[str]:
    """What both documents must say: title, members with IDs, each row of weights with link and licence."""
    said = [title, *(text for member in members for text in member.values())]
    for row in rows:
        licence = cast(Mapping[str, Json], row["licence"])
        said += [str(row["name"]), str(row["link"]).removeprefix("https://"), str(licence["name"])]
    return said


def _words(content: Content, *fields: str) -> str:
    """The team's paragraphs in these fields."""
    paragraphs = [cast(list[str], content.data[field]) for field in fields]
    return "".join(text for part in paragraphs for text in part)


def _size(poster: bytes, most: int) -> Iterator[Finding]:
    if len(poster) > most:
        got, wanted = f"{len(poster) / 1e6:.1f} MB", f"at most {most / 1e6:g} MB"
        yield blocking(
            "SUB-POSTER", "the poster is too large", file_names.POSTER, got, wanted, "fewer or smaller stills"
        )
