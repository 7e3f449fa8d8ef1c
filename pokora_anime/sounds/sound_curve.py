"""A sound as one curve: how strong the accent is at each moment. Torch-free.

Onsets by the rise of loudness in three bands (spectral flux, Bello et al. 2005), each of which falls off
until the next one, as a beat's level does.
"""

from __future__ import annotations

from math import exp

import numpy as np
from numpy.typing import NDArray

from pokora_anime.media.mp4_sound import RATE
from pokora_anime.sounds.sound_reading import Samples

PER_SECOND = 240  # levels: whole for 8, 12, 24, 30 and 60 frames a second
LEVELS = 9  # of a digit
_HOP, _WINDOW = RATE // PER_SECOND, 1024
_BANDS = ((0, 200), (200, 2000), (2000, 24_000))  # Hz
_FALL = 6.0  # how fast a level falls, in 1/seconds
_LEAST = 0.12  # of the strongest onset: what is weaker is no accent
_BACK = 5  # levels back that a rise is measured over: about 20 ms


def levels(samples: Samples) -> bytes:
    """PER_SECOND levels a second, 0 to 255, of samples at 48 kHz."""
    rise = _rise(samples.mean(axis=1))
    strongest = float(np.quantile(rise, 0.995)) if len(rise) else 0.0
    if strongest <= 0.0:
        return bytes(len(rise))
    onset = np.clip(rise / strongest, 0.0, 1.0)
    onset[onset < _LEAST] = 0.0
    level, fall, found = 0.0, exp(-_FALL / PER_SECOND), bytearray()
    for strength in onset.tolist():
        level = max(strength, level * fall)
        found.append(round(255 * level))
    return bytes(found)


def digits(stored: bytes, fps: int, seconds: float) -> str:
    """A digit for each frame of a clip: the highest level since the one before; 0 past the sound's end."""
    found: list[str] = []
    for frame in range(round(seconds * fps) + 1):
        first = round((frame - 1) * PER_SECOND / fps) + 1
        part = stored[max(0, first) : round(frame * PER_SECOND / fps) + 1]
        found.append(str(round(LEVELS * max(part, default=0) / 255)))
    return "".join(found)


def _rise(mono: NDArray[np.float32]) -> NDArray[np.float64]:
    """How much louder each moment is than a little before, over the bands, where it is louder."""
    padded = np.concatenate([np.zeros(_WINDOW // 2), mono, np.zeros(_WINDOW)])
    count = max(1, len(mono) // _HOP)
    window, found = np.hanning(_WINDOW), np.zeros((count, len(_BANDS)))
    edges = [(low * _WINDOW // RATE, max(1, high * _WINDOW // RATE)) for low, high in _BANDS]
    for begin in range(0, count, PER_SECOND):  # a second at a time
        at = np.arange(begin, min(count, begin + PER_SECOND)) * _HOP
        power = np.abs(np.fft.rfft(padded[at[:, None] + np.arange(_WINDOW)] * window, axis=1)) ** 2
        for band, (low, high) in enumerate(edges):
            found[at // _HOP, band] = power[:, low : high + 1].sum(axis=1)
    loud = np.log1p(1e2 * found / max(1e-12, float(found.max())))
    before = np.concatenate([np.zeros((min(_BACK, count), len(_BANDS))), loud[:-_BACK]])
    return np.maximum(loud - before, 0.0).sum(axis=1)
