"""Names and words that came from a stranger: which ones may name a file, and how they are shown."""

from __future__ import annotations

import re
import unicodedata

SHOWN = 160
_DRIVE = re.compile(r"^[A-Za-z]:")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_RESERVED = re.compile(r"^(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)


def shown(text: object, length: int = SHOWN) -> str:
    """`text` on one line for a terminal or a page, cut; what has no shape of its own becomes an escape.

    That is control characters, and those that turn or hide what stands beside them.
    """
    kept = str(text)[: length + 1]
    plain = "".join(sign if sign.isprintable() else f"\\u{{{ord(sign):x}}}" for sign in kept)
    return plain if len(plain) <= length else f"{plain[: length - 3]}..."


def brief(digest: object) -> str:
    """The first digits of a hash."""
    return shown(str(digest)[:12])


def is_digest(value: object) -> bool:
    """Whether a value is a sha256 in lower-case hexadecimal."""
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def problem(name: str) -> str:
    """Why `name` (with / between folders) may not name a file inside a bundle; "" if it may."""
    if not name or len(name) > 240:
        return "an empty or over-long name"
    if name.startswith("/") or _DRIVE.match(name):
        return "an absolute path"
    if "\\" in name:
        return "a backslash"
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return "a name that leads out of the folder"
    if not name.isprintable():
        return "a control or invisible character"
    if any(
        part != part.strip() or part.endswith(".") or _RESERVED.match(part) or ":" in part for part in parts
    ):
        return "a name that other systems read differently"
    return ""


def folded(name: str) -> str:
    """What a file system that ignores case and composition takes the name for."""
    return unicodedata.normalize("NFKC", name).casefold()
