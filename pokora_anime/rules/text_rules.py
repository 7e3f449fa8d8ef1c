"""What a string may hold: words that a person wrote. One function a rule, `(text, where) -> Finding | None`.

Prompts are free text in any script, so these rules look for what no sentence contains: links, file
names, encoded bytes, invisible characters. Ids are registry names in plain ASCII.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from pokora_anime.findings import Finding, Severity
from pokora_anime.prompt.prompt_text import printable

Rule = Callable[[str, str], Finding | None]

MAX_PROMPT = 2000  # characters; about seven 77-token chunks, past which nothing is followed
MAX_ID = 64  # characters
_EXCERPT = 48  # characters of a finding's `got`

_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_BIDI_MARKS = frozenset("\u200e\u200f\u061c")
_JOINERS = frozenset("\u200c\u200d")
_BLANKS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")  # letters and symbols without a shape
_ARABIC_SIGNS = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2")  # visible
_BLACK_FLAG = "\U0001f3f4"  # begins the flags of England, Scotland and Wales, which go on in tag characters

_FILE_KINDS = (
    "png|jpe?g|jfif|webp|gif|bmp|tiff?|avif|heic|ico|svg|psd|exr|hdr|dds|tga|ppm|pgm|cr2|nef|dng|"
    "npy|npz|pt|pth|ckpt|bin|onnx|safetensors|pkl|pickle|h5|mat|mp4|mov|mkv|webm|avi|ya?ml|json|zip|tar|gz"
)
_FILE = re.compile(rf"[\w~)\]-]\.(?:{_FILE_KINDS})(?!\w)", re.IGNORECASE)
_PLACE = re.compile(
    r"(?<![\w/)])/[\w.~-]+/[\w.~-]+"  # /home/somebody
    r"|(?<![\w~])~/[\w.]"  # ~/pictures
    r"|(?<![\w.])\.{1,2}[/\\]\w"  # ./here ../there
    r"|(?<!\w)[A-Za-z]:[\\/]\w"  # C:\pictures
    r"|(?<!\S)\\\\\w+\\\w"  # \\server\share
)
_URL = re.compile(
    r"(?<!\w)[a-z][a-z0-9+.-]{1,15}://\S|\bwww\.\w+\.\w|\b(?:magnet|blob):\S{0,400}\?", re.IGNORECASE
)
_DATA_URI = re.compile(
    r"\bdata:(?:image|video|audio|application|text|model)/|\bdata:[^,\s]{0,200};\s{0,20}base64|;base64,\S{8}",
    re.IGNORECASE,
)
_MAGIC = re.compile(  # how PNG, JPEG, GIF, WebP and NumPy files begin in base64
    r"(?<![A-Za-z0-9+/])(?:iVBORw0KGgo|/9j/[0-9A-Za-z+/]{4}|R0lGOD|UklGR|k05VTVBZ)[A-Za-z0-9+/=]{8}"
)
_RUN = re.compile(r"[A-Za-z0-9+/_=-]{32,}")
_PIECE = re.compile(r"[A-Za-z0-9+/_=-]{6,}")
_HEX = re.compile(r"(?<![A-Za-z0-9])(?:0x)?[0-9a-fA-F]{32,}(?![g-zG-Z])")
_HEX_PAIRS = re.compile(r"(?:\b(?:0x)?[0-9a-fA-F]{2}\b[\s,;:|-]*){16,}")
_ESCAPES = re.compile(
    r"(?:%[0-9a-fA-F]{2}){6,}|(?:\\x[0-9a-fA-F]{2}\s*){4,}|(?:\\u[0-9a-fA-F]{4}\s*){4,}|(?:&#x?[0-9a-fA-F]+;){4,}"
)
_DOTS = re.compile("[\u2800-\u28ff\u2580-\u259f]{16,}")  # a picture drawn with Braille dots or blocks
_NUMBERS = re.compile(
    r"(?<![\d.])(?:[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?[\s,;\[\]()]+){15,}[-+]?[\d.]"
)
_EMBEDDING = re.compile(
    r"\bembedding\s*:\s*[A-Za-z_]"  # ComfyUI; (embedding:1.2) is a word with a weight
    r"|<(?!lora:)(?:embedding|embed|ti|hypernet|lyco|loha|lokr)[:-][^<>]*>"
    r"|<(?!lora:)[A-Za-z*][\w*-]*>"  # diffusers' own: <cat-toy>
    r"|<\|[a-z_]+\|>",  # a tokenizer's control token
    re.IGNORECASE,
)
_ID = re.compile(rf"(?:own:)?[A-Za-z0-9][A-Za-z0-9_.-]{{0,{MAX_ID - 1}}}")


def control_character(text: str, where: str) -> Finding | None:
    """Control characters, line breaks, halves of a pair, private use, noncharacters."""
    for position, character in enumerate(text):
        if not printable(character):
            return _finding(
                "GATE-CONTROL",
                "a character that is not text",
                f"character {position + 1} is U+{ord(character):04X}",
                where,
                expected="one line of printable characters",
                fix="retype that character",
            )
    return None


def bidi(text: str, where: str) -> Finding | None:
    """Direction overrides, and direction marks where nothing is written right to left."""
    right_to_left = any(unicodedata.bidirectional(character) in ("R", "AL", "AN") for character in text)
    for position, character in enumerate(text):
        if character in _BIDI_CONTROLS or (character in _BIDI_MARKS and not right_to_left):
            return _finding(
                "GATE-BIDI",
                "a character that changes the reading direction",
                f"character {position + 1} is U+{ord(character):04X}",
                where,
                expected="text that reads as it is stored",
                fix="remove that character",
            )
    return None


def invisible(text: str, where: str) -> Finding | None:
    """Zero-width and blank characters, apart from joiners in emoji and in the scripts that need them."""
    for position, character in enumerate(text):
        if _hidden(text, position):
            return _finding(
                "GATE-INVISIBLE",
                "a character that cannot be seen",
                f"character {position + 1} is U+{ord(character):04X}",
                where,
                expected="characters that can be seen",
                fix="remove that character, or retype the words around it",
            )
    return None


def over_long(text: str, where: str) -> Finding | None:
    """More characters than any prompt needs."""
    if len(text) <= MAX_PROMPT:
        return None
    return _finding(
        "GATE-LONG",
        "a text that is too long",
        f"{len(text)} characters",
        where,
        expected=f"at most {MAX_PROMPT}",
        fix="keep the words that matter most",
    )


def data_uri(text: str, where: str) -> Finding | None:
    """A picture written into the text as data:image/png;base64,..."""
    return _match(
        _DATA_URI.search(text),
        "GATE-DATA-URI",
        "a data URI",
        where,
        expected="words, no data",
        fix="remove it",
    )


def url(text: str, where: str) -> Finding | None:
    """A link to somewhere."""
    return _match(
        _URL.search(text), "GATE-URL", "a link", where, expected="words; nothing is fetched", fix="remove it"
    )


def path(text: str, where: str) -> Finding | None:
    """A file name or a place on a disk."""
    return _match(
        _FILE.search(text) or _PLACE.search(text),
        "GATE-PATH",
        "a file name or path",
        where,
        expected="words; no file is read",
        fix="remove it",
    )


def encoded(text: str, where: str) -> Finding | None:
    """Bytes as base64, hexadecimal or escapes, whole or in pieces, or a picture made of dots."""
    found = _DOTS.search(text) or _ESCAPES.search(text) or _MAGIC.search(text)
    shown = found[0] if found else _hexadecimal(text) or _base64(text)
    if shown is None:
        return None
    return _finding(
        "GATE-ENCODED",
        "encoded data",
        _short(shown),
        where,
        expected="words that a person wrote",
        fix="remove it",
    )


def number_list(text: str, where: str) -> Finding | None:
    """An array written out: sixteen numbers or more in a row."""
    return _match(
        _NUMBERS.search(text), "GATE-ARRAY", "a list of numbers", where, expected="words", fix="remove it"
    )


def embedding(text: str, where: str) -> Finding | None:
    """A textual inversion or another file that a prompt would call by name; LoRA tags are none."""
    return _match(
        _EMBEDDING.search(text),
        "GATE-EMBEDDING",
        "a learned embedding or control token",
        where,
        expected="words and <lora:name:weight>",
        fix="write what it should show in words",
    )


def look_alike(text: str, where: str) -> Finding | None:
    """An id with letters that are not ASCII: most look like ASCII ones."""
    strange = next((character for character in text if not character.isascii()), None)
    if strange is None:
        return None
    name = unicodedata.name(strange, "unnamed").lower()
    return _finding(
        "GATE-LOOKALIKE",
        "an id with a letter that only looks right",
        f"{_short(text)!r} has U+{ord(strange):04X} ({name})",
        where,
        expected="plain ASCII letters, digits, _ . -",
        fix="`pokora models list`",
    )


def identifier(text: str, where: str) -> Finding | None:
    """Anything but the shape of a registry id."""
    if _ID.fullmatch(text) and ".." not in text:
        return None
    return _finding(
        "GATE-ID",
        "not the shape of an id",
        repr(_short(text)),
        where,
        expected=f"a role or registry id of at most {MAX_ID} letters, digits, _ . - (own:ID for your own)",
        fix="`pokora models list`",
    )


CHARACTERS: tuple[Rule, ...] = (control_character, bidi, invisible)
CONTENT: tuple[Rule, ...] = (data_uri, url, path, encoded, number_list, embedding)
PROMPT: tuple[Rule, ...] = (over_long, *CHARACTERS, *CONTENT)
ID: tuple[Rule, ...] = (*CHARACTERS, look_alike, data_uri, url, path, encoded, identifier)


def judge(rules: tuple[Rule, ...], text: str, where: str) -> list[Finding]:
    """What the rules find; an over-long text is not searched any further."""
    if len(text) > 2 * MAX_PROMPT:
        found = over_long(text, where)
        return [found] if found else []
    return [found for rule in rules if (found := rule(text, where))]


def _hidden(text: str, position: int) -> bool:
    character = text[position]
    before, after = text[:position], text[position + 1 :]
    if character in _BLANKS:
        return True
    if _selector(character):
        return not before or _selector(before[-1]) or before[-1].isspace()
    if unicodedata.category(character) != "Cf" or character in _BIDI_CONTROLS | _BIDI_MARKS | _ARABIC_SIGNS:
        return False
    if character in _JOINERS and before and after:
        return not (
            _joins(before[-1], after[0]) or (character == "\u200d" and _emoji_joins(before, after[0]))
        )
    if 0xE0020 <= ord(character) <= 0xE007F:  # part of a flag
        return not re.search(f"{_BLACK_FLAG}[\U000e0020-\U000e007e]{{0,6}}$", before)
    return True


def _selector(character: str) -> bool:
    """Variation selectors choose one of two drawings of the character before them."""
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"


def _joins(before: str, after: str) -> bool:
    """Between two letters of Arabic, Indic and South-East Asian scripts."""
    return all(0x0600 <= ord(one) <= 0x109F or 0x1780 <= ord(one) <= 0x18AF for one in (before, after))


def _emoji_joins(before: str, after: str) -> bool:
    plain = before.rstrip("\ufe0f\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff")
    return bool(plain) and all(unicodedata.category(one) in ("So", "Cn") for one in (plain[-1], after))


def _hexadecimal(text: str) -> str | None:
    found = _HEX.search(text) or _HEX_PAIRS.search(text)
    return found[0] if found and sum(character.isdigit() for character in found[0]) >= 6 else None


def _base64(text: str) -> str | None:
    for found in _RUN.finditer(text):
        run = found[0]
        if len(run) >= 80 or (len(run) >= 40 and _mixed(run) >= 0.45):
            return run
    # A piece that comes again says nothing new: data hardly ever repeats, tags do.
    pieces = [piece for piece in dict.fromkeys(_PIECE.findall(text)) if _mixed(piece) >= 0.4]
    return " ".join(pieces) if len(pieces) >= 5 and sum(map(len, pieces)) >= 40 else None


def _mixed(run: str) -> float:
    """How often neighbours differ in kind (capital, small, digit): 0.6 in base64, below 0.4 in names."""
    kinds = [0 if one.isupper() else 1 if one.islower() else 2 for one in run if one.isalnum()]
    if len(set(kinds)) < 3:
        return 0.0
    return sum(a != b for a, b in zip(kinds, kinds[1:], strict=False)) / (len(kinds) - 1)


def _match(
    found: re.Match[str] | None, code: str, message: str, where: str, *, expected: str, fix: str
) -> Finding | None:
    if found is None:
        return None
    start = found.string.rfind(" ", 0, found.start() + 1) + 1
    end = found.string.find(" ", found.end())
    word = found.string[start : end if end >= 0 else None]
    return _finding(code, message, _short(word), where, expected=expected, fix=fix)


def _finding(code: str, message: str, got: str, where: str, *, expected: str, fix: str) -> Finding:
    return Finding(
        code=code, severity=Severity.block, message=message, got=got, expected=expected, fix=fix, where=where
    )


def _short(text: str) -> str:
    """An excerpt that may be printed: hidden characters are written out."""
    shown = "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in text[: _EXCERPT + 1])
    return shown if len(shown) <= _EXCERPT else f"{shown[: _EXCERPT - 3]}..."
