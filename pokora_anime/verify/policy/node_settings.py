"""POLICY of the numbers: every node did what the recorded config says, with its seed and its place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict

from pokora_anime.findings import Finding
from pokora_anime.provenance import run_layout
from pokora_anime.provenance.hashing import Json, canonical_json
from pokora_anime.provenance.operations import (
    KEYFRAME,
    MOTION,
    NOISE,
    OPERATIONS,
    Makes,
    Spans,
    of,
)
from pokora_anime.provenance.seed_noise import PICTURE
from pokora_anime.schema.settings import Compile, DType, RunConfig, Runtime, StillsConfig, VideoConfig
from pokora_anime.timeline import choreography_plan, draft_plan, hires_plan, join_plan, shot_plan
from pokora_anime.timeline.frame_timing import frames_generated
from pokora_anime.timeline.hires_plan import LATENT_SCALE
from pokora_anime.timeline.segment_plan import Span
from pokora_anime.timeline.still_seeds import of_still
from pokora_anime.untrusted.container import finding
from pokora_anime.untrusted.untrusted_names import shown
from pokora_anime.verify.policy import config_params
from pokora_anime.verify.policy.graph import ancestors
from pokora_anime.verify.record import shot_records, surroundings
from pokora_anime.verify.record.claimed_record import Record, Step, Table

CHANNELS = 4  # of the latents of SD2, SDXL and nano (stages/noise.py)
FORMATS = {DType.fp32: "float32", DType.bf16: "bfloat16", DType.fp16: "float16"}


def check(record: Record, config: RunConfig) -> Iterable[Finding]:
    """POL-PARAMS (other settings than the config), POL-PLACE, POL-SPAN, POL-CHAIN and POL-FRAMES."""
    if isinstance(config, VideoConfig) and config.shots:
        yield from _shots(record, config)
        return
    yield from _of_run(record, config)
    if isinstance(config, VideoConfig):
        yield from _delivered(record, config)


def _shots(record: Record, config: VideoConfig) -> Iterable[Finding]:
    """Each shot did what its own config says, and the video holds all of them."""
    parts, plans = shot_records.split(record), shot_plan.each(config)
    if len(parts) != len(plans):
        got = f"{len(parts)} shots"
        yield finding(
            "POL-CHAIN", "other shots than the config's", run_layout.RECORD, got, expected=len(plans)
        )
        return
    likened = shot_plan.likened(config)
    for index, (part, plan) in enumerate(zip(parts, plans, strict=True)):
        yield from _of_run(part, plan)
        if sum(of(step.op).makes is Makes.copy for step in part.steps) != int(likened and index > 0):
            yield finding("POL-CHAIN", f"shot {index + 1} without its identity", run_layout.RECORD)
    whole, inside = config_params.params(config), {step.id for part in parts for step in part.steps}
    for step in record.steps:
        if step.id not in inside and step.op in whole:
            yield from _params(step, whole[step.op], of(step.op).free)
    yield from _delivered(record, config)


def _of_run(record: Record, config: RunConfig) -> Iterable[Finding]:
    own = configs(record, config)
    of_run = config_params.params(config)
    of_each = {one.seed: config_params.params(one) for one in own.values()}
    for step in record.steps:
        wanted = of_each[own[step.id].seed] if step.id in own else of_run
        if step.op in wanted:
            yield from _params(step, wanted[step.op], of(step.op).free)
    yield from _places(record, config)
    yield from _sizes(record, config)
    yield from _formats(record, config)
    if isinstance(config, VideoConfig):
        yield from _clip(record, config)
    elif isinstance(config, StillsConfig) and len(record.results) != config.count:
        got = f"{len(record.results)} stills"
        yield finding("POL-RESULT", "another number of stills", run_layout.RECORD, got, expected=config.count)


def configs(record: Record, config: RunConfig) -> dict[str, StillsConfig]:
    """The config that drew each node of a run of stills, by the node's id; empty for a clip."""
    if not isinstance(config, StillsConfig):
        return {}
    found: dict[str, StillsConfig] = {}
    for index, result in enumerate(record.results):
        own = of_still(config, index)
        found |= {name: own for name in ancestors(record, [result]) if name not in found}
    return found


def _params(step: Step, wanted: Table, free: frozenset[str]) -> Iterable[Finding]:
    needed = {name for name in free if not name.endswith("?")}
    missing = (set(wanted) | needed) - set(step.params)
    unknown = set(step.params) - set(wanted) - {name.rstrip("?") for name in free}
    for name in sorted(missing | unknown):
        what = "missing" if name in missing else "not known"
        yield finding(
            "POL-PARAMS", "a node with other settings than its operation has", step.name, f"{name}: {what}"
        )
    for name, value in wanted.items():
        if name in step.params and not _same(step.params[name], value):
            got, expected = _apart(step.params[name], value)
            yield finding(
                "POL-PARAMS",
                "a node with other settings than the config",
                step.name,
                f"{name}={shown(got, 60)}",
                expected=shown(expected, 60),
            )


def _apart(got: Json, expected: Json) -> tuple[Json, Json]:
    """Of two tables the keys that differ, as a run of another release has others; all of anything else."""
    if not (isinstance(got, dict) and isinstance(expected, dict)):
        return got, expected
    keys = [
        key
        for key in {**expected, **got}
        if (key in got) != (key in expected) or not _same(got.get(key), expected.get(key))
    ]
    return {key: got.get(key, "none") for key in keys}, {key: expected.get(key, "none") for key in keys}


def _sizes(record: Record, config: RunConfig) -> Iterable[Finding]:
    """Noise has the size of the picture, or of the segment's frames, that is drawn from it."""
    size: list[Json] = [config.base.height // LATENT_SCALE, config.base.width // LATENT_SCALE]
    larger: list[Json] = [*hires_plan.latent_size(config)] if isinstance(config, VideoConfig) else []
    steps = record.by_id
    for step in record.steps:
        span = step.params.get("span")
        frames = [span.get("frames")] if isinstance(span, dict) else []
        drawn = larger if of(step.op).spans is Spans.second_pass else size
        for noise in (steps[name] for name in step.parents if name in steps and steps[name].op == NOISE.name):
            got, expected = noise.params.get("shape"), [CHANNELS, *frames, *drawn]
            if not _same(got, expected):
                message = "noise of another size than what is drawn from it"
                yield finding("POL-PARAMS", message, noise.name, shown(got, 60), expected=shown(expected, 60))


def _formats(record: Record, config: RunConfig) -> Iterable[Finding]:
    """Where a node ran is told in the known terms, in the number format that the config names if any."""
    asked = FORMATS.get(config.device.dtype)
    allowed = [asked] if asked else [*FORMATS.values()]
    for step in record.steps:
        told = step.environment
        if told.get("dtype") not in allowed:
            message, got = "a node in another number format than the config's", shown(told.get("dtype"), 40)
            yield finding("POL-PARAMS", message, step.name, got, expected=", ".join(allowed))
        compiled = told.get("compile", Compile.off.value)
        if compiled not in (Compile.off.value, config.device.compile.value):
            message = "a node that was compiled otherwise than the config asks"
            expected = config.device.compile.value
            yield finding("POL-PARAMS", message, step.name, shown(compiled, 40), expected=expected)
        if "runtime" in told and config.device.runtime is Runtime.torch:
            message, got = (
                "a node that another runtime computed than the config asks",
                shown(told["runtime"], 40),
            )
            yield finding("POL-PARAMS", message, step.name, got, expected=Runtime.torch.value)
        if problem := surroundings.node_problem(told):
            message = "a node that tells something else than where it ran"
            yield finding("POL-PARAMS", message, step.name, problem)


def _places(record: Record, config: RunConfig) -> Iterable[Finding]:
    """Each picture's and segment's noise and generator are those of its own place in the run."""
    steps = record.by_id
    for step in record.steps:
        if not of(step.op).noise:
            continue
        place = _segment(step, config) if of(step.op).makes is Makes.segment else _still(step, record, config)
        noise = next(
            (steps[name] for name in step.parents if name in steps and steps[name].op == NOISE.name), None
        )
        told: Table = {
            "generator": step.params.get("generator"),
            "derivation": noise.params.get("derivation") if noise else None,
        }
        if place is None or not _same(told, place):
            fix = "render again: releases before 0.3 drew stills from other noise" if _old_still(step) else ""
            message = "noise or generator of another place in the run"
            yield finding("POL-PLACE", message, step.name, fix=fix)


def _attempts(record: Record, config: VideoConfig) -> Iterable[Finding]:
    """Only the last keyframe that may be tried is mapped although it shows nobody."""
    last: list[Json] = [PICTURE, config.control.attempts - 1]
    steps = record.by_id
    for step in record.steps:
        if "last_attempt" in of(step.op).free:
            parts = [
                steps[one].params.get("part")
                for one in step.parents
                if one in steps and steps[one].op == KEYFRAME.name
            ]
            selected = any(of(steps[one].op).makes is Makes.choice for one in step.parents if one in steps)
            told = step.params.get("last_attempt")
            is_last = selected or any(_same(part, last) for part in parts)
            if not _same(told, is_last):
                message = "maps that tell another attempt at the keyframe"
                yield finding("POL-PARAMS", message, step.name, shown(told, 20), expected=is_last)


def _still(step: Step, record: Record, config: RunConfig) -> Table | None:
    """Generator and derivation of a picture's place; None for a place that the run has not."""
    part = step.params.get("part")
    if isinstance(config, VideoConfig):
        planned = choreography_plan.wanted(config)  # whose keyframe is drawn again from the same noise
        attempts = config.best_of if config.best_of > 1 else 1 if planned else config.control.attempts
        places: list[Json] = [[PICTURE, attempt] for attempt in range(attempts)]
    else:
        steps = record.by_id
        results = [steps[made].parents for made in record.results if made in steps]
        places = [[PICTURE, 0]] if results.count((step.id,)) == 1 else []
    if not isinstance(part, list) or not any(_same(part, place) for place in places):
        return None
    return {"generator": [*part, "steps"], "derivation": {"kind": of(step.op).noise, "names": part}}


def _old_still(step: Step) -> bool:
    part = step.params.get("part")
    return isinstance(part, list) and part[:1] == ["still"]


def _segment(step: Step, config: RunConfig) -> Table:
    """Generator and derivation of a segment's place, by its span and the attempt that was taken."""
    span, motion = step.params.get("span"), step.params.get("motion")
    place: Table = span if isinstance(span, dict) else {}
    share = motion.get("noise_share") if isinstance(motion, dict) else None
    derivation: Table = {"kind": of(step.op).noise, "start": place.get("start"), "share": share}
    generator: list[Json] = [step.op, place.get("index")]
    told = step.params.get("generator")
    again = config.quality.reroll if isinstance(config, VideoConfig) and of(step.op).rerolled else 0
    allowed: list[Json] = [*range(1, again + 1)]
    if isinstance(told, list) and any(_same(told[2:], [attempt]) for attempt in allowed):
        generator, derivation = [*generator, told[2]], {**derivation, "attempt": told[2]}
    return {"generator": generator, "derivation": derivation}


def _clip(record: Record, config: VideoConfig) -> Iterable[Finding]:
    by_op = {name: [step for step in record.steps if step.op == name] for name in OPERATIONS}
    for operation in OPERATIONS.values():
        found, count = by_op[operation.name], config_params.count(operation, config)
        if count is not None and len(found) != count:
            yield finding(
                "POL-CHAIN", f"{len(found)} {operation.name} nodes", run_layout.RECORD, expected=count
            )
    total = frames_generated(config)
    for operation in OPERATIONS.values():
        planned = config_params.spans(operation, config)
        if planned is not None:
            yield from _spans(by_op[operation.name], planned, total)
    for operation in OPERATIONS.values():
        first = int(operation.leads_on)  # made from the segment before
        for place, step in enumerate(by_op[operation.name] if operation.place == "segment" else [], first):
            if not _same(step.params.get("segment"), place):
                yield finding("POL-PLACE", "maps of another segment", step.name)
    yield from _attempts(record, config)
    yield from _controls(record, by_op[MOTION.name], config)


def _delivered(record: Record, config: VideoConfig) -> Iterable[Finding]:
    frames = sum(shot_plan.frames_of(config))
    told = [record.summary[name] for name in ("frames", "fps", "width", "height")]
    if told != [frames, config.finish.fps, config.finish.width, config.finish.height]:
        yield finding(
            "POL-FRAMES", "the video is not the one that the config asks for", run_layout.RECORD, told
        )


def _spans(segments: Sequence[Step], planned: Sequence[Span], total: int) -> Iterable[Finding]:
    """Segments are those that the stage plans: each in its place, and just enough of them."""
    for step, span in zip(segments, planned, strict=False):
        if not _same(step.params.get("span"), asdict(span)):
            got = shown(step.params.get("span"), 60)
            yield finding("POL-SPAN", "a segment out of its place", step.name, got, expected=asdict(span))
    if len(segments) != len(planned):
        got, expected = f"{len(segments)} segments", f"{len(planned)} for {total} frames"
        yield finding(
            "POL-SPAN", "segments that do not cover the clip", run_layout.RECORD, got, expected=expected
        )


def _controls(record: Record, segments: Sequence[Step], config: VideoConfig) -> Iterable[Finding]:
    made = [of(step.op) for step in record.steps]
    mapped = any(operation.steers and not operation.leads_on for operation in made)
    settings = config_params.control(config)
    # INTEGRITY has compared these pictures with the maps that are stored. Those of single frames and of
    # joins are of every kind.
    named = [name for name in record.pictures if name.startswith("control_")]
    drawn: list[Json] = [*sorted(name.removeprefix("control_").removesuffix(".png") for name in named)]
    for place, step in enumerate(segments):
        if (
            draft_plan.wanted(config)
            or choreography_plan.wanted(config)
            or (place and join_plan.mapped(config))
        ):
            drawn = config_params.kinds(config)
        told = step.params.get("control")
        kinds = told.get("kinds") if isinstance(told, dict) else None
        if not mapped:
            fits = told is None
        else:
            asked = settings.get("kinds")
            fits = isinstance(asked, list) and all(kind in asked for kind in drawn) and kinds == drawn
            fits = fits and _same(told, {**settings, "kinds": drawn})
        if not fits:
            yield finding("POL-PARAMS", "control settings that are not the config's", step.name)


def _same(one: Json, other: Json) -> bool:
    """Equal as JSON: 1 is not 1.0, and True is not 1."""
    return canonical_json(one) == canonical_json(other)
