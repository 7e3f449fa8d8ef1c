"""Frames as they are shown: between generated ones by optical flow, and calmed along it. Torch-free."""

from __future__ import annotations

import cv2
import numpy as np

from pokora_anime.live.display.frame_buffer import Frame
from pokora_anime.provenance.stage_records import Image
from pokora_anime.stages.delivery.interpolate import FramePair, flow_between, make_flow, seen_in_both, warp

JPEG_QUALITY = 88


class ShownFrames:
    """Draws what is shown at a position between two generated frames.

    `smoothing` is the share of the frame before, moved to where it went, in each generated frame as it is
    shown. That calms what flickers, and what changes comes the later the larger it is.
    """

    def __init__(self, smoothing: float) -> None:
        self._smoothing, self._flow = smoothing, make_flow()
        self._calm: dict[int, tuple[Image, Image]] = {}  # generated frames by number, and calmed
        self._pair: tuple[Image, Image, FramePair] | None = None

    def at(self, before: Frame, after: Frame, share: float) -> Image:
        """The frame at `share` of the way from one to the other: uint8 [height,width,3]."""
        here = self._calmed(before, None)
        if after.number == before.number or share <= 0:
            return here
        there = self._calmed(after, here)
        if self._pair is None or self._pair[0] is not here or self._pair[1] is not there:
            self._pair = (here, there, FramePair(here, there, self._flow))
        return self._pair[2].at(share)

    def _calmed(self, frame: Frame, last: Image | None) -> Image:
        known = self._calm.get(frame.number)
        if known is not None and known[0] is frame.image:
            return known[1]
        image = frame.image
        if last is not None and self._smoothing and last.shape == image.shape:
            image = self._mixed(image, last)
        self._calm = {number: one for number, one in self._calm.items() if number >= frame.number - 2}
        self._calm[frame.number] = (frame.image, image)
        return image

    def _mixed(self, image: Image, last: Image) -> Image:
        back, forth = flow_between(image, last, self._flow)
        share = self._smoothing * seen_in_both(back, forth)[..., None]
        moved = warp(last, back).astype(np.float32)
        return np.rint(image + share * (moved - image)).astype(np.uint8)


def jpeg(image: Image) -> bytes:
    """A frame as a JPEG."""
    made, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    assert made
    return data.tobytes()


def png(image: Image) -> bytes:
    """A frame as a PNG."""
    made, data = cv2.imencode(".png", image[..., ::-1])
    assert made
    return data.tobytes()
