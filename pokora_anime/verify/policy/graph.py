"""POLICY of the graph: a closed list of operations, each on what it may work on, all from text and seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pokora_anime.findings import Finding
from pokora_anime.provenance import run_layout
from pokora_anime.provenance.operations import (
    EMBEDDING,
    FINISH,
    HIRES,
    KEYFRAME,
    MOTION,
    NOISE,
    OPERATIONS,
    PROMPT,
    REDRAWN,
    SELECTION,
    Makes,
    Operation,
    delivering,
    of,
    parents_fit,
)
from pokora_anime.untrusted.container import finding
from pokora_anime.untrusted.untrusted_names import shown
from pokora_anime.verify.record import shot_records
from pokora_anime.verify.record.claimed_record import Record, Step

ROOTS = frozenset(one.name for one in OPERATIONS.values() if not one.parents)


def check(record: Record) -> Iterable[Finding]:
    """POL-OP, POL-PARENTS, POL-ORIGIN, POL-UNUSED, POL-RESULT and POL-CHAIN."""
    steps = record.by_id
    for step in record.steps:
        if step.op not in OPERATIONS:
            expected = "|".join(OPERATIONS)
            yield finding(
                "POL-OP", "an operation that is not on the closed list", step.name, expected=expected
            )
        elif not parents_fit(step.op, [steps[name].op for name in step.parents if name in steps]):
            got = ", ".join(shown(steps[name].op, 20) if name in steps else "?" for name in step.parents)
            expected = ", ".join(of(step.op).parents) or "none"
            yield finding(
                "POL-PARENTS", "an operation on what it may not work on", step.name, got, expected=expected
            )
    yield from _origins(record, steps)
    yield from _results(record, steps)
    if record.command == "video":
        parts = shot_records.split(record)
        for part in parts:
            yield from _clip(part, part.by_id)
        yield from _identities(parts)


def ancestors(record: Record, start: Iterable[str]) -> set[str]:
    """Ids of everything that these nodes were made from, themselves included."""
    steps, found = record.by_id, set[str]()
    waiting = list(start)
    while waiting:
        current = waiting.pop()
        if current in steps and current not in found:
            found.add(current)
            waiting.extend(steps[current].parents)
    return found


def _origins(record: Record, steps: dict[str, Step]) -> Iterable[Finding]:
    """Reachability: walking up from any picture ends in prompts and noise, through a generator."""
    clean: set[str] = set()
    for step in record.steps:  # parents stand before their children, or INTEGRITY tells
        from_clean = bool(step.parents) and all(parent in clean for parent in step.parents)
        drawn = of(step.op).draws or any(steps[p].op not in ROOTS for p in step.parents if p in steps)
        if (step.op in ROOTS and not step.parents) or (from_clean and drawn):
            clean.add(step.id)
        else:
            yield finding(
                "POL-ORIGIN", "not made from text, seeds and weights alone", step.name, "no clean origin"
            )


def _results(record: Record, steps: dict[str, Step]) -> Iterable[Finding]:
    ops = [steps[name].op for name in record.results if name in steps]
    expected = [one.name for one in OPERATIONS.values() if one.result_of == record.command]
    if (ops if record.command == "video" else list(dict.fromkeys(ops))) != expected:
        told = ", ".join(shown(op, 20) for op in ops)
        yield finding(
            "POL-RESULT", "another kind of result than the command makes", run_layout.RECORD, told,
            expected=", ".join(expected),
        )  # fmt: skip
    used = ancestors(record, record.results)
    for step in record.steps:
        if step.id not in used:
            yield finding("POL-UNUSED", "a node that nothing was made from", step.name)


def _clip(record: Record, steps: dict[str, Step]) -> Iterable[Finding]:
    """One prompt, at most one keyframe and control, every segment after the one before, all delivered.

    A draft's segments are a chain of their own, and each has its maps, under which the clip's is made. Maps
    of the frame that a segment starts from are the keyframe's for the first, and of the segment before then.
    """
    by_op: dict[str, list[Step]] = {name: [] for name in OPERATIONS}
    for step in record.steps:
        by_op.setdefault(step.op, []).append(step)
    for operation in OPERATIONS.values():
        for step in by_op[operation.name][1:] if operation.once else []:
            yield finding("POL-CHAIN", f"more than one {operation.name} in one clip", step.name)
    picture, shown = _picture(record), [step.id for step in by_op[EMBEDDING.name]]
    for step in by_op[EMBEDDING.name]:
        if list(step.parents) != picture:
            message = "an image embedding of another picture than the keyframe that the clip begins with"
            yield finding("POL-CHAIN", message, step.name)
    start = [*(step.id for step in by_op[PROMPT.name][:1]), *picture, *shown]
    for operation in OPERATIONS.values():
        if operation.makes is Makes.segment and operation is not HIRES:
            shared, own = _steering(operation, by_op)
            yield from _chained(by_op[operation.name], steps, [*start, *shared], own)
    for operation in OPERATIONS.values():
        if operation.steers and not operation.once:
            segments = by_op[operation.sources[0]]
            for place, step in enumerate(by_op[operation.name]):
                if list(step.parents) != [one.id for one in segments[place : place + 1]]:
                    yield finding("POL-CHAIN", "maps of another segment", step.name)
    if again := by_op[HIRES.name]:
        shared = [*(step.id for step in by_op[PROMPT.name][:1]), *shown]
        yield from _second_pass(again, [step.id for step in by_op[MOTION.name]], shared, steps)
    delivered = by_op[delivering({step.op for step in record.steps})]
    for step in by_op[FINISH.name]:
        if list(step.parents) != [one.id for one in delivered]:
            message = "the clip was not finished from all of its segments in their order"
            yield finding("POL-CHAIN", message, step.name)


def _identities(parts: Sequence[Record]) -> Iterable[Finding]:
    """Later shots are drawn by the likeness to the picture that the first one begins with, and it alone."""
    for index, part in enumerate(parts):
        for step in part.steps:
            if of(step.op).makes is Makes.copy and (not index or list(step.parents) != _picture(parts[0])):
                yield finding("POL-CHAIN", "an identity that is not the first shot's keyframe", step.name)


def _picture(record: Record) -> list[str]:
    """The id of the picture that a shot begins with, if there is one."""
    drawn = {step.op: step.id for step in reversed(record.steps)}
    return [drawn[one.name] for one in (REDRAWN, SELECTION, KEYFRAME) if one.name in drawn][:1]


def _steering(operation: Operation, by_op: Mapping[str, list[Step]]) -> tuple[list[str], list[Step]]:
    """Ids of the maps that all of an operation's segments share, and the maps that each has of its own."""
    maps = [one for one in map(of, operation.sources) if one.steers]
    for one in maps:
        if one.leads_on and (joined := by_op[one.name]):  # the first segment starts from the keyframe
            first = [step for read in maps if _of_keyframe(read) for step in by_op[read.name][:1]]
            return [], [*first, *joined]
    shared = [step.id for one in maps if one.once for step in by_op[one.name][:1]]
    return shared, [step for one in maps if not (one.once or one.leads_on) for step in by_op[one.name]]


def _of_keyframe(operation: Operation) -> bool:
    return operation.once and operation.makes is Makes.maps


def _chained(
    segments: Sequence[Step], steps: dict[str, Step], shared: Sequence[str], maps: Sequence[Step]
) -> Iterable[Finding]:
    """Each segment is made from what all share, from its own maps if there are any, and from those before."""
    earlier: list[str] = []
    for place, step in enumerate(segments):
        kinds = {name: steps[name].op for name in step.parents if name in steps}
        common = [name for name, op in kinds.items() if op not in (NOISE.name, step.op)]
        before = [name for name, op in kinds.items() if op == step.op]
        span = step.params.get("span")
        closing = earlier[:1] if isinstance(span, dict) and span.get("tail") else []
        own = [one.id for one in maps[place : place + 1]]
        # The segment that closes a loop is made from the first one too.
        if common != [*shared, *own] or before != list(dict.fromkeys([*closing, *earlier[-1:]])):
            yield finding("POL-CHAIN", "a segment of another chain", step.name)
        earlier.append(step.id)


def _second_pass(
    again: list[Step], segments: list[str], shared: list[str], steps: dict[str, Step]
) -> Iterable[Finding]:
    """Each node of the second pass is made from the segment in its place and the one before it."""
    if len(again) != len(segments):
        message = "a second pass of other segments than the clip's"
        yield finding("POL-CHAIN", message, run_layout.RECORD, len(again), expected=len(segments))
    for index, (step, segment) in enumerate(zip(again, segments, strict=False)):
        span = step.params.get("span")
        closing = [again[0].id] if isinstance(span, dict) and span.get("tail") and index else []
        before = [again[index - 1].id] if index else []
        wanted = [*shared, segment, *dict.fromkeys([*closing, *before])]
        if [name for name in step.parents if name in steps and steps[name].op != NOISE.name] != wanted:
            yield finding("POL-CHAIN", "a second pass of another segment or chain", step.name)
