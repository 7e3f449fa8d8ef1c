"""What a config leaves open, decided once: from what was typed to what is rendered and recorded. Torch-free.

Here: who is shown where a character's LoRA says it, the prompt's {a|b}, the camera's move, a timeline's
weights, the number of threads. Before, in conf/:
what follows from the base or the speed (`for_${base}`, `${base.known_ahead}`). After, because a run's key
must not depend on the machine that renders it: device.kind and device.dtype (devices/machine.py),
device.memory_gb=0 (the plan that devices/ makes), and motion.betas=auto, which follows from the networks
(networks/schedulers.py).
"""

from __future__ import annotations

from pokora_anime.catalogue import own_rows, registry
from pokora_anime.catalogue.lora.lora_tags import merge_loras, shot_loras
from pokora_anime.config import keyframe_checks
from pokora_anime.config.over_time import effect_checks, timeline_checks
from pokora_anime.prompt import prompt_choices
from pokora_anime.schema.settings import RunConfig, VideoConfig
from pokora_anime.system.processor_cores import usable_cores
from pokora_anime.timeline import camera_choice, shot_plan


def resolve(config: RunConfig) -> RunConfig:
    """The same config with nothing left open that can be decided without torch; twice is once."""
    config.base.fill_open = config.base.fill_open and not _shows_a_character(config)
    prompt_choices.settle(config.shot, config.seed)
    if isinstance(config, VideoConfig):
        shot_plan.settle(config)
        if not config.shots:
            camera_choice.settle(config)
        timeline_checks.settle(config)
        effect_checks.settle(config)
        keyframe_checks.settle(config)
    config.device.threads = config.device.threads or usable_cores()
    return config


def _shows_a_character(config: RunConfig) -> bool:
    """Whether an own LoRA of a character takes part: words that the seed chooses would speak against her."""
    mine = [row for row in own_rows.rows() if row.role == own_rows.CHARACTER]
    if not any(config.base.family in row.families for row in mine):
        return False
    loras = merge_loras(config.style.loras, shot_loras(config.shot))
    return any(lora.weight > 0 and registry.style_role(lora.id) == own_rows.CHARACTER for lora in loras)
