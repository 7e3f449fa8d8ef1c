"""`pokora studio`: the tool in a browser on this machine, with a queue and an API."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pokora_anime.cli import served_command
from pokora_anime.schema import settings_words

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
    if served_command.wants_help(words, "studio", _OPEN):
        print(_page())
        return 0
    from pokora_anime.studio import studio_settings

    config = studio_settings.read([word for word in words if word != _OPEN])
    server = served_command.load_server()
    server.serve(config, Path(), show=server.open_browser if _OPEN in words else None)
    return 0


def _page() -> str:
    from pokora_anime.studio.studio_settings import PREFIX, StudioConfig

    return "\n".join([_HEAD, *settings_words.help_lines(StudioConfig, PREFIX)])
