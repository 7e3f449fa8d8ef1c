"""Damage by chance: single bytes flipped, and files cut, doubled, emptied, filled or nested beyond reason."""

from __future__ import annotations

import json
import random
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

MIB = 2**20


def flip(data: bytes, at: int, bit: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1 << bit
    return bytes(changed)


def flips_of_folder(folder: Path, count: int, seed: int) -> Iterator[str]:
    """Flips `count` bits in files chosen by size and by name in turn; each is undone before the next."""
    dice = random.Random(seed)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_size]
    sizes = [path.stat().st_size for path in files]
    for number in range(count):
        path = dice.choices(files, sizes)[0] if number % 2 else dice.choice(files)
        honest = path.read_bytes()
        at, bit = dice.randrange(len(honest)), dice.randrange(8)
        path.write_bytes(flip(honest, at, bit))
        yield f"{path.relative_to(folder)} byte {at} bit {bit}"
        path.write_bytes(honest)


def flips_of_file(path: Path, count: int, seed: int) -> Iterator[str]:
    """Flips `count` bits anywhere in a file."""
    dice = random.Random(seed)
    honest = path.read_bytes()
    for _ in range(count):
        at, bit = dice.randrange(len(honest)), dice.randrange(8)
        path.write_bytes(flip(honest, at, bit))
        yield f"byte {at} bit {bit}"
    path.write_bytes(honest)


def mangle(folder: Path, count: int, seed: int) -> Iterator[str]:
    """Replaces one file's content by something hostile; each is undone before the next."""
    dice = random.Random(seed)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    ways = sorted(WAYS)
    for number in range(count):
        path, way = files[number % len(files)], ways[dice.randrange(len(ways))]
        honest = path.read_bytes()
        path.write_bytes(WAYS[way](honest, dice))
        yield f"{path.relative_to(folder)}: {way}"
        path.write_bytes(honest)


def copied(folder: Path, target: Path) -> Path:
    """A copy to damage, without what lies outside its record: lock, logs and reports."""
    shutil.rmtree(target, ignore_errors=True)
    return Path(shutil.copytree(folder, target, ignore=shutil.ignore_patterns(".lock", "logs", "reports")))


def _cut(data: bytes, dice: random.Random) -> bytes:
    return data[: dice.randrange(len(data) + 1)]


def _shuffled(data: bytes, dice: random.Random) -> bytes:
    size = max(1, len(data) // 16)
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    dice.shuffle(parts)
    return b"".join(parts)


def _numbers(data: bytes, dice: random.Random) -> bytes:
    """Every four bytes in a few places are a huge, negative or zero number: sizes, counts and offsets."""
    changed = bytearray(data)
    for _ in range(8):
        if len(changed) > 8:
            at = dice.randrange(len(changed) - 4)
            changed[at : at + 4] = dice.choice(
                [b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\x80\0\0\0"]
            )
    return bytes(changed)


def _png_of(size: int) -> bytes:
    """A PNG that says it is `size` pixels wide and high, of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packed = zlib.compressobj(9)
    rows = b"".join(packed.compress(b"\0" * (1 + size * 3)) for _ in range(min(size, 4000))) + packed.flush()
    head = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


WAYS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "cut": _cut,
    "empty": lambda data, dice: b"",
    "doubled": lambda data, dice: data + data,
    "shuffled": _shuffled,
    "huge numbers": _numbers,
    "noise": lambda data, dice: dice.randbytes(len(data)),
    "64 MiB of noise": lambda data, dice: dice.randbytes(64 * MIB),
    "64 MiB of zeros": lambda data, dice: bytes(64 * MIB),
    "nested lists": lambda data, dice: b"[" * 1_000_000,
    "nested objects": lambda data, dice: b'{"a":' * 500_000,
    "a million keys": lambda data, dice: json.dumps({str(n): n for n in range(1_000_000)}).encode(),
    "one long number": lambda data, dice: b"1" * 2_000_000,
    "one long line": lambda data, dice: b'"' + b"a" * 8 * MIB + b'"',
    "a picture of 60,000 pixels a side": lambda data, dice: _png_of(60_000),
    "a picture of 4,000 pixels a side": lambda data, dice: _png_of(4_000),
    "a zip of zeros": lambda data, dice: zlib.compress(bytes(256 * MIB), 9),
    "a PDF that nests": lambda data, dice: b"%PDF-1.7\n" + b"<<" * 400_000 + b">>" * 400_000,
    "a PDF that refers to itself": lambda data, dice: (
        b"%PDF-1.7\n1 0 obj<</Type/Catalog/Pages 1 0 R/Kids[1 0 R 1 0 R]/Parent 1 0 R/Count 9999999>>endobj\n"
        b"trailer<</Root 1 0 R/Size 2/Prev 0>>\nstartxref\n9\n%%EOF"
    ),
}
