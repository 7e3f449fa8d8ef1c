"""RO-Crate 1.1 metadata (https://w3id.org/ro/crate/1.1), so that archives understand a bundle."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from pokora_anime.provenance.hashing import Json, Table
from pokora_anime.submission import file_names
from pokora_anime.submission.bundle.manifest import Manifest

CONTEXT = "https://w3id.org/ro/crate/1.1/context"
PUBLISHED = "2000-01-01"  # the format asks for a date, and a bundle says nothing about when it was made
# Our own: what the standard library knows differs from machine to machine, and libraries add to it.
TYPES = {
    ".bib": "text/x-bibtex",
    ".html": "text/html",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".md": "text/markdown",
    ".mp4": "video/mp4",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".safetensors": "application/octet-stream",
    ".yaml": "application/yaml",
}
_DESCRIPTOR: Table = {
    "@id": file_names.CRATE,
    "@type": "CreativeWork",
    "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
    "about": {"@id": "./"},
}
_CODE: Table = {
    "@id": f"{file_names.SOURCE}/",
    "@type": ["Dataset", "SoftwareSourceCode"],
    "name": "pokora_anime",
    "programmingLanguage": "Python",
    "license": "https://spdx.org/licenses/Apache-2.0",
}


def metadata(told: Manifest, rows: Iterable[Table], sizes: Mapping[str, int]) -> bytes:
    """ro-crate-metadata.json: people, parts, how the entry was made, and the weights it was made with.

    `rows` are those of weights.json, `sizes` the bytes of every sealed file but this one.
    """
    shown = [name for name in sorted(sizes) if not name.startswith(f"{file_names.SOURCE}/")]
    people: list[Table] = [
        {"@id": f"#member-{number}", "@type": "Person", "name": member["name"], "identifier": member["id"]}
        for number, member in enumerate(told.members, start=1)
    ]
    weights = [_weights(one) for one in rows]
    files = [_file(name, sizes[name]) for name in shown]
    root, action = _root(told, people, shown), _action(told, weights, shown)
    graph = [_DESCRIPTOR, root, _CODE, *files, *people, *weights, action]
    return json.dumps({"@context": CONTEXT, "@graph": graph}, indent=1, ensure_ascii=False).encode() + b"\n"


def _root(told: Manifest, people: Iterable[Table], shown: Iterable[str]) -> Table:
    """The bundle itself."""
    return {
        "@id": "./",
        "@type": "Dataset",
        "name": told.title,
        "description": told.words["tagline"] or told.title,
        "datePublished": PUBLISHED,
        "license": "See the documents and source/LICENSE",
        "author": [_reference(person) for person in people],
        "hasPart": [*({"@id": name} for name in shown), {"@id": f"{file_names.SOURCE}/"}],
        "mentions": [{"@id": "#render"}],
    }


def _action(told: Manifest, weights: Iterable[Table], shown: Iterable[str]) -> Table:
    """What made the entry, from what."""
    entry = [name for name in shown if name.startswith(f"{file_names.ENTRY}/")]
    return {
        "@id": "#render",
        "@type": "CreateAction",
        "name": "Rendering the entry from text, seeds and registered weights",
        "instrument": [{"@id": f"{file_names.SOURCE}/"}],
        "object": [*map(_reference, weights), *({"@id": f"{run}/config.yaml"} for run in told.runs)],
        "result": [{"@id": name} for name in entry],
    }


def _file(name: str, size: int) -> Table:
    suffix = name[name.rfind(".") :]
    kind = TYPES.get(suffix, "text/plain")
    return {"@id": name, "@type": "File", "contentSize": str(size), "encodingFormat": kind}


def _weights(row: Mapping[str, Json]) -> Table:
    licence = row["licence"]
    assert isinstance(licence, dict)
    link = str(row["link"])
    return {
        "@id": link if link.startswith("https://") else f"#weights-{row['id']}",
        "@type": "CreativeWork",
        "name": row["name"],
        "description": row["role"],
        "license": licence["link"] or licence["name"],
        "version": row["revision"],
    }


def _reference(entity: Table) -> Json:
    return {"@id": entity["@id"]}
