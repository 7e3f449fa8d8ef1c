"""Figures of how far two arrays lie apart, and what they come to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pokora_anime.provenance.hashing import Json
from pokora_anime.provenance.stage_records import Image
from pokora_anime.verify.verdict import Verdict
from pokora_anime.verify.video.thresholds import Bound, Limit

BLOCK = 8
_ORDER = (Verdict.passed, Verdict.review, Verdict.failed)
Numbers = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """`most` absolute difference, its RMS relative to the stored array's; for pictures PSNR in dB (inf for
    equal ones) and the largest mean difference of an 8x8 block, in grey levels.
    """

    most: float
    rms: float
    psnr: float | None = None
    block: float | None = None

    def within(self, bound: Bound) -> bool:
        """Whether every figure keeps to the bound; NaN never does."""
        near = self.most <= bound.most and self.rms <= bound.rms
        if self.psnr is None or self.block is None:
            return near
        return self.most <= bound.most and self.psnr >= bound.psnr and self.block <= bound.block

    def judge(self, limit: Limit) -> Verdict:
        """What the figures come to under a limit."""
        if self.within(limit.passes):
            return Verdict.passed
        return Verdict.review if self.within(limit.fails) else Verdict.failed

    def to_plain(self) -> dict[str, Json]:
        """The figures as JSON data; equal pictures have no PSNR."""
        told: dict[str, float | None] = {
            "max_abs": self.most,
            "relative_rms": self.rms,
            "psnr": self.psnr,
            "block": self.block,
        }
        return {name: value for name, value in told.items() if value is not None and math.isfinite(value)}

    def line(self) -> str:
        """The figures in words."""
        if self.psnr is None or self.block is None:
            return f"max abs {self.most:.2g}, relative RMS {self.rms:.2g}"
        psnr = "equal" if math.isinf(self.psnr) else f"PSNR {self.psnr:.1f} dB"
        return f"max abs {self.most:.0f}, {psnr}, worst block {self.block:.1f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What came of one part. `exact`: every bit equal; `same`: it had to be, in the same environment.

    `figures` by array or frame, `reasons` why the part does not pass or what is odd about it.
    """

    name: str
    verdict: Verdict
    exact: bool = False
    same: bool = False
    figures: Mapping[str, Figures] = field(default_factory=dict[str, Figures])
    reasons: tuple[str, ...] = ()

    def to_plain(self) -> dict[str, Json]:
        """The outcome as JSON data."""
        return {
            "name": self.name,
            "verdict": self.verdict.value,
            "bit_equal": self.exact,
            "same_environment": self.same,
            "figures": {name: dict[str, Json](one.to_plain()) for name, one in self.figures.items()},
            "reasons": [*self.reasons],
        }


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """FAIL before REVIEW before PASS; PASS for none."""
    return max(verdicts, key=_ORDER.index, default=Verdict.passed)


def figures(stored: Numbers, made: Numbers) -> Figures | None:
    """The figures of two arrays; None where shape or type differ."""
    if stored.shape != made.shape or stored.dtype != made.dtype:
        return None
    if stored.dtype == np.uint8 and stored.ndim == 3:
        if stored.shape[2] == 3:
            return picture_figures(stored.astype(np.uint8), made.astype(np.uint8))
        return grey_figures(stored.astype(np.uint8), made.astype(np.uint8))
    one, other = stored.astype(np.float64), made.astype(np.float64)
    apart = other - one
    size = math.sqrt(float((one**2).mean()))
    rms = math.sqrt(float((apart**2).mean()))
    return Figures(most=float(np.abs(apart).max()), rms=rms / max(size, 1e-12))


def grey_figures(stored: npt.NDArray[np.uint8], made: npt.NDArray[np.uint8]) -> Figures:
    """The worst figures of any of the grey pictures [n, height, width]."""
    each = [
        picture_figures(*(np.repeat(grey[:, :, None], 3, axis=2) for grey in pair))
        for pair in zip(stored, made, strict=True)
    ]
    return Figures(
        most=max(one.most for one in each),
        rms=max(one.rms for one in each),
        psnr=min(one.psnr for one in each if one.psnr is not None),
        block=max(one.block for one in each if one.block is not None),
    )


def picture_figures(stored: Image, made: Image) -> Figures:
    """The figures of two pictures of one size."""
    apart = np.abs(made.astype(np.float32) - stored.astype(np.float32))
    square = float((apart.astype(np.float64) ** 2).mean())
    size = math.sqrt(float((stored.astype(np.float64) ** 2).mean()))
    height, width = (max(1, side // BLOCK) for side in apart.shape[:2])
    rows, columns = (min(BLOCK, side) for side in apart.shape[:2])
    cut = apart[: height * rows, : width * columns]
    blocks = cut.reshape(height, rows, width, columns, 3).mean((1, 3, 4))
    return Figures(
        most=float(apart.max()),
        rms=math.sqrt(square) / max(size, 1e-12),
        psnr=math.inf if square == 0 else 10 * math.log10(255**2 / square),
        block=float(blocks.max()),
    )
