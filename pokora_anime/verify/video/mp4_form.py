"""Closed form of the delivered MP4: its container is written again from its samples and compared by bytes.

What the samples leave open is read from the file: their sizes, their composition offsets, and the parameter
sets. Everything else follows from frame size, frame count and frame rate, so no byte of the container can
hold anything beside the pictures. Sources: ISO/IEC 14496-12 and -15 (boxes, avcC), ITU-T H.264 (7.3.2.1,
E.1), and what ffmpeg's muxer writes under `-fflags +bitexact`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import IO

from pokora_anime.untrusted.untrusted_names import shown
from pokora_anime.verify.video.h264_parameters import check_sequence_parameters
from pokora_anime.verify.video.mp4_frames import BadVideo, Shape, boxes_in, boxes_of, movie

_MOVIE_SCALE = 1000
_CHUNK = 2**20  # bytes that a chunk of samples stays below
_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_SLICES = (1, 5)  # coded slices of other pictures and of IDR pictures; no SEI, no parameter sets in band
_MAX_PARAMETERS = 128  # bytes of a parameter set
_NOTES = 6  # supplemental enhancement information


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """What a container is written from. `offsets`: composition offset of each sample; `sync`: IDR or not."""

    sizes: tuple[int, ...]
    offsets: tuple[int, ...]
    sync: tuple[bool, ...]
    sequence: bytes
    picture: bytes


def check_form(file: IO[bytes], size: int, shape: Shape, fps: int, tag: str = "") -> None:
    """Raises BadVideo unless the file is, byte for byte, what the encoder writes around these samples.

    `tag`: the comment that the file carries, "" for none.
    """
    media = next((box for box in boxes_in(file, size) if box.kind == "mdat"), None)
    if media is None or media.stop != size:
        raise BadVideo("its media do not stand at the end")
    content = movie(file, size)
    try:
        found = _read(content, file, media.start, media.stop)
    except (struct.error, IndexError) as error:
        raise BadVideo(f"its tables are cut short ({error})") from error
    check_sequence_parameters(found.sequence, shape.width, shape.height, fps)
    file.seek(0)
    head = file.read(media.start)
    if any(head == form for form in _forms(found, shape, fps, tag)):
        return
    if tag and any(head == form for form in _forms(found, shape, fps, "")):
        raise BadVideo("it does not carry the run's settings, as releases before 0.3 left them out")
    raise BadVideo("its container is not the one that is written around these samples and settings")


def container(samples: Samples, shape: Shape, fps: int, tag: str = "", *, peak: bool = False) -> bytes:
    """The file up to its media. `peak`: the bit rate stands in the place of the highest one too."""
    ftyp = _box("ftyp", b"isom\0\0\2\0isomiso2avc1mp41")
    length = len(_movie(samples, shape, fps, 0, peak, tag))
    start = len(ftyp) + length + 16  # an empty free box, and the head of the media
    head = struct.pack(">I4s", 8 + sum(samples.sizes), b"mdat")
    return ftyp + _movie(samples, shape, fps, start, peak, tag) + _box("free", b"") + head


def _forms(samples: Samples, shape: Shape, fps: int, tag: str) -> Iterable[bytes]:
    yield container(samples, shape, fps, tag)
    yield container(samples, shape, fps, tag, peak=True)  # releases of ffmpeg before 8


def _read(content: bytes, file: IO[bytes], start: int, stop: int) -> Samples:
    table = _inside(content, "trak", "mdia", "minf", "stbl")
    sizes = _sizes(_inside(table, "stsz"))
    if sum(sizes) != stop - start:
        raise BadVideo("bytes of its media belong to no frame")
    sequence, picture = _parameters(_inside(table, "stsd"))
    kinds = [box.kind for box in boxes_of(table)]
    offsets = _offsets(_inside(table, "ctts"), len(sizes)) if "ctts" in kinds else (0,) * len(sizes)
    return Samples(
        sizes=sizes,
        offsets=offsets,
        sync=tuple(_is_sync(file, at, count) for at, count in _places(start, sizes)),
        sequence=sequence,
        picture=picture,
    )


def _places(start: int, sizes: Sequence[int]) -> Iterable[tuple[int, int]]:
    for count in sizes:
        yield start, count
        start += count


def _is_sync(file: IO[bytes], at: int, count: int) -> bool:
    """Whether a sample is an IDR picture; it must be coded slices of one picture and nothing else."""
    kinds: list[int] = []
    stop = at + count
    while at < stop:
        file.seek(at)
        length, head = struct.unpack(">IB", file.read(5))
        if length < 2 or at + 4 + length > stop:
            raise BadVideo("a frame's units do not fit")
        kinds.append(head & 0x1F)
        if head & 0x80:
            raise BadVideo("a frame's unit is no unit of H.264")
        at += 4 + length
    if _NOTES in kinds:
        raise BadVideo("a frame carries notes beside its picture (releases before 0.2 left the encoder's in)")
    if not kinds or not set(kinds) <= set(_SLICES) or len(set(kinds)) != 1:
        raise BadVideo(f"a frame holds units of the kinds {shown(sorted(set(kinds)))}")
    return kinds[0] == 5


def _sizes(data: bytes) -> tuple[int, ...]:
    every, count = struct.unpack(">II", data[4:12])
    if count > len(data) and not every:
        raise BadVideo("its table of sizes is cut short")
    if count > 2**16:
        raise BadVideo(f"{count} frames")
    return (every,) * count if every else struct.unpack(f">{count}I", data[12 : 12 + 4 * count])


def _offsets(data: bytes, count: int) -> tuple[int, ...]:
    (entries,) = struct.unpack(">I", data[4:8])
    found: list[int] = []
    for number in range(entries):
        run, offset = struct.unpack(">II", data[8 + 8 * number : 16 + 8 * number])
        if run > count - len(found):
            raise BadVideo("composition offsets of more frames than there are")
        found += [offset] * run
    if len(found) != count:
        raise BadVideo("composition offsets of fewer frames than there are")
    return tuple(found)


def _parameters(data: bytes) -> tuple[bytes, bytes]:
    """The sequence and the picture parameter set out of the description of the samples."""
    at = data.find(b"avcC")
    if at < 0:
        raise BadVideo("no H.264 parameters")
    sequence, rest = _unit(data[at + 4 + 6 :], 7)
    picture, _ = _unit(rest[1:], 8)
    return sequence, picture


def _unit(data: bytes, kind: int) -> tuple[bytes, bytes]:
    (length,) = struct.unpack(">H", data[:2])
    unit = data[2 : 2 + length]
    if not 3 < length <= _MAX_PARAMETERS or len(unit) != length or unit[0] != 0x60 | kind:
        raise BadVideo("H.264 parameters of another kind or length")
    return unit, data[2 + length :]


def _movie(samples: Samples, shape: Shape, fps: int, start: int, peak: bool, tag: str) -> bytes:
    frames = len(samples.sizes)
    length = -(-frames * _MOVIE_SCALE // fps)
    head = struct.pack(">5I", 0, 0, 0, _MOVIE_SCALE, length) + b"\0\1\0\0\1\0" + bytes(10)
    mvhd = _box("mvhd", head + _MATRIX + bytes(24) + struct.pack(">I", 2))
    place = struct.pack(">6I", 3, 0, 0, 1, 0, length) + bytes(16)
    tkhd = _box("tkhd", place + _MATRIX + struct.pack(">II", shape.width << 16, shape.height << 16))
    elst = _box("elst", struct.pack(">IIIII", 0, 1, length, _first(samples, fps), 0x10000))
    return _box(
        "moov",
        mvhd
        + _box("trak", tkhd + _box("edts", elst) + _media(samples, shape, fps, start, peak))
        + _tags(tag),
    )


def _media(samples: Samples, shape: Shape, fps: int, start: int, peak: bool) -> bytes:
    scale, frames = _scale(fps), len(samples.sizes)
    times = struct.pack(">5I", 0, 0, 0, scale, frames * scale // fps)
    mdhd = _box("mdhd", times + b"\x55\xc4\0\0")
    hdlr = _box("hdlr", bytes(8) + b"vide" + bytes(12) + b"VideoHandler\0")
    vmhd = _box("vmhd", b"\0\0\0\1" + bytes(8))
    dinf = _box("dinf", _box("dref", bytes(4) + b"\0\0\0\1" + _box("url ", b"\0\0\0\1")))
    return _box("mdia", mdhd + hdlr + _box("minf", vmhd + dinf + _table(samples, shape, fps, start, peak)))


def _table(samples: Samples, shape: Shape, fps: int, start: int, peak: bool) -> bytes:
    frames, delta = len(samples.sizes), _scale(fps) // fps
    stts = _box("stts", struct.pack(">IIII", 0, 1, frames, delta))
    sync = [number for number, key in enumerate(samples.sync, 1) if key]
    stss = _full("stss", [(number,) for number in sync]) if len(sync) < frames else b""
    runs = [(len(list(group)), offset) for offset, group in groupby(samples.offsets)]
    ctts = _full("ctts", runs) if any(samples.offsets) else b""
    same = samples.sizes[0] if len(set(samples.sizes)) == 1 else 0
    listed = b"" if same else struct.pack(f">{frames}I", *samples.sizes)
    stsz = _box("stsz", struct.pack(">III", 0, same, frames) + listed)
    described = _box("stsd", struct.pack(">II", 0, 1) + _entry(samples, shape, fps, peak))
    chunks = _chunks(samples.sizes)
    runs_of = [(first, count) for first, count in _changes([len(chunk) for chunk in chunks])]
    stsc = _full("stsc", [(first, count, 1) for first, count in runs_of])
    places: list[tuple[int]] = []
    for chunk in chunks:
        places.append((start,))
        start += sum(chunk)
    return _box("stbl", described + stts + stss + ctts + stsc + stsz + _full("stco", places))


def _entry(samples: Samples, shape: Shape, fps: int, peak: bool) -> bytes:
    """The description of the samples: size, parameter sets, colours and bit rate."""
    profile = samples.sequence[1:4]
    sets = struct.pack(">H", len(samples.sequence)) + samples.sequence
    sets += b"\1" + struct.pack(">H", len(samples.picture)) + samples.picture
    high = b"" if profile[0] in (66, 77, 88) else b"\xfd\xf8\xf8\0"  # 4:2:0, 8 bits
    avcc = _box("avcC", b"\1" + profile + b"\xff\xe1" + sets + high)
    colr = _box("colr", b"nclx\0\1\0\1\0\1\0")
    rate = sum(samples.sizes) * 8 * _scale(fps) // (len(samples.sizes) * _scale(fps) // fps)
    btrt = _box("btrt", struct.pack(">III", 0, *((rate, rate) if peak else (rate, 0))))
    name = b"\x0cLavc libx264".ljust(32, b"\0")
    return _box(
        "avc1",
        bytes(6) + b"\0\1" + bytes(16) + struct.pack(">HH", shape.width, shape.height)
        + struct.pack(">II", 72 << 16, 72 << 16) + bytes(4) + b"\0\1" + name + b"\0\x18\xff\xff"
        + avcc + colr + btrt,
    )  # fmt: skip


def _first(samples: Samples, fps: int) -> int:
    """The composition time of the first picture shown; the pictures must follow it evenly."""
    delta = _scale(fps) // fps
    shown_at = sorted(number * delta + offset for number, offset in enumerate(samples.offsets))
    if any(time != shown_at[0] + number * delta for number, time in enumerate(shown_at)):
        raise BadVideo("its frames are not shown one after the other")
    return shown_at[0]


def _scale(fps: int) -> int:
    """Time units a second of the media: the rate doubled until it is fine enough."""
    if fps < 1:
        raise BadVideo(f"{fps} frames a second")
    scale = fps
    while scale < 10_000:
        scale *= 2
    return scale


def _chunks(sizes: Sequence[int]) -> list[list[int]]:
    chunks: list[list[int]] = []
    for count in sizes:
        if chunks and sum(chunks[-1]) + count < _CHUNK:
            chunks[-1].append(count)
        else:
            chunks.append([count])
    return chunks


def _changes(counts: Sequence[int]) -> Iterable[tuple[int, int]]:
    """Number of the first chunk of each run of equally many samples, and how many they are."""
    for number, count in enumerate(counts, 1):
        if number == 1 or counts[number - 2] != count:
            yield number, count


def _tags(tag: str) -> bytes:
    """The table of tags: a comment, in UTF-8 (type 1, no country, no language), or nothing."""
    handler = _box("hdlr", bytes(8) + b"mdirappl" + bytes(9))
    told = _box("\xa9cmt", _box("data", struct.pack(">II", 1, 0) + tag.encode())) if tag else b""
    return _box("udta", _box("meta", bytes(4) + handler + _box("ilst", told)))


def _full(kind: str, rows: Sequence[tuple[int, ...]]) -> bytes:
    """A box of a counted table of whole numbers."""
    return _box(
        kind, struct.pack(">II", 0, len(rows)) + b"".join(struct.pack(f">{len(r)}I", *r) for r in rows)
    )


def _box(kind: str, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind.encode("latin-1")) + content


def _inside(content: bytes, *path: str) -> bytes:
    for kind in path:
        found = [box for box in boxes_of(content) if box.kind == kind]
        if len(found) != 1:
            raise BadVideo(f"{len(found)} boxes {kind}, expected one")
        content = content[found[0].start : found[0].stop]
    return content
