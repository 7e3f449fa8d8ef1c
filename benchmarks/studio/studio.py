"""`python -m benchmarks.studio.studio`: the studio's waits, its answers beside a render, and kill -9.

Each section starts the real command in a folder of its own. Measured are seconds from a request to its
answer, from Go to the first picture and preview (cold: nothing was started; opened: the page, two seconds
before; typed: the page has checked words for 8 s; warm: behind a clip before), the 95th percentile of reads
while a clip is rendered, the memory of the idle server, and what becomes of jobs when server and rendering
process are killed at random moments: every still must be there once, byte for byte what the command line
makes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil

from pokora_anime.client import Client, JobView, StudioError

PROMPT = "shot.prompt=1girl, red hair, kimono, dancing, night sky"
CLIP = (PROMPT, "experiment=preview")
STILL = (PROMPT, "count=1", "speed.steps=2")
PARALLEL = 50
TYPING_SECONDS, OPENED_SECONDS = 8.0, 2.0


class Studio:
    """The command in a folder."""

    def __init__(self, root: Path, *words: str) -> None:
        self.root, self.words = root, words
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Client:
        """A client once it answers."""
        log = (self.root / "studio.log").open("ab")
        before = log.tell()
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "pokora_anime.cli", "studio", "studio.port=0", *self.words],
            cwd=self.root, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        while self.process.poll() is None:
            found = re.search(rb"studio: (http://\S+)/", (self.root / "studio.log").read_bytes()[before:])
            if found:
                client = Client(found[1].decode())
                with suppress(OSError):
                    client.health()
                    return client
            time.sleep(0.02)
        raise SystemExit((self.root / "studio.log").read_text())

    def stop(self, number: int = signal.SIGINT) -> None:
        """Ctrl-C, or another signal."""
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(timeout=60)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--sections", nargs="+", choices=("waits", "load", "kills"), default=["waits", "load", "kills"]
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/studio.json"))
    options = parser.parse_args(arguments)
    found: dict[str, object] = {
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
    }
    with tempfile.TemporaryDirectory(prefix="studio-bench-") as folder:
        for name in options.sections:
            root = Path(folder) / name
            root.mkdir()
            measure = {
                "waits": waits,
                "load": load,
                "kills": lambda at: kills(at, options.kills, options.seed),
            }
            found[name] = measure[name](root)
            print(name, json.dumps(found[name], indent=2), flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


def waits(root: Path) -> dict[str, object]:
    """Answers while nothing else goes on, then Go to first pictures, cold and warm."""
    studio = Studio(root)
    begun = time.monotonic()
    client = studio.start()
    started = time.monotonic() - begun
    client.schema()
    found: dict[str, object] = {"server_starts_s": round(started, 2)}
    found["check_ms"] = _median(lambda at: client.check("video", [f"{PROMPT}, seed {at}"]))
    found["estimate_ms"] = _median(lambda at: client.estimate("video", [f"{PROMPT}, seed {at}"]))
    found["gallery_ms"] = _median(lambda at: client.gallery(offset=at))
    assert studio.process is not None
    found["idle_memory_mb"] = round(psutil.Process(studio.process.pid).memory_info().rss / 2**20)
    time.sleep(TYPING_SECONDS)
    found["typed"] = _clip(client, [*CLIP, "seed=3"])
    found["warm"] = _clip(client, [*CLIP, "seed=2"])
    studio.stop()
    client = studio.start()
    found["cold"] = _clip(client, [*CLIP, "seed=1"])
    studio.stop()
    client = studio.start()
    client.schema()  # as the page does when it is opened
    time.sleep(OPENED_SECONDS)
    found["opened"] = _clip(client, [*CLIP, "seed=4"])
    studio.stop()
    return found


def load(root: Path) -> dict[str, object]:
    """Many requests at once while a clip is rendered, and a queue that is full."""
    studio = Studio(root, "studio.requests=100000", "studio.queue=3")
    client = studio.start()
    client.schema()
    jobs = [client.add("video", [*CLIP, f"seed={seed}"]) for seed in (1, 2, 3)]
    _until(client, jobs[0], "running")
    jobs.append(client.add("video", [*CLIP, "seed=4"]))
    reads: list[float] = []
    writes: list[float] = []
    refused = [0]
    lock = threading.Lock()

    def ask(number: int) -> None:
        begun = time.monotonic()
        try:
            if number % 10 == 0:
                client.add("stills", [*STILL, f"seed={number + 100}"])
            elif number % 2:
                client.jobs()
            else:
                client.gallery()
        except StudioError as error:
            if error.status != 429:
                raise
            with lock:
                refused[0] += 1
            return
        with lock:
            (writes if number % 10 == 0 else reads).append(time.monotonic() - begun)

    for _ in range(4):
        with ThreadPoolExecutor(PARALLEL) as pool:
            list(pool.map(ask, range(PARALLEL)))
    found = {
        "requests": 4 * PARALLEL, "answered": len(reads) + len(writes), "refused_429": refused[0],
        "read_p50_ms": round(1000 * statistics.median(reads)),
        "read_p95_ms": round(1000 * statistics.quantiles(reads, n=20)[-1]),
        "jobs": len(client.jobs()),
    }  # fmt: skip
    studio.stop()
    return found


def kills(root: Path, count: int, seed: int) -> dict[str, object]:
    """Stills while server and rendering process are killed at random moments."""
    dice = random.Random(seed)
    studio = Studio(root)
    client = studio.start()
    seeds = range(1, 7)
    jobs = [client.add("stills", [*STILL, f"seed={one}"], once=f"still {one}") for one in seeds]
    done = {"server": 0, "worker": 0}
    while done["server"] + done["worker"] < count:
        time.sleep(dice.uniform(0.2, 6.0))
        assert studio.process is not None
        children = psutil.Process(studio.process.pid).children(recursive=True)
        if children and dice.random() < 0.5:
            with suppress(psutil.NoSuchProcess):
                children[0].kill()
                done["worker"] += 1
        else:
            studio.process.kill()
            studio.process.wait()
            done["server"] += 1
            client = studio.start()
            for one in seeds:  # a page that sends again what it had no answer for
                client.add("stills", [*STILL, f"seed={one}"], once=f"still {one}")
        for job in client.jobs("failed"):
            client.retry(job.id)
    ended = [client.wait(job.id, 600) for job in jobs]
    runs = client.gallery(command="stills")
    pictures = {
        one.words[-1]: client.save(one, "still-1.png", root / f"{one.id}.png").read_bytes() for one in ended
    }
    studio.stop()
    equal = 0
    for one in seeds:
        alone = root / f"alone-{one}"
        alone.mkdir()
        line = [sys.executable, "-P", "-m", "pokora_anime.cli", "stills", *STILL, f"seed={one}"]
        subprocess.run(line, cwd=alone, check=True, capture_output=True)
        (path,) = alone.glob("outputs/stills/*/still-1.png")
        equal += path.read_bytes() == pictures[f"seed={one}"]
    return {
        "kills": done, "jobs": len(jobs), "finished": sum(one.state == "finished" for one in ended),
        "runs": len(runs), "equal_to_the_command_line": equal,
    }  # fmt: skip


def _clip(client: Client, words: Sequence[str]) -> dict[str, object]:
    """Seconds from Go to what is seen of a clip, by its events."""
    begun = time.monotonic()
    job = client.add("video", words)
    seen: dict[str, object] = {}
    for name, told in client.events(job.id):
        key = (
            f"{told['kind']}_s"
            if name == "picture"
            else "first_step_s"
            if name == "progress"
            else f"{name}_s"
        )
        if name in ("picture", "progress", "end"):
            seen.setdefault(key, round(time.monotonic() - begun, 2))
    return seen


def _median(ask: Callable[[int], object], times: int = 9) -> float:
    """Milliseconds of the median answer."""
    taken: list[float] = []
    for number in range(times):
        begun = time.monotonic()
        ask(number)
        taken.append(time.monotonic() - begun)
    return round(1000 * statistics.median(taken), 1)


def _until(client: Client, job: JobView, state: str) -> None:
    while client.job(job.id).state != state:
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
