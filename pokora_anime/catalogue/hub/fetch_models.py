"""`pokora models fetch`: list, show licences, look at the disk; then fetch, check and lock file by file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pokora_anime.catalogue import lockfile, weight_hashes
from pokora_anime.catalogue.checkpoint.pickle_convert import convert
from pokora_anime.catalogue.hub import hub_client
from pokora_anime.catalogue.hub.download_meter import Meter
from pokora_anime.catalogue.hub.hub_client import Listing
from pokora_anime.catalogue.licences import Terms
from pokora_anime.catalogue.lockfile import Conversion, Entry, LockedFile
from pokora_anime.catalogue.registry_row import WEIGHTS, Row, loaded_name
from pokora_anime.catalogue.weight_paths import converted_folder, hub_cache, locate, repo_cache
from pokora_anime.catalogue.weights_advice import absent, fetch_row, leave_out, refuse_blocked, refuse_empty
from pokora_anime.errors import PokoraError, WeightsError
from pokora_anime.schema.settings import Family
from pokora_anime.system.files.atomic_files import disk_error, writing
from pokora_anime.system.files.user_folder import amount, data_folder, free_space

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
    def copies(self) -> int:
        """To be written besides: conversions, and what is kept of plain downloads."""
        copied = [one for one in self.listings if one.row.converted or one.row.plain]
        return sum(file.size or 0 for one in copied for file in one.files)


def fetch(
    rows: Sequence[Row], family: Family, *, accept: Collection[str] = (), report: Report = print
) -> list[Path]:
    """Download what is not here, at the registered commits; returns the folders of all rows.

    What cannot be had is reported and the rest is fetched; then the failure is raised, all of them in
    one: WGT-MISSING (not given out), WGT-DAMAGED (not as registered), WGT-CONVERT, WGT-GATED, WGT-REVISION
    (it is gone), SYS-NET. Before anything is fetched it is ended by WGT-BLOCKED, WGT-REVIEW (a licence needs
    a decision: `accept`), no connection (SYS-NET) and a disk that is too small (SYS-DISK).
    """
    for row in rows:
        refuse_blocked(row, family)
        refuse_empty(row)
    _accept(rows, accept)
    if open_questions := undecided(rows):
        raise _decide(open_questions, family)
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
            lockfile.accept(row.id, row.licence)


def undecided(rows: Sequence[Row]) -> list[Row]:
    """Rows that are to be fetched and whose licence nobody has stated or accepted yet."""
    accepted = lockfile.read().accepted
    unclear = [row for row in rows if row.terms.terms is Terms.unclear and not (row.own or row.packaged)]
    waiting = [row for row in unclear if locate(row) is None or lockfile.entry(row) is None]
    return [row for row in waiting if accepted.get(row.id) != row.licence]


def _decide(rows: Sequence[Row], family: Family) -> WeightsError:
    each = ", ".join(f"{row.id} ({row.terms.name}: {row.reason})" for row in rows)
    links = " and ".join(dict.fromkeys(row.link for row in rows))
    flags = " ".join(f"--accept {row.id}" for row in rows)
    without = " ".join(dict.fromkeys(leave_out(row, family) for row in rows))
    return WeightsError(
        "WGT-REVIEW",
        f"a person has to decide about {each}; nothing was fetched",
        expected="a decision",
        fix=f"look at {links}, then the same command with {flags}, or with {without}",
    )


def _plan(rows: Sequence[Row], family: Family, report: Report) -> _Work:
    listings: list[Listing] = []
    failures: list[PokoraError] = []
    for row in rows:
        try:
            listed = _listed(row, family, report)
            if listed is not None:
                listings.append(listed)
        except PokoraError as error:
            if error.code == "SYS-NET" and not listings:
                raise  # no connection: the others would say the same
            if len(rows) > 1:  # a single failure is told once, by whoever catches it
                report(f"{row.id}: {error.line()}")
            failures.append(error)
    return _Work(tuple(listings), tuple(failures))


def _listed(row: Row, family: Family, report: Report) -> Listing | None:
    """What must be fetched of a row; None if it is here and was compared with the hub before."""
    folder = locate(row)
    if folder is not None and (row.packaged or row.own or lockfile.entry(row) is not None):
        weight_hashes.verify(row, folder)
        report(f"{row.id}: here, {folder}")
        return None
    if row.packaged or row.own:
        raise absent([row], [row], family)
    listed = hub_client.listing(row)
    size = sum(file.size or 0 for file in listed.files)
    pin = (
        f"{listed.revision[:12]}{', not pinned' if row.unpinned else ''}" if listed.revision else "by sha256"
    )
    report(f"{row.id}: {listed.repo} ({pin}), {amount(size)}, {row.terms.name} {row.terms.link}".rstrip())
    return listed


def _check_disk(work: _Work) -> None:
    """Raise SYS-DISK where downloads do not fit into the hub's cache, or copies into the data folder."""
    rooms = {hub_cache(): work.bytes, data_folder(): work.copies}
    together = work.bytes + work.copies
    if _device(hub_cache()) == _device(data_folder()):
        rooms = {hub_cache(): together}
    for folder, room in rooms.items():
        free = free_space(folder)
        if room and free < room + SPARE:
            raise disk_error(folder, room + SPARE - free, f"{amount(room)} to fetch and {amount(free)} free")


def _device(folder: Path) -> int:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.stat().st_dev


def _obtain(listed: Listing, meter: Meter, report: Report) -> None:
    """All files of one row: fetched, checked, converted where they are pickles, locked."""
    row = listed.row
    paths = {file.name: hub_client.download(listed, file, meter) for file in listed.files}
    files: dict[str, LockedFile] = {}
    digests: dict[str, str] = {}
    for file in listed.files:
        digest = digests[file.name] = weight_hashes.weight_hash(paths[file.name])
        hub_client.compare(listed, file, paths[file.name].resolve(), digest)
        compared = "" if row.plain else file.algorithm
        files[file.path] = LockedFile(size=paths[file.name].stat().st_size, sha256=digest, hub=compared)
    conversions = _converted(row, paths, digests)
    lockfile.record(
        row.id,
        Entry(repo=listed.repo, revision=listed.revision, files=files, conversions=conversions),
    )
    _note_main(listed)
    folder = locate(row)
    if folder is None:
        raise WeightsError("WGT-MISSING", f"{row.id} is not all there", fix=fetch_row(row))
    weight_hashes.verify(row, folder)
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
    """One error for all: each code once, with what it was about."""
    first = failures[0]
    if len(failures) == 1:
        return first
    by_code: dict[str, list[PokoraError]] = {}
    for error in failures:
        by_code.setdefault(error.code, []).append(error)
    got = "; ".join(
        alike[0].got if len(alike) == 1 else f"{code} {len(alike)} times, first {alike[0].got}"
        for code, alike in by_code.items()
    )
    fixes = dict.fromkeys(alike[0].fix for alike in by_code.values() if alike[0].fix)
    return type(first)(first.code, got, expected=first.expected, fix="; ".join(fixes))


def table(rows: Sequence[Row]) -> list[str]:
    """What would be fetched, a line for each file: row, file, size, licence; then the total.

    Sizes of weights that the registry does not know are asked of the hub, where it can be reached.
    """
    lines: list[str] = []
    total, unknown = 0, 0
    reached = True
    for row in rows:
        if locate(row) is not None:
            lines.append(f"{row.id}: here")
            continue
        pin = "not pinned" if row.unpinned else (row.revision or "by sha256")[:12]
        lines.append(f"{row.id}: {row.repo} ({pin}), {row.terms.name}, {row.status.value}")
        sizes, reached = _sizes(row, reached)
        for name, size in sizes.items():
            small = size is None and PurePosixPath(name).suffix not in WEIGHTS
            total, unknown = total + (size or 0), unknown + (size is None and not small)
            told = amount(size) if size is not None else "small" if small else "size ?"
            lines.append(f"  {told:>8}  {name}")
        if undecided([row]):
            lines.append(f"  needs --accept {row.id}: {row.reason}")
    more = f", and {unknown} files of unknown size (the hub was not reached)" if unknown else ""
    return [*lines, f"total: {amount(total)}{more}, {amount(free_space(hub_cache()))} free in {hub_cache()}"]


def _sizes(row: Row, reached: bool) -> tuple[dict[str, int | None], bool]:
    """Bytes by file name, and whether the hub is still worth asking."""
    sizes: dict[str, int | None] = {name: row.sizes.get(name) for name in row.published}
    heavy = [size for name, size in sizes.items() if PurePosixPath(name).suffix in WEIGHTS]
    if row.slot or row.packaged or row.own or None not in heavy or not reached:
        return sizes, reached
    try:
        return {file.name: file.size for file in hub_client.listing(row).files}, True
    except PokoraError as error:
        return sizes, error.code != "SYS-NET"
