"""The initial noise of a run, computed again without torch from the seed and the derivation.

torch's CPU generator is the Mersenne Twister MT19937 seeded with the low 32 bits; `randn` of 16 or more
float32 values fills them with 24-bit uniform numbers and turns each block of 16 into normal ones by the
Box-Muller transform (ATen/native/cpu/DistributionTemplates.h, normal_fill). Logarithm and cosine differ
in the last bits between processors, so compare with a tolerance of 1e-5, never by hash.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

import numpy as np
import numpy.typing as npt

from pokora_anime.errors import RecordError
from pokora_anime.provenance.hashing import Json, text_hash

Noise = npt.NDArray[np.float32]

TOLERANCE = 1e-5
# Kinds of derivation: of a picture, of a clip's frames, of the same in its second pass.
OF_PICTURE, OF_FRAMES, OF_HIRES = "picture", "frames", "hires"
PICTURE = "keyframe"  # the name that a picture's noise is drawn under, with the attempt at it: its part
# The name that the noise of a clip's frames is drawn under.
NAMES = {OF_FRAMES: "noise", OF_HIRES: "hires noise"}
COMMON = "common"  # the name of the noise that all frames of a clip may share
_BLOCK = 16
_MOST = 1 << 24  # values in one noise array


def derived_seed(seed: int, *names: str | int) -> int:
    """The seed of the generator of a part of a run, below 2**60."""
    return int(text_hash([seed, *names])[:15], 16)


def normal(seed: int, shape: tuple[int, ...]) -> Noise:
    """What `torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed))` gives, to 1e-5."""
    count = math.prod(shape)
    if count < _BLOCK:
        raise ValueError(f"{count} values; torch draws fewer than {_BLOCK} in another way")
    twister = np.random.RandomState(seed & 0xFFFFFFFF)
    tail = count % _BLOCK
    # When the count is no multiple of 16, torch draws the last 16 values a second time.
    drawn = _uniform(twister, count)
    if tail:
        again = _uniform(twister, _BLOCK)
        values = np.concatenate([_normal(drawn[: count - tail])[: count - _BLOCK], _normal(again)])
    else:
        values = _normal(drawn)
    return values.reshape(shape)


def expected(params: Mapping[str, Json]) -> Noise:
    """The noise that a noise node with these params must hold.

    Raises RecordError REC-NOISE for params that no noise of ours has.
    """
    try:
        return _expected(params)
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError("REC-NOISE", f"a noise node whose params make no sense ({error})") from error


def _expected(params: Mapping[str, Json]) -> Noise:
    seed = _whole(params["seed"])
    shape = tuple(_whole(size) for size in cast(list[Json], params["shape"]))
    sane = len(shape) in (3, 4) and all(0 < size <= 1 << 16 for size in shape)
    if not sane or math.prod(shape) > _MOST:
        raise ValueError(f"shape {shape}")
    derivation = cast(dict[str, Json], params["derivation"])
    if derivation["kind"] == OF_PICTURE:
        kind, index = cast(list[Json], derivation["names"])
        return normal(derived_seed(seed, str(kind), _whole(index)), shape)
    name = NAMES[str(derivation["kind"])]
    channels, frames, height, width = shape
    start, share = _whole(derivation["start"]), float(cast(float, derivation["share"]))
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"share {share}")
    attempt = _whole(derivation.get("attempt", 0))
    again = (attempt,) if attempt else ()
    picture = (channels, height, width)
    common = normal(derived_seed(seed, name, COMMON), picture) * np.float32(share**0.5)
    own = np.float32((1.0 - share) ** 0.5)
    seeds = [derived_seed(seed, name, start + i, *again) for i in range(frames)]
    rows = [common + own * normal(one, picture) for one in seeds]
    return np.asarray(np.stack(rows, axis=1), np.float32)


def _whole(value: Json) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} is no whole number")
    return value


def _uniform(twister: np.random.RandomState, count: int) -> Noise:
    words = twister.randint(0, 1 << 32, size=count, dtype=np.uint32)
    return (words & np.uint32((1 << 24) - 1)).astype(np.float32) * np.float32(2.0**-24)


def _normal(uniform: Noise) -> Noise:
    blocks = uniform.reshape(-1, 2, _BLOCK // 2)
    radius = np.sqrt(np.float32(-2.0) * np.log(np.float32(1.0) - blocks[:, 0]))
    angle = np.float32(2.0 * math.pi) * blocks[:, 1]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)
