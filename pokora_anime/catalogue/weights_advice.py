"""What to type when weights are missing, blocked or cannot be had. Torch-free."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from pokora_anime.catalogue import registry
from pokora_anime.catalogue.registry import Kind, Row, Status
from pokora_anime.errors import WeightsError
from pokora_anime.schema.settings import ControlKind, Family

STYLES = ("pastel", "flat_color")  # the default style's roles; each is a style preset of that name too
SPEED = "lcm"  # the default speed's LoRA, where the base has one
# What a base is controlled by, unless asked otherwise (conf/control/for_*.yaml).
CONTROLS = {
    Family.sdxl: {ControlKind.pose, ControlKind.depth},
    Family.sd2: set[ControlKind](),
    Family.nano: {ControlKind.pose, ControlKind.depth},
}
UNION = "controlnet_union"


def fastest(family: Family) -> str:
    """The quickest speed mode that a base has weights for and that needs no decision of a person."""
    row = registry.find(SPEED, family)
    return SPEED if row is not None and row.status is Status.allowed else "hq"


def usable_kinds(family: Family) -> list[ControlKind]:
    """The control kinds whose ControlNet and extractor this project may load for a base."""

    def usable(kind: ControlKind) -> bool:
        network = registry.find(f"controlnet_{kind.value}", family)
        extractor = registry.find(f"{kind.value}_extractor", family)  # edges need none
        rows = [row for row in (network, extractor) if row is not None]
        return network is not None and all(row.status is not Status.blocked for row in rows)

    return [kind for kind in ControlKind if usable(kind)]


def control_options(family: Family) -> str:
    """The values of the control group that work for a base, in words."""
    options = [f"control={kind.value}" for kind in usable_kinds(family)]
    union = registry.find(UNION, family)
    if union is not None and union.status is not Status.blocked:
        options.append("control=union")
    return " or ".join([*([", ".join(options)] if options else []), "control=none"])


def leave_out(row: Row, family: Family) -> str:
    """How to make do without a row."""
    if row.kind in (Kind.controlnet, Kind.extractor):
        # Of a row that is not blocked, its own kind is among the usable ones.
        return control_options(family) if row.status is Status.blocked else "control=none"
    if row.kind is Kind.style_lora:
        others = [name for name in STYLES if name != row.role and registry.find(name, family)]
        return f"style={others[0] if row.role in STYLES and others else 'none'}"
    ways = {
        Kind.base: "another base, for example base=nano",
        Kind.motion: "another base, for example base=nano",
        Kind.motion_lora: "motion.lora=null",
        Kind.tokenizer: "base=sdxl",
        Kind.vae: "base.vae=null",
        Kind.speed_lora: "speed=hq",
        Kind.choreographer: "control.source=keyframe",
        Kind.interpolator: "finish.interpolation=flow",
        Kind.upscaler: "finish.upscale=lanczos",
        Kind.enlarger: "finish.upscale=lanczos",
        Kind.scorer: "best_of=1",
        Kind.ip_adapter: "keyframe.identity=anchor",
        Kind.image_encoder: "keyframe.identity=anchor",
    }
    if row.kind is Kind.base and row.own:
        return "base=sdxl"
    if row.kind is Kind.base and row.role != "base":
        return f"speed={SPEED}"  # a distilled base is a speed mode of its family
    return ways[row.kind]


def fetch_command(needed: Iterable[Row], family: Family | None = None) -> str:
    """The `pokora models fetch` that gets these rows, and no more than the base besides.

    `family` only where the rows do not tell: some serve several bases.
    """
    rows = list(needed)
    family = family or next(one for one in Family if all(one in row.families for row in rows))
    own = next((row.role for row in rows if row.kind is Kind.base and row.own), "")
    words = [f"base={own or family.value}"]
    fast = next((row.role for row in rows if row.kind is Kind.speed_lora), None)
    if registry.find(SPEED, family) is not None and fast != SPEED:
        words.append(f"speed={fast or 'hq'}")
    words += _style([row for row in rows if row.kind is Kind.style_lora], family)
    words += _control({row.role for row in rows}, family)
    for row in rows:
        if row.kind is Kind.motion_lora:
            words += [f"motion.lora={row.role}"]
            words += [f"base.motion_adapter={row.adapter}"] if row.adapter else []
        elif row.kind is Kind.interpolator:
            words.append(f"finish.interpolation={row.role}")
        elif row.kind is Kind.upscaler:
            words += ["finish.upscale=network", f"finish.upscaler.model={row.role}"]
        elif row.kind is Kind.scorer:
            words.append("best_of=4")
        elif row.kind is Kind.ip_adapter:
            words.append("keyframe.identity=adapter")
    return shlex.join(["pokora", "models", "fetch", *words])


def _style(rows: Sequence[Row], family: Family) -> list[str]:
    roles = {row.role for row in rows}
    if roles == {name for name in STYLES if registry.find(name, family)}:
        return []
    if not roles:
        return ["style=none"]
    if len(roles) == 1 and roles <= set(STYLES):
        return [f"style={roles.pop()}"]
    return ["style=none", f"style.loras=[{','.join(f'{{id:{row.id}}}' for row in rows)}]"]


def _control(roles: set[str], family: Family) -> list[str]:
    kinds = [k for k in ControlKind if roles & {f"controlnet_{k.value}", f"{k.value}_extractor"}]
    if UNION in roles:  # of which edges alone leave no trace among the rows
        named = ",".join(kind.value for kind in kinds) or ControlKind.canny.value
        return ["control=union", f"control.kinds=[{named}]"]
    if set(kinds) == CONTROLS[family]:
        return []
    if len(kinds) < 2:
        return [f"control={kinds[0].value if kinds else 'none'}"]
    return [f"control.kinds=[{','.join(kind.value for kind in kinds)}]"]


def fetch_row(row: Row) -> str:
    """The `pokora models fetch` that gets one row and nothing else."""
    return shlex.join(["pokora", "models", "fetch", row.id])


def reinstall_or_fetch(row: Row) -> str:
    """How to get a row that is not all there."""
    if row.own:
        kind = "--kind base " if row.kind is Kind.base else ""
        return f"`pokora models add` it again with {kind}--id {row.id} --replace"
    return "reinstall pokora_anime" if row.packaged else fetch_row(row)


def absent(lacking: Sequence[Row], needed: Iterable[Row], family: Family) -> WeightsError:
    """The error WGT-MISSING for rows that are not on this machine; `needed` is all that the run loads."""
    names = ", ".join(row.id for row in lacking)
    if lacking[0].packaged:
        return WeightsError(
            "WGT-MISSING", f"missing from the installed package: {names}", fix="reinstall pokora_anime"
        )
    return WeightsError("WGT-MISSING", f"weights missing: {names}", fix=fetch_command(needed, family))


def refuse_blocked(row: Row, family: Family) -> None:
    """Raise WeightsError WGT-BLOCKED for a blocked row, whether or not its files are here."""
    if row.status is Status.blocked:
        raise WeightsError(
            "WGT-BLOCKED",
            f"{row.id} is blocked: {row.reason} (licence: {row.terms.name})",
            expected="weights that this project may use",
            fix=f"use {leave_out(row, family)}",
        )


def refuse_empty(row: Row) -> None:
    """Raise WeightsError WGT-MISSING for a slot that no LoRA of the user's fills."""
    if row.slot:
        raise WeightsError(
            "WGT-MISSING",
            f"no LoRA of yours plays the role {row.role}",
            fix=f"pokora models add FILE --slot {row.role} (`pokora models add --help`), or leave it out",
        )
