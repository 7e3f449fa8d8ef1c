"""The numbers that a clip leaves behind while it passes the scorer."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pokora_anime.quality.metrics.frame_pair_metrics import Middle, Pair, Vector

Values = npt.NDArray[np.float64]

TRANSITIONS = (
    "warp_error", "warp_squared", "seen", "color_step", "speed", "fastest", "squared_speed", "content",
)  # fmt: skip
MIDDLES = ("flicker", "quiet_flicker", "ghost", "acceleration", "speeds")


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinPicture:
    """A frame near a join: its index in this clip, how far from the join's first frame, and a JPEG."""

    join: int
    frame: int
    offset: int
    jpeg: bytes


@dataclass(slots=True)
class Series:
    """A value a transition, a middle frame or a frame, in the clip's order."""

    _numbers: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    _vectors: dict[str, list[Vector]] = field(default_factory=dict[str, list[Vector]])

    def add_frame(self, sharpness: float, color: Vector) -> None:
        """A frame's sharpness and mean Lab colour."""
        self._numbers.setdefault("sharpness", []).append(sharpness)
        self._vectors.setdefault("color", []).append(color)

    def add_pair(self, pair: Pair) -> None:
        """The numbers of a transition."""
        for name in TRANSITIONS:
            self._numbers.setdefault(name, []).append(getattr(pair, name))
        self._vectors.setdefault("color_change", []).append(pair.color_change)

    def add_middle(self, middle: Middle) -> None:
        """The numbers of a frame between two others."""
        for name in MIDDLES:
            self._numbers.setdefault(name, []).append(getattr(middle, name))

    def values(self, name: str) -> Values:
        """One number of every transition (frame t to t + 1), middle frame (from frame 1) or frame."""
        return np.asarray(self._numbers.get(name, []), np.float64)

    def vectors(self, name: str) -> Values:
        """Lab vectors [n,3]: `color` of every frame, `color_change` of every transition."""
        return np.asarray(self._vectors.get(name, []), np.float64).reshape(-1, 3)

    @property
    def frames(self) -> int:
        """How many frames there were."""
        return len(self._numbers.get("sharpness", []))
