"""What the rules of a contest look at: a typed config, the weights that it asks for, and the limits.

All plain data, from a config that is about to be rendered or from one that was recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pokora_anime.catalogue import finishing_networks, registry
from pokora_anime.catalogue.lora.lora_tags import merge_loras, shot_loras
from pokora_anime.catalogue.registry import IDENTITY, JUDGE, Kind
from pokora_anime.catalogue.weights_advice import leave_out
from pokora_anime.rules.checkpoint_facts import Facts, of_row
from pokora_anime.schema.curves import lora_names
from pokora_anime.schema.settings import (
    ContestConfig,
    ControlNetwork,
    Identity,
    MapSource,
    RunConfig,
    VideoConfig,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Use:
    """A config's wish for weights: the key `where` it stands, the `name` typed, the `kind` loaded as.

    `strength` is a LoRA's weight. `weights` is None for what no row answers to, `instead` how to make do
    without it. `loaded` is False for what is named and left out: a style that only other bases have, the
    motion of stills.
    """

    where: str
    name: str
    kind: str
    strength: float | None = None
    weights: Facts | None
    instead: str = ""
    loaded: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One config to be judged by one contest's limits."""

    config: RunConfig
    limits: ContestConfig
    uses: tuple[Use, ...]

    @property
    def family(self) -> str:
        """The base's family."""
        return self.config.base.family.value

    def loras(self, kind: str) -> list[tuple[Use, Facts]]:
        """The LoRAs of a kind that this base has."""
        return [
            (use, use.weights)
            for use in self.uses
            if use.kind == kind and use.weights is not None and self.family in use.weights.families
        ]


def uses(config: RunConfig) -> tuple[Use, ...]:
    """Every checkpoint that a config asks for, as the registry knows it. Raises PromptError for a bad tag."""
    return tuple(_uses(config))


def _uses(config: RunConfig) -> Iterator[Use]:
    base, speed = config.base, config.speed
    yield _use(config, "base.weights", base.weights, Kind.base)
    if base.vae is not None:
        yield _use(config, "base.vae", base.vae, Kind.vae)
    if speed.lora_role is not None:
        yield _use(config, "speed.lora_role", speed.lora_role, Kind.speed_lora, speed.lora_weight)
    yield from _styles(config)
    motion = _use(config, "base.motion_adapter", base.motion_adapter, Kind.motion)
    yield replace(motion, loaded=isinstance(config, VideoConfig))
    if isinstance(config, VideoConfig):
        if config.motion.lora is not None:
            yield _use(config, "motion.lora", config.motion.lora, Kind.motion_lora, config.motion.lora_weight)
        union = config.control.network is ControlNetwork.union
        if union and config.control.kinds:
            yield _use(config, "control.network", "controlnet_union", Kind.controlnet)
        for kind in config.control.kinds:
            if not union:
                yield _use(config, "control.kinds", f"controlnet_{kind.value}", Kind.controlnet)
            extractor = f"{kind.value}_extractor"
            if any(row.role == extractor for row in registry.rows()):  # edges are found without weights
                yield _use(config, "control.kinds", extractor, Kind.extractor)
        if config.control.kinds and config.control.source is MapSource.choreography:
            yield _use(config, "control.source", "choreographer", Kind.choreographer)
        if config.keyframe.identity is Identity.adapter:
            for role, kind in zip(IDENTITY, (Kind.ip_adapter, Kind.image_encoder), strict=True):
                yield _use(config, "keyframe.identity", role, kind)
        if config.best_of > 1:
            yield _use(config, "best_of", JUDGE, Kind.scorer)
    for wish in finishing_networks.asked(config):
        yield _use(config, wish.where, wish.name, wish.kind)


def _styles(config: RunConfig) -> Iterator[Use]:
    """Style LoRAs, those that only a timeline names last: a settled config has each in style.loras too."""
    tags = shot_loras(config.shot)
    tagged = {registry.style_role(lora.id) for lora in tags}
    loras = merge_loras(config.style.loras, tags)
    for lora in loras:
        where = "shot.prompt" if registry.style_role(lora.id) in tagged else "style.loras"
        yield _use(config, where, lora.id, Kind.style_lora, lora.weight)
    known = {registry.style_role(lora.id) for lora in loras}
    for name in lora_names(config.timeline) if isinstance(config, VideoConfig) else ():
        if registry.style_role(name) not in known:
            yield _use(config, "timeline.lora", name, Kind.style_lora)


def _use(config: RunConfig, where: str, name: str, kind: Kind, strength: float | None = None) -> Use:
    family = config.base.family
    named = [row for row in registry.rows() if name in row.names]
    # A style is asked for by one base's name and loaded by another's row of the same role.
    roles = {row.role for row in named}
    named += [row for row in registry.rows() if row.kind is Kind.style_lora is kind and row.role in roles]
    ranked = sorted(named, key=lambda row: (row.kind is not kind, family not in row.families))
    if not ranked:
        return Use(where=where, name=name, kind=kind.value, strength=strength, weights=None)
    row = ranked[0]
    return Use(
        where=where,
        name=name,
        kind=kind.value,
        strength=strength,
        weights=of_row(row),
        instead=leave_out(row, family),
        loaded=kind is not Kind.style_lora or family in row.families,
    )
