"""The ControlNets that steer a clip: one for each kind of map, or the union network for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor

from pokora_anime.provenance.hashing import Json
from pokora_anime.provenance.stage_records import ControlTrack
from pokora_anime.schema.run_identity import part
from pokora_anime.schema.settings import ControlKind, ControlNetwork, VideoConfig
from pokora_anime.stages.control.control_source import ControlSource
from pokora_anime.stages.control.map_embedding import Hints, Mapped, hint_embedded
from pokora_anime.stages.run_context import RunContext
from pokora_anime.system.typed_tensors import from_array
from pokora_anime.timeline import join_plan

# The place of each kind among those that the network was trained with.
TYPES: Mapping[ControlKind, int] = {
    ControlKind.pose: 0,
    ControlKind.depth: 1,
    ControlKind.canny: 3,
    ControlKind.lineart: 3,
}


def of(control: ControlTrack | None, config: VideoConfig, context: RunContext) -> list[ControlSource]:
    """What steers the segments that have these maps, with the networks loaded.

    Where segments have maps of their own, one that shows nothing (nobody was found) steers nothing.
    """
    settings, joined = config.control, join_plan.mapped(config)
    hints = {
        ControlKind(kind): from_array(pixels).movedim(-1, -3).float().to(context.device) / 255
        for kind, pixels in sorted(control.maps.items() if control is not None else ())
        if pixels.any() or not joined
    }
    scales = {kind: settings.scale.get(kind.value, 1.0) for kind in hints}
    dtype = context.models.dtype  # of the arithmetic; weights may be held in fp8
    if hints and settings.network is ControlNetwork.union:
        union = cast(Mapped, context.models.union_controlnet())
        return [UnionSource(union, hints, scales=scales, start=settings.start, end=settings.end, dtype=dtype)]
    found: list[ControlSource] = []
    for kind, hint in hints.items():
        network = cast(Mapped, context.models.controlnet(kind))
        fading = control.fading.get(kind.value) if control is not None else None
        found.append(
            ControlSource(
                network,
                hint,
                scale=scales[kind],
                start=settings.start,
                end=settings.end,
                dtype=dtype,
                fading=None if fading is None else torch.tensor(fading, device=context.device),
            )
        )
    return found


def roles(control: ControlTrack | None, config: VideoConfig) -> list[str]:
    """The roles of the networks that take part."""
    kinds = sorted(control.maps) if control is not None else []
    if kinds and config.control.network is ControlNetwork.union:
        kinds = ["union"]
    return [f"controlnet_{kind}" for kind in kinds]


def recorded(control: ControlTrack, config: VideoConfig) -> dict[str, Json]:
    """The settings as a node holds them, with the kinds that were found."""
    return {**part(config.control), "kinds": list[Json](sorted(control.maps))}


class UnionSource(ControlSource):
    """Maps of one or several kinds for the union network, each embedded once.

    xinsir's union network costs as much as a single ControlNet, and approximates one network a kind.
    `hints` in 0..1 by kind, static or one a frame, `scales` by kind. With one kind its scale multiplies the
    residuals, with several it multiplies what each map adds, as in diffusers' pipeline.
    """

    def __init__(
        self,
        network: Mapped,
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
        self.hints = tuple(Hints.of(network, hints[kind], dtype) for kind in kinds)
        self.fading = None

    @property
    def together(self) -> bool:
        """diffusers' union network attends from frame to frame where their maps differ."""
        return super().together or not all(hints.static for hints in self.hints)

    def residuals(
        self,
        latents_NCHW: Tensor,
        timestep: Tensor,
        embeds_MTD: Tensor,
        added: dict[str, Tensor] | None,
        weight_N: Tensor,
    ) -> list[Tensor]:
        """Down residuals followed by the mid residual, each [N, ...], weighted per frame."""
        count = latents_NCHW.shape[0]
        asked = embeds_MTD.new_zeros(count, self.network.config["num_control_type"])
        asked[:, self._types] = 1.0
        with hint_embedded(self.network):
            down, mid = self.network(
                latents_NCHW,
                timestep,
                encoder_hidden_states=embeds_MTD,
                controlnet_cond=[hints.rows(count) for hints in self.hints],
                control_type=asked,
                control_type_idx=self._types,
                conditioning_scale=self._inside,
                added_cond_kwargs=added,
                return_dict=False,
            )
        return self.weighted((*down, mid), weight_N)
