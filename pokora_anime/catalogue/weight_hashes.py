"""sha256 of weight files against what is promised of them. Torch-free."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from typing import cast

from pokora_anime.catalogue import lockfile
from pokora_anime.catalogue.hash_memory import remembered, weight_hash
from pokora_anime.catalogue.registry import Row
from pokora_anime.catalogue.weights_advice import reinstall_or_fetch
from pokora_anime.errors import WeightsError

MANIFEST = "MANIFEST.json"
# Tensors that cannot run code, and the texts beside them; a graph only where its hash is registered.
PLAIN = frozenset({".safetensors", ".csv", ".json", ".txt"})
GRAPHS = frozenset({".onnx"})


def files(folder: Path, patterns: Iterable[str]) -> list[Path] | None:
    """The files that the patterns name, sorted; None if a pattern finds nothing."""
    found: set[Path] = set()
    for pattern in patterns:
        matches = [path for path in folder.glob(pattern) if path.is_file()]
        if not matches:
            return None
        found.update(matches)
    return sorted(found)


def promised(row: Row, folder: Path) -> dict[str, str]:
    """sha256 by loaded name, as far as the family's manifest, models.lock or the registry know it."""
    loaded = {name: digest for name, digest in row.sha256.items() if name in row.files}
    return {**_manifest(row, folder), **locked(row), **loaded}


def verify(row: Row, folder: Path, *, fresh: bool = False) -> dict[str, str]:
    """Hash a row's files and compare with what is promised of them; `fresh` reads every byte again.

    Returns sha256 by file name relative to `folder`. Raises WeightsError WGT-MISSING (a file is missing),
    WGT-DAMAGED (a file is damaged, or is not the one that was registered), WGT-UNSAFE (it may not be opened).
    """
    present = files(folder, row.files)
    if present is None:
        raise missing(row, folder)
    for path in present:
        _refuse_unsafe(row, path.relative_to(folder).as_posix())
    found = {path.relative_to(folder).as_posix(): weight_hash(path, fresh=fresh) for path in present}
    expected = promised(row, folder)
    # A pattern is content with one file; the manifest also knows the other shards and their index.
    lacking = [
        name
        for name in expected
        if name not in found and any(fnmatchcase(name, pattern) for pattern in row.files)
    ]
    if lacking:
        raise WeightsError("WGT-MISSING", f"{row.id} lacks {', '.join(lacking)}", fix=reinstall_or_fetch(row))
    for name, digest in found.items():
        if name in expected and expected[name] != digest:
            raise WeightsError(
                "WGT-DAMAGED",
                f"{row.id}: {name} is damaged (sha256 {digest[:12]})",
                expected=f"sha256 {expected[name][:12]}",
                fix="reinstall pokora_anime"
                if row.packaged
                else f"delete {(folder / name).resolve()} and fetch it again: {reinstall_or_fetch(row)}",
            )
    return found


def unread(places: Iterable[tuple[Row, Path]]) -> int:
    """Bytes that `verify` would have to read of rows in their folders: what was not hashed before."""
    present = (path for row, folder in places for path in files(folder, row.files) or ())
    return sum(path.stat().st_size for path in present if not remembered(path))


def _refuse_unsafe(row: Row, name: str) -> None:
    suffix = PurePath(name.removesuffix(".index.json")).suffix.lower()
    if suffix in PLAIN or (suffix in GRAPHS and name in row.sha256):
        return
    raise WeightsError(
        "WGT-UNSAFE",
        f"{row.id}: {name} is no weights file that may be opened",
        expected="safetensors, or ONNX whose sha256 is registered",
        fix=f"remove it, then {reinstall_or_fetch(row)}",
    )


def locked(row: Row) -> dict[str, str]:
    """What models.lock says of the files that a run loads."""
    entry = lockfile.entry(row)
    if entry is None:
        return {}
    prefix = f"{row.folder}/" if row.folder else ""
    fetched = {name.removeprefix(prefix): file.sha256 for name, file in entry.files.items()}
    return {**fetched, **{name: one.sha256 for name, one in entry.conversions.items()}}


def missing(row: Row, folder: Path) -> WeightsError:
    """The error for a row whose files are not all there."""
    lacking = [pattern for pattern in row.files if not any(folder.glob(pattern))]
    return WeightsError(
        "WGT-MISSING",
        f"{row.id} lacks {', '.join(lacking)}",
        fix=reinstall_or_fetch(row),
    )


def _manifest(row: Row, folder: Path) -> Mapping[str, str]:
    """What the family's MANIFEST.json says about the files in `folder`."""
    if not row.packaged:
        return {}
    root = folder if not row.folder else folder.parents[len(Path(row.folder).parts) - 1]
    try:
        stored = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    listed = stored.get("files", stored)
    prefix = f"{row.folder}/" if row.folder else ""
    return {
        name.removeprefix(prefix): _digest(entry)
        for name, entry in listed.items()
        if name.startswith(prefix) and _digest(entry)
    }


def _digest(entry: object) -> str:
    value = cast(dict[str, object], entry).get("sha256") if isinstance(entry, dict) else entry
    return value if isinstance(value, str) and len(value) == 64 else ""
