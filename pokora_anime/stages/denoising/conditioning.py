"""Conditioning of the networks: text, sizes, and classifier-free guidance (arXiv 2207.12598).

Shape suffixes: B videos in a batch (1, or 2 with guidance: unconditional first), C channels,
F frames, H W latent height and width, M texts (one a video or one a frame), T tokens, D embedding channels.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pokora_anime.schema.settings import SpeedConfig
from pokora_anime.stages.denoising.guidance import guidance_on


@dataclass(frozen=True, slots=True, kw_only=True)
class Guidance:
    """Classifier-free guidance on the steps whose share of the schedule lies in [start, end)."""

    scale: float
    start: float = 0.0
    end: float = 1.0
    batched: bool = True

    @classmethod
    def of(cls, speed: SpeedConfig, *, follows: bool = False) -> Guidance:
        """The guidance of a speed mode; `follows`: of frames that see a keyframe."""
        return cls(
            scale=speed.guidance_scale,
            start=speed.guidance_start,
            end=min(speed.guidance_end, speed.clip_guidance_end) if follows else speed.guidance_end,
            batched=speed.guidance_batched,
        )

    def on(self, step: int, steps: int) -> bool:
        """Whether this step runs the unconditional branch too."""
        return self.scale > 1.0 and guidance_on(step, steps, self.start, self.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Text and size conditioning, unconditional row first.

    `embeds_BTD` [2, tokens, channels]; `pooled_BD`, `time_ids_BD` [2, ...] or None without them. With an
    IP-Adapter `shown_BTD` are the embeds with a picture's tokens behind them; ControlNets see none.
    """

    embeds_BTD: Tensor
    pooled_BD: Tensor | None
    time_ids_BD: Tensor | None
    shown_BTD: Tensor | None = None

    def seen(self, rows: slice) -> Tensor:
        """What the UNet's cross-attention sees, for those rows: always the same memory."""
        return (self.embeds_BTD if self.shown_BTD is None else self.shown_BTD)[rows]

    def added(self, rows: slice, repeat: int = 1) -> dict[str, Tensor] | None:
        """`added_cond_kwargs` for those rows, each repeated (ControlNets want one a frame)."""
        if self.pooled_BD is None or self.time_ids_BD is None:
            return None
        return {
            "text_embeds": self.pooled_BD[rows].repeat_interleave(repeat, dim=0),
            "time_ids": self.time_ids_BD[rows].repeat_interleave(repeat, dim=0),
        }
