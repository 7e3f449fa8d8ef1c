"""POLICY of the weights: registered files, those that the config asks for, and no others."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from functools import cache
from pathlib import PurePath
from typing import cast

from pokora_anime.catalogue import finishing_networks, registry, weight_hashes
from pokora_anime.catalogue.registry import JUDGE, Row
from pokora_anime.catalogue.weight_hashes import MANIFEST
from pokora_anime.findings import Finding, Severity
from pokora_anime.provenance.operations import Makes, Need, of
from pokora_anime.rules.case import uses
from pokora_anime.schema.settings import ControlKind, ControlNetwork, RunConfig, VideoConfig
from pokora_anime.system.files.installed_package import INSTALLED
from pokora_anime.timeline import choreography_plan, shot_plan
from pokora_anime.untrusted.container import finding
from pokora_anime.untrusted.untrusted_names import brief, shown
from pokora_anime.verify.policy.config_params import loras
from pokora_anime.verify.record.claimed_record import Record, Step

# Parts of the base that a node may name, beside rows by their id and roles of the registry.
BASE_PARTS = frozenset({"text", "unet", "motion", "vae"})
TENSORS = (".safetensors", ".onnx")


def check(record: Record, config: RunConfig) -> Iterable[Finding]:
    """POL-WEIGHTS for weights that are not registered or not asked for, POL-UNCHECKED for a person."""
    rows = {row.id: row for row in registry.rows()}
    asked = {use.weights.id for use in uses(config) if use.weights is not None and use.loaded}
    unknown: list[str] = []
    for entry in record.weights.values():
        name, files = str(entry["row"]), cast(dict[str, str], entry["files"])
        if name not in rows or name not in asked:
            message = "weights that the config does not ask for"
            yield finding(
                "POL-WEIGHTS", message, f"weights {shown(name, 60)}", expected=", ".join(sorted(asked))
            )
            continue
        yield from _files(rows[name], files)
        if lacking := missing_files(rows[name], files):
            message, fix = "weights without files that they consist of", "render again with whole weights"
            yield finding("POL-WEIGHTS", message, f"weights {name}", ", ".join(lacking[:4]), fix=fix)
        known = promised(rows[name])
        unknown += [f"{name}/{file}" for file in files if file not in known and _loads(rows[name], file)]
    yield from _uses(record, config, rows)
    if unknown:
        yield Finding(
            code="POL-UNCHECKED",
            severity=Severity.review,
            message="no hash of these weights is known here: `pokora models fetch`, or a replay, tells",
            got=shown(", ".join(unknown)),
            where="weights",
        )


def promised(row: Row) -> Mapping[str, str]:
    """sha256 of a row's files by name, as far as package, models.lock of this machine and registry know."""
    return {
        **(_shipped(row.repo, row.folder) if row.packaged else {}),
        **weight_hashes.locked(row),
        **row.sha256,
    }


def _files(row: Row, files: Mapping[str, str]) -> Iterable[Finding]:
    known = promised(row)
    for name, digest in files.items():
        where = f"weights {row.id}/{shown(name, 60)}"
        if not _loads(row, name):
            yield finding("POL-WEIGHTS", "a file that the registry does not know", where)
        elif known.get(name, digest) != digest:
            yield finding(
                "POL-WEIGHTS",
                "altered weights",
                where,
                f"sha256 {brief(digest)}",
                expected=f"sha256 {known[name][:12]}",
                fix="verify with the version of pokora_anime that rendered the run" if row.packaged else "",
            )


def missing_files(row: Row, files: Mapping[str, str]) -> list[str]:
    """Files of a row that a record of it, or of a part of a base (a folder), must name and does not.

    At least one file holds tensors; of each folder that a file lies in, every file is there.
    """
    if not any(PurePath(name).suffix in TENSORS for name in files):
        return ["the tensors themselves"]
    folders = {name.rpartition("/")[0] for name in files}
    patterns = [one for one in row.files if one.rpartition("/")[0] in folders and one != "model_index.json"]
    lacking = [one for one in patterns if not any(fnmatchcase(name, one) for name in files)]
    shipped = _shipped(row.repo, row.folder) if row.packaged else dict[str, str]()
    return lacking + [
        name
        for name in shipped
        if name not in files and any(fnmatchcase(name, one) for one in patterns) and name not in lacking
    ]


def _loads(row: Row, name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in row.files)


def _uses(record: Record, config: RunConfig, rows: Mapping[str, Row]) -> Iterable[Finding]:
    """Each node names the weights that its operation loads, under the role that they play."""
    moving, still = set(loras(config, moving=True)), set(loras(config, moving=False))
    for step in record.steps:
        operation = of(step.op)
        merged = moving if operation.makes is Makes.segment else still
        used: set[str] = set()
        for role, digest in step.weights.items():
            row = rows.get(str(record.weights.get(digest, {}).get("row")))
            if row is None or row.kind.value not in operation.loads or not _plays(row, role):
                message = "weights that this operation does not load"
                yield finding(
                    "POL-WEIGHTS", message, step.name, f"{shown(role, 40)}: {row.id if row else '?'}"
                )
            elif row.kind.value.endswith("_lora"):
                used.add(row.id)
        if lacking := _roles(step, config) - set(step.weights):
            message = "an operation without weights that it needs"
            yield finding("POL-WEIGHTS", message, step.name, expected=", ".join(sorted(lacking)))
        if "loras" in operation.follows and used != merged:
            got, wanted = ", ".join(sorted(used)) or "none", ", ".join(sorted(merged)) or "none"
            yield finding(
                "POL-WEIGHTS", "other LoRAs than the config asks for", step.name, got, expected=wanted
            )


def _roles(step: Step, config: RunConfig) -> frozenset[str]:
    """The roles of the weights that an operation cannot do without; LoRAs aside."""
    operation = of(step.op)
    return operation.needs.union(*(_needed(need, step, config) for need in operation.needs_of))


def _needed(need: Need, step: Step, config: RunConfig) -> set[str]:
    if need is Need.adapter:
        return {config.base.motion_adapter}
    if need is Need.judge:
        return {JUDGE}
    if need is Need.identity:
        adapted = isinstance(config, VideoConfig) and shot_plan.adapted(config)
        return {"ip_adapter"} if adapted else set()
    if need is Need.controlnets:
        control = step.params.get("control")
        kinds = control.get("kinds") if isinstance(control, dict) else None
        union = isinstance(config, VideoConfig) and config.control.network is ControlNetwork.union
        return {
            "controlnet_union" if union else f"controlnet_{kind}"
            for kind in (kinds if isinstance(kinds, list) else [])
        }
    if not isinstance(config, VideoConfig) and not of(step.op).in_stills:
        return set()
    if need is Need.finishing:
        return {wish.name for wish in finishing_networks.asked(config)}
    assert isinstance(config, VideoConfig)
    read = choreography_plan.read_kinds(config) if need is Need.read_extractors else config.control.kinds
    return {f"{kind.value}_extractor" for kind in set(read) - {ControlKind.canny}}


def _plays(row: Row, role: str) -> bool:
    return role in (row.id, row.role) or (role in BASE_PARTS and row.kind.value in ("base", "vae"))


@cache
def _shipped(repo: str, folder: str) -> Mapping[str, str]:
    """What the package's own manifest says of the weights in one of its folders."""
    root = INSTALLED / repo.removeprefix("package:")
    listed = cast(dict[str, str], json.loads((root / MANIFEST).read_text(encoding="utf-8")))
    prefix = f"{folder}/" if folder else ""
    return {name.removeprefix(prefix): digest for name, digest in listed.items() if name.startswith(prefix)}
