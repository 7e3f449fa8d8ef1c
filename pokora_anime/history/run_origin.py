"""What made a run, a still or a clip: its command and settings, by its record or by the file's own texts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from pokora_anime.errors import ConfigError, RecordError
from pokora_anime.history import embedded_texts, foreign_texts, typed_words_again
from pokora_anime.history.embedded_texts import Texts
from pokora_anime.history.run_folders import folders
from pokora_anime.history.typed_words_again import Retyped
from pokora_anime.provenance import run_layout
from pokora_anime.provenance.hashing import Json
from pokora_anime.provenance.operations import KEYFRAME, REDRAWN
from pokora_anime.provenance.run_reading import Reading, read_run
from pokora_anime.provenance.seed_noise import PICTURE
from pokora_anime.schema.option_values import Leaves, leaves
from pokora_anime.untrusted import strict_yaml
from pokora_anime.untrusted.untrusted_names import shown

COMMANDS = ("video", "stills")
# Of a still's settings, what its clip is drawn by too.
_SHARED = ("base.", "speed.", "style.", "contest.", "device.")
_SHARED_KEYS = ("seed", "shot.prompt", "shot.prefix", "shot.negative", "finish.width", "finish.height")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What made the thing at `path`.

    `plain` is the resolved config of its run, empty where another tool made it. `still` is the index of a
    single still in its run, counted from 0, where that is known, `seed` its own seed, and `keyframe` what
    its picture's node made (sha256, "" where that is not told). `ignored` names what is told and not taken.
    """

    path: Path
    command: str
    plain: dict[str, Json] = field(default_factory=dict[str, Json])
    words: tuple[str, ...] = ()  # of another tool's settings
    still: int | None = None
    seed: int | None = None
    keyframe: str = ""
    reading: Reading | None = None
    ignored: tuple[str, ...] = ()

    def retyped(self) -> Retyped:
        """What to type behind the command to have the same again. Raises ConfigError, PromptError."""
        if not self.plain:
            return Retyped([*self.words], [*self.ignored])
        wanted = leaves(self.plain)
        if self.seed is not None:
            wanted = _alone(wanted, self.seed)
        found = typed_words_again.retyped(self.command, wanted)
        return Retyped(found.words, [*found.ignored, *self.ignored])

    @property
    def name(self) -> str:
        """How a message names it."""
        return shown(self.path) + ("" if self.still is None else f"#{self.still + 1}")

    def animated(self) -> Retyped:
        """What to type behind `pokora video` for the clip whose keyframe is this still.

        Raises ConfigError CFG-STILL for what is no single still, or was drawn from other noise.
        """
        if self.seed is None or not self.keyframe:
            alone = "a run" if self.command == "stills" and self.path.is_dir() else "no still of this release"
            raise ConfigError(
                "CFG-STILL",
                f"--from {self.name}, which is {alone}",
                expected="one still of a finished run: outputs/stills/NAME#2, or its PNG",
                fix="name one by its number; stills of releases before 0.3 have other noise: fresh=true",
            )
        wanted = _alone(leaves(self.plain), self.seed)
        shared = {
            key: value for key, value in wanted.items() if key in _SHARED_KEYS or key.startswith(_SHARED)
        }
        found = typed_words_again.retyped("video", shared)
        # Another attempt would be another picture, and so would the same one in another pose.
        return Retyped([*found.words, "control.attempts=1", "keyframe.posed=false"], found.ignored)


def _alone(wanted: Leaves, seed: int) -> Leaves:
    """The settings of one still by itself; what its run's seed has chosen of the prompt stays chosen."""
    alone = {key: value for key, value in wanted.items() if key != "shot.typed"}
    return {**alone, "seed": seed, **({"count": 1} if "count" in wanted else {})}


def find(text: str, root: Path) -> Origin:
    """The origin of a run's folder, a file, or what `root` holds by a part of its name; `#2` is still 2.

    Raises ConfigError CFG-FILE, CFG-TAG, RecordError.
    """
    name, _, number = text.partition("#") if not Path(text).exists() else (text, "", "")
    path = place(name, root)
    found = of_run(path) if path.is_dir() else of_file(path)
    return _picked(found, number) if number else found


def place(text: str, root: Path) -> Path:
    """The path of a run or a file as typed: an existing one, or the run whose name holds `text`."""
    path = Path(text)
    if path.exists():
        return path
    found = [one for one in folders(root) if text and text in one.name]
    if len(found) == 1:
        return found[0]
    several = f": {', '.join(one.name for one in found[:3])}" + (" ..." if len(found) > 3 else "")
    raise ConfigError(
        "CFG-FILE",
        f"{shown(text)!r} is no file and "
        + (f"{len(found)} runs{several}" if found else f"no run in {root}"),
        expected="a run's folder, a PNG, an MP4, or a part of one run's name",
        fix="`pokora list`",
    )


def of_run(folder: Path) -> Origin:
    """The origin of a run, by its record, or while it is unfinished by its config.

    Raises RecordError for a record that cannot be read, ConfigError for a folder that is no run.
    """
    if (folder / run_layout.RECORD).exists():
        reading = read_run(folder)
        return Origin(path=folder, command=reading.command, plain=reading.config, reading=reading)
    config = folder / run_layout.CONFIG
    if not config.is_file():
        raise ConfigError(
            "CFG-FILE",
            f"{shown(folder)} is no run's folder",
            expected=f"one with {run_layout.RECORD}",
            fix="`pokora list`",
        )
    if config.stat().st_size > strict_yaml.MAX_CHARACTERS:
        raise ConfigError("CFG-FILE", f"{shown(config)} has {config.stat().st_size} bytes")
    plain = strict_yaml.load(config.read_text(encoding="utf-8", errors="replace"), run_layout.CONFIG)
    if not isinstance(plain, dict):
        raise ConfigError("CFG-FILE", f"{shown(config)} holds no settings", fix="`pokora list`")
    told = cast(dict[str, Json], plain)
    return Origin(path=folder, command="stills" if "count" in told else "video", plain=told)


def of_file(path: Path) -> Origin:
    """The origin of a PNG or an MP4, by the texts that it carries. Raises ConfigError CFG-FILE, CFG-TAG."""
    found = embedded_texts.read(path)
    return _ours(path, found) or _foreign(path, found)


def _ours(path: Path, found: Texts) -> Origin | None:
    """None for a file of another tool."""
    if "config" in found.read:  # a still
        plain, seed = foreign_texts.parse(found.read["config"], path, "config"), found.read.get("seed", "")
        if not isinstance(plain, dict) or not re.fullmatch(r"\d{1,19}", seed):
            raise embedded_texts.unreadable(path, "its texts are not those of a still")
        keyframe = found.read.get("keyframe", "")
        own = int(seed) if keyframe else None  # releases before 0.3 told the run's seed
        return Origin(path=path, command="stills", plain=plain, seed=own, keyframe=keyframe)
    if not found.read.get("comment", "").startswith('{"command":'):
        return None
    value = foreign_texts.parse(found.read["comment"], path, "comment")
    if not isinstance(value, dict) or value.get("command") != "video":
        return None
    plain = value.get("config")
    if not isinstance(plain, dict):
        raise embedded_texts.unreadable(path, "its comment holds no settings")
    return Origin(path=path, command="video", plain=plain)


def _foreign(path: Path, found: Texts) -> Origin:
    told = foreign_texts.read(found, path)
    words = [f"shot.prompt={told.prompt}"]
    words += [] if told.seed is None else [f"seed={told.seed}"]
    if told.steps is not None:
        words += [*(["speed=hq"] if told.steps > _FEW_STEPS else []), f"speed.steps={told.steps}"]
    command = "stills" if found.kind == "PNG" else "video"
    return Origin(path=path, command=command, words=tuple(words), ignored=tuple(told.ignored))


_FEW_STEPS = 8  # more are no distilled model's


def _picked(found: Origin, number: str) -> Origin:
    """One still of a run."""
    count = found.plain.get("count")
    seed = found.plain.get("seed")
    whole = isinstance(count, int) and isinstance(seed, int) and found.command == "stills"
    index = int(number) - 1 if re.fullmatch(r"\d{1,4}", number) else -1
    if not whole or found.seed is not None or not 0 <= index < cast(int, count):
        told = f"{count} stills" if whole else "no run of stills"
        raise ConfigError(
            "CFG-FILE",
            f"#{shown(number, 20)} of {shown(found.path.name)}, which is {told}",
            expected="the number of a still, counted from 1",
            fix=f"{shown(found.path)}#1" if whole else "`pokora list`",
        )
    keyframe = "" if found.reading is None else _keyframe(found.reading, index)
    return Origin(
        path=found.path,
        command="stills",
        plain=found.plain,
        still=index,
        seed=cast(int, seed) + index,
        keyframe=keyframe,
        reading=found.reading,
    )


def _keyframe(reading: Reading, index: int) -> str:
    """What the node of a still's picture made; "" where it was drawn as releases before 0.3 did."""
    if not 0 <= index < len(reading.results):
        raise RecordError("REC-NODE", f"no still {index + 1} in this record", fix="`pokora list`")
    node = reading.node(next(iter(reading.node(reading.results[index]).parents), ""))
    return node.output if node.params.get("part") == [PICTURE, 0] else ""


def keyframe_of(folder: Path) -> str:
    """What the node of the keyframe that a clip begins with made, "" for none. Raises RecordError."""
    made = {node.op: node.output for node in read_run(folder).nodes}
    return made.get(REDRAWN.name, made.get(KEYFRAME.name, ""))


def shot(plain: Mapping[str, Json]) -> Mapping[str, Json]:
    """The section of a plain config that tells what is to be seen."""
    value = plain.get("shot")
    return value if isinstance(value, dict) else {}


def weights(reading: Reading) -> Sequence[str]:
    """The registry rows whose files a run used, each with the digest of its files."""
    return [f"{files.row} {digest[:12]}" for digest, files in sorted(reading.weights.items())]
