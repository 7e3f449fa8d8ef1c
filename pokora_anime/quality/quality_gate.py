"""quality.min: a clip whose scorecard falls short is kept and refused, by what scorecard.json says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict, cast

from pokora_anime.errors import QualityError
from pokora_anime.provenance.hashing import Json
from pokora_anime.provenance.run_layout import REPORTS
from pokora_anime.quality.metrics.metric_table import METRICS, STAGES, Verdict
from pokora_anime.quality.scorecard import FORMAT, REPORT, SCORECARD, listed
from pokora_anime.schema.settings import Minimum, RunConfig, VideoConfig


class _Stage(TypedDict):
    """What a scorecard says of one stage: a verdict and a value by metric."""

    verdicts: dict[str, str]
    values: dict[str, float]


# The verdicts that each minimum does not let pass; what could not be measured is no fault.
REFUSED: dict[Minimum, tuple[Verdict, ...]] = {
    Minimum.none: (),
    Minimum.fair: (Verdict.bad,),
    Minimum.good: (Verdict.bad, Verdict.fair),
}


def require(config: RunConfig, folder: Path) -> None:
    """Raise QualityError QUA-MIN where the finished clip in `folder` is below `quality.min`.

    A clip that was rendered with quality.score=false is scored now. The scorecard lies outside what the
    record seals: it is for whoever renders, and proves nothing to anybody else.
    """
    if not isinstance(config, VideoConfig) or config.quality.min is Minimum.none:
        return
    wanted = config.quality.min
    short = _short(_card(folder), REFUSED[wanted])
    if short:
        expected = "no bad number" if wanted is Minimum.fair else "good numbers alone"
        raise QualityError(
            "QUA-MIN",
            f"kept in {folder}, and below quality.min={wanted.name}: {listed(short)}",
            expected=expected,
            fix=f"another seed=, or quality.reroll=2 where joins fail; see {folder / REPORTS / REPORT}",
        )


def _card(folder: Path) -> Mapping[str, Json]:
    """What scorecard.json holds; written first where there is none that can be read."""
    path = folder / REPORTS / SCORECARD
    try:
        card: dict[str, Json] = json.loads(path.read_text(encoding="utf-8"))
        if card["format"] == FORMAT:
            return card
    except (OSError, ValueError, KeyError, TypeError):
        pass
    from pokora_anime.quality.finished_score import score_run
    from pokora_anime.quality.report.scorecard_files import write

    made = score_run(folder)
    write(made, folder / REPORTS)
    return made.to_json()


def _short(card: Mapping[str, Json], refused: tuple[Verdict, ...]) -> list[str]:
    """The numbers with a refused verdict, the bad ones first."""
    names = {verdict.value for verdict in refused}
    stages = [cast("_Stage", card[stage]) for stage in STAGES]
    found = [
        (stage["verdicts"][metric.id], f"{metric.title.lower()} {stage['values'][metric.id]:.3g}")
        for stage in stages
        for metric in METRICS
        if stage["verdicts"][metric.id] in names
    ]
    return [text for _, text in sorted(found, key=lambda one: one[0] != Verdict.bad.value)]
