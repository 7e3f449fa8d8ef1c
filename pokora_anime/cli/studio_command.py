"""`pokora studio`: the tool in a browser on this machine, with a queue and an API."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pokora_anime.errors import ConfigError, MachineError
from pokora_anime.schema import field_laws

_HEAD = """pokora studio: make, watch, choose and enter in a browser; behind it an API for programs.

  pokora studio                      serves http://127.0.0.1:8321/ until Ctrl-C; --open shows it
  pokora studio studio.port=8400     on another port
  pokora studio studio.host=0.0.0.0 studio.tokens=tokens.txt    for others too, each with a token

No widget and no address takes a picture, a path or a URL: the page sends the words that a shell would.
Jobs survive Ctrl-C, kill -9 and a new start; runs lie in outputs/ as all others do.
"""
_OPEN = "--open"


def main(arguments: Sequence[str]) -> int:
    """Serve until Ctrl-C. Raises ConfigError, MachineError SYS-LIBRARY where the extra is missing."""
    words = list(arguments)
    if "-h" in words or "--help" in words:
        print(_page())
        return 0
    strange = next((word for word in words if word.startswith("-") and word != _OPEN), "")
    if strange:
        raise ConfigError(
            "CFG-SYNTAX", f"unknown option {strange}", expected=_OPEN, fix="`pokora studio --help`"
        )
    from pokora_anime.studio import studio_settings

    config = studio_settings.read([word for word in words if word != _OPEN])
    try:
        from pokora_anime.studio import server
    except ModuleNotFoundError as error:
        raise MachineError(
            "SYS-LIBRARY",
            f"{error.name} is not installed",
            expected="the extra `studio`",
            fix="make setup, or pip install 'pokora_anime[studio]'",
        ) from error
    server.serve(config, Path(), show=server.open_browser if _OPEN in words else None)
    return 0


def _page() -> str:
    from pokora_anime.studio.studio_settings import PREFIX, StudioConfig

    lines = [_HEAD]
    for one in field_laws.settings(StudioConfig):
        default = getattr(one.default, "name", one.default)
        lines.append(f"  {PREFIX}{one.key}={default}".ljust(32) + f"  {one.accepted}: {one.law.help}")
    return "\n".join(lines)
