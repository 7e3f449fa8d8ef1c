"""`pokora sound`: sounds of one's own that a clip moves to and is heard with. Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pokora_anime.catalogue.licences import open_ids
from pokora_anime.cli.parser import OneLineParser, dispatch

if TYPE_CHECKING:
    from pokora_anime.sounds.sound_store import Sound

PAGE = """pokora sound: sounds of your own that a clip moves to and is heard with.

  pokora sound add FILE.wav --id song --licence CC0-1.0 --source 'played by me'
                                        read a WAV or FLAC, judge it, keep its curve and its AAC
  pokora sound list                     the sounds that are registered
  pokora sound remove song              forget one

Then: pokora video shot.sound=song motion.effect=zoom_feedback
The run's record holds the curve and the file's hash, and nobody needs the sound to verify or replay it.
A contest's rules speak of visual input: `pokora check` says what to ask the organisers."""


def main(arguments: Sequence[str]) -> int:
    """Dispatch to one action; returns the exit status."""
    actions: dict[str, Callable[[list[str]], int]] = {"add": _add, "list": _list, "remove": _remove}
    return dispatch("sound", PAGE, actions, arguments)


def _parser(action: str, text: str) -> OneLineParser:
    return OneLineParser(prog=f"pokora sound {action}", description=text, allow_abbrev=False)


def _add(arguments: list[str]) -> int:
    from pokora_anime.sounds import sound_store

    parser = _parser("add", "Register a sound of your own, of 0.1 to 600 seconds.")
    parser.add_argument("file", type=Path, help="a WAV or FLAC; more than two channels are mixed to one")
    parser.add_argument("--id", required=True, help="how configs name it: shot.sound=ID")
    parser.add_argument("--licence", required=True, help=f"SPDX id: {', '.join(open_ids())}")
    parser.add_argument("--source", required=True, help="who made it, or where it was published")
    parser.add_argument("--author", default="", help="whom to name")
    parser.add_argument("--replace", action="store_true", help="take the place of the one of that name")
    typed = parser.parse_args(arguments)
    new = sound_store.NewSound(
        id=typed.id, file=typed.file, licence=typed.licence, source=typed.source, author=typed.author
    )
    sound = sound_store.add(new, replace=typed.replace)
    print(f"{sound.id}: {_told(sound)}")
    print(f"next: pokora video shot.sound={sound.id} motion.effect=zoom_feedback")
    return 0


def _list(arguments: list[str]) -> int:
    from pokora_anime.sounds import sound_store

    _parser("list", "The sounds that are registered.").parse_args(arguments)
    known = sound_store.ids()
    if not known:
        print("no sound yet: pokora sound add FILE.wav --id song --licence CC0-1.0 --source 'played by me'")
    for name in known:
        print(f"{name:24} {_told(sound_store.find(name))}")
    return 0


def _remove(arguments: list[str]) -> int:
    from pokora_anime.sounds import sound_store

    parser = _parser("remove", "Forget a sound; runs that were made with it keep theirs.")
    parser.add_argument("id")
    name = parser.parse_args(arguments).id
    sound_store.remove(name)
    print(f"{name}: forgotten")
    return 0


def _told(sound: Sound) -> str:
    channels = "mono" if sound.channels == 1 else "stereo"
    return f"{sound.seconds:g} s, {channels}, {sound.licence}, {sound.source}, sha256 {sound.sha256[:12]}"
