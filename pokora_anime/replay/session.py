"""The parts of one run, computed again one after the other and held against what was stored."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pokora_anime.devices.out_of_memory import is_out_of_memory
from pokora_anime.errors import MachineError, PictureError, RecordError
from pokora_anime.media import yuv
from pokora_anime.provenance import run_layout
from pokora_anime.provenance.code_hash import package_hash
from pokora_anime.provenance.environment import environment
from pokora_anime.provenance.hashing import Json
from pokora_anime.provenance.node import Node
from pokora_anime.provenance.operations import STILL, Makes, of
from pokora_anime.provenance.stage_records import Image
from pokora_anime.replay.delivered_frames import decoded
from pokora_anime.replay.difference_picture import Row, of_maps, of_numbers
from pokora_anime.replay.recode import coded_figures, recoded
from pokora_anime.replay.recompute import Redone, Replayer
from pokora_anime.replay.replay_parts import FRAMES, ORDER, Unit
from pokora_anime.schema.settings import RunConfig, VideoConfig
from pokora_anime.stages.picture.decode import decode
from pokora_anime.stages.run_context import RunContext
from pokora_anime.system.typed_tensors import from_array
from pokora_anime.untrusted import png_pictures
from pokora_anime.untrusted.folder_listing import Folder
from pokora_anime.untrusted.read_limits import Limits
from pokora_anime.untrusted.untrusted_names import shown
from pokora_anime.verify.record.claimed_record import Record, Step
from pokora_anime.verify.record.stored_contents import Arrays
from pokora_anime.verify.verdict import Verdict
from pokora_anime.verify.video import thresholds
from pokora_anime.verify.video.delivery import read_frames
from pokora_anime.verify.video.frame_figures import Compared, Figures, Numbers, figures, worst

# What each array is measured as.
_WHAT = {"noise": "noise", "latent": "latent", "latents": "latent", "pose": "joints", "scores": "scores"}
# The last part that needs each of the large networks.
_LAST_USE = {
    role: [name for name in ORDER if role in of(name).needs][-1] for role in ("text", "unet", "motion")
}


class Session:
    """Replays parts of one run; `rows` collects their pictures."""

    def __init__(
        self,
        *,
        folder: Folder,
        record: Record,
        arrays: Arrays,
        config: RunConfig,
        context: RunContext,
        limits: Limits,
    ) -> None:
        self._folder, self._record, self._arrays = folder, record, arrays
        self._config, self._context, self._limits = config, context, limits
        self._replayer = Replayer(record, arrays, config, context)
        self._here = environment(context)
        code = record.content["code"]
        self._claimed = isinstance(code, dict) and code.get("sha256") == package_hash()
        self.rows: list[Row] = []

    @property
    def machine(self) -> str:
        """How this machine computes."""
        here = self._here
        return f"{here['device']} {here['processor']}, {here['dtype']}, {here['threads']} threads"

    def compare(self, unit: Unit) -> Compared:
        """One part computed again and compared; what the stage cannot compute at all fails.

        Raises MachineError SYS-MEMORY.
        """
        self._free(unit.kind)
        self._context.execution.follow(dict(unit.step.environment))
        try:
            return self._frames(unit) if unit.kind == FRAMES else self._node(unit)
        except PictureError as error:
            reason = f"what comes of its stored parents is no picture: {shown(error, 200)}"
            return Compared(name=unit.name, verdict=Verdict.failed, reasons=(reason,))
        except (MemoryError, OSError, RuntimeError, ValueError, IndexError, TypeError, RecordError) as error:
            if is_out_of_memory(error):
                raise MachineError(
                    "SYS-MEMORY", "out of memory", fix="--device cpu, or a larger machine"
                ) from error
            if isinstance(error, OSError):
                raise
            # The parents are a stranger's: a shape that fits no network is no honest run's.
            reason = f"it cannot be computed from its stored parents: {shown(error, 200)}"
            return Compared(name=unit.name, verdict=Verdict.failed, reasons=(reason,))

    def _node(self, unit: Unit) -> Compared:
        made = self._replayer.node(unit)
        stored = self._stored(unit)
        told = {name: self._measured(stored, made, name) for name in sorted(stored)}
        found = {name: one for name, one in told.items() if one is not None}
        exact = made.node.output == unit.step.output
        same, reasons, odd = _compare_nodes(unit.step, made.node, claimed=self._claimed)
        verdicts = [odd]
        if set(made.arrays) != set(stored) or len(found) < len(stored):
            verdicts.append(Verdict.failed)
            reasons.append(f"other arrays: {', '.join(sorted(made.arrays))}")
        verdicts += [one.judge(self._limit(unit.step, name, one)) for name, one in found.items()]
        if same and not exact:
            verdicts.append(Verdict.review)
            reasons.append("not bit-equal although the node says that it ran in this very environment")
        self._show(unit, stored, made)
        return Compared(
            name=unit.name,
            verdict=Verdict.passed if exact and odd is Verdict.passed else worst(verdicts),
            exact=exact,
            same=same,
            figures=found,
            reasons=tuple(reasons),
        )

    def _frames(self, unit: Unit) -> Compared:
        assert isinstance(self._config, VideoConfig)
        listed = read_frames(self._folder, self._limits)
        made = self._replayer.frames(unit)
        wanted = range(made.first, made.first + made.count)
        shown_frames = decoded(self._folder, listed, wanted, self._limits)
        fresh = list(made.frames)
        hashes = [self._replayer.rgb_hash(frame) for frame in fresh]
        size = (self._config.finish.width, self._config.finish.height)
        coded = recoded(fresh, self._config, self._replayer.encoder, self._limits) if fresh else []
        told = [
            (coded_figures(delivered, again, *size), delivered, again)
            for delivered, again in zip(shown_frames, coded, strict=True)
        ]
        if not told:
            reasons = ("no delivered frame depends on this segment",)
            return Compared(name=unit.name, verdict=Verdict.passed, exact=True, reasons=reasons)
        exact = hashes == listed.rgb[wanted.start : wanted.stop]
        node = self._replayer.finish_node(unit, listed.rgb)
        same, reasons, odd = _compare_nodes(unit.step, node, claimed=self._claimed)
        limit = thresholds.encoded(self._precision(unit.step, unit.segment))
        verdicts = [odd, *(one.judge(limit) for one, _, _ in told)]
        if same and not exact:
            verdicts.append(Verdict.review)
            reasons.append("other RGB hashes although the node says that it ran in this very environment")
        if same and exact and len(told) == listed.numbers["count"] and shown_frames != coded:
            verdicts.append(Verdict.failed)
            reasons.append("the MP4 does not decode to what these very frames are encoded to")
        lowest = max(range(len(told)), key=lambda index: told[index][0].rms)
        reasons.insert(0, f"frames {wanted.start} to {wanted.stop - 1} of {listed.numbers['count']}")
        stored, made_again = (yuv.half_of_yuv(frame, *size) for frame in told[lowest][1:])
        label = f"{unit.name}: frame {wanted.start + lowest} of the MP4"
        self.rows.append(Row(label=label, stored=stored, made=made_again))
        return Compared(
            name=unit.name,
            verdict=worst(verdicts),
            exact=exact,
            same=same,
            figures={f"against the MP4, worst frame {wanted.start + lowest}": told[lowest][0]},
            reasons=tuple(reasons),
        )

    def _stored(self, unit: Unit) -> Mapping[str, Numbers]:
        if unit.kind != STILL.name:
            return self._arrays.of(unit.step)
        name = run_layout.still_name(self._record.results.index(unit.step.id))
        data = self._folder.read(name, self._limits.file_bytes)
        return {"image": png_pictures.decode_png(data, self._limits.picture_pixels)}

    def _measured(self, stored: Mapping[str, Numbers], made: Redone, name: str) -> Figures | None:
        return figures(stored[name], made.arrays[name]) if name in made.arrays else None

    def _limit(self, step: Step, name: str, one: Figures) -> thresholds.Limit:
        what = "picture" if one.psnr is not None else _WHAT.get(name, "embeds")
        if of(step.op).makes is Makes.poses:
            what = "planned"
        return thresholds.limit(self._precision(step), what)

    def _precision(self, *steps: Step | None) -> str:
        """Half as soon as a node or this machine computed in 16 bits."""
        formats = {str(step.environment.get("dtype")) for step in steps if step is not None}
        return (
            thresholds.FULL if formats | {str(self._here["dtype"])} == {thresholds.FULL} else thresholds.HALF
        )

    def _free(self, kind: str) -> None:
        """Drops the networks that only parts before this one needed."""
        done = [name for name, last in _LAST_USE.items() if ORDER.index(kind) > ORDER.index(last)]
        self._context.models.free(*done)

    def _show(self, unit: Unit, stored: Mapping[str, Numbers], made: Redone) -> None:
        for name in ("image", "latents", "noise", *sorted(stored)):
            one, other = stored.get(name), made.arrays.get(name)
            if one is None or other is None or one.shape != other.shape or one.ndim < 3:
                continue
            if of(unit.kind).framewise:
                pair = of_maps(one, other, unit.step.params["size"])
            elif one.dtype == np.uint8:
                pair = [one.astype(np.uint8), other.astype(np.uint8)]
            else:
                pair = self._pictures(name, one.astype(np.float32), other.astype(np.float32))
            self.rows.append(Row(label=f"{unit.name}: {name}", stored=pair[0], made=pair[1]))
            return

    def _pictures(self, name: str, one: np.ndarray, other: np.ndarray) -> list[Image]:
        """Two arrays as pictures: latents decoded at the frame where they differ most, noise as it is."""
        if one.ndim == 4:
            apart = np.abs(one - other).max((0, 2, 3))
            frame = int(apart.argmax()) if apart.any() else one.shape[1] // 2
            one, other = one[:, frame], other[:, frame]
        if name != "latents":
            return of_numbers(one, other)
        return [next(decode(from_array(array)[:, None].clone(), self._context)) for array in (one, other)]


def _compare_nodes(step: Step, node: Node, *, claimed: bool) -> tuple[bool, list[str], Verdict]:
    """Whether the bits must be equal, what differs, and what that alone comes to.

    `claimed`: the record says that the sources installed here made the run.
    """
    recorded = Node.from_json(step.raw)
    if node.id == recorded.id:
        return True, [], Verdict.passed
    reasons: list[str] = []
    verdict = Verdict.passed
    if (node.params, node.parents, node.inputs) != (recorded.params, recorded.parents, recorded.inputs):
        reasons.append(
            f"other settings than the config gives here: {_differing(recorded.params, node.params)}"
        )
        verdict = Verdict.failed
    if node.weights != recorded.weights:
        reasons.append("other weights than those installed here")
        verdict = worst([verdict, Verdict.review])
    if node.code != recorded.code:
        reasons.append("recorded by another version of pokora_anime")
        verdict = worst([verdict, Verdict.review if claimed else Verdict.passed])
    if odd := _differing(recorded.environment, node.environment):
        reasons.append(f"another environment: {odd}")
    return False, reasons, verdict


def _differing(recorded: Mapping[str, Json], here: Mapping[str, Json]) -> str:
    """Names and values that differ, the recorded one first."""
    names = [name for name in {**recorded, **here} if recorded.get(name) != here.get(name)]
    told: list[str] = []
    for name in names:
        one, other = recorded.get(name), here.get(name)
        if isinstance(one, dict) and isinstance(other, dict):
            told.append(f"{shown(name, 20)}: {_differing(one, other)}")
        else:
            told.append(f"{shown(name, 40)} {shown(one, 60)}, here {shown(other, 60)}")
    return ", ".join(told)
