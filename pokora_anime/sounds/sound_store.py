"""The user's registered sounds: each a folder with its row, its levels and its AAC. Torch-free."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

from pokora_anime.catalogue.licences import require_open
from pokora_anime.errors import ConfigError, DataError
from pokora_anime.media import mp4_sound
from pokora_anime.media.mp4_sound import NoSound, Stream
from pokora_anime.provenance.hashing import file_hash
from pokora_anime.system.did_you_mean import nearest
from pokora_anime.system.files.atomic_files import disk_error, write_atomic, writing
from pokora_anime.system.files.user_folder import data_folder, free_space

ROW, LEVELS, HEARD = "sound.json", "levels.bin", "sound.aac"
ID = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_LEAST_SOURCE = 5  # characters
_ROOM = 40 * 2**20  # bytes that the longest sound takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """A registered sound. `sha256` is that of the user's file, `heard` that of the AAC made of it."""

    id: str
    sha256: str
    heard: str
    licence: str
    source: str
    author: str
    seconds: float
    channels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSound:
    """What `pokora sound add` is told."""

    id: str
    file: Path
    licence: str
    source: str
    author: str = ""


def folder() -> Path:
    """Where registered sounds lie."""
    return data_folder() / "sounds"


def ids() -> list[str]:
    """The registered sounds by name."""
    return sorted(path.parent.name for path in folder().glob(f"*/{ROW}") if ID.fullmatch(path.parent.name))


def add(new: NewSound, *, replace: bool = False) -> Sound:
    """Read, judge and keep a sound.

    Raises ConfigError CFG-SOUND for a word that will not do, WeightsError WGT-BLOCKED for a licence that may
    not be used, DataError DAT-SOUND for a file that will not do, MachineError SYS-*.
    """
    _check_words(new, replace=replace)
    from pokora_anime.sounds import sound_curve, sound_reading

    samples = sound_reading.read(new.file)
    heard = sound_reading.encoded(samples)
    row = Sound(
        id=new.id,
        sha256=file_hash(new.file),
        heard=hashlib.sha256(heard).hexdigest(),
        licence=new.licence,
        source=" ".join(new.source.split()),
        author=" ".join(new.author.split()),
        seconds=round(len(samples) / mp4_sound.RATE, 3),
        channels=samples.shape[1],
    )
    place = folder() / new.id
    if free_space(place) < _ROOM:
        raise disk_error(place, _ROOM)
    with writing(place, _ROOM):
        place.mkdir(parents=True, exist_ok=True)
        (place / ROW).unlink(missing_ok=True)  # a kill leaves no row of other files
        write_atomic(place / HEARD, heard)
        write_atomic(place / LEVELS, sound_curve.levels(samples))
        write_atomic(place / ROW, (json.dumps(asdict(row), indent=1, ensure_ascii=False) + "\n").encode())
    return row


def remove(name: str) -> None:
    """Forget a sound. Raises ConfigError CFG-SOUND where there is none."""
    shutil.rmtree(folder() / find(name).id, ignore_errors=True)


def find(name: str) -> Sound:
    """A registered sound. Raises ConfigError CFG-SOUND where there is none, DataError DAT-SOUND for a damaged
    row."""
    if not ID.fullmatch(name) or not (folder() / name / ROW).is_file():
        known = ids()
        best = nearest(name, known)
        own = name if ID.fullmatch(name) else "mine"
        fix = f"pokora sound add FILE.wav --id {own} --licence CC0-1.0 --source '...'"
        raise ConfigError(
            "CFG-SOUND",
            f"shot.sound={name[:40]}: no sound of that name is registered here",
            expected=", ".join(known) or "a registered sound",
            fix=f"shot.sound={best}" if best else fix,
        )
    try:
        told = cast(dict[str, str], json.loads((folder() / name / ROW).read_text(encoding="utf-8")))
        return Sound(
            **{key: str(told[key]) for key in ("id", "sha256", "heard", "licence", "source", "author")},
            seconds=float(told["seconds"]),
            channels=int(told["channels"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(name) from error


def files(name: str) -> list[str]:
    """What a process that renders with a sound reads. Raises what `find` raises."""
    place = (folder() / find(name).id).resolve()
    return [str(place / ROW), str(place / HEARD)]


def levels_of(sound: Sound) -> bytes:
    """A sound's levels. Raises DataError DAT-SOUND where they are gone."""
    try:
        return (folder() / sound.id / LEVELS).read_bytes()
    except OSError as error:
        raise _damaged(sound.id) from error


def stream_of(sound: Sound) -> Stream:
    """A sound's AAC. Raises DataError DAT-SOUND where it is not what was registered."""
    try:
        data = (folder() / sound.id / HEARD).read_bytes()
        if hashlib.sha256(data).hexdigest() != sound.heard:
            raise _damaged(sound.id)
        return mp4_sound.read_adts(data)
    except (OSError, NoSound) as error:
        raise _damaged(sound.id) from error


def another(name: str) -> ConfigError:
    """The error for a sound that is not what the run began with."""
    return ConfigError(
        "CFG-SOUND",
        f"shot.sound={name}: another sound is registered under that name than the run began with",
        expected="the same file",
        fix=f"register it again with --id {name} --replace, or type the command again: that is a new run",
    )


def _check_words(new: NewSound, *, replace: bool) -> None:
    if not ID.fullmatch(new.id):
        raise ConfigError(
            "CFG-SOUND", f"--id {new.id[:60]!r}", expected="small letters, digits and -, at most 40"
        )
    if not replace and new.id in ids():
        raise ConfigError(
            "CFG-SOUND",
            f"--id {new.id} is taken by a sound of yours",
            fix="choose another --id, or --replace it",
        )
    require_open(new.licence, "CFG-SOUND")
    if len(" ".join(new.source.split())) < _LEAST_SOURCE:
        fix = "for example --source 'played by me'"
        raise ConfigError(
            "CFG-SOUND",
            f"--source {new.source!r}",
            expected="who made it, or where it was published",
            fix=fix,
        )


def _damaged(name: str) -> DataError:
    return DataError(
        "DAT-SOUND",
        f"the registered sound {name} is damaged",
        expected="what `pokora sound add` wrote",
        fix=f"pokora sound add FILE.wav --id {name} --replace --licence ... --source ...",
    )
