"""Weights before they are used: the very bytes that were promised, and nothing beside them that runs code."""

from __future__ import annotations

from pathlib import Path

from pokora_anime.catalogue.needed_weights import check_available, locate, needs
from pokora_anime.catalogue.registry_row import PICKLES, Row
from pokora_anime.catalogue.weights_advice import reinstall_or_fetch
from pokora_anime.errors import WeightsError
from pokora_anime.schema.settings import RunConfig

# What numpy reads: arrays, which are no weights, or pickles again.
ARRAYS = frozenset({".pickle", ".npy", ".npz"})


def check(config: RunConfig) -> None:
    """Every file with a promised hash has it, and no pickle lies among the weights of this package.

    Raises WeightsError WGT-MISSING, WGT-DAMAGED, WGT-BLOCKED or WGT-UNSAFE. Every byte is read that the
    parent has not hashed since the file last changed; under guard=require, every byte.
    """
    for row in needs(config):
        folder = locate(row)
        if folder is not None and row.packaged:  # in a hub's cache such files cannot be read here
            _refuse_pickles(row, folder)
    check_available(config)


def _refuse_pickles(row: Row, folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in PICKLES | ARRAYS:
            raise WeightsError(
                "WGT-UNSAFE",
                f"{row.id}: {path.relative_to(folder).as_posix()} lies among the weights",
                expected="safetensors, JSON and text",
                fix=f"remove it, then {reinstall_or_fetch(row)}",
            )
