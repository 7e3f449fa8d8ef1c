"""Which weights a composition needs, and whether they are here. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from pokora_anime.catalogue import finishing_networks, registry, weight_hashes
from pokora_anime.catalogue.hub.download_meter import Meter
from pokora_anime.catalogue.lora.lora_tags import merge_loras, shot_loras
from pokora_anime.catalogue.registry import IDENTITY, JUDGE, Kind, Row
from pokora_anime.catalogue.weight_paths import locate
from pokora_anime.catalogue.weights_advice import (
    absent,
    control_options,
    fastest,
    refuse_blocked,
    refuse_empty,
    usable_kinds,
)
from pokora_anime.errors import ConfigError
from pokora_anime.schema.settings import (
    BaseConfig,
    ControlKind,
    ControlNetwork,
    Family,
    Identity,
    LoraConfig,
    MapSource,
    MotionConfig,
    RunConfig,
    Sampler,
    SpeedConfig,
    VideoConfig,
)
from pokora_anime.system.files.reading_progress import LONG, counting

_PUBLISHED = "published ones are for SD 1.5's motion adapter (base=sd2) and fit no other"

__all__ = [
    "base_rows",
    "check_available",
    "control_rows",
    "locate",
    "motion_lora_row",
    "needs",
    "speed_row",
    "style_rows",
    "unpinned",
    "watched",
]


def speed_row(speed: SpeedConfig, family: Family) -> Row | None:
    """The speed mode's LoRA; ConfigError CFG-SPEED where this base has none."""
    if speed.lora_role is None:
        return None
    row = registry.find(speed.lora_role, family)
    if row is None:
        bases = [base.value for base in Family if registry.find(speed.lora_role, base)]
        raise ConfigError(
            "CFG-SPEED",
            f"base={family.value} has no LoRA for speed={speed.name}",
            expected=f"a base with a published one ({', '.join(bases) or 'none'})",
            fix=f"use speed={fastest(family)}",
        )
    refuse_blocked(row, family)
    return row


def motion_lora_row(motion: MotionConfig, base: BaseConfig) -> Row | None:
    """The camera move's LoRA; ConfigError CFG-MOTION where this base or its adapter has none of that name."""
    if motion.lora is None:
        return None
    family = base.family
    row = registry.find(motion.lora, family)
    if row is None or row.kind is not Kind.motion_lora:
        loras = [one for one in registry.rows() if one.kind is Kind.motion_lora]
        moves = [one.role for one in loras if family in one.families]
        raise ConfigError(
            "CFG-MOTION",
            f"base={family.value} has no motion LoRA {motion.lora!r}",
            expected=f"one of {', '.join(moves)}" if moves else f"one of your own: {_PUBLISHED}",
            fix="motion.lora=null, and motion.camera for the move",
        )
    adapter = registry.get(base.motion_adapter, family)
    if row.adapter and row.adapter != adapter.id:
        raise ConfigError(
            "CFG-MOTION",
            f"motion LoRA {row.id} was trained for {row.adapter}, not for {adapter.id}",
            expected="the adapter that it was trained for",
            fix=f"base.motion_adapter={row.adapter}",
        )
    return row


def style_rows(loras: Iterable[LoraConfig], family: Family) -> tuple[list[tuple[Row, float]], list[str]]:
    """Style LoRAs by role for a base, and a note for each that only other bases have.

    A row that is named twice, by whichever of its names, counts once; the later weight wins.
    """
    found: dict[str, tuple[Row, float]] = {}
    notes: list[str] = []
    for lora in loras:
        row = registry.find_style(lora.id, family)
        if row is None:
            notes.append(f"LoRA {lora.id}: base={family.value} has none for this role; left out")
        else:
            refuse_blocked(row, family)
            refuse_empty(row)
            found[row.id] = (row, lora.weight)
    return list(found.values()), notes


def control_rows(
    kinds: Iterable[ControlKind], family: Family, network: ControlNetwork = ControlNetwork.separate
) -> list[Row]:
    """ControlNets and extractors for the kinds; ConfigError CFG-CONTROL for a kind without one."""
    wanted: list[Row] = []
    for kind in kinds:
        union = network is ControlNetwork.union
        row = registry.find("controlnet_union" if union else f"controlnet_{kind.value}", family)
        if row is None:
            valid = [usable.value for usable in usable_kinds(family)]
            raise ConfigError(
                "CFG-CONTROL",
                f"base={family.value} has no {'union network' if union else f'ControlNet for {kind.value}'}",
                expected="control.network=separate" if union else f"control kinds out of {', '.join(valid)}",
                fix=f"use {control_options(family)}",
            )
        wanted.append(row)
        extractor = registry.find(f"{kind.value}_extractor", family)
        if extractor is not None:  # edges are found without weights
            wanted.append(extractor)
    return wanted


def base_rows(base: BaseConfig) -> list[Row]:
    """The base and, where one is named, its replacement VAE."""
    names = [base.weights] + ([base.vae] if base.vae else [])
    return [registry.get(name, base.family) for name in names]


def needs(config: RunConfig) -> list[Row]:
    """Every row that a composition loads, the base first; WeightsError WGT-BLOCKED if one is blocked."""
    family = config.base.family
    wanted = base_rows(config.base)
    speed = speed_row(config.speed, family)
    if speed is not None:
        wanted.append(speed)
    elif config.speed.sampler is Sampler.lcm:
        raise ConfigError("CFG-SPEED", "sampler lcm without a speed LoRA", fix="use speed=hq or speed=lcm")
    loras = merge_loras(config.style.loras, shot_loras(config.shot))
    wanted += [row for row, _ in style_rows(loras, family)[0]]
    if isinstance(config, VideoConfig):
        wanted.append(registry.get(config.base.motion_adapter, family))
        camera = motion_lora_row(config.motion, config.base)
        wanted += [] if camera is None else [camera]
        wanted += control_rows(config.control.kinds, family, config.control.network)
        if config.control.kinds and config.control.source is MapSource.choreography:
            wanted.append(registry.resolve("choreographer", family))
        if config.keyframe.identity is Identity.adapter:
            wanted += [registry.resolve(role, family) for role in IDENTITY]
        if config.best_of > 1:
            wanted.append(registry.resolve(JUDGE, family))
    wanted += finishing_networks.rows(config)
    for row in wanted:
        refuse_blocked(row, family)
    return list({row.id: row for row in wanted}.values())


def watched(config: RunConfig) -> list[Row]:
    """What the preview of a clip is decoded with, where the base has a tiny VAE; a run can do without."""
    asked = isinstance(config, VideoConfig) and config.quality.preview
    row = registry.find("preview_vae", config.base.family) if asked else None
    return [] if row is None else [row]


def unpinned(config: RunConfig) -> list[str]:
    """A note for the run's record where weights are not tied to a revision or a sha256; else nothing."""
    names = [row.id for row in needs(config) if row.unpinned]
    return [f"unpinned weights (as fetched, no revision registered): {', '.join(names)}"] if names else []


def check_available(config: RunConfig, folders: Mapping[str, Path] | None = None) -> None:
    """Raise unless everything that the composition loads is on this machine and undamaged.

    WeightsError WGT-MISSING names the command that fetches what is missing, WGT-DAMAGED a damaged file,
    WGT-BLOCKED what is blocked; MachineError SYS-EXTRA an optional package that is not installed.
    `folders` overrides where a row is looked for, by row id.
    """
    wanted = needs(config)
    finishing_networks.require(config)
    places = {row.id: (folders or {}).get(row.id) or locate(row) for row in wanted}
    lacking = [row for row in wanted if places[row.id] is None]
    if lacking:
        raise absent(lacking, wanted, config.base.family)
    # Only what has a promised hash is read here: hashing gigabytes would delay the first step.
    checked = [
        (row, place) for row in wanted if (place := places[row.id]) and weight_hashes.promised(row, place)
    ]
    unread = weight_hashes.unread(checked)
    with Meter(unread, about="checking weights", quiet=unread < LONG) as meter, counting(meter.add):
        for row, folder in checked:
            weight_hashes.verify(row, folder)
