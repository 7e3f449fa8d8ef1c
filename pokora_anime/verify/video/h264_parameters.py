"""H.264 sequence parameter set of the delivered MP4: the fields that a player obeys are the encoder's.

Source: ITU-T H.264, 7.3.2.1.1 (sequence parameter set), E.1.1 (video usability information).
"""

from __future__ import annotations

from pokora_anime.verify.video.mp4_frames import BadVideo

_PROFILES = (66, 77, 100, 244)  # baseline, main, high, and high 4:4:4 that lossless coding is written in
_BT709 = 1


class _Bits:
    """Reads bits and Exp-Golomb numbers of a payload whose emulation prevention bytes are taken out."""

    def __init__(self, unit: bytes) -> None:
        payload = unit.replace(b"\0\0\3", b"\0\0")
        self._bits = "".join(f"{byte:08b}" for byte in payload)
        self._at = 0

    def number(self, count: int) -> int:
        """An unsigned number of `count` bits."""
        found = self._bits[self._at : self._at + count]
        if len(found) != count:
            raise BadVideo("its sequence parameters are cut short")
        self._at += count
        return int(found, 2)

    def golomb(self) -> int:
        """ue(v)."""
        zeros = 0
        while not self.number(1):
            zeros += 1
            if zeros > 31:
                raise BadVideo("its sequence parameters cannot be read")
        return (1 << zeros) - 1 + (self.number(zeros) if zeros else 0)

    def signed(self) -> int:
        """se(v)."""
        code = self.golomb()
        return (code + 1) // 2 if code % 2 else -(code // 2)

    def rest(self) -> str:
        """The bits that were not read."""
        return self._bits[self._at :]


def check_sequence_parameters(unit: bytes, width: int, height: int, fps: int) -> None:
    """Raises BadVideo unless it says: 8 bits, 4:2:0, this size, square pixels, BT.709, this frame rate."""
    bits = _Bits(unit[1:])
    profile = bits.number(8)
    bits.number(16)  # constraints and level: what a decoder must be able to do
    if profile not in _PROFILES or bits.golomb():
        raise BadVideo(f"H.264 of profile {profile}")
    if profile in (100, 244):
        _high(bits)
    bits.golomb()  # bits of the frame numbers
    _order(bits)
    bits.golomb()  # reference frames
    _same("gaps in its frame numbers", bits.number(1), 0)
    size = ((bits.golomb() + 1) * 16, (bits.golomb() + 1) * 16)
    _same("interlacing", bits.number(1), 1)
    _same("direct inference", bits.number(1), 1)
    crop = tuple(2 * bits.golomb() for _ in range(4)) if bits.number(1) else (0, 0, 0, 0)
    left, right, top, bottom = crop
    seen = (size[0] - left - right, size[1] - top - bottom)
    if left or top or right >= 16 or bottom >= 16 or seen != (width, height):
        raise BadVideo(f"frames of {size[0]}x{size[1]} pixels, shown as {seen[0]}x{seen[1]}")
    _same("usability information", bits.number(1), 1)
    _usability(bits, fps)
    rest = bits.rest()
    if not rest or rest[0] != "1" or "1" in rest[1:] or len(rest) > 8:
        raise BadVideo("its sequence parameters do not end where they should")


def _high(bits: _Bits) -> None:
    _same("chroma format", bits.golomb(), 1)
    _same("bit depth", bits.golomb() + bits.golomb(), 0)
    bits.number(1)  # lossless blocks
    _same("scaling matrices", bits.number(1), 0)


def _order(bits: _Bits) -> None:
    kind = bits.golomb()
    if kind == 0:
        bits.golomb()
    elif kind != 2:
        raise BadVideo(f"picture order of kind {kind}")


def _usability(bits: _Bits, fps: int) -> None:
    _same("aspect ratio of pixels", bits.number(1), 0)
    _same("overscan", bits.number(1), 0)
    _same("signal description", bits.number(1), 1)
    _same("signal", (bits.number(3), bits.number(1)), (5, 0))
    _same("colour description", bits.number(1), 1)
    _same("colours", (bits.number(8), bits.number(8), bits.number(8)), (_BT709, _BT709, _BT709))
    if bits.number(1):
        _same("place of chroma", (bits.golomb(), bits.golomb()), (0, 0))
    _same("timing", bits.number(1), 1)
    units, scale = bits.number(32), bits.number(32)
    bits.number(1)  # whether the rate is fixed; the container says when each frame is shown
    if scale != 2 * fps * units:
        raise BadVideo(f"a stream of {scale}/{units} fields a second, expected {2 * fps}")
    _same("reference decoders", (bits.number(1), bits.number(1)), (0, 0))
    _same("picture structure", bits.number(1), 0)
    if bits.number(1):
        bits.number(1)
        for _ in range(6):
            bits.golomb()


def _same(name: str, got: object, expected: object) -> None:
    if got != expected:
        raise BadVideo(f"{name} of its sequence parameters: {got}, expected {expected}")
