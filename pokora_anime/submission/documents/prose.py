"""The technical description, in sentences that follow from the config that was rendered."""

from __future__ import annotations

from collections.abc import Iterator

from pokora_anime.catalogue import finishing_networks
from pokora_anime.provenance.operations import MOTION
from pokora_anime.provenance.run_reading import Reading
from pokora_anime.schema.settings import Anchor, Interpolation, RunConfig, Sampler, Upscale, VideoConfig
from pokora_anime.submission.documents.checkpoint_list import Checkpoint
from pokora_anime.timeline import choreography_plan, draft_plan, hires_plan, join_plan, shot_plan
from pokora_anime.timeline.camera_choice import words
from pokora_anime.timeline.frame_timing import moving

SAMPLERS = {
    Sampler.dpmpp_2m_karras: "DPM++ 2M with Karras noise levels",
    Sampler.lcm: "LCM",
    Sampler.euler_trailing: "Euler, counted back from the noisiest",
}
BASES = {
    "sdxl": "SDXL 1.0",
    "sd2": "Stable Diffusion 2",
    "nano": "nano, a small family of the shape of SDXL",
}

ANCHORS = {
    Anchor.none: "",
    Anchor.frame: " The keyframe is one more known frame of what is drawn together.",
    Anchor.attention: " Every frame also attends to the keyframe, so that the character stays the same.",
    Anchor.both: " The keyframe is one more known frame of each segment, and every frame attends to it.",
}
INTERPOLATIONS = {
    Interpolation.none: "no interpolation",
    Interpolation.flow: "optical flow",
    Interpolation.rife: "RIFE",
}


def technical(config: RunConfig, reading: Reading, checkpoints: tuple[Checkpoint, ...]) -> list[str]:
    """One paragraph a stage."""
    parts = [_picture(config, checkpoints)]
    if isinstance(config, VideoConfig):
        parts += [*_shots(config), *_control(config), _motion(config, reading), _delivery(config)]
    return [*parts, _proof(reading)]


def _picture(config: RunConfig, checkpoints: tuple[Checkpoint, ...]) -> str:
    base, speed = config.base, config.speed
    styles = [one for one in checkpoints if one.row.kind.value == "style_lora"]
    with_styles = f", with {_listed([one.name for one in styles])}" if styles else ""
    fast = next((one.name for one in checkpoints if one.row.kind.value == "speed_lora"), "")
    return (
        "Nothing but text, a seed and published weights goes in. The prompt is encoded in chunks of "
        f"77 tokens with its weights, and {BASES[base.family.value]} draws at {base.width}×{base.height} "
        f"pixels{with_styles}: {speed.steps} steps of {SAMPLERS[speed.sampler]}, guidance "
        f"{speed.guidance_scale:g}" + (f", {fast}." if fast and speed.lora_role else ".")
    )


def _shots(config: VideoConfig) -> Iterator[str]:
    count = len(shot_plan.scenes(config))
    if count < 2:
        return
    like = (
        " The keyframe of each later shot attends to the first one's while it is drawn, so that the "
        "character stays the same."
        if shot_plan.likened(config)
        else ""
    )
    yield (
        f"The clip is {count} shots with cuts between them, each with words and a camera of its own and made "
        f"as follows; nothing is blended across a cut.{like}"
    )


def _control(config: VideoConfig) -> Iterator[str]:
    control = config.control
    if not control.kinds:
        return
    kinds = [kind.value for kind in control.kinds]
    are, steer = ("are", "steer") if len(kinds) > 1 else ("is", "steers")
    scales = _listed([f"{control.scale[kind]:g}" for kind in kinds if kind in control.scale])
    if draft_plan.wanted(config):
        yield (
            f"The model drafts the clip first, in {draft_plan.settings(config).speed.steps} steps without "
            f"control maps. {_listed(kinds).capitalize()} {are} extracted from each frame of that draft and "
            f"{steer} the same frame of the clip through ControlNet at a weight of {scales}."
        )
        return
    if choreography_plan.wanted(config):
        yield _planned(config)
        return
    if join_plan.count(config):
        yield (
            "Each segment starts from a frame that the model drew: the first one from the keyframe, every "
            "other one from the last frame that it shares with the segment before. "
            f"{_listed(kinds).capitalize()} {are} extracted from that frame and {steer} the motion through "
            f"ControlNet. The weight begins at {scales} and falls to {control.fade_floor:g} of that, within "
            f"{control.fade_frames} frames of the keyframe and within {control.join_frames} of any other "
            "start. So a segment takes up the pose and is then free to move."
        )
        return
    yield (
        f"The keyframe that the model drew is the only source of guidance: {_listed(kinds)} {are} extracted "
        f"from it and {steer} the motion through ControlNet. The weight begins at {scales} and falls to "
        f"{control.fade_floor:g} of that within {control.fade_frames} frames. So the clip takes up the pose "
        "and is then free to move."
    )


def _planned(config: VideoConfig) -> str:
    control = config.control
    told = (
        "A small network of this project's reads the prompt and plans the poses of the whole clip, beginning "
        "with the pose that the keyframe shows; where that shows nobody it is drawn again under the first "
        "pose planned. Drawn as skeletons they steer each frame through ControlNet at a weight of "
        f"{control.scale.get('pose', 1.0):g}."
    )
    if not choreography_plan.read_kinds(config):
        return told
    return (
        f"{told} The keyframe's depth steers beside them, at a weight that begins at "
        f"{control.scale.get('depth', 1.0):g} and falls to {control.fade_floor:g} of that within "
        f"{control.fade_frames} frames."
    )


def _motion(config: VideoConfig, reading: Reading) -> str:
    seen = ANCHORS[config.motion.anchor] if config.keyframe.enabled else ""
    return _chained(config, reading) + seen + (_adapted(config) if shot_plan.adapted(config) else "")


def _adapted(config: VideoConfig) -> str:
    return (
        " An IP-Adapter sees the keyframe that the model drew, as an embedding of it and of no other "
        f"picture, at a scale of {config.keyframe.identity_scale:g}."
    )


def _chained(config: VideoConfig, reading: Reading) -> str:
    motion = config.motion
    segments = sum(node.op == MOTION.name for node in reading.nodes)
    start = "The keyframe's latent is the first known frame. " if config.keyframe.enabled else ""
    carried = "last latent is" if motion.overlap == 1 else f"last {motion.overlap} latents are"
    if segments == 1:
        return (
            f"{start}AnimateDiff moves {motion.frames} frames at a time, and one segment is the whole clip."
        )
    return (
        f"{start}AnimateDiff moves {motion.frames} frames at a time. {segments} segments are chained: the "
        f"{carried} carried into the next one and held at every denoising step, noised to its level. No "
        "pixel goes back into the model."
    )


def _delivery(config: VideoConfig) -> str:
    finish, shot = config.finish, config.shot
    between = ""
    if finish.match_colors and choreography_plan.wanted(config):
        between += (
            " Each part of the figure takes the colours that lay around its place in the keyframe; the "
            "planned poses tell where that was."
        )
    if finish.steady:
        between += (
            " The frames are steadied along their optical flow: paths and colours are smoothed over time."
        )
    if moving(finish) and finish.fps > shot.fps:
        way = INTERPOLATIONS[finish.interpolation]
        rates = f"{shot.fps} generated frames a second to {finish.fps}"
        between += f" {way[0].upper()}{way[1:]} interpolates {rates}."
    again = ""
    if hires_plan.asked(config):
        height, width = hires_plan.frame_size(config)
        again = (
            f"Each segment's latents are then enlarged to {width}×{height} pixels, noised to "
            f"{finish.hires.strength:g} of the schedule and denoised a second time by the same networks. "
        )
    if finish.upscale is Upscale.network:
        between += f" An outside upscaler ({finish.upscaler.model}) repaints every frame."
    if finishing_networks.crisp(config):
        between += (
            " A small network of the base's own family draws the generated frames three times as large."
        )
    if finish.camera.moves:
        between += (
            f" The camera's move ({words(finish.camera)}) is a digital one: a window travels over the frames."
        )
    return (
        f"{again}Frames are decoded {finish.decode_chunk} at a time while the next segment is denoised, so "
        f"memory does not grow with length.{between} The clip is {shot.seconds:g} s of "
        f"{finish.width}×{finish.height} H.264 without sound."
    )


def _proof(reading: Reading) -> str:
    guard = reading.summary.get("guard")
    level = guard.get("level") if isinstance(guard, dict) else None
    network = guard.get("network") if isinstance(guard, dict) else None
    confined = (
        " The rendering process was confined by the kernel to its weights and one folder, without network."
        if (level, network) == ("landlock", "closed")
        else ""
    )
    return (
        f"Each of the {len(reading.nodes)} operations recorded what it was made from, by content. The "
        "record is signed, and any part of it can be computed again from its stored parents."
        f"{confined}"
    )


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
