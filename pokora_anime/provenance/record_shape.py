"""The shape of a run's record, told once for both of its readers. Torch-free.

`run_reading` takes a record that holds for what a finished run is; `verify.record.claimed_record` takes the
same bytes for a stranger's claim, in which every node may be impossible and is a finding of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from pokora_anime.untrusted.strict_json import Json
from pokora_anime.untrusted.untrusted_names import shown

# Shapes: a type, [shape of every item], {"": shape of every value} or {key: shape}.
NODE: Mapping[str, object] = {
    "id": str,
    "op": str,
    "params": dict,
    "parents": [str],
    "inputs": [str],
    "weights": {"": str},
    "code": str,
    "environment": dict,
    "output": str,
}
_COMMON: Mapping[str, object] = {"command": str, "config": dict, "guard": object}
_DELIVERED: Mapping[str, Mapping[str, object]] = {
    "video": {"video": str, "frames": int, "fps": int, "width": int, "height": int},
    "stills": {"stills": [str]},
}
RECORD: Mapping[str, object] = {
    "format": int,
    "status": str,
    "key": str,
    "summary": dict,
    "nodes": list,
    "results": [str],
    "pictures": {"": {"node": str, "array": str}},
    "weights": {"": {"row": str, "files": {"": str}}},
    "files": {"": str},
    "ledger": {"lines": int, "head": str},
    "code": {"version": str, "sha256": str},
    "environment": dict,
}
FRAMES: Mapping[str, object] = {
    **dict.fromkeys(("count", "fps", "width", "height"), int),
    **{key: [str] for key in ("rgb_sha256", "yuv_sha256")},
}


def summary_misfit(summary: Json) -> str:
    """How a summary is not that of a finished video or stills; "" if it is."""
    command = summary.get("command") if isinstance(summary, dict) else None
    delivered = _DELIVERED.get(command) if isinstance(command, str) else None
    if delivered is None:
        return "an unknown command"
    return misfit(summary, {**_COMMON, **delivered}, "summary")


def misfit(value: Json, shape: object, where: str = "") -> str:
    """Where and how a value has another shape than told; "" if it fits."""
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{where} is no list"
        inner = cast(list[object], shape)[0]
        return next((found for item in value if (found := misfit(item, inner, f"{where}[]"))), "")
    if isinstance(shape, dict):
        return _misfit_table(value, cast(dict[str, object], shape), where)
    fits = isinstance(value, cast(type, shape)) and not (shape is int and isinstance(value, bool))
    return "" if fits else f"{where} is no {cast(type, shape).__name__}"


def _misfit_table(value: Json, shape: dict[str, object], where: str) -> str:
    if not isinstance(value, dict):
        return f"{where} is no object"
    keys = list(value) if "" in shape else list(shape)
    if set(keys) != set(value):
        return f"{where} has the keys {shown(sorted(value), 200)}, expected {', '.join(keys)}"
    pairs = ((key, shape.get("", shape.get(key))) for key in keys)
    return next((found for key, inner in pairs if (found := misfit(value[key], inner, f"{where}.{key}"))), "")
