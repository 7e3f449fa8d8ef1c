"""Layout of a zip: every byte of it is a member's header or content, or its entry in the table of contents.

Sources: PKWARE APPNOTE 6.3 (4.3.7 local header, 4.3.9 data descriptor, 4.3.12 central directory, 4.5 extra
fields), and what common packers write.
"""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import IO

from pokora_anime.untrusted.untrusted_names import shown

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = 46
_DESCRIBED = 8  # flag: sizes and checksum follow the content
_KNOWN_FLAGS = (
    0x0806 | _DESCRIBED | 1
)  # UTF-8, how hard it was packed, encrypted (which is refused elsewhere)
_PIECE = 2**20
_SYSTEMS = (0, 3, 10, 19)  # where it was packed: DOS and FAT, Unix, NTFS, macOS
_VERSIONS = frozenset({10, 20, 21, 30, 31, 45, 46, 51, 52, 61, 62, 63})
_PLAIN, _FOLDER = 0x21, 0x10  # attributes of DOS: read only and to be archived, a folder
_MODES = frozenset({
    *(0o400, 0o440, 0o444, 0o600, 0o640, 0o644, 0o660, 0o664, 0o666),
    *(0o500, 0o550, 0o555, 0o700, 0o750, 0o755, 0o770, 0o775, 0o777),
})  # fmt: skip
# Extra fields of packers, by id: the lengths that each may have. Times, and numbers of user and group.
_EXTRA = {0x5455: (5, 9, 13), 0x7875: (11,), 0x5855: (8, 12), 0x000A: (32,)}


def check(file: IO[bytes], members: Sequence[zipfile.ZipInfo], table: int, length: int) -> None:
    """Raises ValueError unless the members lie one behind the other, from the first byte to the table.

    `table` is where the table of contents begins, `length` its length.
    """
    ordered = sorted(members, key=lambda member: member.header_offset)
    starts = [member.header_offset for member in ordered] + [table]
    if starts[0] != 0:
        raise ValueError("bytes that belong to no file lie before its first one")
    for member, (_, after) in zip(ordered, pairwise(starts), strict=True):
        begin = _content_start(file, member)
        end = begin + member.compress_size
        if end > after:
            raise ValueError(f"{shown(member.filename)} overlaps the file behind it")
        if not _is_descriptor(file, end, after - end, member):
            raise ValueError(f"{after - end} bytes behind {shown(member.filename)} belong to no file")
    if length != sum(_entry_length(file, member) for member in members):
        raise ValueError("its table of contents holds bytes that belong to no file")


def content(file: IO[bytes], member: zipfile.ZipInfo) -> Iterator[bytes]:
    """A member's content in pieces; it is stored or deflated. Raises ValueError, zlib.error, struct.error.

    Every packed byte takes part in it, and it has the length and the checksum that are stated.
    """
    at, left = _content_start(file, member), member.compress_size
    unpacker = zlib.decompressobj(-15) if member.compress_type == zipfile.ZIP_DEFLATED else None
    size, checksum = 0, 0
    while left:
        file.seek(at)
        packed = file.read(min(_PIECE, left))
        if not packed:
            raise ValueError("it is cut short")
        at, left = at + len(packed), left - len(packed)
        while packed:
            piece = packed if unpacker is None else unpacker.decompress(packed, _PIECE)
            packed = b"" if unpacker is None else unpacker.unconsumed_tail
            size, checksum = size + len(piece), zlib.crc32(piece, checksum)
            if size > member.file_size or (unpacker is not None and unpacker.unused_data):
                raise ValueError("it holds more than it states")
            yield piece
            if unpacker is not None and unpacker.eof and (packed or left):
                raise ValueError("packed bytes belong to nothing")
    if (unpacker is not None and not unpacker.eof) or size != member.file_size:
        raise ValueError("it is shorter than stated")
    if checksum != member.CRC:
        raise ValueError("its checksum is another")


def _content_start(file: IO[bytes], member: zipfile.ZipInfo) -> int:
    """Where the content begins; header and table of contents must agree about all of it."""
    file.seek(member.header_offset)
    (mark, needed, flags, method, time, date, checksum, packed, size, names, extra) = _LOCAL.unpack(
        file.read(_LOCAL.size)
    )
    name = file.read(names)
    if mark != b"PK\3\4" or flags != member.flag_bits or method != member.compress_type:
        raise ValueError(f"{shown(member.filename)} has another header than its entry")
    if flags & ~_KNOWN_FLAGS:
        raise ValueError(f"{shown(member.filename)} is of a kind that no packer here writes")
    if needed != member.extract_version or (date, time) != _packed_time(member):
        raise ValueError(f"{shown(member.filename)} has another version or date than its entry")
    stated = (checksum, packed, size)
    found = (member.CRC, member.compress_size, member.file_size)
    if stated != found and not (flags & _DESCRIBED and stated == (0, 0, 0)):
        raise ValueError(f"{shown(member.filename)} has other sizes than its entry")
    if name != _raw_name(member):
        raise ValueError(f"{shown(member.filename)} has two names")
    _check_extra(file.read(extra), member)
    return member.header_offset + _LOCAL.size + names + extra


def _entry_length(file: IO[bytes], member: zipfile.ZipInfo) -> int:
    """The length of a member's entry in the table of contents, which must carry nothing of its own."""
    if member.comment or member.internal_attr not in (0, 1):
        raise ValueError(f"{shown(member.filename)} has a comment")
    versions = {member.create_version, member.extract_version}
    if member.volume or member.create_system not in _SYSTEMS or not versions <= _VERSIONS:
        raise ValueError(f"{shown(member.filename)} is of a kind that no packer here writes")
    mode, attributes = divmod(member.external_attr, 0x10000)
    folder = _FOLDER if member.is_dir() else 0
    if attributes & ~_PLAIN not in (0, folder) or stat.S_IMODE(mode) not in _MODES | {0}:
        raise ValueError(f"{shown(member.filename)} has attributes that no packer writes")
    _check_extra(member.extra, member)
    return _CENTRAL + len(_raw_name(member)) + len(member.extra)


def _check_extra(data: bytes, member: zipfile.ZipInfo) -> None:
    while data:
        kind, length = struct.unpack("<HH", data[:4])
        if length not in _EXTRA.get(kind, ()) or len(data) < 4 + length:
            raise ValueError(f"{shown(member.filename)} carries data beside its content")
        data = data[4 + length :]


def _packed_time(member: zipfile.ZipInfo) -> tuple[int, int]:
    """A member's date and time as a header holds them."""
    year, month, day, hour, minute, second = member.date_time
    return (year - 1980) << 9 | month << 5 | day, hour << 11 | minute << 5 | second // 2


def _is_descriptor(file: IO[bytes], at: int, length: int, member: zipfile.ZipInfo) -> bool:
    """Whether `length` bytes behind the content are none, or the sizes that its header left out."""
    if not length:
        return not member.flag_bits & _DESCRIBED
    file.seek(at)
    told = struct.pack("<3L", member.CRC, member.compress_size, member.file_size)
    return bool(member.flag_bits & _DESCRIBED) and file.read(length) in (told, b"PK\7\x08" + told)


def _raw_name(member: zipfile.ZipInfo) -> bytes:
    return member.orig_filename.encode("utf-8" if member.flag_bits & 0x800 else "cp437")
