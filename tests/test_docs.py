"""Pages that are made from the source are those of the source as it is."""

from __future__ import annotations

import re
import sys
from importlib import util
from pathlib import Path

from test_architecture import FLOORS

from pokora_anime.errors import PokoraError

ROOT = Path(__file__).parent.parent
_spec = util.spec_from_file_location("docs_errors", ROOT / "docs" / "errors.py")
assert _spec is not None and _spec.loader is not None
errors = util.module_from_spec(_spec)
sys.modules[_spec.name] = errors
_spec.loader.exec_module(errors)


def test_the_page_of_error_codes_is_that_of_the_source() -> None:
    """`python docs/errors.py` writes it."""
    assert errors.PAGE.read_text(encoding="utf-8") == errors.page()


def test_each_code_of_an_error_class_stands_on_the_page() -> None:
    page, kinds = errors.page(), PokoraError.__subclasses__()
    assert {"ConfigError", "WeightsError", "MachineError"} <= {kind.__name__ for kind in kinds}
    for code in ("CFG-SWEEP", "WGT-NAN", "SYS-DRIVER", "GATE-URL", "RULE-BASE", "BND-DOCUMENT"):
        assert f"| `{code}` |" in page


def _table(page: str, title: str) -> list[list[str]]:
    """The rows below a heading of a page, by cell, without the head."""
    section = page.partition(f"## {title}\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row] for row in rows[1:]]


CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_the_table_of_rooms_is_that_of_the_floors() -> None:
    assert [row[0].strip("`") for row in _table(CONTRIBUTING, "Rooms and floors")] == list(FLOORS)


def test_each_place_of_where_do_i_change_x_exists() -> None:
    rows = _table(CONTRIBUTING, "Where do I change X?")
    assert len(rows) >= 35
    for question, places in rows:
        paths = re.findall(r"`([a-z_.]+/[^` ]+)`", places)
        assert paths, question
        assert not [path for path in paths if not (ROOT / path).exists()], question
