"""What a clip of a planned action is measured against: the same poses drawn, and every other action's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pokora_anime.choreography import skeleton
from pokora_anime.choreography.actions import NAMES
from pokora_anime.choreography.choreographer import Choreographer
from pokora_anime.choreography.pose_plan import Order, plan
from pokora_anime.nano.world.draw import Frame
from pokora_anime.nano.world.posed_figure import draw_posed
from pokora_anime.nano.world.scene import Scene

Track = NDArray[np.float32]  # [frames,18,3]: x, y in pixels, presence
FARTHEST = 0.5  # trunks: a joint that is farther off than that is simply elsewhere
STANDING = "standing"  # what a drawn scene does while its poses come from elsewhere


def drawn_twin(scene: Scene, track: Track, fps: float, size: int) -> list[Frame]:
    """The scene drawn in the poses of a track."""
    still = replace(scene, action=STANDING, camera="static")
    before = [track[0], *track[:-1]]
    pairs = enumerate(zip(before, track, strict=True))
    return [draw_posed(still, k / fps, now, then, size) for k, (then, now) in pairs]


def tracks_of_actions(
    model: Choreographer, track: Track, seed: int, fps: float, size: int
) -> dict[str, Track]:
    """What would have been planned for the figure of a track, had another action been asked for."""
    first = track[0].copy()
    first[:, 2] = 1
    figure = skeleton.read(first)
    assert figure is not None
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
