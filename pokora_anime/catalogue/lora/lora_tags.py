"""`<lora:name:weight>` tags in prompts. Torch-free: the command line reads them before any model."""

from __future__ import annotations

import math
import re

from pokora_anime.catalogue import registry
from pokora_anime.errors import PromptError
from pokora_anime.schema.brackets import narrow
from pokora_anime.schema.settings import LoraConfig, ShotConfig

TAG = re.compile(r"<lora:([^:<>]*)(?::([^:<>]*))?>")
_LIKE = re.compile(r"<\s*lora\s*[:=]([^<>]*)(>?)", re.IGNORECASE)  # what was meant as a tag
_EXAMPLE = "<lora:pastelAnimeXL:0.8>"


def split_tags(text: str, key: str = "shot.prompt") -> tuple[str, list[LoraConfig]]:
    """The text without its LoRA tags, and the tags in order; a tag without a weight means 1.

    Raises PromptError PRM-SYNTAX for a tag that is none: no name, no end, several weights, another spelling,
    or a weight that is no number in -2..2.
    """
    text = narrow(text)
    loras = [
        LoraConfig(id=name.strip(), weight=_weight(tag, key))
        for tag in TAG.finditer(text)
        for name in [tag[1]]
    ]
    for lora in loras:
        if not lora.id:
            raise PromptError(
                "PRM-SYNTAX",
                f"a LoRA tag without a name in {key}",
                expected=_EXAMPLE,
                fix=f"write {_EXAMPLE} instead of it",
            )
    bare = TAG.sub("", text)
    if (like := _LIKE.search(bare)) is not None:
        raise _misspelt(like, key)
    # A removed tag leaves its comma behind: "a, , b" would become a token of its own.
    bare = re.sub(r"\s*,(?:\s*,)+", ",", bare)
    return re.sub(r"\s+", " ", bare).strip(" ,"), loras


def shot_loras(shot: ShotConfig) -> list[LoraConfig]:
    """The LoRA tags of a shot's prefix and prompt, in order."""
    return [lora for text in (shot.prefix, shot.prompt) for lora in split_tags(text)[1]]


def merge_loras(*groups: list[LoraConfig]) -> list[LoraConfig]:
    """All LoRAs, each once whichever of its names is used; what comes later wins."""
    return list({registry.style_role(lora.id): lora for group in groups for lora in group}.values())


def _misspelt(like: re.Match[str], key: str) -> PromptError:
    """What keeps something from being a tag, and the tag that it may stand for."""
    name, *weights = [part.strip() for part in like[1].split(":")]
    weights.sort(key=lambda part: part.startswith("unet"))  # the pictures' weight counts
    numbers = [found[0] for part in weights if (found := re.search(r"-?\d*\.?\d+$", part))]
    words = name if like[2] else re.split(r"[,\s]", name)[0]
    tag = like[0] if like[2] else re.split(r"[,\s]", like[0])[0]
    meant = f"<lora:{words or 'pastelAnimeXL'}:{numbers[-1] if numbers else 1}>"
    shown = f"{like[0][:60]!r} in {key}"
    if not like[2]:
        got, expected = f"a LoRA tag without its end in {shown}", "a tag closed by >"
    elif len(weights) > 1 or any("=" in part for part in weights):
        got, expected = f"several weights or named ones in {shown}", "one weight for all of the LoRA"
    else:
        got, expected = f"a LoRA tag in another spelling, {shown}", "lora in small letters, and no spaces"
    return PromptError("PRM-SYNTAX", got, expected=expected, fix=f"write {meant} instead of {tag}")


def _weight(tag: re.Match[str], key: str) -> float:
    try:
        weight = 1.0 if tag[2] is None else float(tag[2])
    except ValueError:
        weight = math.nan
    if not -2.0 <= weight <= 2.0:
        raise PromptError(
            "PRM-SYNTAX",
            f"weight {tag[2]!r} of {tag[0]} in {key}",
            expected="a number between -2 and 2",
            fix=f"write <lora:{tag[1]}:0.8> instead of {tag[0]}",
        )
    return weight
