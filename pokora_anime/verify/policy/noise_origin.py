"""POLICY of the content, as far as arithmetic tells: noise of its seed, frames handed on unchanged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

import numpy as np
import numpy.typing as npt

from pokora_anime.choreography import skeleton
from pokora_anime.errors import RecordError
from pokora_anime.findings import Finding
from pokora_anime.prompt.prompt_syntax import MAX_STOPS
from pokora_anime.provenance.hashing import Json
from pokora_anime.provenance.operations import (
    EACH_KIND,
    EACH_STOP,
    NOISE,
    REDRAWN,
    Array,
    Makes,
    Operation,
    of,
)
from pokora_anime.provenance.seed_noise import TOLERANCE, expected
from pokora_anime.schema.settings import ControlKind
from pokora_anime.untrusted.container import finding
from pokora_anime.untrusted.untrusted_names import shown
from pokora_anime.verify.record.claimed_record import Record, Step
from pokora_anime.verify.record.stored_contents import Arrays, NodeArrays

JOINTS = 18

TOKENS, MAX_CHUNKS = 77, 4  # of a chunk with its ends, of a prompt (stages/prompt.py refuses more)
MAX_CHANNELS = 4096
PICTURE_TOKENS = 4  # of an IP-Adapter (networks/ip_adapter.py)
MAX_FRAMES = 8192  # whose noise is computed again, of all segments together


def check(record: Record, arrays: Arrays) -> Iterable[Finding]:
    """POL-ARRAYS (not what the operation stores), POL-NOISE (not what the seed gives), POL-KNOWN."""
    steps = record.by_id
    left = MAX_FRAMES
    sound: dict[str, NodeArrays] = {}  # of the parents, which stand before their children
    for step in record.steps:
        makes = of(step.op).makes
        if not of(step.op).stores or step not in arrays:
            continue
        stored = arrays.of(step)
        noise = next(
            (steps[name] for name in step.parents if name in steps and steps[name].op == NOISE.name), None
        )
        if reason := _misfit(step, stored) or _unlike(noise, stored):
            yield finding("POL-ARRAYS", "arrays that the operation does not store", step.name, reason)
            continue
        sound[step.id] = stored
        if makes is Makes.noise:
            values = stored["noise"]
            left -= values.shape[1] if values.ndim == 4 else 1
            yield from _noise(step, values, left)
        elif makes is Makes.choice:
            yield from _selected(step, stored, record, sound)
        elif makes is Makes.poses:
            yield from _planned(step, stored, record)
        elif makes is Makes.copy:
            yield from _copied(step, stored, sound)
        elif makes is Makes.frame_maps:
            yield from _maps(step, stored, steps)
        elif makes is Makes.segment:
            parents = [steps[name] for name in step.parents if name in steps]
            yield from _known(step, parents, sound)


def arrays_of(operation: Operation) -> dict[str, Array]:
    """The arrays that an operation stores, by their whole names; what ends in ? may be absent."""
    found: dict[str, Array] = {}
    for name, array in operation.stores.items():
        if EACH_KIND in name:
            found |= {name.replace(EACH_KIND, kind.value): array for kind in ControlKind}
        elif EACH_STOP in name:
            found |= {name.replace(EACH_STOP, str(stop)): array for stop in range(1, MAX_STOPS)}
        else:
            found[name] = array
    return found


def _misfit(step: Step, stored: NodeArrays) -> str:
    stores, makes = arrays_of(of(step.op)), of(step.op).makes
    known = {name.rstrip("?"): array for name, array in stores.items()}
    needed = {name for name in stores if not name.endswith("?")}
    if not needed <= set(stored) <= set(known):
        return ", ".join(sorted(stored)) or "none"
    for name, array in stored.items():
        dtype, axes = known[name]
        if array.dtype.str != dtype or (axes and array.ndim != axes):
            return f"{name}: {array.dtype.str} {array.shape}"
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            return f"{name}: not finite"
        whole = dtype == "|u1" and makes is not Makes.frame_maps
        if whole and list(array.shape) != [*reversed(_size(step)), 3]:
            return f"{name}: {array.shape}"
    if makes in (Makes.maps, Makes.frame_maps):
        return _no_maps(step, stored)
    if makes is Makes.embedding:
        return _no_tokens(stored)
    return _no_text(stored) if makes is Makes.text else ""


def _no_tokens(stored: NodeArrays) -> str:
    """As many tokens of a picture as the adapter was trained with, and as many of none."""
    shapes = {name: list(array.shape) for name, array in stored.items()}
    tokens, channels = stored["tokens"].shape
    fits = (
        tokens == PICTURE_TOKENS and channels <= MAX_CHANNELS and len(set(map(tuple, shapes.values()))) == 1
    )
    return "" if fits else str(shapes)


def _no_maps(step: Step, stored: NodeArrays) -> str:
    """Maps of every kind that the node tells; only a keyframe that was the last one may show nobody."""
    told = step.params.get("kinds")
    kinds = {str(kind) for kind in told} if isinstance(told, list) else set[str]()
    last = "last_attempt" in of(step.op).free and step.params.get("last_attempt") is True
    without = {"pose"} if last else set[str]()
    return "" if kinds - without <= set(stored) <= kinds else ", ".join(sorted(stored)) or "none"


def _maps(step: Step, stored: NodeArrays, steps: dict[str, Step]) -> Iterable[Finding]:
    """A draft's maps are one for each frame of its segment."""
    spans = [steps[name].params.get("span") for name in step.parents if name in steps]
    span = spans[0] if spans else None
    frames = span.get("frames") if isinstance(span, dict) else None
    shapes = {kind: [frames, *reversed(_size(step))] for kind in stored} | {"pose": [frames, JOINTS, 3]}
    for kind, array in stored.items():
        if list(array.shape) != shapes[kind]:
            reason = f"{shown(kind, 20)}: {array.shape}"
            yield finding("POL-ARRAYS", "arrays that the operation does not store", step.name, reason)


def _planned(step: Step, stored: NodeArrays, record: Record) -> Iterable[Finding]:
    """A choreography has poses for each frame of the clip; a keyframe is redrawn where it shows nobody, and
    wherever keyframe.posed says so."""
    shapes = {"pose": [step.params.get("frames"), JOINTS, 3], "figure": [JOINTS, 3]}
    for name, wanted in shapes.items():
        if list(stored[name].shape) != wanted:
            reason = f"{name}: {stored[name].shape}"
            yield finding("POL-ARRAYS", "arrays that the operation does not store", step.name, reason)
            return
    redrawn = any(one.op == REDRAWN.name and step.id in one.parents for one in record.steps)
    nobody = skeleton.read(stored["figure"].astype(np.float32)) is None
    wanted = nobody or _posed(record)
    if wanted is not redrawn:
        message = "a keyframe is drawn again where keyframe.posed says so or nobody is shown, nowhere else"
        words = ("not drawn again", "drawn again")
        yield finding("POL-CHAIN", message, step.name, words[redrawn], expected=words[wanted])


def _posed(record: Record) -> bool:
    """Whether the config has every keyframe drawn again; configs of before 0.7 do not know the key."""
    settings = record.config.get("keyframe")
    return isinstance(settings, dict) and settings.get("posed") is True


def _selected(
    step: Step, stored: NodeArrays, record: Record, sound: Mapping[str, NodeArrays]
) -> Iterable[Finding]:
    """The selected keyframe is that with the highest score (of equal ones the first), bit for bit; one that
    is drawn again is drawn from its noise.
    """
    steps = record.by_id
    parents = [steps[name] for name in step.parents if name in steps]
    drawn = [one for one in parents if of(one.op).makes is Makes.picture]
    parts, scores = [one.params.get("part") for one in drawn], stored["scores"]
    wanted: list[Json] = [["keyframe", number] for number in range(len(scores))]
    if parts != wanted or not len(scores):
        message = "scores that are not one for each keyframe, in their order"
        yield finding("POL-CHOICE", message, step.name, f"{len(scores)} scores", expected=len(drawn))
        return
    best = int(scores.argmax())
    taken = sound.get(drawn[best].id, {})
    if not all(name in taken and np.array_equal(stored[name], taken[name]) for name in ("latent", "image")):
        message = "another keyframe was taken than the one with the highest score"
        yield finding("POL-CHOICE", message, step.name, expected=f"keyframe {best + 1} of {len(drawn)}")
    for one in record.steps:
        planned = [steps[name].parents for name in one.parents if name in steps]
        again = one.op == REDRAWN.name and any(step.id in parents for parents in planned)
        if again and one.params.get("part") != wanted[best]:
            yield finding("POL-CHOICE", "another keyframe was drawn again than was taken", one.name)


def _copied(step: Step, stored: NodeArrays, sound: Mapping[str, NodeArrays]) -> Iterable[Finding]:
    """An identity is the latent of the keyframe that it was made from, bit for bit."""
    source = next((sound[name] for name in step.parents if name in sound), None)
    if source is None or not np.array_equal(stored["latent"], source.get("latent", [])):
        yield finding("POL-KNOWN", "an identity that is another picture than it was made from", step.name)


def _no_text(stored: NodeArrays) -> str:
    """Embeddings of whole chunks of text, as many of what is wanted as of what is not."""
    shapes = {name: stored[name].shape for name in ("embeds", "negative_embeds")}
    tokens, channels = stored["embeds"].shape
    whole = tokens % TOKENS == 0 and tokens <= MAX_CHUNKS * TOKENS and channels <= MAX_CHANNELS
    return "" if whole and len(set(shapes.values())) == 1 else str(shapes)


def _unlike(noise: Step | None, stored: NodeArrays) -> str:
    """Latents have the shape of the noise that they were denoised from."""
    for name in ("latent", "latents"):
        if noise is not None and name in stored and list(stored[name].shape) != noise.params.get("shape"):
            return f"{name}: {stored[name].shape}, noise {shown(noise.params.get('shape'), 40)}"
    return ""


def _size(step: Step) -> list[int]:
    size = step.params.get("size")
    return cast(list[int], size) if isinstance(size, list) else []


def _noise(step: Step, stored: npt.NDArray[np.generic], left: int) -> Iterable[Finding]:
    try:
        # Only as much is computed as was stored, and no more frames than a clip has.
        if step.params.get("shape") != list(stored.shape) or left < 0:
            raise RecordError("REC-NOISE", f"shape {stored.shape}, {MAX_FRAMES - left} frames in all")
        wanted = expected(step.params)
    except RecordError as error:
        yield finding("POL-NOISE", "noise that no seed gives", step.name, error.got)
        return
    apart = float(np.abs(cast(npt.NDArray[np.float32], stored) - wanted).max())
    if not apart <= TOLERANCE:
        message = "noise that its seed does not give"
        yield finding(
            "POL-NOISE", message, step.name, f"{apart:.2g} apart", expected=f"at most {TOLERANCE:g}"
        )


def _known(step: Step, parents: list[Step], sound: Mapping[str, NodeArrays]) -> Iterable[Finding]:
    """A segment's first frames are, bit for bit, the last ones of the segment before, or the keyframe;
    the last frames of one that closes a loop are the clip's first.
    """
    span = step.params.get("span")
    known = span.get("known") if isinstance(span, dict) else None
    latents = sound[step.id]["latents"]
    if not isinstance(known, int) or not 0 <= known < latents.shape[1]:
        yield finding("POL-KNOWN", "a segment that knows more frames than it has", step.name, known)
        return
    segments = [parent for parent in parents if parent.op == step.op]
    before = segments[-1:] or [one for one in parents if of(one.op).makes in (Makes.picture, Makes.choice)]
    nothing: NodeArrays = {}
    source = sound.get(before[0].id, nothing) if before else nothing
    if known and source:
        given = source["latents"][:, -known:] if "latents" in source else source["latent"][:, None]
        if not np.array_equal(latents[:, :known], given):
            yield finding("POL-KNOWN", "a segment does not go on from the frames before it", step.name)
    tail = span.get("tail") if isinstance(span, dict) else None
    opening = sound.get(segments[0].id, nothing) if segments else nothing
    if not isinstance(tail, int) or tail <= 0 or not opening:
        return
    if not np.array_equal(latents[:, -tail:], opening["latents"][:, :tail]):
        yield finding("POL-KNOWN", "a loop does not end in its first frames", step.name)
