"""The page of a training: its loss, its loss on held-out pictures, samples at fixed seeds. Written anew at
every look, and read without a server."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pokora_anime.system.files.atomic_files import write_atomic, writing
from pokora_anime.system.html_template import rendered
from pokora_anime.workshop.training.lora_settings import LoraSettings
from pokora_anime.workshop.training.lora_state import Standing

TEMPLATE = Path(__file__).parent / "templates" / "training_page.html.j2"
PAGE, SAMPLES = "index.html", "samples"
WIDTH, HEIGHT = 900, 240  # of the chart
EDGE_LEFT, EDGE = 48, 26
_POINTS = 150  # that a curve is drawn with at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Lines as SVG points, and the labels of both axes."""

    loss: str
    held_out: str
    dots: tuple[tuple[float, float, str], ...]
    rows: tuple[tuple[float, str], ...]
    columns: tuple[tuple[float, str], ...]


def write(
    work: Path, settings: LoraSettings, standing: Standing, verdict: Sequence[tuple[str, str]] = ()
) -> Path:
    """Writes the page; its path. `verdict` are lines of what was judged at the end, with their values."""
    running = standing.step < settings.steps and not standing.stopped and not standing.kept
    left = standing.seconds / max(1, standing.step) * (settings.steps - standing.step)
    page = rendered(
        TEMPLATE,
        settings=settings,
        told=list(settings.to_plain().items()),
        standing=standing,
        running=running,
        left=f"{left / 60:.1f} min left" if left > 90 else f"{left:.0f} s left",
        chart=chart(standing, settings.steps),
        loss=f"{_mean(standing.losses[-50:]):.4f}" if standing.losses else "",
        advice=advice(standing),
        samples=_samples(work),
        sheets=[name for name in ("weights.png", "nearest.png") if (work / name).is_file()],
        verdict=verdict,
        width=WIDTH,
        height=HEIGHT,
    )
    path = work / PAGE
    with writing(work, len(page)):
        write_atomic(path, page.encode())
    return path


def advice(standing: Standing) -> str:
    """What the held-out loss says: whether it still falls."""
    if standing.kept:
        return ended_early(standing)
    looks = [(step, loss) for step, loss in standing.held_out if math.isfinite(loss)]
    if len(looks) < 3:
        return ""
    best = min(looks, key=lambda look: look[1])
    last = looks[-1]
    if last[1] > 1.1 * best[1] and best[0] < last[0]:
        return (
            f"The loss on held-out pictures was least at step {best[0]} and has risen since: from there on"
            " the pictures are learnt by heart. Look at the samples before and after."
        )
    return "The loss on held-out pictures has not risen by a tenth: nothing says that fewer steps are better."


def ended_early(standing: Standing) -> str:
    """Why a training has ended before its last step, and what is kept of it."""
    since = sum(step > standing.kept for step, _ in standing.held_out)
    kept, loss = standing.kept, dict(standing.held_out)[standing.kept]
    return (
        f"ended early at step {standing.step}: the loss on held-out pictures was least at step {kept}"
        f" ({loss:.4f}) and has not fallen for {since} looks; what is kept is step {kept}"
    )


def chart(standing: Standing, steps: int) -> Chart:
    """The curves of a training."""
    smooth = _smooth(standing.losses)
    looks = [(step, loss) for step, loss in standing.held_out if math.isfinite(loss)]
    values = [loss for _, loss in (*smooth, *looks)]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    span = max(high - low, 1e-6)

    def x(step: float) -> float:
        return round(EDGE_LEFT + (WIDTH - EDGE_LEFT - 8) * step / max(1, steps), 1)

    def y(loss: float) -> float:
        return round(8 + (HEIGHT - 8 - EDGE) * (high - loss) / span, 1)

    return Chart(
        loss=" ".join(f"{x(step)},{y(loss)}" for step, loss in smooth),
        held_out=" ".join(f"{x(step)},{y(loss)}" for step, loss in looks),
        dots=tuple((x(step), y(loss), f"step {step}: {loss:.4f}") for step, loss in looks),
        rows=tuple((y(low + span * part / 4), f"{low + span * part / 4:.3f}") for part in range(5)),
        columns=tuple((x(steps * part / 4), f"{steps * part // 4}") for part in range(5)),
    )


def _smooth(losses: Sequence[float]) -> list[tuple[int, float]]:
    """Step and mean of the losses around it."""
    count = len(losses)
    window, stride = max(1, count // 20), max(1, count // _POINTS)
    return [
        (index + 1, _mean(losses[max(0, index - window) : index + window + 1]))
        for index in range(0, count, stride)
    ]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _samples(work: Path) -> list[tuple[str, str]]:
    """Path and step of each sample sheet, the newest first."""
    found = sorted((work / SAMPLES).glob("step-*.jpg"), reverse=True)
    return [(f"{SAMPLES}/{path.name}", str(int(path.stem.removeprefix("step-")))) for path in found]
