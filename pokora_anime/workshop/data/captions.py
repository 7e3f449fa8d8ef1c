"""Captions beside the pictures: NAME.txt or NAME.caption, one line of tags or a sentence. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ENDINGS = (".txt", ".caption")
MOST_WORDS = 60  # what a text encoder reads at once: 75 tokens
MOST_BYTES = 20_000
NONE = "DAT-NO-CAPTION"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """Its words, and a code and what is wrong with them where something is."""

    text: str
    code: str = ""
    problem: str = ""


def beside(picture: Path) -> Caption:
    """The caption of a picture; an over-long one is cut at a comma, and says so."""
    file = next((path for path in map(picture.with_suffix, ENDINGS) if path.is_file()), None)
    if file is None:
        return Caption(text="", code=NONE, problem="no caption beside it")
    try:
        data = file.read_bytes()[: MOST_BYTES + 1]
        text = data.decode("utf-8-sig")
    except OSError as error:
        problem = f"{file.name} cannot be read ({(error.strerror or str(error)).lower()})"
        return Caption(text="", code="DAT-CAPTION", problem=problem)
    except UnicodeDecodeError:
        return Caption(text="", code="DAT-CAPTION", problem=f"{file.name} is no UTF-8 text")
    return shortened(", ".join(line.strip(" ,") for line in text.splitlines() if line.strip(" ,")))


def shortened(text: str) -> Caption:
    """A caption of at most 60 words."""
    clean = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    words = clean.split(" ")
    if len(words) <= MOST_WORDS:
        return Caption(text=clean)
    kept = " ".join(words[:MOST_WORDS])
    kept = kept.rpartition(",")[0] or kept
    problem = f"{len(words)} words, of which the first {len(kept.split())} are used"
    return Caption(text=kept, code="DAT-CAPTION-LONG", problem=problem)
