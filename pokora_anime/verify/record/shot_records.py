"""The shots of a run's record, each as a record of its own: what its frames were made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from pokora_anime.provenance.operations import FINISH, Makes, of
from pokora_anime.verify.record.claimed_record import Record, Step


def split(record: Record) -> list[Record]:
    """A record for each node of frames, in the order in which they are delivered; of one clip the whole.

    What an identity was made from belongs to the first shot.
    """
    finished = [step for step in record.steps if step.op == FINISH.name]
    if len(finished) < 2:
        return [record]
    order = next((step.parents for step in record.steps if of(step.op).makes is Makes.video), ())
    places = {name: place for place, name in enumerate(order)}
    ordered = sorted(finished, key=lambda step: places.get(step.id, len(places)))
    return [_behind(record, step) for step in ordered]


def owner(parts: Iterable[Record], step: Step) -> int:
    """The index of the first shot that a node belongs to; 0 for what all have in common."""
    return next((index for index, part in enumerate(parts) if step.id in part.by_id), 0)


def _behind(record: Record, finished: Step) -> Record:
    steps, found = record.by_id, set[str]()
    waiting = [finished.id]
    while waiting:
        current = waiting.pop()
        if current in steps and current not in found:
            found.add(current)
            waiting += [] if of(steps[current].op).makes is Makes.copy else steps[current].parents
    return replace(record, steps=tuple(step for step in record.steps if step.id in found))
