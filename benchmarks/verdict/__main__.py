"""What the verdict is worth, measured: false alarms, flipped bits, hostile files, seconds.

python benchmarks/verdict honest --work DIR           60 honest runs and more, 5 bundles: no finding at all
python benchmarks/verdict flips  --work DIR           1,000 flipped bits in a bundle, 1,000 in a zipped run
python benchmarks/verdict fuzz   --work DIR           hostile files: no fault, 10 s, 1 GiB
python benchmarks/verdict speed  --work DIR           seconds of an 8 s run and of a 75 MB bundle

What is rendered stays below DIR, and a later call goes on from it. Exit status 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import damage  # noqa: E402
import honest  # noqa: E402
from measured import Verdict, judge  # noqa: E402

RULES = (
    "RULE-",
    "SUB-",
)  # what a contest asks, and what a draft lacks: no alarm about where pictures come from
SLOWEST = 10.0  # seconds of one hostile input
LARGEST = 2**30  # bytes of memory
BARS = {"run of 8 s": 1.5, "bundle of 75 MB": 5.0}


def main(arguments: list[str] | None = None) -> int:
    """Runs one benchmark; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="verdict", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=sorted(BENCHES))
    parser.add_argument("--work", type=Path, required=True, help="a folder for what is rendered")
    parser.add_argument("--count", type=int, default=1000, help="flips, or hostile files, of each subject")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    return int(not BENCHES[options.what](options.work.resolve(), options.count, options.seed))


def false_alarms(work: Path, _count: int, _seed: int) -> bool:
    """Whether nothing is found in honest runs and bundles but a contest's rules and what a draft lacks."""
    counts: Counter[str] = Counter()
    good = True
    for kind, made in (("runs", honest.render(work)), ("bundles", honest.bundles(work))):
        for one in made:
            verdict = judge(one.path)
            alarms = {code for code in verdict.codes if not code.startswith(RULES)}
            counts[kind] += 1
            if alarms or verdict.fault:
                good = False
                print(f"{one.typed}: {' '.join(sorted(alarms))} {verdict.fault}", flush=True)
                counts["false alarms"] += 1
    print(f"{counts['runs']} runs and {counts['bundles']} bundles: {counts['false alarms']} false alarms")
    return good and counts["runs"] >= 60 and counts["bundles"] >= 5


def flips(work: Path, count: int, seed: int) -> bool:
    """Whether every flipped bit is found."""
    bundle, run = _unzipped(work), _zipped_run(work)
    missed = _tally("bundle", damage.flips_of_folder(bundle, count, seed), bundle)
    return not missed + _tally("zipped run", damage.flips_of_file(run, count, seed), run)


def fuzz(work: Path, count: int, seed: int) -> bool:
    """Whether hostile files end in a finding, in time, within memory."""
    bundle = _unzipped(work)
    run = damage.copied(next(iter(honest.render(work))).path, work / "fuzzed-run")
    missed = _tally("files of a bundle", damage.mangle(bundle, count, seed), bundle)
    return not missed + _tally("files of a run", damage.mangle(run, count, seed), run)


def speed(work: Path, _count: int, _seed: int) -> bool:
    """Whether verify is quick: wall seconds of the whole command, the best of five."""
    good = True
    for name, path in (("run of 8 s", _default_clip(work)), ("bundle of 75 MB", _large_bundle(work))):
        seconds = []
        for _ in range(5):
            started = time.monotonic()
            honest.pokora(work, "verify", str(path), allowed=(0, 1))
            seconds.append(time.monotonic() - started)
        size = _size(path) / 1e6
        print(f"{name}: {size:.0f} MB, best of five {min(seconds):.2f} s (bar {BARS[name]} s)")
        good = good and min(seconds) <= BARS[name]
    return good


def _tally(name: str, changes: Iterable[str], path: Path) -> int:
    """Judges after each change; the number of changes that came through, raised, or took too much."""
    missed, worst, verdicts = 0, "", 0
    slowest, largest = 0.0, 0
    codes: Counter[str] = Counter()
    for change in changes:
        verdict = judge(path)
        verdicts += 1
        codes.update(verdict.codes)
        if verdict.cpu > slowest:
            slowest, worst = verdict.cpu, change
        largest = max(largest, verdict.peak)
        if problem := _problem(verdict):
            missed += 1
            print(f"{name}: {change}: {problem}", flush=True)
    print(
        f"{name}: {verdicts} changes, {missed} not as they must be; slowest {slowest:.1f} CPU-s ({worst}), "
        f"largest {largest / 2**20:.0f} MiB; codes {' '.join(code for code, _ in codes.most_common(12))}"
    )
    return missed


def _problem(verdict: Verdict) -> str:
    if verdict.fault:
        return verdict.fault
    if verdict.clean:
        return "clean"
    if verdict.cpu > SLOWEST:
        return f"{verdict.cpu:.1f} CPU-s"
    return f"{verdict.peak / 2**20:.0f} MiB" if verdict.peak > LARGEST else ""


def _unzipped(work: Path) -> Path:
    target = work / "damaged-bundle"
    shutil.rmtree(target, ignore_errors=True)
    with zipfile.ZipFile(next(iter(honest.bundles(work))).path) as opened:
        opened.extractall(target)
    return next(path for path in target.iterdir())


def _zipped_run(work: Path) -> Path:
    folder = damage.copied(next(iter(honest.render(work))).path, work / "zipped")
    return Path(shutil.make_archive(str(work / "zipped-run"), "zip", folder))


def _default_clip(work: Path) -> Path:
    return next(honest.rendered(work, "default-clip", "video")).path


def _large_bundle(work: Path) -> Path:
    wide = ("base.width=768", "base.height=768", "speed.steps=1", "motion.anchor=none", "control=depth")
    return honest.bundle(
        work / "large-bundle", ("video", *wide, "shot.fps=12", "shot.seconds=10"), ("stills",)
    ).path


def _size(path: Path) -> int:
    files: Iterator[Path] = path.rglob("*") if path.is_dir() else iter([path])
    return sum(one.stat().st_size for one in files if one.is_file())


BENCHES = {"honest": false_alarms, "flips": flips, "fuzz": fuzz, "speed": speed}

if __name__ == "__main__":
    sys.exit(main())
