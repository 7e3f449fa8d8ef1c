"""From a data set to a registered LoRA: trained, judged, told in style.json, registered.

Torch-free until something is trained: what cannot be is refused first.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pokora_anime.catalogue import own_rows, own_weights, registry
from pokora_anime.errors import DataError, Interrupted, PokoraError, TrainingError
from pokora_anime.system.files import file_lock
from pokora_anime.system.files.atomic_files import writing
from pokora_anime.system.files.user_folder import data_folder
from pokora_anime.workshop.data import data_checks
from pokora_anime.workshop.data.data_store import Stored
from pokora_anime.workshop.judging import style_record
from pokora_anime.workshop.judging.style_record import Author
from pokora_anime.workshop.training.lora_settings import LoraSettings, Role

if TYPE_CHECKING:
    from collections.abc import Generator

    from pokora_anime.workshop.data.data_set import DataSet
    from pokora_anime.workshop.judging.lora_verdict import Verdict
    from pokora_anime.workshop.judging.motion_verdict import MotionVerdict
    from pokora_anime.workshop.training.training_base import TrainingBase

Tell = Callable[[str], None]
_OWN = ("state.pt", "latents.safetensors", "index.html", "weights.png", "nearest.png", style_record.FILE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What is to be made, of what, where; `replace` takes the place of a LoRA that is registered."""

    settings: LoraSettings
    data: Stored
    author: Author
    work: Path
    register: bool = True
    replace: bool = False
    fresh: bool = False
    words: Sequence[str] = ()
    folders: Mapping[str, Path] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The LoRA, what was measured, its page, and whether it is registered."""

    file: Path
    verdict: Verdict | MotionVerdict
    page: Path
    registered: bool


def make(assignment: Assignment, tell: Tell, opened: list[TrainingBase] | None = None) -> Made:
    """Train, judge, record and register. Raises PokoraError TRN-*, DAT-*, CFG-OWN, WGT-*, SYS-*.

    `opened` keeps the base for the next training of the same one.
    """
    settings, work = assignment.settings, assignment.work
    refuse(assignment)
    with alone(settings.id), writing(work):
        if assignment.fresh:
            clear(work, settings.id)
        work.mkdir(parents=True, exist_ok=True)
        return _made(assignment, tell, [] if opened is None else opened)


def make_all(assignments: Sequence[Assignment], tell: Tell, page: Path) -> list[Made | PokoraError]:
    """Several trainings of one base, one after the other, and one page of them at `page`.

    What can be refused of any is refused before the first; one that fails later stops no other, and its error
    stands in its place. Raises PokoraError as `refuse` does.
    """
    from pokora_anime.workshop.training import trainings_page

    for assignment in assignments:
        refuse(assignment)
    opened: list[TrainingBase] = []
    found: list[Made | PokoraError] = []
    works = {assignment.settings.id: assignment.work for assignment in assignments}
    for assignment in assignments:
        trainings_page.write(page, works, _told(assignments, found))
        try:
            found.append(make(assignment, tell, opened))
        except Interrupted:
            raise
        except PokoraError as error:
            tell(error.line())
            found.append(error)
    trainings_page.write(page, works, _told(assignments, found))
    return found


def _told(assignments: Sequence[Assignment], found: Sequence[Made | PokoraError]) -> dict[str, str]:
    """By id how far each training is."""
    told = {one.settings.id: "waits" for one in assignments}
    for name, one in zip(told, (*found, None), strict=False):
        if one is None:
            told[name] = "is being trained"
        else:
            told[name] = one.line() if isinstance(one, PokoraError) else "done"
    return told


def refuse(assignment: Assignment) -> None:
    """Everything that can be refused before torch is imported."""
    settings, data = assignment.settings, assignment.data.data
    _refuse_other_data(settings, data)
    count, what = len(data.by_clip() if data.clips else data.entries), "clips" if data.clips else "pictures"
    if settings.held_out >= count:
        raise TrainingError(
            "TRN-HELD-OUT",
            f"--held-out {settings.held_out} of {count} {what}",
            expected=f"at most {count - 1}",
            fix="leave --held-out out",
        )
    _refuse_idle_stop(settings)
    if assignment.register:
        own_weights.rivals(new_lora(assignment), _taken(), replace=_may_replace(assignment))
    if found := data_checks.check(assignment.data):
        raise DataError(found[0].code, f"{found[0].where}: {found[0].message}", fix=found[0].fix)


def _refuse_other_data(settings: LoraSettings, data: DataSet) -> None:
    """A motion is learnt from clips, all else from pictures."""
    moving = settings.role is Role.motion
    if moving == data.clips:
        return
    raise TrainingError(
        "TRN-DATA",
        f"--role {settings.role.value} on {data.name}, which is {data.amount}",
        expected="clips (`pokora data add --clips`)" if moving else "pictures",
        fix="--role character or style" if moving else "--role motion",
    )


def _refuse_idle_stop(settings: LoraSettings) -> None:
    """An early stop that no look could ever bring about."""
    patience, every = settings.early_stop, settings.every
    if patience and not settings.held_out:
        raise TrainingError(
            "TRN-HELD-OUT",
            f"--early-stop {patience} with no picture held out",
            expected="at least one, whose loss says when to stop",
            fix="--held-out 2, or --early-stop 0",
        )
    if patience and every * (patience + 1) > settings.steps:
        most = settings.steps // (patience + 1)
        raise TrainingError(
            "TRN-LOOKS",
            f"--early-stop {patience} with {settings.steps // every} looks in {settings.steps} steps",
            expected=f"at least {patience + 1} looks",
            fix=f"--every {most}" if most else "--early-stop 0",
        )


def _made(assignment: Assignment, tell: Tell, opened: list[TrainingBase]) -> Made:
    from pokora_anime.workshop.judging import lora_verdict, motion_verdict
    from pokora_anime.workshop.training import training_page
    from pokora_anime.workshop.training.clips.clip_training import ClipTraining
    from pokora_anime.workshop.training.lora_training import LoraTraining
    from pokora_anime.workshop.training.training_base import TrainingBase

    settings, data, work = assignment.settings, assignment.data, assignment.work
    moving = settings.role is Role.motion
    if not opened:
        family, folders = settings.base.value, assignment.folders
        opened.append(TrainingBase(family, assignment.words, folders, moving=moving))
    (base,) = opened
    base.models.free("unet", "motion", "vae")  # another training's layers may be in it
    _tell_long_captions(base, data, tell)
    training = (ClipTraining if moving else LoraTraining)(settings, data, base, work)
    tell(f"page: {work / training_page.PAGE}")
    file = training.run(tell)
    standing = training.loop.standing
    base.models.free("unet", "motion", "vae")
    base.forget_text()
    tell("judging")
    verdict = (motion_verdict if moving else lora_verdict).judge(settings, data, base, file, work)
    page = training_page.write(work, settings, standing, verdict.lines())
    scores = verdict.to_plain()
    table = style_record.record(settings, data.data, assignment.author, file, scores, standing.seconds)
    style_record.write(table, work)
    for name, found in verdict.lines():
        tell(f"{name}: {found}")
    verdict.require()
    registered = assignment.register and _register(assignment, file)
    return Made(file=file, verdict=verdict, page=page, registered=registered)


def _register(assignment: Assignment, file: Path) -> bool:
    told = (assignment.work / style_record.FILE).read_bytes()
    cards = {**_cards(assignment.data), own_rows.STYLE: told}
    new = replace(new_lora(assignment), file=file, cards=cards)
    own_weights.add(new, _taken(), replace=_may_replace(assignment))
    return True


def _cards(data: Stored) -> dict[str, bytes]:
    return {name: (data.folder / name).read_bytes() for name in own_rows.CARDS}


def new_lora(assignment: Assignment) -> own_weights.NewLora:
    """What `pokora models add` would be told."""
    settings, author = assignment.settings, assignment.author
    return own_weights.NewLora(
        id=settings.id,
        file=Path(),
        family=settings.base,
        slot=own_rows.CHARACTER if settings.role is Role.character else "",
        licence=author.licence,
        data_statement=assignment.data.data.statement,
        author=author.name,
        title=author.title,
        data_set=assignment.data.data.name,
    )


def _may_replace(assignment: Assignment) -> bool:
    """Whether the place is free to take: asked for, or held by what this very training made."""
    if assignment.replace:
        return True
    try:
        made = json.loads((assignment.work / style_record.FILE).read_bytes())
        digest = str(made["file"]["sha256"]) if made["id"] == assignment.settings.id else ""
    except (OSError, ValueError, KeyError, TypeError):
        return False
    others = own_weights.in_place_of(new_lora(assignment))
    return bool(digest and others) and all(digest in row.sha256.values() for row in others)


def _taken() -> dict[str, str]:
    return {name: row.id for row in registry.shipped() for name in row.names}


@contextmanager
def alone(identifier: str) -> Generator[None]:
    """Held while an id is trained. Raises TrainingError TRN-BUSY where another process trains it."""
    from filelock import Timeout

    folder = data_folder() / "trainings"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            held = file_lock.lock(folder / f"{identifier}.lock")
        except Timeout as error:
            raise TrainingError(
                "TRN-BUSY",
                f"{identifier} is being trained by another process",
                expected="one training of an id at a time",
                fix="wait until it has finished, stop it, or choose another --id",
            ) from error
    try:
        yield
    finally:
        if held is not None:
            held.release()


def clear(work: Path, identifier: str) -> None:
    """Take away what a training wrote, and nothing else."""
    for name in (*_OWN, f"{identifier}.safetensors"):
        (work / name).unlink(missing_ok=True)
    shutil.rmtree(work / "samples", ignore_errors=True)


def _tell_long_captions(base: TrainingBase, data: Stored, tell: Tell) -> None:
    from pokora_anime.workshop.training.training_base import CHUNK

    longer = [one.name for one in data.data.entries if base.tokens(one.caption) > CHUNK]
    if longer:
        tell(
            f"{len(longer)} captions are longer than {CHUNK} tokens and are read up to there: {longer[0]}..."
        )
