"""`pokora bench nano`: measures what the nano family promises; it goes on where it was stopped."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pokora_anime
from pokora_anime.cli.parser import OneLineParser, whole
from pokora_anime.errors import WeightsError
from pokora_anime.system.processor_cores import usable_cores

if TYPE_CHECKING:
    from benchmarks.nano.nano_sections import Bench
    from benchmarks.nano.nano_table import Line

SHIPPED = Path(pokora_anime.__file__).parent / "nano" / "weights"
SECTIONS = ("drawn", "clips", "planned", "stills", "pose", "depth", "styles", "negative")
NEEDED = ("model_index.json", "motion_adapter/config.json", "probe/config.json")
QUICK = {"prompts": 12, "clips": 3, "stills": 16}


def main(arguments: Sequence[str]) -> int:
    """Measure, print the table, write JSON and pictures; returns the exit status."""
    options = _parser().parse_args(list(arguments))
    weights: Path = options.weights
    lacking = [name for name in NEEDED if not (weights / name).exists()]
    if lacking:
        raise WeightsError(
            "WGT-MISSING",
            f"{weights} has no {lacking[0]}",
            expected="a family that `pokora train nano --export` wrote",
            fix="--weights FOLDER, or train the missing member",
        )
    counts = counted(options)
    started = time.monotonic()
    bench, key = _open(weights, options.work, options.threads)
    _measure(bench, counts, options.sections)
    lines = _lines(bench, counts, options.sections, weights)
    result = _result(lines, counts, weights, key, time.monotonic() - started)
    _deliver(bench, lines, result, counts, options)
    return 0


def counted(options: argparse.Namespace) -> dict[str, int]:
    """How many items each section has."""
    quick = QUICK if options.quick else {}
    prompts = options.prompts or quick.get("prompts", 200)
    clips = options.clips or quick.get("clips", prompts)
    stills = options.stills or quick.get("stills", 1000)
    return {
        "drawn": stills, "clips": clips, "planned": (clips + 1) // 2, "stills": stills, "pose": prompts,
        "depth": prompts, "styles": prompts, "negative": max(4, prompts // 4),
    }  # fmt: skip


def _open(weights: Path, work: Path, threads: int) -> tuple[Bench, str]:
    """The studio, the judge and the rows that are there already."""
    from benchmarks.nano.nano_rows import Rows, key
    from benchmarks.nano.nano_sections import Bench
    from benchmarks.nano.nano_studio import Studio

    name = key(weights)
    studio = Studio(weights, threads)
    folder = work / name
    return Bench(studio, studio.probe(), Rows(folder / "rows.jsonl"), folder / "clips"), name


def _measure(bench: Bench, counts: dict[str, int], sections: Sequence[str]) -> None:
    from benchmarks.nano import nano_sections

    for section in sections:
        if section == "styles" and _lacking_styles(bench):
            continue
        getattr(nano_sections, section)(bench, counts[section])


def _lacking_styles(bench: Bench) -> list[str]:
    from benchmarks.nano.nano_sections import STYLES

    return [role for role in STYLES.values() if role is not None and not bench.studio.has_style(role)]


def _lines(bench: Bench, counts: dict[str, int], sections: Sequence[str], weights: Path) -> list[Line]:
    from benchmarks.nano import nano_lines
    from benchmarks.nano.nano_rows import sizes
    from benchmarks.nano.nano_table import absent_line

    lines: list[Line] = []
    for section, lines_of in nano_lines.SECTIONS.items():
        rows = bench.rows.of(section, counts[section]) if section in sections else []
        if rows:
            lines += lines_of(rows)
        elif section == "styles" and section in sections:
            why = f"no {', '.join(_lacking_styles(bench))} LoRA yet"
            bar = f">= {100 * nano_lines.STYLE_BAR:g} %"
            lines.append(absent_line("style LoRAs told apart at weight 1", bar, why))
    return [*lines, nano_lines.size_line(sizes(weights))]


def _result(
    lines: Sequence[Line], counts: dict[str, int], weights: Path, key: str, seconds: float
) -> dict[str, Any]:
    from benchmarks.nano.nano_rows import sizes, weights_hashes
    from pokora_anime.cli.bench.video_bench import describe_machine

    return {
        "bench": "nano",
        "machine": describe_machine(),
        "key": key,
        "counts": counts,
        "seconds_of_this_run": round(seconds, 1),
        "sizes": sizes(weights),
        "weights_sha256": weights_hashes(weights),
        "lines": [_plain(line.record()) for line in lines],
    }


def _deliver(
    bench: Bench,
    lines: Sequence[Line],
    result: dict[str, Any],
    counts: dict[str, int],
    options: argparse.Namespace,
) -> None:
    """JSON, contact sheet, page, card and the printed table."""
    from benchmarks.nano import nano_page
    from benchmarks.nano.nano_table import text_table

    out: Path = options.out or Path("outputs/bench" if options.quick else "benchmarks/results")
    out.mkdir(parents=True, exist_ok=True)
    (out / "nano.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    shown = nano_page.first_clips(bench.pictures, bench.rows.of("clips", counts["clips"]), nano_page.SHOWN)
    if shown:
        nano_page.write_sheet(out / nano_page.SHEET, shown)
    if options.page is not None:
        about = (
            f"Measured on {result['machine']}: {counts['clips']} clips, {counts['stills']} pairs of stills."
        )
        nano_page.fill_page(options.page, lines, shown, about)
    if options.card:
        from pokora_anime.nano.model_card import write_card

        write_card(options.weights, result)
    print(text_table(lines))
    print(f"-> {out / 'nano.json'}")


def _plain(value: Any) -> Any:
    """Numbers that JSON has no word for become null, long ones are rounded."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return None if isnan(value) else round(value, 5)
    return value


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="pokora bench nano", description=__doc__)
    parser.add_argument("--weights", type=Path, default=SHIPPED, help="a family's folder (default: shipped)")
    parser.add_argument("--prompts", type=whole(1), help="prompts of every section (default 200)")
    parser.add_argument("--clips", type=whole(1), help="clips (default: as many as prompts)")
    parser.add_argument("--stills", type=whole(1), help="pairs of stills, and new drawings (default 1000)")
    parser.add_argument("--quick", action="store_true", help="a few of each, to see that it works")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=SECTIONS, help="only these")
    parser.add_argument("--threads", type=whole(1), default=usable_cores())
    parser.add_argument("--work", type=Path, default=Path("outputs/bench/nano"), help="folder of the rows")
    parser.add_argument(
        "--out", type=Path, help="results (default: benchmarks/results; quick: outputs/bench)"
    )
    parser.add_argument("--page", type=Path, help="fill this sample page (docs/nano.md) and its pictures")
    parser.add_argument("--card", action="store_true", help="write the model card into the weights folder")
    return parser
