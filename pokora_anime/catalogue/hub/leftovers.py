"""What pokora fetched or made that no row of the registry names any more. Torch-free.

The hub's cache is shared with other programs: only files that models.lock says were fetched here are
ever offered for deletion.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from pokora_anime.catalogue import lockfile, registry
from pokora_anime.catalogue.hub.hub_client import PARTIAL
from pokora_anime.catalogue.registry_row import Row, matches
from pokora_anime.catalogue.weight_paths import hub_cache, repo_cache
from pokora_anime.system.files.atomic_files import writing
from pokora_anime.system.files.user_folder import data_folder


def find() -> list[Path]:
    """What can go: files in the hub's cache, broken-off downloads, conversions, copies of LoRAs and bases."""
    rows = registry.rows()
    found = [path for path in _fetched(rows) if path.exists() or path.is_symlink()]
    found += sorted(hub_cache().glob(f"models--*/blobs/*{PARTIAL}"))
    ids = {row.id for row in rows}
    for name in ("converted", "loras", "bases"):
        found += [path for path in sorted((data_folder() / name).glob("*")) if path.name not in ids]
    return list(dict.fromkeys(found))


def size(paths: Iterable[Path]) -> int:
    """Bytes that deleting them frees; a blob that a file outside this list needs is not counted."""
    gone = list(paths)
    return sum(_bytes(path) for path in [*gone, *_orphans(gone)])


def remove(paths: Iterable[Path]) -> None:
    """Delete them, blobs that nothing links to any more, and their lock entries. MachineError SYS-*."""
    gone = list(paths)
    for path in [*gone, *_orphans(gone)]:
        with writing(path.parent):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    before = lockfile.read()
    current = {row.id: entry for row in registry.rows() if (entry := lockfile.entry(row)) is not None}
    if before.former or before.rows != current:
        lockfile.write(replace(before, rows=current, former=()))


def _fetched(rows: tuple[Row, ...]) -> Iterator[Path]:
    known = lockfile.read()
    by_id = {row.id: row for row in rows}
    sources = [(entry.repo, entry.revision, tuple(entry.files)) for entry in known.rows.values()]
    sources += [(former.repo, former.revision, former.files) for former in known.former]
    named = {
        (entry.repo, entry.revision, path)
        for name, entry in known.rows.items()
        for path in entry.files
        if name in by_id and _still(by_id[name], entry.repo, entry.revision, path)
    }
    for repo, revision, files in sources:
        for path in files:
            if revision and (repo, revision, path) not in named:
                yield repo_cache(repo) / "snapshots" / revision / path


def _still(row: Row, repo: str, revision: str, path: str) -> bool:
    """Whether the row names that file of that commit."""
    prefix = f"{row.folder}/" if row.folder else ""
    return lockfile.names(row, repo, revision) and any(matches(path, prefix + name) for name in row.published)


def _orphans(gone: list[Path]) -> list[Path]:
    """Blobs that only the links in `gone` lead to."""
    found: list[Path] = []
    for link in gone:
        if not link.is_symlink():
            continue
        blob = link.resolve()
        home = next((parent for parent in link.parents if parent.name == "snapshots"), None)
        others = (
            []
            if home is None
            else [path for path in home.rglob("*") if path.is_symlink() and path not in gone]
        )
        if blob.exists() and all(path.resolve() != blob for path in others):
            found.append(blob)
    return list(dict.fromkeys(found))


def _bytes(path: Path) -> int:
    if path.is_symlink():
        return 0
    if path.is_dir():
        return sum(inner.stat().st_size for inner in path.rglob("*") if inner.is_file())
    return path.stat().st_size if path.exists() else 0
