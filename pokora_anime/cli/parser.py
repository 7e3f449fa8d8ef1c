"""argparse for the commands that Hydra does not compose."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from pokora_anime.errors import ConfigError


class OneLineParser(argparse.ArgumentParser):
    """A parser whose complaint is one line like every other."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError("CFG-SYNTAX", message, fix=f"`{self.prog} --help`")


def dispatch(
    command: str, page: str, actions: Mapping[str, Callable[[list[str]], int]], arguments: Sequence[str]
) -> int:
    """One action of a command with what follows it, or the command's page; returns the exit status.

    Raises ConfigError CFG-COMMAND for an action that there is none of.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(page)
        return 0
    name = arguments[0]
    if name not in actions:
        raise ConfigError(
            "CFG-COMMAND", f"{command} {name}", expected="|".join(actions), fix=f"`pokora {command} --help`"
        )
    return actions[name](list(arguments[1:]))


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """The type of an argument that is a whole number from `least` on, or up to `most`."""
    bounds = f"from {least} on" if most is None else f"from {least} to {most}"

    def read(text: str) -> int:
        number = int(text) if text.isdecimal() else -1
        if number < least or (most is not None and number > most):
            raise argparse.ArgumentTypeError(f"expected a whole number {bounds}, got {text!r}")
        return number

    return read


def between(low: float, high: float) -> Callable[[str], float]:
    """The type of an argument that is a number within bounds."""

    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = -1.0
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"expected a number from {low:g} to {high:g}, got {text!r}")
        return number

    return read
