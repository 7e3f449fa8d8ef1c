"""The runs below an output folder: what each is, how long it took, and what it is worth."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

from pokora_anime.config import gate
from pokora_anime.errors import PokoraError
from pokora_anime.findings import verdict
from pokora_anime.history import run_origin
from pokora_anime.history.run_folders import folders
from pokora_anime.provenance import run_layout
from pokora_anime.provenance.hashing import Json
from pokora_anime.quality.scorecard import SCORECARD

MAX_REPORT = 4 << 20  # bytes of a scorecard or of timings


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run. `status`: finished, unfinished, or damaged with the reason in `problem`.

    `seconds` that rendering took, None where nothing tells; `score`: numbers of the scorecard by verdict;
    `entry`: what `pokora check` says of its config.
    """

    path: str
    status: str
    command: str = ""
    prompt: str = ""
    seed: int | None = None
    seconds: float | None = None
    score: dict[str, int] | None = None
    entry: str = ""
    problem: str = ""

    def to_json(self) -> dict[str, Json]:
        """The row as plain data."""
        return asdict(self)


def listed(root: Path, words: Sequence[str] = ()) -> Iterator[Run]:
    """The runs below `root` whose prompts hold all `words`, in any case, newest first."""
    for folder in folders(root):
        found = run(folder)
        if all(word.lower() in found.prompt.lower() for word in words):
            yield found


def run(folder: Path) -> Run:
    """One run; a folder that cannot be read is a damaged one."""
    try:
        told = run_origin.of_run(folder)
        entry = verdict(gate.examine_recorded(told.command, told.plain)).value
    except PokoraError as error:
        return Run(path=str(folder), status="damaged", problem=error.line())
    shot, seed = run_origin.shot(told.plain), told.plain.get("seed")
    return Run(
        path=str(folder),
        status="unfinished" if told.reading is None else "finished",
        command=told.command,
        prompt=str(shot.get("typed") or shot.get("prompt") or ""),
        seed=seed if isinstance(seed, int) else None,
        seconds=seconds(folder) if told.reading is not None else None,
        score=score(folder),
        entry=entry,
    )


def score(folder: Path) -> dict[str, int] | None:
    """How many numbers of a run's scorecard are good, fair and bad, over both stages; None without one."""
    card = report(folder / run_layout.REPORTS / SCORECARD)
    stages = [stage for stage in card.values() if isinstance(stage, dict)]
    verdicts = [
        cast(dict[str, Json], told) for stage in stages if isinstance(told := stage.get("verdicts"), dict)
    ]
    counted = [found for told in verdicts for found in told.values()]
    return {name: counted.count(name) for name in ("good", "fair", "bad")} if counted else None


def seconds(folder: Path) -> float | None:
    """What rendering a run took; None where nothing tells."""
    taken = report(folder / run_layout.LOGS / "timings.json").get("taken")
    number = isinstance(taken, int | float) and not isinstance(taken, bool)
    return float(cast(float, taken)) if number and finite(cast(float, taken)) else None


def finite(value: float) -> bool:
    """Whether a number that a file tells is one to reckon with: JSON and YAML hold integers of any length."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def report(path: Path) -> Mapping[str, Json]:
    """The JSON object in a file that no record seals; nothing where it cannot be read."""
    with suppress(OSError, ValueError, RecursionError):
        if path.is_file() and path.stat().st_size <= MAX_REPORT:
            value: object = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(value, dict):
                return cast(dict[str, Json], value)
    return {}
