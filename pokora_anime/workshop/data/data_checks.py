"""Whether a stored data set is still what it was, and how two versions differ. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass

from pokora_anime.errors import DataError
from pokora_anime.findings import Finding, Severity
from pokora_anime.provenance.hashing import array_hash
from pokora_anime.workshop.data import data_card, data_store
from pokora_anime.workshop.data.data_set import DataSet
from pokora_anime.workshop.data.data_store import Stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Names of pictures that only the second set has, that only the first has, and that differ, with how."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[tuple[str, str], ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


def check(stored: Stored) -> list[Finding]:
    """DAT-DAMAGED for each picture and each card that is not what the version's hash names."""
    found: list[Finding] = []
    for entry in stored.data.entries:
        try:
            sound = array_hash(stored.picture(entry)) == entry.pixels
            got = "" if sound else "other pixels"
        except DataError as error:
            sound, got = False, error.got
        if not sound:
            found.append(_damaged("a picture that was changed or is gone", entry.file, got))
        caption = (stored.folder / entry.file).with_suffix(".txt")
        if (
            not caption.is_file()
            or caption.read_text(encoding="utf-8", errors="replace").strip() != entry.caption
        ):
            found.append(_damaged("a caption that was changed or is gone", f"{entry.file[:-4]}.txt", ""))
    card = data_card.table(stored.data)
    for name, wanted in (
        (data_store.CARD, data_card.markdown(card).encode()),
        (data_store.CARD_DATA, data_card.to_json(card)),
    ):
        path = stored.folder / name
        if not path.is_file() or path.read_bytes() != wanted:
            found.append(_damaged("a data card that was changed or is gone", name, ""))
    return found


def _damaged(message: str, where: str, got: str) -> Finding:
    return Finding(
        code="DAT-DAMAGED",
        severity=Severity.block,
        message=message,
        where=where,
        got=got,
        expected="what was added",
        fix="add the pictures again",
    )


def difference(first: DataSet, second: DataSet) -> Difference:
    """From the first to the second, by picture name."""
    before, after = ({one.name: one for one in data.entries} for data in (first, second))
    changed: list[tuple[str, str]] = []
    for name in before.keys() & after.keys():
        one, other = before[name], after[name]
        kinds = [
            what
            for what, same in (
                ("pixels", one.pixels == other.pixels),
                ("caption", one.caption == other.caption),
                ("licence", one.licence == other.licence),
                ("source", (one.source, one.author) == (other.source, other.author)),
            )
            if not same
        ]
        if kinds:
            changed.append((name, ", ".join(kinds)))
    return Difference(
        added=tuple(sorted(after.keys() - before.keys())),
        removed=tuple(sorted(before.keys() - after.keys())),
        changed=tuple(sorted(changed)),
    )
