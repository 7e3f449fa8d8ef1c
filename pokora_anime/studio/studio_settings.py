"""Settings of `pokora studio`, typed as studio.key=value, and the tokens of its users. Torch-free."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated

from pokora_anime.errors import ConfigError
from pokora_anime.schema import settings_words
from pokora_anime.schema.field_laws import Law

PREFIX = "studio."
MOST_USERS = 200
SHORTEST_TOKEN = 16  # characters
_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")


class Engine(Enum):
    """What works the queue off."""

    local = "local"  # one rendering process on this machine
    ray = "ray"  # actors of a Ray cluster that sees the same folders


@dataclass(frozen=True, slots=True, kw_only=True)
class StudioConfig:
    """The server's settings."""

    host: Annotated[str, Law("address to answer on; any but this machine's own wants studio.tokens")] = (
        "127.0.0.1"
    )
    port: Annotated[int, Law("port to answer on; 0 takes a free one", low=0, high=65535)] = 8321
    name: Annotated[str, Law("another name that browsers may call this server by, behind a proxy")] = ""
    tokens: Annotated[str, Law("file of users and their tokens, a line NAME:TOKEN each")] = ""
    queue: Annotated[int, Law("jobs that may wait, of all users together", low=1, high=10_000)] = 100
    requests: Annotated[int, Law("requests that a user may send in a minute", low=10, high=100_000)] = 1200
    engine: Annotated[Engine, Law("what works the queue off")] = Engine.local
    workers: Annotated[int, Law("jobs rendered at once with studio.engine=ray", low=1, high=1000)] = 1
    address: Annotated[str, Law("address of the Ray cluster; empty starts one on this machine")] = ""

    @property
    def loopback(self) -> bool:
        """Whether nobody but this machine can reach the server."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def read(words: Sequence[str]) -> StudioConfig:
    """The settings from words. Raises ConfigError CFG-SYNTAX, CFG-KEY, CFG-TYPE, CFG-RANGE, CFG-STUDIO."""
    config = settings_words.read(StudioConfig(), PREFIX, words, "studio")
    for key, text in (("host", config.host), ("name", config.name)):
        if text and not _NAME.fullmatch(text) and not _address(text):
            raise ConfigError(
                "CFG-STUDIO",
                f"{PREFIX}{key}={text[:60]}",
                expected="a name or an address",
                fix=f"{PREFIX}{key}=",
            )
    if not config.loopback and not config.tokens:
        raise ConfigError(
            "CFG-STUDIO",
            f"{PREFIX}host={config.host} without tokens: whoever reaches this machine could render on it",
            expected=f"{PREFIX}tokens=FILE with a line NAME:TOKEN a user",
            fix=f"leave out {PREFIX}host= (this machine alone), or write a tokens file",
        )
    return config


def tokens(config: StudioConfig) -> dict[str, str]:
    """User name -> token; empty where everybody who reaches the server is its one user.

    Raises ConfigError CFG-STUDIO for a file that is none, and for tokens that can be guessed.
    """
    if not config.tokens:
        return {}
    place = Path(config.tokens)
    try:
        lines = place.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            "CFG-STUDIO", f"{PREFIX}tokens={place}: cannot be read", expected="a text file: NAME:TOKEN a line"
        ) from error
    found: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        user, colon, token = line.strip().partition(":")
        if (
            not colon
            or not _USER.fullmatch(user)
            or user.lower() in map(str.lower, found)
            or token in found.values()
        ):
            raise _bad_line(
                place, number, "no user NAME:TOKEN of its own", "letters, digits, - and _, a colon"
            )
        if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
            text = f"a token of {len(token)} characters"
            raise _bad_line(place, number, text, f"at least {SHORTEST_TOKEN} printable ones without spaces")
        found[user] = token
    if not 0 < len(found) <= MOST_USERS:
        raise ConfigError("CFG-STUDIO", f"{place}: {len(found)} users", expected=f"1 to {MOST_USERS}")
    return found


def _bad_line(place: Path, number: int, got: str, expected: str) -> ConfigError:
    fix = "python -c 'import secrets; print(\"ME:\" + secrets.token_urlsafe())' makes a line"
    return ConfigError("CFG-STUDIO", f"{place}, line {number}: {got}", expected=expected, fix=fix)


def _address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
