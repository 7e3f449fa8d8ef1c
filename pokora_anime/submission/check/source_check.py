"""The source in a bundle, judged whole: every file by its place, what renders by this install's twin."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

from pokora_anime.findings import Finding, Severity
from pokora_anime.submission import file_names
from pokora_anime.submission.bundle import source_tree
from pokora_anime.submission.bundle.manifest import Manifest
from pokora_anime.submission.bundle.rewritten_files import same_code
from pokora_anime.untrusted.container import Unreadable, finding
from pokora_anime.untrusted.folder_listing import Folder
from pokora_anime.untrusted.read_limits import Limits

PREFIX = f"{file_names.SOURCE}/"
MOST_TEXT = 2 * 2**20  # bytes of one file that is read by people
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0e-\x1f\x7f]")
_DATA = (".safetensors", ".json")


def check(folder: Folder, told: Manifest, limits: Limits) -> Iterator[Finding]:
    """BND-SOURCE: the package's hash, the data beside equal code, and text that is text."""
    if told.source["package_sha256"] != package_hash_of(folder):
        yield finding("BND-SOURCE", "the source is not the one that the manifest names", file_names.SOURCE)
    if told.source["changed"]:
        yield _review("the source has changes that no commit holds", file_names.SOURCE)
    yield from _data(folder, same_code(told))
    for name in sorted(folder.sizes):
        inside = name.removeprefix(PREFIX)
        if inside != name and not inside.endswith(_DATA) and (reason := _no_text(folder, name)):
            yield finding("BND-SOURCE", "a file of the source that is no text", name, reason)


def package_hash_of(folder: Folder) -> str:
    """The package's hash over the bundle's source."""
    listed = [name for name in folder.sizes if name.startswith(PREFIX + source_tree.PACKAGE)]
    return source_tree.package_hash(
        {name.removeprefix(PREFIX): _read(folder, name) for name in listed if name.endswith(".py")}
    )


def _data(folder: Folder, same: bool) -> Iterator[Finding]:
    """What renders and is no code: equal to what this install has, name by name."""
    ours = {name: path for name, path in source_tree.installed().items() if not name.endswith(".py")}
    theirs = {
        name.removeprefix(PREFIX)
        for name in folder.sizes
        if source_tree.rendering(name.removeprefix(PREFIX)) and not name.endswith(".py")
    }
    for name in sorted(theirs | set(ours)):
        if name in theirs:
            if name in ours and folder.readable_sha256(PREFIX + name) == _file_hash(ours[name]):
                continue
            message = "a data file that is not the one of this install, which has the same code"
        elif source_tree.optional(name):
            continue
        else:
            message = "a data file is missing that this install has, which has the same code"
        if same:
            yield finding("BND-SOURCE", message, PREFIX + name)
        else:
            message = "a data file that is not the one of this install: see `pokora reproduce --trust-source`"
            yield _review(message, PREFIX + name)


def _no_text(folder: Folder, name: str) -> str:
    if folder.sizes[name] > MOST_TEXT:
        return f"{folder.sizes[name]} bytes"
    data = _read(folder, name)
    if odd := _CONTROL.search(data):
        return f"the character U+{odd.group()[0]:04X}"
    try:
        data.decode()
    except UnicodeDecodeError:
        return "it is no UTF-8"
    return ""


def _read(folder: Folder, name: str) -> bytes:
    try:
        return folder.read(name, max(MOST_TEXT, folder.sizes[name]))
    except Unreadable:
        return b""


@cache
def _file_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _review(message: str, where: str) -> Finding:
    return replace(finding("BND-SOURCE", message, where), severity=Severity.review)
