"""When the delivered MP4 shows each of its frames: all of them, from its own bytes, each equally long."""

from __future__ import annotations

import struct
from typing import IO

from pokora_anime.compliance.verify.video import BadVideo, Box, boxes_of, movie

_MEDIA = ("trak", "mdia")
_TABLE = (*_MEDIA, "minf", "stbl")
_PLAIN = 0x10000  # an edit that plays at the speed of the media
_OWN_BYTES = b"\0\0\0\0\0\0\0\1\0\0\0\x0curl \0\0\0\1"  # dref: one entry, the file itself


def check_timing(file: IO[bytes], size: int, frames: int, fps: int) -> None:
    """Raises BadVideo unless `frames` frames play at `fps` from begin to end and lie in this very file."""
    content = movie(file, size)
    try:
        (scale,) = struct.unpack(">I", _content(content, *_MEDIA, "mdhd")[12:16])
        times = _content(content, *_TABLE, "stts")
        entries, count, delta = struct.unpack(">III", times[4:16])
        if len(times) != 16 or (entries, count) != (1, frames) or delta * fps != scale:
            raise BadVideo(f"its frames are not {frames} that are shown {fps} a second")
        if _content(content, *_MEDIA, "minf", "dinf", "dref") != _OWN_BYTES:
            raise BadVideo("its frames lie in another file")
        _check_edit(content, frames, fps)
    except struct.error as error:
        raise BadVideo(f"its tables are cut short ({error})") from error


def _check_edit(content: bytes, frames: int, fps: int) -> None:
    (scale,) = struct.unpack(">I", _content(content, "mvhd")[12:16])
    edit = _content(content, "trak", "edts", "elst")
    entries, length, _, speed = struct.unpack(">IIII", edit[4:20])
    if len(edit) != 20 or entries != 1 or speed != _PLAIN or abs(length * fps - frames * scale) > fps:
        raise BadVideo("it is cut, repeated or played at another speed")


def _content(content: bytes, *path: str) -> bytes:
    """The content of the only box at a path below the movie. Raises BadVideo."""
    for kind in path:
        found: list[Box] = [box for box in boxes_of(content) if box.kind == kind]
        if len(found) != 1:
            raise BadVideo(f"{len(found)} boxes {kind}, expected one")
        content = content[found[0].start : found[0].stop]
    return content
