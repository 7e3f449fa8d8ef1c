"""`pokora video`, `pokora stills` and, with --multirun or as `pokora sweep`, grids of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pokora_anime.commands import again
from pokora_anime.config.overrides import nearest
from pokora_anime.config.schema import RunConfig, StillsConfig, VideoConfig
from pokora_anime.errors import ConfigError

_FLAGS = ("--out", "--multirun", "--prompt-env", "--cfg", "--help")


@dataclass(slots=True)
class Request:
    """A render command line, taken apart."""

    overrides: list[str] = field(default_factory=list)
    out: Path = Path("outputs")
    multirun: bool = False
    print_config: bool = False
    help: bool = False


def main(command: str, arguments: Sequence[str]) -> int:
    """Compose, check, render; the run folder is printed last."""
    request = parse(command, arguments)
    if request.help:
        from pokora_anime.commands import help as help_pages

        print(help_pages.page(command))
        return 0
    again.remember(command, words(request))
    if request.multirun:
        from pokora_anime.commands import sweep

        return sweep.run(command, request.overrides, request.out)
    from pokora_anime.config.compose import compose
    from pokora_anime.config.identity import to_yaml

    config = compose(command, request.overrides)
    if request.print_config:
        print(to_yaml(config), end="")
        return 0
    _note(config)
    print(render(config, request.out))
    return 0


def sweep_main(arguments: Sequence[str]) -> int:
    """`pokora sweep`: the grid preset of `pokora video --multirun` unless another is named."""
    request = parse("sweep", arguments)
    if request.help:
        from pokora_anime.commands import help as help_pages

        print(help_pages.page("sweep"))
        return 0
    again.remember("sweep", words(request))
    from pokora_anime.commands import sweep

    named = any(override.startswith("sweep=") for override in request.overrides)
    return sweep.run("video", request.overrides if named else ["sweep=grid", *request.overrides], request.out)


def render(config: RunConfig, root: Path) -> Path:
    """One run; weights are looked for before torch is imported. Returns the run folder."""
    from pokora_anime.models.fetch import check_available

    check_available(config)
    from pokora_anime import pipeline

    if isinstance(config, VideoConfig):
        return pipeline.render_video(config, root)
    assert isinstance(config, StillsConfig)
    return pipeline.render_stills(config, root)


def parse(command: str, arguments: Sequence[str]) -> Request:
    """The command line without composing it. Raises ConfigError for an unknown option."""
    request = Request()
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if word in ("-m", "--multirun"):
            request.multirun = True
        elif word in ("-h", "--help"):
            request.help = True
        elif word == "--cfg":
            request.print_config = True
        elif name in ("--out", "--prompt-env"):
            value = value if equals else _argument(name, rest)
            if name == "--out":
                request.out = Path(value)
            else:
                # First, so that a shot.prompt= that is typed as well wins.
                request.overrides.insert(0, f"shot.prompt={_from_environment(value)}")
        elif word.startswith("-"):
            best = nearest(name, _FLAGS)
            fix = f"did you mean {best}?" if best else f"`pokora {command} --help`"
            raise ConfigError("CFG-SYNTAX", f"unknown option {word}", expected=", ".join(_FLAGS), fix=fix)
        else:
            request.overrides.append(word)
    return request


def words(request: Request) -> list[str]:
    """The request as words to type, a prompt of the environment written out."""
    out = [] if request.out == Request().out else ["--out", str(request.out)]
    return [*(["--multirun"] if request.multirun else []), *request.overrides, *out]


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


def _note(config: RunConfig) -> None:
    from pokora_anime.config.checks import contest_notes

    notes = contest_notes(config) if isinstance(config, VideoConfig) else []
    if notes:
        print(f"no entry to {config.contest.name}: {'; '.join(notes)}", file=sys.stderr)
