"""The networks of the run before, for the next one with the same composition: a sweep loads them once."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pokora_anime.devices.machine import Machine, give_back, give_back_memory
from pokora_anime.networks.loader import Models
from pokora_anime.schema.settings import BaseConfig, LoraConfig, MotionConfig, SpeedConfig
from pokora_anime.system import process
from pokora_anime.system.typed_tensors import card

_SHARE = 0.25  # of the memory that what is kept may fill: the next run loads more beside it


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """Networks and what they were made from."""

    made_from: tuple[object, ...]
    models: Models


_last: list[_Kept] = []  # at most one


def models_for(
    base: BaseConfig,
    speed: SpeedConfig,
    loras: Sequence[LoraConfig],
    machine: Machine,
    motion: MotionConfig | None = None,
) -> Models:
    """The networks of this composition, with what an equal run before has loaded and not freed."""
    camera = None if motion is None or motion.lora is None else (motion.lora, motion.lora_weight)
    made_from = (base, speed, list(loras), machine.device, machine.dtype, camera)
    if _last and (_last[0].made_from != made_from or not _roomy(machine.device)):
        _last.clear()
        gc.collect()
        give_back(machine.device)
    if not _last:
        models = Models(base, speed, loras, machine.device, machine.dtype, motion=motion)
        _last.append(_Kept(made_from=made_from, models=models))
    return _last[0].models


def _roomy(device: torch.device) -> bool:
    if device.type == "cuda":
        whole = card(device).total_memory
        return torch.cuda.memory_allocated(device) < _SHARE * whole
    give_back_memory()
    filled, (_, whole) = process.resident(), process.memory()
    return filled is not None and filled < _SHARE * whole  # else they are loaded anew: slower, never wrong
