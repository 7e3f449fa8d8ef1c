"""An honest run to verify, and the tools of somebody who wants to pass another one off as honest.

`honest` renders one clip with nano at the smallest size, once per test session, through the command line
as a user would. `Forgery` edits a copy of it and mends as much of the record as the test says.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from PIL import Image as Pictures
from PIL.PngImagePlugin import PngInfo
from safetensors.numpy import load, save

from pokora_anime.errors import RecordError
from pokora_anime.provenance import operations, run_layout
from pokora_anime.provenance.hashing import arrays_hash, canonical_json, file_hash, text_hash
from pokora_anime.provenance.run_reading import read_run
from pokora_anime.schema.run_identity import plain_key
from pokora_anime.signing import statement
from pokora_anime.signing.signing_key import PREFIX, Key
from pokora_anime.verify.examine_run import examine
from pokora_anime.verify.verdict import Report
from support import once_per_session

SMALL = (
    *("base.width=64", "base.height=64", "finish.width=64", "finish.height=64"),
    *("shot.seconds=2", "speed.steps=1", "control=depth", "seed=3", "device.threads=1"),
)
STORED = tuple(one.name for one in operations.OPERATIONS.values() if one.stores)
Node = dict[str, Any]


@cache
def honest() -> Path:
    """The folder of a finished clip of two segments, signed by `key()`: read it, and edit copies."""
    return once_per_session.made("clip", _honest)


def _honest(root: Path) -> Path:
    folder = render(root, "video", *SMALL)
    sign(folder)
    return folder


def render(root: Path, command: str, *overrides: str) -> Path:
    """A run through the command line, in a home of its own; its folder."""
    environment = {**os.environ, "XDG_CONFIG_HOME": str(root / "config")}
    line = [sys.executable, "-m", "pokora_anime.cli", command, *overrides, "--out", str(root / "outputs")]
    done = subprocess.run(line, capture_output=True, text=True, env=environment, timeout=900)
    assert done.returncode == 0, done.stderr
    return root / done.stdout.strip().splitlines()[-1]


def codes(path: Path, **settings: Any) -> set[str]:
    """Codes of all that keeps a run from being clean, and the code of why it cannot be read."""
    report = examine(path, **settings)
    return told(report)


def told(report: Report) -> set[str]:
    found = {one.code for one in report.findings if one.severity.value != "note"}
    return found | ({report.unreadable.partition(":")[0]} if report.unreadable else set())


def copied(target: Path) -> Path:
    """A copy of the honest run, without its logs."""
    folder = target / "run"
    ignored = shutil.ignore_patterns(".lock", "logs")
    shutil.copytree(honest(), folder, ignore=ignored, copy_function=shutil.copyfile)
    return folder


def zipped(folder: Path, target: Path, method: int = zipfile.ZIP_DEFLATED) -> Path:
    """The folder as a bundle."""
    with zipfile.ZipFile(target, "w", method) as bundle:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                bundle.write(path, path.relative_to(folder).as_posix())
    return target


def key(number: int = 1) -> Key:
    """A signing key that no user has."""
    private = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
    return Key(private=private, fingerprint=PREFIX + private.public_key().public_bytes_raw().hex())


def sign(folder: Path, by: Key | None = None) -> None:
    """Signs the run as it is now."""
    signer = by or key()
    payload = statement.build(read_run(folder), signer.fingerprint)
    (folder / run_layout.STATEMENT).write_bytes(statement.seal(canonical_json(payload).encode(), signer))


class Forgery:
    """A copy of the honest run in the hands of somebody with all of its tools but the models."""

    def __init__(self, target: Path) -> None:
        self.open(copied(target))

    def open(self, folder: Path) -> None:
        """Takes the run in this folder."""
        self.folder = folder
        self.record: dict[str, Any] = json.loads((self.folder / run_layout.RECORD).read_bytes())
        self.nodes: list[Node] = self.record["nodes"]
        self._told = run_layout.video_tag(self.config)

    def of(self, op: str, index: int = 0) -> Node:
        return [node for node in self.nodes if node["op"] == op][index]

    def arrays(self, node: Node) -> dict[str, np.ndarray]:
        return {name: array.copy() for name, array in load(self.array_path(node).read_bytes()).items()}

    def array_path(self, node: Node) -> Path:
        return self.folder / run_layout.array_name(node["op"], node["id"])

    def store(self, node: Node, arrays: dict[str, np.ndarray]) -> None:
        """Puts other arrays in a node's file, and their hash into the node."""
        self.array_path(node).write_bytes(save(arrays, metadata={"node": node["id"]}))
        node["output"] = arrays_hash(arrays)

    @property
    def config(self) -> dict[str, Any]:
        return self.record["summary"]["config"]

    def draw(self, name: str, picture: np.ndarray, texts: Mapping[str, str] | None = None) -> None:
        """Writes a PNG as a run does, with the texts that a still carries."""
        info = PngInfo()
        for key_, value in (texts or {}).items():
            info.add_itxt(key_, value)
        Pictures.fromarray(picture).save(self.folder / name, pnginfo=info)

    def write_record(self) -> None:
        data = json.dumps(self.record, indent=1, ensure_ascii=False).encode()
        (self.folder / run_layout.RECORD).write_bytes(data)

    def rehash(self, *names: str) -> None:
        """Enters the files as they are now into the record."""
        for name in names or tuple(self.record["files"]):
            if (self.folder / name).exists():
                self.record["files"][name] = file_hash(self.folder / name)
            else:
                del self.record["files"][name]
        self.record["files"] = dict(sorted(self.record["files"].items()))

    def renumber(self) -> None:
        """New ids and inputs for every node from what it says, in all places; array files follow."""
        by_old: dict[str, Node] = {}
        for node in self.nodes:
            old, path = node["id"], self.array_path(node)
            parents = [by_old.get(parent) for parent in node["parents"]]
            node["inputs"] = [
                one["output"] if one else value for one, value in _pairs(parents, node["inputs"])
            ]
            node["parents"] = [one["id"] if one else value for one, value in _pairs(parents, node["parents"])]
            content = {name: value for name, value in node.items() if name not in ("id", "output")}
            node["id"] = text_hash(content)
            by_old[old] = node
            if path.exists() and node["op"] in STORED and node["id"] != old:
                arrays = load(path.read_bytes())
                path.unlink()
                self.store(node, arrays)
        self.record["results"] = [
            by_old[one]["id"] if one in by_old else one for one in self.record["results"]
        ]
        for entry in self.record["pictures"].values():
            entry["node"] = by_old[entry["node"]]["id"] if entry["node"] in by_old else entry["node"]
        listed = {
            run_layout.array_name(node["op"], node["id"]) for node in self.nodes if node["op"] in STORED
        }
        kept = {
            name: digest for name, digest in self.record["files"].items() if not name.startswith("stages/")
        }
        self.record["files"] = kept | dict.fromkeys(name for name in listed if (self.folder / name).exists())
        for path in (self.folder / "stages").iterdir():
            if path.relative_to(self.folder).as_posix() not in listed:
                path.unlink()

    def write_ledger(self) -> None:
        """A fresh chain that tells the record's story."""
        entries: list[dict[str, Any]] = [
            {"kind": "run", "format": run_layout.FORMAT, "key": self.record["key"]}
        ]
        entries += [{"kind": "node", **node} for node in self.nodes]
        names = [name for name in self.record["files"] if not name.startswith("stages/")]
        entries += [{"kind": "file", "name": name, "sha256": self.record["files"][name]} for name in names]
        self.write_lines(chain(entries))

    def write_lines(self, lines: list[bytes]) -> None:
        (self.folder / run_layout.LEDGER).write_bytes(b"".join(line + b"\n" for line in lines))
        self.record["ledger"] = {"lines": len(lines), "head": hashlib.sha256(lines[-1]).hexdigest()}

    def lines(self) -> list[bytes]:
        return (self.folder / run_layout.LEDGER).read_bytes().splitlines()

    def seal(self) -> Path:
        """Mends everything that can be mended without a model: hashes, ids, ledger, signature."""
        config = self.record["summary"]["config"]
        text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=100)
        (self.folder / run_layout.CONFIG).write_text(text)
        self.record["key"] = plain_key(self.record["summary"]["command"], config)
        self._tag()
        self.renumber()
        self.rehash()
        self.write_ledger()
        self.write_record()
        with suppress(RecordError):  # the honest signer refuses what is no run at all
            sign(self.folder)
        return self.folder

    def _tag(self) -> None:
        """Has the MP4 carry the settings that the record tells."""
        path = self.folder / run_layout.VIDEO
        old, new = self._told, run_layout.video_tag(self.config)
        if old == new or not path.exists() or old.encode() not in path.read_bytes():
            return
        path.write_bytes(retagged(path.read_bytes(), new))
        frames = self.frames()
        hashes = {name: frames[name] for name in ("rgb_sha256", "yuv_sha256")}
        self.of("encode")["output"] = text_hash({**hashes, "video_sha256": file_hash(path)})
        self._told = new

    def frames(self) -> dict[str, Any]:
        return json.loads((self.folder / run_layout.FRAMES).read_bytes())

    def deliver(self, frames: dict[str, Any]) -> None:
        """Writes the list of frames and enters it into the nodes that made it."""
        (self.folder / run_layout.FRAMES).write_text(json.dumps(frames, indent=0) + "\n")
        self.of("finish")["output"] = text_hash(frames["rgb_sha256"])
        hashes = {name: frames[name] for name in ("rgb_sha256", "yuv_sha256")}
        video = file_hash(self.folder / run_layout.VIDEO)
        self.of("encode")["output"] = text_hash({**hashes, "video_sha256": video})


def retagged(data: bytes, tag: str) -> bytes:
    """An MP4 with another comment; the boxes around it and the places of its samples follow."""
    box = data.index(b"\xa9cmt") - 4
    size = int.from_bytes(data[box : box + 4], "big")
    text = tag.encode()
    new = struct.pack(">I4sI4sII", 24 + len(text), b"\xa9cmt", 16 + len(text), b"data", 1, 0) + text
    moved = bytearray(data[:box] + new + data[box + size :])

    def grow(at: int) -> None:
        value = int.from_bytes(moved[at : at + 4], "big") + len(new) - size
        moved[at : at + 4] = value.to_bytes(4, "big")

    for kind in (b"moov", b"udta", b"meta", b"ilst"):
        grow(data.index(kind) - 4)
    places = data.index(b"stco") + 8
    for number in range(int.from_bytes(data[places : places + 4], "big")):
        grow(places + 4 + 4 * number)
    return bytes(moved)


def chain(entries: Iterable[dict[str, Any]]) -> list[bytes]:
    """Ledger lines, each with the hash of the one before it."""
    lines: list[bytes] = []
    for entry in entries:
        previous = hashlib.sha256(lines[-1]).hexdigest() if lines else ""
        lines.append(canonical_json({**entry, "previous": previous}).encode())
    return lines


def edited(name: str, change: Callable[[bytes], bytes], target: Path) -> Path:
    """A copy of the honest run with one file changed."""
    folder = copied(target)
    path = folder / name
    path.write_bytes(change(path.read_bytes()))
    return folder


def _pairs(nodes: list[Node | None], values: list[str]) -> list[tuple[Node | None, str]]:
    return [(node, values[index] if index < len(values) else "") for index, node in enumerate(nodes)]
