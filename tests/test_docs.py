"""Pages that are made from the source are those of the source as it is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib import util
from pathlib import Path
from types import ModuleType

import pytest
from test_architecture import FLOORS

from pokora_anime.errors import PokoraError
from pokora_anime.submission.bundle.source_tree import belongs

ROOT = Path(__file__).parent.parent


def _script(name: str) -> ModuleType:
    """A script of docs/, which is no package."""
    spec = util.spec_from_file_location(f"docs_{name}", ROOT / "docs" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    script = util.module_from_spec(spec)
    sys.modules[spec.name] = script
    spec.loader.exec_module(script)
    return script


@pytest.mark.parametrize("name", ["errors", "settings", "words"])
def test_a_page_is_that_of_the_source(name: str) -> None:
    """`python docs/NAME.py` writes it."""
    script = _script(name)
    assert script.PAGE.read_text(encoding="utf-8") == script.page()


def test_a_code_is_a_family_and_words() -> None:
    assert not [
        code for code in _script("errors").collect() if any(part.isdigit() for part in code.split("-"))
    ]


def test_each_code_of_an_error_class_stands_on_the_page() -> None:
    page, kinds = _script("errors").page(), PokoraError.__subclasses__()
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


def test_each_file_that_architecture_and_decisions_name_exists() -> None:
    for page in (ROOT / "docs" / "architecture.md", *(ROOT / "docs" / "decisions").glob("*.md")):
        named = re.findall(r"`([\w/]+\.py)`", page.read_text(encoding="utf-8"))
        places = (ROOT, ROOT / "pokora_anime")
        assert not [name for name in named if not any((place / name).exists() for place in places)], page


def test_each_page_that_the_readme_and_the_docs_lead_to_exists() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        links = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
        assert not [link for link in links if not (page.parent / link).exists()], page


def test_a_page_that_loads_of_another_host_is_found() -> None:
    pytest.importorskip("mkdocs", reason="needs the docs extra")
    foreign = _script("site_hooks").foreign
    for text in (
        '<script src="https://host.example/x.js"></script>',
        '<link rel=stylesheet href="//host.example/x.css">',
        "@font-face{src:url(https://host.example/x.woff2)}",
        '<pre class="mermaid">',
    ):
        assert foreign(text), text
    assert not foreign('<a href="https://host.example">a page</a><img src="images/clip.webp">')


def test_the_docs_build_from_what_a_bundle_carries(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="needs the docs extra")
    roots = (ROOT, *(ROOT / name for name in ("docs", "docs/decisions", "examples", "benchmarks/nano")))
    names = [path.relative_to(ROOT).as_posix() for root in roots for path in root.iterdir() if path.is_file()]
    for name in filter(belongs, names):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    index = (tmp_path / "build" / "docs" / "index.html").read_text(encoding="utf-8")
    assert "A clip rendered by" in index and "clip.webp" not in index
    assert (tmp_path / "examples" / "travel.sh").exists() and (tmp_path / "benchmarks/nano").exists()
