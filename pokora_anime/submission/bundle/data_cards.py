"""Data cards of own LoRAs in a bundle: what each was shown, and whether the card is that of the weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pokora_anime.catalogue import own_rows
from pokora_anime.findings import Finding
from pokora_anime.provenance.hashing import Table
from pokora_anime.submission import file_names
from pokora_anime.submission.documents.checkpoint_list import Checkpoint
from pokora_anime.untrusted.container import Unreadable, finding
from pokora_anime.untrusted.folder_listing import Folder
from pokora_anime.untrusted.read_limits import Limits
from pokora_anime.workshop.data import data_card


def carried(checkpoints: Iterable[Checkpoint]) -> dict[str, bytes]:
    """By name in the bundle, the cards of the LoRAs that were trained here."""
    found: dict[str, bytes] = {}
    for row in (one.row for one in checkpoints if one.row.data_set):
        page, card = (own_rows.folder_of(row) / name for name in own_rows.CARDS)
        if page.is_file() and card.is_file():
            found |= dict(
                zip(file_names.data_cards(row.id), (card.read_bytes(), page.read_bytes()), strict=True)
            )
    return found


def check(folder: Folder, rows: Sequence[Table], limits: Limits) -> Iterator[Finding]:
    """BND-CARD: each card is whole, as it is written of its rows, and of the data that the weights name."""
    for row in rows:
        card, page = file_names.data_cards(str(row["id"]))
        there = [name for name in (card, page) if name in folder.sizes]
        if not there:
            continue
        try:
            parts = [folder.read(name, limits.json_bytes) for name in (card, page) if name in folder.sizes]
        except Unreadable:
            continue  # told by the hashes
        reason = "one of its two files is missing"
        if len(parts) == 2:
            reason = data_card.misfit(parts[0], parts[1], str(row["data_statement"]))
        if reason:
            yield finding("BND-CARD", "no data card of these weights", there[0], reason)
