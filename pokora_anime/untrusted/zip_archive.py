"""A run in a zip: its table of contents is checked before a single member is unpacked."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO

from pokora_anime.findings import Finding
from pokora_anime.untrusted import zip_layout
from pokora_anime.untrusted.container import Unreadable, check_size, double_names, finding, too_many
from pokora_anime.untrusted.read_limits import Limits
from pokora_anime.untrusted.untrusted_names import problem, shown

_END = struct.Struct("<4s4H2LH")  # end of central directory record
_ENCRYPTED, _UTF8 = 1, 0x800
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


def unpack(path: Path, target: Path, limits: Limits) -> list[Finding]:
    """Unpacks the run, at the zip's top or in its only folder, into the empty folder `target`.

    What a finding concerns is left out. Raises Unreadable SRC-ZIP, SRC-SIZE or SRC-COUNT.
    """
    with path.open("rb") as file:
        try:
            end = _check_table(file, limits)
            opened = zipfile.ZipFile(file)
            zip_layout.check(file, opened.infolist(), *end)
        except (*_BROKEN, ValueError, struct.error) as error:
            raise _no_zip(str(error)) from error
        members, found = _sort(opened.infolist(), limits)
        for name, member in members.items():
            found += _write(file, member, target / name, name)
        return found


def _sort(members: list[zipfile.ZipInfo], limits: Limits) -> tuple[dict[str, zipfile.ZipInfo], list[Finding]]:
    """What may be unpacked, by its name in the run's folder, and findings about the rest."""
    judged = [(member, _refused(member, limits)) for member in members]
    found = [reason for _, reason in judged if reason is not None]
    files = [member for member, reason in judged if reason is None and not member.is_dir()]
    top = _top([member.filename for member in files])
    kept: dict[str, zipfile.ZipInfo] = {}
    total = 0
    for member in files:
        name = member.filename.removeprefix(top)
        total += member.file_size
        check_size(name, member.file_size, total, limits)
        if name in kept:
            found.append(finding("SRC-DUPLICATE", "two members of the zip have one name", name))
        kept.setdefault(name, member)
    return kept, found + double_names(kept)


def _write(file: IO[bytes], member: zipfile.ZipInfo, path: Path, name: str) -> list[Finding]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as target:
            for piece in zip_layout.content(file, member):
                target.write(piece)
    except (*_BROKEN, ValueError, struct.error, OSError) as error:
        path.unlink(missing_ok=True)
        return [finding("SRC-DAMAGED", "a member of the zip cannot be unpacked", name, error)]
    return []


def _check_table(file: IO[bytes], limits: Limits) -> tuple[int, int]:
    """Where the table of contents begins, and its length; it must be small, and nothing may follow it.

    Checked before zipfile reads it whole. Raises Unreadable.
    """
    size = file.seek(0, os.SEEK_END)
    if size > limits.archive_bytes:
        raise Unreadable("SRC-SIZE", f"a zip of {size} bytes", expected=f"at most {limits.archive_bytes}")
    file.seek(max(0, size - _END.size))
    data = file.read(_END.size)
    if len(data) < _END.size or data[:4] != b"PK\5\6":
        raise _no_zip("it does not end with a table of contents")
    _, disk, first_disk, here, entries, length, start, comment = _END.unpack(data)
    if disk or first_disk or here != entries or comment:
        raise _no_zip("it has several parts or a comment")
    if entries == 0xFFFF or 0xFFFFFFFF in (length, start):
        raise _no_zip("it is of the 64-bit kind, which no bundle needs")
    if entries > limits.files or length > limits.directory_bytes:
        raise too_many(limits.files)
    return start, length


def _refused(member: zipfile.ZipInfo, limits: Limits) -> Finding | None:
    name = member.filename
    mode = member.external_attr >> 16
    if stat.S_ISLNK(mode):
        return finding("SRC-SYMLINK", "a symbolic link in the zip", name)
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return finding("SRC-SPECIAL", "neither a file nor a folder", name, stat.filemode(mode))
    # zipfile cuts a name at its first NUL and keeps the whole one as orig_filename.
    if reason := problem(name.removesuffix("/")) or problem(member.orig_filename.removesuffix("/")):
        return finding("SRC-NAME", f"{reason} names a file", member.orig_filename)
    if name.count("/") > limits.depth:
        return finding("SRC-NAME", "too many folders in folders", name)
    if not (name.isascii() or member.flag_bits & _UTF8):
        return finding("SRC-NAME", "a name that is not UTF-8 names a file", name)
    if member.flag_bits & _ENCRYPTED or member.compress_type not in (
        zipfile.ZIP_STORED,
        zipfile.ZIP_DEFLATED,
    ):
        return finding("SRC-ZIP", "encrypted or packed in an unknown way", name)
    if (
        member.file_size > limits.zip_ratio_from
        and member.file_size > limits.zip_ratio * member.compress_size
    ):
        sizes = f"{member.compress_size} bytes that unpack to {member.file_size}"
        return finding("SRC-BOMB", "a zip bomb", name, sizes)
    return None


def _top(names: list[str]) -> str:
    """The only folder that all files lie in, with its /; "" where they lie at the top."""
    tops = {name.partition("/")[0] if "/" in name else "" for name in names}
    return f"{tops.pop()}/" if len(tops) == 1 and "" not in tops else ""


def _no_zip(reason: str) -> Unreadable:
    return Unreadable("SRC-ZIP", shown(reason), expected="a zip archive as `pokora` writes it")
