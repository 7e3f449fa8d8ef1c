"""From latents to delivered frames: decoded in chunks, interpolated, upscaled, cropped and scaled."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence

import torch

from pokora_anime.catalogue import finishing_networks
from pokora_anime.choreography import skinning
from pokora_anime.errors import RecordError
from pokora_anime.nano import crisp
from pokora_anime.networks.finishing import pixels, rife, upscaler
from pokora_anime.provenance.code_hash import code_hash
from pokora_anime.provenance.environment import environment
from pokora_anime.provenance.hashing import text_hash
from pokora_anime.provenance.node import Node
from pokora_anime.provenance.stage_records import Image, Segment
from pokora_anime.schema import curves
from pokora_anime.schema.run_identity import part
from pokora_anime.schema.settings import VideoConfig
from pokora_anime.stages.delivery import (
    camera_window,
    color_match,
    interpolate,
    resample,
    settled_frames,
    steady,
    upscale,
)
from pokora_anime.stages.delivery.resample import sized, timed
from pokora_anime.stages.delivery.settled_frames import Shown
from pokora_anime.stages.denoising import tiles
from pokora_anime.stages.picture import decode
from pokora_anime.stages.picture.decode import decode_chunks
from pokora_anime.stages.run_context import RunContext
from pokora_anime.timeline import choreography_plan, frame_timing, hires_plan
from pokora_anime.timeline.effects import accents
from pokora_anime.timeline.frame_timing import frames_delivered

Watch = Callable[[Iterator[Image]], Iterator[Image]]


def frames(
    segments: Iterator[Segment], config: VideoConfig, context: RunContext, watch: Watch = iter
) -> Iterator[Image]:
    """Exactly round(seconds * finish.fps) frames [finish.height, finish.width, 3], as segments arrive.

    Frame i shows the time i / finish.fps. Holds one decoded chunk and one pair of source frames at a
    time; `watch` sees the source frames on their way. Raises RecordError when segments do not follow
    each other or end too soon.
    """
    # Set per thread by torch; this generator may run in another one than the denoising.
    torch.set_num_threads(context.threads)
    finish = config.finish
    count = frames_delivered(config.shot.seconds, finish.fps)
    source = watch(settled_frames.settled(_decoded(segments, config, context), config))
    yield from sized(timed(source, count, config, context), config, context)


def record(
    segments: Sequence[Node], rgb_hashes: Sequence[str], config: VideoConfig, context: RunContext
) -> Node:
    """Enters the node of the frames that these segments became; their hashes are its output."""
    finish = config.finish
    node = Node.after(
        segments,
        "finish",
        {
            "finish": part(finish),
            "seconds": config.shot.seconds,
            "fps": config.shot.fps,
            "loop": config.motion.loop,
            "timeline": part(config.timeline),
            **accents.recorded(config.shot),
        },
        weights=context.models.weights_hash("vae") | upscale.weights(config, context),
        code=code_hash(
            sys.modules[__name__],
            accents,
            camera_window,
            choreography_plan,
            color_match,
            crisp,
            curves,
            resample,
            interpolate,
            decode,
            pixels,
            rife,
            settled_frames,
            skinning,
            steady,
            tiles,
            frame_timing,
            hires_plan,
            upscale,
            upscaler,
        ),
        environment=environment(context, finishing_networks.packages(config))
        | context.execution.decoding(finish.decode_chunk),
    ).made(text_hash(list(rgb_hashes)))
    context.folder.note_node(node)
    return node


def _decoded(segments: Iterator[Segment], config: VideoConfig, context: RunContext) -> Iterator[Shown]:
    """Every frame of the clip once: what a segment shares with the one before it is left out."""
    delivered = 0
    for segment in segments:
        shared = delivered - segment.start
        if not 0 <= shared < segment.latents.shape[1]:
            raise RecordError(
                "REC-ORDER",
                f"segment {segment.index} begins at frame {segment.start} after {delivered} frames",
                expected="segments in order, without gaps",
                fix="start the same command with fresh=true",
            )
        new = segment.latents[:, shared:]
        delivered += new.shape[1]
        for index, frame in enumerate(decode_chunks(new, config.finish.decode_chunk, context), shared):
            yield Shown.of(frame, segment.posed, index, config)
