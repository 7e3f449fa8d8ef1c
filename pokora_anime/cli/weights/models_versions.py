"""`pokora models compare`, `alias` and `versions`: LoRAs of one's own beside each other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pokora_anime.catalogue import own_rows, registry
from pokora_anime.catalogue.own_loras import blend_pins, lora_versions
from pokora_anime.catalogue.registry_row import Kind, Row
from pokora_anime.cli.parser import OneLineParser
from pokora_anime.errors import ConfigError, WeightsError
from pokora_anime.provenance.hashing import Json
from pokora_anime.untrusted import strict_json
from pokora_anime.untrusted.read_limits import LIMITS
from pokora_anime.untrusted.untrusted_names import shown

SHOWN = 8  # layers that differ most


def alias(arguments: Sequence[str]) -> int:
    """`pokora models alias ID NAME VERSION`: have ID@NAME stand for a version; the exit status."""
    parser = OneLineParser(
        prog="pokora models alias",
        description="Name a version of an own LoRA: `pokora models alias mychar best 2`, then mychar@best.",
    )
    parser.add_argument("id", help="the LoRA, as it was trained")
    parser.add_argument("alias", nargs="?", help="best, say; nothing: list what is there")
    parser.add_argument("version", nargs="?", help="its number, 2 say, or another alias")
    typed = parser.parse_args(list(arguments))
    identifier = str(typed.id).partition("@")[0]
    if typed.alias is None:
        return versions([identifier])
    if typed.version is None:
        parser.error(f"no version for {shown(typed.alias, 40)}")
    number = int(lora_versions.resolve(f"{identifier}@{typed.version}").id.rpartition("-v")[2])
    row = lora_versions.set_alias(identifier, typed.alias, number)
    print(f"{identifier}@{typed.alias} is version {number} ({blend_pins.digest_of(row)[:12]})")
    print(f"use it: <lora:{identifier}@{typed.alias}:0.8>; a run records the version")
    return 0


def versions(arguments: Sequence[str]) -> int:
    """`pokora models versions ID`: those that are there, with aliases and scores; the exit status."""
    parser = OneLineParser(prog="pokora models versions", description="The versions of a LoRA trained here.")
    parser.add_argument("id")
    identifier = parser.parse_args(list(arguments)).id
    known = lora_versions.versions(identifier)
    if not known:
        lora_versions.resolve(f"{identifier}@1")
    told = lora_versions.names_of(identifier)
    current = next((row for row in own_rows.rows() if row.id == identifier), None)
    for number, row in known.items():
        names = [name for name, other in told.items() if other is row and not name.isdecimal()]
        names += ["newest"] if current is not None and _same(current, row) else []
        scores = ", ".join(f"{name} {value}" for name, value in _scores(row).items())
        digest = blend_pins.digest_of(row)[:12]
        print(f"{identifier}@{number:<4} {digest}  {row.data_set}  {' '.join(names):12} {scores}".rstrip())
    return 0


def _same(row: Row, other: Row) -> bool:
    return set(row.sha256.values()) == set(other.sha256.values())


def compare(arguments: Sequence[str]) -> int:
    """`pokora models compare A B`: layers, ranks, norms, likeness, scores; the exit status."""
    parser = OneLineParser(
        prog="pokora models compare",
        description="Two LoRAs beside each other: layers, rank, size of the change, likeness, scores of their"
        " trainings. A and B are ids, versions (mychar@2, mychar@best) or .safetensors files.",
    )
    parser.add_argument("first", metavar="A")
    parser.add_argument("second", metavar="B")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    typed = parser.parse_args(list(arguments))
    (name, file, told), (other, other_file, other_told) = _placed(typed.first), _placed(typed.second)
    from pokora_anime.catalogue.own_loras import lora_likeness

    found = lora_likeness.compare((file, name), (other_file, other))
    scores = {key: (told.get(key), other_told.get(key)) for key in dict.fromkeys([*told, *other_told])}
    if typed.json:
        listed: dict[str, Json] = {key: [*pair] for key, pair in scores.items()}
        print(json.dumps({"a": name, "b": other, **found.to_json(), "scores": listed}, indent=2))
    else:
        print(
            "\n".join(
                [f"{'':24} {name[:20]:>20} {other[:20]:>20}", *found.lines(SHOWN), *_score_lines(scores)]
            )
        )
    return 0


def _score_lines(scores: dict[str, tuple[Json, Json]]) -> list[str]:
    return [f"{key:24} {_cell(a):>20} {_cell(b):>20}" for key, (a, b) in scores.items()]


def _cell(value: Json) -> str:
    return "-" if value is None else f"{value:.3g}" if isinstance(value, float) else shown(value, 20)


def _placed(text: str) -> tuple[str, Path, dict[str, Json]]:
    """A LoRA's name, its file and the scores of its training. Raises ConfigError, WeightsError."""
    path = Path(text)
    if path.suffix == ".safetensors":
        if not path.is_file():
            raise ConfigError("CFG-FILE", f"{shown(path)} is no file", fix="pokora models list")
        return path.stem, path, _read_scores(path.with_name(own_rows.STYLE))
    row = lora_versions.resolve(text) if "@" in text else _row(text)
    if row.kind not in (Kind.style_lora, Kind.motion_lora, Kind.speed_lora) or row.slot:
        raise ConfigError(
            "CFG-WEIGHTS", f"{shown(text, 60)} is no LoRA", expected="a LoRA", fix="pokora models list"
        )
    from pokora_anime.catalogue.weight_paths import locate
    from pokora_anime.catalogue.weights_advice import reinstall_or_fetch

    folder = locate(row)
    if folder is None:
        raise WeightsError(
            "WGT-MISSING", f"{row.id} is not here", expected="its file", fix=reinstall_or_fetch(row)
        )
    return text, folder / row.files[0], _scores(row)


def _row(text: str) -> Row:
    """By id or template name, else by the role that it plays for the first base that has it."""
    known = [row for row in registry.rows() if text in (row.id, row.repo, *row.aliases)]
    played = [row for row in registry.rows() if text == row.role and row.packaged]
    return (known or played or [registry.any_row(text)])[0]


def _scores(row: Row) -> dict[str, Json]:
    return _read_scores(own_rows.folder_of(row) / own_rows.STYLE) if row.own else {}


def _read_scores(path: Path) -> dict[str, Json]:
    """The numbers of a style.json by name; none where there is none that can be read."""
    try:
        value = strict_json.parse(path.read_bytes(), LIMITS)
    except (OSError, strict_json.BadJson):
        return {}
    scores = value.get("scores") if isinstance(value, dict) else None
    return _numbers(scores) if isinstance(scores, dict) else {}


def _numbers(scores: dict[str, strict_json.Json]) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for key, value in scores.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            found[shown(key, 24)] = value
        elif isinstance(value, dict):
            for name in ("together", "followed"):
                pair = value.get(name)
                if isinstance(pair, list) and pair and isinstance(pair[0], int | float):
                    found[name] = pair[0]
    return found
