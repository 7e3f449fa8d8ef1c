"""Control maps of each frame of a clip's draft, kept a segment at a time."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pokora_anime.catalogue.needed_weights import control_rows
from pokora_anime.errors import MachineError
from pokora_anime.media import openpose_map
from pokora_anime.networks.extraction import extractors, vitpose
from pokora_anime.provenance.code_hash import code_hash
from pokora_anime.provenance.environment import environment
from pokora_anime.provenance.node import Node
from pokora_anime.provenance.run_folder import Arrays
from pokora_anime.provenance.stage_records import ControlTrack, Image, Segment
from pokora_anime.schema.settings import ControlKind, VideoConfig
from pokora_anime.stages.cached_stage import cached
from pokora_anime.stages.control import control_maps, joint_tracks
from pokora_anime.stages.picture import decode
from pokora_anime.stages.run_context import RunContext
from pokora_anime.system.progress import KEPT

JOINTS = 18


def read(segment: Segment, config: VideoConfig, context: RunContext) -> Node:
    """The maps of `config.control.kinds` in every frame of a draft's segment, stored under their node.

    Poses are stored as joints float32 [frames, 18, 3], other maps as grey uint8 [frames, height, width]
    at the base's frame size. Raises ConfigError CFG-CONTROL for a kind without a ControlNet.
    """
    kinds = control_maps.kinds_of(config)
    control_rows(kinds, config.base.family, config.control.network)
    node = _node(segment, kinds, config, context)
    detail = f"maps of segment {segment.index + 1}"

    def compute() -> Arrays:
        frames = list(decode.decode_chunks(segment.latents, 1, context))
        size = (config.base.height, config.base.width)
        return {kind.value: _stack(kind, frames, size, context) for kind in kinds}

    stage = cached(node, compute, context)
    context.progress.step(f"{detail}, {KEPT}" if stage.kept else detail)
    return stage.node


def track(node: Node, config: VideoConfig, context: RunContext) -> ControlTrack:
    """The maps of a draft's segment, uint8 [frames, height, width, 3] by kind, read back.

    Poses are drawn of joints smoothed over `config.control.draft_smooth` frames; where nobody is found the
    pose map is black. Raises MachineError SYS-IO if the maps are gone.
    """
    stored = context.folder.load(node)
    if stored is None:
        raise MachineError("SYS-IO", "control maps changed on the disk while the clip was rendered")
    size = (config.base.height, config.base.width)
    maps: dict[str, Image] = {}
    for kind, array in stored.items():
        if kind == ControlKind.pose.value:
            tracked = joint_tracks.smoothed(array.astype(np.float32), config.control.draft_smooth)
            found = [control_maps.pose_map(joints, size) for joints in tracked]
            maps[kind] = np.stack([control_maps.black_for_nobody(one, size) for one in found])
        else:
            maps[kind] = np.repeat(array.astype(np.uint8)[..., None], 3, axis=3)
    return ControlTrack(maps=maps, notes=(), node=node)


def _stack(
    kind: ControlKind, frames: Sequence[Image], size: tuple[int, int], context: RunContext
) -> NDArray[np.generic]:
    if kind is ControlKind.pose:
        locate = context.models.pose_extractor()
        return np.stack([np.asarray(locate(frame), np.float32) for frame in frames])
    if kind is ControlKind.depth:
        measure = context.models.depth_extractor()
        return control_maps.depth_maps([measure(frame) for frame in frames], size)
    if kind is ControlKind.lineart:
        draw = context.models.lineart_extractor()
        return np.stack([control_maps.scaled(draw(frame), size)[:, :, 0] for frame in frames])
    return np.stack([control_maps.canny_map(frame, size)[:, :, 0] for frame in frames])


def _node(segment: Segment, kinds: Sequence[ControlKind], config: VideoConfig, context: RunContext) -> Node:
    weights = context.models.weights_hash("vae") | control_maps.extractor_weights(kinds, context)
    return Node.after(
        [segment.node],
        "draft_maps",
        {
            "segment": segment.index,
            "kinds": [kind.value for kind in kinds],
            "size": [config.base.width, config.base.height],
        },
        weights=weights,
        code=code_hash(
            sys.modules[__name__], control_maps, joint_tracks, decode, extractors, openpose_map, vitpose
        ),
        environment=environment(context),
    )
