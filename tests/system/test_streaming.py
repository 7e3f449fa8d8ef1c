"""The worker beside the main thread: order, bounds, errors both ways, and a quick end."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator

import pytest

from pokora_anime.system import bounded_worker
from pokora_anime.system.bounded_worker import Background


def put_all(background: Background[int, None], count: int) -> None:
    for number in range(count):
        background.put(number)


def put_and_raise(consume: Callable[[Iterator[int]], None], error: BaseException) -> None:
    with Background(consume) as background:
        background.put(1)
        raise error


def test_items_arrive_in_order_and_the_result_comes_back() -> None:
    with Background[int, list[int]](list, depth=1) as background:
        for number in range(20):
            background.put(number)
        assert background.close() == list(range(20))


def test_the_consumer_runs_beside_the_main_thread() -> None:
    threads: list[int] = []

    def consume(items: Iterator[int]) -> None:
        for _ in items:
            threads.append(threading.get_ident())

    with Background(consume) as background:
        background.put(1)
        background.close()
    assert threads
    assert threads[0] != threading.get_ident()


def test_put_waits_once_the_queue_is_full() -> None:
    go = threading.Event()

    def consume(items: Iterator[int]) -> int:
        go.wait()
        return sum(items)

    with Background(consume, depth=2) as background:
        background.put(1)
        background.put(2)
        threading.Timer(0.2, go.set).start()
        begun = time.monotonic()
        background.put(3)
        assert time.monotonic() - begun > 0.1
        assert background.close() == 6


def test_no_more_items_live_than_the_queue_holds() -> None:
    class Item:
        pass

    alive: list[weakref.ref[Item]] = []
    most = 0

    def consume(items: Iterator[Item]) -> None:
        nonlocal most
        for item in items:
            del item
            most = max(most, sum(reference() is not None for reference in alive))

    with Background(consume, depth=1) as background:
        for _ in range(12):
            item = Item()
            alive.append(weakref.ref(item))
            background.put(item)
            del item
        background.close()
    assert most <= 3  # being consumed, waiting, being made


def test_the_workers_error_surfaces_at_the_next_put() -> None:
    def consume(items: Iterator[int]) -> None:
        next(items)
        raise ValueError("disk full")

    with Background(consume) as background, pytest.raises(ValueError, match="disk full"):
        put_all(background, 100)


def test_the_workers_error_surfaces_at_close() -> None:
    def consume(items: Iterator[int]) -> None:
        list(items)
        raise ValueError("disk full")

    with Background(consume) as background:
        background.put(1)
        with pytest.raises(ValueError, match="disk full"):
            background.close()


def test_an_error_in_the_main_thread_ends_the_worker_and_is_the_one_raised() -> None:
    ended = threading.Event()

    def consume(items: Iterator[int]) -> None:
        try:
            for _ in items:
                pass
        finally:
            ended.set()

    begun = time.monotonic()
    with pytest.raises(ValueError, match="main"):
        put_and_raise(consume, ValueError("main"))
    assert ended.wait(1)
    assert time.monotonic() - begun < 2


def test_a_worker_deep_in_work_does_not_hold_up_an_abort() -> None:
    def consume(items: Iterator[int]) -> None:
        for _ in items:
            time.sleep(5)

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        put_and_raise(consume, KeyboardInterrupt())
    assert time.monotonic() - begun < 2


def test_a_worker_that_has_enough_lets_the_rest_pass() -> None:
    with Background[int, int](next, depth=1) as background:
        for number in range(10):
            background.put(number)
        assert background.close() == 0


def test_a_process_ends_although_its_worker_is_busy() -> None:
    code = """
import time
from pokora_anime.system import bounded_worker
from pokora_anime.system.bounded_worker import Background
def consume(items):
    next(items)
    time.sleep(60)
with Background(consume) as background:
    background.put(1)
    raise SystemExit(3)
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=30, check=False).returncode == 3


def test_who_wants_to_be_alone_waits_for_the_item_under_way_and_not_for_ever() -> None:
    begun, over, seen = threading.Event(), threading.Event(), list[bool]()

    def consume(items: Iterator[int]) -> int:
        for item in items:
            seen.append(over.is_set())
            begun.set()
            over.wait(10)
            del item
        return len(seen)

    with Background(consume, depth=1) as background:
        background.put(1)
        assert begun.wait(10)
        with bounded_worker._gate.alone(0.05) as had:
            assert not had
        over.set()
        with bounded_worker._gate.alone(30) as had:
            assert had
            background.put(2)
            time.sleep(0.05)
            assert seen == [False]
        assert background.close() == 2
    assert seen == [False, True]
