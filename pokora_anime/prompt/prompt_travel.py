"""Prompt travel: what a clip's prompt is at one of its frames."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from pokora_anime.provenance.stage_records import Prompt, Stop
from pokora_anime.schema.curves import eased
from pokora_anime.schema.settings import Curve


def at(prompt: Prompt, frame: float) -> Prompt:
    """The prompt at a frame of the clip: between two stops their embeddings are mixed by distance, along the
    curve of the earlier one.
    """
    if not prompt.travel:
        return prompt
    before = [stop for stop in prompt.travel if stop.frame <= frame][-1]
    after = next((stop for stop in prompt.travel if stop.frame > frame), before)
    share = (frame - before.frame) / (after.frame - before.frame) if after is not before else 0.0
    share = eased(Curve(before.curve), share)
    pooled = _mixed_pooled(before, after, share)
    return replace(prompt, embeds=torch.lerp(before.embeds, after.embeds, share), pooled=pooled)


def _mixed_pooled(before: Stop, after: Stop, share: float) -> Tensor | None:
    if before.pooled is None or after.pooled is None:
        return None
    return torch.lerp(before.pooled, after.pooled, share)
