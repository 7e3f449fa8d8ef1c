"""The rehearsal: what a team types from the first download to the bundle, each in a process of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from place import Done, Place, StepError

CONTROL = ("style=pastel", "control=depth", "speed=lcm", "base=sdxl")
MOST_OVER = 1.1  # of the memory that a run plans with
PROMPT = "shot.prompt=1girl, blue hair, waving"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large a rehearsal is: the settings that all its renders share, and those of the clip."""

    common: tuple[str, ...]
    clip: tuple[str, ...]


SIZES = {
    "tiny": Size(
        common=(
            *("base.width=64", "base.height=64", "finish.width=64", "finish.height=64"),
            *("speed.steps=2", "device.threads=1", "device.dtype=fp32"),
        ),
        clip=("shot.seconds=1", "motion.frames=6", "motion.overlap=2"),
    ),
    "full": Size(common=("speed.steps=4",), clip=("shot.seconds=3", "shot.fps=8")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step that went well."""

    name: str
    done: Done
    told: str = ""


def steps(place: Place, size: Size) -> Iterator[Step]:
    """All of them in order. Raises StepError where one does not come out as it must."""
    yield from _fetched(place)
    stills = place.pokora("stills", *CONTROL[:1], *CONTROL[2:], *size.common, PROMPT)
    pictures = list((place.checkout / stills.last).glob("still*.png"))
    _expect(bool(pictures), f"no picture in {stills.last}")
    yield Step(name="still", done=stills, told=stills.last)
    clip = ("video", *CONTROL, *size.common, *size.clip, PROMPT)
    yield from _killed_and_resumed(place, clip)
    yield from _verified(place)
    yield from _bundled(place)


def _fetched(place: Place) -> Iterator[Step]:
    """Everything comes, once; what is here is not asked for again and holds every byte."""
    listed = place.pokora("models", "fetch", *CONTROL, "--dry-run")
    _expect("size ?" not in listed.output, "a size is not known")
    yield Step(name="dry run", done=listed, told=listed.last)
    yield Step(name="fetch", done=place.pokora("models", "fetch", *CONTROL))
    again = place.pokora("models", "fetch", *CONTROL)
    _expect("to fetch" not in again.output, "what is here was fetched again")
    yield Step(name="fetch again", done=again)
    yield Step(name="models verify", done=place.pokora("models", "verify", *CONTROL))


def _killed_and_resumed(place: Place, words: tuple[str, ...]) -> Iterator[Step]:
    """Killed when a segment of the clip is finished; the same command keeps it and finishes."""

    def segment() -> bool:
        return any(place.checkout.glob("outputs/video/*/stages/motion-*.safetensors"))

    yield Step(name="clip, killed", done=place.pokora(*words, until=segment))
    resumed = place.pokora(*words)
    folder = place.checkout / resumed.last
    log = "".join(path.read_text(encoding="utf-8") for path in sorted((folder / "logs").glob("*.log")))
    _expect("kept" in resumed.output + log, "nothing was kept of the killed run")
    _expect((folder / "record.json").is_file(), f"no record in {resumed.last}")
    planned = re.search(r"about ([\d.]+) GB", log)
    peak = resumed.peak / 1e9
    told = (
        f"peak {peak:.1f} GB of {planned[1]} GB planned" if planned else f"peak {peak:.1f} GB, none planned"
    )
    _expect(planned is None or peak <= MOST_OVER * float(planned[1]), told)
    yield Step(name="clip, resumed", done=resumed, told=told)
    answered = place.pokora(*words)
    _expect(answered.last == resumed.last, "a finished run was rendered again")
    yield Step(name="clip, answered", done=answered)


def _verified(place: Place) -> Iterator[Step]:
    """Both runs hold; too small or too short for an entry, they may be refused by the rules alone."""
    for command in ("stills", "video"):
        (folder,) = (place.checkout / "outputs" / command).iterdir()
        done = place.pokora("verify", str(folder.relative_to(place.checkout)), "--json", allowed=(0, 1))
        report = json.loads(done.output[done.output.index("{") :])
        found = [*report["integrity"], *report["policy"]]
        blocks = [one["code"] for one in found if one["severity"] == "block"]
        sound = report["verdicts"]["INTEGRITY"] == "PASS" and not report["unreadable"]
        sound = sound and all(code.startswith("RULE-") for code in blocks)
        _expect(sound, f"{command} does not hold: {report['unreadable']} {', '.join(blocks)}")
        yield Step(name=f"verify {command}", done=done, told=report["entry"])


def _bundled(place: Place) -> Iterator[Step]:
    words = ("--title", "Rehearsal", "--member", "Nobody=0", "--artistic-statement", "Random numbers.")
    place.pokora("submission", "init", "--yes", *words)
    built = place.pokora("submission", "build", "--draft")
    _expect((place.checkout / built.last).is_file(), f"no bundle: {built.last}")
    yield Step(name="draft bundle", done=built, told=built.last)
    status = place.pokora("submission", "status")
    yield Step(name="status", done=status)


def _expect(true: bool, otherwise: str) -> None:
    if not true:
        raise StepError(otherwise)
