"""The scorecard of a finished run, from what its folder holds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
import numpy.typing as npt

from pokora_anime.devices.execution import Execution
from pokora_anime.errors import RecordError, WeightsError
from pokora_anime.provenance.node import Node
from pokora_anime.provenance.operations import CHOREOGRAPHY, FINISH, delivering
from pokora_anime.provenance.run_layout import VIDEO
from pokora_anime.provenance.run_reading import Reading, read_run
from pokora_anime.provenance.stage_records import Image
from pokora_anime.quality.live_score import LiveScore
from pokora_anime.quality.scorecard import Scorecard
from pokora_anime.quality.shot_scores import merged
from pokora_anime.timeline import shot_plan
from pokora_anime.timeline.frame_timing import frames_delivered, frames_generated

if TYPE_CHECKING:
    from pokora_anime.networks.loader import Models
    from pokora_anime.schema.settings import VideoConfig
    from pokora_anime.stages.delivery.settled_frames import Shown
    from pokora_anime.stages.run_context import RunContext

_CHUNK = 4  # frames decoded at once
DECODED = "segment latents, decoded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a clip is: its config, the joins of its segments, how many generated frames it shows."""

    config: VideoConfig
    joins: tuple[int, ...]
    generated: int
    segments: tuple[tuple[int, Node], ...]  # first frame and node, in order
    first: int = 0  # of its frames in the video: that of a shot


def score_run(folder: Path) -> Scorecard:
    """The scorecard of a video's run folder.

    Generated frames are decoded from the stored latents; without torch or the VAE's weights they are the
    delivered frames at their times. Raises RecordError REC-* for what is no finished video.
    """
    reading = read_run(folder)
    if reading.command != "video":
        raise RecordError(
            "REC-SCORE", f"{folder} holds {reading.command}", expected="the run folder of a video"
        )
    delivered, cards = video_frames(folder / VIDEO), list[Scorecard]()
    for shape in shapes_of(reading):
        generated, origin = _generated(reading, shape)
        score = LiveScore.start(shape.config, shape.joins, _device())
        for joints in _planned(reading, shape):
            score.plan(0, joints)
        own = islice(delivered, frames_delivered(shape.config.shot.seconds, shape.config.finish.fps))
        for frames in (score.watch_generated(generated), score.watch_delivered(own)):
            deque(frames, maxlen=0)
        cards.append(score.card(origin))
    return merged(cards)


def shapes_of(reading: Reading) -> list[Shape]:
    """The shape of each shot, or that of the clip. Raises RecordError REC-SCORE."""
    whole = shape_of(reading)
    plans = shot_plan.each(whole.config)
    finished = [set(node.parents) for node in reading.nodes if node.op == FINISH.name]
    if len(plans) == 1 or len(finished) != len(plans):
        return [whole]
    found: list[Shape] = []
    for plan, first, parents in zip(plans, shot_plan.starts(whole.config), finished, strict=True):
        spans = [one for one in _spans(reading) if one[2].id in parents]
        generated = frames_generated(plan)
        firsts = [start + known for start, known, _ in spans[1:]]
        found.append(
            Shape(
                config=plan,
                joins=tuple(at for at in firsts if at < generated),
                generated=generated,
                segments=tuple((start, node) for start, _, node in spans),
                first=first,
            )
        )
    return found


def shape_of(reading: Reading) -> Shape:
    """Rates, joins and lengths of a whole clip from its record. Raises RecordError REC-SCORE."""
    from pokora_anime.rules import closed_config
    from pokora_anime.schema.settings import VideoConfig

    # A key that the run did not know yet has its default.
    config, findings = closed_config.read("video", reading.config)
    if not isinstance(config, VideoConfig):
        raise _strange(reading, f"{findings[0].where} {findings[0].got}" if findings else "no config")
    generated = frames_generated(config)
    found = _spans(reading)
    firsts = [start + known for start, known, _ in found[1:]]
    return Shape(
        config=config,
        joins=tuple(first for first in firsts if first < generated),
        generated=generated,
        segments=tuple((start, node) for start, _, node in found),
    )


def _spans(reading: Reading) -> list[tuple[int, int, Node]]:
    """First frame, known frames and node of every segment, in the clip's order."""
    found: list[tuple[int, int, Node]] = []
    ops = {node.op for node in reading.nodes}
    shown = delivering(ops)
    for node in reading.nodes:
        if node.op == shown:
            span = node.params.get("span")
            start, known = (span.get(name) if isinstance(span, dict) else None for name in ("start", "known"))
            if not (isinstance(start, int) and isinstance(known, int)):
                raise _strange(reading, f"a segment at {span!r}")
            found.append((start, known, node))
    return sorted(found, key=lambda entry: entry[0])


def _vae_digest(reading: Reading) -> str:
    """The digest of the VAE that the delivered frames were decoded with."""
    return next((node.weights.get("vae", "") for node in reading.nodes if node.op == FINISH.name), "")


def _strange(reading: Reading, got: str) -> RecordError:
    return RecordError(
        "REC-SCORE",
        f"{reading.folder.name}: {got}",
        expected="a video rendered by this version",
        fix="render it again with fresh=true",
    )


class _Reads(Protocol):
    """imageio-ffmpeg, which has no types."""

    def read_frames(self, path: str) -> Iterator[object]: ...


def video_frames(path: Path) -> Iterator[Image]:
    """The frames [h,w,3] of an MP4, one at a time. Raises RecordError REC-VIDEO."""
    import imageio_ffmpeg

    try:
        reader = cast("_Reads", imageio_ffmpeg).read_frames(str(path))
        width, height = cast("dict[str, tuple[int, int]]", next(reader))["size"]
        for data in cast("Iterator[bytes]", reader):
            yield np.frombuffer(data, np.uint8).reshape(height, width, 3)
    except (OSError, RuntimeError, ValueError) as error:
        raise RecordError("REC-VIDEO", f"{path.name} cannot be read: {str(error)[:120]}") from error


def _device() -> str:
    try:
        import torch
    except ImportError:
        return "cpu"
    return "cuda" if torch.cuda.is_available() else "cpu"


def _generated(reading: Reading, shape: Shape) -> tuple[Iterator[Image], str]:
    try:
        decoder = _Decoder.of(shape.config, _vae_digest(reading))
    except (ImportError, WeightsError) as error:
        why = "torch is not installed" if isinstance(error, ImportError) else error.got
        return _sampled(reading.folder, shape), f"delivered frames at the generated frames' times ({why})"
    return _decoded(reading, shape, decoder), DECODED


def _sampled(folder: Path, shape: Shape) -> Iterator[Image]:
    """The delivered frames nearest to the times of the generated ones."""
    wanted = 0
    last = shape.first + frames_delivered(shape.config.shot.seconds, shape.config.finish.fps)
    for index, frame in enumerate(islice(video_frames(folder / VIDEO), last)):
        if index == shape.first + round(wanted * shape.config.finish.fps / shape.config.shot.fps):
            wanted += 1
            yield frame


def _decoded(reading: Reading, shape: Shape, decoder: _Decoder) -> Iterator[Image]:
    """Every generated frame that the clip shows, once, as frames between them are made from it."""
    from pokora_anime.stages.delivery.settled_frames import settled

    return settled(_shown(reading, shape, decoder), shape.config)


def _shown(reading: Reading, shape: Shape, decoder: _Decoder) -> Iterator[Shown]:
    from pokora_anime.stages.control.choreography_stage import of_frames
    from pokora_anime.stages.delivery.settled_frames import Shown
    from pokora_anime.stages.picture.decode import decode
    from pokora_anime.system.typed_tensors import from_array, split

    planned = _planned(reading, shape)
    done = 0
    for start, node in shape.segments:
        latents = from_array(reading.arrays(node)["latents"])
        posed = [of_frames(one, start, latents.shape[1], shape.config) for one in planned]
        new = latents[:, done - start : shape.generated - start]
        for chunk in split(new, _CHUNK, dim=1) if new.shape[1] else ():
            for frame in decode(chunk, cast("RunContext", decoder)):
                yield Shown.of(frame, posed[0] if posed else None, done - start, shape.config)
                done += 1


def _planned(reading: Reading, shape: Shape) -> list[npt.NDArray[np.float32]]:
    """The poses that the clip was planned with, if any: joints [frames,18,3]."""
    used = {name for _, node in shape.segments for name in node.parents}
    return [
        reading.arrays(node)["pose"].astype(np.float32)
        for node in reading.nodes
        if node.op == CHOREOGRAPHY.name and (node.id in used or not shape.first)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decoder:
    """The part of a run's context that decoding asks for."""

    models: Models
    autocast: Callable[[], AbstractContextManager[object]]
    execution: Execution

    @classmethod
    def of(cls, config: VideoConfig, digest: str) -> _Decoder:
        """The run's own VAE on this machine. Raises ImportError without torch, WeightsError."""
        import torch

        from pokora_anime.devices.machine import settle
        from pokora_anime.networks.loader import Models

        machine = settle(config.device)
        models = Models(config.base, config.speed, [], machine.device, machine.dtype)
        if digest not in models.weights_hash("vae").values():
            raise WeightsError("WGT-DAMAGED", "the VAE here is not the one that the run was decoded with")

        def autocast() -> AbstractContextManager[object]:
            bf16 = machine.device.type == "cpu" and machine.dtype == torch.bfloat16
            return torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16)

        return cls(models=models, autocast=autocast, execution=Execution())
