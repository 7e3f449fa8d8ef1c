"""Colours of the drawn world, RGB 0..255."""

from __future__ import annotations

import colorsys

RGB = tuple[int, int, int]

HAIR: dict[str, RGB] = {
    "black": (52, 48, 66),
    "brown": (134, 82, 50),
    "blonde": (250, 214, 104),
    "blue": (66, 116, 232),
    "pink": (255, 142, 188),
    "green": (72, 182, 100),
    "silver": (212, 218, 232),
    "red": (212, 48, 48),
    "purple": (146, 82, 206),
}
EYES: dict[str, RGB] = {
    "blue": (50, 130, 245),
    "red": (232, 40, 56),
    "green": (36, 178, 84),
    "purple": (160, 66, 226),
    "gold": (252, 194, 24),
    "brown": (142, 82, 42),
}
CLOTH: dict[str, RGB] = {
    "white": (248, 247, 250),
    "red": (222, 54, 60),
    "blue": (54, 100, 212),
    "pink": (252, 156, 196),
    "green": (64, 168, 100),
    "yellow": (252, 218, 84),
    "black": (58, 56, 70),
    "purple": (142, 92, 200),
}
RIBBONS: tuple[RGB, ...] = ((226, 50, 70), (255, 255, 255), (60, 110, 220), (250, 190, 60))
WHITE: RGB = (255, 255, 255)
NAVY: RGB = (52, 66, 124)


def mix(a: RGB, b: RGB, amount: float) -> RGB:
    """The colour `amount` (0..1) of the way from a to b."""
    return (
        round(a[0] + (b[0] - a[0]) * amount),
        round(a[1] + (b[1] - a[1]) * amount),
        round(a[2] + (b[2] - a[2]) * amount),
    )


def shade(color: RGB) -> RGB:
    """The cel shadow of a colour: darker and turned towards violet."""
    return (round(color[0] * 0.78), round(color[1] * 0.71), round(color[2] * 0.84))


def outline(color: RGB) -> RGB:
    """A dark line colour that belongs to a fill colour."""
    hue, light, saturation = colorsys.rgb_to_hls(*(c / 255 for c in color))
    red, green, blue = colorsys.hls_to_rgb(hue, min(0.24, light * 0.42), min(saturation, 0.5))
    return mix((round(red * 255), round(green * 255), round(blue * 255)), (40, 22, 44), 0.35)


def skin_shade(tone: RGB) -> RGB:
    """The warm shadow of a skin colour."""
    return mix(tone, (206, 108, 104), 0.36)


def skin(tone: float) -> RGB:
    """Skin from light (0) to tanned (1)."""
    return mix((255, 229, 212), (242, 200, 168), tone)
