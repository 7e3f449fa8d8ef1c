"""A report as one HTML page: no script, no outside resource, every word of the run escaped."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from string import Template

from pokora_anime.findings import Finding, worst_first
from pokora_anime.untrusted.untrusted_names import brief, shown
from pokora_anime.verify.report_data import Drawn, Exhibits, Picture
from pokora_anime.verify.report_text import colour, counted
from pokora_anime.verify.verdict import Report

MEANING = {
    "INTEGRITY": "Is every file, hash, node and frame what the signed record says?",
    "POLICY": "Does every picture descend from text, seeds and registered weights, within the rules?",
    "REPLAY": "Do nodes come out the same on your own machine? Ask <code>pokora replay</code>.",
}
STYLE = """
:root{--ink:#1d1b2e;--soft:#6b6880;--line:#e4e1ee;--paper:#fff;--ground:#f6f4fb;--pass:#1b8a5a;--review:#b7791f;
--fail:#c53050;--none:#8a87a0;--accent:#6c4bd8}
@media (prefers-color-scheme:dark){:root{--ink:#eceaf6;--soft:#a5a2ba;--line:#34314a;--paper:#1f1d2e;
--ground:#161422;--pass:#43c78b;--review:#e0a94b;--fail:#f0708c;--none:#8a87a0;--accent:#a58bff}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1060px;margin:0 auto;padding:32px 20px 56px}
header p{margin:0;color:var(--soft)}
h1{font-size:24px;margin:2px 0 4px;overflow-wrap:anywhere;line-height:1.3}
h2{font-size:13px;letter-spacing:.08em;text-transform:uppercase;color:var(--soft);margin:36px 0 10px}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(220px,1fr));gap:14px;margin-top:22px}
.card,.box{background:var(--paper);border:1px solid var(--line);border-radius:12px;padding:16px 18px}
.card{border-top:5px solid var(--none)}
.card b{display:block;font-size:25px;line-height:1.3;color:var(--none)}
.card p{margin:4px 0 0;color:var(--soft);font-size:13.5px}
.card small{letter-spacing:.08em;font-weight:600}
.pass{border-top-color:var(--pass)}.pass b{color:var(--pass)}
.review{border-top-color:var(--review)}.review b{color:var(--review)}
.fail{border-top-color:var(--fail)}.fail b{color:var(--fail)}
.entry{margin:14px 0 0}
table{border-collapse:collapse;width:100%}
td,th{padding:8px 10px;border-bottom:1px solid var(--line);text-align:left;vertical-align:top;
overflow-wrap:anywhere}
tr:last-child>*{border-bottom:0}
th{font-weight:600;width:120px;color:var(--soft)}
.tag{display:inline-block;min-width:58px;text-align:center;border-radius:99px;padding:1px 9px;font-size:12px;
color:var(--paper);background:var(--none)}
.tag.block{background:var(--fail)}.tag.review{background:var(--review)}
code{font:13px/1.5 ui-monospace,Menlo,Consolas,monospace}
.find td:first-child{width:84px}.find td:nth-child(2){width:165px}
.find small{display:block;color:var(--soft)}
.film{display:grid;grid-template-columns:repeat(auto-fill,minmax(112px,1fr));gap:8px}
figure{margin:0}figcaption{font-size:12px;color:var(--soft)}
img{width:100%;display:block;border-radius:6px;background:var(--line)}
.wide{overflow-x:auto}
svg text{font:12px system-ui,sans-serif;fill:var(--paper)}
svg path{fill:none;stroke:var(--soft);stroke-opacity:.45}
svg rect{fill:var(--accent)}svg rect.root{fill:var(--none)}svg rect.odd{fill:var(--fail)}
footer{margin-top:36px;color:var(--soft);font-size:13px}
"""
PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>pokora verify: $subject</title>
<style>$style</style>
</head>
<body><main>
<header><p>pokora verify</p><h1>$subject</h1></header>
$body
<footer>INTEGRITY and POLICY show that nothing was edited after the run was signed, and that what it
recorded keeps to the rules. They cannot show that it was rendered as recorded: replay does.
$seconds</footer>
</main></body>
</html>
""")
COLUMN, ROW, WIDTH, HEIGHT, TOP = 104, 38, 84, 26, 44


def as_page(report: Report, exhibits: Exhibits) -> str:
    """The page."""
    parts = [_cards(report)]
    if report.unreadable:
        parts.append(f'<p class="box entry">{escape(report.unreadable)}</p>')
    else:
        where = escape(report.contest)
        parts.append(f'<p class="box entry"><b>Entry to {where}:</b> {escape(report.entry)}</p>')
    parts += [_film("Frames as decoded from the video", exhibits.film)]
    parts += [_findings(report), _facts(report)]
    parts += [_graph(exhibits.graph, report), _film("Made on the way", exhibits.pictures)]
    took = f"Verified in {report.seconds:.1f} s." if report.seconds else ""
    return PAGE.substitute(subject=escape(report.subject), style=STYLE, body="\n".join(parts), seconds=took)


def _cards(report: Report) -> str:
    cards: list[str] = []
    for area, verdict in report.verdicts.items():
        told = {"INTEGRITY": report.integrity, "POLICY": report.policy}.get(area, ())
        count = counted(told)
        cards.append(
            f'<section class="card {colour(verdict)}"><small>{area}</small><b>{escape(verdict.value)}</b>'
            f"<p>{MEANING[area]}{' ' + escape(count) + '.' if count else ''}</p></section>"
        )
    return f'<div class="cards">{"".join(cards)}</div>'


def _findings(report: Report) -> str:
    found = worst_first(report.findings)
    if not found:
        return '<h2>Findings</h2><p class="box">None.</p>'
    return (
        f'<h2>Findings</h2><div class="box"><table class="find">{"".join(map(_finding, found))}</table></div>'
    )


def _finding(finding: Finding) -> str:
    about = ": ".join(part for part in (finding.where, finding.got) if part)
    lines = [
        about,
        f"expected {finding.expected}" if finding.expected else "",
        f"fix: {finding.fix}" if finding.fix else "",
    ]
    small = "".join(f"<small>{escape(line)}</small>" for line in lines if line)
    severity = finding.severity.value
    tag = f'<span class="tag {severity}">{severity}</span>'
    code = f"<code>{escape(finding.code)}</code>"
    return f"<tr><td>{tag}</td><td>{code}</td><td>{escape(finding.message)}{small}</td></tr>"


def _facts(report: Report) -> str:
    if not report.facts:
        return ""
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in report.facts.items()
    )
    return f'<h2>What the run says of itself</h2><div class="box"><table>{rows}</table></div>'


def _film(title: str, pictures: Sequence[Picture]) -> str:
    if not pictures:
        return ""
    return f'<h2>{title}</h2><div class="box film">{"".join(map(_picture, pictures))}</div>'


def _picture(picture: Picture) -> str:
    data = base64.b64encode(picture.jpeg).decode()
    caption = escape(picture.caption)
    image = f'<img alt="{caption}" src="data:image/jpeg;base64,{data}">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def _graph(nodes: Sequence[Drawn], report: Report) -> str:
    """The provenance graph as inline SVG; nodes that a finding names are red."""
    if not nodes:
        return ""
    places = {node.id: (node.column * COLUMN, TOP + node.row * ROW) for node in nodes}
    odd = {finding.where for finding in report.findings}
    edges = (_edge(places[parent], places[node.id]) for node in nodes for parent in node.parents)
    width = max(x for x, _ in places.values()) + WIDTH
    height = max(y for _, y in places.values()) + HEIGHT
    boxes = (_box(node, *places[node.id], odd) for node in nodes)
    drawing = f'<svg width="{width}" height="{height}" role="img" aria-label="provenance graph">'
    return f'<h2>Provenance</h2><div class="box wide">{drawing}{_all(edges)}{_all(boxes)}</svg></div>'


def _all(parts: Iterable[str]) -> str:
    return "".join(parts)


def _edge(start: tuple[int, int], stop: tuple[int, int]) -> str:
    """A curve to the next column, or an arc over what stands between."""
    if stop[0] - start[0] > COLUMN:
        x, to_x = start[0] + WIDTH // 2 + 12, stop[0] + WIDTH // 2 - 12
        over = max(2, TOP - (to_x - x) // 9)
        return f'<path d="M{x} {start[1]}C{x + 30} {over} {to_x - 30} {over} {to_x} {stop[1]}"/>'
    x, y, to_y = start[0] + WIDTH, start[1] + HEIGHT // 2, stop[1] + HEIGHT // 2
    return f'<path d="M{x} {y}C{x + 12} {y} {stop[0] - 12} {to_y} {stop[0]} {to_y}"/>'


def _box(node: Drawn, x: int, y: int, odd: set[str]) -> str:
    name = f"{shown(node.op, 20)} {brief(node.id)}"
    kind = "odd" if name in odd else "root" if not node.parents else ""
    shape = f'<rect class="{kind}" x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="7"/>'
    text = f'<text x="{x + WIDTH // 2}" y="{y + 17}" text-anchor="middle">{escape(shown(node.op, 10))}</text>'
    return f"<g><title>{escape(name)}</title>{shape}{text}</g>"
