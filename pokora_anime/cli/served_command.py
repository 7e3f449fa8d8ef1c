"""What `pokora studio` and `pokora live` share: their one option, their extra, and no page without it."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

from pokora_anime.errors import ConfigError, MachineError


def wants_help(words: Sequence[str], command: str, option: str) -> bool:
    """Whether the help page is asked for. Raises ConfigError CFG-SYNTAX for any option but this one."""
    if "-h" in words or "--help" in words:
        return True
    strange = next((word for word in words if word.startswith("-") and word != option), "")
    if strange:
        raise ConfigError(
            "CFG-SYNTAX", f"unknown option {strange}", expected=option, fix=f"`pokora {command} --help`"
        )
    return False


def load_server() -> ModuleType:
    """The server's module. Raises MachineError SYS-LIBRARY where the extra is missing."""
    try:
        from pokora_anime.studio import server
    except ModuleNotFoundError as error:
        raise MachineError(
            "SYS-LIBRARY",
            f"{error.name} is not installed",
            expected="the extra `studio`",
            fix="make setup, or pip install 'pokora_anime[studio]'",
        ) from error
    return server
