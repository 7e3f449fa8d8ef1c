"""One submission from the team's words and its runs: judged, documented, packed, signed, written whole."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pokora_anime.devices.forecast import disk_space
from pokora_anime.errors import ConfigError, MachineError, RecordError
from pokora_anime.findings import Finding
from pokora_anime.provenance.hashing import Json, Table, file_hash
from pokora_anime.rules import contest_limits
from pokora_anime.submission import entry_rules, file_names
from pokora_anime.submission.bundle import (
    compliance_page,
    credentials,
    data_cards,
    judge_readme,
    manifest,
    rewritten_files,
    ro_crate,
    seal,
    stated_loras,
    zip_writer,
)
from pokora_anime.submission.bundle.source_tree import Source, read
from pokora_anime.submission.chosen_runs import Choice, Run, choose
from pokora_anime.submission.documents import content, document_set
from pokora_anime.submission.documents.checkpoint_list import Checkpoint, bibtex, used
from pokora_anime.submission.documents.document_set import Documents, libraries
from pokora_anime.submission.project import Project
from pokora_anime.system.files.atomic_files import write_atomic, writing

Tell = Callable[[str], None]
HASH = 12
_DOCUMENTS = 40_000_000  # write-up and poster, in the archive and beside it, and what is small


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A submission before its documents are made."""

    project: Project
    choice: Choice
    checkpoints: tuple[Checkpoint, ...]
    source: Source | None
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """The bundle's path, None where something bars it; and every finding."""

    path: Path | None
    findings: tuple[Finding, ...]
    size: int = 0
    poster_quality: int = 0


def consider(root: Path, project: Project, *, draft: bool = False) -> Judged:
    """The project's runs, weights and source with what stands against them. Raises PokoraError SUB-*."""
    choice = choose(root, project)
    checkpoints = used(run.reading for run in choice.runs)
    packaged = any(one.row.packaged for one in checkpoints)
    try:
        source = read(root, weights=packaged, working_tree=draft)
    except ConfigError:
        if not draft:
            raise
        source = None
    found = entry_rules.examine(project, choice, checkpoints, source, contest_limits.load(project.contest))
    return Judged(
        project=project, choice=choice, checkpoints=checkpoints, source=source, findings=tuple(found)
    )


def build(
    root: Path,
    project: Project,
    *,
    draft: bool = False,
    loras: bool = False,
    tell: Tell = lambda _: None,
) -> Built:
    """Writes submission/dist/<title>-<hash>.zip with its PDFs beside it, or nothing where something bars it.

    A draft is written in any case, watermarked; with `loras` the team's own LoRAs go into the archive. Raises
    PokoraError SUB-*, SYS-*, REC-*.
    """
    tell("verifying the runs")
    judged = consider(root, project, draft=draft)
    for command in ("video", "stills"):
        if chosen := judged.choice.told(root, command):
            tell(f"{command}: {chosen}")
    if entry_rules.barring(judged.findings) and not draft:
        return Built(path=None, findings=judged.findings)
    _require_disk(root / file_names.FOLDER / file_names.DIST, judged)
    tell("write-up and poster")
    source = judged.source
    shown = content.collect(project, judged.choice, judged.checkpoints, commit=_commit(source), draft=draft)
    made = document_set.make(shown, judged.checkpoints, contest_limits.load(project.contest))
    findings = (*judged.findings, *made.findings)
    if entry_rules.barring(findings) and not draft:
        return Built(path=None, findings=findings)
    tell("bundle")
    own = stated_loras.carried(judged.checkpoints, files=loras)
    files = _files(judged, made, shown.data, own, draft=draft)
    listed = manifest.parse(files[file_names.MANIFEST])
    signed_copies = credentials.make(judged.choice, tell)
    digests = manifest.hashes(
        {name: files[name] for name in (file_names.MANIFEST, file_names.SUMS)} | signed_copies
    )
    sealed = {**files, **signed_copies, file_names.STATEMENT: seal.sign(digests, draft)}
    top = _name(listed, files[file_names.SUMS], draft=draft)
    path = _write(root, top, sealed, made)
    return Built(path=path, findings=findings, size=path.stat().st_size, poster_quality=made.quality)


def _files(
    judged: Judged, made: Documents, data: Table, loras: Mapping[str, bytes], *, draft: bool
) -> dict[str, bytes]:
    """Every file of the bundle but the signature and the signed copies; `loras` are those of own LoRAs."""
    choice, source = judged.choice, judged.source
    files: dict[str, bytes] = {file_names.WRITEUP: made.writeup, file_names.POSTER: made.poster}
    entry: dict[str, str] = {}
    for run in choice.runs:
        for name in run.files:
            files[f"{file_names.RUNS}/{run.name}/{name}"] = _unchanged(run, name)
        for name in run.delivered:
            own = file_names.VIDEO if run.reading.command == "video" else file_names.still(_stills(entry))
            entry[own] = f"{file_names.RUNS}/{run.name}/{name}"
            files[own] = files[entry[own]]
    sources = source.files if source else dict[str, bytes]()
    files |= {f"{file_names.SOURCE}/{name}": text for name, text in sources.items()}
    files |= data_cards.carried(judged.checkpoints) | dict(loras)
    files[file_names.CITATIONS] = bibtex(judged.checkpoints).encode()
    rows = [one.to_plain() for one in judged.checkpoints]
    files[file_names.WEIGHTS] = rewritten_files.to_json([*rows])
    table = _manifest(judged, made, data, entry, draft=draft)
    told = manifest.Manifest(content=table)
    runs = [(name, run.report) for name, run in zip(told.runs, choice.runs, strict=True)]
    files[file_names.REPORT] = compliance_page.page(told, runs)
    files[file_names.README] = judge_readme.readme(told)
    files[file_names.CRATE] = ro_crate.metadata(told, rows, {name: len(text) for name, text in files.items()})
    digests = manifest.hashes(files)
    table["files"] = dict[str, Json](digests)
    files[file_names.MANIFEST] = manifest.to_bytes(table)
    files[file_names.SUMS] = manifest.sums(manifest.hashes(files))
    return files


def _manifest(
    judged: Judged, made: Documents, data: Table, entry: Mapping[str, str], *, draft: bool
) -> Table:
    """What bundle.json says, without the hashes of the files."""
    project, source = judged.project, judged.source
    return {
        "format": file_names.FORMAT,
        "kind": file_names.KIND,
        "draft": draft,
        "contest": project.contest,
        "title": str(data["title"]),
        "members": data["members"],
        "words": {name: str(getattr(project, name)).strip() for name in manifest.WORDS},
        "runs": [f"{file_names.RUNS}/{run.name}" for run in judged.choice.runs],
        "entry": {**entry},
        "source": {
            "commit": _commit(source),
            "changed": [*(source.changed if source else ())],
            "package_sha256": source.package_sha256 if source else "",
        },
        "documents": {"poster_jpeg_quality": made.quality, "made_with": {**libraries()}},
        "files": {},
    }


def _require_disk(folder: Path, judged: Judged) -> None:
    if found := disk_space.shortage(folder, _size(judged)):
        got, expected = found
        raise MachineError(
            "SYS-DISK",
            f"the bundle does not fit: {got}",
            expected=expected,
            fix="free some space, then build again",
        )


def _size(judged: Judged) -> int:
    """Bytes that a bundle with its documents takes at most, before any of it is made."""
    runs = judged.choice.runs
    carried = sum((run.folder / name).stat().st_size for run in runs for name in run.files)
    entry = sum((run.folder / name).stat().st_size for run in runs for name in run.delivered)
    source = sum(map(len, judged.source.files.values())) if judged.source else 0
    # The entry lies at the top once more, and again as signed copies.
    return carried + 2 * entry + source + _DOCUMENTS


def _unchanged(run: Run, name: str) -> bytes:
    """A file of a run. Raises RecordError SUB-CHANGED where it is not what was verified a moment ago."""
    data = (run.folder / name).read_bytes()
    if hashlib.sha256(data).hexdigest() != run.reading.files.get(name, file_hash(run.folder / name)):
        raise RecordError(
            "SUB-CHANGED",
            f"{run.folder / name} is not what the run's record says",
            expected="a run that nobody changed since it was rendered",
            fix="render again with fresh=true",
        )
    return data


def _stills(entry: dict[str, str]) -> int:
    return sum(name != file_names.VIDEO for name in entry)


def _commit(source: Source | None) -> str:
    return source.commit if source else "unknown"


def _name(listed: manifest.Manifest, sums: bytes, *, draft: bool) -> str:
    """<title>-<hash>: the hash of everything but the signature and the signed copies."""
    plain = unicodedata.normalize("NFKD", listed.title).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:48] or "submission"
    return f"{slug}{'-draft' if draft else ''}-{hashlib.sha256(sums).hexdigest()[:HASH]}"


def _write(root: Path, top: str, files: dict[str, bytes], made: Documents) -> Path:
    folder = root / file_names.FOLDER / file_names.DIST
    path = folder / f"{top}.zip"
    data = zip_writer.pack(top, files)
    with writing(folder, len(data)):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / f"{top}-writeup.pdf", made.writeup)
        write_atomic(folder / f"{top}-poster.pdf", made.poster)
        write_atomic(path, data)
    return path
