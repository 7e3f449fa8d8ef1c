"""BibTeX for the weights that a run uses: their papers, and an entry with the link for each. Torch-free."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import yaml

from pokora_anime.catalogue import lockfile
from pokora_anime.catalogue.registry_row import Kind, Row

PAPERS = Path(__file__).with_name("citations.yaml")


@cache
def papers() -> dict[str, str]:
    """BibTeX entries by the keys that rows name."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return {
        str(key): str(entry).strip() for key, entry in yaml.load(PAPERS.read_text("utf-8"), loader).items()
    }


def bibtex(rows: Iterable[Row]) -> str:
    """All entries that these rows need, each once: papers first, then the checkpoints themselves."""
    found = list({row.id: row for row in rows if not row.slot}.values())
    keys = dict.fromkeys(key for row in found for key in row.citation)
    entries = [papers()[key] for key in keys] + [_checkpoint(row) for row in found if not row.packaged]
    return "\n\n".join(entries) + "\n" if entries else ""


def _checkpoint(row: Row) -> str:
    fetched = lockfile.entry(row)
    commit = row.revision or (fetched.revision if fetched is not None else "")
    notes = [f"Weights, role: {row.role}", f"revision {commit}" if commit else "", row.terms.name]
    others = row.kind is Kind.base and row.own
    publisher = "Unknown" if others else "The entrant" if row.own else row.repo.split("/")[0]
    if others:
        notes += [row.data_statement, f"converted from {row.origin}"]
    elif row.own:
        notes.append(f"training data: {row.data_statement}")
    lines = {
        "title": row.title or row.repo.removeprefix("own:"),
        "author": f"{{{_plain(row.author or publisher)}}}",
        "note": "; ".join(note for note in notes if note),
        "howpublished": f"\\url{{{row.link}}}" if row.link.startswith("https://") else "",
    }
    lines = {name: _plain(text) if name in ("title", "note") else text for name, text in lines.items()}
    body = ",\n".join(f"  {name} = {{{text}}}" for name, text in lines.items() if text)
    return f"@misc{{weights-{row.id},\n{body}\n}}"


def _plain(text: str) -> str:
    """Text without what BibTeX and TeX would read as their own."""
    return re.sub(r"([&%$#_])", r"\\\1", re.sub(r"[{}\\]", "", text))
