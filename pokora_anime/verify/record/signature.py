"""Who signed the run, and whether what was signed is this run."""

from __future__ import annotations

from collections.abc import Iterable

from pokora_anime.errors import RecordError
from pokora_anime.findings import Finding
from pokora_anime.provenance import run_layout
from pokora_anime.provenance.hashing import canonical_json
from pokora_anime.provenance.run_reading import read_run
from pokora_anime.signing import statement
from pokora_anime.untrusted.container import Unreadable, finding
from pokora_anime.untrusted.folder_listing import Folder
from pokora_anime.untrusted.read_limits import Limits


def check(folder: Folder, key: str, limits: Limits) -> Iterable[Finding]:
    """SIG-MISSING, SIG-BAD, SIG-KEY (not the key asked for) and SIG-CONTENT (another run was signed)."""
    if run_layout.STATEMENT not in folder.sizes:
        yield finding(
            "SIG-MISSING",
            "the run is not signed",
            run_layout.STATEMENT,
            fix="`pokora video` signs a run when it finishes; start the same command again",
        )
        return
    try:
        envelope = statement.open_envelope(folder.read(run_layout.STATEMENT, limits.json_bytes))
    except (RecordError, RecursionError) as error:
        yield finding("SIG-BAD", "the signature does not hold", run_layout.STATEMENT, error)
        return
    if key and envelope.fingerprint != key:
        yield finding(
            "SIG-KEY", "another key signed", run_layout.STATEMENT, envelope.fingerprint, expected=key
        )
    if run_layout.LEDGER not in folder.sizes:  # missing, or a link that must not be followed
        yield finding("SIG-CONTENT", "the ledger that was signed is missing", run_layout.LEDGER)
        return
    try:
        payload = statement.build(read_run(folder.root), envelope.fingerprint)
        same = canonical_json(payload).encode() == envelope.payload
    except RecordError as error:
        yield finding("SIG-CONTENT", "the statement is not about this run", run_layout.STATEMENT, error)
        return
    if not same:
        yield finding("SIG-CONTENT", "the statement is not about this run", run_layout.STATEMENT)


def signer(folder: Folder, limits: Limits) -> str:
    """The fingerprint of the key that signed; "" without a signature that holds."""
    try:
        return statement.open_envelope(folder.read(run_layout.STATEMENT, limits.json_bytes)).fingerprint
    except (KeyError, RecordError, RecursionError, Unreadable):
        return ""
