"""Noise, feedback, steps and smoothing of a live clip: what flickers, and how soon a word is followed.

Not in real time: each row is the same script (waving, then dancing) in one process, so that only the setting
differs. Flicker is what a pixel changes along its motion from one shown frame to the next, in grey levels;
limbs in place are wrists and elbows within a tenth of the frame's side of the planned ones, as the pose
extractor reads them, over the clip and in the first segment after the new word.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, log
from pathlib import Path

import numpy as np
from torch import Tensor

from pokora_anime.config.compose import compose
from pokora_anime.live.display.frame_buffer import Frame
from pokora_anime.live.display.shown_frames import ShownFrames
from pokora_anime.live.generation import live_context
from pokora_anime.live.generation.live_loop import LiveLoop
from pokora_anime.live.generation.look import Joints, LookMaker
from pokora_anime.live.generation.segment_engine import Decoder, SegmentEngine, SegmentOrder
from pokora_anime.live.live_settings import LiveConfig, LiveRuntime
from pokora_anime.live.typed.asked import Asked
from pokora_anime.provenance.run_folder import RunFolder
from pokora_anime.provenance.stage_records import Image
from pokora_anime.quality.metrics.optical_flow import DisFlow, warped
from pokora_anime.schema.settings import VideoConfig
from pokora_anime.stages.run_context import RunContext

PROMPT = "1girl, blue hair, twintails, white dress, {}, cherry blossoms"
TURN, SEGMENTS = 2, 4  # the segment before which another word is typed, of how many
LIMBS = (3, 4, 6, 7)
_WITHIN = 0.1
PLAIN = LiveConfig(seed=1, fixed_noise=0.5, smoothing=0.0, runtime=LiveRuntime.torch)
SETTINGS = (
    PLAIN,
    *(replace(PLAIN, steps=steps) for steps in (1, 3, 4)),
    *(replace(PLAIN, fixed_noise=share) for share in (0.0, 0.25, 0.75, 1.0)),
    *(replace(PLAIN, latent_feedback=share) for share in (0.25, 0.5, 1.0)),
)
SMOOTHINGS = (0.15, 0.3, 0.45, 0.6, 0.75)


@dataclass(slots=True)
class _Script:
    """An inbox that asks for another word once, and takes what is made as shown."""

    turn: Asked
    shown: int = 0
    made: int = 0
    frames: dict[int, Image] = field(default_factory=dict[int, Image])

    @property
    def ended(self) -> bool:
        return self.made >= SEGMENTS

    @property
    def waits(self) -> bool:
        return self.made == TURN and self.turn.number > 0

    def take(self) -> Asked | None:
        if not self.waits:
            return None
        found, self.turn = self.turn, replace(self.turn, number=0)
        return found

    def wait(self, seconds: float) -> None:
        raise AssertionError(f"nothing is waited for, least of all {seconds} s")

    def tell(self, told: Mapping[str, object], images: Sequence[Image]) -> None:
        if images:
            self.frames |= dict(enumerate(images, int(str(told["start"]))))
            self.made += 1
            self.shown = max(self.frames)


class _Watched(SegmentEngine):
    """The engine, with the poses that it was given by the frame."""

    poses: dict[int, Joints]

    def latents(self, order: SegmentOrder, on_step: Callable[[], None] = lambda: None) -> Tensor:
        """As its parent's."""
        self.poses |= dict(enumerate(order.joints, order.start))
        return super().latents(order, on_step)


def rows() -> Iterator[dict[str, object]]:
    """A row a setting; smoothing on the frames of the plain one."""
    with tempfile.TemporaryDirectory() as place, RunFolder(Path(place) / "session", "live") as folder:
        first = _config("waving")
        context = live_context.opened(first, folder, print)
        plain: list[Image] = []
        for live in SETTINGS:
            begun = time.process_time()
            frames, poses = _clip(live, first, context, Path(place))
            seconds = (time.process_time() - begun) / len(frames)
            plain = plain or frames
            yield _told(_named(live), frames, _placed(frames, poses, context), seconds)
        for share in SMOOTHINGS:
            yield _told(f"smoothing={share:g}", _smoothed(plain, share), (None, None), None, share)


def _clip(
    live: LiveConfig, first: VideoConfig, context: RunContext, place: Path
) -> tuple[list[Image], dict[int, Joints]]:
    engine = _Watched(context, first, live)
    engine.poses = {}
    inbox = _Script(Asked(number=1, config=_config("dancing")))
    loop = LiveLoop(engine, LookMaker(context, place), Decoder(context), live, inbox.tell)
    loop.run(Asked(number=0, config=first), inbox)
    return [inbox.frames[number] for number in sorted(inbox.frames)], engine.poses


def _placed(
    frames: Sequence[Image], poses: Mapping[int, Joints], context: RunContext
) -> tuple[float | None, float | None]:
    """The share of limb ends in place: of all frames, and of the first ones after the new word."""
    read = context.models.pose_extractor()
    hits: list[float] = []
    for number, frame in enumerate(frames):
        seen, planned = np.asarray(read(frame)), poses[number]
        wanted = [limb for limb in LIMBS if planned[limb, 2] > 0.5]
        near = [
            seen[limb, 2] > 0.3
            and float(np.linalg.norm(seen[limb, :2] - planned[limb, :2])) < _WITHIN * frame.shape[0]
            for limb in wanted
        ]
        hits.append(float(np.mean(near)) if near else float("nan"))
    first = PLAIN.frames + (PLAIN.frames - 4) * (TURN - 1)
    return float(np.nanmean(hits)), float(np.nanmean(hits[first : first + 12]))


def _smoothed(frames: Sequence[Image], share: float) -> list[Image]:
    draws = ShownFrames(share)
    numbered = [Frame(number=number, image=image, words=0) for number, image in enumerate(frames)]
    shown: list[Image] = []
    for one, other in zip(numbered, numbered[1:], strict=False):
        draws.at(one, other, 0.5)  # what is between them calms the later one
        shown.append(draws.at(one, other, 0.0))
    return shown


def _told(
    setting: str,
    frames: Sequence[Image],
    placed: tuple[float | None, float | None],
    seconds: float | None,
    smoothing: float = 0.0,
) -> dict[str, object]:
    flicker, moved = _flicker(frames)
    found: dict[str, object] = {
        "setting": setting,
        "flicker": round(flicker, 2),
        "motion, px": round(moved, 2),
        "limbs in place": _percent(placed[0]),
        "after the word": _percent(placed[1]),
        "frames until 90 % of a change": ceil(log(0.1) / log(smoothing)) if smoothing else 1,
        "processor seconds a frame": "" if seconds is None else round(seconds, 3),
    }
    print(json.dumps(found), flush=True)
    return found


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"


def _flicker(frames: Sequence[Image]) -> tuple[float, float]:
    """Grey levels that pixels change along their motion, and how far they move, a frame."""
    flow, changes, ways = DisFlow(), list[float](), list[float]()
    for one, other in zip(frames, frames[1:], strict=False):
        forward, _ = flow(one, other)
        changes.append(float(np.abs(warped(other, forward).astype(float) - one).mean()))
        ways.append(float(np.linalg.norm(forward, axis=-1).mean()))
    return float(np.mean(changes)), float(np.mean(ways))


def _named(live: LiveConfig) -> str:
    told = f"steps={live.steps} fixed_noise={live.fixed_noise:g} latent_feedback={live.latent_feedback:g}"
    return f"{told} (compared with)" if live == PLAIN else told


def _config(action: str) -> VideoConfig:
    words = [f"shot.prompt={PROMPT.format(action)}", f"seed={PLAIN.seed}", "device.threads=1"]
    found = compose("video", words)
    assert isinstance(found, VideoConfig)
    return found
