"""Content Credentials (C2PA) on copies of the video and the stills; the plain files stay the entry.

Needs the extra [c2pa]; without it there are no copies, and nothing else changes. The certificate is made
anew each time and known to nobody: what binds a copy to the team is the bundle's own signature over it.
"""

from __future__ import annotations

import datetime
import io
import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol, cast

from pokora_anime.provenance import run_layout
from pokora_anime.provenance.hashing import Json
from pokora_anime.submission import file_names
from pokora_anime.submission.bundle import credential_bytes
from pokora_anime.submission.chosen_runs import Choice, Run

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

Tell = Callable[[str], None]
GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
RECORD = "org.pokora-anime.run"
FORMATS = {".mp4": "video/mp4", ".png": "image/png"}
_DAYS = 3650


class _Reader(Protocol):
    def __enter__(self) -> _Reader: ...
    def __exit__(self, *told: object) -> None: ...
    def json(self) -> str: ...


class _Signers(Protocol):
    def from_info(self, info: object) -> object: ...


class _Settings(Protocol):
    def from_dict(self, settings: dict[str, Json]) -> object: ...


class _Builder(Protocol):
    def add_ingredient(self, about: str, kind: str, file: IO[bytes]) -> object: ...
    def sign(self, signer: object, kind: str, source: IO[bytes], target: IO[bytes]) -> object: ...


class _C2pa(Protocol):
    """What is used of c2pa-python, which is not installed where types are checked."""

    C2paError: type[Exception]
    Signer: _Signers
    Settings: _Settings

    def Reader(self, kind: str, file: IO[bytes]) -> _Reader: ...
    def C2paSignerInfo(self, *, alg: bytes, sign_cert: bytes, private_key: bytes, ta_url: None) -> object: ...
    def Context(self, *, settings: object) -> object: ...
    def Builder(self, manifest: str, context: object) -> _Builder: ...


def available() -> bool:
    """Whether the extra is installed."""
    return find_spec("c2pa") is not None


def make(choice: Choice, tell: Tell) -> dict[str, bytes]:
    """Signed copies by their names in the bundle; none without the extra."""
    if not available():
        return {}
    tell("content credentials")
    made: dict[str, bytes] = {}
    stills = 0
    for run in choice.runs:
        for name in run.delivered:
            is_video = name == run_layout.VIDEO
            copy = file_names.signed_copy(file_names.VIDEO if is_video else file_names.still(stills))
            stills += not is_video
            made[copy] = _signed(run, run.folder / name)
    return made


def read(path: Path) -> tuple[str, list[str]]:
    """The state that C2PA's reader gives a signed copy, and the codes of what failed. Needs the extra.

    Raises ValueError for a file without credentials.
    """
    import c2pa  # pyright: ignore[reportMissingImports]

    sdk = cast("_C2pa", c2pa)

    try:
        with path.open("rb") as file, sdk.Reader(FORMATS[path.suffix], file) as reader:
            store = cast(dict[str, Json], json.loads(reader.json()))
    except (sdk.C2paError, KeyError) as error:
        raise ValueError(f"no Content Credentials: {error}") from error
    status = store.get("validation_status")
    listed = cast(list[dict[str, Json]], status) if isinstance(status, list) else []
    return str(store.get("validation_state")), [str(one.get("code")) for one in listed]


def misfit(copy: bytes, suffix: str, plain: bytes) -> str:
    """Why a signed copy is not the plain file with our credentials and no more; "" where it is.

    Needs no extra.
    """
    try:
        without, store = (
            credential_bytes.without_mp4(copy) if suffix == ".mp4" else credential_bytes.without_png(copy)
        )
    except ValueError as error:
        return str(error)
    if without != plain:
        return "without its credentials it is another file than the entry's"
    reason = credential_bytes.misfit(store)
    return f"its credentials hold more than pokora puts in: {reason}" if reason else ""


def _signed(run: Run, path: Path) -> bytes:
    import c2pa  # pyright: ignore[reportMissingImports]

    sdk = cast("_C2pa", c2pa)

    kind = FORMATS[path.suffix]
    certificates, key = _certificate()
    signer = sdk.Signer.from_info(
        sdk.C2paSignerInfo(alg=b"es256", sign_cert=certificates, private_key=key, ta_url=None)
    )
    # No thumbnails: a signed copy has no picture but the one that it is a copy of.
    plain = sdk.Context(settings=sdk.Settings.from_dict({"builder": {"thumbnail": {"enabled": False}}}))
    builder = sdk.Builder(json.dumps(_manifest(run, path.name, kind)), plain)
    keyframe = run.folder / run_layout.KEYFRAME
    if keyframe.name in run.reading.pictures:
        about = {"title": "keyframe, drawn by the model", "format": "image/png", "relationship": "inputTo"}
        with keyframe.open("rb") as file:
            builder.add_ingredient(json.dumps(about), "image/png", file)
    target = io.BytesIO()
    with path.open("rb") as file:
        builder.sign(signer, kind, file, target)
    return target.getvalue()


def _manifest(run: Run, title: str, kind: str) -> dict[str, Json]:
    reading = run.reading
    created: dict[str, Json] = {
        "action": "c2pa.created",
        "digitalSourceType": GENERATED,
        "softwareAgent": {"name": "pokora_anime", "version": _version(reading.record)},
    }
    record: dict[str, Json] = {
        "record_sha256": reading.sha256,
        "key": reading.key,
        "prompt": run.config.shot.prompt,
        "seed": run.config.seed,
        "weights": [*sorted({entry.row for entry in reading.weights.values()})],
    }
    return {
        "claim_generator_info": [{"name": "pokora_anime", "version": _version(reading.record)}],
        "title": title,
        "format": kind,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [created]}},
            {"label": RECORD, "data": record},
        ],
    }


def _version(record: dict[str, Json]) -> str:
    code = record.get("code")
    return str(code.get("version")) if isinstance(code, dict) else ""


def _certificate() -> tuple[bytes, bytes]:
    """A certificate of its own authority, as the format's profile asks for: chain and private key as PEM."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = _issued("pokora_anime bundle root", root_key.public_key(), root_key, authority=True)
    leaf = _issued("pokora_anime bundle", key.public_key(), root_key, authority=False)
    chain = b"".join(one.public_bytes(serialization.Encoding.PEM) for one in (leaf, root))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return chain, private


def _issued(
    name: str, public: ec.EllipticCurvePublicKey, root: ec.EllipticCurvePrivateKey, *, authority: bool
) -> x509.Certificate:
    """A certificate that the root signs: of itself as an authority, or of the key that signs the copies."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def called(text: str) -> x509.Name:
        parts = ((NameOID.COMMON_NAME, text), (NameOID.ORGANIZATION_NAME, "pokora_anime"))
        return x509.Name([x509.NameAttribute(kind, value) for kind, value in parts])

    now = datetime.datetime.now(datetime.UTC)
    use = x509.KeyUsage(
        digital_signature=not authority, key_cert_sign=authority, crl_sign=authority,
        content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(called(name))
        .issuer_name(called("pokora_anime bundle root"))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=_DAYS))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(use, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(signer, critical=False)
    )
    if not authority:
        purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(purpose, critical=False)
    return builder.sign(root, hashes.SHA256())
