"""Where the YAML groups lie and what they offer; the dataclass schemas are registered here."""

from __future__ import annotations

import re
import threading
from functools import cache
from pathlib import Path

from pokora_anime.schema import field_laws, own_styles
from pokora_anime.schema.field_laws import Setting, Text
from pokora_anime.schema.settings import RunConfig, StillsConfig, VideoConfig
from pokora_anime.system.files.installed_package import INSTALLED

SCHEMAS: dict[str, type[RunConfig]] = {"video": VideoConfig, "stills": StillsConfig}
COMPOSING = threading.RLock()  # Hydra holds one composition a process: whoever composes holds this
_AUTOMATIC = "for_"  # how the names of options begin that follow from the base


def conf_dir() -> Path:
    """The folder of YAML groups: inside an installed package, beside it in a checkout."""
    inside = INSTALLED / "conf"
    return inside if inside.is_dir() else INSTALLED.parent / "conf"


def register_schemas() -> None:
    """Put the schemas into Hydra's store, in a group of their own (else they show up as options).

    The schemas once a process: reading every dataclass anew would be a sixth of each composition. The
    user's own styles each time, which may have come or changed.
    """
    from hydra.core.config_store import ConfigStore

    _register_once()
    store = ConfigStore.instance()
    for blend in own_styles.readable():
        if blend.name not in _shipped(own_styles.GROUP):
            store.store(
                group=own_styles.GROUP,
                name=blend.name,
                node=blend.option,
                package="_global_",
                provider="pokora_anime",
            )


@cache
def _register_once() -> None:
    from hydra.core.config_store import ConfigStore

    store = ConfigStore.instance()
    for name, schema in SCHEMAS.items():
        store.store(group="schema", name=name, node=schema, provider="pokora_anime")


def groups(command: str) -> dict[str, tuple[str, ...]]:
    """Group name -> its options, for the groups that the command's defaults list names."""
    shipped = _shipped_groups(command)
    if own_styles.GROUP not in shipped:
        return shipped
    return {**shipped, own_styles.GROUP: _with_own(shipped[own_styles.GROUP])}


@cache
def _shipped_groups(command: str) -> dict[str, tuple[str, ...]]:
    chosen = defaults(command)
    return {
        name: tuple(option for option in _shipped(name) if overridden(name, option).keys() <= chosen.keys())
        for name in chosen
    }


@cache
def overridden(group: str, option: str) -> dict[str, str]:
    """The groups of which an option chooses another one, and which: a command without them has it not."""
    if own_option(group, option):
        return {}
    text = (conf_dir() / group / f"{option}.yaml").read_text(encoding="utf-8")
    return dict(re.findall(r"^  - override /(\w+): (\S+)", text, flags=re.MULTILINE))


@cache
def defaults(command: str) -> dict[str, str]:
    """Group name -> the option that is chosen when the user says nothing, in the order of composition."""
    text = (conf_dir() / f"{command}.yaml").read_text(encoding="utf-8")
    # Groups that start with `optional` or `override` are no choice of the user's.
    chosen = dict(re.findall(r"^  - (\w+): (\S+)", text, flags=re.MULTILINE))
    named = {
        group: re.sub(r"\$\{(\w+)\}", lambda found: chosen[found[1]], option)
        for group, option in chosen.items()
    }
    return {group: _stands_for(group, option) for group, option in named.items()}


def options(group: str) -> tuple[str, ...]:
    """The options of one group, by file name; `for_*` ones are a base's default and no choice."""
    return _with_own(_shipped(group)) if group == own_styles.GROUP else _shipped(group)


def own_option(group: str, option: str) -> bool:
    """Whether an option is the user's own, and no file of conf/."""
    return group == own_styles.GROUP and option not in _shipped(group)


def _with_own(shipped: tuple[str, ...]) -> tuple[str, ...]:
    """A group's options, and the user's own behind them."""
    return (*shipped, *(name for name in own_styles.names() if name not in shipped))


@cache
def _shipped(group: str) -> tuple[str, ...]:
    names = (path.stem for path in (conf_dir() / group).glob("*.yaml"))
    return tuple(sorted(name for name in names if not name.startswith(_AUTOMATIC)))


def _stands_for(group: str, option: str) -> str:
    """The option that a `for_*` one leads to; any other is itself."""
    if not option.startswith(_AUTOMATIC):
        return option
    text = (conf_dir() / group / f"{option}.yaml").read_text(encoding="utf-8")
    found = re.search(r"^  - (\w+)$", text, flags=re.MULTILINE)
    return found[1] if found else option


def purpose(group: str, option: str) -> str:
    """An option's first comment line: what it is, in its own file's words."""
    if own_option(group, option):
        return next((f"Your blend of {one.said}." for one in own_styles.readable() if one.name == option), "")
    for line in (conf_dir() / group / f"{option}.yaml").read_text(encoding="utf-8").splitlines():
        if line.startswith("# ") and not line.startswith("# @package"):
            return line[2:].strip()
    return ""


@cache
def typed_settings(command: str) -> dict[str, Setting]:
    """Dotted key -> setting, for everything that can be set on the command line."""
    found = field_laws.settings(SCHEMAS[command])
    return {one.key: one for one in found if one.law.typed and not one.inside}


def keys(command: str) -> dict[str, str]:
    """The same keys with the names of their types."""
    return {key: setting.type_name for key, setting in typed_settings(command).items()}


@cache
def prompt_keys() -> tuple[str, ...]:
    """The keys whose text is a person's words, and taken as typed."""
    found = (key for command in SCHEMAS for key, one in typed_settings(command).items() if _prompt(one))
    return tuple(dict.fromkeys(found))


@cache
def prompt_lists() -> dict[str, str]:
    """The keys whose entries hold a person's words, and the field that does: `shots`, `prompt`."""
    listed = (one.key.partition("[].") for one in field_laws.settings(VideoConfig) if _prompt(one))
    return {key: name for key, inside, name in listed if inside}


@cache
def map_keys() -> tuple[str, ...]:
    """The keys behind which a name follows: `control.scale`."""
    found = (key for command in SCHEMAS for key, one in typed_settings(command).items() if one.form == "map")
    return tuple(dict.fromkeys(found))


def of_map(key: str) -> bool:
    """Whether a key is a name of a map, such as control.scale.pose."""
    return key.startswith(tuple(f"{one}." for one in map_keys()))


def _prompt(setting: Setting) -> bool:
    return setting.law.text is Text.prompt
