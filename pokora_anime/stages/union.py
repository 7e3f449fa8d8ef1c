"""One ControlNet that reads maps of several kinds at once: an approximation of one network a kind.

xinsir's union network (ControlNetUnionModel in diffusers) costs as much as a single ControlNet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pokora_anime.config.schema import ControlKind
from pokora_anime.stages.denoise import ControlSource, hint_embedding

# The place of each kind among those that the network was trained with.
TYPES: Mapping[ControlKind, int] = {
    ControlKind.pose: 0,
    ControlKind.depth: 1,
    ControlKind.canny: 3,
    ControlKind.lineart: 3,
}


class UnionSource(ControlSource):
    """Static maps of one or several kinds for the union network, each embedded once.

    `hints` [3, height, width] in 0..1 by kind, `scales` by kind. With one kind its scale multiplies the
    residuals, with several it multiplies what each map adds, as in diffusers' pipeline.
    """

    def __init__(
        self,
        network: Any,
        hints: Mapping[ControlKind, Tensor],
        *,
        scales: Mapping[ControlKind, float],
        start: float,
        end: float,
        dtype: torch.dtype,
    ) -> None:
        kinds = list(hints)
        single = len(kinds) == 1
        self.network, self.start, self.end = network, start, end
        self.scale = scales[kinds[0]] if single else 1.0
        self._inside = [1.0] if single else [scales[kind] for kind in kinds]
        self._types = [TYPES[kind] for kind in kinds]
        self._embedded = [hint_embedding(network, hints[kind], dtype) for kind in kinds]

    def residuals(
        self, latents_NCHW: Tensor, timestep: Tensor, embeds_NTD: Tensor, added: Any, weight_N: Tensor
    ) -> list[Tensor]:
        """Down residuals followed by the mid residual, each [N, ...], weighted per frame."""
        count = latents_NCHW.shape[0]
        asked = embeds_NTD.new_zeros(count, self.network.config["num_control_type"])
        asked[:, self._types] = 1.0
        down, mid = self.network(
            latents_NCHW,
            timestep,
            encoder_hidden_states=embeds_NTD,
            controlnet_cond=[hint.expand(count, -1, -1, -1) for hint in self._embedded],
            control_type=asked,
            control_type_idx=self._types,
            conditioning_scale=self._inside,
            added_cond_kwargs=added,
            return_dict=False,
        )
        weight = (self.scale * weight_N).view(-1, 1, 1, 1)
        return [residual * weight.to(residual.dtype) for residual in (*down, mid)]
