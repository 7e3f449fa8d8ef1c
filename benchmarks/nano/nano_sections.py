"""What the nano bench makes and judges, section by section; each row is kept when it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.clips.clips_arms import CONTROLS, PLANNED
from benchmarks.clips.clips_measure import placed
from benchmarks.nano import nano_flow, nano_metrics
from benchmarks.nano.constancy import constancy
from benchmarks.nano.nano_large import drawn_width, large_row
from benchmarks.nano.nano_prompts import Asked, asked
from benchmarks.nano.nano_rows import Row, Rows
from benchmarks.nano.nano_studio import Control, Studio
from benchmarks.nano.planned_poses import drawn_twin, nearest_action, tracks_of_actions
from pokora_anime.choreography.actions import NAMES
from pokora_anime.nano.probe import STILL, UNKNOWN, AttributeProbe, labels_of
from pokora_anime.nano.world.draw import Frame, draw_frame
from pokora_anime.nano.world.joint_picture import openpose_map
from pokora_anime.nano.world.vocabulary import ATTRIBUTES
from pokora_anime.schema.settings import ControlKind

BATCH = 16
SIZE, FRAMES, FPS = 256, 16, 8
SHOWN = 24  # clips whose frames are kept for the pictures
STYLES = {"plain": None, "pastel": "pastel", "flat color": "flat_color"}
# Every section draws its prompts from a stream of its own.
_ORDER = ("clips", "stills", "pose", "depth", "drawn", "styles", "negative", "planned")
STREAMS = {section: stream for stream, section in enumerate(_ORDER)}
NEW_ACTIONS = tuple(name for name in NAMES if name not in ATTRIBUTES["action"])
PLANNED_BY = CONTROLS[PLANNED]
OTHER = 100  # the stream of the scene that a control map is taken from
REFUSED = "twintails"


@dataclass(frozen=True, slots=True)
class Bench:
    """What every section needs."""

    studio: Studio
    probe: AttributeProbe
    rows: Rows
    pictures: Path

    def batches(self, section: str, count: int, size: int = BATCH) -> Iterator[list[int]]:
        """Missing indices in batches; tells after each how far the section is."""
        missing = self.rows.missing(section, count)
        started = time.monotonic()
        for start in range(0, len(missing), size):
            batch = missing[start : start + size]
            yield batch
            done = start + len(batch)
            each = (time.monotonic() - started) / done
            left = (len(missing) - done) * each / 60
            print(
                f"nano: {section} {count - len(missing) + done}/{count}  {each:.2f} s each"
                f"  {left:.1f} min left",
                flush=True,
            )


def wanted_of(one: Asked) -> dict[str, int]:
    """The value of every attribute that a prompt asks for; UNKNOWN for eyes behind closed lids."""
    values = {n: ATTRIBUTES[n].index(str(getattr(one.scene, n))) for n in ATTRIBUTES}
    if one.scene.expression == "closed eyes":
        values["eye_color"] = UNKNOWN
    return values


def judged(probe: AttributeProbe, rgb: NDArray[np.uint8]) -> list[dict[str, int]]:
    """The probe's value of every attribute, a dict for each picture."""
    values = probe.judge(rgb).values()
    return [{name: int(values[name][i]) for name in STILL} for i in range(len(rgb))]


def prompts(section: str, indices: Sequence[int], **fixed: str) -> list[Asked]:
    """A section's prompts; a still shows no camera, so none is asked for."""
    return [asked(i, STREAMS[section], camera="static", **fixed) for i in indices]


def drawn(bench: Bench, count: int) -> None:
    """The probe and the autoencoder on new drawings, a fifth of them pastel and a fifth flat."""
    styles = ("plain", "pastel", "plain", "flat color", "plain")
    for batch in bench.batches("drawn", count):
        scenes = [asked(i, STREAMS["drawn"], style=styles[i % 5]) for i in batch]
        rgb = np.stack([draw_frame(one.scene, one.time, SIZE).rgb for one in scenes])
        decoded = bench.studio.round_trip(rgb)
        labels = labels_of([one.scene for one in scenes], [one.time for one in scenes])
        found, again = judged(bench.probe, rgb), judged(bench.probe, decoded)
        for k, index in enumerate(batch):
            row: Row = {
                "wanted": {name: int(labels[name][k]) for name in STILL},
                "found": found[k],
                "decoded": again[k],
                "psnr": nano_metrics.psnr(decoded[k], rgb[k]),
                "style": scenes[k].scene.style,
                "shot": scenes[k].scene.shot,
            }
            bench.rows.add("drawn", index, row)


def clips(bench: Bench, count: int) -> None:
    """A clip for each prompt, judged beside the drawn clip of the same scene."""
    for batch in bench.batches("clips", count, 1):
        one = asked(batch[0], STREAMS["clips"])
        made, track = bench.studio.steered(one.text, one.index)
        if one.index < SHOWN:
            write_strip(bench.pictures / f"{one.index:03d}.png", made)
        found = bench.studio.joints(made)
        row = clip_row(bench, one, made, found) | in_place(bench, one, found, track)
        bench.rows.add("clips", one.index, row)


def planned(bench: Bench, count: int) -> None:
    """Clips of the actions that the drawn world does not know, under a choreography."""
    for batch in bench.batches("planned", count, 1):
        one = prompts("planned", batch)[0]
        action = NEW_ACTIONS[one.index % len(NEW_ACTIONS)]
        scene = one.scene
        looks = (f"{scene.hair_color} hair", scene.hair_style, f"{scene.eye_color} eyes", scene.outfit)
        text = ", ".join(("1girl", *looks, action, scene.background, scene.shot))
        made, track = bench.studio.steered(text, one.index, more=PLANNED_BY)
        read = bench.studio.models().choreographer().read(text).names
        row: Row = {"prompt": text, "action": action, "shot": scene.shot, "read": action in read}
        bench.rows.add("planned", one.index, row | planned_row(bench, one, made, track))


def planned_row(bench: Bench, one: Asked, made: nano_flow.Clip, track: NDArray[np.float32] | None) -> Row:
    """What is measured on a clip under a choreography, and on its drawn twin: the same poses, drawn."""
    assert track is not None
    frames = drawn_twin(one.scene, track, FPS, SIZE)
    twin = np.stack([frame.rgb for frame in frames])
    found, in_twin = bench.studio.joints(made), bench.studio.joints(twin)
    tracks = tracks_of_actions(bench.studio.models().choreographer(), track, one.index, FPS, SIZE)
    return {
        "judged": nearest_action(found, tracks),
        "drawn_judged": nearest_action(in_twin, tracks),
        "pck": placed(track, found),
        "drawn_pck": placed(track, in_twin),
        "flow": nano_flow.flow_magnitude(made, FPS),
        "drawn_flow": nano_flow.flow_magnitude(twin, FPS),
        "constancy": constancy(made, found),
        "drawn_constancy": constancy(twin, np.stack([frame.joints for frame in frames])),
        "smoothness": nano_flow.smoothness(made, FPS),
        "drawn_smoothness": nano_flow.smoothness(twin, FPS),
    }


def in_place(bench: Bench, one: Asked, found: NDArray[np.float32], track: NDArray[np.float32] | None) -> Row:
    """How many limb ends are where a track has them, and how many it has, of a clip's joints and of its
    poses drawn; None without a track, and where a camera has moved the frames away from it."""
    if track is None or one.scene.camera != "static":
        return {"pck": None}
    twin = np.stack([frame.rgb for frame in drawn_twin(one.scene, track, FPS, SIZE)])
    return {"pck": placed(track, found), "drawn_pck": placed(track, bench.studio.joints(twin))}


def clip_row(bench: Bench, one: Asked, made: nano_flow.Clip, found: NDArray[np.float32]) -> Row:
    """Everything that is measured on one clip, whose joints were `found`, and on its drawn twin."""
    frames = [draw_frame(one.scene, one.time + k / FPS, SIZE) for k in range(len(made))]
    twin = np.stack([frame.rgb for frame in frames])
    walking = one.scene.action == "walking"
    seen, twin_seen = bench.probe.judge(made), bench.probe.judge(twin)
    move = nano_flow.camera_move(made, seen.tracks, FPS)
    twin_move = nano_flow.camera_move(twin, twin_seen.tracks, FPS)
    middle = list(nano_metrics.middle_frames(len(made)))
    values = seen.values()
    row: Row = {
        "prompt": one.text,
        "english": one.english,
        "shot": one.scene.shot,
        "wanted": wanted_of(one),
        "frames": {name: values[name][middle].tolist() for name in STILL},
        "action": int(bench.probe.judge_actions(seen.tracks[None]).argmax()),
        "drawn_action": int(bench.probe.judge_actions(twin_seen.tracks[None]).argmax()),
        "camera": camera_index(move, walking),
        "drawn_camera": camera_index(twin_move, walking),
        "scroll": move.scroll,
        "growth": move.growth,
        "flow": nano_flow.flow_magnitude(made, FPS),
        "drawn_flow": nano_flow.flow_magnitude(twin, FPS),
        "smoothness": nano_flow.smoothness(made, FPS),
        "drawn_smoothness": nano_flow.smoothness(twin, FPS),
        "constancy": constancy(made, found),
        "drawn_constancy": constancy(twin, np.stack([frame.joints for frame in frames])),
    }
    if one.scene.camera == "static" and not walking:
        row["flicker"] = _number(nano_flow.flicker(made, nano_flow.static_pixels(made, seen.tracks)))
        still = unchanged(frames) & nano_flow.beside_character(twin.shape[1:3], twin_seen.tracks)
        row["drawn_flicker"] = _number(nano_flow.flicker(bench.studio.round_trip(twin), still))
    return row | _large(bench, one, made, seen.tracks)


def _large(bench: Bench, one: Asked, made: nano_flow.Clip, tracks: nano_flow.Tracks) -> Row:
    """The clip as it is delivered, if the family has the network for that."""
    network = bench.studio.crisp()
    if network is None:
        return {}
    still = one.scene.camera == "static" and one.scene.action != "walking"
    mask = nano_flow.static_pixels(made, tracks) if still else None
    times = [one.time + k / FPS for k in range(len(made))]
    return large_row(made, mask, network) | {"drawn_width": drawn_width(one.scene, times)}


def camera_index(move: nano_flow.CameraMove, walking: bool) -> int:
    """The move's place in the vocabulary; UNKNOWN, which is never right, where it cannot be told."""
    value = move.value(walking=walking)
    return UNKNOWN if value is None else ATTRIBUTES["camera"].index(value)


def unchanged(frames: Sequence[Frame]) -> NDArray[np.bool_]:
    """Background pixels [h,w] that are drawn with one and the same colour in every frame."""
    rgb = np.stack([frame.rgb for frame in frames])
    character = np.any([frame.character for frame in frames], 0)
    return (rgb == rgb[0]).all((0, 3)) & ~character


def write_strip(path: Path, clip: nano_flow.Clip) -> None:
    """A clip's frames side by side as one PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.concatenate(list(clip), 1)[..., ::-1])


def read_strip(path: Path) -> nano_flow.Clip:
    """What `write_strip` wrote, [frames,h,w,3]."""
    strip = np.asarray(cv2.imread(str(path)), np.uint8)[..., ::-1]
    side = strip.shape[0]
    return np.stack([strip[:, x : x + side] for x in range(0, strip.shape[1], side)])


def stills(bench: Bench, count: int) -> None:
    """Pairs of stills from equal noise, 6 LCM steps and hq."""
    for batch in bench.batches("stills", count):
        asks = prompts("stills", batch)
        made = {
            speed: bench.studio.stills([a.text for a in asks], batch, speed=speed) for speed in ("lcm", "hq")
        }
        found = {speed: judged(bench.probe, rgb) for speed, rgb in made.items()}
        for k, index in enumerate(batch):
            row: Row = {"wanted": wanted_of(asks[k]), "shot": asks[k].scene.shot, "english": asks[k].english}
            for speed, rgb in made.items():
                row[speed] = found[speed][k]
                row[f"lab_{speed}"] = nano_metrics.mean_lab(rgb[k]).tolist()
            bench.rows.add("stills", index, row)


def _controlled(
    bench: Bench,
    section: str,
    count: int,
    maps_of: Callable[[Sequence[Frame]], NDArray[np.float32]],
    row_of: Callable[[Sequence[Frame], dict[str, NDArray[np.uint8]]], list[Row]],
) -> None:
    """Stills with a control map of another scene of the same shot, and without it."""
    for batch in bench.batches(section, count):
        asks = prompts(section, batch)
        others = [asked(a.index, OTHER + STREAMS[section], shot=a.scene.shot) for a in asks]
        frames = [draw_frame(other.scene, other.time, SIZE) for other in others]
        control = Control(kind=ControlKind(section), maps=maps_of(frames))
        texts = [a.text for a in asks]
        pictures = {
            "on": bench.studio.stills(texts, batch, control=control),
            "off": bench.studio.stills(texts, batch),
            "own": np.stack([frame.rgb for frame in frames]),
        }
        found = judged(bench.probe, pictures["on"])
        for k, (index, row) in enumerate(zip(batch, row_of(frames, pictures), strict=True)):
            shown: Row = {"wanted": wanted_of(asks[k]), "shot": asks[k].scene.shot, "found": found[k]}
            bench.rows.add(section, index, {**shown, **row})


def pose(bench: Bench, count: int) -> None:
    """PCK of the extracted pose against the asked one: control on, off, and on the drawing itself."""

    def maps_of(frames: Sequence[Frame]) -> NDArray[np.float32]:
        maps = np.stack([openpose_map(frame.joints, SIZE) for frame in frames])
        return np.asarray(maps / 255, np.float32)

    def row_of(frames: Sequence[Frame], pictures: dict[str, NDArray[np.uint8]]) -> list[Row]:
        found = {way: bench.studio.joints(rgb) for way, rgb in pictures.items()}
        return [
            {way: nano_metrics.pck(frame.joints, found[way][k]) for way in pictures}
            for k, frame in enumerate(frames)
        ]

    _controlled(bench, "pose", count, maps_of, row_of)


def depth(bench: Bench, count: int) -> None:
    """Correlation of the extracted depth with the asked one: control on, off, and on the drawing."""

    def maps_of(frames: Sequence[Frame]) -> NDArray[np.float32]:
        return np.stack([np.repeat(frame.depth[..., None], 3, -1) for frame in frames]).astype(np.float32)

    def row_of(frames: Sequence[Frame], pictures: dict[str, NDArray[np.uint8]]) -> list[Row]:
        found = {way: bench.studio.depth(rgb) for way, rgb in pictures.items()}
        return [
            {way: nano_metrics.correlation(frame.depth, found[way][k]) for way in pictures}
            for k, frame in enumerate(frames)
        ]

    _controlled(bench, "depth", count, maps_of, row_of)


def styles(bench: Bench, count: int) -> None:
    """Stills of the same prompts from the same noise: plain, pastel and flat color, at weight 1."""
    for batch in bench.batches("styles", count):
        asks = prompts("styles", batch)
        texts = [one.text for one in asks]
        found = {
            style: judged(bench.probe, bench.studio.stills(texts, batch, style=role))
            for style, role in STYLES.items()
        }
        for k, (index, one) in enumerate(zip(batch, asks, strict=True)):
            row: Row = {"wanted": wanted_of(one), "shot": one.scene.shot}
            bench.rows.add("styles", index, row | {style: seen[k] for style, seen in found.items()})
    for role in filter(None, STYLES.values()):
        bench.studio.forget("lcm", role)


def negative(bench: Bench, count: int) -> None:
    """How often twintails come, unasked, with and without them in the negative prompt (hq)."""
    refused = ATTRIBUTES["hair_style"].index(REFUSED)
    for batch in bench.batches("negative", count):
        tags = [one.text.split(", ") for one in prompts("negative", [2 * i for i in batch])]  # no sentences
        unasked = set(ATTRIBUTES["hair_style"])
        texts = [", ".join(tag for tag in some if tag not in unasked) for some in tags]
        row: dict[str, list[int]] = {}
        for name, words in (("without", ""), ("with", REFUSED)):
            made = bench.studio.stills(texts, batch, speed="hq", negative=words)
            row[name] = [int(found["hair_style"] == refused) for found in judged(bench.probe, made)]
        for k, index in enumerate(batch):
            bench.rows.add("negative", index, {name: values[k] for name, values in row.items()})


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value
