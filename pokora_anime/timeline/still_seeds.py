"""Which seed draws which still: the one with index i is the keyframe of a clip with the run's seed + i."""

from __future__ import annotations

from dataclasses import replace

from pokora_anime.schema.settings import MOST_STILLS, RunConfig, StillsConfig


def of_still(config: StillsConfig, index: int) -> StillsConfig:
    """The config that the still with this index, counted from 0, is drawn by.

    Its seed chooses the noise, and for nano what the prompt leaves open, as a clip's does; the run's own
    seed has chosen of the prompt's {a|b}, once for all.
    """
    return replace(config, seed=config.seed + index)


def each(config: RunConfig) -> list[RunConfig]:
    """The configs that draw the pictures of a run: one for each still that may be, or the clip's own."""
    if not isinstance(config, StillsConfig):
        return [config]
    return [of_still(config, index) for index in range(min(config.count, MOST_STILLS))]
