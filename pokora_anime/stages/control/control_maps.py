"""Control maps read out of the keyframe, which the base itself generated."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pokora_anime.catalogue.needed_weights import control_rows
from pokora_anime.media import openpose_map
from pokora_anime.networks.extraction import extractors, vitpose
from pokora_anime.provenance.code_hash import code_hash
from pokora_anime.provenance.environment import environment
from pokora_anime.provenance.node import Node
from pokora_anime.provenance.run_folder import Arrays
from pokora_anime.provenance.stage_records import ControlTrack, Image, Keyframe
from pokora_anime.schema.settings import ControlKind, VideoConfig
from pokora_anime.stages.run_context import RunContext
from pokora_anime.timeline import choreography_plan, frame_timing

NOSE, NECK, RIGHT_SHOULDER, LEFT_SHOULDER = 0, 1, 2, 5
CONFIDENT = 0.5  # also the threshold under which the OpenPose map leaves a joint out
CANNY_LOW, CANNY_HIGH = 100, 200  # what the ControlNets were trained with
NO_POSE = "nobody was found in the keyframe: going on without the pose map"


@dataclass(frozen=True, slots=True)
class NobodyFound:
    """The keyframe shows nobody whose pose could be read: another one should be tried."""

    joints: int


def extract(
    keyframe: Keyframe, config: VideoConfig, context: RunContext, *, last_attempt: bool
) -> ControlTrack | NobodyFound:
    """The maps of `config.control.kinds`, uint8 [H, W, 3] at the base's frame size; planned ones aside.

    With nobody to be found, NobodyFound, or on the last attempt the other maps and a note.
    Raises ConfigError CFG-CONTROL for a kind that the base has no ControlNet for.
    """
    kinds = choreography_plan.read_kinds(config)
    control_rows(kinds, config.base.family, config.control.network)
    context.progress.stage("control", total=len(kinds))
    node = _node(keyframe, kinds, config, context, last_attempt)
    maps = context.folder.load(node)
    if maps is None:
        maps = Arrays()
        for kind in kinds:
            found = read_map(kind, keyframe.image, config, context)
            context.progress.step(kind.value)
            if not isinstance(found, NobodyFound):
                maps[kind.value] = found
            elif not last_attempt:
                return found
        node = context.folder.save(node, maps)
    else:
        node = context.folder.recorded(node)
    notes = [NO_POSE] if ControlKind.pose in kinds and "pose" not in maps else []
    for note in notes:
        context.progress.note(note)
    for kind, control_map in maps.items():
        context.folder.write_image(f"control_{kind}.png", control_map, node, kind)
    return ControlTrack(maps=maps, notes=tuple(notes), node=node)


def kinds_of(config: VideoConfig) -> list[ControlKind]:
    """The kinds of maps that a clip is made under, in the order in which they are read."""
    return sorted(set(config.control.kinds), key=lambda kind: kind.value)


def extractor_weights(kinds: Sequence[ControlKind], context: RunContext) -> dict[str, str]:
    """Hashes of the extractors' files by role; edges need none."""
    found: dict[str, str] = {}
    for kind in kinds:
        if kind is not ControlKind.canny:
            found |= context.models.weights_hash(f"{kind.value}_extractor")
    return found


def black_for_nobody(found: Image | NobodyFound, size: tuple[int, int]) -> Image:
    """A map as it was read, or one of the size (height, width) that shows nothing."""
    return np.zeros((*size, 3), np.uint8) if isinstance(found, NobodyFound) else found


def read_map(
    kind: ControlKind, picture: Image, config: VideoConfig, context: RunContext
) -> Image | NobodyFound:
    """The map of one kind in a picture, uint8 [H, W, 3] at the base's frame size."""
    size = (config.base.height, config.base.width)
    if kind is ControlKind.pose:
        return pose_map(context.models.pose_extractor()(picture), size)
    if kind is ControlKind.depth:
        return depth_map(context.models.depth_extractor()(picture), size)
    if kind is ControlKind.lineart:
        return scaled(context.models.lineart_extractor()(picture), size)
    return canny_map(picture, size)


def pose_map(
    joints: NDArray[np.float32], size: tuple[int, int], half_width: float | None = None
) -> Image | NobodyFound:
    """The OpenPose picture of 18 joints in pixels; NobodyFound without a head and both shoulders."""
    seen = joints[:, 2] >= CONFIDENT
    if not (seen[[NOSE, NECK]].any() and seen[[RIGHT_SHOULDER, LEFT_SHOULDER]].all()):
        return NobodyFound(int(seen.sum()))
    height, width = size
    square = openpose_map.openpose_map(joints, max(size), half_width)
    return np.ascontiguousarray(square[:height, :width])


def depth_map(depth: NDArray[np.float32], size: tuple[int, int]) -> Image:
    """Relative depth [h, w] (larger is nearer) as a grey map: 0 the farthest, 255 the nearest point."""
    return np.repeat(depth_maps([depth], size)[0][:, :, None], 3, axis=2)


def depth_maps(depths: Sequence[NDArray[np.float32]], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Relative depths [h, w] as grey maps of one range, 255 being the nearest point of all.

    A range for each frame would make the maps flicker.
    """
    height, width = size
    low, high = min(float(one.min()) for one in depths), max(float(one.max()) for one in depths)
    spread = max(high - low, np.finfo(np.float32).tiny)
    grey: list[Image] = []
    for one in depths:
        shares = ((one - low) / spread).astype(np.float32)
        resized = cv2.resize(shares, (width, height), interpolation=cv2.INTER_LINEAR)
        grey.append(np.rint(np.asarray(resized, np.float32) * 255).astype(np.uint8))
    return np.stack(grey)


def canny_map(picture: Image, size: tuple[int, int]) -> Image:
    """White edges on black (Canny 1986), which need no weights."""
    edges = cv2.Canny(scaled(picture, size), CANNY_LOW, CANNY_HIGH)
    return np.repeat(np.asarray(edges, np.uint8)[:, :, None], 3, axis=2)


def scaled(picture: Image, size: tuple[int, int]) -> Image:
    """A picture at the frame's size (height, width)."""
    height, width = size
    if picture.shape[:2] == size:
        return picture
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _node(
    keyframe: Keyframe, kinds: list[ControlKind], config: VideoConfig, context: RunContext, last_attempt: bool
) -> Node:
    return Node.after(
        [keyframe.node],
        "control",
        {
            "kinds": [kind.value for kind in kinds],
            "size": [config.base.width, config.base.height],
            "last_attempt": last_attempt,
        },
        weights=extractor_weights(kinds, context),
        code=code_hash(
            sys.modules[__name__], choreography_plan, frame_timing, extractors, openpose_map, vitpose
        ),
        environment=environment(context),
    )
