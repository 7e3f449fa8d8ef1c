"""What actions look like: the teacher of the choreographer. Each is posed by its phase and a style.

The network learns to plan from these; nothing of a clip is taken from here when it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from pokora_anime.choreography.body import Array, Moves

STYLES = 8  # numbers of a style: the first is -1 or 1 (which side acts), the others about normal
BARS = 4  # cycles until a motion repeats as a whole
_PI2 = 2 * np.pi


@dataclass(frozen=True, slots=True)
class Moment:
    """Where in their motion figures are: `w` the phase in radians, `bar` that of the whole phrase, `begun`
    how far the action has been taken up (0..1), `size` of the motion, `style` [N,STYLES]."""

    w: Array
    bar: Array
    begun: Array
    size: Array
    style: Array

    @property
    def side(self) -> Array:
        return self.style[:, 0]

    def varied(self, index: int, share: float = 1.0) -> Array:
        return share * np.tanh(0.7 * self.style[:, index])


Motion = Callable[[Moves, Moment], None]


def _by_side(on: Array, acting: Array | float, other: Array | float) -> Array:
    """[N,2]: `acting` on the side that acts, `other` on the other."""
    right = on > 0
    return np.stack([np.where(right, other, acting), np.where(right, acting, other)], -1)


def _soft(values: Array, low: float, high: float) -> Array:
    share = np.clip((values - low) / (high - low), 0, 1)
    return share * share * (3 - 2 * share)


def _held(m: Moment) -> Array:
    """Down, held, up again in one cycle: 0..1."""
    p = (m.w / _PI2) % 1.0
    return _soft(p, 0.0, 0.3) - _soft(p, 0.65, 0.95)


def standing(b: Moves, m: Moment) -> None:
    breath, slow = np.sin(m.w), np.sin(m.bar + m.style[:, 1])
    b.x += 1.1 * slow * m.size
    b.drop += 0.25 + 0.25 * breath
    b.lean += 1.0 * slow
    b.tilt += 1.6 * slow
    b.roll += 2.5 * np.sin(m.bar + 0.5) + m.varied(2, 2)
    glance = np.sin(m.bar + m.style[:, 3]) ** 3
    b.look += 14 * glance * m.size
    b.upper += (2.0 * breath + m.varied(4, 3))[:, None]
    b.lower += (1.5 * breath)[:, None]


def waving(b: Moves, m: Moment) -> None:
    swing = np.sin(m.w)
    high = 112 + m.varied(1, 12)
    b.upper = _by_side(m.side, high + 4 * swing, 14 + np.sin(m.bar))
    b.lower = _by_side(m.side, 157 - 27 * m.size * swing, 8 + np.sin(m.bar))
    b.roll += (3.5 + 1.5 * swing) * m.side
    b.lean += -1.5 * m.side


def arms_up(b: Moves, m: Moment) -> None:
    swing = (np.sin(m.w) * m.size)[:, None] * np.array([1.0, -1.0])
    b.upper = 129 + m.varied(1, 8)[:, None] + 7 * swing
    b.lower = 160 + m.varied(2, 8)[:, None] + 11 * swing


def _stepping(b: Moves, m: Moment, stride: float, height: float, swing: float, bend: float) -> None:
    d, a = m.side, m.size
    for i, p in enumerate((0.0, np.pi)):
        c, s = np.cos(m.w + p), np.sin(m.w + p)
        b.foot[:, i, 0] = (-1, 1)[i] * 1.9 + d * stride * a * c
        b.foot[:, i, 1] = height * a * np.maximum(0.0, -s) ** 1.5
        side = (-1, 1)[i]
        b.upper[:, i] = 20 - side * d * swing * a * c
        b.lower[:, i] = 13 + side * d * (bend - (swing + 3) * a * c)
        b.knee[:, i] = 2.2 * d
    b.x += 0.9 * np.sin(m.w)
    b.lean += 2.0 * d + 1.6 * np.sin(m.w)
    b.look += 26 * d
    b.roll += 1.5 * np.sin(m.w)


def walking(b: Moves, m: Moment) -> None:
    _stepping(b, m, 8.0, 5.0, 17, 8)
    b.drop += 1.9 - 1.3 * np.cos(2 * m.w)


def running(b: Moves, m: Moment) -> None:
    _stepping(b, m, 12.5, 13.0, 36, 52)
    b.lean += 7 * m.side
    b.drop += 3.4
    b.lift += 4.5 * m.size * np.maximum(0, np.cos(2 * m.w))


def jumping(b: Moves, m: Moment) -> None:
    p = (m.w / _PI2) % 1.0
    q = np.clip(p / 0.5, 0, 1)
    air = 4 * q * (1 - q)
    crouch = np.where(p >= 0.5, np.sin(np.pi * (p - 0.5) / 0.5) ** 2, 0.0)
    smooth = 0.5 + 0.5 * np.sin(m.w)
    b.lift += 14 * np.minimum(m.size, 1.4) * air
    b.drop += 0.2 + 5.5 * crouch
    b.upper = np.repeat((32 + (92 + m.varied(1, 15)) * smooth)[:, None], 2, 1)
    b.lower = np.repeat((20 + 128 * smooth)[:, None], 2, 1)
    b.foot[..., 1] += 3.0 * air[:, None]


def _sway(b: Moves, m: Moment, s: Array) -> None:
    b.x += 3.4 * m.size * s
    b.drop += 1.5 - 0.9 * np.cos(2 * m.w)
    b.lean += -5.0 * s
    b.tilt += 7.0 * s
    b.roll += 6.0 * s
    b.look += 10 * s
    b.foot[:, 0, 1] += 3.4 * np.maximum(0.0, s) ** 1.5
    b.foot[:, 1, 1] += 3.4 * np.maximum(0.0, -s) ** 1.5


def dancing(b: Moves, m: Moment) -> None:
    s = np.sin(m.w) * m.side
    _sway(b, m, s)
    lag = np.sin(m.w - 0.6 - m.varied(1, 0.6)) * m.side
    high = 92 + m.varied(2, 28) + 16 * np.sin(m.bar + m.style[:, 3])
    reach = 42 * m.size
    b.upper = np.stack([high + reach * s, high - reach * s], -1)
    b.lower = b.upper + np.stack([26 + 24 * lag, 26 - 24 * lag], -1) * (1 + m.varied(4, 0.5))[:, None]
    b.upper_ahead += (14 * np.cos(m.bar))[:, None]


def dancing_arms(b: Moves, m: Moment) -> None:
    """Club: bouncing, one arm in the air, the other bent, changing with the bar."""
    s, beat = np.sin(m.w) * m.side, np.abs(np.sin(m.w))
    _sway(b, m, 0.7 * s)
    b.drop += 2.5 * beat * m.size
    turn = 0.5 + 0.5 * np.tanh(3 * np.sin(m.bar + m.style[:, 1]))
    up, low = 150 + 14 * m.size * np.sin(2 * m.w), 42 + 14 * m.size * np.sin(2 * m.w)
    b.upper = np.stack([up * turn + low * (1 - turn), low * turn + up * (1 - turn)], -1)
    bent = 130 + m.varied(2, 20)
    b.lower = np.stack([168 * turn + bent * (1 - turn), bent * turn + 168 * (1 - turn)], -1)
    b.lower_ahead += 18


def ballet(b: Moves, m: Moment) -> None:
    """Ballet: arms open in a circle, one leg drawn up, slow turns."""
    open_, s = 0.5 + 0.5 * np.sin(m.w), np.sin(m.bar) * m.side
    b.upper = np.repeat((70 + 62 * open_ * m.size)[:, None], 2, 1) + m.varied(1, 8)[:, None]
    b.lower = b.upper + 26
    b.upper_ahead += 20
    b.lean += 4 * s
    b.yaw += 28 * s * m.size
    leg = np.maximum(0, np.sin(m.w - 0.7))
    b.foot[..., 1] += _by_side(m.side, 13 * leg * m.size, 0.0)
    b.foot[..., 0] += _by_side(m.side, -5 * leg * m.side, 0.0)
    b.knee = _by_side(m.side, 2.5 * m.side, -0.4 * m.side)
    b.lift += 1.5 * open_


def spinning(b: Moves, m: Moment) -> None:
    # A triangle's saw would tear: a whole turn a cycle, round and round.
    b.yaw += m.w * 180 / np.pi * m.side
    b.upper = np.full_like(b.upper, 72.0) + m.varied(1, 25)[:, None] + (6 * np.sin(m.w))[:, None]
    b.lower = b.upper + 14
    b.drop += 0.8 + 0.6 * np.cos(2 * m.w)
    b.foot[:, :, 0] *= 0.6


def turning_side(b: Moves, m: Moment) -> None:
    b.yaw += 74 * m.side * (0.94 + 0.06 * np.sin(m.w))
    b.look += 8 * np.sin(m.bar) * m.side
    b.drop += 0.25 + 0.25 * np.sin(m.w)


def turning_back(b: Moves, m: Moment) -> None:
    b.yaw += (172 + 8 * np.sin(m.w)) * m.side
    b.drop += 0.25 + 0.25 * np.sin(m.w)
    b.x += 0.8 * np.sin(m.bar)


def bowing(b: Moves, m: Moment) -> None:
    down = _held(m)
    b.bow += (46 + m.varied(1, 8)) * np.minimum(m.size, 1.4) * down
    b.nod += 14 * down
    b.upper_ahead += (12 * down)[:, None]


def kneeling(b: Moves, m: Moment) -> None:
    b.drop += 17.5 + 0.3 * np.sin(m.w)
    b.foot[..., 2] += _by_side(m.side, -19.0, 9.0)
    b.knee[:] = 0.1 * np.sign(b.knee)
    b.upper_ahead += _by_side(m.side, 10.0, 34.0)
    b.look += 8 * np.sin(m.bar)


def sitting(b: Moves, m: Moment) -> None:
    b.drop += 18.0 + 0.3 * np.sin(m.w)
    b.foot[..., 2] += 20 + m.varied(1, 3)[:, None]
    b.upper_ahead += 24
    b.lower_ahead += 22
    b.look += 9 * np.sin(m.bar)
    b.roll += 3 * np.sin(m.bar + 1)


def crouching(b: Moves, m: Moment) -> None:
    b.drop += 15 + 1.2 * m.size * np.sin(m.w)
    b.bow += 16
    b.knee *= 2.0
    b.upper_ahead += 36
    b.lower_ahead += 40


def kicking(b: Moves, m: Moment) -> None:
    up = _soft(np.sin(m.w), 0.1, 0.95) * np.minimum(m.size, 1.3)
    b.foot[..., 1] += _by_side(m.side, (27 + m.varied(1, 6)) * up, 0.0)
    b.foot[..., 0] += _by_side(m.side, 21 * up * m.side, 0.0)
    b.lean += -11 * up * m.side
    b.upper = _by_side(m.side, 34 + 20 * up, 50 + 42 * up)
    b.lower = b.upper + 40
    b.x += -1.5 * up * m.side


def clapping(b: Moves, m: Moment) -> None:
    apart = 0.5 + 0.5 * np.sin(m.w)
    b.upper = np.repeat((16 + 18 * apart * m.size)[:, None], 2, 1)
    b.lower = np.repeat((-150 + m.varied(1, 14) + 44 * apart * m.size)[:, None], 2, 1)
    b.upper_ahead += 18
    b.lower_ahead += 30


def cheering(b: Moves, m: Moment) -> None:
    beat = 0.5 + 0.5 * np.sin(m.w)
    b.upper = np.repeat((118 + 34 * beat * m.size)[:, None], 2, 1)
    b.lower = np.repeat((150 + 24 * beat + m.varied(1, 8))[:, None], 2, 1)
    b.lift += 3.0 * m.size * np.maximum(0, np.sin(m.w))
    b.drop += 1.2 * np.maximum(0, -np.sin(m.w))
    b.roll += 4 * np.sin(m.bar)


def pointing(b: Moves, m: Moment) -> None:
    jab = np.sin(m.w)
    b.upper = _by_side(m.side, 82 + m.varied(1, 24) + 4 * jab * m.size, 14.0)
    b.lower = b.upper - _by_side(m.side, 0.0, 6.0)
    b.upper_ahead += _by_side(m.side, 12.0, 0.0)
    b.look += 22 * m.side
    b.lean += 2 * m.side


def reaching(b: Moves, m: Moment) -> None:
    out = 0.75 + 0.25 * np.sin(m.w) * m.size
    b.upper = _by_side(m.side, 40 + 26 * out + m.varied(1, 14), 13.0)
    b.lower = _by_side(m.side, 66 + 20 * out, 8.0)
    b.upper_ahead += _by_side(m.side, 48 * out, 0.0)
    b.lower_ahead += _by_side(m.side, 44 * out, 0.0)
    b.bow += 6 * out
    b.lean += 3 * m.side * out


def stretching(b: Moves, m: Moment) -> None:
    up = 0.5 + 0.5 * np.sin(m.w)
    b.upper = np.repeat((120 + 46 * up)[:, None], 2, 1)
    b.lower = np.repeat((206 - 26 * up)[:, None], 2, 1)
    bend = np.sin(m.bar + m.style[:, 1]) * m.size
    b.lean += 8 * bend
    b.roll += 5 * bend
    b.drop += 0.6 - 1.0 * up


def touching_hair(b: Moves, m: Moment) -> None:
    stroke = np.sin(m.w) * m.size
    b.upper = _by_side(m.side, 62 + m.varied(1, 8) + 4 * stroke, 13.0)
    b.lower = _by_side(m.side, 196 + 9 * stroke, 8.0)
    b.lower_ahead += _by_side(m.side, 12.0, 0.0)
    b.roll += (5 + 2 * stroke) * m.side


def hands_on_hips(b: Moves, m: Moment) -> None:
    b.upper = np.full_like(b.upper, 46.0) + (2 * np.sin(m.w))[:, None]
    b.lower = np.full_like(b.lower, -52.0)
    b.tilt += 3 * m.side * np.sin(m.bar)


def nodding(b: Moves, m: Moment) -> None:
    b.nod += 13 * m.size * (0.4 + np.sin(m.w))


def shaking_head(b: Moves, m: Moment) -> None:
    b.look += 26 * m.size * np.sin(m.w)


def looking_around(b: Moves, m: Moment) -> None:
    s = np.tanh(2.2 * np.sin(m.w)) / np.tanh(2.2)
    b.look += 40 * m.size * s * m.side
    b.yaw += 12 * s * m.side
    b.roll += 2 * np.sin(m.bar)


@dataclass(frozen=True, slots=True)
class Action:
    """One action: its motion, cycles a second, and what of the body it takes (body, arms or head)."""

    motion: Motion
    rate: float
    part: str = "body"


ACTIONS: Mapping[str, Action] = {
    "standing": Action(standing, 0.42),
    "waving": Action(waving, 0.9, "arms"),
    "arms up": Action(arms_up, 0.7, "arms"),
    "walking": Action(walking, 0.77),
    "jumping": Action(jumping, 0.77),
    "dancing": Action(dancing, 0.77),
    "club dance": Action(dancing_arms, 0.85),
    "ballet": Action(ballet, 0.45),
    "running": Action(running, 1.15),
    "spinning": Action(spinning, 0.5),
    "turning to the side": Action(turning_side, 0.42),
    "turning back": Action(turning_back, 0.42),
    "bowing": Action(bowing, 0.3),
    "kneeling": Action(kneeling, 0.42),
    "sitting": Action(sitting, 0.42),
    "crouching": Action(crouching, 0.5),
    "kicking": Action(kicking, 0.6),
    "clapping": Action(clapping, 1.5, "arms"),
    "cheering": Action(cheering, 1.0, "arms"),
    "pointing": Action(pointing, 0.6, "arms"),
    "reaching out": Action(reaching, 0.45, "arms"),
    "stretching": Action(stretching, 0.35, "arms"),
    "touching hair": Action(touching_hair, 0.5, "arms"),
    "hands on hips": Action(hands_on_hips, 0.42, "arms"),
    "nodding": Action(nodding, 0.9, "head"),
    "shaking head": Action(shaking_head, 0.9, "head"),
    "looking around": Action(looking_around, 0.33, "head"),
}
NAMES = tuple(ACTIONS)


def together(names: tuple[str, ...]) -> tuple[str, ...]:
    """What of several actions one body can do at once: one each of the body, the arms and the head.

    Of two that contradict each other (sitting, jumping) the first one named is done. Idle where none is.
    """
    taken: dict[str, str] = {}
    for name in names:
        taken.setdefault(ACTIONS[name].part, name)
    body = taken.get("body", "standing")
    return (body, *(taken[part] for part in ("arms", "head") if part in taken))


def posed(names: tuple[str, ...], m: Moment) -> Moves:
    """The poses of actions done together, arms and head over the body."""
    moves = Moves(len(m.w))
    for name in together(names):
        action = ACTIONS[name]
        if action.part == "arms":
            still = Moves(len(m.w))
            moves.upper, moves.lower = still.upper, still.lower
            moves.upper_ahead, moves.lower_ahead = still.upper_ahead, still.lower_ahead
        if action.part == "head" or (action.part == "arms" and name == "pointing"):
            moves.look = moves.look * 0
        action.motion(moves, m)
    return moves


def taken_up(names: tuple[str, ...], moment: Moment) -> Moves:
    """The poses of actions, between standing at ease and themselves as far as they are begun."""
    moves, ease = posed(names, moment), Moves(len(moment.w))
    standing(ease, moment)
    for name in Moves.__dataclass_fields__:
        if name == "count" or (name == "yaw" and "spinning" in names):
            continue
        one, other = getattr(ease, name), getattr(moves, name)
        share = moment.begun.reshape(-1, *([1] * (other.ndim - 1)))
        setattr(moves, name, one + share * (other - one))
    return moves


def rate_of(names: tuple[str, ...]) -> float:
    """Cycles a second of actions done together: the quickest one's that is no idling."""
    done = [ACTIONS[name].rate for name in together(names) if name != "standing"]
    return max(done, default=ACTIONS["standing"].rate)
