"""A sweep of many drafts, killed and typed again: `python -m benchmarks.choice.many_jobs --out FOLDER`.

Told are the segments that the kill lost, what a job costs beside its rendering, and how heavy the gallery is
and how fast a real Chromium opens it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

DRAFT = (
    *("shot.seconds=4", "base.width=64", "base.height=64", "finish.width=64", "finish.height=64"),
    *("finish.fps=8", "finish.interpolation=none", "finish.upscale=lanczos", "speed.steps=2"),
    "device.threads=1",
)
SEGMENTS = "stages/motion-*.safetensors"
LOOK = 0.05  # seconds between two looks at the sweep's folder
OPENED = """() => { const one = performance.getEntriesByType('navigation')[0]
  return {load: one.loadEventEnd, ready: one.domContentLoadedEventEnd} }"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Kill, go on, open the page; the numbers as JSON, in `many_jobs.json` of the folder too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=50)
    options = parser.parse_args(arguments)
    kept = _killed(options.out, options.jobs)
    found: dict[str, object] = {"jobs": options.jobs, **_gone_on(options.out, options.jobs, kept)}
    folder = next(options.out.glob("sweep/*"))
    found |= _weight(options.out, folder) | _opening(folder / "index.html")
    text = json.dumps(found, indent=2)
    (options.out / "many_jobs.json").write_text(text + "\n", encoding="utf-8")
    print(text)


def _start(out: Path, jobs: int) -> subprocess.Popen[bytes]:
    words = ["sweep", "sweep=seeds", f"seed=range(0,{jobs})", *DRAFT, "--out", str(out)]
    line = [sys.executable, "-m", "pokora_anime.cli", *words]
    log = (out / "sweep.log").open("ab")
    return subprocess.Popen(line, stdout=log, stderr=log, start_new_session=True)


def _done(out: Path) -> dict[str, Path]:
    """The results of jobs so far, by name."""
    return {path.name: path for path in out.glob("sweep/*/job-*.json")}


def _segments(out: Path) -> dict[str, int]:
    """When each finished segment of each run was written, by its place."""
    found = out.glob(f"sweep/*/video/*/{SEGMENTS}")
    return {str(path): path.stat().st_mtime_ns for path in found}


def _killed(out: Path, jobs: int) -> dict[str, int]:
    """The finished segments that a sweep leaves, killed with all its processes in the middle of a clip."""
    out.mkdir(parents=True, exist_ok=True)
    sweep, half = _start(out, jobs), jobs // 2
    while sweep.poll() is None:
        unfinished = [path for path in out.glob("sweep/*/video/*") if not (path / "record.json").exists()]
        midway = any(str(run) in place for run in unfinished for place in _segments(out))
        if len(_done(out)) >= half and midway:
            os.killpg(sweep.pid, signal.SIGKILL)
            break
        time.sleep(LOOK)
    sweep.wait()
    time.sleep(1)
    return _segments(out)


def _gone_on(out: Path, jobs: int, kept: Mapping[str, int]) -> dict[str, object]:
    """The same sweep typed again: what of the first one was made anew, and each job's costs."""
    sweep, seen = _start(out, jobs), dict[str, float]()
    process, own = psutil.Process(sweep.pid), 0.0
    while sweep.poll() is None:
        for name in _done(out).keys() - seen.keys():
            seen[name] = time.monotonic()
        with suppress(psutil.Error):
            times = process.cpu_times()
            own = times.user + times.system
        time.sleep(LOOK)
    assert sweep.returncode == 0, (out / "sweep.log").read_text()[-3000:]
    now = _segments(out)
    lost = [place for place, when in kept.items() if now.get(place) != when]
    results = [json.loads(path.read_text()) for _, path in sorted(_done(out).items())]
    rendered = [one for one in results if not _whole_before(one, kept)]
    beside = [one["seconds"] - _taken(one) for one in rendered[1:]]
    return {
        "segments_there_when_killed": len(kept),
        "of_these_made_anew": len(lost),
        "answered_from_their_folder": len(results) - len(rendered),
        "rendered_after": len(rendered),
        "beside_a_render_s_median": round(statistics.median(beside), 2),
        "rendering_s_median": round(statistics.median(map(_taken, rendered[1:])), 2),
        "cpu_s_of_the_sweep_a_job": round(own / len(results), 3),
    }


def _taken(result: Mapping[str, str]) -> float:
    told = json.loads((Path(result["path"]) / "logs" / "timings.json").read_text(encoding="utf-8"))
    return float(told["taken"])


def _whole_before(result: Mapping[str, str], kept: Mapping[str, int]) -> bool:
    """Whether all segments of a job's run were there before."""
    return all(str(path) in kept for path in Path(result["path"]).glob(SEGMENTS))


def _weight(out: Path, folder: Path) -> dict[str, object]:
    page = [folder / "index.html", *out.glob("sweep/*/video/*/reports/poster.webp")]
    clips = [*out.glob("sweep/*/video/*/video.mp4")]
    return {
        "page_and_posters_mb": round(sum(path.stat().st_size for path in page) / 1e6, 2),
        "clips_mb": round(sum(path.stat().st_size for path in clips) / 1e6, 2),
    }


def _opening(page: Path) -> dict[str, object]:
    """Milliseconds until the page is ready, and until it has loaded, in Chromium; the median of five."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        found: list[dict[str, float]] = []
        for _ in range(5):
            tab = browser.new_page()
            tab.goto(page.resolve().as_uri(), wait_until="load")
            tab.wait_for_timeout(200)
            found.append(tab.evaluate(OPENED))
            tab.close()
        browser.close()
    return {f"page_{name}_ms": round(statistics.median(one[name] for one in found)) for name in found[0]}


if __name__ == "__main__":
    main()
