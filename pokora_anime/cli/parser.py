"""argparse for the commands that Hydra does not compose."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NoReturn

from pokora_anime.errors import ConfigError


class OneLineParser(argparse.ArgumentParser):
    """A parser whose complaint is one line like every other."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError("CFG-SYNTAX", message, fix=f"`{self.prog} --help`")


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """The type of an argument that is a whole number from `least` on, or up to `most`."""
    bounds = f"from {least} on" if most is None else f"from {least} to {most}"

    def read(text: str) -> int:
        number = int(text) if text.isdecimal() else -1
        if number < least or (most is not None and number > most):
            raise argparse.ArgumentTypeError(f"expected a whole number {bounds}, got {text!r}")
        return number

    return read
