"""Everything around the stages of one run: its folder, display, machine, and what is written at the end."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np

from pokora_anime.catalogue.recorded_weights import weight_files
from pokora_anime.devices import openvino_runtime
from pokora_anime.devices.forecast import cheaper_settings
from pokora_anime.devices.forecast.run_plan import Planned
from pokora_anime.devices.machine import Timeline, settle
from pokora_anime.devices.out_of_memory import is_out_of_memory
from pokora_anime.errors import Interrupted, MachineError
from pokora_anime.media import yuv
from pokora_anime.provenance import run_layout
from pokora_anime.provenance.code_hash import code_hash
from pokora_anime.provenance.environment import environment
from pokora_anime.provenance.hashing import Json, arrays_hash
from pokora_anime.provenance.node import Node
from pokora_anime.provenance.operations import SHEET
from pokora_anime.provenance.run_folder import RunFolder
from pokora_anime.provenance.run_layout import CONFIG, REPORTS, VIDEO, still_name, still_texts
from pokora_anime.provenance.stage_records import Image, Segment, Still, Video
from pokora_anime.quality import contact_sheet
from pokora_anime.quality.contact_sheet import SheetCollector
from pokora_anime.quality.live_score import LiveScore
from pokora_anime.quality.preview import PREVIEW, Preview
from pokora_anime.quality.report.scorecard_files import write
from pokora_anime.quality.scorecard import brief
from pokora_anime.quality.shot_scores import merged
from pokora_anime.sandbox.guard_state import in_force
from pokora_anime.schema.run_identity import recorded, run_key, run_slug, to_yaml
from pokora_anime.schema.settings import DeviceKind, RunConfig, VideoConfig
from pokora_anime.stages.run_context import RunContext
from pokora_anime.system import process
from pokora_anime.system.files.atomic_files import writing
from pokora_anime.system.terminal import resume_hint
from pokora_anime.system.terminal.progress import Display
from pokora_anime.timeline.frame_timing import frames_delivered

_NOT_SHOWN = np.zeros((2, 2, 3), np.uint8)  # stands for a frame that the contact sheet leaves out


class Run:
    """One run in its folder; torch is imported when `context` is first asked for."""

    def __init__(
        self,
        command: str,
        config: RunConfig,
        folder: RunFolder,
        display: Display,
        guard: Mapping[str, Json] | None = None,
    ) -> None:
        self.command, self.config, self.folder, self.display = command, config, folder, display
        self.guard = guard
        self.timeline = Timeline()
        self.collector: SheetCollector | None = None
        self.scores: list[LiveScore] = []  # one a shot
        self.preview: Preview | None = None

    @cached_property
    def context(self) -> RunContext:
        """What the stages are given. Raises WeightsError where weights are missing."""
        from pokora_anime.catalogue import needed_weights
        from pokora_anime.catalogue.lora.lora_tags import merge_loras, shot_loras
        from pokora_anime.networks.converted.converted_network import Converting
        from pokora_anime.networks.network_cache import models_for

        config = self.config
        machine = settle(config.device)
        loras = merge_loras(config.style.loras, shot_loras(config.shot))
        motion = config.motion if isinstance(config, VideoConfig) else None
        planned = Planned.of(config, machine)  # refuses what cannot fit, before anything is loaded
        models = models_for(config.base, config.speed, loras, machine, motion)
        models.announce = self.display.loading
        models.converting = Converting(
            group=openvino_runtime.kept(config),
            dtype=machine.dtype,
            threads=machine.threads,
            note=self.display.note,
            announce=self.display.loading,
            graphics=config.device.kind is DeviceKind.auto,
        )
        refused = openvino_runtime.refusal(config)
        for note in (*models.notes, *needed_weights.unpinned(config), refused, *planned.lines):
            if note:
                self.display.note(note)
        told = planned.forecast
        self.display.expect(told.seconds, after=told.delivering / told.computing)
        self.timeline.mark("models found")
        return RunContext(
            folder=self.folder,
            models=models,
            progress=self.display,
            device=machine.device,
            dtype=machine.dtype,
            threads=machine.threads,
            seed=config.seed,
            timeline=self.timeline,
            execution=planned.execution,
        )

    def begin_score(self, shots: Sequence[VideoConfig], joins: Sequence[Sequence[int]]) -> None:
        """From here on each shot's frames are scored, unless quality.score=false. Raises WeightsError."""
        assert isinstance(self.config, VideoConfig)
        if self.config.quality.score:
            device = self.context.device.type
            self.scores = [
                LiveScore.start(one, inside, device, light=True)
                for one, inside in zip(shots, joins, strict=True)
            ]

    def begin_preview(self) -> None:
        """From here on the clip can be watched as it grows, unless quality.preview=false."""
        assert isinstance(self.config, VideoConfig)
        if self.config.quality.preview:
            path = self.folder.path / REPORTS / PREVIEW
            family, fps = self.config.base.family, self.config.shot.fps
            self.preview = Preview.of(family, path, fps, self.context.device)
            if self.preview is not None:
                self.context.preview = self.preview.show
                self.display.note(f"grows while it renders: {path}")

    def planned(self, segment: Segment, shot: int = 0) -> Segment:
        """The same segment; the score is told the poses that it was planned with."""
        if self.scores and segment.posed is not None:
            self.scores[shot].plan(segment.start, segment.posed.joints)
        return segment

    def watch_generated(self, frames: Iterator[Image], shot: int = 0) -> Iterator[Image]:
        """The generated frames of a shot, scored on their way."""
        return self.scores[shot].watch_generated(frames) if self.scores else frames

    def watch(self, frames: Iterator[Image], shot: int = 0) -> Iterator[Image]:
        """The delivered frames of a shot, scored on their way."""
        return self.scores[shot].watch_delivered(frames) if self.scores else frames

    def show_decoded(self, frame: bytes) -> None:
        """Takes a frame as the MP4 gives it back, yuv420p; some of them make the contact sheet."""
        assert isinstance(self.config, VideoConfig)
        finish = self.config.finish
        if self.collector is None:
            total = frames_delivered(self.config.shot.seconds, finish.fps)
            self.collector = SheetCollector(total, keep=contact_sheet.FRAMES)
        due = self.collector.due
        self.collector.add(yuv.rgb_of_yuv(frame, finish.width, finish.height) if due else _NOT_SHOWN)

    def finish_video(self, video: Video) -> None:
        """Write the contact sheet and the record that makes the run finished."""
        assert self.collector is not None
        sheet = self.collector.sheet(video.fps)
        node = self._sheet_node(sheet, video)
        self.folder.write_image(run_layout.SHEET, sheet, node, "image")
        self._finish(
            [video.node, node],
            {
                "video": video.path.name,
                "frames": video.frames,
                "fps": video.fps,
                "width": video.width,
                "height": video.height,
            },
        )
        self._report()
        if self.preview is not None:
            self.preview.remove()

    def finish_stills(self, stills: Sequence[Still]) -> None:
        """Write the stills with their metadata and the record."""
        names: list[Json] = []
        for index, still in enumerate(stills):
            metadata = still_texts(recorded(self.config), index, still.node.id, still.node.inputs[0])
            name = still_name(index)
            names.append(name)
            self.folder.write_image(name, still.image, still.node, "image", metadata)
        self._finish([still.node for still in stills], {"stills": names})

    def _report(self) -> None:
        """The scorecard, beside what the record seals, and its summary for the terminal."""
        if not self.scores:
            return
        card = merged([score.card() for score in self.scores])
        write(card, self.folder.path / REPORTS, self.folder.path / VIDEO)
        self.display.note(brief(card))

    def _sheet_node(self, picture: Image, video: Video) -> Node:
        node = Node.after(
            video.sources,
            SHEET.name,
            {"frames": contact_sheet.FRAMES, "fps": video.fps},
            code=code_hash(contact_sheet),
            environment=environment(self.context),
        ).made(arrays_hash({"image": picture}))
        self.folder.note_node(node)
        return node

    def _finish(self, results: Sequence[Node], summary: dict[str, Json]) -> None:
        self.timeline.mark("finished")
        write_timeline(self)
        fixed: dict[str, Json] = {
            "command": self.command,
            "config": recorded(self.config),
            "guard": None if self.guard is None else dict(self.guard),
        }
        self.folder.finish(fixed | summary, results, lambda digests: weight_files(self.config, digests))


def write_timeline(run: Run) -> None:
    """When what happened, for `pokora bench`; beside the log, not part of the record."""
    folder = run.folder.path / "logs"
    with writing(folder):
        folder.mkdir(exist_ok=True)
        # The process that renders starts a moment after the command that was typed.
        marks = [(name, round(at + in_force().head_start, 3)) for name, at in run.timeline.marks]
        (folder / "timeline.json").write_text(json.dumps(marks) + "\n")
        told = {**run.display.timings(), "peak_bytes": process.peak_resident()}
        (folder / "timings.json").write_text(json.dumps(told) + "\n")


@contextmanager
def open_run(
    command: str, config: RunConfig, root: Path, guard: Mapping[str, Json] | None = None
) -> Generator[Run, None, None]:
    """The run of this config under `root`, its folder locked and its display on.

    A stopped run says how to go on. Raises MachineError where the folder cannot be written.
    """
    folder = RunFolder.open(root, command, run_slug(config), run_key(command, config), fresh=config.fresh)
    with folder, Display(folder.log_path) as display:
        folder.listen(display.note)
        run = Run(command, config, folder, display, guard)
        if folder.finished:
            display.note("finished before, with the weights and code of then (fresh=true renders anew)")
        else:
            folder.write_text(CONFIG, to_yaml(config))
        try:
            yield run
        except (Interrupted, KeyboardInterrupt) as error:
            raise Interrupted(
                "INT-STOP",
                f"stopped; everything finished so far is in {folder.path}",
                fix=f"to go on from there: {resume_hint.how()}",
            ) from error
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise _out_of_memory(folder, config) from error


def _out_of_memory(folder: RunFolder, config: RunConfig) -> MachineError:
    return MachineError(
        "SYS-MEMORY",
        f"out of memory; everything finished so far is in {folder.path}",
        expected="more free memory",
        fix=cheaper_settings.advice(config),
    )
