"""A report as one HTML page: no script, no outside resource, every word of the run escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pokora_anime.findings import worst_first
from pokora_anime.system.html_template import rendered
from pokora_anime.untrusted.untrusted_names import brief, shown
from pokora_anime.verify.report_data import Drawn, Exhibits
from pokora_anime.verify.report_text import colour, counted
from pokora_anime.verify.verdict import Report

TEMPLATE = Path(__file__).parent / "templates" / "report.html.j2"
MEANING = {
    "INTEGRITY": "Is every file, hash, node and frame what the signed record says?",
    "POLICY": "Does every picture descend from text, seeds and registered weights, within the rules?",
    "REPLAY": "Do nodes come out the same on your own machine? Ask",
}
COMMANDS = {"REPLAY": "pokora replay"}
COLUMN, ROW, WIDTH, HEIGHT, TOP = 104, 38, 84, 26, 44


@dataclass(frozen=True, slots=True, kw_only=True)
class _Card:
    """A verdict: what was asked, what came out, and how many findings there are."""

    area: str
    verdict: str
    colour: str
    meaning: str
    command: str
    count: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Box:
    """A node as it is drawn; `kind` is a class of the style sheet."""

    name: str
    op: str
    kind: str
    x: int
    y: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Graph:
    """The provenance graph in pixels: paths of its edges, its boxes of one size."""

    width: int
    height: int
    edges: tuple[str, ...]
    boxes: tuple[_Box, ...]
    box: tuple[int, int] = (WIDTH, HEIGHT)


def as_page(report: Report, exhibits: Exhibits) -> str:
    """The page."""
    return rendered(
        TEMPLATE,
        report=report,
        exhibits=exhibits,
        cards=_cards(report),
        findings=worst_first(report.findings),
        graph=_graph(exhibits.graph, report),
    )


def _cards(report: Report) -> list[_Card]:
    told = {"INTEGRITY": report.integrity, "POLICY": report.policy}
    return [
        _Card(
            area=area,
            verdict=verdict.value,
            colour=colour(verdict),
            meaning=MEANING[area],
            command=COMMANDS.get(area, ""),
            count=counted(told.get(area, ())),
        )
        for area, verdict in report.verdicts.items()
    ]


def _graph(nodes: Sequence[Drawn], report: Report) -> _Graph | None:
    """The provenance graph; nodes that a finding names are red."""
    if not nodes:
        return None
    places = {node.id: (node.column * COLUMN, TOP + node.row * ROW) for node in nodes}
    odd = {finding.where for finding in report.findings}
    return _Graph(
        width=max(x for x, _ in places.values()) + WIDTH,
        height=max(y for _, y in places.values()) + HEIGHT,
        edges=tuple(_edge(places[parent], places[node.id]) for node in nodes for parent in node.parents),
        boxes=tuple(_box(node, *places[node.id], odd) for node in nodes),
    )


def _edge(start: tuple[int, int], stop: tuple[int, int]) -> str:
    """A curve to the next column, or an arc over what stands between."""
    if stop[0] - start[0] > COLUMN:
        x, to_x = start[0] + WIDTH // 2 + 12, stop[0] + WIDTH // 2 - 12
        over = max(2, TOP - (to_x - x) // 9)
        return f"M{x} {start[1]}C{x + 30} {over} {to_x - 30} {over} {to_x} {stop[1]}"
    x, y, to_y = start[0] + WIDTH, start[1] + HEIGHT // 2, stop[1] + HEIGHT // 2
    return f"M{x} {y}C{x + 12} {y} {stop[0] - 12} {to_y} {stop[0]} {to_y}"


def _box(node: Drawn, x: int, y: int, odd: set[str]) -> _Box:
    name = f"{shown(node.op, 20)} {brief(node.id)}"
    kind = "odd" if name in odd else "root" if not node.parents else ""
    return _Box(name=name, op=shown(node.op, 10), kind=kind, x=x, y=y)
