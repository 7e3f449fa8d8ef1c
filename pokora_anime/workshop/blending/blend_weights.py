"""From `pastel=0.7 flat_color=0.3` to a blend: names resolved, weights within bounds. Torch-free."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pokora_anime.catalogue import registry
from pokora_anime.catalogue.lora import lora_tags
from pokora_anime.catalogue.own_loras import blend_pins, lora_versions
from pokora_anime.catalogue.registry_row import Row, Status
from pokora_anime.catalogue.weights_advice import reinstall_or_fetch
from pokora_anime.config.compose import compose
from pokora_anime.errors import ConfigError, PokoraError
from pokora_anime.rules import contest_limits
from pokora_anime.schema import own_styles
from pokora_anime.schema.config_groups import options
from pokora_anime.schema.own_styles import MOST_LORAS, NAME, Blend, Part
from pokora_anime.schema.settings import ContestConfig, Family, LoraConfig
from pokora_anime.system.did_you_mean import nearest
from pokora_anime.untrusted.untrusted_names import shown

WHOLE = 0.005  # by how much weights may miss 1
DIGITS = 4
EXAMPLE = "pokora style blend pastel=0.7 flat_color=0.3 --name dusk"
_RESERVED = ("null", "true", "false", "for")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked of a blend besides its weights."""

    name: str
    base: Family
    contest: str = "cs492c"
    normalize: bool = False
    replace: bool = False


def blend(words: Sequence[str], wish: Wish) -> Blend:
    """The blend that words NAME=WEIGHT ask for. Raises ConfigError CFG-STYLE, CFG-ALIAS, CFG-CONTEST."""
    check_name(wish.name, replace=wish.replace)
    limits = contest_limits.load(wish.contest)
    return made(weighted(words, wish), wish, limits)


def made(weights: Sequence[tuple[Row, float]], wish: Wish, limits: ContestConfig) -> Blend:
    """The blend of rows with their weights, judged by a contest's bounds."""
    _check_bounds(weights, limits, wish.base)
    parts = tuple(_part(row, weight, wish.base) for row, weight in weights)
    return Blend(name=wish.name, base=wish.base, contest=limits.name, parts=parts, scores={})


def check_name(name: str, *, replace: bool) -> None:
    """Raise ConfigError CFG-STYLE for a name that no option of one's own may have."""
    if not NAME.fullmatch(name) or name.split("_")[0] in _RESERVED:
        expected = "a small letter, then letters, digits, _ or -, at most 32, and none of Hydra's words"
        raise _refusal(f"--name {shown(name, 60)!r}", expected, "--name dusk")
    if name in options(own_styles.GROUP) and name not in own_styles.names():
        raise _refusal(f"--name {name} is a style that ships", "a name of your own", f"--name my-{name}"[:39])
    if name in own_styles.names() and not replace:
        raise _refusal(
            f"--name {name} is taken by a blend of yours", "a new name", "another --name, or --replace"
        )


def weighted(words: Sequence[str], wish: Wish) -> list[tuple[Row, float]]:
    """Rows and weights that sum to 1, as typed or normalised. Raises ConfigError CFG-STYLE."""
    if not words:
        raise _refusal("no style to blend", f"1 to {MOST_LORAS} as NAME=WEIGHT", EXAMPLE)
    if len(words) > MOST_LORAS:
        raise _refusal(f"{len(words)} styles", f"at most {MOST_LORAS}", f"leave out {shown(words[-1], 60)}")
    found: list[tuple[Row, float]] = []
    for word in words:
        name, weight = _typed(word)
        found += [(row, weight * share) for row, share in _rows(name, wish.base)]
    names = [row.id for row, _ in found]
    twice = next((name for name in names if names.count(name) > 1), "")
    if twice:
        raise _refusal(f"{twice} twice", "each LoRA once", "add its weights up")
    if len(found) > MOST_LORAS:
        raise _refusal(f"{len(found)} LoRAs ({', '.join(names)})", f"at most {MOST_LORAS}", "leave some out")
    return _summed(found, normalize=wish.normalize)


def _typed(word: str) -> tuple[str, float]:
    """A word taken apart; a weight is a finite number above 0."""
    match = re.fullmatch(r"\s*([^=\s]+)\s*=\s*(\S+)\s*", word)
    if match is None:
        raise _refusal(f"{shown(word, 60)!r}", "NAME=WEIGHT", EXAMPLE)
    try:
        weight = float(match[2])
    except ValueError:
        weight = math.nan
    if not math.isfinite(weight) or not 0 < weight <= 100:
        why = "a number above 0" if math.isfinite(weight) else "a number"
        raise _refusal(f"{shown(word, 60)}: the weight {shown(match[2], 20)}", why, EXAMPLE)
    return match[1], weight


def _rows(name: str, family: Family) -> list[tuple[Row, float]]:
    """The LoRAs behind a name, with shares that sum to 1: one LoRA, or those of an option of `style`."""
    if "@" in name:
        return [(_usable(lora_versions.resolve(name), name, family), 1.0)]
    try:
        row = registry.find_style(name, family)
    except ConfigError:
        row = None
        if name not in options(own_styles.GROUP):
            raise _unknown(name, family) from None
    else:
        if row is None:
            bases = "|".join(f.value for f in Family if registry.find(name, f) is not None)
            raise _refusal(f"{name}: base={family.value} has none", f"--base {bases}", "another style")
        return [(_usable(row, name, family), 1.0)]
    loras = _of_option(name, family)
    if not loras:
        raise _refusal(
            f"{name} has no LoRA", f"one of {', '.join(known(family))}", "leave it out: --normalize"
        )
    whole = sum(lora.weight for lora in loras)
    return [(_usable_of(lora, family), lora.weight / whole) for lora in loras]


def _of_option(name: str, family: Family) -> list[LoraConfig]:
    config = compose("stills", [f"base={family.value}", f"style={name}"])
    return lora_tags.merge_loras(config.style.loras, lora_tags.shot_loras(config.shot))


def _usable_of(lora: LoraConfig, family: Family) -> Row:
    row = registry.find_style(lora.id, family)
    if row is None:
        raise _refusal(f"{lora.id}: base={family.value} has none", "a style of this base", "another style")
    return _usable(row, lora.id, family)


def _usable(row: Row, name: str, family: Family) -> Row:
    if row.slot or family not in row.families:
        raise _refusal(
            f"{shown(name, 60)} is "
            + ("an empty place for a LoRA of yours" if row.slot else f"for base={row.families[0].value}"),
            f"one of {', '.join(known(family))}",
            "pokora models list",
        )
    if row.status is Status.blocked:
        raise _refusal(f"{name} may not be used: {row.reason}", "another style", "pokora models list")
    return row


def known(family: Family) -> list[str]:
    """What can be blended on a base: LoRAs by role or id, and the user's own blends."""
    styles = [
        row for row in registry.rows() if row.kind is registry.Kind.style_lora and family in row.families
    ]
    names = [row.id if row.own else row.role for row in styles if not row.slot and not row.version_of]
    several = [name for name in options(own_styles.GROUP) if name != "none"]
    return list(dict.fromkeys([*names, *several]))


def _unknown(name: str, family: Family) -> PokoraError:
    close = nearest(name, known(family))
    fix = f"did you mean {close}?" if close else "pokora models list"
    return _refusal(f"no style {shown(name, 60)!r}", f"one of {', '.join(known(family))}", fix)


def _summed(found: Sequence[tuple[Row, float]], *, normalize: bool) -> list[tuple[Row, float]]:
    whole = sum(weight for _, weight in found)
    if abs(whole - 1) > WHOLE and not normalize:
        told = " ".join(f"{named(row)}={weight / whole:.3g}" for row, weight in found)
        raise _refusal(f"weights that sum to {whole:.4g}", "1", f"--normalize, which makes it {told}")
    parts = [round(weight / whole, DIGITS) if normalize else round(weight, DIGITS) for _, weight in found]
    if normalize:
        parts[0] = round(1 - sum(parts[1:]), DIGITS)
    if min(parts) <= 0:
        raise _refusal(
            "a weight that is nothing beside the others", f"at least {10**-DIGITS:g}", "leave it out"
        )
    return [(row, weight) for (row, _), weight in zip(found, parts, strict=True)]


def named(row: Row) -> str:
    """How a blend names a row: one's own by id, a shipped one by its role, which each base resolves."""
    return row.id if row.own else row.role


def bounds_of(row: Row, limits: ContestConfig) -> tuple[float, float]:
    """A contest's bounds for a LoRA's weight; 0 to 1 where its rules do not name the role."""
    allowed = limits.style_weights.get(row.role)
    return (0.0, 1.0) if allowed is None else (allowed.low, allowed.high)


def _check_bounds(weights: Sequence[tuple[Row, float]], limits: ContestConfig, base: Family) -> None:
    for row, weight in weights:
        low, high = bounds_of(row, limits)
        if not low <= weight <= high:
            raise _refusal(
                f"{named(row)}={weight:g}, outside of what {limits.name} allows",
                f"{low:g} to {high:g}",
                _wider(weights, base) or f"a weight within them: {EXAMPLE}",
            )


def _wider(weights: Sequence[tuple[Row, float]], base: Family) -> str:
    """Another contest whose bounds the weights keep and that takes the base."""
    for name in options("contest"):
        limits = contest_limits.load(name)
        within = all(
            low <= weight <= high for row, weight in weights for low, high in [bounds_of(row, limits)]
        )
        if within and any(one == base.value or one.startswith(base.value) for one in limits.bases):
            return f"--contest {name}, whose bounds they keep"
    return ""


def _part(row: Row, weight: float, base: Family) -> Part:
    digest = blend_pins.digest_of(row)
    if not digest:
        raise ConfigError(
            "CFG-STYLE",
            f"no sha256 of {row.id} is known, so that a blend could not name it",
            expected="a LoRA that was fetched",
            fix=reinstall_or_fetch(row),
        )
    return Part(
        id=named(row),
        weight=weight,
        sha256=digest,
        title=row.title[:200],
        author=row.author[:200],
        licence=row.licence,
        page=row.link[:200] if not row.own or row.page else "",
    )


def _refusal(got: str, expected: str, fix: str) -> PokoraError:
    return ConfigError("CFG-STYLE", got, expected=expected, fix=fix)
