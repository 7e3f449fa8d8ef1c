"""Versions of a user's own LoRAs, and the aliases that name them: mychar@2, mychar@best. Torch-free.

Every training that is registered is a version and stays: a row of its own with the id mychar-v2. Aliases
lie in aliases.json of the data folder; a run records the version that one stood for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from pokora_anime.catalogue import own_rows
from pokora_anime.catalogue.registry_row import Row
from pokora_anime.errors import ConfigError
from pokora_anime.provenance.hashing import canonical_json
from pokora_anime.system.did_you_mean import nearest
from pokora_anime.system.files.atomic_files import write_atomic, writing
from pokora_anime.system.files.user_folder import data_folder
from pokora_anime.untrusted import strict_json
from pokora_anime.untrusted.read_limits import LIMITS
from pokora_anime.untrusted.untrusted_names import shown

ALIAS = re.compile(r"[a-z][a-z0-9_-]{0,23}")
MOST_VERSIONS = 999
_NAMED = re.compile(r"(?P<before><lora:\s*|\bid:\s*['\"]?)(?P<name>[A-Za-z0-9_.-]+@[^:<>,}'\"\s]*)")


def version_id(identifier: str, number: int) -> str:
    """The id of a version's row."""
    return f"{identifier}-v{number}"


def versions(identifier: str) -> dict[int, Row]:
    """The versions of an own LoRA by number, the first first."""
    mine = [row for row in own_rows.rows() if row.version_of == identifier]
    numbered = {int(row.id.rpartition("-v")[2]): row for row in mine}
    return dict(sorted(numbered.items()))


def aliases() -> dict[str, str]:
    """Version id by alias, `mychar@best`. Raises ConfigError CFG-OWN for a file that holds something else."""
    path = _path()
    try:
        value = strict_json.parse(path.read_bytes(), LIMITS)
    except FileNotFoundError:
        return {}
    except (OSError, strict_json.BadJson) as error:
        raise _no_aliases(path, str(error)) from error
    if not isinstance(value, dict):
        raise _no_aliases(path, "no object")
    found: dict[str, str] = {}
    for name, target in value.items():
        if not isinstance(target, str) or not own_rows.ID.fullmatch(target):
            raise _no_aliases(path, f"{shown(name, 40)} names no version")
        found[name] = target
    return found


def set_alias(identifier: str, alias: str, number: int) -> Row:
    """Have `identifier@alias` name a version; its row. Raises ConfigError CFG-ALIAS, MachineError SYS-*."""
    known = versions(identifier)
    if not known:
        raise _unknown(f"{identifier}@{number}", known)
    if not ALIAS.fullmatch(alias):
        raise ConfigError(
            "CFG-ALIAS",
            f"the alias {shown(alias, 40)!r}",
            expected="a small letter, then letters, digits, _ or -, at most 24: numbers are versions",
            fix=f"pokora models alias {identifier} best {number}",
        )
    if number not in known:
        raise _unknown(f"{identifier}@{number}", known)
    row = known[number]
    path = _path()
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, canonical_json({**aliases(), f"{identifier}@{alias}": row.id}).encode())
    return row


def resolve(name: str) -> Row:
    """The row that mychar@2 or mychar@best names. Raises ConfigError CFG-ALIAS."""
    identifier, _, wanted = name.partition("@")
    known = versions(identifier)
    if re.fullmatch(r"\d{1,3}", wanted) and int(wanted) in known:
        return known[int(wanted)]
    target = aliases().get(name)
    found = next((row for row in known.values() if row.id == target), None)
    if found is None:
        raise _unknown(name, known)
    return found


def spelled_out(text: str) -> str:
    """Text in which each LoRA's version or alias is the id behind it. Raises ConfigError CFG-ALIAS."""
    return _NAMED.sub(lambda found: found["before"] + resolve(found["name"]).id, text)


def names_of(identifier: str) -> Mapping[str, Row]:
    """Everything behind the @ that names a version of a LoRA: numbers first, then aliases."""
    known = versions(identifier)
    by_id = {row.id: row for row in known.values()}
    told = {str(number): row for number, row in known.items()}
    for name, target in aliases().items():
        owner, _, alias = name.partition("@")
        if owner == identifier and target in by_id:
            told[alias] = by_id[target]
    return told


def _unknown(name: str, known: Mapping[int, Row]) -> ConfigError:
    identifier = name.partition("@")[0]
    if not known:
        owners = sorted({row.version_of for row in own_rows.rows() if row.version_of})
        close = nearest(identifier, owners)
        return ConfigError(
            "CFG-ALIAS",
            f"{shown(name, 60)}: no version of {shown(identifier, 40)} is here",
            expected=f"one of {', '.join(owners)}" if owners else "an own LoRA that was trained here",
            fix=f"did you mean {close}?" if close else f"{shown(identifier, 40)} without @, or models list",
        )
    told = names_of(identifier)
    close = nearest(name.partition("@")[2], list(told))
    return ConfigError(
        "CFG-ALIAS",
        f"{shown(name, 60)} is no version of {identifier}",
        expected=", ".join(f"{identifier}@{one}" for one in told),
        fix=f"did you mean {identifier}@{close}?" if close else f"{identifier}@{max(known)}, the newest",
    )


def _path() -> Path:
    return data_folder() / "aliases.json"


def _no_aliases(path: Path, why: str) -> ConfigError:
    return ConfigError(
        "CFG-OWN",
        f"{path}: {shown(why, 80)}",
        expected="what `pokora models alias` writes",
        fix="delete it, and set your aliases again",
    )
