"""What a training of a LoRA is told, and what it takes where nothing is said. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import cast

from pokora_anime.provenance.hashing import Table, text_hash
from pokora_anime.schema.settings import Family


class Role(Enum):
    """What the pictures, or for `motion` the clips, have in common."""

    character = "character"
    style = "style"
    motion = "motion"


class Layers(Enum):
    """Which layers of the UNet, or of its motion adapter, are changed."""

    attention = "attention"
    all = "all"  # convolutions too: what a small network needs to learn a shape


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraSettings:
    """One training. `data` is id@version, `rate` AdamW's, `dropout` the share of captions that are left out,
    `held_out` the number of pictures that it does not see, `prior` the number of pictures of the base's own
    that it is to keep making, `every` the steps between two looks, `views` how many croppings of each picture
    are shown; `early_stop`: it ends after so many looks without a lower loss on held-out pictures, 0: never;
    `text_rank` and `text_rate` of the layers in the text encoders, 0: they stay as they are.
    """

    id: str
    data: str
    base: Family
    role: Role
    rank: int
    steps: int
    batch: int
    rate: float
    dropout: float
    held_out: int
    prior: int
    every: int
    seed: int
    layers: Layers
    dora: bool
    flip: bool
    views: int
    trigger: str
    early_stop: int
    text_rank: int = 0
    text_rate: float = 0.0

    def to_plain(self) -> Table:
        """As it is recorded."""
        table = cast(Table, asdict(self))
        if not self.text_rank:
            del table["text_rank"], table["text_rate"]
        return {**table, "base": self.base.value, "role": self.role.value, "layers": self.layers.value}

    @property
    def key(self) -> str:
        """The hash of all of it: a training is only ever resumed with the same settings."""
        return text_hash(self.to_plain())


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What fits a base: measured for nano, as published trainers have it for the others."""

    steps: int
    batch: int
    rate: float
    layers: Layers
    views: int


LOOKS_WITHOUT_GAIN = 3  # after which a training ends, where nothing is said
DEFAULTS: Mapping[Family, Defaults] = {
    Family.nano: Defaults(steps=300, batch=8, rate=2e-3, layers=Layers.all, views=6),
    Family.sdxl: Defaults(steps=1200, batch=1, rate=1e-4, layers=Layers.attention, views=2),
    Family.sd2: Defaults(steps=1200, batch=2, rate=1e-4, layers=Layers.attention, views=2),
}
# A clip is 16 pictures, and the layers that see time have no convolutions.
MOTION_DEFAULTS: Mapping[Family, Defaults] = {
    Family.nano: Defaults(steps=200, batch=2, rate=2e-3, layers=Layers.all, views=1),
    Family.sdxl: Defaults(steps=400, batch=1, rate=1e-4, layers=Layers.attention, views=1),
    Family.sd2: Defaults(steps=400, batch=1, rate=1e-4, layers=Layers.attention, views=1),
}


def defaults(base: Family, role: Role) -> Defaults:
    """What is taken where nothing is said."""
    return (MOTION_DEFAULTS if role is Role.motion else DEFAULTS)[base]
