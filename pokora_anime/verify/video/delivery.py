"""The delivered video against the two hashes that the record holds of each of its frames."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import IO, cast

from pokora_anime.errors import PokoraError
from pokora_anime.findings import Finding
from pokora_anime.provenance import run_layout
from pokora_anime.provenance.hashing import text_hash
from pokora_anime.provenance.operations import Makes, of
from pokora_anime.provenance.record_shape import FRAMES, misfit
from pokora_anime.rules import closed_config
from pokora_anime.schema.settings import VideoConfig
from pokora_anime.timeline import shot_plan
from pokora_anime.untrusted import strict_json
from pokora_anime.untrusted.container import Unreadable, finding
from pokora_anime.untrusted.folder_listing import Folder
from pokora_anime.untrusted.read_limits import Limits
from pokora_anime.untrusted.untrusted_names import shown
from pokora_anime.verify.record import shot_records
from pokora_anime.verify.record.claimed_record import Record, Table
from pokora_anime.verify.video import mp4_form, mp4_frames, mp4_timing, sheet_check, sound_form

FOREIGN = "the video's container is not as pokora writes it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """frames.json: numbers, and the hashes of frames before encoding (`rgb`) and as decoded (`yuv`)."""

    numbers: Table
    rgb: list[str]
    yuv: list[str]


def read_frames(folder: Folder, limits: Limits) -> Frames:
    """frames.json. Raises Unreadable for what is none."""
    if run_layout.FRAMES not in folder.sizes:
        raise Unreadable("INT-MISSING", f"no {run_layout.FRAMES}")
    try:
        value = strict_json.parse(folder.read(run_layout.FRAMES, limits.json_bytes), limits)
    except strict_json.BadJson as error:
        raise Unreadable(error.code, error.reason) from error
    if reason := misfit(value, FRAMES, "frames"):
        raise Unreadable("INT-FRAMES", reason)
    fields = cast(Table, value)
    rgb, yuv = (cast(list[str], fields[name]) for name in ("rgb_sha256", "yuv_sha256"))
    numbers = {name: fields[name] for name in ("count", "fps", "width", "height")}
    return Frames(numbers=numbers, rgb=rgb, yuv=yuv)


def check_frames(folder: Folder, record: Record, limits: Limits) -> Iterable[Finding]:
    """INT-FRAMES where the list of frames is not the one that finish and encode made, INT-SUMMARY."""
    if record.command != "video":
        names = [run_layout.still_name(index) for index in range(len(record.results))]
        if record.summary["stills"] != names:
            yield finding("INT-SUMMARY", "the summary names other stills than the results", run_layout.RECORD)
        return
    try:
        frames = read_frames(folder, limits)
    except Unreadable as error:
        yield finding(error.code, "the list of frames cannot be read", run_layout.FRAMES, error.got)
        return
    summary = record.summary
    told = {"count": summary["frames"], **{name: summary[name] for name in ("fps", "width", "height")}}
    if frames.numbers != told or summary["video"] != run_layout.VIDEO:
        yield finding(
            "INT-SUMMARY", "the summary tells another video than the list of frames", run_layout.FRAMES
        )
    if not len(frames.rgb) == len(frames.yuv) == frames.numbers["count"]:
        yield finding("INT-FRAMES", "the list of frames has not two hashes for each", run_layout.FRAMES)
    outputs = {
        Makes.video: text_hash(
            {
                "rgb_sha256": frames.rgb,
                "yuv_sha256": frames.yuv,
                "video_sha256": record.files.get(run_layout.VIDEO, ""),
            }
        ),
    }
    for step in record.steps:
        if step.output != outputs.get(of(step.op).makes, step.output):
            yield finding("INT-FRAMES", "the list of frames is not what the node made", step.name)
    made = [step for part in shot_records.split(record) for step in part.steps]
    finished = [step for step in made if of(step.op).makes is Makes.frames]
    for step, rgb in zip_longest(finished, _by_shot(record, frames.rgb)):
        if step is None or rgb is None or step.output != text_hash(rgb):
            where = run_layout.RECORD if step is None else step.name
            yield finding("INT-FRAMES", "the list of frames is not what the node made", where)


def _by_shot(record: Record, hashes: list[str]) -> list[list[str]]:
    """The frames' hashes of each shot, as many as the recorded config says; of one clip all of them."""
    config, _ = closed_config.read(record.command, record.config)
    if not isinstance(config, VideoConfig) or len(config.shots) < 2:
        return [hashes]
    found: list[list[str]] = []
    try:
        counts = shot_plan.frames_of(config)
    except (PokoraError, OverflowError):
        return [hashes]
    first = 0
    for count in counts:
        found.append(hashes[first : first + count])
        first += count
    return found


def check_video(folder: Folder, record: Record, limits: Limits) -> list[Finding]:
    """VID-BOX, VID-DECODE, VID-FRAMES: the MP4 decodes to the frames of the list, each one of them.

    VID-TIME: it plays them one after the other; VID-SHEET: the contact sheet shows them; VID-SOUND: what is
    heard with them is what the record tells, and nothing where it tells none.
    """
    if record.command != "video" or run_layout.VIDEO not in folder.sizes:
        return []
    try:
        listed = read_frames(folder, limits)
    except Unreadable:
        return []  # told by check_frames
    with sound_form.pictures(folder, sound_form.told(record.config)) as found:
        if found.wrong:
            message = "the video is heard with another sound than the run's"
            return [finding("VID-SOUND", message, run_layout.VIDEO, found.wrong)]
        return _check_pictures(found, listed, folder, record, limits)


def _check_pictures(
    found: sound_form.Pictures, listed: Frames, folder: Folder, record: Record, limits: Limits
) -> list[Finding]:
    numbers = cast(dict[str, int], listed.numbers)
    shape = mp4_frames.Shape(width=numbers["width"], height=numbers["height"], frames=numbers["count"])
    try:
        mp4_frames.check_container(found.file, found.size)
    except mp4_frames.BadVideo as error:
        return [finding("VID-BOX", FOREIGN, run_layout.VIDEO, error)]
    try:
        mp4_frames.check_shape(shape, limits)
    except mp4_frames.BadVideo as error:
        return [finding("VID-DECODE", "the video does not decode", run_layout.VIDEO, error)]
    tag = run_layout.video_tag(record.config)
    late = _container(found.file, found.size, shape, numbers["fps"], tag)
    hashes: list[str] = []
    redrawn = sheet_check.Redrawn(shape)

    def take(frame: bytes) -> None:
        hashes.append(hashlib.sha256(frame).hexdigest())
        redrawn.take(frame)

    try:
        mp4_frames.decode(found.path, shape, limits, take)
    except mp4_frames.BadVideo as error:
        return [finding("VID-DECODE", "the video does not decode", run_layout.VIDEO, error)]
    if not hashes:
        return [finding("VID-FRAMES", "the video has no frames", run_layout.VIDEO, expected=shape.frames)]
    told = _compare(hashes, listed.yuv) or late
    return told or list(redrawn.check(folder, numbers["fps"], limits))


def _container(file: IO[bytes], size: int, shape: mp4_frames.Shape, fps: int, tag: str) -> list[Finding]:
    """VID-BOX for a container that the encoder does not write, VID-TIME for one that plays otherwise."""
    try:
        mp4_timing.check_timing(file, size, shape.frames, fps)
    except mp4_frames.BadVideo as error:
        message = "the video does not play its frames one after the other at the record's rate"
        return [finding("VID-TIME", message, run_layout.VIDEO, error)]
    try:
        mp4_form.check_form(file, size, shape, fps, tag)
    except mp4_frames.BadVideo as error:
        fix = "render again: older releases wrote other files"
        return [finding("VID-BOX", FOREIGN, run_layout.VIDEO, error, fix=fix)]
    return []


def _compare(got: Sequence[str], listed: Sequence[str]) -> list[Finding]:
    if len(got) != len(listed):
        at_least = "at least " if len(got) > len(listed) else ""
        told = f"{at_least}{len(got)} frames"
        return [
            finding(
                "VID-FRAMES",
                "the video has another number of frames",
                run_layout.VIDEO,
                told,
                expected=len(listed),
            )
        ]
    odd = [index for index, (one, other) in enumerate(zip(got, listed, strict=True)) if one != other]
    if not odd:
        return []
    first = ", ".join(map(str, odd[:8])) + (", ..." if len(odd) > 8 else "")
    message = "the video shows other frames than the run made"
    return [
        finding(
            "VID-FRAMES", message, run_layout.VIDEO, f"{len(odd)} of {len(listed)}: frames {shown(first)}"
        )
    ]
