"""How the delivered MP4 shows its frames: all of them, from its own bytes, equally long, as they are."""

from __future__ import annotations

import struct
from typing import IO

from pokora_anime.untrusted.untrusted_names import shown
from pokora_anime.verify.video.mp4_frames import BadVideo, Box, boxes_in, boxes_of, movie

_MEDIA = ("trak", "mdia")
_TABLE = (*_MEDIA, "minf", "stbl")
_PLAIN = 0x10000  # an edit that plays at the speed of the media
_IDENTITY = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
# What each box of the track may hold; boxes without a list of their own are data.
_CHILDREN = {
    "trak": {"tkhd", "edts", "mdia"},
    "edts": {"elst"},
    "mdia": {"mdhd", "hdlr", "minf"},
    "minf": {"vmhd", "dinf", "stbl"},
    "dinf": {"dref"},
    "stbl": {"stsd", "stts", "stss", "ctts", "stsc", "stsz", "stco"},
}
_OWN_BYTES = b"\0\0\0\0\0\0\0\1\0\0\0\x0curl \0\0\0\1"  # dref: one entry, the file itself


def check_timing(file: IO[bytes], size: int, frames: int, fps: int) -> None:
    """Raises BadVideo unless `frames` frames play at `fps` from begin to end and lie in this very file."""
    content = movie(file, size)
    _check_children(content, "trak")
    try:
        if _content(content, "trak", "tkhd")[40:76] != _IDENTITY:
            raise BadVideo("its frames are turned, scaled or moved")
        (scale,) = struct.unpack(">I", _content(content, *_MEDIA, "mdhd")[12:16])
        times = _content(content, *_TABLE, "stts")
        entries, count, delta = struct.unpack(">III", times[4:16])
        if len(times) != 16 or (entries, count) != (1, frames) or delta * fps != scale:
            raise BadVideo(f"its frames are not {frames} that are shown {fps} a second")
        if _content(content, *_MEDIA, "minf", "dinf", "dref") != _OWN_BYTES:
            raise BadVideo("its frames lie in another file")
        _check_edit(content, frames, fps)
        _check_media(file, size, _content(content, *_TABLE, "stsz"), frames)
    except struct.error as error:
        raise BadVideo(f"its tables are cut short ({error})") from error


def _check_edit(content: bytes, frames: int, fps: int) -> None:
    (scale,) = struct.unpack(">I", _content(content, "mvhd")[12:16])
    edit = _content(content, "trak", "edts", "elst")
    entries, length, _, speed = struct.unpack(">IIII", edit[4:20])
    if len(edit) != 20 or entries != 1 or speed != _PLAIN or abs(length * fps - frames * scale) > fps:
        raise BadVideo("it is cut, repeated or played at another speed")


def _check_media(file: IO[bytes], size: int, sizes: bytes, frames: int) -> None:
    """Every byte of the media belongs to a frame."""
    every, count = struct.unpack(">II", sizes[4:12])
    stated = sum(struct.unpack(f">{count}I", sizes[12:])) if every == 0 else every * count
    held = sum(box.stop - box.start for box in boxes_in(file, size) if box.kind == "mdat")
    if count != frames or stated != held:
        raise BadVideo(f"{held} bytes of media, {stated} of them in {count} frames")


def _check_children(content: bytes, kind: str) -> None:
    """Nothing lies in the track but what describes its pictures. Raises BadVideo."""
    inside = _content(content, kind)
    found = [box.kind for box in boxes_of(inside)]
    if not set(found) <= _CHILDREN[kind] or len(set(found)) != len(found):
        raise BadVideo(f"{kind} holds {shown(found)}")
    for child in found:
        if child in _CHILDREN:
            _check_children(inside, child)


def _content(content: bytes, *path: str) -> bytes:
    """The content of the only box at a path below the movie. Raises BadVideo."""
    for kind in path:
        found: list[Box] = [box for box in boxes_of(content) if box.kind == kind]
        if len(found) != 1:
            raise BadVideo(f"{len(found)} boxes {kind}, expected one")
        content = content[found[0].start : found[0].stop]
    return content
