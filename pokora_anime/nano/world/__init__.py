"""The drawn world: a scene in, pixels, joints, depth and captions out."""

from pokora_anime.nano.world.caption import caption, caption_with_labels, full_caption, words
from pokora_anime.nano.world.draw import Frame, draw_frame
from pokora_anime.nano.world.openpose import openpose_map
from pokora_anime.nano.world.scene import Scene, sample_scene
from pokora_anime.nano.world.vocabulary import ATTRIBUTES

__all__ = [
    "ATTRIBUTES",
    "Frame",
    "Scene",
    "caption",
    "caption_with_labels",
    "draw_frame",
    "full_caption",
    "openpose_map",
    "sample_scene",
    "words",
]
