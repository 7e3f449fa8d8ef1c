"""The table of attacks names tests that exist and codes that the program has."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pokora_anime

HERE = Path(__file__).parent
TABLE = (HERE / "README.md").read_text(encoding="utf-8")
ROWS = [line.split("|") for line in TABLE.splitlines() if line.startswith("| ")][1:]


def functions_of(folder: Path) -> set[str]:
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in folder.rglob("test_*.py")]
    return {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_test_of_the_table_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", TABLE))
    assert len(named) > 80
    assert named - functions_of(HERE) == set()


def test_every_way_in_has_a_test_and_an_outcome() -> None:
    assert len(ROWS) > 35
    for _, way, tests, outcome, _ in ROWS:
        assert re.findall(r"`test_\w+`", tests), way
        assert outcome.strip(), way


def test_every_code_of_the_table_is_one_of_the_programs() -> None:
    codes = {code for row in ROWS for code in re.findall(r"\b[A-Z]{3,4}(?:-[A-Z0-9]+)+\b", row[3])}
    sources = "".join(
        path.read_text(encoding="utf-8") for path in Path(pokora_anime.__path__[0]).rglob("*.py")
    )
    assert len(codes) > 50
    assert {code for code in codes if f'"{code}"' not in sources} == set()


def test_every_promise_of_compliance_names_a_test_that_exists() -> None:
    page = (HERE.parent.parent / "COMPLIANCE.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))
    assert len(named) > 45
    assert named - functions_of(HERE.parent) == set()
    verify = page[page.index("## Verify:") : page.index("### A submission bundle")]
    promises = [item for item in re.split(r"\n- ", verify)[1:] if "VID-BOX" not in item]
    assert [item for item in promises if "`test_" not in item] == []
