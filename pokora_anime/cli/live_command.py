"""`pokora live`: an endless clip in a window of its own, which follows what is typed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pokora_anime.cli import served_command
from pokora_anime.schema import settings_words

_HEAD = """pokora live: an endless clip of nano that follows what you type; in a window of its own.

  pokora live                        serves http://127.0.0.1:8321/live until Ctrl-C, and opens it
  pokora live --no-open              serves it alone
  pokora live studio.port=8400       on another port; takes every studio.key=value (`pokora studio --help`)

What is typed is text, judged as a prompt of `pokora video`. A recording becomes a run of the queue: its words
with their times and the seed, rendered in full quality under the same choreography when the session is over.
Jobs of the queue wait while a session lasts. The page's own settings:
"""
_CLOSED = "--no-open"
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")


def main(arguments: Sequence[str]) -> int:
    """Serve until Ctrl-C. Raises ConfigError, MachineError SYS-LIBRARY where the extra is missing."""
    words = list(arguments)
    if served_command.wants_help(words, "live", _CLOSED):
        print(_page())
        return 0
    from pokora_anime.live import live_settings
    from pokora_anime.studio import studio_settings

    own = [word for word in words if word.startswith(live_settings.PREFIX)]
    live_settings.read(own)
    config = studio_settings.read([word for word in words if word != _CLOSED and word not in own])
    server = served_command.load_server()
    query = "&".join(own)
    path = f"live?{query}" if query else "live"
    server.serve(config, Path(), name="live", path=path, show=None if _CLOSED in words else _show)
    return 0


def _show(address: str) -> None:
    """A window without a browser's bars where a Chromium is found, else the browser."""
    found = next((one for name in _BROWSERS if (one := shutil.which(name))), None)
    if found is None or sys.platform == "win32":
        served_command.load_server().open_browser(address)
        return
    with suppress(OSError):
        subprocess.Popen(
            [found, f"--app={address}", "--window-size=1280,860"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def _page() -> str:
    from pokora_anime.live.live_settings import PREFIX, LiveConfig

    return "\n".join([_HEAD, *settings_words.help_lines(LiveConfig, PREFIX)])
