"""The signed statement: in-toto, SLSA and DSSE as others read them, and the key that signs."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from pokora_anime.catalogue.needed_weights import needs
from pokora_anime.catalogue.recorded_weights import weight_files
from pokora_anime.cli.judge import key as key_command
from pokora_anime.config.compose import compose
from pokora_anime.errors import ConfigError, MachineError, RecordError
from pokora_anime.provenance import run_layout
from pokora_anime.provenance.hashing import canonical_json, file_hash, text_hash
from pokora_anime.provenance.node import Node
from pokora_anime.provenance.run_folder import RunFolder
from pokora_anime.provenance.run_reading import read_run
from pokora_anime.signing import signing_key
from pokora_anime.signing.statement import build, open_envelope, sign_run, signed_by

WEIGHTS = {"row": "nano", "files": {"unet/diffusion_pytorch_model.safetensors": "d" * 64}}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run folder with one node."""
    with RunFolder.open(tmp_path, "video", "a-girl", "ab" * 32, fresh=False) as folder:
        node = Node(op="motion", params={}, weights={"unet": text_hash(WEIGHTS["files"])})
        saved = folder.save(node, {"latents": np.zeros(4, np.float32)})
        folder.write_bytes("video.mp4", b"a film")
        summary = {"command": "video", "config": {"seed": 7}, "guard": {"level": "full"}}
        folder.finish(summary, [saved], lambda digests: dict.fromkeys(digests, WEIGHTS))
    return folder.path


def test_the_envelope_is_one_that_others_can_check(run: Path) -> None:
    """As written in DSSE's protocol.md, with nothing of ours."""
    fingerprint = sign_run(run)
    envelope = json.loads((run / "statement.dsse.json").read_bytes())
    payload = base64.standard_b64decode(envelope["payload"])
    kind = envelope["payloadType"].encode()
    (signature,) = envelope["signatures"]
    assert signature["keyid"] == fingerprint
    message = b"DSSEv1 " + b" ".join([str(len(kind)).encode(), kind, str(len(payload)).encode(), payload])
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(fingerprint.removeprefix("ed25519:")))
    public.verify(base64.standard_b64decode(signature["sig"]), message)


def test_the_statement_names_what_was_made_from_what(run: Path) -> None:
    fingerprint = sign_run(run)
    statement = json.loads(open_envelope((run / "statement.dsse.json").read_bytes()).payload)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert {one["name"]: one["digest"]["sha256"] for one in statement["subject"]} == {
        name: file_hash(run / name) for name in ("record.json", "ledger.jsonl", "video.mp4")
    }
    definition = statement["predicate"]["buildDefinition"]
    assert definition["externalParameters"] == {"command": "video", "config": {"seed": 7}}
    assert definition["internalParameters"]["guard"] == {"level": "full"}
    code, weights = definition["resolvedDependencies"]
    assert code["name"] == "pokora_anime"
    assert code["digest"]["sha256"] == json.loads((run / "record.json").read_text())["code"]["sha256"]
    assert weights == {
        "name": "nano/unet/diffusion_pytorch_model.safetensors",
        "digest": {"sha256": "d" * 64},
    }
    builder = statement["predicate"]["runDetails"]["builder"]
    assert builder["id"].endswith(fingerprint.removeprefix("ed25519:"))


def test_whoever_has_the_run_can_build_the_statement_again(run: Path) -> None:
    fingerprint = sign_run(run)
    envelope = open_envelope((run / run_layout.STATEMENT).read_bytes())
    assert envelope.fingerprint == fingerprint
    assert envelope.payload == canonical_json(build(read_run(run), fingerprint)).encode()


def test_signing_twice_gives_the_same_bytes_and_touches_nothing_else(run: Path) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    sign_run(run)
    first = (run / run_layout.STATEMENT).read_bytes()
    sign_run(run)
    assert (run / run_layout.STATEMENT).read_bytes() == first
    assert {path: path.read_bytes() for path in before} == before


def test_any_changed_byte_of_the_envelope_is_refused(run: Path) -> None:
    sign_run(run)
    data = (run / run_layout.STATEMENT).read_bytes()
    open_envelope(data)
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 1 << at % 7
        with pytest.raises(RecordError, match="REC-"):
            open_envelope(bytes(damaged))
    for other in (
        b"",
        data + b"\n",
        data.rstrip(),
        b"[]",
        b'{"signatures":[]}',
        data.replace(b'"sig"', b'"gis"'),
    ):
        with pytest.raises(RecordError, match="REC-"):
            open_envelope(other)


def test_a_payload_of_another_run_does_not_pass(run: Path) -> None:
    sign_run(run)
    envelope = json.loads((run / run_layout.STATEMENT).read_bytes())
    payload = base64.b64decode(envelope["payload"]).replace(b'"seed":7', b'"seed":8')
    envelope["payload"] = base64.b64encode(payload).decode()
    with pytest.raises(RecordError, match="its signature is not that of"):
        open_envelope(canonical_json(envelope).encode() + b"\n")


def test_a_folder_without_a_finished_run_is_not_signed(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"REC-FILE.*record\.json"):
        sign_run(tmp_path)


# The key


def test_the_key_is_made_once_for_this_user_alone(home: Path) -> None:
    one, two = signing_key.load_or_make(), signing_key.load_or_make()
    assert one.fingerprint == two.fingerprint
    assert signing_key.path() == home / "pokora_anime" / "signing.key"
    if os.name == "posix":
        assert signing_key.path().stat().st_mode & 0o777 == 0o600
    assert list(signing_key.path().parent.iterdir()) == [signing_key.path()]


def test_a_signature_holds_for_its_key_and_message_alone() -> None:
    one = signing_key.load_or_make()
    signature = one.sign(b"message")
    assert signing_key.verify(one.fingerprint, b"message", signature)
    assert not signing_key.verify(one.fingerprint, b"massage", signature)
    signing_key.path().unlink()
    assert not signing_key.verify(signing_key.load_or_make().fingerprint, b"message", signature)


@pytest.mark.parametrize(
    "fingerprint", ["", "ed25519:", "ed25519:" + "AB" * 32, "ab" * 32, "ed25519:" + "0" * 66]
)
def test_what_is_no_fingerprint_is_named(fingerprint: str) -> None:
    with pytest.raises(RecordError, match="REC-SIGNATURE: fingerprint"):
        signing_key.verify(fingerprint, b"", b"")


@pytest.mark.parametrize("way", ["file in the way", "nonsense", "readable by others", "empty"])
def test_a_key_that_cannot_be_used_leaves_the_run_finished_and_unsigned(
    run: Path, home: Path, way: str
) -> None:
    place = home / "pokora_anime" / "signing.key"
    if way == "file in the way":
        home.write_text("")
    else:
        signing_key.load_or_make()
        if way == "readable by others":
            if os.name != "posix":
                pytest.skip("modes of POSIX")
            place.chmod(0o644)
        else:
            place.write_text("ssh-ed25519" if way == "nonsense" else "")
    with pytest.raises(MachineError) as caught:
        sign_run(run)
    assert caught.value.code == "SYS-KEY"
    assert str(place) in caught.value.line()
    assert "\n" not in caught.value.line()
    assert not (run / run_layout.STATEMENT).exists()
    assert read_run(run).record["status"] == "finished"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to_is_one_line(home: Path) -> None:
    home.mkdir(mode=0o500)
    with pytest.raises(MachineError, match="SYS-KEY"):
        signing_key.load_or_make()


def test_two_first_runs_at_once_share_one_key(home: Path) -> None:
    code = "from pokora_anime.signing import signing_key; print(signing_key.load_or_make().fingerprint)"
    children = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    said = {child.communicate(timeout=120)[0].strip() for child in children}
    assert said == {signing_key.load_or_make().fingerprint}
    assert list((home / "pokora_anime").iterdir()) == [signing_key.path()]


def test_the_command_shows_the_fingerprint_and_the_path(capsys: pytest.CaptureFixture[str]) -> None:
    assert key_command.main(["path"]) == 0
    assert not signing_key.path().exists()
    assert key_command.main(["show"]) == 0
    path, fingerprint = capsys.readouterr().out.splitlines()
    assert (path, fingerprint) == (str(signing_key.path()), signing_key.load_or_make().fingerprint)
    with pytest.raises(ConfigError, match=r"CFG-COMMAND.*show\|path"):
        key_command.main(["delete"])


def test_a_run_is_signed_once_and_says_by_whom(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert signed_by(run) is None
    key_command.sign(run)
    fingerprint = signing_key.load_or_make().fingerprint
    assert capsys.readouterr().err == f"signed with {fingerprint}\n"
    signing_key.path().unlink()
    key_command.sign(run)  # another key by now: the signature that holds stays
    assert (signed_by(run), capsys.readouterr().err) == (fingerprint, "")
    record = run / "record.json"
    record.write_text(record.read_text().replace('"level": "full"', '"level": "none"'))
    assert signed_by(run) is None


def test_a_run_that_cannot_be_signed_is_told_in_one_line(
    run: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home.write_text("in the way")
    key_command.sign(run)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("finished, but not signed: SYS-KEY")


# The weights


def test_each_digest_stands_for_files_whose_hash_it_is() -> None:
    config = compose("video", ["base=nano"])
    from pokora_anime.catalogue import needed_weights, weight_hashes

    everything: dict[str, dict[str, str]] = {}
    for row in needs(config):
        folder = needed_weights.locate(row)
        assert folder is not None
        everything[row.id] = weight_hashes.verify(row, folder)
    base = everything["nano"]
    unet = text_hash({name: sha for name, sha in base.items() if name.startswith(("unet", "scheduler"))})
    motion = text_hash(everything["nano-motion"])
    found = weight_files(config, {unet, motion})
    assert set(found) == {unet, motion}
    for digest, entry in found.items():
        assert isinstance(entry, dict)
        assert text_hash(entry["files"]) == digest
        assert entry["files"].items() <= everything[entry["row"]].items()
    with pytest.raises(RecordError, match="REC-WEIGHTS"):
        weight_files(config, {unet, "0" * 64})
