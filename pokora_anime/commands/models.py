"""`pokora models`: list the registry, fetch what a composition needs, say where it lies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pokora_anime.config.compose import compose
from pokora_anime.errors import ConfigError

PAGE = """pokora models: the weights that runs may load.

  pokora models list                  all of them, with licence, status and whether they are here
  pokora models fetch base=sdxl       download what this composition needs (any keys of `pokora video`)
  pokora models where base=sdxl       the folders that this composition would load"""


def main(arguments: Sequence[str]) -> int:
    """Dispatch list, fetch, where; returns the exit status."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(PAGE)
        return 0
    action, rest = arguments[0], list(arguments[1:])
    actions = {"list": _list, "fetch": _fetch, "where": _where}
    if action not in actions:
        raise ConfigError(
            "CFG-COMMAND", f"models {action}", expected="|".join(actions), fix="`pokora models list`"
        )
    return actions[action](rest)


def _list(arguments: list[str]) -> int:
    from pokora_anime.models.fetch import locate
    from pokora_anime.models.registry import rows

    if arguments:
        raise ConfigError(
            "CFG-SYNTAX", f"models list {' '.join(arguments)}", fix="`pokora models list` takes nothing"
        )
    print(f"{'id':26} {'for':10} {'kind':11} {'here':5} {'status':8} licence")
    for row in rows():
        families = ",".join(family.value for family in row.families)
        here = "yes" if locate(row) is not None else "no"
        pin = " (unpinned)" if row.unpinned else ""
        print(
            f"{row.id:26} {families:10} {row.kind.value:11} {here:5} {row.status.value:8} {row.licence}{pin}"
        )
    return 0


def _fetch(arguments: list[str]) -> int:
    from pokora_anime.models.fetch import fetch

    fetch(compose("video", arguments))
    return 0


def _where(arguments: list[str]) -> int:
    from pokora_anime.models.fetch import locate, needs

    missing = 0
    for row in needs(compose("video", arguments)):
        folder: Path | None = locate(row)
        missing += folder is None
        print(f"{row.id:26} {folder or 'not here'}")
    if missing:
        print(f"to get what is missing: pokora models fetch {' '.join(arguments)}".rstrip())
    return 0
