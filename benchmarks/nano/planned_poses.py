"""What a clip under poses is measured against: the poses themselves, the same drawn, and other actions'."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from pokora_anime.choreography import skeleton
from pokora_anime.choreography.actions import NAMES
from pokora_anime.choreography.choreographer import Choreographer
from pokora_anime.choreography.pose_plan import Order, plan
from pokora_anime.nano.train.posed_clips import STILL_ACTION, figure_of
from pokora_anime.nano.world.draw import Frame
from pokora_anime.nano.world.posed_figure import draw_posed
from pokora_anime.nano.world.scene import Scene
from pokora_anime.provenance.run_layout import array_name
from pokora_anime.provenance.stage_records import Segment
from pokora_anime.schema.settings import VideoConfig
from pokora_anime.stages.control.joint_tracks import smoothed
from pokora_anime.stages.run_context import RunContext

Track = NDArray[np.float32]  # [frames,18,3]: x, y in pixels, presence
FARTHEST = 0.5  # trunks: a joint that is farther off than that is simply elsewhere


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


def drawn_twin(scene: Scene, track: Track, fps: float, size: int) -> list[Frame]:
    """The scene drawn in the poses of a track."""
    still = replace(scene, action=STILL_ACTION, camera="static")
    before = [track[0], *track[:-1]]
    pairs = enumerate(zip(before, track, strict=True))
    return [draw_posed(still, k / fps, now, then, size) for k, (then, now) in pairs]


def tracks_of_actions(
    model: Choreographer, track: Track, seed: int, fps: float, size: int
) -> dict[str, Track]:
    """What would have been planned for the figure of a track, had another action been asked for."""
    figure = figure_of(track[0])
    return {
        name: plan(
            model,
            Order(stops=[(0, f"1girl, {name}")], frames=len(track), fps=fps, seed=seed, front=True),
            figure,
            (size, size),
        )
        for name in NAMES
    }


def nearest_action(found: Track, tracks: Mapping[str, Track]) -> str:
    """The action whose planned joints those found in a clip are nearest to, over all frames."""
    return min(tracks, key=lambda name: distance(found, tracks[name]))


def distance(found: Track, planned: Track) -> float:
    """How far joints are from where they were planned: mean of both's visible ones, in trunks."""
    trunk = np.linalg.norm(planned[:, 1, :2] - planned[:, [8, 11], :2].mean(1), axis=-1)
    seen = (found[..., 2] >= skeleton.SURE) & (planned[..., 2] >= skeleton.SURE)
    apart = np.linalg.norm(found[..., :2] - planned[..., :2], axis=-1) / np.maximum(trunk, 1.0)[:, None]
    return float(np.minimum(apart, FARTHEST)[seen].mean()) if seen.any() else FARTHEST
