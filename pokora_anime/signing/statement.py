"""A run's signed statement: in-toto Statement v1, SLSA provenance v1, in a DSSE envelope (Ed25519).

Formats: in-toto attestation spec v1, SLSA v1.0 provenance, DSSE v1.0.0 (protocol.md, "PAE").
The payload is a function of record, ledger and key alone, so whoever checks it can build it again.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pokora_anime.errors import PokoraError, RecordError
from pokora_anime.provenance import run_layout
from pokora_anime.provenance.hashing import Json, canonical_json, file_hash, strict_json
from pokora_anime.provenance.run_reading import MAX_JSON, Reading, read_file, read_run, same_json
from pokora_anime.signing import signing_key
from pokora_anime.system.files.atomic_files import write_atomic, writing

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:pokora_anime:render:v2"
BUILDER = "urn:pokora_anime:builder:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What an envelope holds, its signature checked with the key that it names."""

    payload: bytes
    fingerprint: str


def build(reading: Reading, fingerprint: str) -> dict[str, Json]:
    """The statement about a finished run by the holder of a key.

    Raises RecordError REC-RECORD for a record that lacks what it is about.
    """
    code = cast(dict[str, Json], reading.record["code"])
    return {
        "_type": STATEMENT_TYPE,
        "subject": _subjects(reading),
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"command": reading.command, "config": reading.config},
                "internalParameters": {
                    "key": reading.key,
                    "guard": reading.summary.get("guard"),
                    "environment": reading.record["environment"],
                },
                "resolvedDependencies": [*_dependencies(reading, code)],
            },
            "runDetails": {
                "builder": {
                    "id": BUILDER + fingerprint.removeprefix(signing_key.PREFIX),
                    "version": {"pokora_anime": code.get("version")},
                },
                "metadata": {"invocationId": reading.key},
            },
        },
    }


def _dependencies(reading: Reading, code: Mapping[str, Json]) -> Iterator[Json]:
    """The package and every file of weights."""
    yield {
        "name": "pokora_anime",
        "digest": {"sha256": code.get("sha256")},
        "annotations": {"version": code.get("version")},
    }
    for row, name, digest in _weight_files(reading):
        yield {"name": f"{row}/{name}", "digest": {"sha256": digest}}


def sign_run(folder: Path) -> str:
    """Signs a finished run with the user's key; returns the key's fingerprint.

    Raises MachineError SYS-KEY, SYS-WRITE, SYS-DISK or SYS-IO (the run stays finished, unsigned), and
    RecordError REC-* for a folder without a finished run.
    """
    reading = read_run(folder)
    key = signing_key.load_or_make()
    payload = canonical_json(build(reading, key.fingerprint)).encode()
    envelope = seal(payload, key)
    with writing(folder, len(envelope)):
        write_atomic(folder / run_layout.STATEMENT, envelope)
    return key.fingerprint


def signed_by(folder: Path) -> str | None:
    """The fingerprint of the key that signed this very run; None for one that is not signed, or not any more.

    Raises RecordError REC-* for a folder without a finished run.
    """
    reading = read_run(folder)
    try:
        envelope = open_envelope(read_file(folder, run_layout.STATEMENT, MAX_JSON))
    except RecordError:
        return None
    same = envelope.payload == canonical_json(build(reading, envelope.fingerprint)).encode()
    return envelope.fingerprint if same else None


def seal(payload: bytes, key: signing_key.Key) -> bytes:
    """A payload in a signed envelope: one line of canonical JSON."""
    value = _envelope(payload, key.fingerprint, key.sign(pre_authentication(payload)))
    return canonical_json(value).encode() + b"\n"


def open_envelope(data: bytes) -> Envelope:
    """An envelope's payload and key. Raises RecordError REC-SIGNATURE unless form and signature hold.

    Who holds the key is not known here: compare the fingerprint with one that was registered.
    """
    value = strict_json(data, run_layout.STATEMENT)
    try:
        fields = cast(dict[str, Json], value)
        (signed,) = cast(list[dict[str, Json]], fields["signatures"])
        fingerprint = str(signed["keyid"])
        payload = base64.b64decode(cast(str, fields["payload"]), validate=True)
        signature = base64.b64decode(cast(str, signed["sig"]), validate=True)
    except (AttributeError, KeyError, TypeError, ValueError, binascii.Error) as error:
        raise _refused("it is no envelope of pokora_anime") from error
    if not same_json(data, _envelope(payload, fingerprint, signature)):
        raise _refused("it is not written as pokora_anime writes it")
    if not signing_key.verify(fingerprint, pre_authentication(payload), signature):
        raise _refused(f"its signature is not that of {fingerprint}")
    return Envelope(payload=payload, fingerprint=fingerprint)


def pre_authentication(payload: bytes) -> bytes:
    """What DSSE signs: the type and the payload with their lengths (protocol.md, PAE)."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _envelope(payload: bytes, fingerprint: str, signature: bytes) -> dict[str, Json]:
    return {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"keyid": fingerprint, "sig": base64.b64encode(signature).decode()}],
    }


def _subjects(reading: Reading) -> list[Json]:
    delivered = [run_layout.VIDEO] if reading.command == "video" else _stills(reading)
    hashes = {
        run_layout.RECORD: reading.sha256,
        run_layout.LEDGER: file_hash(reading.folder / run_layout.LEDGER),
    }
    try:
        hashes |= {name: reading.files[name] for name in delivered}
    except KeyError as error:
        raise RecordError("REC-RECORD", f"the record does not list {error.args[0]}") from error
    return [{"name": name, "digest": {"sha256": digest}} for name, digest in hashes.items()]


def _stills(reading: Reading) -> list[str]:
    names = reading.summary.get("stills")
    return [str(name) for name in names] if isinstance(names, list) else []


def _weight_files(reading: Reading) -> list[tuple[str, str, str]]:
    found = {
        (entry.row, name, digest)
        for entry in reading.weights.values()
        for name, digest in entry.files.items()
    }
    return sorted(found)


def _refused(got: str) -> RecordError:
    return RecordError(
        "REC-SIGNATURE",
        f"{run_layout.STATEMENT}: {got}",
        expected="the envelope that signed this run",
    )


def sign_told(folder: Path, tell: Callable[[str], object]) -> None:
    """Signs a finished run and tells with which key, or why it stays unsigned; never raises for it.

    A signature that holds is left as it is, whoever made it.
    """
    try:
        if signed_by(folder) is None:
            tell(f"signed with {sign_run(folder)}")
    except PokoraError as error:
        tell(f"finished, but not signed: {error.line()}")
