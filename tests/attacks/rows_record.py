"""Attacks on a run's record, ledger, signature and zip: each mended and signed as an entrant can."""

from __future__ import annotations

import io
import json
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support import forged_run
from support.forged_run import Forgery, chain

from attacks.attack import Attack
from pokora_anime.provenance import run_layout
from pokora_anime.provenance.hashing import canonical_json, text_hash
from pokora_anime.provenance.run_reading import read_run
from pokora_anime.signing import statement
from pokora_anime.signing.signing_key import PREFIX

PAYLOAD = "iVBORw0KGgoAAAANSUhEUgAA" * 4
Told = dict[str, Any]
ROWS: list[Attack] = []


class Opened(Forgery):
    """A forgery of the run that lies in a folder."""

    def __init__(self, folder: Path) -> None:
        self.open(folder)


def row(
    hole: str, name: str, forge: Callable[[Path], Path | None], *codes: str, subject: str = "run"
) -> None:
    ROWS.append(Attack(name=name, hole=hole, subject=subject, forge=forge, codes=frozenset(codes)))


def record(change: Callable[[Opened], object]) -> Callable[[Path], None]:
    """Changes the record, then everything that follows from it."""

    def forge(folder: Path) -> None:
        opened = Opened(folder)
        change(opened)
        opened.seal()

    return forge


def ledger(change: Callable[[list[Told], Opened], object]) -> Callable[[Path], None]:
    """Changes the ledger's entries; the chain, the record and the signature are made anew."""

    def forge(folder: Path) -> None:
        opened = Opened(folder)
        entries = [json.loads(line) for line in opened.lines()]
        for entry in entries:
            del entry["previous"]
        change(entries, opened)
        opened.write_lines(chain(entries))
        opened.write_record()
        forged_run.sign(folder)

    return forge


# The ledger


def superseded(entries: list[Told], opened: Opened, **fields: Any) -> None:
    """A node that looks as if it had been made again, with other fields."""
    node = {**opened.of("motion"), **fields}
    node["id"] = text_hash({name: value for name, value in node.items() if name not in ("id", "output")})
    entries.insert(-1, {"kind": "node", **node})


for kind in ("run", "file", "node"):
    row("ledger", f"a field more in a line of the kind {kind}",
        ledger(lambda entries, _, kind=kind: next(e for e in entries if e["kind"] == kind).update(x=PAYLOAD)),
        "INT-LEDGER", "INT-LEDGER-NODE")  # fmt: skip
for name, entry in {
    "a line of its own kind": {"kind": "note", "text": PAYLOAD},
    "a file that the run does not have": {"kind": "file", "name": f"{PAYLOAD}.txt", "sha256": "0" * 64},
    "a file whose hash is none": {"kind": "file", "name": "keyframe.png", "sha256": PAYLOAD},
    "a stage's file of another form": {"kind": "file", "name": f"stages/{PAYLOAD}", "sha256": "0" * 64},
    "a second run": {"kind": "run", "format": 2, "key": "0" * 64},
    "a node that is none": {"kind": "node", "text": PAYLOAD},
}.items():
    row("ledger", name, ledger(lambda entries, _, entry=entry: entries.insert(1, entry)), "INT-LEDGER")
for name, fields in {
    "an unknown operation": {"op": "paint"},
    "a payload in its parameters": {"params": {"text": PAYLOAD}},
    "a payload in a parameter's name": {"params": {PAYLOAD: 1}},
    "a payload in its environment": {"environment": {"device": "cpu", "note": PAYLOAD}},
    "a payload for its code": {"code": PAYLOAD},
    "a payload for its output": {"output": PAYLOAD},
    "a payload for a parent": {"parents": [PAYLOAD]},
    "a payload for an input": {"inputs": [PAYLOAD]},
    "a payload for weights": {"weights": {"unet": PAYLOAD}},
}.items():
    row("ledger", f"a node made again with {name}",
        ledger(lambda entries, opened, fields=fields: superseded(entries, opened, **fields)),
        "INT-LEDGER", "INT-LEDGER-NODE")  # fmt: skip
row("ledger", "a node made again whose id is another",
    ledger(lambda entries, opened: entries.insert(1, {"kind": "node", **opened.of("noise"), "id": "1" * 64})),
    "INT-LEDGER")  # fmt: skip
row("ledger", "thousands of hashes that nothing has",
    ledger(lambda entries, _: entries.extend(
        {"kind": "file", "name": "keyframe.png", "sha256": f"{n:064x}"} for n in range(3000))),
    "INT-LEDGER", "INT-LEDGER-FILE")  # fmt: skip

# What a record tells beside its pictures


def told(*path: str, value: Any, drop: str = "") -> Callable[[Path], None]:
    def change(opened: Opened) -> None:
        table: Any = opened.record
        for step in path[:-1]:
            table = table[step]
        if drop:
            table[path[-1]].pop(drop)
        else:
            table[path[-1]] = value

    return record(change)


UNREADABLE = ("SRC-FORMAT", "INT-FORM", "REC-RECORD")
for place in (
    ("x",), ("summary", "x"), ("code", "x"),
):  # fmt: skip
    row("record", f"a field more at {'.'.join(place)}", told(*place, value=PAYLOAD), *UNREADABLE, "INT-HEAD")
for op in ("prompt", "noise", "keyframe", "control", "motion", "finish", "encode", "sheet"):
    row("record", f"a field more in the node {op}",
        record(lambda opened, op=op: opened.of(op).update(x=PAYLOAD)), *UNREADABLE)  # fmt: skip
    row("record", f"a payload in the parameters of {op}",
        record(lambda opened, op=op: opened.of(op)["params"].update(x=PAYLOAD)), "POL-PARAMS")  # fmt: skip
    for name, value in {
        "note": PAYLOAD, "processor": PAYLOAD * 2, "threads": 10**12, "device": "scanner",
        "libraries": {"torch": PAYLOAD}, "compile": PAYLOAD, "decode_chunks": list(range(999)),
    }.items():  # fmt: skip
        row("record", f"{name} of another kind in the environment of {op}",
            record(lambda opened, op=op, name=name, value=value:
                   opened.of(op)["environment"].update({name: value})),
            "POL-PARAMS")  # fmt: skip
for name, value in {
    "python": PAYLOAD, "system": PAYLOAD, "processor": PAYLOAD * 2, "note": PAYLOAD,
}.items():  # fmt: skip
    row(
        "record",
        f"{name} of another kind in the machine",
        told("environment", name, value=value),
        "POL-PARAMS",
    )
row("record", "a machine without its system", told("environment", value=0, drop="system"), "POL-PARAMS")
for name, value in {
    "wanted": PAYLOAD, "landlock_abi": 10**9, "network": PAYLOAD, "note": PAYLOAD, "level": PAYLOAD,
    "details": {"note": PAYLOAD}, "details of another kind": 3,
}.items():  # fmt: skip
    key = name.split()[0]
    row("record", f"{name} in the guard", told("summary", "guard", key, value=value), "POL-GUARD")
row("record", "an environment of its own in the guard",
    told("summary", "guard", "details", "environment", value=[PAYLOAD]), "POL-GUARD")  # fmt: skip
row("record", "a guard that is a text", told("summary", "guard", value=PAYLOAD), "POL-GUARD")
row("record", "a version that is a payload", told("code", "version", value=PAYLOAD * 3), "POL-CODE")
row("record", "sources without a hash", told("code", "sha256", value=PAYLOAD), "POL-CODE")

# Weights


def weights(change: Callable[[dict[str, str]], object], name: str) -> Callable[[Path], None]:
    """Changes the files of a row's entry; its digest and every node that names it follow."""

    def edit(opened: Opened) -> None:
        table = opened.record["weights"]
        for digest, entry in list(table.items()):
            if entry["row"] != name:
                continue
            change(entry["files"])
            fresh = text_hash(entry["files"])
            del table[digest]
            table[fresh] = entry
            for node in opened.nodes:
                node["weights"] = {
                    role: fresh if old == digest else old for role, old in node["weights"].items()
                }

    return record(edit)


for name in ("nano", "nano-motion", "nano-lcm", "nano-depth", "nano-controlnet-depth"):
    row(
        "weights",
        f"{name} without any file",
        weights(lambda files: files.clear(), name),
        "POL-WEIGHTS",
        "INT-WEIGHTS",
    )
    row("weights", f"{name} without its tensors",
        weights(lambda files: [files.pop(one) for one in list(files) if one.endswith(".safetensors")], name),
        "POL-WEIGHTS")  # fmt: skip
    row("weights", f"{name} of other bytes",
        weights(lambda files: files.update({next(iter(files)): "0" * 64}), name), "POL-WEIGHTS")  # fmt: skip
    row("weights", f"{name} with a file more",
        weights(lambda files: files.update({"picture.png": "0" * 64}), name), "POL-WEIGHTS")  # fmt: skip
for name in ("nano", "nano-motion", "nano-depth", "nano-controlnet-depth"):
    row("weights", f"{name} without its configs",
        weights(lambda files: [files.pop(one) for one in list(files) if one.endswith("config.json")], name),
        "POL-WEIGHTS")  # fmt: skip
row("weights", "nano with one of two shards",
    weights(lambda files: [files.pop(one) for one in list(files) if "00002-of" in one], "nano"),
    "POL-WEIGHTS")  # fmt: skip

# Keys and signatures

IDENTITY = "01" + "00" * 31
P = 2**255 - 19


def weak(fingerprint: str) -> Callable[[Path], None]:
    """A signature that holds for every message under a key of small order: R is the identity, S is 0."""

    def forge(folder: Path) -> None:
        payload = canonical_json(statement.build(read_run(folder), PREFIX + fingerprint)).encode()
        value = statement._envelope(payload, PREFIX + fingerprint, bytes.fromhex(IDENTITY) + bytes(32))
        (folder / run_layout.STATEMENT).write_bytes(canonical_json(value).encode() + b"\n")

    return forge


for label, number in {
    "the identity": 1, "the identity, not canonical": P + 1, "the identity with a sign": 1 + 2**255,
    "order 2": P - 1, "order 4": 0, "order 4 with a sign": 2**255, "order 4, not canonical": P,
    "order 8": int.from_bytes(
        bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"),
}.items():  # fmt: skip
    row("signature", f"a key of {label}", weak(number.to_bytes(32, "little").hex()), "SIG-BAD")


def envelope(change: Callable[[Told], object]) -> Callable[[Path], None]:
    def forge(folder: Path) -> None:
        value = json.loads((folder / run_layout.STATEMENT).read_bytes())
        change(value)
        (folder / run_layout.STATEMENT).write_bytes(canonical_json(value).encode() + b"\n")

    return forge


row("signature", "a field more in the envelope", envelope(lambda value: value.update(x=PAYLOAD)), "SIG-BAD")
row("signature", "a second signature",
    envelope(lambda value: value["signatures"].append(value["signatures"][0])), "SIG-BAD")  # fmt: skip
row("signature", "a field more in a signature",
    envelope(lambda value: value["signatures"][0].update(x=PAYLOAD)), "SIG-BAD")  # fmt: skip
row("signature", "no signature", envelope(lambda value: value["signatures"].clear()), "SIG-BAD")

# The zip of a run


def packed(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def forge(path: Path) -> None:
        path.write_bytes(change(path.read_bytes()))

    return forge


def built(change: Callable[[zipfile.ZipFile, zipfile.ZipInfo, bytes], object]) -> Callable[[Path], None]:
    """Packs every member again; `change` writes each."""

    def forge(path: Path) -> None:
        buffer = io.BytesIO()
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
            for info in old.infolist():
                change(new, info, old.read(info))
        path.write_bytes(buffer.getvalue())

    return forge


def with_extra(new: zipfile.ZipFile, info: zipfile.ZipInfo, data: bytes) -> None:
    info.extra = struct.pack("<HH", 0x4B50, 32) + PAYLOAD.encode()[:32]
    new.writestr(info, data)


def with_comment(new: zipfile.ZipFile, info: zipfile.ZipInfo, data: bytes) -> None:
    info.comment = PAYLOAD.encode()
    new.writestr(info, data)


def with_attributes(attributes: int) -> Callable[[zipfile.ZipFile, zipfile.ZipInfo, bytes], object]:
    def change(new: zipfile.ZipFile, info: zipfile.ZipInfo, data: bytes) -> None:
        info.external_attr = attributes
        new.writestr(info, data)

    return change


def gap(data: bytes) -> bytes:
    """Bytes between the last member and the table of contents."""
    at = len(data) - 22
    head = list(struct.unpack("<4s4H2LH", data[at:]))
    start, junk = head[6], PAYLOAD.encode()
    head[6] = start + len(junk)
    return data[:start] + junk + data[start:at] + struct.pack("<4s4H2LH", *head)


def behind_stream(data: bytes) -> bytes:
    """A deflated member whose packed bytes go on behind the end of its stream."""
    opened = zipfile.ZipFile(io.BytesIO(data))
    buffer = io.BytesIO()
    entries: list[bytes] = []
    for info in opened.infolist():
        content, name = opened.read(info), info.filename.encode()
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        body = packer.compress(content) + packer.flush() + (PAYLOAD.encode() if not entries else b"")
        fields = (20, 0, 8, 0, 33, info.CRC, len(body), len(content), len(name), 0)
        at = buffer.tell()
        buffer.write(struct.pack("<4s5H3L2H", b"PK\3\4", *fields) + name + body)
        entries.append(struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, *fields, 0, 0, 0, 0, at) + name)
    start = buffer.tell()
    buffer.write(b"".join(entries))
    size = buffer.tell() - start
    buffer.write(struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, len(entries), len(entries), size, start, 0))
    return buffer.getvalue()


ZIP = ("SRC-ZIP", "SRC-DAMAGED")
for name, forge in {
    "bytes before its first member": packed(lambda data: PAYLOAD.encode() + data),
    "bytes behind its end": packed(lambda data: data + PAYLOAD.encode()),
    "a comment": packed(lambda data: data[:-2] + struct.pack("<H", len(PAYLOAD)) + PAYLOAD.encode()),
    "bytes before its table of contents": packed(gap),
    "an extra field in each member": built(with_extra),
    "a comment of each member": built(with_comment),
    "packed bytes behind a stream": packed(behind_stream),
    "another name in a header": packed(lambda data: data.replace(b"config.yaml", b"config.yamx", 1)),
    "another checksum in a header": packed(lambda data: data[:14] + b"\0\0\0\0" + data[18:]),
    "another date in a header": packed(lambda data: data[:12] + b"\x21\x01" + data[14:]),
    "another version in a header": packed(lambda data: data[:4] + b"\xff\0" + data[6:]),
    "a mode that no file has": built(with_attributes(0o4644 << 16)),
    "attributes of its own": built(with_attributes(0o100644 << 16 | 0x4000)),
    "another version's flag in a header": packed(lambda data: data[:6] + b"\x20\0" + data[8:]),
}.items():
    row("zip", name, forge, *ZIP, subject="zipped_run")


def stowed(path: Path) -> Path:
    """A file beside the run's only folder, so that the zip holds something that no run has."""
    folder = path.parent / "opened"
    with zipfile.ZipFile(path) as opened:
        opened.extractall(folder / "run")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    made = forged_run.zipped(folder, path.parent / "stowed.zip")
    shutil.rmtree(folder)
    return made


row("zip", "a file beside the run's folder", stowed, "SRC-RECORD", "INT-EXTRA", subject="zipped_run")
