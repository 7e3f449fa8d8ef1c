"""`pokora key`: the key that signs finished runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from pokora_anime.errors import ConfigError
from pokora_anime.signing import signing_key, statement

PAGE = """pokora key: the key that signs your finished runs.

  pokora key show    its fingerprint, to register before a deadline (the key is made if there is none)
  pokora key path    the file that holds it; whoever has it can sign as you"""


def main(arguments: Sequence[str]) -> int:
    """Dispatch show and path; returns the exit status."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(PAGE)
        return 0
    if list(arguments) == ["show"]:
        print(signing_key.load_or_make().fingerprint)
        return 0
    if list(arguments) == ["path"]:
        print(signing_key.path())
        return 0
    raise ConfigError("CFG-COMMAND", f"key {' '.join(arguments)}", expected="show|path", fix="`pokora key`")


def sign(folder: Path) -> None:
    """Signs a finished run and says on stderr with which key, or why it stays unsigned."""
    statement.sign_told(folder, lambda line: print(line, file=sys.stderr))
