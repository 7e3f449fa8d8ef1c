"""What the networks of a session answered and are not asked again: the look's picture, a segment's poses."""

from __future__ import annotations

from torch import Tensor

from pokora_anime.stages.control.control_source import ControlSource
from pokora_anime.stages.denoising.reference_attention import Reference


class LookReference(Reference):
    """Reference attention to a look, whose picture is learnt once and not at each segment anew.

    So it keeps the noise that it had in the look's first segment.
    """

    _latent: Tensor | None = None

    def turn_to(self, latent: Tensor) -> None:
        """The picture of the look [C,H,W] whose segments come next; known by being the same tensor."""
        if latent is not self._latent:
            super().forget()
            self._latent = latent

    def forget(self) -> None:
        """Nothing, where the next segment has the same look."""


class FirstStepControl(ControlSource):
    """A ControlNet whose residuals of a segment's first step hold at its other steps."""

    def __init__(self, source: ControlSource) -> None:
        self.network, self.scale, self.start, self.end = (
            source.network,
            source.scale,
            source.start,
            source.end,
        )
        self.hints, self.fading = source.hints, source.fading
        self._found: list[list[Tensor]] = []

    def residuals(
        self,
        latents_NCHW: Tensor,
        timestep: Tensor,
        embeds_MTD: Tensor,
        added: dict[str, Tensor] | None,
        weight_N: Tensor,
    ) -> list[Tensor]:
        """Those of the first step: down residuals followed by the mid residual, each [N, ...]."""
        if not self._found:
            self._found.append(super().residuals(latents_NCHW, timestep, embeds_MTD, added, weight_N))
        return self._found[0]
