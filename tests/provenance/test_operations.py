"""The closed list of operations: whole, and the only place that tells what an operation is."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from pokora_anime.catalogue import registry
from pokora_anime.catalogue.registry_row import Kind
from pokora_anime.config.compose import compose_stills, compose_video
from pokora_anime.errors import RecordError
from pokora_anime.provenance import operations, run_layout
from pokora_anime.provenance.node import Node
from pokora_anime.provenance.operations import (
    OPERATIONS,
    Count,
    Makes,
    Need,
    Operation,
    Replay,
    Setting,
    Spans,
)
from pokora_anime.provenance.seed_noise import NAMES
from pokora_anime.replay.recompute import METHODS
from pokora_anime.replay.replay_parts import ORDER
from pokora_anime.verify.policy import config_params
from pokora_anime.verify.policy.noise_origin import arrays_of
from pokora_anime.verify.policy.weights_policy import BASE_PARTS

PACKAGE = Path(operations.__file__).parent.parent
LIST = Path(operations.__file__)
# Lists of words that are no operations, though two or more of them are spelled like some.
OTHER_WORDS = {
    "cli/history/show.py": "keys of a summary",
    "config/over_time/timeline_file.py": "sections of a file",
    "devices/forecast/workload.py": "kinds of networks",
    "history/embedded_texts.py": "keys of texts in a PNG",
    "history/gallery/gallery_tables.py": "columns of a table",
    "provenance/run_layout.py": "keys of texts in a PNG",
    "stages/motion/hires.py": "sections of the config",
    "studio/api/gallery_api.py": "kinds of pictures",
    "studio/api/runs_api.py": "kinds of pictures",
}
# Operations whose names are no word for anything else: in the list, and where a stage makes their nodes.
OWN_NAMES = ("likeness", "selection", "redrawn", "draft_maps", "join_maps", "sheet")
# What every run is made of: laws about the whole run name them.
MAIN_LINE = {"prompt", "noise", "keyframe", "redrawn", "motion", "finish", "sheet", "still"}
EVERY = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=list(OPERATIONS))


@cache
def trees() -> dict[str, ast.Module]:
    """Every module of the package but the list itself, by its path."""
    found = sorted(path for path in PACKAGE.rglob("*.py") if path != LIST)
    return {
        path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in found
    }


def spelled(node: ast.AST) -> list[str]:
    """Names of operations among the literals of a list, a tuple, a set, or the keys of a table."""
    if isinstance(node, ast.Dict):
        items = [key for key in node.keys if key is not None]
    else:
        items = node.elts if isinstance(node, (ast.Tuple, ast.List, ast.Set)) else [node]
    return [one.value for one in items if isinstance(one, ast.Constant) and one.value in OPERATIONS]


@cache
def named() -> dict[str, set[str]]:
    """By a constant of the list, the files that take it; by a literal in quotes, those that spell it."""
    found: dict[str, set[str]] = defaultdict(set)
    for path, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                if node.value.id == "operations":
                    found[node.attr].add(path)
            elif isinstance(node, ast.ImportFrom) and node.module == operations.__name__:
                for one in node.names:
                    found[one.name].add(path)
            elif isinstance(node, ast.Constant) and node.value in OPERATIONS:
                found[repr(node.value)].add(path)
    return found


def test_no_other_table_tells_of_operations() -> None:
    tables = {
        path
        for path, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, (ast.Dict, ast.Tuple, ast.List, ast.Set)) and len(spelled(node)) > 1
    }
    assert tables == set(OTHER_WORDS)


def compared(tree: ast.Module) -> Iterator[int]:
    """Lines that compare an operation with a name that is spelled out, there or in a constant."""
    told = [node for node in tree.body if isinstance(node, ast.Assign) and spelled(node.value)]
    constants = {one.id for node in told for one in node.targets if isinstance(one, ast.Name)}
    for node in ast.walk(tree):
        sides = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
        if any(isinstance(one, ast.Attribute) and one.attr == "op" for one in sides):
            named = {one for one in sides if isinstance(one, ast.Name) and one.id in constants}
            yield from (node.lineno for one in sides if one in named or spelled(one))


def test_no_file_compares_an_operation_with_a_spelled_name() -> None:
    assert not {path: lines for path, tree in trees().items() if (lines := list(compared(tree)))}


@pytest.mark.parametrize("name", OWN_NAMES)
def test_an_operation_is_spelled_in_the_list_and_by_its_stage(name: str) -> None:
    files = named()[repr(name)]
    assert len(files) <= 1
    assert all(path.startswith("stages/") for path in files)


@EVERY
def test_few_files_name_an_operation(operation: Operation) -> None:
    (constant,) = [name for name, value in vars(operations).items() if value is operation]
    files = named()[constant] | (named()[repr(operation.name)] if operation.name in OWN_NAMES else set())
    # Beside the list: its stage, its replay, and for what every run is made of the laws about the run.
    assert len(files) <= (7 if operation.name in MAIN_LINE else 3)


@EVERY
def test_an_operation_is_made_from_operations_of_the_list(operation: Operation) -> None:
    assert set(operation.sources) <= set(OPERATIONS)
    assert bool(operation.parents) != (operation.makes in (Makes.text, Makes.noise))
    if operation.draws:
        assert {"prompt", "noise"} <= set(operation.sources)


@EVERY
def test_an_operation_is_replayed_or_says_why_not(operation: Operation) -> None:
    assert (operation.name in METHODS) == operation.replayed == (operation.name in ORDER)
    delivered = (Makes.frames, Makes.video, Makes.file)
    assert bool(operation.stores) == (operation.makes not in delivered)
    if operation.stores:
        assert operation.replayed
        assert all(dtype in ("<f4", "|u1") for dtype, _ in arrays_of(operation).values())
    if not operation.replayed:
        assert operation.replay.value.startswith("not ")


def test_parts_are_replayed_after_those_that_they_are_made_from() -> None:
    for place, name in enumerate(ORDER[:-1]):
        later = set(ORDER[place + 1 :]) & set(operations.of(name).sources)
        assert all(name in operations.of(one).sources for one in later), (name, later)


@EVERY
def test_each_param_is_free_or_follows_from_the_config(operation: Operation) -> None:
    free = {name.rstrip("?") for name in operation.free}
    clip = config_params.params(compose_video(["finish=hires", "control=pose_depth"]))
    assert not free & set(clip[operation.name])
    assert clip[operation.name].keys() >= operation.follows.keys() - {"*"}
    stills = config_params.params(compose_stills(["shot.prompt=1girl"]))
    assert (operation.name in stills) == operation.in_stills
    every = free | set(clip[operation.name]) | set(stills.get(operation.name, {}))
    assert not operation.place or operation.place in every


@EVERY
def test_what_is_denoised_tells_its_noise_and_its_place(operation: Operation) -> None:
    denoised = operation.makes in (Makes.picture, Makes.segment)
    assert denoised == bool(operation.noise) == ("generator" in operation.free)
    assert operation.noise in ("", "picture", *NAMES)
    assert ("span" in operation.free) == (operation.spans is not None) == (operation.makes is Makes.segment)
    assert not denoised or {"seed", "speed", "loras"} <= set(operation.follows)


@EVERY
def test_needed_weights_are_of_kinds_that_the_operation_loads(operation: Operation) -> None:
    assert operation.loads <= {kind.value for kind in Kind}
    kinds = {row.role: row.kind.value for row in registry.shipped()}
    for role in operation.needs:
        assert {"base", "vae"} & operation.loads if role in BASE_PARTS else kinds[role] in operation.loads
    assert ("loras" in operation.follows) == ({"style_lora", "speed_lora"} <= operation.loads)


def test_pictures_lie_where_the_layout_says() -> None:
    assert {operations.KEYFRAME.shown_in, operations.REDRAWN.shown_in} == {run_layout.KEYFRAME}


def test_every_word_of_the_list_is_used_and_understood() -> None:
    listed = list(OPERATIONS.values())
    followed = {source for one in listed for source in one.follows.values() if isinstance(source, Setting)}
    assert followed == set(Setting)
    assert {one.count for one in listed} - {None} == set(Count)
    assert {one.spans for one in listed} - {None} == set(Spans)
    assert {need for one in listed for need in one.needs_of} == set(Need)
    assert {one.makes for one in listed} | {Makes.nothing} == set(Makes)
    assert {one.replay for one in listed} == set(Replay)
    clip = compose_video([])
    assert all(config_params.count(one, clip) is not None for one in listed if one.count)
    assert all(config_params.spans(one, clip) is not None for one in listed if one.spans)


def test_an_operation_off_the_list_may_do_nothing() -> None:
    unknown = operations.of("upload")
    assert unknown.makes is Makes.nothing
    assert not (unknown.stores or unknown.loads or unknown.needs or unknown.draws or unknown.replayed)
    assert not operations.parents_fit("upload", [])
    with pytest.raises(RecordError, match="REC-OPERATION"):
        Node(op="upload", params={})


def test_the_list_needs_no_torch_and_no_other_room() -> None:
    code = (
        "import sys; from pokora_anime.provenance import operations;"
        "assert not {'torch', 'numpy'} & set(sys.modules);"
        "ours = {name for name in sys.modules if name.startswith('pokora_anime.')};"
        "assert ours == {'pokora_anime.provenance', 'pokora_anime.provenance.operations'}, ours"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
