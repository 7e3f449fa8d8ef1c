"""Ed25519 public keys under which anybody can sign: of small order, or not encoded canonically.

Under a point of small order one signature fits every message with some chance, or always; libraries accept
such keys. Source: RFC 8032, 5.1 (curve, decoding), and Chalkias, Garillot and Nikolaenko, "Taming the many
EdDSAs" (2020), 3.
"""

from __future__ import annotations

_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P
_COFACTOR_DOUBLINGS = 3
_Point = tuple[int, int]


def is_weak(raw: bytes) -> bool:
    """Whether 32 bytes are no canonical encoding of a point, or one whose order divides the cofactor 8."""
    number = int.from_bytes(raw, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    if y >= _P:
        return True
    x = _x_of(y)
    if x is None or (x == 0 and sign):
        return True
    point = (x, y)
    for _ in range(_COFACTOR_DOUBLINGS):
        point = _doubled(point)
    return point == (0, 1)


def _x_of(y: int) -> int | None:
    """A coordinate x of the points with this y; None where there is no such point."""
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    root = pow(square, (_P + 3) // 8, _P)
    for candidate in (root, root * pow(2, (_P - 1) // 4, _P) % _P):
        if candidate * candidate % _P == square:
            return candidate
    return None


def _doubled(point: _Point) -> _Point:
    """Twice a point of the twisted Edwards curve -x^2 + y^2 = 1 + d x^2 y^2."""
    x, y = point
    product = _D * x * x * y * y % _P
    return (
        2 * x * y * pow(1 + product, -1, _P) % _P,
        (y * y + x * x) * pow(1 - product, -1, _P) % _P,
    )
