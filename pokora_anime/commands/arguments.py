"""argparse for the commands that Hydra does not compose."""

from __future__ import annotations

import argparse
from typing import NoReturn

from pokora_anime.errors import ConfigError


class OneLineParser(argparse.ArgumentParser):
    """A parser whose complaint is one line like every other."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError("CFG-SYNTAX", message, fix=f"`{self.prog} --help`")
