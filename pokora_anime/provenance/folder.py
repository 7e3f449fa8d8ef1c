"""A run's folder: stored arrays, written files, ledger and record; survives a kill at any moment."""

from __future__ import annotations

import io
import json
import os
import platform
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

import numpy as np

from pokora_anime.provenance.atomic import TEMPORARY_SUFFIX, rename, temporary_path, write_atomic, writing
from pokora_anime.provenance.hashing import Json, arrays_hash, file_hash
from pokora_anime.provenance.ledger import Ledger
from pokora_anime.provenance.lock import FolderLock
from pokora_anime.provenance.node import Node

if TYPE_CHECKING:
    from pokora_anime.records import Image

Arrays = dict[str, np.ndarray]

FORMAT = 1
RECORD = "record.json"
LEDGER = "ledger.jsonl"
LOG = "logs/run.log"


class RunFolder:
    """`outputs/<command>/<slug>-<key>/`: made by `open`, one run at a time, closed by `finish` or `close`.

    `notes` are things worth telling (damage found and repaired); `listen` sends them to the display.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path = path
        self.key = key
        self.notes: list[str] = []
        self._tell: Callable[[str], None] | None = None
        self._used: dict[str, Node] = {}  # nodes of this run in order, by id
        with writing(path):
            (path / "stages").mkdir(parents=True, exist_ok=True)
            self._lock = FolderLock(path)
            try:
                self._remove_leftovers()
                self._load_ledger()
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
        """Whether a record says finished and every file that it lists still has its hash."""
        try:
            record: object = json.loads((self.path / RECORD).read_bytes())
        except (OSError, ValueError):
            return False
        if not isinstance(record, dict):
            return False
        fields = cast(dict[str, Json], record)
        files = fields.get("files")
        if fields.get("status") != "finished" or fields.get("key") != self.key or not isinstance(files, dict):
            return False
        changed = [name for name, digest in files.items() if self._hash(name) != digest]
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
                self._used[node.id] = replace(node, output=output)
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
        complete = replace(node, output=arrays_hash(plain))
        data: bytes = save(plain, metadata={"node": node.id})
        with writing(self.path, len(data)):
            write_atomic(self._array_path(node), data)
        self._enter(complete)
        return complete

    def recorded(self, node: Node) -> Node:
        """`node` with the output that the ledger holds for it ("" if it holds none)."""
        return replace(node, output=self._outputs.get(node.id, ""))

    def note_node(self, node: Node) -> None:
        """Enters a node whose output is no array (a video, say)."""
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

    def write_image(self, name: str, rgb: Image, metadata: Mapping[str, str] | None = None) -> Path:
        """As `write_bytes`: a PNG (with text chunks from `metadata`), or a JPEG if the name says so."""
        from PIL import Image as Pictures
        from PIL.PngImagePlugin import PngInfo

        buffer = io.BytesIO()
        picture = Pictures.fromarray(np.ascontiguousarray(rgb))
        if name.lower().endswith((".jpg", ".jpeg")):
            picture.save(buffer, "JPEG", quality=92)
        else:
            text = PngInfo()
            for key, value in (metadata or {}).items():
                text.add_itxt(key, value)
            picture.save(buffer, "PNG", pnginfo=text)
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

    def finish(self, summary: Mapping[str, Json]) -> None:
        """Writes the record that makes this run finished, drops arrays of no use to it, unlocks the folder.

        Files written earlier by this or a killed run are listed with their hashes; the log is not.
        """
        files = self._files_as_written()
        kept = {self._array_path(node) for node in self._used.values()}
        for path in (self.path / "stages").glob("*.safetensors"):
            if path in kept:
                files[f"stages/{path.name}"] = file_hash(path)
            else:
                path.unlink()  # of an older version of the code or weights
        record: dict[str, Json] = {
            "format": FORMAT,
            "status": "finished",
            "key": self.key,
            "summary": dict(summary),
            "nodes": [node.to_json() for node in self._used.values()],
            "files": dict(sorted(files.items())),
            "ledger": self._ledger.head,
            "environment": machine(),
        }
        data = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False).encode()
        with writing(self.path, len(data)):
            write_atomic(self.path / RECORD, data)
        self.close()

    # Inside

    def _array_path(self, node: Node) -> Path:
        return self.path / "stages" / f"{node.op}-{node.id[:12]}.safetensors"

    def _files_as_written(self) -> dict[str, Json]:
        """The files that still are what a run wrote: what somebody changed must not pass for ours."""
        files: dict[str, Json] = {}
        for name, digest in self._files.items():
            if self._hash(name) == digest:
                files[name] = digest
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
        if self._files.get(name) != digest:
            with writing(self.path):
                self._ledger.append({"kind": "file", "name": name, "sha256": digest})
            self._files[name] = digest

    def _remove_leftovers(self) -> None:
        # The lock is held, so nobody else is writing them.
        for folder in (self.path, self.path / "stages"):
            for path in folder.glob(f".*{TEMPORARY_SUFFIX}"):
                path.unlink()

    def _wipe(self) -> None:
        # The record goes first: a kill in between must not leave it standing for files that are gone.
        with writing(self.path):
            (self.path / RECORD).unlink(missing_ok=True)
            for path in (self.path / "stages").glob("*.safetensors"):
                path.unlink()
            for name in self._files:
                if ".." not in Path(name).parts and not Path(name).is_absolute():
                    (self.path / name).unlink(missing_ok=True)
            (self.path / LOG).unlink(missing_ok=True)
            (self.path / LEDGER).unlink(missing_ok=True)
            self.notes.clear()
            self._load_ledger()


def machine() -> dict[str, Json]:
    """What kind of machine this is; nothing that names it or a person."""
    return {"python": platform.python_version(), "system": sys.platform, "processor": platform.machine()}
