"""The poses of a whole clip, planned from its words for whom the keyframe shows."""

from __future__ import annotations

import sys

import numpy as np
import numpy.typing as npt

from pokora_anime.choreography import (
    action_words,
    actions,
    body,
    choreographer,
    front_view,
    pose_plan,
    skeleton,
)
from pokora_anime.errors import MachineError
from pokora_anime.media import openpose_map
from pokora_anime.networks.extraction import extractors, vitpose
from pokora_anime.prompt.prompt_syntax import stops
from pokora_anime.provenance.code_hash import code_hash
from pokora_anime.provenance.environment import environment
from pokora_anime.provenance.node import Node
from pokora_anime.provenance.run_folder import Arrays
from pokora_anime.provenance.run_layout import CHOREOGRAPHY, REPORTS
from pokora_anime.provenance.stage_records import ControlTrack, Keyframe, Posed, Prompt
from pokora_anime.schema.settings import Family, VideoConfig
from pokora_anime.stages.cached_stage import cached
from pokora_anime.stages.control import control_maps, map_fading
from pokora_anime.stages.run_context import RunContext
from pokora_anime.system.files.atomic_files import writing
from pokora_anime.system.terminal.progress import KEPT
from pokora_anime.timeline import choreography_plan, frame_timing, segment_plan
from pokora_anime.timeline.effects import accents
from pokora_anime.timeline.frame_timing import frames_generated

ROLE = "choreographer"
FILM_SIDE = 192
NOBODY = "nobody was found in the keyframe: it is drawn again, in the first of the poses planned"
# Half the width of limbs that the SDXL pose ControlNets were trained on, by the longer side from which on.
_WIDTHS = ((1000, 12.0), (500, 8.0), (0, 4.0))


def plan(text: Prompt, keyframe: Keyframe, config: VideoConfig, context: RunContext) -> Node:
    """Plans the clip's joints float32 [frames,18,3], stored under their node beside those of the keyframe.

    The first pose is the keyframe's, or where nobody is found that of a figure in its middle. It is computed
    on the CPU in float32 on every machine.
    """
    context.progress.stage("choreography", total=1)
    node = _node(text, keyframe, config, context)
    stage = cached(node, lambda: _planned(keyframe, config, context), context)
    context.progress.step(f"choreography, {KEPT}" if stage.kept else "choreography")
    return stage.node


def _planned(keyframe: Keyframe, config: VideoConfig, context: RunContext) -> Arrays:
    """The joints `pose` of all frames and those of the keyframe's figure."""
    size = (config.base.height, config.base.width)
    seen = np.asarray(context.models.pose_extractor()(keyframe.image), np.float32)
    figure = skeleton.read(seen) or skeleton.default_figure(size)
    order = pose_plan.Order(
        stops=stops(config.shot.prompt),
        frames=choreography_plan.frames(config),
        fps=config.shot.fps,
        seed=config.seed,
        loop=config.motion.loop,
        front=choreography_plan.from_front(config),
        clock=accents.clock(config.shot, choreography_plan.frames(config)) if accents.on(config.shot) else (),
        turns=accents.turns(config.shot),
    )
    joints = pose_plan.plan(context.models.choreographer(), order, figure, size)
    return {"pose": joints, "figure": seen}


def opening(node: Node, config: VideoConfig, context: RunContext) -> ControlTrack | None:
    """The first pose's map, uint8 [height, width, 3], under which the keyframe is drawn again; None where
    it stays.

    Raises MachineError SYS-IO if the poses are gone.
    """
    stored = _stored(node, context)
    if not (choreography_plan.redraws(config) or shows_nobody(node, context)):
        return None
    size = (config.base.height, config.base.width)
    found = control_maps.pose_map(stored["pose"][0].astype(np.float32), size, half_width(config))
    return ControlTrack(maps={"pose": control_maps.black_for_nobody(found, size)}, notes=(), node=node)


def shows_nobody(node: Node, context: RunContext) -> bool:
    """Whether no figure was read in the keyframe. Raises MachineError SYS-IO if the poses are gone."""
    return skeleton.read(joints_seen(node, context)) is None


def joints_seen(node: Node, context: RunContext) -> npt.NDArray[np.float32]:
    """The joints [18,3] that were read in the keyframe. Raises MachineError SYS-IO if they are gone."""
    return _stored(node, context)["figure"].astype(np.float32)


def _stored(node: Node, context: RunContext) -> Arrays:
    stored = context.folder.load(node)
    if stored is None:
        raise MachineError("SYS-IO", "the choreography changed on the disk while the clip was rendered")
    return stored


def track(
    node: Node, index: int, still: ControlTrack | None, config: VideoConfig, context: RunContext
) -> ControlTrack:
    """The pose maps of a segment's frames, uint8 [frames, height, width, 3], of the poses read back.

    Frames past a loop are its first ones; past the end of another clip the last pose is held. Maps of the
    keyframe (`still`) are there too and fade, because she moves on from there. Raises MachineError SYS-IO if
    the poses are gone.
    """
    joints = _stored(node, context)["pose"].astype(np.float32)
    span = segment_plan.of(config, frames_generated(config))[index]
    count = segment_plan.drawn(span, config)
    frames = choreography_plan.planned(span.start, count, len(joints), config)
    size = (config.base.height, config.base.width)
    wide = half_width(config)
    found = [control_maps.pose_map(joints[frame], size, wide) for frame in frames]
    maps = {"pose": np.stack([control_maps.black_for_nobody(one, size) for one in found])}
    posed = of_frames(joints, span.start, span.frames, config)
    if still is None:
        return ControlTrack(maps=maps, notes=(), node=node, posed=posed)
    fades = map_fading.faded(span.start, count, config.control.fade_frames, config.control.fade_floor)
    return ControlTrack(
        maps={**maps, **still.maps},
        notes=(),
        node=node,
        fading=dict.fromkeys(still.maps, fades),
        beside=still,
        posed=posed,
    )


def of_frames(joints: npt.NDArray[np.float32], first: int, count: int, config: VideoConfig) -> Posed | None:
    """The planned joints [frames,18,3] of `count` frames of the clip, and the keyframe's; None where the
    prompt travels to another look."""
    if not choreography_plan.same_look(config):
        return None
    return Posed(
        joints=joints[choreography_plan.planned(first, count, len(joints), config)], keyframe=joints[0]
    )


def show(node: Node, config: VideoConfig, context: RunContext) -> None:
    """Writes the planned poses as a small animated picture into the run's reports; nothing depends on it."""
    from PIL import Image as Pictures

    stored = context.folder.load(node)
    path = context.folder.path / REPORTS / CHOREOGRAPHY
    if stored is None or path.exists():
        return
    share = FILM_SIDE / max(config.base.width, config.base.height)
    joints = stored["pose"].astype(np.float32) * np.array([share, share, 1], np.float32)
    size = (round(config.base.height * share), round(config.base.width * share))
    drawn = [openpose_map.openpose_map(one, FILM_SIDE)[: size[0], : size[1]] for one in joints]
    first, *others = [Pictures.fromarray(np.ascontiguousarray(one)) for one in drawn]
    pace = round(1000 / config.shot.fps)
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        first.save(path, save_all=True, append_images=others, duration=pace, loop=0, quality=80)


def half_width(config: VideoConfig) -> float | None:
    """Half the width of limbs that the base's pose ControlNet knows; None: as controlnet_aux draws them."""
    if config.base.family is not Family.sdxl:
        return None
    longer = max(config.base.width, config.base.height)
    return next(width for side, width in _WIDTHS if longer >= side)


def _node(text: Prompt, keyframe: Keyframe, config: VideoConfig, context: RunContext) -> Node:
    modules = (body, front_view, actions, choreographer, pose_plan, skeleton, action_words)
    return Node.after(
        [text.node, keyframe.node],
        "choreography",
        {
            "size": [config.base.width, config.base.height],
            **choreography_plan.recorded(config),
            **accents.recorded(config.shot),
        },
        weights=context.models.weights_hash(ROLE) | context.models.weights_hash("pose_extractor"),
        code=code_hash(
            sys.modules[__name__],
            accents,
            choreography_plan,
            control_maps,
            map_fading,
            *modules,
            extractors,
            frame_timing,
            openpose_map,
            segment_plan,
            vitpose,
        ),
        environment=environment(context),
    )
