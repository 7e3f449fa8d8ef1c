"""What unpacking a zip and listing a folder have in common."""

from __future__ import annotations

from collections.abc import Iterable

from pokora_anime.errors import RecordError
from pokora_anime.findings import Finding, Severity
from pokora_anime.untrusted.read_limits import Limits
from pokora_anime.untrusted.untrusted_names import folded, shown


class Unreadable(RecordError):
    """There is nothing here that could be judged (codes SRC-*, JSN-*)."""

    exit_code = 2


def finding(
    code: str, message: str, where: str, got: object = "", *, expected: object = "", fix: str = ""
) -> Finding:
    """A blocking finding; what comes out of the bundle is made safe to show."""
    return Finding(
        code=code,
        severity=Severity.block,
        message=message,
        got=shown(got),
        expected=shown(expected),
        fix=fix,
        where=shown(where),
    )


def check_size(name: str, size: int, total: int, limits: Limits) -> None:
    """Raises Unreadable SRC-SIZE for a file, or a bundle up to here, that is too large."""
    if size > limits.file_bytes or total > limits.total_bytes:
        raise Unreadable(
            "SRC-SIZE",
            f"{shown(name)} has {size} bytes, {total} with those before it",
            expected=f"at most {limits.file_bytes} a file and {limits.total_bytes} in all",
        )


def too_many(limit: int) -> Unreadable:
    """The error for a bundle with more than `limit` files and folders."""
    return Unreadable("SRC-COUNT", f"more than {limit} files", expected="a run's folder or a bundle")


def double_names(names: Iterable[str]) -> list[Finding]:
    """A finding for each name that some file systems take for another one of them."""
    seen: dict[str, str] = {}
    found: list[Finding] = []
    for name in names:
        other = seen.setdefault(folded(name), name)
        if other != name:
            message = "two names differ only in case or composition"
            found.append(finding("SRC-DUPLICATE", message, name, other))
    return found
