"""The whole character: layers from back to front, and the joints."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pokora_anime.nano.world import palette
from pokora_anime.nano.world.canvas import Canvas, Points, rotate
from pokora_anime.nano.world.character.face import draw_face
from pokora_anime.nano.world.character.hair import draw_back_hair, draw_front_hair
from pokora_anime.nano.world.character.head import HeadFrame, head_frame
from pokora_anime.nano.world.character.joint_motion import HAND, Pose
from pokora_anime.nano.world.character.outfit import draw_outfit, draw_sleeve, trunk_of
from pokora_anime.nano.world.palette import RGB
from pokora_anime.nano.world.scene import Scene

# Depth of the layers, 0..255, all in front of every background layer.
DEPTH_BACK_HAIR, DEPTH_LEGS, DEPTH_TRUNK, DEPTH_ARMS, DEPTH_HEAD, DEPTH_FRONT = 178, 196, 208, 220, 232, 244


def joints_of(pose: Pose, head: HeadFrame) -> NDArray[np.float64]:
    """COCO-18 joints [18,2] in figure units."""
    turn = head.turn * 1.7
    face = head.at(np.array([(turn, 7.8), (-6.3 + turn, 3.9), (6.3 + turn, 3.9), (-13.2, 4.0), (13.2, 4.0)]))
    body = [pose.neck + rotate(np.array([[0.0, 2.4]]), pose.lean)[0]]
    for i in (0, 1):
        body += [pose.shoulders[i], pose.elbows[i], pose.wrists[i]]
    for i in (0, 1):
        body += [pose.hips[i], pose.knees[i], pose.ankles[i]]
    return np.concatenate([face[:1], np.stack(body), face[1:]])


def draw_figure(canvas: Canvas, scene: Scene, pose: Pose, time: float) -> HeadFrame:
    """Draws the character in figure units and returns the head's frame."""
    head = head_frame(scene, pose)
    canvas.depth = DEPTH_BACK_HAIR
    draw_back_hair(canvas, head, scene)
    canvas.depth = DEPTH_LEGS
    order = (0, 1) if scene.side > 0 else (1, 0)
    for i in order:
        _leg(canvas, scene, pose, i)
    tone = palette.skin(scene.skin_tone)
    canvas.depth = DEPTH_TRUNK
    trunk = trunk_of(pose)
    draw_outfit(canvas, trunk, scene)
    neck = np.stack([pose.neck + np.array([0.0, 1.2]), pose.neck * 0.7 + pose.head * 0.3])
    shadow = palette.skin_shade(tone)
    # Without contours a chin is where the neck begins to be darker.
    canvas.tube(neck, (2.7, 2.7), palette.mix(tone, shadow, 0.7) if canvas.flat else shadow)
    canvas.depth = DEPTH_ARMS
    for i in order:
        _arm(canvas, scene, pose, i)
    canvas.depth = DEPTH_HEAD
    draw_face(canvas, head, scene, time)
    canvas.depth = DEPTH_FRONT
    draw_front_hair(canvas, head, scene)
    return head


def _leg(canvas: Canvas, scene: Scene, pose: Pose, i: int) -> None:
    tone = palette.skin(scene.skin_tone)
    dark, line = palette.skin_shade(tone), palette.outline(tone)
    hip, knee, ankle = pose.hips[i], pose.knees[i], pose.ankles[i]
    canvas.limb(np.stack([hip, knee, ankle]), (4.0, 3.0, 2.2), tone, dark, line)
    sock: RGB = (250, 250, 252)
    top = 0.30
    if scene.outfit == "school uniform":
        sock, top = (56, 60, 92), 0.12
    elif scene.outfit == "dress":
        top = 0.72
    start = knee + (ankle - knee) * top
    radius = 3.0 - 0.8 * top + 0.15
    canvas.limb(np.stack([start, ankle]), (radius, 2.35), sock, palette.shade(sock), palette.outline(sock))
    _shoe(canvas, scene, pose, i, knee, ankle)


def _shoe(canvas: Canvas, scene: Scene, pose: Pose, i: int, knee: Points, ankle: Points) -> None:
    shoes: dict[str, RGB] = {
        "school uniform": (96, 58, 48),
        "dress": (214, 74, 92),
        "hoodie": (236, 236, 242),
        "kimono": (168, 78, 60),
    }
    color = shoes[scene.outfit]
    outward = (-0.9 if i == 0 else 0.9) * (1 - abs(pose.turn)) + pose.turn * 2.0
    toe = np.array([outward, 1.25])
    canvas.limb(
        np.stack([ankle + np.array([0.0, 0.6]), ankle + toe]),
        (2.4, 2.5),
        color,
        palette.shade(color),
        palette.outline(color),
    )


def _arm(canvas: Canvas, scene: Scene, pose: Pose, i: int) -> None:
    tone = palette.skin(scene.skin_tone)
    dark, line = palette.skin_shade(tone), palette.outline(tone)
    shoulder, elbow, wrist = pose.shoulders[i], pose.elbows[i], pose.wrists[i]
    along = (wrist - elbow) / np.hypot(*(wrist - elbow))
    palm = wrist + along * HAND * 0.55
    across = np.array([-along[1], along[0]])
    # The thumb points to the body when the hand hangs and to the head when it is up.
    inward = -1.0 if (across[0] > 0) == (shoulder[0] > pose.pelvis[0]) else 1.0
    thumb = np.stack([palm, palm + across * inward * 2.0 + along * 0.5])
    if not canvas.flat:
        canvas.tube(thumb, (0.9, 0.75), line, grow=canvas.line * 0.8)
    canvas.limb(np.stack([wrist, palm, palm + along * 1.6]), (2.0, 2.5, 2.0), tone, tone, line)
    canvas.tube(thumb, (0.9, 0.75), tone)
    if scene.outfit == "dress":
        canvas.limb(np.stack([shoulder, elbow, wrist]), (2.7, 2.3, 1.95), tone, dark, line)
        canvas.tube(np.stack([wrist, palm]), (1.7, 1.9), tone)
    draw_sleeve(canvas, np.stack([shoulder, elbow, wrist]), scene, -1.0 if i == 0 else 1.0)
