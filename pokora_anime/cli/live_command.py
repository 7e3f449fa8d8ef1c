"""`pokora live`: an endless clip in a window of its own, which follows what is typed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pokora_anime.errors import ConfigError, MachineError
from pokora_anime.schema import field_laws

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
    if "-h" in words or "--help" in words:
        print(_page())
        return 0
    strange = next((word for word in words if word.startswith("-") and word != _CLOSED), "")
    if strange:
        raise ConfigError(
            "CFG-SYNTAX", f"unknown option {strange}", expected=_CLOSED, fix="`pokora live --help`"
        )
    from pokora_anime.live import live_settings
    from pokora_anime.studio import studio_settings

    own = [word for word in words if word.startswith(live_settings.PREFIX)]
    live_settings.read(own)
    config = studio_settings.read([word for word in words if word != _CLOSED and word not in own])
    try:
        from pokora_anime.studio import server
    except ModuleNotFoundError as error:
        raise MachineError(
            "SYS-LIBRARY",
            f"{error.name} is not installed",
            expected="the extra `studio`",
            fix="make setup, or pip install 'pokora_anime[studio]'",
        ) from error
    query = "&".join(own)
    path = f"live?{query}" if query else "live"
    server.serve(config, Path(), name="live", path=path, show=None if _CLOSED in words else _show)
    return 0


def _show(address: str) -> None:
    """A window without a browser's bars where a Chromium is found, else the browser."""
    found = next((one for name in _BROWSERS if (one := shutil.which(name))), None)
    if found is None or sys.platform == "win32":
        import webbrowser

        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
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

    lines = [_HEAD]
    for one in field_laws.settings(LiveConfig):
        default = getattr(one.default, "name", one.default)
        lines.append(f"  {PREFIX}{one.key}={default}".ljust(32) + f"  {one.accepted}: {one.law.help}")
    return "\n".join(lines)
