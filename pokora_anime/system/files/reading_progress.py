"""How far gigabytes that are read are: who counts the bytes of a file that is hashed. Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar

LONG = 200_000_000  # bytes that are read in about a second: less needs no word

_counting: ContextVar[Callable[[int], None] | None] = ContextVar("counting", default=None)


def counter() -> Callable[[int], None] | None:
    """What to call with each number of bytes that was read; None where nobody looks."""
    return _counting.get()


@contextmanager
def counting(add: Callable[[int], None]) -> Generator[None]:
    """Within the block `add` is told of all bytes of weights that are hashed."""
    token = _counting.set(add)
    try:
        yield
    finally:
        _counting.reset(token)
