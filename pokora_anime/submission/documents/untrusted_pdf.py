"""A PDF that somebody else may have made, read in a process of its own: bounded time and memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import cast

from pokora_anime.submission.documents import typst_pdf
from pokora_anime.submission.documents.typst_pdf import Facts

SECONDS = 8.0  # an honest write-up takes 2 under load
MEMORY = 2**30  # bytes of address space


@lru_cache(maxsize=4)  # of the same bytes several checks ask, and each answer takes a process
def read(data: bytes) -> Facts:
    """Pages, text and fonts of a PDF, as `pdf.read`.

    Raises ValueError for what cannot be read, or not in time.
    """
    line = [sys.executable, "-I", "-m", __name__]
    try:
        done = subprocess.run(line, input=data, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise ValueError(f"it takes more than {SECONDS:g} s to read") from None
    try:
        told = cast(Mapping[str, object], json.loads(done.stdout))
    except ValueError:
        raise ValueError("no sound PDF: reading it takes too much memory, or fails") from None
    if "error" in told:
        raise ValueError(str(told["error"]))
    return Facts(
        pages=cast(int, told["pages"]),
        texts=tuple(cast(list[str], told["texts"])),
        foreign_fonts=tuple(cast(list[str], told["foreign_fonts"])),
        odd=str(told["odd"]),
    )


def main() -> None:
    """The child: reads a PDF from standard input, writes its facts as JSON."""
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    told: dict[str, object]
    try:
        facts = typst_pdf.read(sys.stdin.buffer.read())
    except ValueError as error:
        told = {"error": str(error)[:400]}
    else:
        told = asdict(facts)
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
