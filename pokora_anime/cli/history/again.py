"""`pokora again`: what made a run, a PNG or an MP4, rendered once more with changes."""

from __future__ import annotations

from collections.abc import Sequence

from pokora_anime.cli.render import render
from pokora_anime.errors import ConfigError
from pokora_anime.history import run_origin
from pokora_anime.history.typed_words_again import with_changes

PAGE = """pokora again: render what made a run, a PNG or an MP4 once more, with changes.

The settings come from the run's record, or from the text that the file carries: a clip's MP4 keeps it
through `ffmpeg -c copy`. They are typed anew, with your changes behind them, and pass the same checks; the
picture is never decoded. Without changes a finished run is answered from its folder. Of other tools' files
(the web UI's PNG, ComfyUI's PNG and MP4) prompt, seed and number of steps are taken, the rest is named.

Usage: pokora again FILE|RUN[#STILL] [group=option ...] [key=value ...] [options]

Try
  pokora again outputs/video/NAME seed=8
  pokora again clip.mp4 speed=hq
  pokora again outputs/stills/NAME#2 base=sdxl
  pokora show clip.mp4

Keys and options are those of `pokora video --help` or `pokora stills --help`."""


def main(arguments: Sequence[str]) -> int:
    """Render it; returns the exit status. Raises ConfigError CFG-FILE, CFG-TAG and what a render raises."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(PAGE)
        return 0
    what, *typed = arguments
    if what.startswith("-") or "--from" in {word.partition("=")[0] for word in typed}:
        raise ConfigError(
            "CFG-SYNTAX", f"pokora again {what}", expected="FILE|RUN first", fix="`pokora again --help`"
        )
    request = render.parse("again", typed)
    found = run_origin.find(what, request.out)
    words = found.retyped()
    render.told_ignored(found, words.ignored)
    render.told_dropped(words.words, request.typed)
    again = [*with_changes(words.words, typed), *typed]
    return render.main(found.command, again)
