"""Where weights lie on this machine. Torch-free, and without the network."""

from __future__ import annotations

from pathlib import Path

from pokora_anime.catalogue import lockfile, own_rows, weight_hashes
from pokora_anime.catalogue.registry_row import Row
from pokora_anime.system.files.installed_package import INSTALLED
from pokora_anime.system.files.user_folder import data_folder


def locate(row: Row) -> Path | None:
    """The folder that holds all files that a run loads of a row, or None."""
    return next(
        (folder for folder in _folders(row) if weight_hashes.files(folder, row.files) is not None), None
    )


def _folders(row: Row) -> list[Path]:
    if row.slot:
        return []
    if row.packaged:
        return [INSTALLED / row.repo.removeprefix("package:") / row.folder]
    if row.own:
        return [own_rows.folder_of(row)]
    if row.converted or row.plain:
        return [converted_folder(row)]
    return [folder / row.folder for folder in snapshots(row)]


def converted_folder(row: Row) -> Path:
    """Where the conversions of a row's pickles are kept, or the files of a plain download."""
    return data_folder() / "converted" / row.id


def hub_cache() -> Path:
    """The hub client's cache."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def repo_cache(repo: str) -> Path:
    """A repository's folder in the hub's cache."""
    from huggingface_hub.file_download import repo_folder_name

    return hub_cache() / repo_folder_name(repo_id=repo, repo_type="model")


def snapshots(row: Row) -> list[Path]:
    """The snapshots that may hold a row's files, the best first.

    The registered revision, else the one that was locked when it was fetched, else what main pointed
    to; then the mirrors.
    """
    home = repo_cache(row.repo)
    fetched = lockfile.entry(row)
    main = home / "refs" / "main"
    if row.revision is not None:
        revision = row.revision
    elif fetched is not None and fetched.repo == row.repo:
        revision = fetched.revision
    else:
        revision = main.read_text(encoding="utf-8").strip() if main.is_file() else ""
    found = [home / "snapshots" / revision] if revision else []
    return found + [repo_cache(mirror.repo) / "snapshots" / mirror.revision for mirror in row.mirrors]
