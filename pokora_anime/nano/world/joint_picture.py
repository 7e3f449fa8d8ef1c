"""The picture that a drawn character's joints make: the one that the control stage draws."""

from pokora_anime.media.openpose_map import COLORS, LIMBS, openpose_map

__all__ = ["COLORS", "LIMBS", "openpose_map"]
