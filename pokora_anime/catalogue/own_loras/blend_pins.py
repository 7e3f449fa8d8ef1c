"""The files behind a blend's LoRAs: a blend names each by the sha256 that it was made with. Torch-free."""

from __future__ import annotations

from pokora_anime.catalogue import registry, weight_hashes
from pokora_anime.catalogue.registry_row import Row
from pokora_anime.catalogue.weight_paths import locate
from pokora_anime.errors import ConfigError
from pokora_anime.schema.own_styles import Blend, Part
from pokora_anime.schema.settings import Family


def digest_of(row: Row) -> str:
    """The sha256 of a LoRA's file, as the registry or what lies here promises it; "" where nothing does."""
    folder = locate(row)
    known = dict(row.sha256) if folder is None else weight_hashes.promised(row, folder)
    return next((known[name] for name in (*row.files, *row.published) if name in known), "")


def require(blend: Blend) -> None:
    """Raise ConfigError CFG-STYLE where a name stands for another file than the blend was made with."""
    for part in blend.parts:
        row = _row(part, blend.base)
        if row is None:
            raise ConfigError(
                "CFG-STYLE",
                f"style={blend.name} needs the LoRA {part.id} ({part.sha256[:12]}), which is not here",
                expected=_described(part),
                fix=f"pokora models add FILE --id {part.id} --base {blend.base.value}, and the blend works",
            )
        found = digest_of(row)
        if found and found != part.sha256:
            raise ConfigError(
                "CFG-STYLE",
                f"style={blend.name} was blended from {part.id} {part.sha256[:12]}, here it is {found[:12]}",
                expected="the same file",
                fix=f"pokora style blend {blend.said} --base {blend.base.value} --name {blend.name}"
                f" --contest {blend.contest} --normalize --replace",
            )


def by_digest(digest: str, family: Family) -> str | None:
    """The id under which a LoRA of that file and base is known here, or None."""
    rows = (row for row in registry.rows() if row.kind is registry.Kind.style_lora and not row.slot)
    return next((row.id for row in rows if family in row.families and digest_of(row) == digest), None)


def _row(part: Part, family: Family) -> Row | None:
    found = registry.find(part.id, family)
    return found if found is not None and found.kind is registry.Kind.style_lora and not found.slot else None


def _described(part: Part) -> str:
    told = (part.title, f"by {part.author}" if part.author else "", part.licence, part.page)
    return ", ".join(word for word in told if word) or "a LoRA of that sha256"
