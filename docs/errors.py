"""Writes docs/errors.md: every error code that the source can give, with its lines as they are in the source.

python docs/errors.py
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "errors.md"
SOURCES = ("pokora_anime", "benchmarks")
CODE = re.compile(r"[A-Z]{3,7}-[A-Z0-9]+(-[A-Z0-9]+)*")
FAMILIES = {
    "CFG": ("Settings", 2, "A key, a value or a combination that does not exist or does not fit."),
    "PRM": ("Prompts", 2, "A prompt that cannot be used, or a word of it that is not read."),
    "GATE": ("The gate", 1, "Something that would come in from outside: nothing is rendered."),
    "RULE": ("Contest rules", 1, "It renders, and is no entry, or somebody has to decide."),
    "WGT": ("Weights", 3, "Weights that are missing, damaged, or of another kind."),
    "DAT": ("Data sets", 2, "Drawings to train on that are missing, unusable or of no free licence."),
    "TRN": ("Training", 6, "A LoRA that cannot be trained, or was trained and kept and is not good enough."),
    "SYS": ("Machine", 4, "What the machine lacks: a driver, memory, disk, a program, the network."),
    "REC": ("Run folders", 5, "A run whose files are not what its record says."),
    "QUA": ("Quality", 6, "A clip that was rendered and kept, and is not as good as `quality.min` asks."),
    "SUB": ("Submission", 1, "What bars an entry, or what a draft lacks."),
    "SRC": (
        "Verify: the folder or zip itself",
        1,
        "What cannot be read safely; status 2 where nothing can.",
    ),
    "JSN": ("Verify: JSON", 1, "JSON that two readers could read differently."),
    "INT": (
        "Verify: integrity",
        1,
        "The record, its files, its ledger. INT-STOP: you stopped the run (130).",
    ),
    "VID": ("Verify: the video", 1, "Container, stream, frames and contact sheet."),
    "SIG": ("Verify: the signature", 1, "Who signed, and whether it fits."),
    "POL": ("Verify: the graph", 1, "What came from what, and with which settings and weights."),
    "BND": ("Verify: a bundle", 1, "Names, entry, documents, source and signed copies of a submission."),
    "API": ("Studio", 2, "What the server answers, or why it does not start; status 2 where it ends."),
    "RPL": ("Replay", 1, "Parts that could not be computed again."),
}


@dataclass(frozen=True, slots=True, order=True)
class Line:
    """One place that gives a code: what it says, what it expects, how to mend it."""

    got: str
    expected: str
    fix: str


def collect() -> dict[str, list[Line]]:
    """Lines by code, over all calls whose first argument is a code."""
    found: dict[str, set[Line]] = defaultdict(set)
    for path in sorted(path for source in SOURCES for path in (ROOT / source).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for code, line in _of(node):
                found[code].add(line)
    return {code: sorted(lines) for code, lines in sorted(found.items())}


def _of(node: ast.AST) -> Iterator[tuple[str, Line]]:
    """A call with a code and what it says; a code by itself, such as one that a table holds."""
    if isinstance(node, ast.Call) and (place := _place(node)) is not None:
        code = _code(node.args[place])
        named = {word.arg: _text(word.value) for word in node.keywords if word.arg}
        said = [_text(argument) for argument in node.args[place + 1 :]]
        got = named.get("message") or next(filter(None, said), "") or named.get("got", "")
        yield code, Line(got, named.get("expected", ""), named.get("fix", ""))
    elif code := _code(node):
        yield code, Line("", "", "")


def _place(call: ast.Call) -> int | None:
    """Where a call's code stands: first, or behind the status of an answer."""
    return next((place for place, one in enumerate(call.args[:2]) if _code(one)), None)


def _code(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
        return node.value if node.value.partition("-")[0] in FAMILIES else ""
    return ""


def _text(node: ast.AST) -> str:
    """A string as it stands in the source; what is filled in is shown as `...`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left) + _text(node.right)
    return "..." if isinstance(node, ast.FormattedValue) else ""


def page() -> str:
    """The page as Markdown."""
    codes = collect()
    lines = [
        "# Error codes",
        "",
        "Made from the source by `python docs/errors.py`. A message is one line: the code, what was got,",
        "what was expected, and a fix to type. `...` stands for what is filled in. Status 70: our own fault.",
    ]
    for family, (title, status, what) in FAMILIES.items():
        mine = {code: said for code, said in codes.items() if code.partition("-")[0] == family}
        lines += ["", f"## {family}: {title}", "", f"{what} Exit status {status}.", ""]
        lines += ["| Code | Says | Expected | Fix |", "|---|---|---|---|"]
        for code, said in mine.items():
            full = [line for line in said if line.got or line.fix] or said[:1]
            for index, line in enumerate(full):
                cells = [f"`{code}`" if index == 0 else "", line.got, line.expected, line.fix]
                lines.append("| " + " | ".join(map(_cell, cells)) + " |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
