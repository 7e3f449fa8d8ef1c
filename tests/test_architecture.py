"""The one-way flow and the light start-up of design.md, enforced by walking the imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "pokora_anime"
STAGES = sorted(path.stem for path in (PACKAGE / "stages").glob("*.py") if path.stem != "__init__")
# Rooms hand records on through pipeline.py; what several rooms share is not a room.
ROOMS = {"prompt", "keyframe", "control", "motion", "hires", "finish", "encode"}


def imports_of(path: Path) -> set[str]:
    """Dotted names of every pokora_anime module that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{name.name}" for name in node.names}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    return {name for name in found if name.startswith("pokora_anime")}


@pytest.mark.parametrize("room", sorted(ROOMS & set(STAGES)))
def test_a_room_imports_no_other_room(room: str) -> None:
    others = {f"pokora_anime.stages.{other}" for other in ROOMS - {room}}
    assert not imports_of(PACKAGE / "stages" / f"{room}.py") & others


def test_only_the_pipeline_knows_the_order() -> None:
    # Replay computes single rooms again from what is stored; it knows no order of its own.
    replay = PACKAGE / "compliance" / "replay" / "recompute.py"
    upstream = [
        path
        for path in PACKAGE.rglob("*.py")
        if "stages" not in path.parts and path.stem != "pipeline" and path != replay
    ]
    rooms = {f"pokora_anime.stages.{room}" for room in ROOMS}
    assert {str(path.relative_to(PACKAGE)) for path in upstream if imports_of(path) & rooms} == set()


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
