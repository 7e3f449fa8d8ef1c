"""A bundle in the hands of an entrant: all that follows from a change is computed and signed again."""

from __future__ import annotations

import json
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from pokora_anime.signing import statement
from pokora_anime.submission import file_names
from pokora_anime.submission.bundle import judge_readme, manifest, ro_crate, seal
from pokora_anime.submission.bundle.credential_bytes import MP4_HEAD
from pokora_anime.submission.bundle.manifest import Manifest
from pokora_anime.submission.bundle.source_tree import PACKAGE, package_hash
from support import forged_run, once_per_session, submission_checkout

Told = dict[str, Any]
ACTIONS = b"\xa1gactions\x80"


@cache
def honest() -> Path:
    """The folder of an honest draft of one clip and one still: read it, and edit copies."""
    return once_per_session.made("unpacked", _honest)


def _honest(root: Path) -> Path:
    with zipfile.ZipFile(submission_checkout.bundle()) as opened:
        opened.extractall(root)
    return root / submission_checkout.bundle().stem


def copied(target: Path) -> Path:
    """A copy of the honest bundle's folder below `target`."""
    return Path(shutil.copytree(honest(), target / "bundle", copy_function=shutil.copyfile))


def told(folder: Path) -> Told:
    """The manifest as data."""
    return json.loads((folder / file_names.MANIFEST).read_bytes())


def run(folder: Path, command: str = "video") -> Path:
    """The bundle's run of a command."""
    return next((folder / file_names.RUNS / command).iterdir())


def mend(folder: Path, change: Callable[[Told], object] = lambda told: None, *, rewrite: bool = True) -> None:
    """What an entrant can do after an edit: pages, hashes, checksums and signature made anew, for a manifest
    that `change` has edited; with `rewrite=False` the pages stay as they are.
    """
    table = told(folder)
    change(table)
    table["files"] = {}
    found = Manifest(content=table)
    files = _files(folder)  # read once: there are hundreds of them
    if rewrite:
        files[file_names.README] = judge_readme.readme(found)
        sizes = {name: len(data) for name, data in files.items()}
        sizes = {
            name: size for name, size in sizes.items() if file_names.sealed(name) and name != file_names.CRATE
        }
        files[file_names.CRATE] = ro_crate.metadata(found, json.loads(files[file_names.WEIGHTS]), sizes)
        for name in (file_names.README, file_names.CRATE):
            (folder / name).write_bytes(files[name])
    listed = {name: files[name] for name in sorted(files) if file_names.sealed(name)}
    digests = manifest.hashes(listed)
    table["files"] = digests
    listed[file_names.MANIFEST] = manifest.to_bytes(table)
    copies = {name: data for name, data in files.items() if file_names.credential(name)}
    _sign(
        folder, listed, copies, digests | manifest.hashes({file_names.MANIFEST: listed[file_names.MANIFEST]})
    )


def sign(folder: Path, listed: dict[str, bytes]) -> None:
    """Writes manifest, checksums and signature for these sealed files, the manifest among them."""
    copies = {name: data for name, data in _files(folder).items() if file_names.credential(name)}
    _sign(folder, listed, copies, manifest.hashes(listed))


def _sign(
    folder: Path, listed: dict[str, bytes], copies: dict[str, bytes], digests_listed: dict[str, str]
) -> None:
    (folder / file_names.MANIFEST).write_bytes(listed[file_names.MANIFEST])
    sums = manifest.sums(digests_listed)
    (folder / file_names.SUMS).write_bytes(sums)
    digests = manifest.hashes(
        {file_names.MANIFEST: listed[file_names.MANIFEST], file_names.SUMS: sums} | copies
    )
    draft = json.loads(listed[file_names.MANIFEST])["draft"]
    (folder / file_names.STATEMENT).write_bytes(statement.seal(seal.build(digests, draft), forged_run.key()))


def source_hash(folder: Path) -> str:
    """The package's hash over the bundle's source as it lies there."""
    prefix = f"{file_names.SOURCE}/{PACKAGE}"
    found = {name: data for name, data in _files(folder).items() if name.startswith(prefix)}
    return package_hash({name.removeprefix(f"{file_names.SOURCE}/"): data for name, data in found.items()})


def box(kind: bytes, content: bytes) -> bytes:
    """A box of an MP4 or of JUMBF."""
    return struct.pack(">I4s", len(content) + 8, kind) + content


def labelled(label: str, *inside: bytes) -> bytes:
    """A JUMBF box with a label and what it holds."""
    return box(b"jumb", box(b"jumd", bytes(16) + b"\x03" + label.encode() + b"\0") + b"".join(inside))


def store(*more: bytes) -> bytes:
    """Content Credentials of the form that the builder's have, with `more` among the assertions."""
    actions = labelled("c2pa.actions.v2", box(b"cbor", ACTIONS))
    claim = labelled("c2pa.claim.v2", box(b"cbor", b"\xa0"))
    assertions = labelled("c2pa.assertions", actions, *more)
    return labelled("c2pa", labelled("urn:c2pa:0e8fbe00", assertions, claim))


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def signed_png(plain: bytes, carried: bytes) -> bytes:
    """A PNG with credentials behind its header."""
    return plain[:33] + chunk(b"caBX", carried) + plain[33:]


def signed_mp4(plain: bytes, carried: bytes, *, moved: int = 0) -> bytes:
    """An MP4 with credentials behind its first box; `moved` adds to the samples' way."""
    first = int.from_bytes(plain[:4], "big")
    added = box(b"uuid", MP4_HEAD + carried)
    rest = bytearray(plain[first:])
    at = rest.index(b"stco")
    for place in range(at + 12, at + 12 + 4 * int.from_bytes(rest[at + 8 : at + 12], "big"), 4):
        offset = int.from_bytes(rest[place : place + 4], "big") + len(added) + moved
        rest[place : place + 4] = offset.to_bytes(4, "big")
    return plain[:first] + added + bytes(rest)


def with_copies(folder: Path) -> None:
    """Puts honest signed copies into the bundle; nobody validates their signature without the extra."""
    place = folder / file_names.CREDENTIALS
    place.mkdir()
    (place / "still-1.png").write_bytes(signed_png((folder / file_names.still(0)).read_bytes(), store()))
    (place / "video.mp4").write_bytes(signed_mp4((folder / file_names.VIDEO).read_bytes(), store()))


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
