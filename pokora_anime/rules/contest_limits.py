"""A contest's limits, from conf/contest/NAME.yaml; read strictly and without Hydra."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pokora_anime.errors import ConfigError
from pokora_anime.rules.closed_config import read_contest
from pokora_anime.schema.config_groups import conf_dir, options
from pokora_anime.schema.settings import ContestConfig
from pokora_anime.untrusted import strict_yaml


@cache
def load(name: str) -> ContestConfig:
    """The limits of a contest by its name. Raises ConfigError CFG-CONTEST for one that has no file."""
    if name not in options("contest"):
        raise ConfigError(
            "CFG-CONTEST", f"no contest {ascii(name)[:60]}", expected="|".join(options("contest"))
        )
    return read_file(conf_dir() / "contest" / f"{name}.yaml")


def read_file(path: Path) -> ContestConfig:
    """The limits in one file. Raises ConfigError CFG-CONTEST; GATE-YAML, GATE-DUPLICATE for unclear YAML."""
    limits, findings = read_contest(strict_yaml.load(path.read_text(encoding="utf-8"), path.name))
    if limits is None or findings:
        first = findings[0]
        raise ConfigError(
            "CFG-CONTEST",
            f"{path.name}: {first.where} {first.got}",
            expected=first.expected,
            fix=first.message,
        )
    if limits.name != path.stem:
        raise ConfigError("CFG-CONTEST", f"{path.name}: name={limits.name}", expected=f"name={path.stem}")
    return limits
