"""Frames as they are shown: between generated ones by optical flow, and calmed along it. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from pokora_anime.live.display.frame_buffer import Frame
from pokora_anime.provenance.stage_records import Image
from pokora_anime.stages.delivery.interpolate import Flow, FramePair, make_flow, seen_in_both, warp

JPEG_QUALITY = 88
FLOW_SIDE = 128  # pixels of the shorter side that flow is computed at


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two neighbouring frames as they were generated, what lies between them, and both calmed."""

    before: Frame
    after: Frame
    between: FramePair
    calm: tuple[Image, Image]


class ShownFrames:
    """Draws what is shown at a position between two generated frames.

    Flow is computed once a pair, on small pictures, and moves the large ones. `smoothing` is the share of the
    frame before, moved to where it went, in each generated frame as it is shown. That calms what flickers,
    and what changes comes the later the larger it is.
    """

    def __init__(self, smoothing: float) -> None:
        self._smoothing, self._flow = smoothing, make_flow()
        self._pair: _Pair | None = None

    def at(self, before: Frame, after: Frame, share: float) -> Image:
        """The frame at `share` of the way from one to the other: uint8 [height,width,3]."""
        if after.number == before.number:
            return self._calm_before(before)
        pair = self._pair
        if pair is None or pair.before.image is not before.image or pair.after.image is not after.image:
            pair = self._pair = self._paired(before, after)
        return pair.calm[0] if share <= 0 else pair.between.at(share)

    def _calm_before(self, frame: Frame) -> Image:
        """The frame as it was calmed, where it stood in the pair before."""
        if self._pair is not None:
            for known, calm in zip((self._pair.before, self._pair.after), self._pair.calm, strict=True):
                if known.image is frame.image:
                    return calm
        return frame.image

    def _paired(self, before: Frame, after: Frame) -> _Pair:
        small, later = _small(before.image), _small(after.image)
        calm = [self._calm_before(before)]
        between = _Between(small, later, self._flow, larger=lambda one: calm[one is later])
        calm.append(self._mixed(after.image, calm[0], *between.flows))
        return _Pair(before, after, between, (calm[0], calm[1]))

    def _mixed(self, image: Image, last: Image, forth: Flow, back: Flow) -> Image:
        """A frame with its share of the one before, whose flows to it and back are given."""
        if not self._smoothing or last.shape != image.shape:
            return image
        size = (image.shape[1], image.shape[0])
        way = np.asarray(cv2.resize(back * np.float32(size[0] / back.shape[1]), size), np.float32)
        moved = warp(last, way, cv2.INTER_CUBIC)
        share = cv2.resize(self._smoothing * seen_in_both(back, forth), size)
        return np.asarray(cv2.blendLinear(image, moved, 1 - share, share), np.uint8)


class _Between(FramePair):
    @property
    def flows(self) -> tuple[Flow, Flow]:
        """From the first frame to the second, and back."""
        return self._flows


def _small(image: Image) -> Image:
    height, width = image.shape[:2]
    cell = max(2, min(height, width) // FLOW_SIDE)  # a pair of equal sizes would move the small ones
    return np.asarray(
        cv2.resize(image, (width // cell, height // cell), interpolation=cv2.INTER_AREA), np.uint8
    )


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
