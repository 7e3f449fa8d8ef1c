"""The bin: runs that were deleted and can come back, until it is emptied. Torch-free."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import cast

from pokora_anime.errors import MachineError
from pokora_anime.history.run_list import finite, report
from pokora_anime.studio.problems import Problem, missing
from pokora_anime.studio.workspaces import Workspace, run_id
from pokora_anime.system.files.atomic_files import write_atomic
from pokora_anime.system.files.file_lock import FolderLock
from pokora_anime.untrusted import untrusted_names

TOLD = "deleted.json"
RUN = "run"
_PLACE = re.compile(r"(sweep/[^/]+/)?(video|stills)/[^/]+")  # where runs lie below the outputs


def delete(workspace: Workspace, folder: Path) -> None:
    """Moves a run into the bin. Raises Problem 503 where the disk refuses."""
    path = workspace.path(folder)
    place = workspace.bin / f"{run_id(path)}-{time.time_ns()}"
    try:
        place.mkdir(parents=True)
        write_atomic(place / TOLD, json.dumps({"path": path, "when": time.time()}).encode())
        held = FolderLock(folder)  # nobody renders it
        try:
            os.replace(folder, place / RUN)
        finally:
            held.release()
    except (OSError, MachineError) as error:
        with suppress(OSError):
            (place / TOLD).unlink()
            place.rmdir()
        if isinstance(error, MachineError):
            fix = "wait until it has finished, or cancel its job"
            raise Problem(
                409, "API-STALE", f"{path} is being rendered", expected="a run at rest", fix=fix
            ) from error
        raise _refused(error) from error


def listed(workspace: Workspace) -> list[dict[str, object]]:
    """What lies in the bin, the latest first."""
    found: list[dict[str, object]] = []
    for place in workspace.bin.glob("*-*") if workspace.bin.is_dir() else ():
        told = report(place / TOLD)
        path = told.get("path")
        if (
            (place / RUN).is_dir()
            and not (place / RUN).is_symlink()
            and isinstance(path, str)
            and _PLACE.fullmatch(path)
        ):
            size = sum(one.lstat().st_size for one in (place / RUN).rglob("*"))
            found.append({"id": place.name, "path": path, "bytes": size, "when": _when(told.get("when"))})
    return sorted(found, key=lambda one: -cast(float, one["when"]))


def _when(told: object) -> float:
    number = isinstance(told, int | float) and not isinstance(told, bool) and finite(told)
    return float(cast(float, told)) if number else 0.0


def restore(workspace: Workspace, wanted: str) -> Path:
    """A run back in its place; its folder. Raises Problem 404, 409 where another run lies there, 503."""
    place = next((one for one in workspace.bin.glob("*-*") if one.name == wanted), None)
    if place is None:
        raise missing(f"nothing {wanted[:60]} in the bin")
    path = str(report(place / TOLD).get("path"))
    whole = (place / RUN).is_dir() and not (place / RUN).is_symlink()
    if untrusted_names.problem(path) or not _PLACE.fullmatch(path) or not whole:
        raise missing(f"nothing whole {wanted[:60]} in the bin")
    target = workspace.outputs / path
    if target.exists():
        raise Problem(
            409,
            "API-STALE",
            f"{path} is there again",
            expected="a place that is free",
            fix="delete that one first",
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(place / RUN, target)
        shutil.rmtree(place, ignore_errors=True)
    except OSError as error:
        raise _refused(error) from error
    return target


def empty(workspace: Workspace) -> int:
    """Deletes all of it for good; the bytes that it held."""
    freed = sum(int(cast(int, one["bytes"])) for one in listed(workspace))
    shutil.rmtree(workspace.bin, ignore_errors=True)
    return freed


def _refused(error: OSError) -> Problem:
    return Problem(503, "SYS-WRITE", f"{error.strerror or error}", expected="a folder that can be changed")
