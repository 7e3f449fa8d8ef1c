"""Cards by name: peak, memory and price, as conf/cards.yaml and the user's own file say. Torch-free."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import date
from enum import Enum
from pathlib import Path
from typing import TypeVar, cast

import yaml

from pokora_anime.errors import ConfigError
from pokora_anime.schema.config_groups import conf_dir
from pokora_anime.schema.settings import DeviceKind, DType
from pokora_anime.system.did_you_mean import nearest
from pokora_anime.system.files.user_folder import data_folder

FILE = "cards.yaml"
_Choice = TypeVar("_Choice", bound=Enum)
# Words of a full name that set no card apart from another.
_MAKERS = re.compile(r"\b(nvidia|geforce|tesla|graphics|gpu)\b|[^a-z0-9]+")


class Source(Enum):
    """Where a card's rate comes from."""

    measured = "measured"
    published = "published"
    assumed = "assumed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One card: 16-bit TFLOP/s (`peak`) and the share of it that networks reach, GiB, US dollars an hour.

    `host_gb` and `cores` are those of the machine around it. `on_demand` and `spot` are None where there is
    no price, else those of the day `prices` at `seller`.
    """

    name: str
    peak: float
    memory_gb: float
    efficiency: float
    rates: Source = Source.assumed
    kind: DeviceKind = DeviceKind.cuda
    dtype: DType = DType.bf16
    host_gb: float = 0.0
    cores: int = 4
    on_demand: float | None = None
    spot: float | None = None
    seller: str = ""
    prices: date | None = None
    aliases: tuple[str, ...] = ()

    @property
    def rate(self) -> float:
        """FLOP/s that networks reach in 16 bits."""
        return self.peak * self.efficiency * 1e12


def path() -> Path:
    """The user's own table. It need not exist."""
    return data_folder() / FILE


def table() -> dict[str, Card]:
    """All cards by name, the user's entries over the package's. ConfigError CFG-CARDS for no table."""
    entries = _entries(conf_dir() / FILE)
    try:
        own = _entries(path()) if path().is_file() else {}
    except OSError:  # not to be read, as in a confined process that was not given it
        own = {}
    known = {_plain(name): name for name in entries}
    for name, entry in own.items():
        there = known.get(_plain(name), name)
        entries[there] = {**entries.get(there, {}), **entry}
        _card(there, entries[there], path())  # so that the message names the user's file
    return {name: _card(name, entry, conf_dir() / FILE) for name, entry in entries.items()}


def named(name: str) -> Card | None:
    """The card of exactly this name, as it is typed or as a driver tells it ("NVIDIA A100-SXM4-80GB")."""
    asked = _plain(name)
    told = {_plain(one): card for card in table().values() for one in (card.name, *card.aliases)}
    if asked in told:
        return told[asked]
    parts = set(_words(name))  # those of NVIDIA tell memory and socket too; M2 Pro is another than M2
    alike = [card for card in table().values() if card.kind is DeviceKind.cuda and "laptop" not in parts]
    fitting = [card for card in alike if set(_words(card.name)) <= parts]
    return max(fitting, key=lambda card: len(card.name), default=None)


def find(name: str) -> tuple[Card, str]:
    """The card of this name, else the nearest, and a line that says so. ConfigError CFG-GPU for neither."""
    if card := named(name):
        return card, ""
    cards = table()
    plain = {_plain(one): name for name, card in cards.items() for one in (name, *card.aliases)}
    best = nearest(_plain(name), list(plain), cutoff=0.5)
    if not best:
        raise ConfigError(
            "CFG-GPU",
            f"no card {name!r} in the table",
            expected=", ".join(cards),
            fix=f"--gpu all, or {path()}",
        )
    card = cards[plain[best]]
    return card, f"no {name!r} in the table of cards: these are the figures of the nearest name, {card.name}"


def _plain(name: str) -> str:
    return _MAKERS.sub("", name.casefold())


def _words(name: str) -> list[str]:
    return [word for word in _MAKERS.sub(" ", name.casefold()).split() if word]


def _entries(file: Path) -> dict[str, dict[str, object]]:
    try:
        read: object = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _wrong(file, f"no YAML ({' '.join(str(error).split())[:80]})") from error
    cards = cast(dict[object, object], read).get("cards") if isinstance(read, dict) else None
    if not isinstance(cards, dict):
        raise _wrong(file, "no `cards:`")
    found: dict[str, dict[str, object]] = {}
    for name, entry in cast(dict[object, object], cards).items():
        if not isinstance(entry, dict):
            raise _wrong(file, f"{name} is no mapping")
        found[str(name)] = {str(key): value for key, value in cast(dict[object, object], entry).items()}
    return found


def _card(name: str, entry: dict[str, object], file: Path) -> Card:
    known = [one.name for one in fields(Card) if one.name != "name"]
    for key in entry:
        if key not in known:
            raise _wrong(file, f"{name}.{key}", expected=", ".join(known), near=nearest(key, known))
    return Card(
        name=name,
        peak=_number(file, name, entry, "peak"),
        memory_gb=_number(file, name, entry, "memory_gb"),
        efficiency=_number(file, name, entry, "efficiency", most=1.0),
        rates=_choice(file, name, entry, "rates", Source, Source.assumed),
        kind=_choice(file, name, entry, "kind", DeviceKind, DeviceKind.cuda),
        dtype=_choice(file, name, entry, "dtype", DType, DType.bf16),
        host_gb=_number(file, name, entry, "host_gb", default=0.0),
        cores=round(_number(file, name, entry, "cores", default=4.0)),
        on_demand=_price(file, name, entry, "on_demand"),
        spot=_price(file, name, entry, "spot"),
        seller=str(entry.get("seller", "")),
        prices=_day(file, name, entry),
        aliases=tuple(str(one) for one in cast(list[object], entry.get("aliases") or [])),
    )


def _number(
    file: Path,
    name: str,
    entry: dict[str, object],
    key: str,
    *,
    default: float | None = None,
    most: float = 1e6,
) -> float:
    value = entry.get(key, default)
    if value == 0 and default == 0:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
        raise _wrong(file, f"{name}.{key}: {value}", expected=f"a number above 0, at most {most:g}")
    return float(value)


def _price(file: Path, name: str, entry: dict[str, object], key: str) -> float | None:
    return None if entry.get(key) is None else _number(file, name, entry, key)


def _day(file: Path, name: str, entry: dict[str, object]) -> date | None:
    value = entry.get("prices")
    if value is None or type(value) is date:  # YAML reads a day without quotes itself
        return value
    try:
        return date.fromisoformat(str(value))
    except ValueError as error:
        expected = "a day, as 2026-11-30"
        raise _wrong(file, f"{name}.prices: {value}", expected=expected) from error


def _choice(
    file: Path, name: str, entry: dict[str, object], key: str, kind: type[_Choice], default: _Choice
) -> _Choice:
    value = entry.get(key, default.value)
    if value not in [one.value for one in kind]:
        raise _wrong(file, f"{name}.{key}: {value}", expected="|".join(str(one.value) for one in kind))
    return kind(value)


def _wrong(
    file: Path, got: str, *, expected: str = "the form of conf/cards.yaml", near: str = ""
) -> ConfigError:
    return ConfigError(
        "CFG-CARDS",
        f"{file}: {got}",
        expected=expected,
        fix=f"did you mean {near}?" if near else "correct it there",
    )
