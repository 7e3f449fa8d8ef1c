"""The data card: what a training was shown, who made it and under which licence. Torch-free.

The fields follow the shortest useful part of Datasheets for Datasets (arXiv 1803.09010).
"""

from __future__ import annotations

import json
from collections import Counter
from typing import cast

from pokora_anime.catalogue.licences import LICENCES
from pokora_anime.errors import PokoraError
from pokora_anime.provenance.hashing import Json, Table, strict_json
from pokora_anime.workshop.data.data_set import FORMAT, DataSet, parse

_SHOWN = 12


def table(data: DataSet) -> Table:
    """The card as data: every picture by its hashes, none itself. The version is the hash of its rows."""
    sides = sorted(min(entry.width, entry.height) for entry in data.entries)
    words = Counter(tag for entry in data.entries for tag in _tags(entry.caption))
    licences: list[Json] = [
        {"id": name, "name": LICENCES[name].name, "link": LICENCES[name].link, "pictures": count}
        for name, count in Counter(entry.licence for entry in data.entries).most_common()
    ]
    sources: list[Json] = [
        {"source": source, "author": author, "pictures": count}
        for (source, author), count in Counter((e.source, e.author) for e in data.entries).most_common()
    ]
    return {
        "kind": "pokora_anime data card",
        "id": data.id,
        "version": data.version,
        **data.more(),
        "statement": data.statement,
        "licences": licences,
        "sources": sources,
        "sides": {"least": sides[0], "median": sides[len(sides) // 2], "most": sides[-1]},
        "captioned": sum(bool(entry.caption) for entry in data.entries),
        "tags": [[tag, count] for tag, count in words.most_common(_SHOWN)],
        "pictures": data.to_plain()["pictures"],
    }


def to_json(value: Table) -> bytes:
    """As the card and data.json are written."""
    return json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n"


def markdown(card: Table) -> str:
    """The card for readers."""
    sides, pictures = cast(Table, card["sides"]), cast(list[Table], card["pictures"])
    lines = [
        f"# Data card: {card['id']}",
        "",
        f"{card['statement']}. Version {card['version']} is the hash of everything below.",
        "",
        "| Licence | Pictures |",
        "|---|---|",
        *(
            f"| [{row['name']}]({row['link']}) ({row['id']}) | {row['pictures']} |"
            for row in cast(list[Table], card["licences"])
        ),
        "",
        "| Source | Author | Pictures |",
        "|---|---|---|",
        *(
            f"| {_cell(row['source'])} | {_cell(row['author'])} | {row['pictures']} |"
            for row in cast(list[Table], card["sources"])
        ),
        "",
        f"Shorter sides: {sides['least']} to {sides['most']} pixels, half of them at most {sides['median']}."
        f" With a caption: {card['captioned']} of {len(pictures)}.",
        *_tagged(card),
        "",
        "Used for: training a LoRA. The pictures themselves are in no LoRA, run or bundle; each is told by",
        "the hash of its file and of its pixels.",
        "",
        "| Picture | Size | Licence | Source | Caption | File (sha256) |",
        "|---|---|---|---|---|---|",
        *(_row(row) for row in pictures),
    ]
    return "\n".join(lines) + "\n"


def _tagged(card: Table) -> list[str]:
    if "tagger" not in card:
        return []
    return [f"Where a picture had no caption, one was written by {_cell(card['tagger'])}."]


def _row(row: Table) -> str:
    cells = (row["name"], f"{row['width']}x{row['height']}", row["licence"], row["source"], row["caption"])
    return f"| {' | '.join(map(_cell, cells))} | `{str(row['original'])[:16]}` |"


def _cell(value: Json) -> str:
    return str(value).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def _tags(caption: str) -> list[str]:
    return [tag for part in caption.lower().split(",") if (tag := part.strip())]


def misfit(card: bytes, page: bytes, statement: str) -> str:
    """Why two files of a stranger are no card of the data that the statement names; "" if they are."""
    try:
        told = cast(Table, strict_json(card, "the data card"))
        more: Table = {name: told[name] for name in ("clips", "tagger") if name in told}
        rows: Table = {"format": FORMAT, "id": told["id"], **more, "pictures": told["pictures"]}
        data = parse(rows, "the data card")
        wanted = table(data)
    except (PokoraError, KeyError, TypeError, ValueError, AttributeError):
        return "no data card as pokora writes it"
    if to_json(wanted) != card or markdown(wanted).encode() != page:
        return "its numbers or its words are not those of its pictures"
    return (
        ""
        if f"(data set {data.name})" in statement
        else f"the weights name another data set than {data.name}"
    )
