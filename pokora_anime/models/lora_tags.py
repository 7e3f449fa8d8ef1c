"""`<lora:name:weight>` tags in prompts. Torch-free: the command line reads them before any model."""

from __future__ import annotations

import math
import re

from pokora_anime.config.schema import LoraConfig, ShotConfig
from pokora_anime.errors import PromptError
from pokora_anime.models import registry

TAG = re.compile(r"<lora:([^:<>]*)(?::([^:<>]*))?>")


def split_tags(text: str) -> tuple[str, list[LoraConfig]]:
    """The text without its LoRA tags, and the tags in order; a tag without a weight means 1.

    Raises PromptError PRM-4 for a tag without a name or with a weight that is no number in -2..2.
    """
    loras = [
        LoraConfig(id=name.strip(), weight=_weight(tag)) for tag in TAG.finditer(text) for name in [tag[1]]
    ]
    for lora in loras:
        if not lora.id:
            raise PromptError("PRM-4", "a LoRA tag without a name", expected="<lora:pastelAnimeXL:0.8>")
    bare = TAG.sub("", text)
    if "<lora:" in bare:
        raise PromptError(
            "PRM-4",
            f"an unfinished LoRA tag in {bare[bare.index('<lora:') :][:40]!r}",
            expected="<lora:pastelAnimeXL:0.8>",
            fix="close the tag with >, or remove it",
        )
    # A removed tag leaves its comma behind: "a, , b" would become a token of its own.
    bare = re.sub(r"\s*,(?:\s*,)+", ",", bare)
    return re.sub(r"\s+", " ", bare).strip(" ,"), loras


def shot_loras(shot: ShotConfig) -> list[LoraConfig]:
    """The LoRA tags of a shot's prefix and prompt, in order."""
    return [lora for text in (shot.prefix, shot.prompt) for lora in split_tags(text)[1]]


def merge_loras(*groups: list[LoraConfig]) -> list[LoraConfig]:
    """All LoRAs, each once whichever of its names is used; what comes later wins."""
    return list({registry.style_role(lora.id): lora for group in groups for lora in group}.values())


def _weight(tag: re.Match[str]) -> float:
    try:
        weight = 1.0 if tag[2] is None else float(tag[2])
    except ValueError:
        weight = math.nan
    if not -2.0 <= weight <= 2.0:
        raise PromptError(
            "PRM-4",
            f"weight {tag[2]!r} in {tag[0]}",
            expected="a number between -2 and 2",
            fix=f"for example <lora:{tag[1]}:0.8>",
        )
    return weight
