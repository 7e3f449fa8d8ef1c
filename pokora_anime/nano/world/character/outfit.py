"""Clothes of the trunk: four outfits in the trunk's frame, and sleeves along the arms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pokora_anime.nano.world import palette
from pokora_anime.nano.world.canvas import Canvas, Points, rotate, spline
from pokora_anime.nano.world.character.hair import draw_bow
from pokora_anime.nano.world.character.head import mirrored
from pokora_anime.nano.world.character.joint_motion import Pose
from pokora_anime.nano.world.palette import RGB, mix
from pokora_anime.nano.world.scene import Scene


@dataclass(slots=True)
class Trunk:
    """Maps trunk points (origin at the pelvis, neck at y = -24.5) to figure units."""

    pelvis: Points
    lean: float
    tilt: float
    sway: float
    bounce: float

    def at(self, points: Points) -> Points:
        """Points of the trunk; below the waist the hip tilt takes over from the lean."""
        share = np.clip((points[:, 1:] + 14.0) / 14.0, 0.0, 1.0)
        return self.pelvis + rotate(points, self.lean) * (1 - share) + rotate(points, self.tilt * 0.6) * share

    def cloth(self, points: Points, length: float) -> Points:
        """Points of a skirt that swings with the motion, fully at y = length."""
        weight = np.clip((points[:, 1:] + 8.0) / (length + 8.0), 0.0, 1.2) ** 1.3
        return self.at(points) + weight * np.array([self.sway * 0.9, self.bounce * 0.35])


def trunk_of(pose: Pose) -> Trunk:
    """The trunk's frame in a pose."""
    return Trunk(pose.pelvis, pose.lean, pose.hip_tilt, pose.sway, pose.bounce)


@dataclass(slots=True)
class Cloth:
    """Tones of one fabric."""

    base: RGB
    dark: RGB
    line: RGB


def cloth(color: RGB) -> Cloth:
    """Base, shadow and line of a fabric."""
    return Cloth(color, palette.shade(color), palette.outline(color))


_BODY = mirrored(
    [(0, -25.2), (3.4, -25.0), (7.4, -23.4), (8.8, -20.5), (7.2, -15), (6.0, -9.5), (7.4, 0), (4.0, 2.2)]
)
_BODY_SHADE = np.array([(8.4, -20), (7.2, -15), (6.0, -9.5), (7.4, 0), (3.0, 0), (3.4, -9), (4.4, -15)])


def _accent(scene: Scene) -> RGB:
    """A colour for belts and bands that stands apart from the outfit's."""
    table: dict[str, RGB] = {
        "white": (70, 86, 150), "red": (255, 238, 210), "blue": (255, 255, 255), "pink": (255, 255, 255),
        "green": (255, 240, 190), "yellow": (176, 110, 50), "black": (214, 214, 226),
        "purple": (255, 226, 130),
    }  # fmt: skip
    return table[scene.outfit_color]


def _skirt(
    canvas: Canvas, trunk: Trunk, fabric: Cloth, hem: float, width: float, pleats: int, band: RGB | None
) -> None:
    """A flared skirt from the waist to y = hem with pleats as cel shadows."""
    xs = np.linspace(-1.0, 1.0, 2 * pleats + 1)
    zig = np.where(np.arange(len(xs)) % 2 == 0, 0.0, 0.9)
    bottom = np.stack([xs * width, hem + 1.8 * (1 - xs**2) + zig], 1)
    top = np.array([(5.9, -9.6), (-5.9, -9.6)])
    left, right = np.array([(-8.4, -2.0)]), np.array([(8.4, -2.0)])
    outline = np.concatenate([left, bottom, right, top])
    canvas.fill(trunk.cloth(outline, hem), fabric.base)
    if not canvas.flat:
        for i in range(1, len(xs) - 1, 2):
            x = xs[i]
            pleat = np.array([(x * 6.0, -7.0), bottom[i], bottom[i + 1]])
            canvas.fill(trunk.cloth(pleat, hem), fabric.dark)
    if band is not None:
        strip = np.concatenate([bottom - np.array([0, 3.0]), bottom[::-1] - np.array([0, 1.6])])
        canvas.fill(trunk.cloth(strip * np.array([0.99, 1.0]), hem), band)
    canvas.ink(trunk.cloth(outline, hem), fabric.line, closed=True)


def _bodice(canvas: Canvas, trunk: Trunk, fabric: Cloth) -> None:
    canvas.shape(trunk.at(spline(_BODY, steps=4)), fabric.base, fabric.line)
    if not canvas.flat:
        canvas.fill(trunk.at(_BODY_SHADE), fabric.dark)


def _band(canvas: Canvas, trunk: Trunk, color: RGB, y0: float, y1: float, half: float) -> None:
    belt = np.array(
        [(-half, y0), (0, y0 + 0.8), (half, y0), (half * 1.04, y1), (0, y1 + 0.8), (-half * 1.04, y1)]
    )
    canvas.shape(trunk.at(belt), color, palette.outline(color))


def _uniform(canvas: Canvas, trunk: Trunk, scene: Scene, fabric: Cloth) -> None:
    collar: RGB = palette.NAVY if scene.outfit_color == "white" else (250, 250, 253)
    stripe: RGB = (250, 250, 253) if scene.outfit_color == "white" else fabric.base
    ribbon: RGB = (232, 56, 70) if scene.outfit_color != "red" else (250, 200, 70)
    _bodice(canvas, trunk, fabric)
    _skirt(canvas, trunk, fabric, 10.5, 13.0, 5, None)
    for side in (-1.0, 1.0):
        flap = np.array(
            [(1.6, -26.0), (5.2, -25.6), (9.4, -22.2), (8.6, -17.0), (4.4, -16.4), (0.2, -14.8)]
        ) * np.array([side, 1])
        canvas.shape(trunk.at(flap), collar, palette.outline(collar))
        edge = np.array([(8.2, -21.8), (7.4, -18.2), (4.2, -17.7), (1.0, -16.8)]) * np.array([side, 1])
        canvas.stroke(trunk.at(edge), stripe, 0.9)
    tails = np.array([(0, -14.6), (2.6, -8.6), (0.9, -9.4), (0, -12.0), (-0.9, -9.4), (-2.6, -8.6)])
    canvas.shape(trunk.at(tails), palette.shade(ribbon), palette.outline(ribbon))
    draw_bow(canvas, trunk.at(np.array([[0.0, -14.6]]))[0], 4.2, ribbon)


def _dress(canvas: Canvas, trunk: Trunk, scene: Scene, fabric: Cloth) -> None:
    accent = _accent(scene)
    _bodice(canvas, trunk, fabric)
    _skirt(canvas, trunk, fabric, 19.5, 15.5, 4, accent)
    tone = palette.skin(scene.skin_tone)
    neckline = spline(
        np.array([(-4.4, -24.9), (0, -25.8), (4.4, -24.9), (3.6, -21.6), (0, -19.6), (-3.6, -21.6)]), steps=4
    )
    canvas.shape(trunk.at(neckline), tone, fabric.line)
    canvas.stroke(
        trunk.at(spline(np.array([(-3.8, -21.6), (0, -19.4), (3.8, -21.6)]), closed=False)), accent, 1.6
    )
    _band(canvas, trunk, accent, -11.6, -8.2, 6.1)
    draw_bow(canvas, trunk.at(np.array([[0.0, -9.4]]))[0], 2.8, accent)


def _hoodie(canvas: Canvas, trunk: Trunk, scene: Scene, fabric: Cloth) -> None:
    shorts = cloth((66, 68, 92) if scene.outfit_color != "black" else (128, 132, 152))
    for side in (-1.0, 1.0):
        leg = np.array([(0.2, -3), (7.8, -3), (8.2, 8.0), (0.9, 8.4)]) * np.array([side, 1])
        canvas.shape(trunk.at(leg), shorts.base, shorts.line)
    body = mirrored(
        [(0, -25.0), (4.0, -25.0), (8.2, -23.2), (10.0, -19.5), (9.4, -10), (9.8, 0), (8.4, 2.6), (0.4, 3.2)]
    )
    canvas.shape(trunk.cloth(spline(body, steps=4), 30.0), fabric.base, fabric.line)
    if not canvas.flat:
        side_shade = np.array([(9.6, -19), (9.2, -10), (9.5, 1), (5.6, 1.6), (6.2, -8), (6.6, -16)])
        canvas.fill(trunk.cloth(side_shade, 30.0), fabric.dark)
    hem = np.array([(-9.7, 0), (0, 1.0), (9.7, 0), (9.0, 3.2), (0, 4.2), (-9.0, 3.2)])
    canvas.shape(trunk.cloth(hem, 30.0), fabric.dark, fabric.line)
    pocket = np.array([(-4.2, -9.4), (4.2, -9.4), (6.8, -3.4), (6.4, -0.8), (-6.4, -0.8), (-6.8, -3.4)])
    canvas.shape(trunk.cloth(pocket, 30.0), mix(fabric.base, fabric.dark, 0.55), fabric.line)
    for side in (-1.0, 1.0):
        hood = np.array(
            [(0, -19.2), (4.6, -21.6), (6.4, -26.4), (11.0, -25.4), (10.4, -20.2), (6.4, -16.6), (0.6, -16.0)]
        )
        canvas.shape(
            trunk.at(spline(hood * np.array([side, 1]), steps=4)),
            mix(fabric.base, fabric.dark, 0.4),
            fabric.line,
        )
        string = np.array([(2.0, -18.6), (2.5, -14), (2.2, -11.4)]) * np.array([side, 1])
        pale: RGB = (250, 250, 250) if scene.outfit_color != "white" else (120, 130, 170)
        canvas.stroke(trunk.cloth(string, 20.0), pale, 1.3)


def _kimono(canvas: Canvas, trunk: Trunk, scene: Scene, fabric: Cloth) -> None:
    accent = _accent(scene)
    _bodice(canvas, trunk, fabric)
    robe = np.array(
        [
            (-6.6, -8),
            (-8.6, 2),
            (-9.6, 16),
            (-9.4, 32.5),
            (0.0, 33.4),
            (9.4, 32.5),
            (9.6, 16),
            (8.6, 2),
            (6.6, -8),
        ]
    )
    canvas.shape(trunk.cloth(robe, 60.0), fabric.base, fabric.line)
    if not canvas.flat:
        fold = np.array([(1.2, -6), (3.6, 10), (4.6, 32.6), (9.2, 32.2), (9.4, 16), (5.4, 8)])
        canvas.fill(trunk.cloth(fold, 60.0), fabric.dark)
    hem = np.array([(-9.5, 29.2), (0, 30.2), (9.5, 29.2), (9.4, 32.4), (0, 33.3), (-9.4, 32.4)])
    canvas.fill(trunk.cloth(hem, 60.0), accent)
    canvas.ink(trunk.cloth(np.array([(2.4, -6), (3.2, 12), (2.2, 33)]), 60.0), fabric.line)
    for x, y in ((-5.4, 8.0), (-2.2, 18.0), (-6.4, 24.0), (5.6, 20.0), (1.0, 26.0)):
        _flower(canvas, trunk.cloth(np.array([[x, y]]), 60.0)[0], accent)
    tone = palette.skin(scene.skin_tone)
    canvas.fill(trunk.at(np.array([(-3.6, -25.6), (3.6, -25.6), (0.4, -18.6)])), tone)
    for side in (1.0, -1.0):
        lapel = np.array([(2.8, -26.2), (5.4, -25.2), (-2.4, -11.0), (-5.2, -12.0)]) * np.array([side, 1])
        canvas.shape(trunk.at(lapel), accent, palette.outline(accent))
    obi = cloth(mix(accent, (232, 92, 110), 0.55) if scene.outfit_color in ("white", "black") else accent)
    _band(canvas, trunk, obi.base, -14.0, -5.6, 6.9)
    canvas.stroke(trunk.at(np.array([(-6.8, -9.6), (0, -8.9), (6.8, -9.6)])), fabric.base, 1.6)
    canvas.disc(trunk.at(np.array([[0.0, -9.0]]))[0], 1.3, fabric.dark)


def _flower(canvas: Canvas, center: Points, color: RGB) -> None:
    for k in range(5):
        turn = 2 * np.pi * k / 5
        canvas.disc(center + 1.05 * np.array([np.cos(turn), np.sin(turn)]), 0.75, color)


def draw_outfit(canvas: Canvas, trunk: Trunk, scene: Scene) -> None:
    """The outfit over trunk and legs; sleeves are drawn with the arms."""
    fabric = cloth(palette.CLOTH[scene.outfit_color])
    {"school uniform": _uniform, "dress": _dress, "hoodie": _hoodie, "kimono": _kimono}[scene.outfit](
        canvas, trunk, scene, fabric
    )


def draw_sleeve(canvas: Canvas, path: Points, scene: Scene, outward: float) -> None:
    """A sleeve along shoulder, elbow, wrist [3,2]; outward is +1 on the image right, else -1."""
    fabric = cloth(palette.CLOTH[scene.outfit_color])
    shoulder, elbow, wrist = path
    along = (wrist - elbow) / np.hypot(*(wrist - elbow))
    if scene.outfit == "dress":
        puff = shoulder + (elbow - shoulder) * 0.22
        canvas.limb(np.stack([shoulder, puff]), (3.2, 3.9), fabric.base, fabric.dark, fabric.line)
        return
    if scene.outfit == "kimono":
        _wide_sleeve(canvas, path, fabric, _accent(scene), outward)
        return
    thick = (3.4, 3.1, 3.0) if scene.outfit == "school uniform" else (4.1, 3.9, 3.5)
    end = wrist - along * 3.4
    canvas.limb(np.stack([shoulder, elbow, end]), thick, fabric.base, fabric.dark, fabric.line)
    cuff: RGB = fabric.dark
    if scene.outfit == "school uniform":
        cuff = palette.NAVY if scene.outfit_color == "white" else (250, 250, 253)
    across = np.array([-along[1], along[0]]) * (thick[2] + 0.1)
    band = np.stack([-across, -across * 0.92 + along * 2.4, across * 0.92 + along * 2.4, across])
    canvas.shape(wrist - along * 2.6 + band, cuff, palette.outline(cuff))


def _wide_sleeve(canvas: Canvas, path: Points, fabric: Cloth, trim: RGB, outward: float) -> None:
    """A kimono sleeve: it hangs below a level forearm and narrows on an upright one."""
    shoulder, elbow, wrist = path
    canvas.limb(np.stack([shoulder, elbow]), (4.0, 4.2), fabric.base, fabric.dark, fabric.line)
    along = (wrist - elbow) / np.hypot(*(wrist - elbow))
    # A turn with the arm keeps the bag below a level arm and never flips it.
    hang = np.array([-along[1], along[0]]) * outward
    level = abs(float(along[0]))
    end = wrist - along * 1.2
    upper, lower = end - hang * 3.6, end + hang * (5.2 + 6.0 * level)
    back = elbow + hang * (4.2 + 4.0 * level) + along * 3.0
    bag = np.stack([elbow - hang * 4.0 - along, upper, lower, back, elbow + hang * 4.0 - along])
    canvas.shape(bag, fabric.base, fabric.line)
    if not canvas.flat:
        low = lower - hang * 3.0
        canvas.fill(np.stack([elbow + hang * 2.2, low, lower - hang * 0.5, back - hang * 0.5]), fabric.dark)
    canvas.stroke(np.stack([upper, lower]) * 0.94 + end * 0.06, trim, 2.0)
    canvas.ink(np.stack([upper, lower]) + along * 0.5, fabric.line)
