"""What was typed on the command line, made safe for Hydra: prompts quoted, mistakes named.

Hydra's grammar trips over commas, parentheses, quotes, `=`, `<lora:a:1>` and `$`. A prompt is
text, so everything behind `shot.prompt=` is taken as typed and quoted here.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import cast

import yaml

from pokora_anime.catalogue.own_loras import blend_pins, lora_versions
from pokora_anime.errors import ConfigError
from pokora_anime.findings import Finding
from pokora_anime.prompt import prompt_choices
from pokora_anime.prompt.prompt_text import check_text
from pokora_anime.rules import named_refusals, typed_words
from pokora_anime.schema import own_styles
from pokora_anime.schema.config_groups import groups, keys, of_map, own_option, prompt_keys
from pokora_anime.system.did_you_mean import nearest

MOST_DRAWN = 10**6  # a drawn seed is below it, so that people can type it again
_PLAIN = re.compile(
    r"(?P<sign>\+{1,2}|~)?(?P<key>[^=@:]+)(?P<package>[@:][^=]*)?(?:=(?P<value>.*))?", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one override."""

    code: str
    got: str
    expected: str
    fix: str


_NAMES_LORAS = ("style.loras", "timeline.lora")
_OWN_BASE = re.compile(r"\+{0,2}base=(own:[^,=]*)")


@cache
def _raw() -> re.Pattern[str]:
    """A prompt key and all that follows."""
    return re.compile(rf"(\+{{0,2}})({'|'.join(map(re.escape, prompt_keys()))})=(.*)", flags=re.DOTALL)


def quote(text: str) -> str:
    """`text` as a Hydra quoted value that comes back as the very same text.

    Two grammars are crossed: OmegaConf would resolve `${...}` (a backslash keeps it literal, and
    backslashes before it have to be doubled), Hydra ends the value at a quote (escaped likewise).
    """
    literal = re.sub(r"(?<!\\)(\\*)\$\{", lambda found: found[1] * 2 + "\\${", text)
    escaped = re.sub(r"(?<!\\)(\\*)'", lambda found: found[1] * 2 + "\\'", literal)
    escaped = re.sub(r"(?<!\\)(\\+)$", lambda found: found[1] * 2, escaped)
    return f"'{escaped}'"


def settled(typed: Sequence[str]) -> list[str]:
    """What was typed, each `random` of seed= a number from now on: it is what gets recorded and resumed."""
    return [_settled(word) for word in typed]


def spelled_out(typed: Sequence[str]) -> list[str]:
    """What was typed, `base=own:ID` as the two overrides that it stands for: these are all made from SDXL.

    A LoRA's version or alias, `mychar@best`, becomes the id of that version."""
    ready: list[str] = []
    for word in typed:
        own = _OWN_BASE.fullmatch(word)
        ready += [_by_version(word)] if own is None else ["base=sdxl", f"base.weights={own[1]}"]
    return ready


def _by_version(word: str) -> str:
    """`mychar@best` where a LoRA is named, as the version that it stands for today: that is recorded."""
    key = word.lstrip("+").partition("=")[0]
    if "@" not in word or not (key in prompt_keys() or key in _NAMES_LORAS):
        return word
    return lora_versions.spelled_out(word)


def _settled(word: str) -> str:
    found = re.fullmatch(r"(\+{0,2}seed=)(.*)", word)
    if found is None:
        return word
    return found[1] + re.sub(r"\brandom\b", lambda _: str(secrets.randbelow(MOST_DRAWN)), found[2])


def prepare(command: str, typed: Sequence[str], *, multirun: bool) -> list[str]:
    """The overrides for Hydra. Raises ConfigError or PromptError, all unknown names in one."""
    problems: list[Fault] = []
    ready: list[str] = []
    for override in spelled_out(settled(typed)):
        raw = _raw().fullmatch(override)
        if raw:
            ready.append(f"{raw[1]}{raw[2]}={_quote_prompt(raw[2], raw[3], multirun=multirun)}")
        else:
            refused = screen(command, override)
            problem = _judge(command, override, multirun=multirun)
            if refused:
                problems.append(_fault_of(refused[0]))
            elif problem:
                problems.append(problem)
            ready += _plainer(command, override)
    if problems:
        raise _fault(problems)
    return ready


def screen(command: str, override: str) -> list[Finding]:
    """What one override would bring in from outside; nothing for prompts, which are judged as text."""
    if _raw().fullmatch(override) or _launcher_slip(override):
        return []
    return typed_words.judge(typed_words.read(override, (*keys(command), *groups(command))))


def _fault(faults: list[Fault]) -> ConfigError:
    first = faults[0]
    if len(faults) == 1:
        return ConfigError(first.code, first.got, expected=first.expected, fix=first.fix)
    each = (
        f"({number}) {fault.got}" + (f", {fault.fix}" if fault.fix else "")
        for number, fault in enumerate(faults, 1)
    )
    return ConfigError(first.code, f"{len(faults)} problems: {' '.join(each)}")


def _plainer(command: str, override: str) -> list[str]:
    """Spare people Hydra's `+`: it is dropped where the key exists, and added where a map grows."""
    plain = override.lstrip("+")
    key, _, value = plain.partition("=")
    if key in ("experiment", "sweep") and value == "null":
        return []  # the default; Hydra refuses it on the command line
    if of_map(key):  # any name may follow, the checks judge it
        return [f"++{plain}"]
    return [plain if key in groups(command) or key in keys(command) else override]


def _quote_prompt(key: str, text: str, *, multirun: bool) -> str:
    items = _prompt_list(text)
    if multirun and key == "shot.prompt":
        listed = [text] if items is None else items
        for item in listed:
            check_text(key, item)
        ways = dict.fromkeys(way for item in listed for way in prompt_choices.ways(item, key))
        return ",".join(quote(way) for way in ways)
    if multirun and items is not None:
        for item in items:
            check_text(key, item)
        return ",".join(quote(item) for item in items)
    if items is not None and re.match(r"\[\s*['\"]", text):
        raise ConfigError(
            "CFG-SWEEP",
            f"{key} is a list of {len(items)} prompts",
            expected="one prompt",
            fix="add --multirun",
        )
    check_text(key, text)
    return quote(text)


def _prompt_list(text: str) -> list[str] | None:
    """The items of `["one", 'two']`, or None where `text` is no such list."""
    if not (text.startswith("[") and text.endswith("]")):
        return None
    try:
        read: object = yaml.safe_load(text)
    except yaml.YAMLError:
        return None
    items = cast(list[object], read) if isinstance(read, list) else []
    prompts = [item for item in items if isinstance(item, str)]
    return prompts if prompts and len(prompts) == len(items) else None


def _judge(command: str, override: str, *, multirun: bool) -> Fault | None:
    """What is wrong with one override, None if nothing is."""
    match = _PLAIN.fullmatch(override)
    if override.startswith("-"):
        return Fault("CFG-SYNTAX", f"unknown option {override}", "key=value", f"`pokora {command} --help`")
    if match is None or (match["value"] is None and match["sign"] != "~"):
        return Fault(
            "CFG-SYNTAX",
            f"{override!r} is not key=value",
            "",
            f"for a prompt type shot.prompt='{_short(override)}'",
        )
    if match["sign"] == "~":
        return Fault(
            "CFG-SYNTAX",
            f"{override!r} takes something away",
            "key=value",
            "choose the group's option `none`",
        )
    if match["package"]:
        return Fault(
            "CFG-SYNTAX", f"{override!r} moves a group", "group=option", "leave out what follows @ or :"
        )
    key, value = match["key"], match["value"] or ""
    if key.startswith(("hydra.", "hydra/")):
        return _launcher_slip(override)
    if key in groups(command):
        return _judge_options(key, groups(command)[key], value, multirun=multirun)
    return _judge_key(command, key)


def _launcher_slip(override: str) -> Fault | None:
    """A mistyped key of a launcher."""
    key = override.lstrip("+").partition("=")[0]
    best = nearest(key, typed_words.HYDRA_KEYS, cutoff=0.95)
    if not best or best == key or key.startswith("~"):
        return None
    return Fault("CFG-KEY", f"unknown key {key.split('.')[-1]}", "", f"did you mean {best}?")


def _fault_of(finding: Finding) -> Fault:
    return Fault(finding.code, f"{finding.message} ({finding.got})", finding.expected, finding.fix)


def _judge_options(group: str, known: tuple[str, ...], value: str, *, multirun: bool) -> Fault | None:
    asked = [part.strip() for part in value.split(",")] if multirun else [value.strip()]
    for option in asked:
        if option in known or (option == "null" and group in ("experiment", "sweep")):
            if own_option(group, option):
                blend_pins.require(own_styles.find(option))
            continue
        if "," in option and all(part.strip() in known for part in option.split(",")):
            return Fault(
                "CFG-SWEEP", f"{group}={value} names several", "one option", "add --multirun to render each"
            )
        if option.startswith(("glob(", "choice(")):
            return None
        if asked := named_refusals.option(group, option):
            return Fault(
                "CFG-OPTION", f"{group}={option}: {asked.why}", f"{group}={'|'.join(known)}", asked.way
            )
        best = nearest(option, known)
        hint = f"did you mean {group}={best}?" if best else f"{group}={known[0]}"
        return Fault("CFG-OPTION", f"{group}={option} does not exist", f"{group}={'|'.join(known)}", hint)
    return None


def _judge_key(command: str, key: str) -> Fault | None:
    known = keys(command)
    if key in known or of_map(key):
        return None
    inner = [name for name in known if name.startswith(f"{key}.")]
    if inner:
        return Fault(
            "CFG-KEY",
            f"{key} is a section",
            f"one of its keys: {', '.join(inner)}",
            f"`pokora {command} --help`",
        )
    names = [*known, *groups(command)]
    # A key typed without its section (`prompt=`, `seconds=`) is the commonest slip.
    best = next((name for name in known if name.split(".")[-1] == key), "") or nearest(key, names)
    if not best:
        leaf = nearest(key.split(".")[-1], [name.split(".")[-1] for name in known], cutoff=0.75)
        best = next((name for name in known if leaf and name.split(".")[-1] == leaf), "")
    hint = f"did you mean {best}?" if best else f"`pokora {command} --help` lists the keys"
    return Fault("CFG-KEY", f"unknown key {key}", "", hint)


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
