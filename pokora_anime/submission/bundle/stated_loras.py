"""Own LoRAs as a bundle states them: judged by card, hash, licence and statement where all of it agrees.

A judge has not registered a team's LoRA. What the bundle says of it is then no proof, and enough to ask the
right question; where two of its parts speak against each other, the bundle does not hold.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from typing import cast

from pokora_anime.catalogue import own_rows, registry
from pokora_anime.catalogue.licences import LICENCES, Terms
from pokora_anime.catalogue.registry_row import Row
from pokora_anime.errors import PokoraError, RecordError
from pokora_anime.findings import Finding, Severity
from pokora_anime.provenance.hashing import Json, Table, strict_json
from pokora_anime.submission import file_names
from pokora_anime.submission.bundle.file_list import Records
from pokora_anime.submission.bundle.rewritten_files import to_json, used_files
from pokora_anime.submission.documents.checkpoint_list import Checkpoint
from pokora_anime.untrusted.container import Unreadable, finding
from pokora_anime.untrusted.folder_listing import Folder
from pokora_anime.untrusted.read_limits import Limits
from pokora_anime.untrusted.untrusted_names import shown
from pokora_anime.verify.policy import weights_policy
from pokora_anime.workshop.data import data_card

MOST_BYTES = 64 * 2**20  # of all LoRAs that a bundle carries
Stated = tuple[Row, ...]


def carried(checkpoints: Iterable[Checkpoint], *, files: bool = False) -> dict[str, bytes]:
    """By name in the bundle, what is stated of the LoRAs that were trained here; with `files`, they too.

    Raises RecordError SUB-LORAS for files that are too large to carry, or that are not those registered.
    """
    rows = [one.row for one in checkpoints if one.row.own and one.row.data_set]
    found = {file_names.own_lora(row.id): to_json(own_rows.lora_entry(row)) for row in rows}
    if not files:
        return found
    if (size := sum(sum(row.sizes.values()) for row in rows)) > MOST_BYTES:
        raise RecordError(
            "SUB-LORAS",
            f"--with-loras: {size / 2**20:.0f} MiB of {len(rows)} LoRAs",
            expected=f"at most {MOST_BYTES // 2**20} MiB",
            fix="leave --with-loras out, and hand the files to the judge",
        )
    return found | {file_names.lora_file(row.id): _file(row) for row in rows}


def _file(row: Row) -> bytes:
    data = (own_rows.folder_of(row) / row.files[0]).read_bytes()
    if sha256(data).hexdigest() != row.sha256[row.files[0]]:
        raise RecordError(
            "SUB-LORAS",
            f"{row.files[0]} is not the file that was registered",
            expected=f"sha256 {row.sha256[row.files[0]][:12]}",
            fix="register it again with `pokora models add`, and render again",
        )
    return data


def read(folder: Folder, by_run: Records, limits: Limits) -> tuple[Stated, list[Finding]]:
    """The rows that hold by themselves, and BND-CARD for each that does not."""
    used = used_files(by_run)
    stated: list[Row] = []
    found: list[Finding] = []
    for name in [name for name in used if own_rows.ID.fullmatch(name)]:
        file = file_names.own_lora(name)
        if file not in folder.sizes:
            continue
        row = _row(folder, file, limits)
        if row is None or row.id != name:
            found.append(finding("BND-CARD", "not what pokora states of an own LoRA", file, shown(name)))
        elif (
            reason := _misfit(row, used[name])
            or _other_file(folder, row)
            or _card_misfit(folder, row, limits)
        ):
            found.append(finding("BND-CARD", "a statement that does not hold", file, reason))
        else:
            stated.append(row)
    return tuple(sorted(stated, key=lambda row: bool(row.version_of))), found  # the newest fills a slot


@contextmanager
def known(folder: Folder, rows: Stated) -> Generator[None]:
    """Within, this install knows the LoRAs that the bundle in `folder` states, and their files where it
    carries them."""
    with own_rows.stated(rows, folder.root / file_names.LORAS):
        yield


def check(rows: Stated, told: Sequence[Table]) -> Iterator[Finding]:
    """BND-CARD where weights.json says something else of a stated LoRA, and BND-LORA with what to ask."""
    by_id = {str(one["id"]): one for one in told}
    for row in rows:
        entry = by_id.get(row.id)
        if entry is not None and entry != Checkpoint(row=row, files=row.sha256).to_plain():
            message = "weights.json says something else of this LoRA than its statement"
            yield finding("BND-CARD", message, file_names.own_lora(row.id), row.id)
        (digest,) = row.sha256.values()
        message = "a LoRA of the team's own, judged by what the bundle states of it"
        yield replace(
            finding("BND-LORA", message, file_names.own_lora(row.id), f"{row.id}: {row.data_statement}"),
            severity=Severity.review,
            expected="training data that is free",
            fix=f"read {file_names.data_cards(row.id)[1]}; ask the team for the pictures and for"
            f" {row.files[0]} (sha256 {digest}): once `pokora models add` has it, replay computes with it",
        )


def _row(folder: Folder, file: str, limits: Limits) -> Row | None:
    """The row that a statement is of; None for anything that pokora does not write."""
    try:
        data = folder.read(file, limits.json_bytes)
        table = cast(Table, strict_json(data, file))
        return own_rows.read_lora(table) if to_json(cast(Json, table)) == data else None
    except (PokoraError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _misfit(row: Row, files: Mapping[str, Json]) -> str:
    """Why a row is no own LoRA that these runs loaded; "" if it is."""
    if dict(files) != row.sha256:
        return "the runs loaded another file than it names"
    if LICENCES[row.licence].terms is not Terms.open:
        return f"licence {row.licence}, which may not be used"
    if row.id in {name for one in registry.shipped() for name in one.names}:
        return "its name is that of weights of the registry"
    others = {
        digest: one.id for one in registry.shipped() for digest in weights_policy.promised(one).values()
    }
    if other := next((others[digest] for digest in row.sha256.values() if digest in others), ""):
        return f"its file is {other}, which the team did not train"
    return ""


def _other_file(folder: Folder, row: Row) -> str:
    """Why the file that the bundle carries is not this LoRA; "" if it is, or there is none."""
    name = file_names.lora_file(row.id)
    try:
        same = name not in folder.sizes or folder.sha256(name) == row.sha256[row.files[0]]
    except Unreadable:
        same = False
    return "" if same else f"{name} is another file than it names"


def _card_misfit(folder: Folder, row: Row, limits: Limits) -> str:
    """Why the data card beside it is not that of this LoRA; "" if it is."""
    card, page = file_names.data_cards(row.id)
    try:
        parts = [folder.read(name, limits.json_bytes) for name in (card, page) if name in folder.sizes]
    except Unreadable:
        parts = []
    if len(parts) != 2:
        return "its data card is missing"
    if reason := data_card.misfit(parts[0], parts[1], row.data_statement):
        return reason
    told = cast(Table, strict_json(parts[0], card))
    if (row.data_set, row.data_statement) != (f"{told['id']}@{told['version']}", told["statement"]):
        return "its card says something else of the data"
    licences = [str(one["id"]) for one in cast(list[Table], told["licences"])]
    closed = [name for name in licences if LICENCES[name].terms is not Terms.open]
    return f"pictures under {closed[0]}, which may not be used" if closed else ""
