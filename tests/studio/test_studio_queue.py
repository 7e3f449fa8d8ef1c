"""The queue's table: order, turns, versions, room, and what becomes of jobs that die."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pokora_anime.config.compose import compose
from pokora_anime.errors import ConfigError, MachineError, PokoraError
from pokora_anime.schema.settings import RunConfig
from pokora_anime.studio.problems import Problem
from pokora_anime.studio.queue.job_board import JobBoard
from pokora_anime.studio.queue.job_queue import JobQueue
from pokora_anime.studio.queue.job_reading import Sent, composed
from pokora_anime.studio.queue.job_record import Job, Lane, State, new_job
from pokora_anime.studio.queue.job_store import MOST_TRIES, JobStore
from pokora_anime.studio.workspaces import Workspace, Workspaces

MANY = 1000
ERROR = {"code": "SYS-RENDER", "detail": "ended by signal 9"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    one = JobStore(tmp_path / "jobs.db")
    yield one
    one.close()


def added(store: JobStore, *labels: str, user: str = "") -> list[Job]:
    return [store.add(new_job(user, "video", ["seed=1"], label), MANY)[0] for label in labels]


def waiting(store: JobStore, user: str = "") -> list[str]:
    return [job.label for job in store.listed(user, [State.queued])]


def refused(problem: pytest.ExceptionInfo[Problem]) -> tuple[int, str]:
    return problem.value.status, problem.value.code


def test_jobs_are_taken_in_order_and_each_once(store: JobStore) -> None:
    added(store, *map(str, range(40)))
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: store.take(Lane.render), range(60)))
    labels = [job.label for job in taken if job is not None]
    assert sorted(labels, key=int) == [*map(str, range(40))] and len(labels) == 40
    assert store.take(Lane.beside) is None


def test_a_job_moves_among_its_users_own_and_others_keep_their_places(store: JobStore) -> None:
    (first, second, third) = added(store, "a", "b", "c")
    added(store, "x", user="lee")
    (fourth,) = added(store, "d")
    store.move(fourth.id, "", 0)
    assert waiting(store) == ["d", "a", "b", "c"]
    store.move(first.id, "", 99)
    assert waiting(store) == ["d", "b", "c", "a"]
    assert store.waiting().index(store.listed("lee")[0].id) == 3
    beside = store.add(new_job("", "verify", [], "v"), MANY)[0]
    places = store.positions()
    assert places == {job: place for lane in Lane for place, job in enumerate(store.waiting(lane))}
    assert (places[fourth.id], places[beside.id], len(places)) == (0, 0, 6)
    with pytest.raises(Problem) as caught:
        store.move(second.id, "lee", 0)
    assert refused(caught) == (404, "API-MISSING")
    assert store.get(third.id, "").label == "c"


def test_the_second_of_two_tabs_is_told(store: JobStore) -> None:
    (job, _) = added(store, "a", "b")
    moved = store.move(job.id, "", 1, job.version)
    with pytest.raises(Problem) as caught:
        store.cancel(job.id, "", job.version)
    assert refused(caught) == (409, "API-STALE")
    assert store.cancel(job.id, "", moved.version).state is State.cancelled
    with pytest.raises(Problem) as caught:
        store.cancel(job.id, "", None)
    assert refused(caught) == (409, "API-STALE")


def test_a_key_that_is_sent_twice_makes_one_job_of_each_user(store: JobStore) -> None:
    jobs = [store.add(new_job(user, "video", [], "a"), MANY, "key") for user in ("", "", "lee")]
    assert [new for _, new in jobs] == [True, False, True]
    assert jobs[0][0].id == jobs[1][0].id != jobs[2][0].id


def test_a_full_queue_refuses_and_a_finished_job_makes_room(store: JobStore) -> None:
    for label in ("a", "b"):
        store.add(new_job("", "video", [], label), 2)
    with pytest.raises(Problem) as caught:
        store.add(new_job("lee", "video", [], "c"), 2)
    assert refused(caught) == (429, "API-QUEUE") and caught.value.retry_after > 0
    taken = store.take(Lane.render)
    assert taken is not None
    store.add(new_job("lee", "video", [], "c"), 2)
    store.end(taken.id, State.failed, ERROR)
    with pytest.raises(Problem) as caught:
        store.retry(taken.id, "", None, 2)
    assert refused(caught) == (429, "API-QUEUE")
    assert store.retry(taken.id, "", None, 3).error is None


def test_what_ran_when_the_server_was_killed_waits_in_its_old_place(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "jobs.db")
    added(store, "a", "b", "c")
    store.take(Lane.render)
    store.close()
    again = JobStore(tmp_path / "jobs.db")
    assert [job.label for job in again.recover()] == ["a"]
    assert waiting(again) == ["a", "b", "c"]
    again.close()


def test_a_job_that_dies_goes_on_while_it_gets_further(store: JobStore) -> None:
    (job,) = added(store, "a")
    for segments in (1, 2, 3, 4, 5, 6):
        assert store.take(Lane.render) is not None
        assert store.died(job.id, segments, ERROR).state is State.queued
    for _ in range(MOST_TRIES - 2):
        store.take(Lane.render)
        assert store.died(job.id, 6, ERROR).state is State.queued
    store.take(Lane.render)
    dead = store.died(job.id, 6, ERROR)
    assert dead.state is State.failed and dead.error == ERROR


def test_a_full_disk_is_told_and_loses_nothing(store: JobStore) -> None:
    added(store, "a")
    pages = store._database.execute("PRAGMA page_count").fetchone()[0]
    store._database.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(Problem) as caught:
        store.add(new_job("", "video", ["seed=1" * 10_000], "b"), MANY)
    assert refused(caught) == (503, "SYS-STUDIO")
    assert waiting(store) == ["a"]


def test_a_queue_that_is_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "jobs.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(MachineError) as caught:
        JobStore(tmp_path / "jobs.db")
    assert caught.value.code == "SYS-STUDIO" and "move" in caught.value.fix


class Recorded:
    """Stands for what renders, and notes the order: rendering itself is real in test_studio.py."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def render(self, job: Job, workspace: Workspace) -> Path:
        self.done.append(job.label)
        if job.label == "bad":
            raise ConfigError("CFG-RANGE", "seed=-1", expected="0 to 9", fix="seed=0")
        if job.label == "bug":
            raise ZeroDivisionError("by us")
        return workspace.renders

    def warm(self, config: RunConfig, workspace: Workspace) -> None:
        pass

    def rest(self) -> None:
        pass

    def interrupt(self, job: Job) -> None:
        pass

    def close(self) -> None:
        pass


def test_lost_turns_are_given_again_and_one_job_stops_no_other(tmp_path: Path) -> None:
    renders = Recorded()
    first = JobQueue(Workspaces(tmp_path), MANY, renders, JobBoard())
    for label in ("a", "bad", "bug", "b"):
        first.put(new_job("", "video", [], label))
    first.store.take(Lane.render)  # as a server that is killed: no turn of it is over
    first.store.close()
    first._held.release()

    queue = JobQueue(Workspaces(tmp_path), MANY, renders, JobBoard())
    queue.start()
    deadline = 200
    while queue.store.counts()["queued"] + queue.store.counts()["running"] and deadline:
        deadline -= 1
        time.sleep(0.05)
    told = {job.label: job for job in queue.store.listed("")}
    queue.stop()
    assert renders.done == ["a", "bad", "bug", "b"]
    assert [told[name].state.value for name in ("a", "bad", "bug", "b")] == [
        "finished", "failed", "failed", "finished",
    ]  # fmt: skip
    assert told["bad"].error is not None and told["bad"].error["fix"] == "seed=0"
    assert told["bug"].error is not None and told["bug"].error["code"] == "BUG-FAULT"


def test_a_paused_queue_begins_nothing_and_goes_on(tmp_path: Path) -> None:
    renders = Recorded()
    queue = JobQueue(Workspaces(tmp_path), MANY, renders, JobBoard())
    queue.start()
    queue.pause()
    for label in ("a", "b"):
        queue.put(new_job("", "video", [], label))
    time.sleep(0.3)
    assert renders.done == []
    queue.resume()
    deadline = 200
    while queue.store.counts()["queued"] + queue.store.counts()["running"] and deadline:
        deadline -= 1
        time.sleep(0.05)
    queue.stop()
    assert renders.done == ["a", "b"]


@pytest.mark.parametrize("command", ["video", "stills"])
@pytest.mark.parametrize(
    "words",
    [
        ["shot.prompt=1girl, red hair", "seed=3"],
        ["shot.prompt=a 'b' \\\\ ${c} <lora:pastel:0.5>, {red|blue} hair", "seed=7", "speed=hq"],
        ["shot.prompt=x", "shot.negative=a, (b:1.2)", "shot.prefix=", "seed=1", "shot.prompt=y"],
        ["base=sdxl", "shot.prompt=1girl", "seed=0"],
        ["experiment=contest_sdxl_fast", "seed=12"],
        [],
    ],
)
def test_a_config_is_that_of_a_shell(command: str, words: list[str]) -> None:
    if command == "stills" and words[:1] == ["experiment=contest_sdxl_fast"]:
        words = words[1:]
    for seed in ("seed=1", "seed=2"):
        typed = [*words, seed]
        assert composed(Sent.of(command, typed)) == compose(command, typed)


@pytest.mark.parametrize("word", ["shot.prompt=" + "a" * 3000, "shot.prompt=a\x07b", "seed=-1"])
def test_a_mistake_in_what_changes_is_that_of_a_shell(word: str) -> None:
    composed(Sent.of("video", ["shot.prompt=a"]))
    with pytest.raises(PokoraError) as known:
        compose("video", [word])
    with pytest.raises(PokoraError) as told:
        composed(Sent.of("video", [word]))
    assert told.value.line() == known.value.line()
