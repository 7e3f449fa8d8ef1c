"""Two renderings of one config: equal frame by frame, or how far apart."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pokora_anime.provenance.hashing import Json, array_hash, file_hash
from pokora_anime.provenance.operations import ENCODE, FINISH, KEYFRAME, MOTION
from pokora_anime.provenance.run_layout import VIDEO, video_tag
from pokora_anime.provenance.run_reading import Reading
from pokora_anime.submission.bundle.file_list import delivered
from pokora_anime.submission.reproduce import compare_videos
from pokora_anime.verify.verdict import Verdict
from pokora_anime.verify.video import thresholds
from pokora_anime.verify.video.frame_figures import Figures, picture_figures
from pokora_anime.verify.video.mp4_frames import BadVideo, boxes_in
from pokora_anime.verify.video.thresholds import Limit


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
    """The recorded run `one` against its new rendering. Raises RecordError REC-*.

    What was recorded of the frames before encoding, what both videos decode to, and the files themselves: in
    the same environment all three are equal. Of stills their pixels.
    """
    first, second = _hashes(one), _hashes(other)
    equal = sum(left == right for left, right in zip(first, second, strict=False))
    is_video = one.command == "video"
    expected = _environment(one) == _environment(other) and not _compiled(one)
    same_files = is_video and _same_file(one, other)
    if len(first) != len(second):
        verdict, reason = Verdict.failed, f"{len(second)} were rendered"
    elif is_video:
        verdict, reason = _videos(one, other, expected)
    else:
        verdict, reason = _pictures(one, other) if first != second else (Verdict.passed, "")
    if first != second and expected and verdict is Verdict.passed:
        verdict, reason = Verdict.review, f"{reason}; in the same environment every bit should be equal"
    if is_video and not same_files and expected and verdict is Verdict.passed:
        what = "the MP4 is another file"
        verdict, reason = Verdict.review, f"{what}; in the same environment every byte should be equal"
    return Same(
        name=name,
        verdict=verdict,
        equal=equal,
        count=len(first),
        video_equal=same_files if is_video else None,
        expected=expected,
        reason=reason,
    )


def _same_file(one: Reading, other: Reading) -> bool:
    """Whether two MP4s are equal, but for the comment where they were asked for with other settings.

    A new rendering names its device and threads, which the recorded run may have left to the machine; the
    table of contents, which holds the comment, is then left to verification.
    """
    paths = [reading.folder / VIDEO for reading in (one, other)]
    if video_tag(one.config) == video_tag(other.config):
        return file_hash(paths[0]) == file_hash(paths[1])
    first, second = (_beside_contents(path) for path in paths)
    return first == second


def _beside_contents(path: Path) -> list[tuple[str, str]]:
    """Kind and hash of each box of an MP4 but its table of contents; the whole file where it has none."""
    with path.open("rb") as file:
        try:
            boxes = boxes_in(file, file.seek(0, 2))
        except BadVideo:
            return [("", file_hash(path))]
        found: list[tuple[str, str]] = []
        for box in boxes:
            if box.kind != "moov":
                file.seek(box.start)
                content = file.read(box.stop - box.start)
                found.append((box.kind, hashlib.sha256(content).hexdigest()))
        return found


def _hashes(reading: Reading) -> list[str]:
    if reading.command == "video":
        return list(reading.frames().rgb)
    return [array_hash(reading.picture(name)) for name in _files(reading)]


def _files(reading: Reading) -> list[str]:
    """The files that a run delivered."""
    return delivered(reading.record)


def _environment(reading: Reading) -> tuple[object, ...]:
    """What the bits depend on: where each node ran and with which code."""
    ops = {one.name for one in (KEYFRAME, MOTION, FINISH, ENCODE)}
    return tuple((node.environment, node.code) for node in reading.nodes if node.op in ops)


def _compiled(reading: Reading) -> bool:
    return any("compile" in node.environment for node in reading.nodes)


def _videos(one: Reading, other: Reading, expected: bool) -> tuple[Verdict, str]:
    """What both videos decode to: equal where every bit had to be, else within the limits for frames."""
    apart = compare_videos.compare(one, other)
    if apart.equal == apart.count:
        return Verdict.passed, ""
    verdict, reason = _worst(apart.figures, compare_videos.NEAR)
    told = f"{apart.count - apart.equal} of {apart.count} frames of the MP4 decode to others"
    if expected and one.frames().rgb == other.frames().rgb:
        return Verdict.failed, f"{told}, although all frames before encoding are equal: {reason}"
    return verdict, f"{told}: {reason}"


def _pictures(one: Reading, other: Reading) -> tuple[Verdict, str]:
    """The worst of the stills, under the limits that replay has for pictures."""
    pairs = [
        (one.picture(left), other.picture(right))
        for left, right in zip(_files(one), _files(other), strict=True)
    ]
    found = [picture_figures(*pair) for pair in pairs if pair[0].shape == pair[1].shape]
    if len(found) < len(pairs):
        return Verdict.failed, "a still of another size"
    return _worst(found, thresholds.limit(thresholds.HALF, "picture"))


def _worst(found: Sequence[Figures], limit: Limit) -> tuple[Verdict, str]:
    order = (Verdict.passed, Verdict.review, Verdict.failed)
    worst = max(found, key=lambda told: (order.index(told.judge(limit)), -(told.psnr or 0.0)))
    return worst.judge(limit), f"the worst of {len(found)} is {worst.line()}"
