"""Two renderings of one config: equal frame by frame, or how far apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pokora_anime.bundle import figures
from pokora_anime.compliance.replay import thresholds
from pokora_anime.compliance.replay.compare import picture_figures
from pokora_anime.compliance.verify.verdict import Verdict
from pokora_anime.errors import RecordError
from pokora_anime.provenance.hashing import Json, array_hash
from pokora_anime.provenance.reading import Reading

LOOKED_AT = 24  # frames, where they are not equal


@dataclass(frozen=True, slots=True, kw_only=True)
class Same:
    """One run: how many of its frames or stills came out equal, and what the others come to.

    `expected` says whether every bit had to be equal, because machine, libraries and code are the run's own
    and nothing was compiled: which kernels a compiler takes may hang on how fast they just were.
    """

    name: str
    verdict: Verdict
    equal: int
    count: int
    video_equal: bool | None
    expected: bool
    reason: str = ""
    folder: str = ""

    def to_plain(self) -> dict[str, Json]:
        """As JSON data."""
        return {
            "run": self.name,
            "verdict": self.verdict.value,
            "equal": self.equal,
            "of": self.count,
            "video_bytes_equal": self.video_equal,
            "same_environment": self.expected,
            "reason": self.reason,
            "folder": self.folder,
        }

    def lines(self) -> list[str]:
        """For a terminal."""
        what = "stills" if self.video_equal is None else "frames"
        video = {None: "", True: "; the MP4 is the same file", False: "; the MP4 is another file"}
        line = f"{self.verdict.value:6}  {self.name}: {self.equal} of {self.count} {what} equal"
        return [
            line + video[self.video_equal],
            *([f"        {self.reason}"] if self.reason else []),
            f"        {self.folder}",
        ]


def compare(name: str, one: Reading, other: Reading) -> Same:
    """The recorded run `one` against its new rendering. Raises RecordError REC-*."""
    first, second = _hashes(one), _hashes(other)
    equal = sum(left == right for left, right in zip(first, second, strict=False))
    is_video = one.command == "video"
    expected = _environment(one) == _environment(other) and not _compiled(one)
    video = one.files.get("video.mp4") == other.files.get("video.mp4") if is_video else None
    if first == second:
        return Same(
            name=name,
            verdict=Verdict.passed,
            equal=equal,
            count=len(first),
            video_equal=video,
            expected=expected,
        )
    if len(first) != len(second):
        verdict, reason = Verdict.failed, f"{len(second)} were rendered"
    else:
        verdict, reason = _apart(one, other, is_video)
        if expected and verdict is Verdict.passed:
            verdict, reason = Verdict.review, f"{reason}; in the same environment every bit should be equal"
    return Same(
        name=name,
        verdict=verdict,
        equal=equal,
        count=len(first),
        video_equal=video,
        expected=expected,
        reason=reason,
    )


def _hashes(reading: Reading) -> list[str]:
    if reading.command == "video":
        return list(reading.frames().rgb)
    return [array_hash(reading.picture(name)) for name in _stills(reading)]


def _stills(reading: Reading) -> list[str]:
    names = reading.summary.get("stills")
    return [str(name) for name in names] if isinstance(names, list) else []


def _environment(reading: Reading) -> tuple[object, ...]:
    """What the bits depend on: where each node ran and with which code."""
    return tuple(
        (node.environment, node.code) for node in reading.nodes if node.op in ("keyframe", "motion", "finish")
    )


def _compiled(reading: Reading) -> bool:
    return any("compile" in node.environment for node in reading.nodes)


def _apart(one: Reading, other: Reading, is_video: bool) -> tuple[Verdict, str]:
    """The worst of the frames looked at, under the limits that replay has."""
    if is_video:
        count = one.frames().count
        indices = figures.spread(count, min(LOOKED_AT, count))
        if (one.frames().width, one.frames().height) != (other.frames().width, other.frames().height):
            raise RecordError("REC-FRAMES", "the two clips have different sizes")
        pairs = list(zip(figures.frames(one, indices), figures.frames(other, indices), strict=True))
        crf = one.config.get("encode")
        limit = thresholds.encoded(int(str(crf.get("crf", 23))) if isinstance(crf, dict) else 23)
    else:
        pairs = [
            (one.picture(left), other.picture(right))
            for left, right in zip(_stills(one), _stills(other), strict=True)
        ]
        limit = thresholds.limit(thresholds.HALF, "picture")
    found = [
        picture_figures(np.ascontiguousarray(left), np.ascontiguousarray(right)) for left, right in pairs
    ]
    order = (Verdict.passed, Verdict.review, Verdict.failed)
    worst = max(found, key=lambda told: (order.index(told.judge(limit)), -(told.psnr or 0.0)))
    return worst.judge(limit), f"the worst of {len(found)} looked at: {worst.line()}"
