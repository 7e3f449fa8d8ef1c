"""What a run stored between its stages: arrays by their content, and the pictures that show them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pokora_anime.findings import Finding
from pokora_anime.provenance import run_layout
from pokora_anime.provenance.hashing import arrays_hash
from pokora_anime.provenance.operations import EACH_KIND, STILL, Makes, of
from pokora_anime.provenance.stage_records import Image
from pokora_anime.schema.settings import ControlKind
from pokora_anime.untrusted import png_pictures, stored_arrays
from pokora_anime.untrusted.container import Unreadable, finding
from pokora_anime.untrusted.folder_listing import Folder
from pokora_anime.untrusted.read_limits import Limits
from pokora_anime.untrusted.untrusted_names import shown
from pokora_anime.verify.record.claimed_record import Record, Step

KINDS = frozenset(kind.value for kind in ControlKind)
NodeArrays = Mapping[str, npt.NDArray[np.generic]]


class Arrays:
    """The stored arrays by node id, read once; a node whose file does not hold has none.

    `findings`: INT-MISSING, INT-ARRAY (no sound file of that node) and INT-OUTPUT (other content).
    """

    def __init__(self, folder: Folder, record: Record, limits: Limits) -> None:
        self.findings: list[Finding] = []
        self._stored: dict[str, NodeArrays] = {}
        left = limits.array_bytes
        for step in record.steps:
            name = run_layout.array_name(step.op, step.id)
            if not of(step.op).stores or step.id in self._stored:
                continue
            if name not in record.files or name not in folder.sizes:
                self.findings.append(finding("INT-MISSING", "a node's arrays are missing", step.name))
                continue
            left -= folder.sizes[name]
            self._read(folder, step, name, left, limits)

    def __contains__(self, step: Step) -> bool:
        """Whether a node's file could be read."""
        return step.id in self._stored

    def of(self, step: Step) -> NodeArrays:
        """The arrays of a node; none where a finding told why."""
        return self._stored.get(step.id, {})

    def _read(self, folder: Folder, step: Step, name: str, left: int, limits: Limits) -> None:
        try:
            if left < 0:
                raise stored_arrays.BadArrays(f"more than {limits.array_bytes} bytes of arrays in all")
            stored = stored_arrays.parse(folder.read(name, limits.array_bytes), limits)
        except (stored_arrays.BadArrays, Unreadable) as error:
            self.findings.append(finding("INT-ARRAY", "a node's arrays cannot be read", step.name, error))
            return
        if stored.metadata != {"node": step.id}:
            message = "a file of arrays names another node"
            self.findings.append(
                finding("INT-ARRAY", message, step.name, stored.metadata.get("node", "none"))
            )
        if arrays_hash(stored.arrays) != step.output:
            message = "the stored arrays are not what the node made"
            self.findings.append(finding("INT-OUTPUT", message, step.name))
        self._stored[step.id] = stored.arrays


def check(folder: Folder, record: Record, arrays: Arrays, limits: Limits) -> list[Finding]:
    """The arrays' findings, INT-STRAY for files that no node made, and INT-PICTURE."""
    names = {run_layout.array_name(step.op, step.id) for step in record.steps if of(step.op).stores}
    expected = _expected_pictures(record, arrays)
    found = [*arrays.findings]
    told = {name: (entry["node"], entry["array"]) for name, entry in record.pictures.items()}
    if told != {name: (step.id, array) for name, (step, array) in expected.items()}:
        message = "the record's pictures are not those that a run makes"
        listed = ", ".join(sorted(expected))
        found.append(
            finding("INT-PICTURE", message, run_layout.RECORD, ", ".join(sorted(told)), expected=listed)
        )
    names |= {run_layout.CONFIG, *expected}
    if record.command == "video":
        names |= {run_layout.VIDEO, run_layout.FRAMES}
    for name in sorted(set(record.files) - names):
        found.append(finding("INT-STRAY", "a sealed file that no node of the run made", name))
    left = limits.picture_pixels
    for name, (step, array) in expected.items():
        if name not in record.files:
            found.append(finding("INT-MISSING", "the record does not list a picture of it", name))
        if name not in folder.sizes:
            continue
        try:
            data = folder.read(name, limits.file_bytes)
            picture = png_pictures.decode_png(data, left)
        except (png_pictures.BadPicture, Unreadable) as error:
            found.append(finding("INT-PICTURE", "a picture cannot be decoded", name, error))
            continue
        texts = _texts(record, step) if step.op == STILL.name else {}
        if problem := png_pictures.closed_png_problem(data, texts):
            message = "a picture's file holds something else than its picture"
            found.append(finding("INT-PICTURE", message, name, problem, fix="render the run again"))
        left -= picture.shape[0] * picture.shape[1]
        if not _shows(picture, arrays, step, array):
            message, what = "a picture does not show what its node made", f"{shown(array, 20)} of {step.name}"
            found.append(finding("INT-PICTURE", message, name, expected=what))
    return found


def _expected_pictures(record: Record, arrays: Arrays) -> dict[str, tuple[Step, str]]:
    """Each PNG of an honest run with these nodes: the node and the array of it that the PNG shows."""
    steps = record.by_id
    found: dict[str, tuple[Step, str]] = {}
    if record.command == "video":
        for step in record.steps:
            name = of(step.op).shown_in
            if EACH_KIND in name:
                kinds = [kind for kind in arrays.of(step) if kind in KINDS]
                found |= {name.replace(EACH_KIND, kind): (step, kind) for kind in kinds}
            elif name:  # a later one in the place of the first
                found[name] = (step, "image")
    results = [steps[result] for result in record.results if result in steps]
    drawn = [step for step in results if of(step.op).makes is Makes.file]
    names = (
        [run_layout.SHEET]
        if record.command == "video"
        else [run_layout.still_name(index) for index in range(len(drawn))]
    )
    return found | {name: (step, "image") for name, step in zip(names, drawn, strict=False)}


def _texts(record: Record, step: Step) -> dict[str, str]:
    """What the PNG of a still's node tells."""
    return run_layout.still_texts(
        record.config, record.results.index(step.id), step.id, "".join(step.inputs[:1])
    )


def _shows(picture: Image, arrays: Arrays, step: Step, array: str) -> bool:
    """Whether a picture is, pixel by pixel, an array of a node."""
    if of(step.op).makes is Makes.file:
        return arrays_hash({array: picture}) == step.output
    stored = arrays.of(step).get(array)
    return stored is not None and stored.dtype == np.uint8 and np.array_equal(stored, picture)
