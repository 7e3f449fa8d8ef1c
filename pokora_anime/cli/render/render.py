"""`pokora video`, `pokora stills` and, with --multirun or as `pokora sweep`, grids of them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pokora_anime.config import group_precedence
from pokora_anime.config.overrides import settled
from pokora_anime.errors import ConfigError, RecordError
from pokora_anime.jobs import drafts
from pokora_anime.jobs.render_job import note, printable, render
from pokora_anime.jobs.sweep_jobs import PARTS, with_preset
from pokora_anime.schema.settings import RunConfig, VideoConfig
from pokora_anime.system.did_you_mean import nearest
from pokora_anime.system.terminal import resume_hint

if TYPE_CHECKING:
    from pokora_anime.cli.render.sweep import Wishes
    from pokora_anime.history.run_origin import Origin

GUARDS = ("auto", "require", "off")
_FLAGS = (
    *("--out", "--from", "--multirun", "--prompt", "--prompt-env", "--prompt-file", "--cfg", "--help"),
    *("--yes", "--open"),  # of a sweep
)
_MAPS = "control=segment"
MOST_KEPT = 64
KEPT = 3


@dataclass(slots=True)
class Request:
    """A render command line, taken apart."""

    overrides: list[str] = field(default_factory=list)
    out: Path = Path("outputs")
    multirun: bool = False
    guard: str = "auto"
    track: str = ""  # what finished runs are told to
    typed: list[str] = field(default_factory=list)  # the overrides without those of a still
    still: Origin | None = None  # the still whose settings are taken
    shown: str = ""  # the part of the config that is printed instead: job, hydra or all
    yes: bool = False  # a sweep of many jobs is meant
    open: bool = False  # show a sweep's gallery
    keep: int | None = None  # how many drafts are rendered again
    help: bool = False
    topic: str = ""  # what help is asked about: keys, a section or a key


def main(command: str, arguments: Sequence[str]) -> int:
    """Compose, check, render; the run folder is printed last."""
    request = parse(command, arguments)
    if request.help:
        from pokora_anime.cli import help_pages

        print(help_pages.page(command, request.topic))
        return 0
    resume_hint.remember(command, words(request))
    if request.multirun:
        _one_run_only(request)
        wishes = _wishes(command, request)
        return _show(command, request) if request.shown else _sweep(command, request, wishes)
    if request.shown:
        return _show(command, request)
    _no_sweep(request)
    from pokora_anime.cli.judge import key
    from pokora_anime.config.compose import compose

    config = compose(command, request.overrides)
    note(config)
    _told_clamped(command, request.overrides)
    try:
        folder = render(config, request.out, request.guard)
    except ConfigError as error:
        if error.code != "CFG-NOBODY" or not _may_read_maps(request):
            raise
        print(f"{error.got}: {_MAPS} instead, which reads what the still shows", file=sys.stderr)
        config = compose(command, [*request.overrides, _MAPS])
        folder = render(config, request.out, request.guard)
    key.sign(folder)
    print(folder)
    if request.track:
        from pokora_anime.cli.render import tracking

        tracking.log_run(folder, request.overrides, request.out)
    if request.still is not None:
        _agree(folder, request.still)
    _require(config, folder)
    return 0


def _sweep(command: str, request: Request, wishes: Wishes) -> int:
    """Render a grid or search, and tell of its finished jobs."""
    from pokora_anime.cli.render import search, sweep

    kind = search if search.WORD in request.overrides else sweep
    status = kind.run(command, request.overrides, request.out, wishes)
    if request.track:
        from pokora_anime.cli.render import tracking

        tracking.log_sweep(kind.folder_of(command, request.overrides, request.out), request.out)
    return status


# Not used by every config.
_CONDITIONAL = ("timeline.lora=", "motion.effect_strength=", "keyframe.posed=", "keyframe.identity_scale=")


def _told_clamped(command: str, overrides: Sequence[str]) -> None:
    """Name on stderr what a contest's bounds changed of a timeline's weights, and what nothing uses."""
    if any(word.lstrip("+").startswith(_CONDITIONAL) for word in overrides):
        from pokora_anime.config import keyframe_checks
        from pokora_anime.config.compose import unresolved
        from pokora_anime.config.over_time import effect_checks
        from pokora_anime.config.over_time.timeline_checks import clamped

        typed = unresolved(command, overrides)
        told = list[str]()
        if isinstance(typed, VideoConfig):
            told = [*clamped(typed), *effect_checks.unused(typed), *keyframe_checks.unused(typed)]
        for line in told:
            print(line, file=sys.stderr)


def _may_read_maps(request: Request) -> bool:
    """Whether a clip from a still that shows nobody may be steered by the picture's maps instead."""
    return request.still is not None and not any(re.match(r"control[.=]", word) for word in request.typed)


def _agree(folder: Path, still: Origin) -> None:
    """Say that a clip's keyframe is the still's picture. Raises RecordError REC-KEYFRAME where it is not."""
    from pokora_anime.history.run_origin import keyframe_of

    made = keyframe_of(folder)
    if made != still.keyframe:
        raise RecordError(
            "REC-KEYFRAME",
            f"the clip is kept, and its keyframe ({made[:12] or 'none'}) is not the picture of {still.name}",
            expected=still.keyframe[:12],
            fix="type nothing that changes the picture, and control=segment where it shows nobody;"
            " weights, code and machine must be the still's",
        )
    print(f"its keyframe is the picture of {still.name}: both records hold {made[:12]}", file=sys.stderr)


def _show(command: str, request: Request) -> int:
    """Print the config of the run, or those of all jobs."""
    from pokora_anime.jobs import sweep_jobs

    print(sweep_jobs.page(command, request.overrides, request.shown, multirun=request.multirun), end="")
    return 0


def _require(config: RunConfig, folder: Path) -> None:
    """Raises QualityError where quality.min asks for more."""
    from pokora_anime.quality import quality_gate

    quality_gate.require(config, folder)


def sweep_main(arguments: Sequence[str]) -> int:
    """`pokora sweep`: the grid preset of `pokora video --multirun` unless another is named."""
    request = parse("sweep", arguments)
    if request.help:
        from pokora_anime.cli import help_pages

        print(help_pages.page("sweep", request.topic))
        return 0
    _one_run_only(request)
    resume_hint.remember("sweep", words(request))
    request.overrides = with_preset(request.overrides)
    wishes = _wishes("sweep", request)
    if request.shown:
        request.multirun = True
        return _show("video", request)
    return _sweep("video", request, wishes)


def _wishes(command: str, request: Request) -> Wishes:
    """What is asked of a sweep; the request's words become those of its drafts.

    Raises ConfigError for `keep=` without drafts.
    """
    from pokora_anime.cli.render.sweep import Wishes

    wishes = Wishes(yes=request.yes, show=request.open, typed=(command, *words(request)))
    if drafts.WORD not in request.overrides or command == "stills":
        if request.keep is not None:
            fix, word = f"pokora sweep {drafts.WORD}", drafts.WORD
            raise ConfigError("CFG-SYNTAX", f"keep={request.keep} without drafts", expected=word, fix=fix)
        return wishes
    if "quality.score=false" in request.overrides:
        raise ConfigError(
            "CFG-SYNTAX", "drafts without a score", expected="quality.score=true", fix="leave it out"
        )
    found = drafts.of("video", request.overrides)
    request.overrides = found.words
    print(found.told, file=sys.stderr)
    return replace(wishes, keep=request.keep or KEPT, drafts=found)


def _no_sweep(request: Request) -> None:
    """Raises ConfigError for what a grid of runs takes and one run does not."""
    keep = f"keep={request.keep}" if request.keep is not None else ""
    found = next((word for word in ("--yes" * request.yes, "--open" * request.open, keep) if word), "")
    if found:
        raise ConfigError("CFG-SYNTAX", f"{found} of one run", expected="a sweep", fix="add --multirun")


def parse(command: str, arguments: Sequence[str]) -> Request:
    """The command line without composing it. Raises ConfigError for an unknown option."""
    from pokora_anime.config import gate

    gate.refuse_options(arguments)
    request = Request()
    rest, still = list(arguments), ""
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if word in ("-m", "--multirun"):
            request.multirun = True
        elif word in ("-h", "--help"):
            request.help = True
            if rest and re.fullmatch(r"[a-z]\w*(\.\w+)*", rest[0]):
                request.topic = rest.pop(0)
        elif name == "--cfg":
            request.shown = _part(value if equals else rest.pop(0) if rest and rest[0] in PARTS else PARTS[0])
        elif name == "timeline" and equals:
            from pokora_anime.config.over_time import timeline_file

            request.overrides += timeline_file.overrides(Path(value))
        elif name == "shots" and equals and not value.startswith("["):
            from pokora_anime.config.over_time import shots_file

            request.overrides.append(shots_file.override(Path(value)))
        elif name == "track" and equals:
            from pokora_anime.cli.render import tracking

            request.track = tracking.require(value)
        elif name == "guard" and equals:
            request.guard = _guard(value)
        elif name == "keep" and equals:
            request.keep = _kept(value)
        elif word in ("--yes", "--open"):
            setattr(request, word[2:], True)
        elif name in ("--out", "--from", "--prompt", "--prompt-env", "--prompt-file"):
            value = value if equals else _argument(name, rest)
            if name == "--out":
                request.out = Path(value)
            elif name == "--from":
                still = _still(command, value)
            elif name == "--prompt-file":
                from pokora_anime.cli.render import prompt_file

                request.multirun = True
                request.overrides.append(prompt_file.override(Path(value)))
            elif name == "--prompt":
                request.overrides.append(f"shot.prompt={value}")
            else:
                # First, so that a prompt that is typed as well wins.
                request.overrides.insert(0, f"shot.prompt={_from_environment(value)}")
        elif word.startswith("-"):
            best = nearest(name, _FLAGS)
            fix = f"did you mean {best}?" if best else f"`pokora {command} --help`"
            raise ConfigError("CFG-SYNTAX", f"unknown option {word}", expected=", ".join(_FLAGS), fix=fix)
        else:
            request.overrides.append(word)
    request.typed = [*request.overrides]
    if still:
        _take(request, still)
    _told_unused(request.overrides)
    for line in group_precedence.lines("stills" if command == "stills" else "video", request.overrides):
        print(line, file=sys.stderr)
    drawn = settled(request.overrides)
    for word in drawn:
        if word not in request.overrides:
            print(f"drawn: {word}", file=sys.stderr)
    request.overrides = drawn
    return request


def _told_unused(overrides: Sequence[str]) -> None:
    """Name on stderr what a list of shots says itself."""
    if any(word.startswith("shots=") for word in overrides):
        unused = ("shot.prompt", "shot.seconds", "motion.camera")
        typed = [key for key in unused if any(word.startswith(f"{key}=") for word in overrides)]
        if typed:
            print(f"not used: {', '.join(typed)}: each shot of the list has its own", file=sys.stderr)


def _still(command: str, value: str) -> str:
    if command not in ("video", "check"):
        raise ConfigError(
            "CFG-SYNTAX",
            f"--from in pokora {command}",
            expected="pokora video",
            fix=f"pokora video --from {value}",
        )
    return value


def _take(request: Request, still: str) -> None:
    """Put a still's settings before what was typed."""
    from pokora_anime.history import run_origin
    from pokora_anime.history.typed_words_again import with_changes

    request.still = run_origin.find(still, request.out)
    found = request.still.animated()
    told_ignored(request.still, found.ignored)
    told_dropped(found.words, request.overrides)
    request.overrides[:0] = with_changes(found.words, request.overrides)
    other = re.compile(r"\+*(best_of=(?!1$)|shots=(?!\[\]$)|keyframe\.posed=(?!false$)).*", re.DOTALL)
    asked = next((word for word in request.overrides if other.fullmatch(word)), "")
    if asked:
        raise ConfigError(
            "CFG-RANGE",
            f"{asked} beside --from: the still is the keyframe",
            expected="one keyframe, that of one clip",
            fix="leave out one of the two",
        )


def told_ignored(source: Origin, ignored: Sequence[str]) -> None:
    """Name on stderr what a file tells and nobody takes."""
    if ignored:
        print(printable(f"{source.name}: not taken: {', '.join(ignored)}"), file=sys.stderr)


def told_dropped(words: Sequence[str], typed: Sequence[str]) -> None:
    """Name on stderr the keys that go because their group was typed anew."""
    from pokora_anime.history.typed_words_again import dropped_with_groups

    for group, dropped in dropped_with_groups(words, typed).items():
        kept = ", ".join(dropped)
        print(printable(f"{group} brings its own: dropped {kept}; type what is to stay"), file=sys.stderr)


def _one_run_only(request: Request) -> None:
    """Raises ConfigError for what one run takes and a grid of them does not."""
    if request.guard != Request().guard:
        raise ConfigError(
            "CFG-RANGE",
            f"guard={request.guard} in a sweep",
            expected="guard=auto: each job records the level that it had",
            fix="leave it out, and look at the level with `pokora verify`",
        )


def _part(value: str) -> str:
    if value not in PARTS:
        raise ConfigError("CFG-RANGE", f"--cfg={value}", expected="|".join(PARTS), fix=f"--cfg={PARTS[0]}")
    return value


def _kept(value: str) -> int:
    if not re.fullmatch(r"\d{1,3}", value) or not 1 <= int(value) <= MOST_KEPT:
        raise ConfigError("CFG-RANGE", f"keep={value}", expected=f"1 to {MOST_KEPT}", fix=f"keep={KEPT}")
    return int(value)


def _guard(value: str) -> str:
    if value not in GUARDS:
        raise ConfigError(
            "CFG-RANGE", f"guard={value}", expected="|".join(GUARDS), fix="guard=require, or leave it out"
        )
    return value


def words(request: Request) -> list[str]:
    """The request as words to type, a prompt of the environment written out."""
    out = [] if request.out == Request().out else ["--out", str(request.out)]
    guard = [] if request.guard == Request().guard else [f"guard={request.guard}"]
    track = [f"track={request.track}"] if request.track else []
    flags = [
        flag
        for flag, on in (("--multirun", request.multirun), ("--yes", request.yes), ("--open", request.open))
        if on
    ]
    keep = [] if request.keep is None else [f"keep={request.keep}"]
    return [*flags, *request.overrides, *keep, *guard, *track, *out]


def _argument(name: str, rest: list[str]) -> str:
    if not rest:
        raise ConfigError("CFG-SYNTAX", f"{name} without a value", fix=f"{name} VALUE")
    return rest.pop(0)


def _from_environment(name: str) -> str:
    if name not in os.environ:
        raise ConfigError(
            "CFG-SYNTAX", f"environment variable {name} is not set", fix=f"export {name}='1girl, ...'"
        )
    return os.environ[name]
