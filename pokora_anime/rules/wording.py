"""How a contest's rules word what they find."""

from __future__ import annotations

from collections.abc import Iterator

from pokora_anime.findings import Finding, Severity


def block(code: str, message: str, where: str, got: str, expected: str, *, fix: str = "") -> Finding:
    """Against the rules; the fix is `where=expected` unless one is given."""
    return Finding(
        code=code,
        severity=Severity.block,
        message=message,
        got=got,
        expected=expected,
        fix=fix or f"{where}={expected}",
        where=where,
    )


def review(code: str, message: str, where: str, got: str, expected: str, *, fix: str = "") -> Finding:
    """For a person to decide."""
    return Finding(
        code=code,
        severity=Severity.review,
        message=message,
        got=got,
        expected=expected,
        fix=fix or "ask the organisers",
        where=where,
    )


def within(code: str, where: str, value: float, low: float, high: float) -> Iterator[Finding]:
    """A block finding unless `value` lies in [low, high]."""
    if not low <= value <= high:
        expected = f"{low:g} to {high:g}" if low != high else f"{low:g}"
        fix = f"{where}={nearest(value, low, high):g}"
        yield block(code, "outside the contest's range", where, f"{value:g}", expected, fix=fix)


def nearest(value: float, low: float, high: float) -> float:
    """The number in [low, high] that is nearest to `value`."""
    return min(max(value, low), high)
