"""From what was typed to typed objects: the one place where Hydra's DictConfig is seen."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING

from pokora_anime.config import group_precedence
from pokora_anime.config.checks import check
from pokora_anime.config.overrides import prepare
from pokora_anime.config.resolve import resolve
from pokora_anime.errors import ConfigError
from pokora_anime.schema import settings
from pokora_anime.schema.config_groups import COMPOSING, SCHEMAS, conf_dir, register_schemas
from pokora_anime.schema.settings import RunConfig, StillsConfig, VideoConfig
from pokora_anime.system.did_you_mean import nearest

if TYPE_CHECKING:
    from omegaconf import DictConfig


def compose_video(overrides: Sequence[str] = ()) -> VideoConfig:
    """The checked config of one video. Raises ConfigError, PromptError."""
    config = compose("video", overrides)
    assert isinstance(config, VideoConfig)
    return config


def compose_stills(overrides: Sequence[str] = ()) -> StillsConfig:
    """The checked config of a set of stills. Raises ConfigError, PromptError."""
    config = compose("stills", overrides)
    assert isinstance(config, StillsConfig)
    return config


def compose(command: str, overrides: Sequence[str] = ()) -> RunConfig:
    """The checked config of one run; `overrides` as typed, prompts unquoted."""
    config = unchecked(command, overrides)
    check(config)
    return config


def unchecked(command: str, overrides: Sequence[str] = ()) -> RunConfig:
    """As `compose`, whatever its numbers are."""
    return resolve(unresolved(command, overrides))


def unresolved(command: str, overrides: Sequence[str] = ()) -> RunConfig:
    """The config as it was typed: neither judged nor resolved."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    ready = prepare(command, overrides, multirun=False)
    refuse_sweeps(ready)
    register_schemas()
    try:
        with COMPOSING, initialize_config_dir(str(conf_dir()), version_base="1.3"):
            composed = hydra_compose(command, overrides=ready)
    except (HydraException, OmegaConfBaseException, RecursionError) as error:
        raise translate(error) from error
    group_precedence.settle(command, composed, ready)
    return _object(command, composed)


def typed(command: str, composed: DictConfig, words: Sequence[str]) -> RunConfig:
    """What was composed from these words, as a resolved and checked dataclass."""
    group_precedence.settle(command, composed, words)
    config = resolve(_object(command, composed))
    check(config)
    return config


def _object(command: str, composed: DictConfig) -> RunConfig:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    missing = sorted(OmegaConf.missing_keys(composed))
    if missing:
        raise ConfigError("CFG-MISSING", f"no value for {', '.join(missing)}", fix=f"{missing[0]}=...")
    try:
        config = OmegaConf.to_object(composed)
    except OmegaConfBaseException as error:
        raise translate(error) from error
    if not isinstance(config, SCHEMAS[command]):
        raise ConfigError(
            "CFG-KEY", f"a config of type {type(config).__name__}", expected=SCHEMAS[command].__name__
        )
    return config


def translate(error: Exception) -> ConfigError:
    """Hydra's and OmegaConf's several-line complaints as one line."""
    if isinstance(error, RecursionError):
        return ConfigError(
            "CFG-SYNTAX", "a value nested too deep", expected="a few brackets", fix="write it flat"
        )
    cause = error.__cause__
    from_omegaconf = cause is not None and type(cause).__module__.startswith("omegaconf")
    text = " ".join(str(cause if from_omegaconf else error).split())
    found = re.search(r"full_key: (\S+)", text)
    key = found[1] if found else ""
    text = re.sub(r" (full_key|object_type|reference_type)[:=].*", "", text)
    if unknown := re.search(r"Key '(\w+)' (?:is )?not in '(\w+)'", text):
        kind = getattr(settings, unknown[2], None)  # None: one of Hydra's own, of a launcher say
        known = [entry.name for entry in fields(kind)] if is_dataclass(kind) else []
        best = nearest(unknown[1], known)
        hint = f"did you mean {best}?" if best else ""
        return ConfigError("CFG-KEY", f"unknown key {unknown[1]}", expected=", ".join(known), fix=hint)
    for pattern, expected in _WRONG_TYPES:
        if wrong := re.search(pattern, text):
            what = wrong.groupdict()
            kind = expected or _KINDS.get(what.get("kind", ""), what.get("kind", ""))
            got = f"{key}={what['value']}" if "value" in what else key
            return ConfigError("CFG-TYPE", got, expected=kind, fix=_way_out(key, what, kind))
    return ConfigError("CFG-SYNTAX", f"{key}: {text}" if key else text, fix="`pokora video --help`")


def _way_out(key: str, what: Mapping[str, str | None], kind: str) -> str:
    """A word that would do: the nearest of those that are allowed, or the page that tells more."""
    words = kind.split(", ")
    plain = key.partition("[")[0]
    if len(words) > 1 and key:
        best = nearest(what.get("value") or "", words) or words[0]
        return f"{key}={best}" if plain == key else f"did you mean {best}?"
    return f"`pokora video --help {plain}`" if key else ""


_KINDS = {"Integer": "a whole number", "Float": "a number"}
# OmegaConf's sentences for a value of the wrong type; an empty second entry: the sentence names the kind.
_WRONG_TYPES = (
    (r"Value '(?P<value>.*?)'(?: of type '\w+')? could not be converted to (?P<kind>\w+)", ""),
    (r"Invalid value '(?P<value>.*?)', expected one of \[(?P<kind>.*?)\]", ""),
    (r"Value '(?P<value>.*?)' is not a valid bool", "true or false"),
    (r"is not Optional", "a value, not null"),
    (r"Cannot assign \w+ to [Dd]ict\[", "one value for each of its names: KEY.NAME=VALUE"),
    (r"Invalid value assigned: (?P<value>\w+) is not a ListConfig", "a list: [...]"),
)


def refuse_sweeps(overrides: Sequence[str]) -> None:
    """Raise ConfigError for an override of one run that has several values, or that cannot be read."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser = OverridesParser.create()
    for override in overrides:
        try:
            parsed = parser.parse_override(override)
        except (HydraException, RecursionError) as error:
            reason = " ".join(str(error).split("expecting")[0].split())
            raise ConfigError(
                "CFG-SYNTAX", f"cannot read {override!r} ({reason})", fix="quote the value: key=\"'value'\""
            ) from error
        if parsed.is_sweep_override():
            raise ConfigError(
                "CFG-SWEEP",
                f"{override} has several values",
                expected="one",
                fix="add --multirun to render each",
            )
