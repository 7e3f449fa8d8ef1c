"""A look: what is asked for as embeddings, and the keyframe that shows it in a known pose."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pokora_anime.choreography import pose_plan, skeleton
from pokora_anime.choreography.pose_plan import Dance
from pokora_anime.live.live_settings import KEYFRAME_STEPS
from pokora_anime.prompt.prompt_syntax import stops
from pokora_anime.provenance.run_folder import RunFolder
from pokora_anime.provenance.stage_records import ControlTrack, Noise, Posed, Prompt
from pokora_anime.render.pipeline import posed_keyframe
from pokora_anime.schema.settings import VideoConfig
from pokora_anime.stages.control import choreography_stage, control_maps, controlnets
from pokora_anime.stages.motion import pose_start
from pokora_anime.stages.picture import keyframe
from pokora_anime.stages.picture.initial_noise import CHANNELS
from pokora_anime.stages.picture.keyframe import Beside
from pokora_anime.stages.run_context import RunContext
from pokora_anime.stages.text import prompt_embeddings
from pokora_anime.timeline import choreography_plan

T = TypeVar("T")
Joints = npt.NDArray[np.float32]  # [frames,18,3] or [18,3], pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """`prompt` as embeddings, `latent` [C,H,W] of a picture of it, and the joints [18,3] of who is in it."""

    prompt: Prompt
    latent: Tensor
    joints: Joints

    def in_poses(self, joints: Joints) -> Tensor:
        """The latent with its figure in other poses [frames,18,3]: float32 [C,frames,H,W]."""
        return pose_start.posed(self.latent, Posed(joints=joints, keyframe=self.joints), len(joints))

    def worded(self, prompt: Prompt) -> Look:
        """The same look with other words, which name another action alone."""
        return replace(self, prompt=prompt)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """How a take begins: its look, and the dance whose first pose it shows."""

    look: Look
    dance: Dance


class LookMaker:
    """Makes looks by the stages of a clip, in a folder that goes with each of them."""

    def __init__(self, context: RunContext, folder: Path) -> None:
        self._context, self._folder, self._count = context, folder, 0

    def words(self, config: VideoConfig) -> Prompt:
        """What is asked for as embeddings."""
        return self._within(lambda context: prompt_embeddings.encode(config.shot, config, context))

    def opening(self, config: VideoConfig) -> Opening:
        """The look and the dance that a clip of this config begins with: those of its own run, bit by bit."""
        return self._within(lambda context: _opened(config, context))

    def drawn(self, prompt: Prompt, joints: Joints, config: VideoConfig) -> Look:
        """A look drawn in a pose [18,3], in few steps."""
        few = replace(config, speed=replace(config.speed, steps=KEYFRAME_STEPS))
        context = replace(self._context, seed=config.seed)
        size = (config.base.height, config.base.width)
        drawn = control_maps.pose_map(joints, size, choreography_stage.half_width(config))
        track = ControlTrack(
            maps={"pose": control_maps.black_for_nobody(drawn, size)}, notes=(), node=prompt.node
        )
        shape = (CHANNELS, *context.models.latent_size)
        noise = Noise(
            values=torch.randn(shape, generator=context.generator("live", "look")), node=prompt.node
        )
        with torch.inference_mode(), context.autocast():
            beside = Beside(controls=controlnets.of(track, few, context))
            latent = keyframe.denoise(
                prompt, noise, few, context, context.generator("live", "look", "steps"), beside=beside
            )
        return Look(prompt=prompt, latent=latent, joints=joints)

    def _within(self, make: Callable[[RunContext], T]) -> T:
        """What is made in a new folder, which is removed: a session may last for hours."""
        self._count += 1
        place = self._folder / f"look-{self._count}"
        with RunFolder(place, "live") as folder:
            made = make(replace(self._context, folder=folder))
        shutil.rmtree(place, ignore_errors=True)
        return made


def _opened(config: VideoConfig, context: RunContext) -> Opening:
    context = replace(context, seed=config.seed)
    prompt = prompt_embeddings.encode(config.shot, config, context)
    first, node, _ = posed_keyframe(prompt, config, context)
    dance = _dance(choreography_stage.joints_seen(node, context), config, context)
    pose = dance.joints(0, 1, (config.base.height, config.base.width))[0]
    return Opening(look=Look(prompt=prompt, latent=first.latent, joints=pose), dance=dance)


def _dance(seen: Joints, config: VideoConfig, context: RunContext) -> Dance:
    size = (config.base.height, config.base.width)
    figure = skeleton.read(seen) or skeleton.default_figure(size)
    order = pose_plan.Order(
        stops=stops(config.shot.prompt)[:1],
        frames=1,
        fps=config.shot.fps,
        seed=config.seed,
        front=choreography_plan.from_front(config),
    )
    return Dance(context.models.choreographer(), order, figure)
