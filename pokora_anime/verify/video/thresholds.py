"""How far a recomputed part may lie from the stored one on another machine, settled by measurement.

In the same environment (the node's own: device, processor, format, threads, libraries, code) the bits must be
equal and nothing here is asked. Otherwise every figure must keep to `passes` for PASS, to `fails` for REVIEW.
COMPLIANCE.md, "Replay", has the measurements.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

FULL, HALF = "float32", "half"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """Most by which arrays may differ: `rms` relative to the stored one's, `most` in its own units.

    For pictures `psnr` in dB is the least, `most` counts grey levels, and `block` is the most that the
    mean of any 8x8 block may differ by, in grey levels.
    """

    rms: float = float("inf")
    most: float = float("inf")
    psnr: float = 0.0
    block: float = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """Within `passes` a part passes, beyond `fails` it fails, between them a person looks."""

    passes: Bound
    fails: Bound


_EXACT = Limit(passes=Bound(rms=1e-6, most=1e-5), fails=Bound(rms=1e-6, most=1e-5))

# By precision (HALF as soon as one side computed in 16 bits) and by what is compared.
LIMITS: Mapping[tuple[str, str], Limit] = {
    (FULL, "noise"): _EXACT,
    (HALF, "noise"): _EXACT,
    (FULL, "embeds"): Limit(passes=Bound(rms=1e-5, most=1e-4), fails=Bound(rms=1e-3, most=0.05)),
    (HALF, "embeds"): Limit(passes=Bound(rms=2e-2, most=0.5), fails=Bound(rms=0.1, most=2.0)),
    (FULL, "latent"): Limit(passes=Bound(rms=1e-4, most=2e-3), fails=Bound(rms=0.01, most=0.3)),
    (HALF, "latent"): Limit(passes=Bound(rms=0.06, most=0.6), fails=Bound(rms=0.15, most=2.0)),
    # In pixels and confidence; a joint that an extractor is not sure of may be seen anywhere.
    (FULL, "joints"): Limit(passes=Bound(rms=1e-3, most=1.0), fails=Bound(rms=0.05)),
    (HALF, "joints"): Limit(passes=Bound(rms=0.02, most=32), fails=Bound(rms=0.2)),
    # Planned poses come from one network on the CPU: only how the keyframe's pose was read may differ.
    (FULL, "planned"): Limit(passes=Bound(rms=1e-4, most=0.1), fails=Bound(rms=1e-3, most=2.0)),
    (HALF, "planned"): Limit(passes=Bound(rms=0.02, most=8.0), fails=Bound(rms=0.1, most=64)),
    # Of stored pictures, by a network in float32 on every machine.
    (FULL, "scores"): Limit(passes=Bound(most=1e-3), fails=Bound(most=0.02)),
    (HALF, "scores"): Limit(passes=Bound(most=1e-3), fails=Bound(most=0.02)),
    (FULL, "picture"): Limit(
        passes=Bound(psnr=60, most=4, block=0.5), fails=Bound(psnr=40, most=48, block=6)
    ),
    (HALF, "picture"): Limit(
        passes=Bound(psnr=38, most=80, block=8), fails=Bound(psnr=25, most=200, block=40)
    ),
}
# Recomputed frames, encoded and decoded again, against those in the MP4, at full size. The bounds hold for
# every crf that a config may have; only where a segment's pictures begin may the two encodings differ.
ENCODED = Limit(passes=Bound(psnr=26, block=20), fails=Bound(psnr=23, block=30))
# With 16 bits on a side, optical flow may take another path at an edge and move blocks: a person looks.
FLOW = Bound(psnr=22, block=110)


def limit(precision: str, what: str) -> Limit:
    """The limit for one kind of array: noise, embeds, latent, joints, planned joints, scores or picture."""
    return LIMITS[precision, what]


def encoded(precision: str = FULL) -> Limit:
    """The limit for frames that were encoded and decoded on both sides."""
    if precision == FULL:
        return ENCODED
    fails = Bound(psnr=min(ENCODED.fails.psnr, FLOW.psnr), block=max(ENCODED.fails.block, FLOW.block))
    return Limit(passes=ENCODED.passes, fails=fails)
