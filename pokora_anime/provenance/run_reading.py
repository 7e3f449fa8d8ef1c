"""A finished run's folder as it is read back: strictly, with bounds, and without torch.

The first thing that does not hold ends it. What is read so is a run for all who work with it; verification,
which names everything that does not hold, reads it as a claim (`verify.record.claimed_record`).
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import cast

import numpy as np
import numpy.typing as npt

from pokora_anime.errors import RecordError
from pokora_anime.provenance import operations, run_layout
from pokora_anime.provenance.hashing import MAX_JSON, Json, arrays_hash, canonical_json, strict_json
from pokora_anime.provenance.ledger import Entry, chained
from pokora_anime.provenance.node import Node
from pokora_anime.provenance.record_shape import FRAMES, RECORD, misfit

Arrays = dict[str, npt.NDArray[np.generic]]

MAX_ARRAYS = 128 << 20  # bytes of one node's arrays
MAX_PIXELS = 64 << 20  # of one picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Which array of which node a PNG shows."""

    node: str
    array: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFiles:
    """The files behind one digest of a node's weights: a registry row's id, sha256 by file name."""

    row: str
    files: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """The delivered frames: each one's hash before encoding (`rgb`) and as decoded from the MP4 (`yuv`)."""

    count: int
    fps: int
    width: int
    height: int
    rgb: tuple[str, ...]
    yuv: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A run's record with the types of all its fields checked, and access to what it lists.

    Nothing here compares hashes unless it says so: that is verification's part.
    """

    folder: Path
    sha256: str  # of record.json
    record: dict[str, Json]
    nodes: tuple[Node, ...]
    by_id: dict[str, Node]
    results: tuple[str, ...]
    pictures: dict[str, Picture]
    weights: dict[str, WeightFiles]
    files: dict[str, str]
    ledger_lines: int
    ledger_head: str

    @property
    def key(self) -> str:
        """The hash of command and config that the folder is named after."""
        return cast(str, self.record["key"])

    @property
    def summary(self) -> dict[str, Json]:
        """Command, config, guard, and the numbers of what was delivered."""
        return cast(dict[str, Json], self.record["summary"])

    @property
    def command(self) -> str:
        """`video` or `stills`."""
        return cast(str, self.summary["command"])

    @property
    def config(self) -> dict[str, Json]:
        """The resolved config as plain data."""
        return cast(dict[str, Json], self.summary["config"])

    def node(self, node_id: str) -> Node:
        """The node with this id. Raises RecordError REC-NODE if the record has none."""
        if node_id not in self.by_id:
            raise RecordError("REC-NODE", f"no node {node_id[:12]}", expected="a node of this record")
        return self.by_id[node_id]

    def ancestors(self, node_id: str) -> set[str]:
        """Ids of everything that a node was made from, itself included; unknown parents are left out."""
        found: set[str] = set()
        waiting = [node_id]
        while waiting:
            current = waiting.pop()
            if current in self.by_id and current not in found:
                found.add(current)
                waiting.extend(self.by_id[current].parents)
        return found

    def raw_arrays(self, node: Node) -> Arrays:
        """The arrays stored for a node, as they are. Raises RecordError REC-ARRAY if they cannot be read."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        name = run_layout.array_name(node.op, node.id)
        if not operations.of(node.op).stores:
            raise RecordError("REC-ARRAY", f"operation {node.op!r} stores no arrays")
        data = read_file(self.folder, name, MAX_ARRAYS)
        try:
            return cast(Arrays, load(data))
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise RecordError("REC-ARRAY", f"{name} cannot be read ({type(error).__name__})") from error

    def arrays(self, node: Node) -> Arrays:
        """The arrays stored for a node; RecordError REC-ARRAY unless their content is its output."""
        arrays = self.raw_arrays(node)
        if arrays_hash(arrays) != node.output:
            name = run_layout.array_name(node.op, node.id)
            raise RecordError("REC-ARRAY", f"{name} does not hold what node {node.id[:12]} made")
        return arrays

    def picture(self, name: str) -> npt.NDArray[np.uint8]:
        """A PNG of the folder as RGB [height, width, 3]. Raises RecordError REC-PICTURE for anything else."""
        from io import BytesIO

        from PIL import Image as Pictures

        data = read_file(self.folder, name, MAX_ARRAYS)
        try:
            with Pictures.open(BytesIO(data), formats=["PNG"]) as opened:
                if opened.mode != "RGB" or opened.width * opened.height > MAX_PIXELS:
                    raise ValueError(f"{opened.mode} {opened.width}x{opened.height}")
                return np.array(opened, np.uint8)
        except (OSError, ValueError, SyntaxError, Pictures.DecompressionBombError) as error:
            raise RecordError("REC-PICTURE", f"{name} is no RGB picture ({error})") from error

    def frames(self) -> Frames:
        """frames.json with its types and counts checked. Raises RecordError REC-FRAMES."""
        value = strict_json(read_file(self.folder, run_layout.FRAMES, MAX_JSON), run_layout.FRAMES)
        if reason := misfit(value, FRAMES, "frames"):
            raise _frames(reason)
        fields = cast(dict[str, Json], value)
        count, fps, width, height = (cast(int, fields[name]) for name in ("count", "fps", "width", "height"))
        rgb, yuv = (tuple(cast(list[str], fields[name])) for name in ("rgb_sha256", "yuv_sha256"))
        if not (len(rgb) == len(yuv) == count and min(count, fps, width, height) > 0):
            raise _frames(f"{count} frames with {len(rgb)} and {len(yuv)} hashes")
        return Frames(count=count, fps=fps, width=width, height=height, rgb=rgb, yuv=yuv)

    def ledger(self) -> list[Entry]:
        """The ledger's entries. Raises RecordError REC-LEDGER where its chain or its bytes do not hold.

        The number of lines and the last hash are compared with the record.
        """
        data = read_file(self.folder, run_layout.LEDGER, MAX_JSON)
        entries, head = chained(data)
        if (len(entries), head) != (self.ledger_lines, self.ledger_head):
            raise RecordError(
                "REC-LEDGER",
                f"{len(entries)} lines that end in {head[:12]}",
                expected=f"the {self.ledger_lines} lines that end in {self.ledger_head[:12]} of the record",
            )
        return entries


def read_run(folder: Path) -> Reading:
    """The run in a folder. Raises RecordError REC-* where its record is missing or none of this format."""
    data = read_file(folder, run_layout.RECORD, MAX_JSON)
    value = strict_json(data, run_layout.RECORD)
    if not isinstance(value, dict):
        raise _record("it is no object")
    if value.get("format") != run_layout.FORMAT:
        raise _record(f"format {value.get('format')!r}", f"format {run_layout.FORMAT}")
    if reason := misfit(value, RECORD, "record"):
        raise _record(reason)
    if value["status"] != "finished":
        raise _record(f"status {value['status']!r}", "a finished run")
    summary = cast(dict[str, Json], value["summary"])
    if summary.get("command") not in ("video", "stills") or not isinstance(summary.get("config"), dict):
        raise _record("a summary without its command and config")
    nodes = tuple(Node.from_json(node) for node in cast(list[Json], value["nodes"]))
    by_id = {node.id: node for node in nodes}
    if len(by_id) != len(nodes):
        raise RecordError("REC-NODE", "a node stands twice in the record")
    ledger = cast(dict[str, Json], value["ledger"])
    return Reading(
        folder=folder,
        sha256=hashlib.sha256(data).hexdigest(),
        record=value,
        nodes=nodes,
        by_id=by_id,
        results=tuple(cast(list[str], value["results"])),
        pictures={
            name: Picture(**shown)
            for name, shown in cast(dict[str, dict[str, str]], value["pictures"]).items()
        },
        weights={
            digest: WeightFiles(row=cast(str, told["row"]), files=cast(dict[str, str], told["files"]))
            for digest, told in cast(dict[str, dict[str, Json]], value["weights"]).items()
        },
        files=cast(dict[str, str], value["files"]),
        ledger_lines=cast(int, ledger["lines"]),
        ledger_head=cast(str, ledger["head"]),
    )


def read_file(folder: Path, name: str, limit: int) -> bytes:
    """The bytes of a regular file inside a folder, at most `limit`.

    Raises RecordError REC-FILE for links, for names that lead out of the folder, for anything larger.
    """
    parts = PurePosixPath(name).parts
    if not parts or PurePosixPath(name).is_absolute() or ".." in parts or "\\" in name or "\0" in name:
        raise _file(name, "a name that leads out of the run folder")
    for depth in range(1, len(parts)):
        if folder.joinpath(*parts[:depth]).is_symlink():
            raise _file(name, "it lies behind a link")
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(folder.joinpath(*parts), flags | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise _file(name, (error.strerror or str(error)).lower()) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _file(name, "it is no regular file")
    with os.fdopen(descriptor, "rb") as handle:
        data = handle.read(limit + 1)
    if len(data) > limit:
        raise _file(name, f"it is larger than {limit >> 20} MB")
    return data


def same_json(data: bytes, value: object) -> bool:
    """Whether bytes are one line of canonical JSON of this value and nothing else."""
    return data == canonical_json(value).encode() + b"\n"


def _record(got: str, expected: str = "a record of a finished run") -> RecordError:
    return RecordError("REC-RECORD", f"{run_layout.RECORD}: {got}", expected=expected)


def _frames(got: str) -> RecordError:
    return RecordError("REC-FRAMES", f"{run_layout.FRAMES}: {got}", expected="two hashes a frame")


def _file(name: str, reason: str) -> RecordError:
    return RecordError("REC-FILE", f"{name!r}: {reason}", expected="a regular file of the run")
