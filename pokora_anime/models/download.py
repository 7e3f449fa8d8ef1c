"""`pokora models fetch`: list, show licences, look at the disk; then fetch, check and lock file by file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from pokora_anime.config.schema import Family
from pokora_anime.errors import PokoraError, WeightsError
from pokora_anime.models import hashes, hub, lock
from pokora_anime.models.advice import absent, fetch_row, leave_out, refuse_blocked, refuse_empty
from pokora_anime.models.convert import convert
from pokora_anime.models.data import free_space
from pokora_anime.models.hub import Listing
from pokora_anime.models.licences import Terms
from pokora_anime.models.lock import Conversion, Entry, LockedFile
from pokora_anime.models.meter import Meter, amount
from pokora_anime.models.places import converted_folder, hub_cache, locate, repo_cache
from pokora_anime.models.rows import Row, loaded_name
from pokora_anime.provenance.atomic import disk_error, writing

SPARE = 256 * 2**20  # bytes that a full disk would miss first
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Work:
    """Rows that must come over the network, and what stood in the way of others."""

    listings: tuple[Listing, ...]
    failures: tuple[PokoraError, ...]

    @property
    def bytes(self) -> int:
        """To be downloaded, as far as sizes are announced."""
        return sum(listed.lacking(file) for listed in self.listings for file in listed.waiting())

    @property
    def room(self) -> int:
        """To be written: downloads, and conversions beside them."""
        copies = sum(file.size or 0 for one in self.listings if one.row.converted for file in one.files)
        return self.bytes + copies


def fetch(
    rows: Sequence[Row], family: Family, *, accept: Collection[str] = (), report: Report = print
) -> list[Path]:
    """Download what is not here, at the registered commits; returns the folders of all rows.

    What cannot be had is reported and the rest is fetched; then the failure is raised, all of them in
    one: WGT-1 (not given out), WGT-2 (not as registered), WGT-7 (its licence needs a decision: `accept`),
    WGT-8 (cannot be converted), WGT-9 (gated), WGT-10 (revision gone), SYS-NET. WGT-3 (blocked) and a
    disk that is too small (SYS-DISK) end it before anything is fetched.
    """
    for row in rows:
        refuse_blocked(row, family)
        refuse_empty(row)
    _accept(rows, accept)
    work = _plan(rows, family, report)
    _check_disk(work)
    if work.listings:
        report(f"to fetch: {amount(work.bytes)}")
    failures = list(work.failures)
    with Meter(work.bytes) as meter:
        for listed in work.listings:
            try:
                _obtain(listed, meter, report)
            except PokoraError as error:
                if error.code == "SYS-DISK":
                    raise
                if len(rows) > 1:
                    report(f"{listed.row.id}: {error.line()}")
                failures.append(error)
    if failures:
        raise _together(failures)
    return [folder for row in rows if (folder := locate(row)) is not None]


def _accept(rows: Sequence[Row], accept: Collection[str]) -> None:
    for row in rows:
        if row.id in accept and row.terms.terms is Terms.unclear:
            lock.accept(row.id, row.licence)


def _plan(rows: Sequence[Row], family: Family, report: Report) -> _Work:
    listings: list[Listing] = []
    failures: list[PokoraError] = []
    for row in rows:
        try:
            listed = _listed(row, family, report)
            if listed is not None:
                listings.append(listed)
        except PokoraError as error:
            if len(rows) > 1:  # a single failure is told once, by whoever catches it
                report(f"{row.id}: {error.line()}")
            failures.append(error)
    return _Work(tuple(listings), tuple(failures))


def _listed(row: Row, family: Family, report: Report) -> Listing | None:
    """What must be fetched of a row; None if it is here and was compared with the hub before."""
    folder = locate(row)
    if folder is not None and (row.packaged or row.own or lock.entry(row) is not None):
        hashes.verify(row, folder)
        report(f"{row.id}: here, {folder}")
        return None
    if row.packaged or row.own:
        raise absent([row], [row], family)
    if row.terms.terms is Terms.unclear and lock.read().accepted.get(row.id) != row.licence:
        raise WeightsError(
            "WGT-7",
            f"{row.id}: {row.terms.name}, so a person has to decide ({row.reason})",
            expected="a decision",
            fix=f"look at {row.link}, then {fetch_row(row)} --accept {row.id},"
            f" or use {leave_out(row, family)}",
        )
    listed = hub.listing(row)
    size = sum(file.size or 0 for file in listed.files)
    pin = (
        f"{listed.revision[:12]}{', not pinned' if row.unpinned else ''}" if listed.revision else "by sha256"
    )
    report(f"{row.id}: {listed.repo} ({pin}), {amount(size)}, {row.terms.name} {row.terms.link}".rstrip())
    return listed


def _check_disk(work: _Work) -> None:
    room = work.room
    if not room:
        return
    folder = hub_cache()
    free = free_space(folder)
    if free < room + SPARE:
        raise disk_error(folder, room + SPARE - free, f"{amount(room)} to fetch and {amount(free)} free")


def _obtain(listed: Listing, meter: Meter, report: Report) -> None:
    """All files of one row: fetched, checked, converted where they are pickles, locked."""
    row = listed.row
    paths = {file.name: hub.download(listed, file, meter) for file in listed.files}
    files: dict[str, LockedFile] = {}
    digests: dict[str, str] = {}
    for file in listed.files:
        digest = digests[file.name] = hashes.weight_hash(paths[file.name])
        hub.compare(listed, file, paths[file.name].resolve(), digest)
        compared = "" if row.plain else file.algorithm
        files[file.path] = LockedFile(size=paths[file.name].stat().st_size, sha256=digest, hub=compared)
    conversions = _converted(row, paths, digests)
    lock.record(
        row.id,
        Entry(repo=listed.repo, revision=listed.revision, files=files, conversions=conversions),
    )
    _note_main(listed)
    folder = locate(row)
    if folder is None:
        raise WeightsError("WGT-1", f"{row.id} is not all there", fix=fetch_row(row))
    hashes.verify(row, folder)
    report(f"{row.id}: {row.status.value}{', not pinned' if row.unpinned else ''}, {folder}")


def _converted(row: Row, paths: dict[str, Path], digests: dict[str, str]) -> dict[str, Conversion]:
    found: dict[str, Conversion] = {}
    for name, path in paths.items():
        target = converted_folder(row) / loaded_name(name)
        if loaded_name(name) != name:
            found[loaded_name(name)] = convert(path.resolve(), digests[name], target, row.id)
        elif row.converted or row.plain:
            with writing(target.parent):
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
    return found


def _note_main(listed: Listing) -> None:
    """What main is, for a row without a commit of its own, as the client notes it when it fetches main."""
    if listed.row.revision is not None or listed.row.plain:
        return
    main = repo_cache(listed.repo) / "refs" / "main"
    if not main.exists():
        with writing(main.parent):
            main.parent.mkdir(parents=True, exist_ok=True)
            main.write_text(listed.revision, encoding="utf-8")


def _together(failures: Sequence[PokoraError]) -> PokoraError:
    first = failures[0]
    if len(failures) == 1:
        return first
    got = "; ".join(f"{error.code} {error.got}" for error in failures)
    fixes = dict.fromkeys(error.fix for error in failures if error.fix)
    return type(first)(first.code, got, expected=first.expected, fix="; ".join(fixes))


def table(rows: Sequence[Row]) -> list[str]:
    """What would be fetched, a line for each file: row, file, size, licence; then the total."""
    lines: list[str] = []
    total, unknown = 0, 0
    for row in rows:
        if locate(row) is not None:
            lines.append(f"{row.id}: here")
            continue
        pin = "not pinned" if row.unpinned else (row.revision or "by sha256")[:12]
        lines.append(f"{row.id}: {row.repo} ({pin}), {row.terms.name}, {row.status.value}")
        for name in row.published:
            size = row.sizes.get(name)
            total, unknown = total + (size or 0), unknown + (size is None)
            lines.append(f"  {amount(size) if size is not None else 'size ?':>8}  {name}")
        if row.terms.terms is Terms.unclear and lock.read().accepted.get(row.id) != row.licence:
            lines.append(f"  needs --accept {row.id}: {row.reason}")
    more = f", and {unknown} files of unknown size" if unknown else ""
    return [*lines, f"total: {amount(total)}{more}"]
