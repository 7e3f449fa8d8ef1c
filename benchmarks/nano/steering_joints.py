"""The joints that a segment was made under, read from its run folder."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from pokora_anime.provenance.run_layout import array_name
from pokora_anime.provenance.stage_records import Segment
from pokora_anime.schema.settings import VideoConfig
from pokora_anime.stages.control.joint_tracks import smoothed
from pokora_anime.stages.run_context import RunContext


def steering(segment: Segment, config: VideoConfig, context: RunContext) -> Iterator[NDArray[np.float32]]:
    """The joints [frames,18,3] that each frame of a segment was made under, if there are any."""
    for parent in segment.node.parents:
        path = context.folder.path / array_name("draft_maps", parent)
        if path.exists():
            yield smoothed(load_file(path)["pose"].astype(np.float32), config.control.draft_smooth)
        path = context.folder.path / array_name("choreography", parent)
        if path.exists():
            joints = load_file(path)["pose"].astype(np.float32)
            frames = segment.start + np.arange(segment.latents.shape[1])
            yield joints[frames % len(joints) if config.motion.loop else np.minimum(frames, len(joints) - 1)]
