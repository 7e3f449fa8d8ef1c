"""Sound in an MP4: AAC frames put behind the pictures of a finished file, and taken out again. Torch-free.

Not one byte of the pictures changes: a track is added to the table of contents, the pictures' places move by
its length, and the frames stand behind the last picture. From pictures and frames the file follows byte for
byte. Sources: ISO/IEC 14496-12 (boxes), 14496-14 (esds), 14496-3 (AudioSpecificConfig, ADTS).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

RATE = 48_000  # samples a second of every track
FRAME = 1024  # samples of an AAC frame
PRIMING = 1024  # samples that the encoder puts before the first one
_RATE_INDEX = 3  # of 48 kHz in ADTS and in an AudioSpecificConfig
_LOW_COMPLEXITY = 2
_MOVIE_SCALE = 1000
_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_MOST_FRAME = 8191  # bytes that ADTS can tell of


class NoSound(ValueError):
    """Bytes that are no sound as it is kept here, or a file that does not carry exactly one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """AAC-LC frames at 48 kHz of one or two channels."""

    channels: int
    frames: tuple[bytes, ...]

    def first(self, seconds: float) -> Stream:
        """The frames that are heard in the first seconds."""
        count = -(-(round(seconds * RATE) + PRIMING) // FRAME)
        return Stream(channels=self.channels, frames=self.frames[:count])


def read_adts(data: bytes) -> Stream:
    """The frames of an ADTS file. Raises NoSound."""
    frames, at, channels = list[bytes](), 0, 0
    while at < len(data):
        head = data[at : at + 7]
        if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
            raise NoSound("no AAC in ADTS")
        start = 7 if head[1] & 1 else 9
        size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
        told = (head[2] >> 6) + 1, head[2] >> 2 & 15, (head[2] & 1) << 2 | head[3] >> 6
        if (
            told[:2] != (_LOW_COMPLEXITY, _RATE_INDEX)
            or told[2] not in (1, 2)
            or channels not in (0, told[2])
        ):
            raise NoSound("AAC of another profile, rate or number of channels")
        if size <= start or at + size > len(data):
            raise NoSound("AAC that is cut short")
        frames.append(data[at + start : at + size])
        channels, at = told[2], at + size
    if not frames:
        raise NoSound("no AAC frame")
    return Stream(channels=channels, frames=tuple(frames))


def joined(pictures: bytes, sound: Stream) -> bytes:
    """A file of pictures alone as the encoder writes it, with a sound behind them. Raises NoSound."""
    tops = _boxes(pictures)
    if [kind for kind, _, _ in tops] != ["ftyp", "moov", "free", "mdat"] or not sound.frames:
        raise NoSound("a file of other boxes than ftyp, moov, free, mdat")
    _, start, stop = tops[1]
    movie = pictures[start:stop]
    added = len(_track(sound, _length(movie), 0))
    media_start, media_stop = tops[3][1], tops[3][2]
    track = _track(sound, _length(movie), media_stop + added)
    heard = b"".join(sound.frames)
    return b"".join(
        [
            pictures[: start - 8],
            _box("moov", _movie_with(movie, track, added)),
            pictures[stop : media_start - 8],
            struct.pack(">I4s", 8 + media_stop - media_start + len(heard), b"mdat"),
            pictures[media_start:media_stop],
            heard,
        ]
    )


def split(whole: bytes) -> tuple[bytes, Stream]:
    """The file of pictures alone and the sound of what `joined` wrote.

    Raises NoSound for any other file: the two are joined again and compared by bytes.
    """
    try:
        pictures, sound = _split(whole)
        same = joined(pictures, sound) == whole
    except (struct.error, IndexError) as error:
        raise NoSound(f"its tables are cut short ({error})") from error
    if not same:
        raise NoSound("it is not written as a sound is put behind these pictures")
    return pictures, sound


def _split(whole: bytes) -> tuple[bytes, Stream]:
    tops = _boxes(whole)
    if [kind for kind, _, _ in tops] != ["ftyp", "moov", "free", "mdat"]:
        raise NoSound("a file of other boxes than ftyp, moov, free, mdat")
    _, start, stop = tops[1]
    movie = whole[start:stop]
    inside = _boxes(movie)
    tracks = [one for one in inside if one[0] == "trak"]
    if len(tracks) != 2:
        raise NoSound(f"{len(tracks)} tracks, expected pictures and one sound")
    _, first, last = tracks[1]
    track = movie[first - 8 : last]
    channels, sizes = _told(track[8:])
    media_start, media_stop = tops[3][1], tops[3][2]
    begin = media_stop - sum(sizes)
    if begin < media_start:
        raise NoSound("more bytes of sound than the file holds")
    frames, at = list[bytes](), begin
    for size in sizes:
        frames.append(whole[at : at + size])
        at += size
    alone = movie[: first - 8] + movie[last:]
    pictures = b"".join(
        [
            whole[: start - 8],
            _box("moov", _moved(_next_track(alone, 2), -len(track))),
            whole[stop : media_start - 8],
            struct.pack(">I4s", 8 + begin - media_start, b"mdat"),
            whole[media_start:begin],
        ]
    )
    return pictures, Stream(channels=channels, frames=tuple(frames))


def _told(track: bytes) -> tuple[int, list[int]]:
    """Channels and sizes of frames that a track tells."""
    table = _inside(track, "mdia", "minf", "stbl")
    described, listed = _inside(table, "stsd"), _inside(table, "stsz")
    every, count = struct.unpack(">II", listed[4:12])
    (channels,) = struct.unpack(">H", described[32:34])
    if every or count > 2**16 or channels not in (1, 2):
        raise NoSound("a table of sizes or channels that no sound of this tool has")
    return channels, list(struct.unpack(f">{count}I", listed[12 : 12 + 4 * count]))


def _movie_with(movie: bytes, track: bytes, added: int) -> bytes:
    """The table of contents with a second track behind the first one."""
    place = next(stop for kind, _, stop in _boxes(movie) if kind == "trak")
    moved = _moved(_next_track(movie, 3), added)
    return moved[:place] + track + moved[place:]


def _next_track(movie: bytes, number: int) -> bytes:
    _, start, stop = next(one for one in _boxes(movie) if one[0] == "mvhd")
    return movie[: stop - 4] + struct.pack(">I", number) + movie[stop:] if start else movie


def _moved(movie: bytes, by: int) -> bytes:
    """The table of contents of pictures that lie further back in the file."""
    start, stop = _place(movie, "trak", "mdia", "minf", "stbl", "stco")
    (count,) = struct.unpack(">I", movie[start + 4 : start + 8])
    places = struct.unpack(f">{count}I", movie[start + 8 : start + 8 + 4 * count])
    table = struct.pack(f">{count}I", *(place + by for place in places))
    return movie[: start + 8] + table + movie[start + 8 + 4 * count :] if stop > start else movie


def _length(movie: bytes) -> int:
    """The clip's length in milliseconds."""
    start, _ = _place(movie, "mvhd")
    return struct.unpack(">I", movie[start + 16 : start + 20])[0]


def _track(sound: Stream, milliseconds: int, start: int) -> bytes:
    """The second track: its one chunk begins at `start`; what is heard past the clip's end is left out."""
    count, sizes = len(sound.frames), [len(frame) for frame in sound.frames]
    if max(sizes) > _MOST_FRAME:
        raise NoSound("a frame that is too long")
    length = min(milliseconds, (count * FRAME - PRIMING) * _MOVIE_SCALE // RATE)
    place = struct.pack(">6I", 3, 0, 0, 2, 0, length) + bytes(8) + struct.pack(">HHHH", 0, 1, 0x100, 0)
    tkhd = _box("tkhd", place + _MATRIX + bytes(8))
    elst = _box("elst", struct.pack(">IIIII", 0, 1, length, PRIMING, 0x10000))
    mdhd = _box("mdhd", struct.pack(">5I", 0, 0, 0, RATE, count * FRAME) + b"\x55\xc4\0\0")
    hdlr = _box("hdlr", bytes(8) + b"soun" + bytes(12) + b"SoundHandler\0")
    dinf = _box("dinf", _box("dref", bytes(4) + b"\0\0\0\1" + _box("url ", b"\0\0\0\1")))
    table = _box(
        "stbl",
        _box("stsd", struct.pack(">II", 0, 1) + _described(sound.channels))
        + _box("stts", struct.pack(">IIII", 0, 1, count, FRAME))
        + _box("stsc", struct.pack(">IIIII", 0, 1, 1, count, 1))
        + _box("stsz", struct.pack(f">III{count}I", 0, 0, count, *sizes))
        + _box("stco", struct.pack(">III", 0, 1, start)),
    )
    minf = _box("minf", _box("smhd", bytes(8)) + dinf + table)
    return _box("trak", tkhd + _box("edts", elst) + _box("mdia", mdhd + hdlr + minf))


def _described(channels: int) -> bytes:
    """What the frames are: AAC-LC at 48 kHz."""
    config = struct.pack(">H", _LOW_COMPLEXITY << 11 | _RATE_INDEX << 7 | channels << 3)
    decoder = bytes([0x40, 0x15]) + bytes(11) + _descriptor(5, config)
    told = struct.pack(">HB", 2, 0) + _descriptor(4, decoder) + _descriptor(6, b"\x02")
    esds = _box("esds", bytes(4) + _descriptor(3, told))
    entry = bytes(6) + struct.pack(">H", 1) + bytes(8) + struct.pack(">HHHHI", channels, 16, 0, 0, RATE << 16)
    return _box("mp4a", entry + esds)


def _descriptor(tag: int, content: bytes) -> bytes:
    return bytes([tag, len(content)]) + content


def _box(kind: str, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind.encode("latin-1")) + content


def _boxes(content: bytes) -> list[tuple[str, int, int]]:
    """Kind, begin and end of the content of each box."""
    found, at = list[tuple[str, int, int]](), 0
    while at < len(content):
        size, kind = struct.unpack(">I4s", content[at : at + 8])
        if size < 8 or at + size > len(content) or len(found) == 64:
            raise NoSound("boxes that do not fit")
        found.append((kind.decode("latin-1"), at + 8, at + size))
        at += size
    return found


def _place(content: bytes, *path: str) -> tuple[int, int]:
    """Where the content of the first box at a path lies."""
    start, stop = 0, len(content)
    for kind in path:
        inside = [one for one in _boxes(content[start:stop]) if one[0] == kind]
        if not inside:
            raise NoSound(f"no box {kind}")
        start, stop = start + inside[0][1], start + inside[0][2]
    return start, stop


def _inside(content: bytes, *path: str) -> bytes:
    start, stop = _place(content, *path)
    return content[start:stop]
