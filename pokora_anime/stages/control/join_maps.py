"""Control maps of the frame that a segment goes on from: the last one of the segment before it.

The keyframe's maps tell how she stood when the clip began. Those of the last known frame keep the first new
ones from growing an arm that it does not show.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from pokora_anime.media import openpose_map
from pokora_anime.networks.extraction import extractors, vitpose
from pokora_anime.provenance.code_hash import code_hash
from pokora_anime.provenance.environment import environment
from pokora_anime.provenance.node import Node
from pokora_anime.provenance.run_folder import Arrays
from pokora_anime.provenance.stage_records import ControlTrack, Image, Segment
from pokora_anime.schema.settings import ControlKind, VideoConfig
from pokora_anime.stages.cached_stage import cached
from pokora_anime.stages.control import control_maps
from pokora_anime.stages.picture import decode
from pokora_anime.stages.picture.retry_smaller import with_less
from pokora_anime.stages.run_context import RunContext


def read(before: Segment, config: VideoConfig, context: RunContext) -> ControlTrack:
    """The maps of `config.control.kinds`, uint8 [H, W, 3], in the last frame of a segment.

    Where nobody is found the pose map is black, and steers nothing.
    """
    kinds = control_maps.kinds_of(config)
    node = _node(before, kinds, config, context)

    def compute() -> Arrays:
        frame = next(decode.decode_chunks(before.latents[:, -1:], 1, context))
        detail = f"maps of segment {before.index + 2}"
        return {
            kind.value: with_less(detail, partial(_map, kind, frame, config, context), context)
            for kind in kinds
        }

    stage = cached(node, compute, context)
    return ControlTrack(maps=stage.arrays, notes=(), node=stage.node)


def _map(kind: ControlKind, frame: Image, config: VideoConfig, context: RunContext) -> Image:
    with context.execution.turn():
        found = control_maps.read_map(kind, frame, config, context)
    return control_maps.black_for_nobody(found, (config.base.height, config.base.width))


def _node(before: Segment, kinds: Sequence[ControlKind], config: VideoConfig, context: RunContext) -> Node:
    weights = context.models.weights_hash("vae") | control_maps.extractor_weights(kinds, context)
    return Node.after(
        [before.node],
        "join_maps",
        {
            "segment": before.index + 1,
            "kinds": [kind.value for kind in kinds],
            "size": [config.base.width, config.base.height],
        },
        weights=weights,
        code=code_hash(sys.modules[__name__], control_maps, decode, extractors, openpose_map, vitpose),
        environment=environment(context),
    )
