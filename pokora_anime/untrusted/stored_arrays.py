"""Stored arrays out of a safetensors file, by a reader that believes nothing its header says."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from pokora_anime.untrusted import strict_json
from pokora_anime.untrusted.read_limits import Limits
from pokora_anime.untrusted.untrusted_names import shown

DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "|u1",
    "BOOL": "|b1",
}
MAX_ARRAYS, MAX_AXES = 64, 8


class BadArrays(ValueError):
    """A file that is no safetensors file, or whose header does not fit its content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The arrays of one file, read-only, and the header's metadata."""

    arrays: dict[str, npt.NDArray[np.generic]]
    metadata: dict[str, str]


def parse(data: bytes, limits: Limits) -> Stored:
    """The arrays in `data`; every byte of it belongs to exactly one of them. Raises BadArrays."""
    if len(data) < 8:
        raise BadArrays("shorter than a header's length")
    length: int = struct.unpack("<Q", data[:8])[0]
    if length > min(limits.header_bytes, len(data) - 8):
        raise BadArrays(f"a header of {length} bytes in a file of {len(data)}")
    try:
        header = strict_json.parse(data[8 : 8 + length], limits)
    except strict_json.BadJson as error:
        raise BadArrays(f"header: {error}") from error
    if not isinstance(header, dict) or len(header) > MAX_ARRAYS:
        raise BadArrays("the header is no table of arrays")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise BadArrays("the metadata is no table of text")
    content = memoryview(data)[8 + length :]
    arrays = {name: _array(name, entry, content) for name, entry in header.items()}
    _check_cover(header, len(content))
    return Stored(arrays=arrays, metadata=cast(dict[str, str], metadata))


def _array(name: str, entry: strict_json.Json, content: memoryview) -> npt.NDArray[np.generic]:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise BadArrays(f"{shown(name, 60)} is described in other terms than dtype, shape and data_offsets")
    kind = entry["dtype"]
    if not isinstance(kind, str) or kind not in DTYPES:
        raise BadArrays(f"{shown(name, 60)} has the unknown dtype {shown(kind, 20)}")
    shape = _sizes(f"the shape of {name}", entry["shape"])
    start, stop = _span(entry)
    dtype = np.dtype(DTYPES[kind])
    if stop > len(content) or stop - start != math.prod(shape) * dtype.itemsize:
        raise BadArrays(
            f"{shown(name, 60)} claims shape {shape} for bytes {start} to {stop} of {len(content)}"
        )
    return np.frombuffer(content[start:stop], dtype).reshape(shape)


def _sizes(name: str, value: strict_json.Json, least: int = 1) -> tuple[int, ...]:
    """Up to MAX_AXES whole numbers of at least `least`."""
    if not isinstance(value, list) or len(value) > MAX_AXES:
        raise BadArrays(f"{shown(name, 60)} is {shown(value, 60)}")
    sizes = [size for size in value if isinstance(size, int) and not isinstance(size, bool) and size >= least]
    if len(sizes) != len(value):
        raise BadArrays(f"{shown(name, 60)} is {shown(value, 60)}")
    return tuple(sizes)


def _span(entry: dict[str, strict_json.Json]) -> tuple[int, int]:
    offsets = _sizes("data_offsets", entry["data_offsets"], least=0)
    if len(offsets) != 2 or offsets[0] > offsets[1]:
        raise BadArrays(f"data_offsets is {shown(offsets, 60)}")
    return offsets[0], offsets[1]


def _check_cover(header: dict[str, strict_json.Json], size: int) -> None:
    """Raises BadArrays where a byte belongs to two arrays, or to none."""
    at = 0
    for start, stop in sorted(_span(entry) for entry in header.values() if isinstance(entry, dict)):
        if start != at:
            raise BadArrays(f"bytes {min(at, start)} to {max(at, start)} belong to two arrays or to none")
        at = stop
    if at != size:
        raise BadArrays(f"bytes {at} to {size} belong to no array")
