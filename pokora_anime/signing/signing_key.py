"""The Ed25519 key that signs runs: made on first use, kept in the user's config folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pokora_anime.errors import ConfigError, MachineError, RecordError
from pokora_anime.signing import ed25519_points
from pokora_anime.system.files.atomic_files import sync_folder

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PREFIX = "ed25519:"
_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A signing key. Its `fingerprint` is the public key itself: "ed25519:" and 64 hex digits."""

    private: Ed25519PrivateKey
    fingerprint: str

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of the signature (RFC 8032)."""
        return self.private.sign(message)


def path() -> Path:
    """Where the key lies: $XDG_CONFIG_HOME/pokora_anime/signing.key, by default under ~/.config."""
    root = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    try:
        return Path(root).expanduser() / "pokora_anime" / "signing.key"
    except RuntimeError as error:
        raise _unusable(Path(root), "this user has no home folder") from error


def load_or_make() -> Key:
    """The key, made now if there is none yet. Raises MachineError SYS-KEY where that cannot be done."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    place = path()
    try:
        seed = _read(place) if place.exists() else _make(place)
    except OSError as error:
        raise _unusable(place, (error.strerror or str(error)).lower()) from error
    private = Ed25519PrivateKey.from_private_bytes(seed)
    return Key(private=private, fingerprint=PREFIX + private.public_key().public_bytes_raw().hex())


def verify(fingerprint: str, message: bytes, signature: bytes) -> bool:
    """Whether the key with this fingerprint signed the message. Raises RecordError REC-SIGNATURE for none."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    raw = public_bytes(fingerprint)
    if ed25519_points.is_weak(raw):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(raw).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def check_typed(fingerprint: str | None) -> str:
    """A fingerprint that was typed, "" where none was. Raises ConfigError CFG-KEY for what is no key's."""
    if fingerprint is None:
        return ""
    try:
        raw = public_bytes(fingerprint)
    except RecordError as error:
        raise ConfigError(
            "CFG-KEY", f"--key {fingerprint[:80]!r}", expected=error.expected, fix=error.fix
        ) from error
    if ed25519_points.is_weak(raw):
        raise ConfigError(
            "CFG-KEY",
            f"--key {fingerprint}",
            expected="a key that only its holder can sign with: this one is of small order",
            fix="ask the entrant for what `pokora key show` prints",
        )
    return fingerprint


def public_bytes(fingerprint: str) -> bytes:
    """The public key that a fingerprint is. Raises RecordError REC-SIGNATURE for what is none."""
    digits = fingerprint.removeprefix(PREFIX)
    try:
        raw = bytes.fromhex(digits)
    except ValueError:
        raw = b""
    if len(raw) != _BYTES or fingerprint != PREFIX + raw.hex():
        raise RecordError(
            "REC-SIGNATURE",
            f"fingerprint {fingerprint[:80]!r}",
            expected=f"{PREFIX} and 64 hex digits in lower case",
            fix="`pokora key show` prints it",
        )
    return raw


def _read(place: Path) -> bytes:
    text = place.read_bytes()
    try:
        seed = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        seed = b""
    if len(seed) != _BYTES:
        raise _unusable(place, "it does not hold a key of pokora_anime")
    if os.name == "posix" and place.stat().st_mode & 0o077:
        raise _unusable(place, "others may read it", f"chmod 600 {place}")
    return seed


def _make(place: Path) -> bytes:
    seed = os.urandom(_BYTES)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = place.with_name(f".{place.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as handle:
            handle.write(seed.hex() + "\n")
            handle.flush()
            os.fsync(handle.fileno())
        os.link(temporary, place)  # unlike a rename, never over a key that another run made meanwhile
    except FileExistsError:
        return _read(place)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(place.parent)
    return seed


def _unusable(place: Path, reason: str, fix: str = "") -> MachineError:
    return MachineError(
        "SYS-KEY",
        f"no signing key at {place}: {reason}",
        expected="a file that this user alone may read, in a folder that may be written to",
        fix=fix or "mend or move it, or set XDG_CONFIG_HOME to another folder, then `pokora key show`",
    )
