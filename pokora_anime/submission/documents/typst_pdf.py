"""Documents: compiled by Typst from templates, then read back and checked."""

from __future__ import annotations

import io
import json
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pokora_anime.errors import MachineError
from pokora_anime.provenance.hashing import Json

if TYPE_CHECKING:
    from pypdf import PdfReader
    from pypdf.generic import IndirectObject

TEMPLATES = Path(__file__).with_name("templates")
FONTS = (
    "fontpkg_kanit",
    "justmytype_intl_cjk",
)  # the second one is an extra, for names in Korean, Japanese ...
FOOTER = 48.0  # points above the lower edge that the write-up's footer takes
_ROOT = frozenset(
    "/Type /Pages /Metadata /Lang /StructTreeRoot /MarkInfo /ViewerPreferences /Outlines".split()
)
_PAGE = frozenset("/Type /Resources /MediaBox /StructParents /Tabs /Parent /Contents /Annots".split())
TIMESTAMP = 946684800  # 2000-01-01: documents say nothing about when they were made


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a PDF holds: pages, their text without spaces, and fonts that it names and does not carry.

    `odd` names the first thing in it that no page of ours has, such as a script or an attached file.
    """

    pages: int
    texts: tuple[str, ...]
    foreign_fonts: tuple[str, ...]
    odd: str = ""

    def lacking(self, words: Iterable[str]) -> list[str]:
        """Those of `words` that its text does not hold; spaces, hyphens and line breaks do not count."""
        text = "".join(self.texts)
        return [word for word in words if squeezed(word) not in text]


def compile_pdf(
    name: str, data: Mapping[str, Json], pictures: Mapping[str, bytes], papers: str = ""
) -> bytes:
    """The PDF of templates/NAME.typ. Equal input gives equal bytes.

    Raises MachineError SYS-TYPST where the compiler or the fonts are missing.
    """
    if find_spec("typst") is None or find_spec(FONTS[0]) is None:
        raise _missing("typst or its fonts are not installed")
    import typst

    with tempfile.TemporaryDirectory(prefix="pokora-pdf-") as place:
        folder = Path(place)
        for template in TEMPLATES.glob("*.typ"):
            shutil.copyfile(template, folder / template.name)
        (folder / "data.json").write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
        (folder / "papers.bib").write_text(papers, encoding="utf-8")
        for label, jpeg in pictures.items():
            (folder / f"{label}.jpg").write_bytes(jpeg)
        try:
            return typst.compile(
                str(folder / f"{name}.typ"),
                root=place,
                font_paths=_font_folders(),
                ignore_system_fonts=True,
                timestamp=TIMESTAMP,
            )
        except typst.TypstError as error:
            raise _missing(f"typst refused {name}.typ: {' '.join(str(error).split())[:300]}") from error


@lru_cache(maxsize=2)
def read(data: bytes) -> Facts:
    """Pages, text and fonts of a PDF. Raises ValueError for what cannot be read as one."""
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        reader = PdfReader(io.BytesIO(data), strict=True)
        texts = tuple(squeezed(page.extract_text()) for page in reader.pages)
        fonts = (page._get_fonts() for page in reader.pages)  # pyright: ignore[reportPrivateUsage]  # nothing else tells
        foreign = {font for _, missing in fonts for font in missing}
        odd = _odd(reader)
    except (PyPdfError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError, RecursionError,
            MemoryError, OSError, NotImplementedError) as error:  # fmt: skip
        raise ValueError(f"no sound PDF: {error}") from error
    return Facts(pages=len(texts), texts=texts, foreign_fonts=tuple(sorted(foreign)), odd=odd)


def _odd(reader: PdfReader) -> str:
    """The first key of the catalogue or of a page, or the first annotation, that Typst writes nowhere."""
    root = cast(Mapping[str, object], reader.trailer["/Root"])
    if more := sorted(set(root) - _ROOT):
        return more[0]
    for page in reader.pages:
        if more := sorted(set(page) - _PAGE):
            return more[0]
        for entry in cast("list[IndirectObject]", page.get("/Annots", [])):
            link = cast(dict[str, object], entry.get_object())
            action = cast(dict[str, object], link.get("/A", {"/S": "/GoTo"}))
            if link.get("/Subtype") != "/Link" or action.get("/S") not in ("/URI", "/GoTo") or "/AA" in link:
                return str(link.get("/Subtype"))
    return ""


def filled(data: bytes) -> float:
    """How far down its last page a PDF's text reaches, without the footer: 0..1 of what can be used."""
    from pypdf import PdfReader

    page = PdfReader(io.BytesIO(data)).pages[-1]
    heights: list[float] = []

    def note(text: str, ctm: list[float], tm: list[float], font: object, size: float) -> None:
        del font, size
        if text.strip():
            heights.append(tm[4] * ctm[1] + tm[5] * ctm[3] + ctm[5])

    page.extract_text(visitor_text=note)
    top, bottom = float(page.mediabox.height), FOOTER
    # Typst counts from the top or from the bottom, as its matrix says; heights are those of the page.
    inner = [height for height in heights if bottom < height < top]
    return 1 - (min(inner, default=top) - bottom) / (top - bottom)


def squeezed(text: str) -> str:
    """Text without spaces and hyphens, ligatures taken apart: what remains equal however lines break."""
    return re.sub(r"[\s\u00ad\u200b-]", "", unicodedata.normalize("NFKC", text))


def _font_folders() -> list[str]:
    """The folders of the installed font packages."""
    found: list[str] = []
    for package in FONTS:
        if find_spec(package) is not None:
            origin = import_module(package).__file__
            assert origin is not None
            found.append(str(Path(origin).parent))
    return found


def _missing(reason: str) -> MachineError:
    return MachineError(
        "SYS-TYPST",
        reason,
        expected="the packages of requirements.lock",
        fix="make setup",
    )
