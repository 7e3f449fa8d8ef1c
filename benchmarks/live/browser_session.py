"""A live session in a real Chromium, driven by a script, as the page saw it.

    python -m benchmarks.live.browser_session                       # ten minutes, then a recording verified
    python -m benchmarks.live.browser_session --seconds 60 live.steps=1 live.runtime=torch

A studio of its own serves the page; a prompt is typed, and every four seconds another action; the last
seconds are recorded. Gaps are those between two pictures that the page drew; an action counts as seen with
the first picture that follows it; memory is that of the process that generates. Exit status 1 where the
recording does not verify, or the page has complained.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil

from benchmarks.live.live import ACTIONS, EVERY, PROMPT, growth, part
from pokora_anime.cli.bench import video_bench

if TYPE_CHECKING:
    from support.chromium_page import Page
    from support.studio_server import StudioServer

_TESTS = Path(__file__).parent.parent.parent / "tests"  # whose browser and server these are
_STARTING = 600.0  # seconds that the first frame may take: networks are converted once
_RENDERING = 900.0
# Keeps of each picture that was drawn what is measured; answers with what came since it was last asked.
_LISTEN = """
import('/page/state.js').then(({listen}) => {
  window.seen = [];
  listen('live-frame', (one) => window.seen.push(
    [performance.now(), one.gap, one.words, one.position, one.recording]));
})
"""
_TAKE = "window.seen.splice(0, window.seen.length)"
_RECORD = (
    "[...document.querySelectorAll('.live-tools button')].find((one) => one.getAttribute('aria-pressed'))"
)


@dataclass(slots=True)
class Seen:
    """What a page saw: gaps and waits in seconds, memory in bytes, the clip's frames, pictures drawn."""

    gaps: list[float] = field(default_factory=list[float])
    waits: list[float] = field(default_factory=list[float])
    memory: list[int] = field(default_factory=list[int])
    made: list[float] = field(default_factory=list[float])
    positions: list[float] = field(default_factory=list[float])
    seconds: float = 0.0
    verdict: str = ""
    errors: list[str] = field(default_factory=list[str])
    _asked: dict[int, float] = field(default_factory=dict[int, float])

    def typed(self, number: int, at: float) -> None:
        """The words of this number were typed at a time of the page's clock, in milliseconds."""
        self._asked[number] = at

    def drawn(self, pictures: Sequence[Sequence[float]]) -> bool:
        """Pictures as the page tells them; whether the last one belongs to a recording."""
        for at, gap, words, position, _ in pictures:
            if gap:
                self.gaps.append(gap / 1000)
            self.positions.append(position)
            for number in [number for number in self._asked if number <= words]:
                self.waits.append((at - self._asked.pop(number)) / 1000)
        return bool(pictures and pictures[-1][4])


def session(page: Page, server: StudioServer, words: Sequence[str], seconds: float, take: float) -> Seen:
    """Drives the page of a server for so long, and records the last `take` seconds of the clip."""
    settings = dict(word.partition("=")[::2] for word in words)
    page.open(f"{server.address}/live")
    page.tell(f"localStorage.setItem('pokora.live', {json.dumps(json.dumps(settings))})")
    page.open(f"{server.address}/live")
    page.until("document.querySelector('.live-form') !== null")
    page.tell(_LISTEN)
    _type(page, PROMPT.format(ACTIONS[1]))
    page.until("window.seen.length > 12", _STARTING)
    page.tell(_TAKE)
    found = Seen()
    _drive(page, server, found, seconds)
    if take:
        _record(page, found, take)
    page.tell("fetch('/api/live', {method: 'DELETE'}).then(() => true)")
    found.errors = list(page.errors)
    return found


def _drive(page: Page, server: StudioServer, found: Seen, seconds: float) -> None:
    begun, typed = time.monotonic(), 0
    while time.monotonic() - begun < seconds:
        if time.monotonic() - begun > (typed + 1) * EVERY - EVERY / 2:
            typed += 1
            found.typed(typed, page.tell("performance.now()"))
            _type(page, ACTIONS[(typed + 1) % len(ACTIONS)])
            found.memory.append(max(psutil.Process(one).memory_info().rss for one in server.children()))
            state = page.tell("fetch('/api/live').then((one) => one.json()).then((one) => one.session)")
            found.made.append(state["made_a_second"])
        found.drawn(page.tell(_TAKE))
        time.sleep(0.2)
    found.seconds = time.monotonic() - begun


def _record(page: Page, found: Seen, take: float) -> None:
    page.tell(f"{_RECORD}.click()")
    aside = Seen()
    page.until("window.seen.some((one) => one[4])", _STARTING)
    page.tell(_TAKE)
    while not (aside.positions and aside.positions[-1] - aside.positions[0] >= take * 8):
        aside.drawn(page.tell(_TAKE))
        time.sleep(0.1)
    page.tell(f"{_RECORD}.click()")
    page.until("document.querySelector('.toast') !== null", 30)
    found.errors += [] if page.tell("document.querySelector('.toast.good') !== null") else ["no recording"]


def _type(page: Page, words: str) -> None:
    page.tell(f"document.querySelector('#live-words').value = {json.dumps(words)}")
    page.tell("document.querySelector('.live-form').requestSubmit()")


def verified(server: StudioServer) -> str:
    """The verdict on the run of the one recording, once it is rendered."""
    from pokora_anime.client import Client

    client = Client(server.address)
    (job,) = client.jobs()
    job = client.wait(job.id, _RENDERING)
    return str(client.verify(run=str(job.run))["verdict"]) if job.state == "finished" else job.state


def row(words: Sequence[str], found: Seen) -> dict[str, object]:
    """What was seen as a row of a table."""
    return {
        "settings": " ".join(words) or "defaults",
        "seconds": round(found.seconds),
        "new frames a second": round(float(np.mean(found.made)), 1) if found.made else None,
        "clip seconds a second": round((found.positions[-1] - found.positions[0]) / 8 / found.seconds, 2),
        "pictures drawn a second": round(len(found.gaps) / found.seconds, 1),
        "gap, p99 ms": round(1000 * float(np.percentile(found.gaps, 99))),
        "gap, longest ms": round(1000 * max(found.gaps)),
        "gaps over 100 ms": sum(gap > 0.1 for gap in found.gaps),
        "actions typed and seen": len(found.waits),
        "wait for an action, median s": part(found.waits, 50),
        "wait for an action, p95 s": part(found.waits, 95),
        "memory, GB": round(max(found.memory, default=0) / 1e9, 2),
        "memory, last tenth to first": growth(found.memory[1:]),
        "recording": found.verdict,
    }


def main(arguments: list[str] | None = None) -> int:
    """Measure, print a row, and write it as JSON; returns the exit status."""
    sys.path.insert(0, str(_TESTS))
    from support import chromium_page
    from support.studio_server import StudioServer

    parser = argparse.ArgumentParser(
        prog="browser_session", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("words", nargs="*", help="settings, as live.key=value")
    parser.add_argument("--seconds", type=float, default=600.0, help="length of the session (default: 600)")
    parser.add_argument("--take", type=float, default=4.0, help="seconds that are recorded (default: 4)")
    parser.add_argument("--out", type=Path, default=Path("outputs/bench"), help="folder for the result")
    options = parser.parse_args(arguments)
    if chromium_page.CHROMIUM is None:
        print("browser_session: no Chromium is installed; install one, or run `pokora bench live`")
        return 2
    with tempfile.TemporaryDirectory() as place:
        server = StudioServer(Path(place) / "studio")
        server.start()
        try:
            with chromium_page.browser(Path(place) / "profile") as page:
                found = session(page, server, options.words, options.seconds, options.take)
            found.verdict = verified(server) if options.take else ""
        finally:
            server.stop()
    told = row(options.words, found)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "live-browser.json"
    path.write_text(json.dumps({"machine": video_bench.describe_machine(), "rows": [told]}, indent=1) + "\n")
    print("\n".join(f"{name:32} {value}" for name, value in told.items()), *found.errors, sep="\n")
    print(f"-> {path}")
    return int(bool(found.errors) or found.verdict not in ("", "PASS", "REVIEW"))


if __name__ == "__main__":
    sys.exit(main())
