"""A sweep of many jobs on a cluster, simulated: a queue, a shared store, and workers that are lost.

python -m benchmarks.cluster.simulate_sweep [--jobs 1000] [--hosts 8] [--lost 0.2] [key=value ...]

What a job takes is the forecast that `pokora estimate video base=sdxl --gpu H100` prints: counted work at an
assumed share of the card's peak, never measured on one. Queue, store and failures are a simulation of events;
its random numbers are seeded. Not simulated: a full network between hosts, and a scheduler's own wait.
"""

from __future__ import annotations

import argparse
import heapq
import json
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from random import Random

from pokora_anime.config.compose import compose_video
from pokora_anime.devices.forecast import cards, disk_space
from pokora_anime.devices.forecast.estimate import Estimate, Target
from pokora_anime.timeline import frame_timing, segment_plan

MB = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Hosts of one card each. Seconds and bytes; `lost` is how often a worker is lost, an hour."""

    hosts: int = 8
    lost: float = 0.2
    back: float = 120.0  # seconds until a lost worker is there again
    overhead: float = 0.5  # of the launcher, a job
    store: float = 500 * MB  # bytes a second that all hosts share
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One clip: start-up of a worker, seconds of its own in `segments` equal parts, bytes that it writes."""

    starting: float
    seconds: float
    segments: int
    written: int


@dataclass(slots=True, kw_only=True)
class Told:
    """What came of it."""

    hours: float = 0.0
    busy: float = 0.0  # share of the hosts' time in which they rendered what was kept
    jobs_an_hour: float = 0.0
    lost_workers: int = 0
    repeated: int = 0
    failed: int = 0  # lost twice
    lost_minutes: float = 0.0  # of rendering that was made again
    waiting_minutes: float = 0.0  # for the store, of all hosts
    store_gb: float = 0.0
    last_alone_minutes: float = 0.0  # while not all hosts had something to do


@dataclass(slots=True)
class _Task:
    """A job in the queue: seconds that are left of it, and how often its worker was lost."""

    left: float
    losses: int = 0


class _Sweep:
    """The queue, the hosts and the store, as events in the order of their time."""

    def __init__(self, jobs: int, job: Job, cluster: Cluster) -> None:
        self.job, self.cluster, self.told = job, cluster, Told()
        self.queue = deque(_Task(job.seconds) for _ in range(jobs))
        self.chance, self.fresh, self.idle = Random(cluster.seed), set(range(cluster.hosts)), set[int]()
        self.events: list[tuple[float, int, str, int, _Task]] = []
        self.store_until, self.number = 0.0, 0
        self.ends: list[float] = []
        self.first_idle = 0.0

    def run(self) -> Told:
        """All events until nothing is left to do."""
        for host in range(self.cluster.hosts):
            self._push(0.0, "free", host)
        steps = {"free": self._free, "rendered": self._rendered, "lost": self._lost}
        while self.events:
            at, _, kind, host, task = heapq.heappop(self.events)
            steps[kind](at, host, task)
        return self._summed()

    def _push(self, at: float, kind: str, host: int, task: _Task | None = None) -> None:
        self.number += 1
        heapq.heappush(self.events, (at, self.number, kind, host, task or _Task(0.0)))

    def _free(self, at: float, host: int, _: _Task) -> None:
        if not self.queue:
            self.first_idle = self.first_idle or at
            self.idle.add(host)
            return
        task = self.queue.popleft()
        ready = at + self.cluster.overhead + (self.job.starting if host in self.fresh else 0.0)
        self.fresh.discard(host)
        rate = self.cluster.lost / 3600
        until = self.chance.expovariate(rate) if rate else float("inf")
        if until >= task.left:
            self._push(ready + task.left, "rendered", host, task)
        else:
            part = self.job.seconds / self.job.segments
            self.told.lost_minutes += (until % part) / 60
            task.left -= until - until % part  # finished segments stay in the run's folder
            self._push(ready + until, "lost", host, task)

    def _rendered(self, at: float, host: int, _: _Task) -> None:
        """The run's files go to the store, which takes one after the other at its full rate."""
        begun = max(at, self.store_until)
        self.told.waiting_minutes += (begun - at) / 60
        self.store_until = begun + self.job.written / self.cluster.store
        self.ends.append(self.store_until)
        self._push(self.store_until, "free", host)

    def _lost(self, at: float, host: int, task: _Task) -> None:
        self.told.lost_workers += 1
        self.fresh.add(host)
        self._push(at + self.cluster.back, "free", host)
        task.losses += 1
        if task.losses > 1:
            self.told.failed += 1
            return
        self.told.repeated += 1
        self.queue.appendleft(task)
        for other in self.idle:
            self._push(at, "free", other)
        self.idle.clear()

    def _summed(self) -> Told:
        told, last = self.told, max(self.ends, default=0.0)
        if last:
            told.hours = last / 3600
            told.busy = self.job.seconds * len(self.ends) / (last * self.cluster.hosts)
            told.jobs_an_hour = len(self.ends) / told.hours
            told.last_alone_minutes = (last - self.first_idle) / 60
        told.store_gb = len(self.ends) * self.job.written / 1e9
        return told


def simulate(jobs: int, job: Job, cluster: Cluster) -> Told:
    """A queue of equal jobs, first come, first served; a job whose worker is lost is taken up once more."""
    return _Sweep(jobs, job, cluster).run()


def of_card(name: str, words: Sequence[str]) -> Job:
    """A clip's forecast on a card of the table."""
    config = compose_video(["base=sdxl", *words])
    card, note = cards.find(name)
    found = Estimate.of([config], Target.of(card, config.device, note))
    seconds = found.computing + found.delivering
    segments = len(segment_plan.of(config, frame_timing.frames_generated(config)))
    return Job(starting=found.starting, seconds=seconds, segments=segments, written=disk_space.needed(config))


def main() -> None:
    """Print a row a cluster: as asked, with more and fewer failures, with a slower store, and one host."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--card", default="H100")
    parser.add_argument("--hosts", type=int, default=Cluster().hosts)
    parser.add_argument("--lost", type=float, default=Cluster().lost, help="workers lost, an hour and host")
    parser.add_argument("words", nargs="*", metavar="key=value")
    options = parser.parse_args()
    job = of_card(options.card, options.words)
    asked = Cluster(hosts=options.hosts, lost=options.lost)
    rows = {
        "as asked": asked,
        "nothing is lost": replace(asked, lost=0.0),
        "ten times as many are lost": replace(asked, lost=asked.lost * 10),
        "a tenth of the store": replace(asked, store=asked.store / 10),
        "a hundredth of the store": replace(asked, store=asked.store / 100),
        "one host": replace(asked, hosts=1),
    }
    print(json.dumps({"job": asdict(job), "jobs": options.jobs}))
    for name, cluster in rows.items():
        told = {key: round(value, 3) for key, value in asdict(simulate(options.jobs, job, cluster)).items()}
        print(json.dumps({"cluster": name, **told}))


if __name__ == "__main__":
    main()
