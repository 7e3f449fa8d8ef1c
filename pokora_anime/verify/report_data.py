"""What a report shows of a run: frames and pictures, decoded and encoded anew, and its graph."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pokora_anime.media.openpose_map import openpose_map
from pokora_anime.provenance import run_layout
from pokora_anime.provenance.operations import PROMPT, of
from pokora_anime.provenance.stage_records import Image
from pokora_anime.untrusted.container import Unreadable
from pokora_anime.untrusted.folder_listing import Folder
from pokora_anime.untrusted.png_pictures import BadPicture, decode_png, encode_jpeg
from pokora_anime.untrusted.read_limits import Limits
from pokora_anime.untrusted.untrusted_names import shown
from pokora_anime.verify.policy.noise_origin import JOINTS
from pokora_anime.verify.record.claimed_record import Record
from pokora_anime.verify.record.stored_contents import Arrays
from pokora_anime.verify.video import mp4_frames
from pokora_anime.verify.video.delivery import read_frames

FILM, SIDE = 8, 256
MAX_DRAWN = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A JPEG with its caption."""

    caption: str
    jpeg: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A node of the graph: where it stands (column, row) and the nodes that it was made from."""

    id: str
    op: str
    column: int
    row: int
    parents: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhibits:
    """Pictures for a page; empty where nothing could be decoded."""

    film: tuple[Picture, ...] = ()
    pictures: tuple[Picture, ...] = ()
    graph: tuple[Drawn, ...] = field(default=())


def collect(folder: Folder, record: Record, arrays: Arrays, limits: Limits) -> Exhibits:
    """The exhibits of a run; nothing of a stranger's files is passed on as it is."""
    return Exhibits(
        film=_film(folder, record, limits),
        pictures=_stored(folder, record, arrays, limits),
        graph=_graph(record),
    )


def _film(folder: Folder, record: Record, limits: Limits) -> tuple[Picture, ...]:
    if record.command != "video" or run_layout.VIDEO not in folder.sizes:
        return ()
    kept: list[Picture] = []
    seen = 0
    try:
        numbers = read_frames(folder, limits).numbers
        width, height, count = (int(str(numbers[name])) for name in ("width", "height", "count"))
        wanted = set(np.linspace(0, max(count - 1, 0), FILM).round().astype(int).tolist())

        def take(frame: bytes) -> None:
            nonlocal seen
            if seen in wanted:
                kept.append(
                    Picture(caption=f"frame {seen}", jpeg=encode_jpeg(_small(_rgb(frame, width, height))))
                )
            seen += 1

        with_shape = mp4_frames.Shape(width=width, height=height, frames=count)
        mp4_frames.decode(folder.root / run_layout.VIDEO, with_shape, limits, take)
    except (mp4_frames.BadVideo, Unreadable, ValueError):
        return tuple(kept)
    return tuple(kept)


def _stored(folder: Folder, record: Record, arrays: Arrays, limits: Limits) -> tuple[Picture, ...]:
    found: list[Picture] = []
    for step in record.steps:
        for name, array in arrays.of(step).items():
            if len(found) == FILM:
                break
            if name == "figure":
                continue  # no picture
            operation = of(step.op)
            if operation.framewise:
                picture = _drafted(array)
            else:
                picture = array.astype(np.uint8) if array.dtype == np.uint8 and array.ndim == 3 else None
            whole = name == "image" and not operation.caption
            caption = "keyframe" if whole else f"{shown(name, 20)} map {operation.caption}".rstrip()
            if picture is not None and picture.shape[2] == 3:
                found.append(Picture(caption=caption, jpeg=encode_jpeg(_small(picture))))
    stills = record.summary.get("stills")
    for name in stills[:3] if isinstance(stills, list) else []:
        try:
            picture = decode_png(folder.read(str(name), limits.file_bytes), limits.picture_pixels)
        except (KeyError, Unreadable, BadPicture):
            continue
        found.append(Picture(caption=shown(name, 20), jpeg=encode_jpeg(_small(picture))))
    return tuple(found)


def _drafted(array: npt.NDArray[np.generic]) -> Image | None:
    """What a draft's maps of one kind show of their first frame: a pose scaled to SIDE, or a grey picture."""
    if array.ndim != 3 or not array.size:
        return None
    first = array[0]
    if first.dtype == np.uint8:
        return np.repeat(first.astype(np.uint8)[:, :, None], 3, axis=2)
    if first.shape != (JOINTS, 3) or not np.isfinite(array.astype(np.float64)).all():
        return None
    joints = first.astype(np.float32)
    reach = float(np.abs(array[:, :, :2].astype(np.float32)).max())
    joints[:, :2] *= SIDE / max(reach, 1.0)
    return openpose_map(joints, SIDE)


def _graph(record: Record) -> tuple[Drawn, ...]:
    """Each node one column right of all that it was made from; what starts from nothing beside its use."""
    steps = record.steps[:MAX_DRAWN]
    parents: dict[str, tuple[str, ...]] = {}
    columns: dict[str, int] = {}
    first_use: dict[str, int] = {}
    for step in steps:
        parents[step.id] = tuple(name for name in step.parents if name in columns)
        columns[step.id] = 1 + max((columns[name] for name in parents[step.id]), default=-1)
        for name in parents[step.id]:
            first_use[name] = min(first_use.get(name, columns[step.id]), columns[step.id])
    rows: dict[int, int] = {}
    drawn: list[Drawn] = []
    for step in sorted(steps, key=lambda step: not parents[step.id] and step.op != PROMPT.name):
        started = not parents[step.id]
        column = first_use.get(step.id, 1) - 1 if started else columns[step.id]
        row = rows[column] = rows.get(column, -1) + 1
        drawn.append(Drawn(id=step.id, op=step.op, column=column, row=row, parents=parents[step.id]))
    return tuple(drawn)


def _rgb(frame: bytes, width: int, height: int) -> Image:
    """A yuv420p frame at half its size; BT.709, limited range, as `encode` writes it."""
    plane = np.frombuffer(frame, np.uint8)
    luma = plane[: width * height].reshape(height, width)[: height // 2 * 2, : width // 2 * 2]
    half = luma.reshape(height // 2, 2, width // 2, 2).mean((1, 3), dtype=np.float32)
    chroma = plane[width * height :].reshape(2, -(-height // 2), -(-width // 2))[
        :, : height // 2, : width // 2
    ]
    y = (half - 16) * (255 / 219)
    u, v = (chroma.astype(np.float32) - 128) * (255 / 224)
    rgb = np.stack([y + 1.5748 * v, y - 0.1873 * u - 0.4681 * v, y + 1.8556 * u], axis=2)
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)


def _small(picture: npt.NDArray[np.uint8]) -> Image:
    """At most SIDE pixels a side, by taking the mean of whole blocks."""
    step = max(1, -(-max(picture.shape[:2]) // SIDE))
    height, width = (size // step * step for size in picture.shape[:2])
    if step == 1 or not (height and width):
        return picture
    blocks = picture[:height, :width].reshape(height // step, step, width // step, step, 3)
    return np.rint(blocks.mean((1, 3))).astype(np.uint8)
