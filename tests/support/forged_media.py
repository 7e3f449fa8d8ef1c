"""Ways in which an MP4 or a PNG holds or shows something else than the pixels that were hashed.

MP4 and PNG: by name, from the bytes of an honest file to those of a forged one.
"""

from __future__ import annotations

import struct
import subprocess
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

from pokora_anime.media import mp4_sound
from pokora_anime.media.ffmpeg_program import find_ffmpeg

Forge = Callable[[bytes], bytes]
SEI = "086f3693-b7b3-4f2c-9653-21492feee5b8"
STREAM = "filter_units=remove_types=6,h264_metadata="


def copied(*options: str) -> Forge:
    """The same stream, written once more by ffmpeg with these options."""

    def forge(data: bytes) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder, "in.mp4"), Path(folder, "out.mp4")
            source.write_bytes(data)
            line = [find_ffmpeg(), "-v", "error", "-i", str(source), "-c", "copy", "-movflags", "+faststart"]
            subprocess.run([*line, *options, str(target)], check=True, capture_output=True)
            return target.read_bytes()

    return forge


def field(kind: bytes, offset: int, value: bytes) -> Forge:
    """Some bytes of a box's content changed."""

    def forge(data: bytes) -> bytes:
        start = data.index(kind) + 4 + offset
        return data[:start] + value + data[start + len(value) :]

    return forge


def stuffed(*path: bytes, more: bytes) -> Forge:
    """Bytes added at the end of the box that `path` leads to, and all around it told of them."""

    def forge(data: bytes) -> bytes:
        size = 0
        for name in path:
            place = data.index(name) - 4
            size = int.from_bytes(data[place : place + 4], "big")
            data = data[:place] + (size + len(more)).to_bytes(4, "big") + data[place + 4 :]
        end = data.index(path[-1]) - 4 + size
        data = data[:end] + more + data[end:]
        if path[0] != b"moov":
            return data
        moved = int.from_bytes(data[data.index(b"stco") + 12 :][:4], "big") + len(more)
        return field(b"stco", 8, moved.to_bytes(4, "big"))(data)

    return forge


def replaced(old: bytes, new: bytes) -> Forge:
    """A piece of the comment by a longer one, and all around it told of that."""

    def forge(data: bytes) -> bytes:
        path = (b"moov", b"udta", b"meta", b"ilst", b"\xa9cmt", b"data")
        grown = stuffed(*path, more=bytes(len(new) - len(old)))(data)
        at = grown.index(old)
        end = grown.index(b"\xa9cmt") - 4
        end += int.from_bytes(grown[end : end + 4], "big")
        return grown[:at] + new + grown[at + len(old) : end - len(new) + len(old)] + grown[end:]

    return forge


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def long(value: int) -> bytes:
    return struct.pack(">I", value)


JPEG = b"\xff\xd8\xff\xe0" * 64
TURNED = (0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000)  # a track's matrix: a quarter turn


def heard(data: bytes) -> bytes:
    """A sound in the one form that the tool writes, where the run has none."""
    return mp4_sound.joined(data, mp4_sound.Stream(channels=1, frames=(b"\x01\x40" * 40,) * 90))


MP4: dict[str, Forge] = {
    "a sound that the run has not": heard,
    "pixels twice as wide in the stream": copied("-bsf:v", f"{STREAM}sample_aspect_ratio=2/1"),
    "pixels twice as wide in the container": copied("-aspect", "2:1"),
    "other colours in the stream": copied("-bsf:v", f"{STREAM}matrix_coefficients=6"),
    "other primaries and transfer": copied(
        "-bsf:v", f"{STREAM}colour_primaries=9:transfer_characteristics=16"
    ),
    "full range": copied("-bsf:v", f"{STREAM}video_full_range_flag=1"),
    "cropped at the right": copied("-bsf:v", f"{STREAM}crop_right=8"),
    "cropped at the left and the top": copied("-bsf:v", f"{STREAM}crop_left=8:crop_top=8"),
    "another rate in the stream": copied("-bsf:v", f"{STREAM}tick_rate=48"),
    "another level": copied("-bsf:v", f"{STREAM}level=6.2"),
    "delimiters between the pictures": copied("-bsf:v", f"{STREAM}aud=insert"),
    "a note in the stream": copied("-bsf:v", f"h264_metadata=sei_user_data={SEI}+hidden"),
    "turned by the stream": copied("-bsf:v", f"{STREAM}display_orientation=insert:rotate=90"),
    "mirrored by the stream": copied("-bsf:v", f"{STREAM}display_orientation=insert:flip=horizontal"),
    "a comment": copied("-metadata", "comment=hidden"),
    "a title beside the comment": copied("-metadata", "title=hidden", "-fflags", "+bitexact"),
    "no comment": copied("-map_metadata", "-1", "-fflags", "+bitexact"),
    "a comment a word longer": replaced(b'"command":"video"', b'"command":"video" '),
    "a comment of another seed": lambda data: data.replace(b'"seed":', b'"sead":', 1),
    "a comment in another language": field(b"\xa9cmt", 12, b"\x15\xc7\x15\xc7"),
    "a comment that is a picture": field(b"\xa9cmt", 8, long(13)),
    "a second comment": stuffed(
        b"moov", b"udta", b"meta", b"ilst", more=box(b"\xa9cmt", box(b"data", long(1) + long(0) + JPEG))
    ),
    "a cover among the tags": stuffed(
        b"moov", b"udta", b"meta", b"ilst", more=box(b"covr", box(b"data", long(13) + long(0) + JPEG))
    ),
    "a note of the track": copied("-metadata:s:v", "handler_name=hidden"),
    "a language": copied("-metadata:s:v", "language=fra"),
    "fragments": copied("-movflags", "frag_keyframe"),
    "another brand": copied("-brand", "mp42"),
    "another time scale": copied("-video_track_timescale", "90000"),
    "a time code": copied("-write_tmcd", "1", "-timecode", "00:00:00:00"),
    "contents at the end": copied("-movflags", "0"),
    "turned by the track": field(b"tkhd", 40, struct.pack(">9i", *TURNED)),
    "mirrored by the track": field(b"tkhd", 40, struct.pack(">i", -0x10000)),
    "twice as wide in the track": field(b"tkhd", 40, long(0x20000)),
    "turned by the film": field(b"mvhd", 36, struct.pack(">9i", *TURNED)),
    "another width of the track": field(b"tkhd", 76, long(32 << 16)),
    "a track that is off": field(b"tkhd", 0, bytes(4)),
    "a track of another layer": field(b"tkhd", 32, b"\0\1"),
    "a film twice as fast": field(b"mvhd", 20, long(0x20000)),
    "half as fast": field(b"mdhd", 12, long(6144)),
    "slow motion": lambda data: field(b"elst", 8, long(4000))(field(b"mdhd", 12, long(6144))(data)),
    "frames shown for longer": field(b"stts", 12, long(1536)),
    "its first half second alone": field(b"elst", 8, long(500)),
    "half as fast by its edits": field(b"elst", 16, long(0x8000)),
    "begun later": field(b"elst", 12, long(4096)),
    "frames of another file": field(b"dref", 16, bytes(4)),
    "bytes behind the frames": stuffed(b"mdat", more=JPEG),
    "a box in the track": stuffed(b"moov", b"trak", more=box(b"meta", JPEG)),
    "a free box in the contents": stuffed(b"moov", more=box(b"free", JPEG)),
    "a cover": stuffed(b"moov", more=box(b"udta", box(b"covr", JPEG))),
    "bytes in the description of the stream": stuffed(
        b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1", b"avcC", more=JPEG
    ),
    "an aspect in the description": stuffed(
        b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1", more=box(b"pasp", long(2) + long(1))
    ),
    "an aperture in the description": stuffed(
        b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1",
        more=box(b"clap", struct.pack(">8I", 16, 1, 16, 1, 0, 1, 0, 1)),
    ),
    "a table of priorities": stuffed(
        b"moov", b"trak", b"mdia", b"minf", b"stbl", more=box(b"sdtp", bytes(64))
    ),
    "the name of the encoder": field(b"avc1", 42, b"\x07hidden!"),
    "words of the handler": field(b"hdlr", 24, b"hidden"),
    "a box behind the end": lambda data: data + box(b"free", JPEG),
    "bytes behind the end": lambda data: data + JPEG,
    "a picture before the beginning": lambda data: box(b"free", JPEG) + data,
    "a second film behind the first": lambda data: data + data,
}  # fmt: skip


def chunk(kind: bytes, content: bytes) -> bytes:
    return long(len(content)) + kind + content + long(zlib.crc32(kind + content))


def inserted(kind: bytes, content: bytes = b"", times: int = 1) -> Forge:
    """A chunk before the pixels."""

    def forge(data: bytes) -> bytes:
        at = data.index(b"IDAT") - 4
        return data[:at] + chunk(kind, content) * times + data[at:]

    return forge


def repacked(change: Forge) -> Forge:
    """Another stream of pixels."""

    def forge(data: bytes) -> bytes:
        at, packed = data.index(b"IDAT") - 4, b""
        end = at
        while data[end + 4 : end + 8] == b"IDAT":
            (length,) = struct.unpack(">I", data[end : end + 4])
            packed += data[end + 8 : end + 8 + length]
            end += 12 + length
        return data[:at] + chunk(b"IDAT", change(packed)) + chunk(b"IEND", b"")

    return forge


def animated(data: bytes) -> bytes:
    """A second picture that a browser shows and a still reader does not: the first one, inverted."""
    head = data.index(b"IHDR") + 4
    width, height = struct.unpack(">II", data[head : head + 8])
    at, end = data.index(b"IDAT") - 4, data.index(b"IEND") - 4
    rows = zlib.compress(b"".join(b"\0" + b"\xff\0\xff" * width for _ in range(height)))
    control = struct.pack(">IIIIIHHBB", 0, width, height, 0, 0, 1, 100, 0, 0)
    return (
        data[:at]
        + chunk(b"acTL", struct.pack(">II", 1, 0))
        + data[at:end]
        + chunk(b"fcTL", control)
        + chunk(b"fdAT", long(1) + rows)
        + data[end:]
    )


EXIF = b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"  # orientation: a quarter turn
PNG: dict[str, Forge] = {
    "an animation": animated,
    "an animation announced twice": lambda data: inserted(b"acTL", struct.pack(">II", 1, 0))(animated(data)),
    "a frame of an animation that is not announced": inserted(b"fdAT", long(0) + b"x"),
    "gamma": inserted(b"gAMA", long(500_000)),
    "a colour that is transparent": inserted(b"tRNS", bytes(6)),
    "turned by its notes": inserted(b"eXIf", EXIF),
    "pixels twice as wide": inserted(b"pHYs", long(1000) + long(2000) + b"\0"),
    "a colour profile": inserted(b"iCCP", b"x\0\0" + zlib.compress(b"none")),
    "chromaticities": inserted(
        b"cHRM", b"".join(map(long, (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)))
    ),
    "a colour space": inserted(b"sRGB", b"\0"),
    "colours of another standard": inserted(b"cICP", bytes([9, 16, 0, 1])),
    "a text": inserted(b"tEXt", b"a\0b"),
    "a packed text": inserted(b"zTXt", b"a\0\0" + zlib.compress(JPEG)),
    "a text in another language": inserted(b"iTXt", b"a\0\0\0\0\0b"),
    "a time": inserted(b"tIME", bytes(7)),
    "a background": inserted(b"bKGD", bytes(6)),
    "a palette": inserted(b"PLTE", bytes(3)),
    "a palette to choose from": inserted(b"sPLT", b"a\0\x08" + bytes(10)),
    "bits that count": inserted(b"sBIT", b"\1\1\1"),
    "a histogram": inserted(b"hIST", bytes(2)),
    "a private chunk": inserted(b"prIv", JPEG),
    "a private chunk that must be known": inserted(b"PrIv", JPEG),
    "a second header": inserted(b"IHDR", bytes(13)),
    "an early end": inserted(b"IEND"),
    "bytes behind the end": lambda data: data + JPEG,
    "a picture behind the end": lambda data: data + data,
    "a second end": lambda data: data + chunk(b"IEND", b""),
    "an end with content": lambda data: data[:-12] + chunk(b"IEND", b"x"),
    "a wrong check sum": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "bytes behind the pixels": repacked(lambda packed: packed + JPEG),
    "a row more": repacked(lambda packed: zlib.compress(zlib.decompress(packed) + bytes(64))),
    "a pixel less": repacked(lambda packed: zlib.compress(zlib.decompress(packed)[:-1])),
    "an unknown filter": repacked(lambda packed: zlib.compress(b"\5" + zlib.decompress(packed)[1:])),
}  # fmt: skip
