"""The loop that generates: segment after segment, and at each what was typed meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from pokora_anime.choreography.pose_plan import eased
from pokora_anime.live.display.frame_buffer import MOST
from pokora_anime.live.generation.look import Joints, Look, LookMaker
from pokora_anime.live.generation.pacing import Pacing
from pokora_anime.live.generation.segment_engine import Decoder, SegmentEngine, SegmentOrder
from pokora_anime.live.live_settings import FPS, KNOWN, LiveConfig
from pokora_anime.live.typed.asked import Asked
from pokora_anime.provenance.stage_records import Image
from pokora_anime.timeline.choreography_plan import asked_look


class Inbox(Protocol):
    """What the loop is told by others."""

    shown: int  # the frame on the display

    @property
    def ended(self) -> bool:
        """Whether nobody wants frames any more."""
        ...

    def take(self) -> Asked | None:
        """What was asked for last, once."""
        ...

    @property
    def waits(self) -> bool:
        """Whether something is asked for."""
        ...

    def wait(self, seconds: float) -> None:
        """Until something changes, or so long."""
        ...


# Told what happened, with frames where there are any.
Tell = Callable[[Mapping[str, object], list[Image]], None]


class Superseded(Exception):
    """The segment under way is given up: new words have come in time."""


class LiveLoop:
    """A session: its look and dance, the frames so far, and what is told of each segment."""

    def __init__(
        self, engine: SegmentEngine, maker: LookMaker, decoder: Decoder, live: LiveConfig, tell: Tell
    ) -> None:
        self._engine, self._maker, self._decoder = engine, maker, decoder
        self._live, self._tell = live, tell
        self._size = (live.size, live.size)
        self._pacing = Pacing(FPS, live.frames - KNOWN)
        self._latents: dict[int, Tensor] = {}
        self._next = 1  # the first frame that is not made yet: frame 0 is the look's own picture
        self._origin = 0  # the frame that is the dance's first
        self._since = 0  # from which the words hold
        self._words = 0

    def run(self, first: Asked, inbox: Inbox) -> None:
        """Until the inbox has ended."""
        opening = self._maker.opening(first.config)
        self._look, self._dance, self._config = opening.look, opening.dance, first.config
        self._words = first.number
        self._latents[0] = self._look.latent
        self._tell({"take": first.number, "origin": 0}, [])
        while not inbox.ended:
            if not (inbox.waits or self._pacing.due(self._next, inbox.shown)):
                inbox.wait(0.05)
                continue
            try:
                self._turn(inbox)
            except Superseded:
                continue

    def _turn(self, inbox: Inbox) -> None:
        """One segment, with what was asked for before it."""
        asked, began = inbox.take(), time.monotonic()
        if asked is None:
            self._segment(inbox)
        elif asked.take:
            self._begin_take(asked)
        else:
            self._follow(asked, inbox)
        self._pacing.took(time.monotonic() - began)

    def _follow(self, asked: Asked, inbox: Inbox) -> None:
        """Words that hold from the first frame on that can still be made for them."""
        if asked.config.shot.prompt == self._config.shot.prompt:
            self._words = asked.number  # nothing is asked for that is not there
            return
        begins = self._pacing.begins(self._next, inbox.shown, self._since)
        old, text = self._look, asked.config.shot.prompt
        prompt = self._maker.words(asked.config)
        self._next = self._since = begins
        self._dance.turn(self._next - self._origin + self._dance.ahead - 1, text)
        self._tell(
            {
                "turn": asked.number,
                "frame": self._next - self._origin + self._dance.ahead - 1,
                "from": self._next,
            },
            [],
        )
        alike = asked_look(self._config.shot.prompt) == asked_look(text)
        self._words, self._config = asked.number, asked.config
        if alike:
            self._look = old.worded(prompt)
            self._segment(inbox)
            return
        self._look = self._maker.drawn(prompt, self._poses(self._next, 1)[0], asked.config)
        self._dissolve(old, self._joints(), self._look)

    def _begin_take(self, asked: Asked) -> None:
        """A clip of its own begins after one segment that leads into its first pose and look."""
        opening = self._maker.opening(asked.config)
        known, joints = self._known(), self._joints()
        fresh = len(joints) - known
        share = eased(np.arange(1 - known, fresh + 1) / fresh)[:, None, None]
        into = np.broadcast_to(opening.dance.joints(0, 1, self._size), joints.shape)
        there = np.where(share[..., 0] < 0.5, joints[..., 2], into[..., 2])
        joints = np.concatenate([joints + share * (into - joints), there[..., None]], -1)[..., [0, 1, 3]]
        old, self._look, self._dance = self._look, opening.look, opening.dance
        self._words, self._config = asked.number, asked.config
        self._dissolve(old, joints.astype(np.float32), opening.look)
        self._origin = self._since = self._next
        self._tell({"take": asked.number, "origin": self._origin}, [])

    def _segment(self, inbox: Inbox) -> None:
        """The next frames as the look and the dance have them."""

        def watch() -> None:
            if inbox.ended or (inbox.waits and self._pacing.supersedes(self._next, inbox.shown)):
                raise Superseded

        began = time.monotonic()
        known, joints = self._known(), self._joints()
        made = self._made(joints, self._look, watch)
        first = 0 if self._next == 1 else known  # the keyframe itself is frame 0
        images = self._decoder.frames(made[:, first:], self._look, joints[first:])
        self._hand_over(made[:, known:], images, began, self._next - known + first)

    def _dissolve(self, old: Look, joints: Joints, new: Look) -> None:
        """One segment in which one look passes into another, both in the same poses."""
        began, known = time.monotonic(), self._known()
        before = self._decoder.frames(self._made(joints, old)[:, known:], old, joints[known:])
        made = self._made(joints, new, known=False)[:, known:]
        after = self._decoder.frames(made, new, joints[known:])
        shares = eased(np.arange(1, len(after) + 1) / len(after))
        images = [
            np.rint(one + share * (other.astype(np.float32) - one)).astype(np.uint8)
            for one, other, share in zip(before, after, shares, strict=True)
        ]
        self._hand_over(made, images, began, self._next)

    def _hand_over(self, fresh_CFHW: Tensor, images: list[Image], began: float, start: int) -> None:
        for index, latent in enumerate(fresh_CFHW.unbind(1)):
            self._latents[self._next + index] = latent.clone()
        self._next += fresh_CFHW.shape[1]
        for number in [one for one in self._latents if one < self._next - MOST or one >= self._next]:
            del self._latents[number]
        seconds = time.monotonic() - began
        self._tell({"start": start, "words": self._words, "seconds": round(seconds, 3)}, images)

    def _made(
        self, joints: Joints, look: Look, on_step: Callable[[], None] = lambda: None, *, known: bool = True
    ) -> Tensor:
        count = self._known() if known else 0
        kept = [self._latents[self._next - count + index] for index in range(count)]
        start = self._next - self._known()
        order = SegmentOrder(
            start=start, joints=joints, known=torch.stack(kept, 1) if kept else None, look=look
        )
        return self._engine.latents(order, on_step)

    def _known(self) -> int:
        """How many frames before the next one are there."""
        return next((count for count in range(KNOWN) if self._next - count - 1 not in self._latents), KNOWN)

    def _joints(self) -> Joints:
        known = self._known()
        return self._poses(self._next - known, self._live.frames)

    def _poses(self, first: int, count: int) -> Joints:
        """The poses of frames; before the dance's beginning its first one."""
        begin = first - self._origin
        lead = min(max(-begin, 0), count)
        found = self._dance.joints(max(begin, 0), max(count - lead, 1), self._size)
        return np.concatenate([np.repeat(found[:1], lead, 0), found[: count - lead]])
