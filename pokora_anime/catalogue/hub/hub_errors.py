"""What a failed talk with the hub means to the user: one line, a code, the next command. Torch-free."""

from __future__ import annotations

import errno
from collections.abc import Generator
from contextlib import contextmanager
from typing import cast

from pokora_anime.catalogue.registry_row import Row
from pokora_anime.catalogue.weight_paths import hub_cache
from pokora_anime.catalogue.weights_advice import fetch_row
from pokora_anime.errors import MachineError, PokoraError, WeightsError
from pokora_anime.system.files.atomic_files import disk_error

_DISK = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def translated(row: Row, repo: str, revision: str | None, need: int = 0) -> Generator[None]:
    """The client's many failures as one line each."""
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # what goes wrong is raised; its own remarks would tear the display apart
    # The errors of the HTTP library, which differs between versions of the hub's client.
    http = cast("tuple[type[Exception], ...]", HfHubHTTPError.__bases__)
    try:
        yield
    except PokoraError:
        raise
    except (OSError, RuntimeError, ValueError, *http) as error:
        raise _why(row, repo, revision, need, error) from error


def _why(row: Row, repo: str, revision: str | None, need: int, error: Exception) -> PokoraError:
    from huggingface_hub.errors import OfflineModeIsEnabled

    number = getattr(error, "errno", None)
    if number in _DISK:
        return disk_error(hub_cache(), need)
    if number in _REFUSED:
        return MachineError(
            "SYS-WRITE",
            f"cannot write in {hub_cache()}",
            expected="a cache that this user may write to",
            fix="change its permissions, or set HF_HUB_CACHE to another folder",
        )
    for cause in (error, error.__cause__):
        if found := _refused(row, repo, revision, cause):
            return found
    reason = "HF_HUB_OFFLINE is set" if isinstance(error, OfflineModeIsEnabled) else type(error).__name__
    return MachineError(
        "SYS-NET",
        f"cannot fetch {repo}: {reason}",
        expected="a connection to the hub",
        fix="check it (HF_HUB_OFFLINE must be unset); the same command goes on where it broke off",
    )


def _refused(row: Row, repo: str, revision: str | None, cause: BaseException | None) -> WeightsError | None:
    """What the hub says to this repository; None where it said nothing."""
    from huggingface_hub import errors

    if isinstance(cause, errors.GatedRepoError):
        return WeightsError(
            "WGT-GATED",
            f"{repo} is gated: its terms must be accepted first",
            fix=f"accept them at https://huggingface.co/{repo}, `hf auth login`, then: {fetch_row(row)}",
        )
    if isinstance(cause, errors.RevisionNotFoundError):
        return WeightsError(
            "WGT-REVISION",
            f"{repo} has no revision {(revision or 'main')[:12]} any more",
            expected=f"the commit that is registered for {row.id}",
            fix=f"leave {row.id} out, or update pokora_anime",
        )
    status = cause.response.status_code if isinstance(cause, errors.HfHubHTTPError) else None
    if status in (401, 403, 404):
        return WeightsError(
            "WGT-MISSING",
            f"{repo} is not given out: it is gone or private ({status})",
            fix=f"`hf auth login` if you may see it, or leave {row.id} out",
        )
    return None
