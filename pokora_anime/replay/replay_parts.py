"""What of a run can be computed again, and which parts of it a nonce picks."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

from pokora_anime.provenance.hashing import text_hash
from pokora_anime.provenance.operations import (
    FINISH,
    KEYFRAME,
    MOTION,
    NOISE,
    STILL,
    Makes,
    Replay,
    delivering,
    of,
    replay_order,
)
from pokora_anime.untrusted.untrusted_names import brief, shown
from pokora_anime.verify.record.claimed_record import Record, Step

FRAMES = "frames"  # the kind of a segment's delivered frames; every other kind is an operation
# The order in which networks are needed, so that each is loaded once and can be freed.
ORDER = (*replay_order(), FRAMES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One replayable part: a node, or (`kind` frames) the delivered frames of one segment.

    `step` is the node whose output is compared, `segment` the motion node that the frames come from.
    """

    kind: str
    step: Step
    segment: Step | None = None

    @property
    def name(self) -> str:
        """How a report names the part."""
        if self.segment is not None:
            return f"frames of segment {span(self.segment)['index']}"
        if of(self.kind).makes is Makes.segment:
            return f"{self.kind} {brief(self.step.id)} (segment {span(self.step)['index']})"
        return f"{shown(self.kind, 20)} {brief(self.step.id)}"

    @property
    def key(self) -> str:
        """What tells the part from every other one of its run."""
        return f"{self.kind} {(self.segment or self.step).id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The parts that are replayed, of `replayable` ones; `missed` is the chance that one forged part
    among those that are not always replayed stays unseen.
    """

    units: tuple[Unit, ...]
    replayable: int
    missed: float


def span(step: Step) -> dict[str, int]:
    """index, start and known of a motion node; POLICY has checked them."""
    value = step.params["span"]
    assert isinstance(value, dict)
    return {name: int(str(value[name])) for name in ("index", "start", "known")}


def delivered_segments(record: Record) -> list[Step]:
    """The nodes whose latents are decoded: those of the second pass where there is one."""
    op = delivering({step.op for step in record.steps})
    return [step for step in record.steps if step.op == op]


def attempt(step: Step) -> int:
    """Which attempt at its segment a motion node is; POLICY has checked it."""
    generator = step.params["generator"]
    assert isinstance(generator, list)
    return int(str(generator[2])) if len(generator) == 3 else 0


def replayable(record: Record) -> list[Unit]:
    """Every part that can be computed again, in the record's order."""
    found = [Unit(kind=step.op, step=step) for step in record.steps if of(step.op).replayed]
    segments = delivered_segments(record)
    finish = [step for step in record.steps if step.op == FINISH.name]
    made = {name: step for step in finish for name in step.parents}
    return found + [Unit(kind=FRAMES, step=made[one.id], segment=one) for one in segments if one.id in made]


def choose(record: Record, nonce: str, count: int) -> Choice:
    """The first `count` parts in an order that nonce and record decide; some are always among them.

    Those are prompt, initial noise, keyframe, control maps, and what is delivered of one segment or
    still, even where `count` is smaller. The order is that of sha256 over the nonce, the record's hash
    and the part, so nobody can know it before the nonce is told.
    """
    every = replayable(record)
    seal = hashlib.sha256(record.data).hexdigest()
    drawn = sorted(every, key=lambda unit: text_hash([nonce, seal, unit.key]))
    always = _always(record, drawn)
    rest = [unit for unit in drawn if unit not in always]
    picked = [*always, *rest[: max(0, count - len(always))]]
    return Choice(
        units=tuple(sorted(picked, key=lambda unit: (ORDER.index(unit.kind), every.index(unit)))),
        replayable=len(every),
        missed=chance_missed(len(rest), len(picked) - len(always)),
    )


def chance_missed(parts: int, replayed: int, forged: int = 1) -> float:
    """The chance that `replayed` of `parts`, drawn without return, hold none of `forged` (hypergeometric)."""
    if forged > parts:
        return 0.0
    return comb(parts - forged, replayed) / comb(parts, replayed)


def _always(record: Record, drawn: Sequence[Unit]) -> list[Unit]:
    """The doors, a picture (a still's, or the first segment without a keyframe), its noise, one delivered."""
    kinds = {unit.kind for unit in drawn}
    delivered = next((unit for unit in drawn if unit.kind in (FRAMES, STILL.name)), None)
    if KEYFRAME.name in kinds:
        wanted = [unit for unit in drawn if unit.kind == KEYFRAME.name]
        if delivered is not None and delivered.kind == STILL.name:
            wanted = [unit for unit in wanted if unit.step.id in delivered.step.parents]
        first = wanted[0]
    else:
        first = next(unit for unit in drawn if unit.kind == MOTION.name and span(unit.step)["index"] == 0)
    noise = next(unit for unit in drawn if unit.kind == NOISE.name and unit.step.id in first.step.parents)
    doors = [unit for unit in drawn if of(unit.kind).replay is Replay.always]
    if any(of(kind).makes is Makes.choice for kind in kinds):  # any of them may be the one that was taken
        doors += [unit for unit in drawn if unit.kind == KEYFRAME.name and unit is not first]
    return [*doors, noise, first, *([delivered] if delivered is not None else [])]
