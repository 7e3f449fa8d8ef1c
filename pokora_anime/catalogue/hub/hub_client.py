"""The hub through its own client: what a repository holds at a commit, and its files, resumed.

Torch-free. Every file is compared with the hub's own hash before it enters the cache.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pokora_anime.catalogue import lockfile
from pokora_anime.catalogue.hub.download_meter import Meter
from pokora_anime.catalogue.hub.hub_errors import translated
from pokora_anime.catalogue.registry_row import COMMIT, SHA256, WEIGHTS, Row, matches
from pokora_anime.catalogue.weight_paths import converted_folder, hub_cache, repo_cache
from pokora_anime.catalogue.weights_advice import fetch_row
from pokora_anime.errors import MachineError, PokoraError, WeightsError
from pokora_anime.provenance.hashing import file_hash

TIMEOUT = 20.0
PARTIAL = ".pokora.incomplete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A file as its publisher announces it; `digest` is a sha256 or git's sha1 (`algorithm`)."""

    name: str  # relative to the row's folder, as the registry has it
    path: str  # in the repository
    url: str
    size: int | None
    algorithm: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The files of a row in one repository at one commit (none for a plain download)."""

    row: Row
    repo: str
    revision: str
    files: tuple[Remote, ...]

    def waiting(self) -> list[Remote]:
        """What is not here yet."""
        return [file for file in self.files if not target(self, file).exists()]

    def lacking(self, file: Remote) -> int:
        """Bytes of a file that are still to come; 0 where its size is not announced."""
        part = partial(self, file)
        return max(0, (file.size or 0) - (part.stat().st_size if part.exists() else 0))


def listing(row: Row) -> Listing:
    """What the row's repository, or the first mirror that can be reached, holds for it.

    Raises WeightsError WGT-MISSING (not given out), WGT-DAMAGED (another file than registered), WGT-GATED,
    WGT-REVISION (the commit is gone), MachineError SYS-NET.
    """
    if row.plain:
        return _plain(row)
    places = [(row.repo, row.revision), *((mirror.repo, mirror.revision) for mirror in row.mirrors)]
    fetched = lockfile.entry(row)
    if row.revision is None and fetched is not None and fetched.repo == row.repo:
        places[0] = (row.repo, fetched.revision)
    failure: PokoraError | None = None
    for repo, revision in places:
        try:
            return _listed(row, repo, revision)
        except PokoraError as error:
            failure = failure or error
    assert failure is not None
    raise failure


def _listed(row: Row, repo: str, revision: str | None) -> Listing:
    from huggingface_hub import HfApi, constants, hf_hub_url

    api = HfApi(endpoint=constants.ENDPOINT)
    with translated(row, repo, revision):
        found = api.model_info(repo, revision=revision, files_metadata=True, timeout=TIMEOUT)
        if found.gated:  # what it holds is public, the files are not
            api.auth_check(repo)
    prefix = f"{row.folder}/" if row.folder else ""
    files: list[Remote] = []
    for pattern in row.published:
        present = [one for one in found.siblings or [] if matches(one.rfilename, prefix + pattern)]
        if not present:
            raise WeightsError(
                "WGT-MISSING",
                f"{repo} has no {prefix}{pattern} at {(found.sha or '')[:12]}",
                expected=f"the files of {row.id}",
                fix=f"leave {row.id} out, or report that its row is out of date",
            )
        for one in present:
            sha256 = one.lfs.sha256 if one.lfs else ""
            files.append(
                Remote(
                    name=one.rfilename.removeprefix(prefix),
                    path=one.rfilename,
                    url=hf_hub_url(repo, one.rfilename, revision=found.sha, endpoint=constants.ENDPOINT),
                    size=one.lfs.size if one.lfs else one.size,
                    algorithm="sha256" if sha256 else "git",
                    digest=sha256 or one.blob_id or "",
                )
            )
    listed = Listing(row=row, repo=repo, revision=found.sha or "", files=tuple(dict.fromkeys(files)))
    _check_answer(listed, revision)
    _compare(listed)
    return listed


def _check_answer(listed: Listing, revision: str | None) -> None:
    """Raise SYS-NET for an answer that no hub gives: its commit and hashes become names of files here."""
    hashes = [file.digest for file in listed.files]
    if (
        not COMMIT.fullmatch(listed.revision)
        or (revision is not None and COMMIT.fullmatch(revision) and listed.revision != revision)
        or not all(COMMIT.fullmatch(digest) or SHA256.fullmatch(digest) for digest in hashes)
    ):
        raise MachineError(
            "SYS-NET",
            f"what answers for {listed.repo} is no hub",
            expected="a commit, and a hash of each file",
            fix="check HF_ENDPOINT and the connection (a proxy or a login page may answer instead)",
        )


def _compare(listed: Listing) -> None:
    """Raise WGT-DAMAGED for another file than the registered one, or a mirror's that nobody can check."""
    for file in listed.files:
        registered = listed.row.sha256.get(file.name, "")
        if registered and file.algorithm == "sha256" and file.digest != registered:
            raise WeightsError(
                "WGT-DAMAGED",
                f"{listed.repo} gives out another {file.path} (sha256 {file.digest[:12]})",
                expected=f"sha256 {registered[:12]}, as registered for {listed.row.id}",
                fix=f"do not use it; leave {listed.row.id} out until its row is checked",
            )
        weights = PurePosixPath(file.name).suffix in WEIGHTS
        if listed.repo != listed.row.repo and weights and not registered:
            raise WeightsError(
                "WGT-DAMAGED",
                f"the mirror {listed.repo} cannot be checked: no sha256 of {file.name} is registered",
                fix=f"fetch {listed.row.id} from {listed.row.repo}",
            )


def _plain(row: Row) -> Listing:
    """A plain download: the registry alone says what its files must be."""
    from huggingface_hub import get_hf_file_metadata  # pyright: ignore[reportUnknownVariableType]  # bare types

    files: list[Remote] = []
    for name in row.published:
        url = f"{row.repo}/{name}"
        with translated(row, row.repo, None):
            size = row.sizes.get(name) or get_hf_file_metadata(url, token=False, timeout=TIMEOUT).size
        files.append(
            Remote(name=name, path=name, url=url, size=size, algorithm="sha256", digest=row.sha256[name])
        )
    return Listing(row=row, repo=row.repo, revision="", files=tuple(files))


def target(listed: Listing, file: Remote) -> Path:
    """Where a fetched file lies: in the hub's cache, or in the data folder for a plain download."""
    if listed.row.plain:
        return converted_folder(listed.row) / "source" / file.name
    return repo_cache(listed.repo) / "snapshots" / listed.revision / file.path


def partial(listed: Listing, file: Remote) -> Path:
    """What has come of a file that is not whole yet; it survives the process."""
    if listed.row.plain:
        return target(listed, file).with_name(file.name + PARTIAL)
    return repo_cache(listed.repo) / "blobs" / (file.digest + PARTIAL)


def download(listed: Listing, file: Remote, meter: Meter) -> Path:
    """Fetch one file from where it broke off, check it, and hand it to the hub's cache; returns its path.

    Raises WeightsError WGT-DAMAGED for bytes that are not the announced ones, and as `listing` does.
    """
    from huggingface_hub import constants, hf_hub_download  # pyright: ignore[reportUnknownVariableType]  # bare types
    from huggingface_hub.utils import WeakFileLock

    place, part = target(listed, file), partial(listed, file)
    if place.exists():
        return place
    with translated(listed.row, listed.repo, listed.revision, listed.lacking(file)):
        part.parent.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(f"{part}.lock"):
            _receive(listed, file, part, meter)
            _check(listed, file, part)
            part.replace(place if listed.row.plain else part.with_name(file.digest))
        Path(f"{part}.lock").unlink(missing_ok=True)
        if listed.row.plain:
            return place
        # The client finds the whole blob and links it into the snapshot of the commit.
        path = hf_hub_download(
            listed.repo,
            file.path,
            revision=listed.revision,
            endpoint=constants.ENDPOINT,
            cache_dir=str(hub_cache()),
        )
    return Path(path)


def _receive(listed: Listing, file: Remote, part: Path, meter: Meter) -> None:
    from huggingface_hub.file_download import http_get  # pyright: ignore[reportUnknownVariableType]  # bare types
    from huggingface_hub.utils import build_hf_headers  # pyright: ignore[reportUnknownVariableType]  # bare types

    if part.exists() and file.size is not None and part.stat().st_size > file.size:
        part.unlink()
    headers = {} if listed.row.plain else build_hf_headers()
    with part.open("r+b" if part.exists() else "w+b") as handle:
        done = handle.seek(0, os.SEEK_END)
        meter.file(file.path, done)
        http_get(
            file.url,
            handle,
            resume_size=done,
            # Compressed bytes could neither be resumed nor counted.
            headers={**headers, "Accept-Encoding": "identity"},
            expected_size=file.size,
            tqdm_class=meter.bar(),
        )


def _check(listed: Listing, file: Remote, part: Path) -> None:
    """Compare with the hub's own hash and with the registered one; what is wrong is deleted."""
    try:
        compare(listed, file, part, file_hash(part))
    except WeightsError:
        part.unlink()
        raise


def compare(listed: Listing, file: Remote, path: Path, sha256: str) -> None:
    """Raise WeightsError WGT-DAMAGED unless a file is what the hub announces and the registry names."""
    got = sha256 if file.algorithm == "sha256" else git_hash(path)
    registered = listed.row.sha256.get(file.name, sha256)
    if got == file.digest and registered == sha256:
        return
    wrong, right = (got, file.digest) if got != file.digest else (sha256, registered)
    raise WeightsError(
        "WGT-DAMAGED",
        f"{listed.repo}/{file.path} is not the announced file ({file.algorithm} {wrong[:12]})",
        expected=right[:12],
        fix=f"delete {path} if it is there, then {fetch_row(listed.row)}",
    )


def git_hash(path: Path) -> str:
    """git's hash of a file's content: what the hub announces of files outside its large-file store."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
