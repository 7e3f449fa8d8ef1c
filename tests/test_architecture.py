"""The floors of the house, the one-way flow of a run and its light start-up: all by walking the imports."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "pokora_anime"
# From the ground up: each imports from those before it alone. CONTRIBUTING.md says what lies where.
FLOORS = (
    *("errors", "findings", "system", "untrusted", "provenance", "signing", "media", "schema", "sandbox"),
    *("nano.world", "choreography", "nano", "catalogue", "workshop.data", "prompt", "timeline", "rules"),
    *("config", "devices"),
    *("networks", "stages", "motion_pipeline", "quality", "verify", "render", "replay", "history"),
    *("submission", "jobs", "export", "nano.train", "workshop", "live", "studio", "client", "cli"),
    "benchmarks",
)
MOST_FILES = 15  # in a folder
# Stages hand records on through pipeline.py; what several of them share is no stage.
STAGES = {
    "text.prompt_embeddings",
    "picture.keyframe",
    "control.control_maps",
    "motion.segments",
    "motion.hires",
    "delivery.finish",
    "delivery.encode",
}


@cache
def modules() -> dict[str, Path]:
    """Every module of the package and of the benchmarks that import each other by name."""
    found: dict[str, Path] = {}
    for folder in (PACKAGE, *(ROOT / "benchmarks" / name for name in ("clips", "gpu", "nano"))):
        for path in folder.rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _names(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


@cache
def imports_of(module: str) -> frozenset[str]:
    """The modules that a module imports, anywhere in it."""
    found: set[str] = set()
    for name in _names(modules()[module]):
        while name and name not in modules():
            name = name.rpartition(".")[0]
        found |= {name} if name else set()
    return frozenset(found - {module, "pokora_anime"})


def floor(module: str) -> int:
    """On which floor a module stands."""
    inside = module.removeprefix("pokora_anime.")
    rooms = [room for room in FLOORS if inside == room or inside.startswith(f"{room}.")]
    assert rooms, f"{module} stands on no floor: add its room to FLOORS"
    return FLOORS.index(max(rooms, key=len))


def test_rooms_import_downwards_only() -> None:
    upwards = [
        f"{module} -> {other}"
        for module in modules()
        if module != "pokora_anime"
        for other in imports_of(module)
        if floor(other) > floor(module)
    ]
    assert not upwards


def test_no_modules_import_each_other_in_a_circle() -> None:
    try:
        TopologicalSorter({module: imports_of(module) for module in modules()}).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


def test_no_folder_is_crowded() -> None:
    counts = Counter(path.parent for path in modules().values())
    crowded = {str(folder.relative_to(ROOT)): count for folder, count in counts.items() if count > MOST_FILES}
    assert not crowded
    assert sum(counts.values()) / len(counts) <= 8


def test_tests_lie_in_the_folder_of_their_room() -> None:
    """Beside the attacks, which go through several rooms, and tests of the whole house at the top."""
    rooms = {name.split(".")[0] for name in FLOORS}
    folders = {path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")}
    assert folders - rooms == {"attacks"}


def test_no_two_files_bear_the_same_name() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for module, path in modules().items():
        if path.stem not in ("__init__", "__main__"):
            places[path.stem].append(module)
    assert not {stem: found for stem, found in places.items() if len(found) > 1}


IMPORT = re.compile(r"from (pokora_anime[\w.]*) import ([a-z_]\w*)")


def test_code_in_strings_imports_what_is_there() -> None:
    """Code of child processes is text, which no linter reads."""
    lost: list[str] = []
    for path in [*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found = IMPORT.findall(node.value)
                lost += [
                    f"{path.name}: {module}.{name}" for module, name in found if not _is_there(module, name)
                ]
    assert not lost


def _is_there(module: str, name: str) -> bool:
    if f"{module}.{name}" in modules() or module not in modules():
        return module in modules()
    bound = re.compile(rf"^(?:def |class )?{name}\b|^ *(?:from \S+ )?import .*\b{name}\b", re.MULTILINE)
    return bound.search(modules()[module].read_text(encoding="utf-8")) is not None


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_a_stage_imports_no_other_stage(stage: str) -> None:
    others = {f"pokora_anime.stages.{other}" for other in STAGES - {stage}}
    assert not imports_of(f"pokora_anime.stages.{stage}") & others


def test_only_the_pipeline_knows_the_order() -> None:
    # Replay computes single stages again from what is stored, live asks for words and pictures as they are
    # typed; neither knows an order of its own.
    known = {
        "pokora_anime.render.pipeline",
        "pokora_anime.replay.recompute",
        "pokora_anime.live.generation.look",
        "pokora_anime.live.generation.segment_engine",
    }
    stages = {f"pokora_anime.stages.{stage}" for stage in STAGES}
    above = [
        module for module in modules() if module.startswith("pokora_anime.") and ".stages." not in module
    ]
    assert {module for module in above if imports_of(module) & stages} <= known


def test_nano_trains_without_hydra_or_imageio() -> None:
    for path in (PACKAGE / "nano").rglob("*.py"):
        text = path.read_text()
        assert "import hydra" not in text and "import imageio" not in text, path


def test_provenance_and_records_need_no_torch() -> None:
    code = (
        "import sys, pokora_anime.errors, pokora_anime.schema.settings;"
        "from pokora_anime.provenance import node, run_folder, stage_records;"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
