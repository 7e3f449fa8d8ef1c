"""The sound in a delivered MP4: the one that the record tells, in its one form, or none at all."""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pokora_anime.media import mp4_sound
from pokora_anime.provenance.hashing import Json
from pokora_anime.provenance.run_layout import VIDEO
from pokora_anime.sounds.sound_track import heard
from pokora_anime.untrusted.folder_listing import Folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """A file of pictures alone, opened, and what is wrong with the sound that was in it ("" for nothing)."""

    file: IO[bytes]
    path: Path
    size: int
    wrong: str = ""


def told(config: dict[str, Json]) -> str | None:
    """The hash of what a recorded config says is heard; None for a clip without a sound."""
    shot = config.get("shot")
    track = shot.get("track") if isinstance(shot, dict) and shot.get("sound") is not None else None
    return str(track.get("heard")) if isinstance(track, dict) else None


@contextmanager
def pictures(folder: Folder, wanted: str | None) -> Generator[Pictures]:
    """The video without its sound, in a temporary file where it has one; `wanted` is its hash.

    A file that should have a sound and is not written as one is handed on as it is, with what is wrong.
    """
    path, size = folder.root / VIDEO, folder.sizes[VIDEO]
    with folder.open(VIDEO) as file:
        if wanted is None:
            yield Pictures(file=file, path=path, size=size)
            return
        try:
            alone, stream = mp4_sound.split(file.read())
        except mp4_sound.NoSound as error:
            yield Pictures(file=file, path=path, size=size, wrong=str(error))
            return
    wrong = "" if heard(stream) == wanted else "another sound than the record tells"
    with tempfile.TemporaryDirectory(prefix="pokora-") as place:
        copy = Path(place) / path.name
        copy.write_bytes(alone)
        with copy.open("rb") as file:
            yield Pictures(file=file, path=copy, size=len(alone), wrong=wrong)
