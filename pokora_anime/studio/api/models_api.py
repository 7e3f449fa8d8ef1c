"""Weights: what the registry knows, what is here, and fetching it. Torch-free."""

from __future__ import annotations

from fastapi import APIRouter

from pokora_anime.catalogue import registry
from pokora_anime.catalogue.hub.fetch_models import undecided
from pokora_anime.catalogue.registry_row import Row
from pokora_anime.catalogue.weight_paths import locate
from pokora_anime.studio.api.runs_api import to_json
from pokora_anime.studio.api.services import Asking
from pokora_anime.studio.problems import Problem, missing
from pokora_anime.studio.queue.job_record import new_job
from pokora_anime.system.files.user_folder import free_space

router = APIRouter(prefix="/api/models", tags=["models"])


@router.get("")
def listed(asking: Asking) -> dict[str, object]:
    """Every row of the registry that has weights, and the room on the disk."""
    return {
        "models": [_plain(row) for row in registry.rows() if not row.slot],
        "disk_free_bytes": free_space(asking.workspace.root),
    }


@router.post("/{identifier}/fetch", status_code=202)
def fetch(identifier: str, asking: Asking) -> dict[str, object]:
    """Downloads a row's files, as a job. Raises Problem 409 where a person has to look at its terms first."""
    row = next((one for one in registry.rows() if one.id == identifier and not one.slot), None)
    if row is None:
        raise missing(f"no model {identifier[:60]}")
    if row.packaged or row.own:
        raise Problem(409, "API-STALE", f"{row.id} is here already", fix="nothing is left to fetch")
    if undecided([row]):
        raise Problem(
            409, "WGT-LICENCE", f"{row.id}: {row.terms.name}; {row.reason}",
            expected="a person who read its terms",
            fix=f"pokora models fetch {row.id} --accept {row.id}, in a shell",
        )  # fmt: skip
    wanted = new_job(asking.user, "fetch", (row.id,), row.title or row.id)
    job = asking.queue.store.same(wanted) or asking.queue.put(wanted)[0]
    return to_json(job, asking)


def _plain(row: Row) -> dict[str, object]:
    here = locate(row) is not None
    return {
        "id": row.id,
        "title": row.title or row.id,
        "role": row.role,
        "families": [one.value for one in row.families],
        "repo": row.repo,
        "link": row.link,
        "licence": row.terms.name,
        "entry": row.status.value,
        "bytes": row.size,
        "state": "packaged" if row.packaged else "own" if row.own else "here" if here else "missing",
        "note": row.reason,
    }
