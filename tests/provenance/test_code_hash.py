"""What a node's code is hashed from: no module that does some of its work may be forgotten."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable
from functools import cache

import pytest
from test_architecture import imports_of, modules

from pokora_anime.provenance.code_hash import SHARED
from pokora_anime.provenance.operations import OPERATIONS, of

PREFIX = "pokora_anime."
# By operation, the module that does it and the one that enters its node.
STAGES = {
    "prompt": "stages.text.prompt_embeddings",
    "noise": "stages.picture.initial_noise",
    "keyframe": "stages.picture.keyframe",
    "likeness": "stages.picture.identity",
    "image_embedding": "stages.picture.image_embedding",
    "selection": "stages.picture.selection",
    "redrawn": "stages.picture.keyframe",
    "still": "stages.picture.keyframe",
    "control": "stages.control.control_maps",
    "choreography": "stages.control.choreography_stage",
    "draft": "stages.motion.segments",
    "draft_maps": "stages.control.draft_maps",
    "join_maps": "stages.control.join_maps",
    "motion": "stages.motion.segments",
    "hires": "stages.motion.hires",
    "finish": "stages.delivery.finish",
    "encode": "stages.delivery.encode",
    "sheet": "quality.contact_sheet",
}
ENTERED = {"quality.contact_sheet": "render.run"}
# Modules whose sources need not be hashed, and why: nothing behind them is asked for either.
EXCUSED = {
    "catalogue.finishing_networks": "says which networks finish a frame: their weights are in the node",
    "catalogue.lora.lora_header": "refuses LoRAs of other bases",
    "catalogue.needed_weights": "says which files are loaded: their digests are in the node",
    "catalogue.registry": "says which files are loaded: their digests are in the node",
    "catalogue.weight_hashes": "checks files: their digests are in the node",
    "catalogue.weights_advice": "words of an error",
    "sounds.sound_track": "picks the frames that are heard, whose hash is in the params",
    "devices.compiler": "finds a compiler: that networks are compiled is in the environment",
    "devices.driver": "refuses cards",
    "devices.execution": "picks a plan: what of it changes bits is in the environment",
    "devices.forecast.plan": "a plan: what of it changes bits is in the environment",
    "devices.openvino_runtime": "finds OpenVINO: that it computed is in the environment",
    "devices.out_of_memory": "tells an error from another",
    "errors": "words",
    "prompt.prompt_text": "refuses what is no text",
    "provenance.code_hash": "another hash is another code already",
    "provenance.environment": "what it tells is in the node",
    "provenance.hashing": "another hash is another id already",
    "provenance.node": "another form of nodes is another id already",
    "provenance.run_folder": "keeps arrays, whose hash is the node's output",
    "provenance.run_layout": "names of files",
    "provenance.stage_records": "types",
    "sandbox.network_arguments": "refuses configs of networks",
    "schema.run_identity": "what it returns is in the params",
    "schema.settings": "types of settings, whose values are in the params",
    "stages.cached_stage": "keeps what a stage computed, or reads it back",
    "stages.picture.retry_smaller": "picks a plan again: what of it changes bits is in the environment",
    "stages.picture.sound_numbers": "refuses arrays",
    "system.bounded_worker": "a thread",
    "system.files.atomic_files": "writes files",
    "system.process": "a clock",
    "system.processor_cores": "counts cores: the number of threads is in the environment",
    "system.terminal.progress": "tells a person",
}
# The same for one stage alone.
EXCUSED_FOR = {
    "stages.picture.keyframe": {
        "timeline.hires_plan": "a clip's second pass",
        "timeline.join_plan": "a clip's joins",
        "timeline.segment_plan": "a clip's segments",
    },
    "stages.picture.selection": {
        "nano.world.character.face": "labels of drawn pictures, for training",
        "nano.world.scene": "labels of drawn pictures, for training",
    },
}


@cache
def listed(module: str) -> frozenset[str]:
    """The modules that a module hands to code_hash."""
    tree = ast.parse(modules()[PREFIX + module].read_text(encoding="utf-8"))
    names: dict[str, str] = {}
    tuples: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple):
            tuples |= {one.id: node.value.elts for one in node.targets if isinstance(one, ast.Name)}
    found: set[str] = set()
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "code_hash":
            for given in call.args:
                found |= {_module(one, names, module) for one in _given(given, tuples)}
    assert found, f"{module} hashes no code"
    return frozenset(found)


def _given(argument: ast.expr, tuples: dict[str, list[ast.expr]]) -> list[ast.expr]:
    if isinstance(argument, ast.Starred):
        assert isinstance(argument.value, ast.Name)
        return tuples[argument.value.id]
    return [argument]


def _module(argument: ast.expr, names: dict[str, str], module: str) -> str:
    """The module that an argument of code_hash is, without the package."""
    if isinstance(argument, ast.Name):
        return names[argument.id].removeprefix(PREFIX)
    assert ast.unparse(argument) == "sys.modules[__name__]"
    return module


@cache
def hashed(op: str) -> frozenset[str]:
    """The modules that an operation's code names."""
    return listed(ENTERED.get(STAGES[op], STAGES[op]))


@cache
def made_from(op: str) -> frozenset[str]:
    """The operations that one is always made from: their ids, and so their code, are in its own id."""
    found: set[str] = set()
    for wanted in of(op).parents:
        if "?" not in wanted:
            names = wanted.rstrip("+").split("|")
            found |= frozenset.intersection(*(made_from(name) | {name} for name in names))
    return frozenset(found)


def reached(starts: Iterable[str], excused: Collection[str] = EXCUSED) -> set[str]:
    """The modules that these import, and so on, down to excused ones and to those that all share."""
    found: set[str] = set()
    waiting = list(starts)
    while waiting:
        module = waiting.pop()
        if module not in found and module not in excused:
            found.add(module)
            if PREFIX + module not in SHARED:
                waiting += [name.removeprefix(PREFIX) for name in imports_of(PREFIX + module)]
    return found


def shared() -> set[str]:
    return {name.removeprefix(PREFIX) for name in SHARED}


@pytest.mark.parametrize("op", OPERATIONS)
def test_the_code_of_an_operation_names_each_module_that_does_its_work(op: str) -> None:
    behind = {module for one in made_from(op) for module in hashed(one)}
    excused = {*EXCUSED, *EXCUSED_FOR.get(STAGES[op], {})}
    forgotten = reached({STAGES[op], *hashed(op)}, excused) - hashed(op) - behind - shared()
    assert not forgotten, f"name them in the code_hash of {STAGES[op]}, or excuse them here"


def test_what_all_stages_share_is_whole() -> None:
    own = {module for op in OPERATIONS for module in hashed(op)}  # a network that some stages run
    imported = {name.removeprefix(PREFIX) for module in SHARED for name in imports_of(module)}
    assert not imported - set(EXCUSED) - shared() - own


def test_no_module_is_excused_that_nothing_imports_or_that_is_hashed() -> None:
    own = {module for op in OPERATIONS for module in hashed(op)}
    walked = reached(own) | shared()
    imported = {name.removeprefix(PREFIX) for module in walked for name in imports_of(PREFIX + module)}
    assert set(EXCUSED) <= imported
    assert not set(EXCUSED) & (own | shared())
    for stage, excused in EXCUSED_FOR.items():
        assert set(excused) <= reached({stage}) - listed(stage)
