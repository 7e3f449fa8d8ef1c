"""A run's folder: stored arrays, written files, ledger and record; survives a kill at any moment."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from pokora_anime.errors import RecordError
from pokora_anime.provenance import operations, run_layout
from pokora_anime.provenance.hashing import Json, arrays_hash, file_hash
from pokora_anime.provenance.ledger import Ledger
from pokora_anime.provenance.node import Node
from pokora_anime.provenance.run_layout import FORMAT, LEDGER, RECORD
from pokora_anime.provenance.run_reading import read_run
from pokora_anime.provenance.run_record import FinishedRun, ancestors
from pokora_anime.system.files.atomic_files import (
    TEMPORARY_SUFFIX,
    rename,
    temporary_path,
    write_atomic,
    writing,
)
from pokora_anime.system.files.file_lock import FolderLock

if TYPE_CHECKING:
    from pokora_anime.provenance.stage_records import Image

Arrays = dict[str, np.ndarray]

LOG = f"{run_layout.LOGS}/run.log"


class RunFolder:
    """`outputs/<command>/<slug>-<key>/`: made by `open`, one run at a time, closed by `finish` or `close`.

    `notes` are things worth telling (damage found and repaired); `listen` sends them to the display.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path = path
        self.key = key
        self.notes: list[str] = []
        self._tell: Callable[[str], None] | None = None
        self._used: dict[str, Node] = {}  # nodes of this run by id
        self._written: set[str] = set()  # files of this run by name
        self._pictures: dict[str, Json] = {}
        with writing(path):
            (path / run_layout.STAGES).mkdir(parents=True, exist_ok=True)
            self._lock = FolderLock(path)
            try:
                self._remove_leftovers()
                self._load_ledger()
                self._begin()
            except BaseException:
                self._lock.release()
                raise

    @classmethod
    def open(cls, root: Path, command: str, slug: str, key: str, *, fresh: bool) -> RunFolder:
        """Makes or continues the folder of the run with this key; `fresh` wipes what an earlier run left.

        Only files that a run wrote are wiped. Raises MachineError SYS-WRITE, SYS-DISK, SYS-IO or SYS-LOCK.
        """
        folder = cls(root / command / f"{slug}-{key[:12]}", key)
        if fresh:
            folder._wipe()
            folder._begin()
        elif folder.finished:
            folder.close()  # it will only be read
        return folder

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets other runs into the folder; what is written stays."""
        self._lock.release()

    def listen(self, tell: Callable[[str], None]) -> None:
        """Sends the notes made so far, and every later one, to `tell`."""
        self._tell = tell
        for note in self.notes:
            tell(note)

    @property
    def log_path(self) -> Path:
        """The log; it lies in the folder but is no part of the record."""
        return self.path / LOG

    @property
    def finished(self) -> bool:
        """Whether a record says finished and everything that it lists still has its hash."""
        try:
            reading = read_run(self.path)
            reading.ledger()
        except RecordError:
            return False
        if reading.key != self.key:
            return False
        changed = [name for name, digest in reading.files.items() if self._hash(name) != digest]
        if changed:
            self._note(f"made again: {', '.join(changed)} changed or went missing since the run finished")
        return not changed

    # Arrays of nodes

    def load(self, node: Node) -> Arrays | None:
        """The arrays stored for `node`, hashed again; None (and a note) if they are missing or damaged."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        output = self._outputs.get(node.id, "")
        if not output:
            return None
        path = self._array_path(node)
        try:
            arrays: Arrays = load(path.read_bytes())
            if arrays_hash(arrays) == output:
                self._used[node.id] = node.made(output)
                return arrays
            reason = "its content changed"
        except FileNotFoundError:
            reason = "it went missing"
        except (OSError, SafetensorError, ValueError, KeyError) as error:
            reason = f"it cannot be read ({type(error).__name__})"
        self._note(f"{path.name} is made again: {reason}")
        return None

    def save(self, node: Node, arrays: Mapping[str, np.ndarray]) -> Node:
        """Stores arrays under the node's id and enters it in the ledger; returns the node with its output.

        Raises MachineError SYS-DISK, SYS-WRITE or SYS-IO; nothing half-written stays.
        """
        from safetensors.numpy import save

        # Not ascontiguousarray: that one turns a scalar into a vector.
        plain = {name: np.array(array, order="C") for name, array in arrays.items()}
        complete = node.made(arrays_hash(plain))
        data: bytes = save(plain, metadata={"node": node.id})
        with writing(self.path, len(data)):
            write_atomic(self._array_path(node), data)
        self._enter(complete)
        return complete

    def recorded(self, node: Node) -> Node:
        """`node` with the output that the ledger holds for it ("" if it holds none)."""
        return node.made(self._outputs.get(node.id, ""))

    def note_node(self, node: Node) -> None:
        """Enters a node whose output is not stored as arrays (a video, say)."""
        self._enter(node)

    # Files

    def write_bytes(self, name: str, data: bytes) -> Path:
        """Writes a file atomically and enters it in the ledger. Raises MachineError SYS-*."""
        path = self.path / name
        with writing(self.path, len(data)):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, data)
        self._enter_file(name)
        return path

    def write_text(self, name: str, text: str) -> Path:
        """As `write_bytes`, in UTF-8."""
        return self.write_bytes(name, text.encode())

    def write_image(
        self, name: str, rgb: Image, node: Node, array: str, metadata: Mapping[str, str] | None = None
    ) -> Path:
        """As `write_bytes`: a PNG of the named array that `node` made, with text chunks from `metadata`."""
        from PIL import Image as Pictures
        from PIL.PngImagePlugin import PngInfo

        buffer = io.BytesIO()
        text = PngInfo()
        for key, value in (metadata or {}).items():
            text.add_itxt(key, value)
        Pictures.fromarray(np.ascontiguousarray(rgb)).save(buffer, "PNG", pnginfo=text)
        self._pictures[name] = {"node": node.id, "array": array}
        return self.write_bytes(name, buffer.getvalue())

    def temporary(self, name: str) -> Path:
        """Where to stream a file that `commit` later names; the next run removes it if this one is killed."""
        return temporary_path(self.path / name)

    def commit(self, temporary: Path, name: str) -> Path:
        """Gives a streamed file its name, after it is safely on the disk."""
        path = self.path / name
        with writing(self.path):
            with temporary.open("rb+") as handle:
                os.fsync(handle.fileno())
            rename(temporary, path)
        self._enter_file(name)
        return path

    def finish(
        self,
        summary: Mapping[str, Json],
        results: Sequence[Node],
        weights: Callable[[set[str]], Mapping[str, Json]],
    ) -> None:
        """Writes the record that makes this run finished, and unlocks the folder.

        It holds `results` and all that they were made from; arrays and files that an earlier start
        made and this one had no use for are removed. `weights` finds the files behind nodes' digests.
        """
        nodes = self._in_order(ancestors(self._used, results))
        kept = {run_layout.array_name(node.op, node.id) for node in nodes if operations.of(node.op).stores}
        for path in (self.path / run_layout.STAGES).glob("*.safetensors"):
            if f"{run_layout.STAGES}/{path.name}" not in kept:
                path.unlink()  # of an older version of the code or weights, or a keyframe that was not taken
        files = self._files_as_written() | {name: self._hash(name) for name in sorted(kept)}
        run = FinishedRun(
            key=self.key,
            summary=summary,
            nodes=nodes,
            results=results,
            pictures={name: shown for name, shown in self._pictures.items() if name in files},
            weights=weights({digest for node in nodes for digest in node.weights.values()}),
            files=files,
            ledger=self._ledger,
        )
        data = json.dumps(run.to_json(), indent=1, ensure_ascii=False, allow_nan=False).encode()
        with writing(self.path, len(data)):
            (self.path / run_layout.STATEMENT).unlink(missing_ok=True)  # of the record before
            write_atomic(self.path / RECORD, data)
        self.close()

    # Inside

    def _begin(self) -> None:
        """The ledger's first line ties it to this run; what another version wrote is made anew."""
        first: dict[str, Json] = {"kind": "run", "format": FORMAT, "key": self.key}
        entries = self._ledger.entries
        if entries and entries[0] != first:
            self._wipe()
            self._note("an earlier version of pokora_anime was here: everything is made anew")
        if not self._ledger.entries:
            self._ledger.append(first)

    def _in_order(self, nodes: Mapping[str, Node]) -> list[Node]:
        """Nodes by the ledger's last line about each: parents come before what was made from them."""
        lines = {str(entry["id"]): at for at, entry in enumerate(self._ledger.entries) if "id" in entry}
        return sorted(nodes.values(), key=lambda node: lines[node.id])

    def _array_path(self, node: Node) -> Path:
        return self.path / run_layout.array_name(node.op, node.id)

    def _files_as_written(self) -> dict[str, str]:
        """The files that still are what this run wrote: what somebody changed must not pass for ours."""
        files: dict[str, str] = {}
        for name, digest in self._files.items():
            intact = self._hash(name) == digest
            if intact and name in self._written:
                files[name] = digest
            elif intact and _inside(name):
                (self.path / name).unlink()  # an earlier start made it and this one had no use for it
            elif (self.path / name).exists():
                self._note(f"{name} was changed after it was written and is not listed in the record")
        return files

    def _hash(self, name: str) -> str:
        path = self.path / name
        return file_hash(path) if path.is_file() else ""

    def _note(self, message: str) -> None:
        if message in self.notes:
            return
        self.notes.append(message)
        if self._tell is not None:
            self._tell(message)

    def _load_ledger(self) -> None:
        self._ledger = Ledger(self.path / LEDGER)
        self.notes.extend(self._ledger.notes)
        self._outputs: dict[str, str] = {}
        self._files: dict[str, str] = {}
        for entry in self._ledger.entries:
            if entry.get("kind") == "node":
                self._outputs[str(entry.get("id", ""))] = str(entry.get("output", ""))
            elif entry.get("kind") == "file":
                self._files[str(entry.get("name", ""))] = str(entry.get("sha256", ""))

    def _enter(self, node: Node) -> None:
        if self._outputs.get(node.id) != node.output:
            with writing(self.path):
                self._ledger.append({"kind": "node", **node.to_json()})
            self._outputs[node.id] = node.output
        self._used[node.id] = node

    def _enter_file(self, name: str) -> None:
        digest = self._hash(name)
        self._written.add(name)
        if self._files.get(name) != digest:
            with writing(self.path):
                self._ledger.append({"kind": "file", "name": name, "sha256": digest})
            self._files[name] = digest

    def _remove_leftovers(self) -> None:
        # The lock is held, so nobody else is writing them.
        for folder in (self.path, self.path / run_layout.STAGES):
            for path in folder.glob(f".*{TEMPORARY_SUFFIX}"):
                path.unlink()

    def _wipe(self) -> None:
        # The record goes first: a kill in between must not leave it standing for files that are gone.
        with writing(self.path):
            for name in (RECORD, run_layout.STATEMENT):
                (self.path / name).unlink(missing_ok=True)
            for path in (self.path / run_layout.STAGES).glob("*.safetensors"):
                path.unlink()
            for name in filter(_inside, self._files):
                (self.path / name).unlink(missing_ok=True)
            (self.path / LOG).unlink(missing_ok=True)
            (self.path / LEDGER).unlink(missing_ok=True)
            self.notes.clear()
            self._load_ledger()


def _inside(name: str) -> bool:
    return ".." not in Path(name).parts and not Path(name).is_absolute()
