"""Live as a program drives it: three hundred prompts in ten seconds, and a window that is closed."""

from __future__ import annotations

import http.client
import json
import struct
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import psutil
import pytest
from support.studio_server import StudioServer

pytestmark = [
    pytest.mark.apart,
    pytest.mark.skipif(sys.platform == "win32", reason="the studio's jobs are for POSIX here"),
]
PROMPT = "1girl, blue hair, twintails, white dress, {}, cherry blossoms"
ACTIONS = (
    "dancing",
    "waving",
    "walking",
    "jumping",
    "arms up",
    "standing",
    "",
)  # the last one asks for nothing
WORDS = [f"live.{word}" for word in ("steps=1", "frames=8", "runtime=torch", "threads=1", "seed=3")]
WAITING = 240.0  # seconds on a busy machine


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioServer]:
    one = StudioServer(tmp_path_factory.mktemp("live"))
    one.start()
    yield one
    one.stop()


def _asked(
    server: StudioServer, method: str, path: str, body: object = None
) -> tuple[int, dict[str, object]]:
    line = http.client.HTTPConnection(urlsplit(server.address).netloc, timeout=60)
    headers = {"Content-Type": "application/json"}
    line.request(method, f"/api/live{path}", None if body is None else json.dumps(body), headers)
    answer = line.getresponse()
    told = answer.read()
    line.close()
    return answer.status, json.loads(told) if told else {}


def _frames(server: StudioServer, line: http.client.HTTPConnection) -> Iterator[dict[str, object]]:
    """What is told of each picture, as long as somebody asks for the next."""
    line.request("GET", "/api/live/frames")
    answer = line.getresponse()
    while head := answer.read(4):
        about = json.loads(answer.read(struct.unpack(">I", head)[0]))
        answer.read(int(about.get("bytes", 0)))
        if "number" in about:
            yield about


def _until(server: StudioServer, words: int) -> dict[str, object]:
    line = http.client.HTTPConnection(urlsplit(server.address).netloc, timeout=60)
    end = time.monotonic() + WAITING
    for about in _frames(server, line):
        if int(str(about["words"])) >= words or time.monotonic() > end:
            line.close()
            return about
    raise AssertionError("the session ended")


def test_of_three_hundred_prompts_in_ten_seconds_none_is_lost_and_the_last_is_danced(
    server: StudioServer,
) -> None:
    status, _ = _asked(server, "POST", "", {"prompt": PROMPT.format("waving"), "words": WORDS})
    assert status == 201
    assert _until(server, 0)["words"] == 0
    (generator,) = server.children()
    before = psutil.Process(generator).memory_info().rss
    typed = [PROMPT.format(ACTIONS[n % len(ACTIONS)]) for n in range(299)] + [PROMPT.format("ballet")]
    begun = time.monotonic()

    def send(one: tuple[int, str]) -> tuple[int, dict[str, object]]:
        time.sleep(max(0.0, begun + one[0] / 30 - time.monotonic()))
        return _asked(server, "PUT", "/words", {"text": one[1]})

    with ThreadPoolExecutor(9) as senders:
        seen = senders.submit(_until, server, 300)  # a session lasts while somebody looks on
        told = [*senders.map(send, enumerate(typed[:-1]))]
        told.append(send((299, typed[-1])))  # the last one after all others
    assert {status for status, _ in told} == {200}
    assert sorted(int(str(answer["words"])) for _, answer in told) == [*range(1, 301)]
    assert told[-1][1]["words"] == 300
    assert seen.result()["words"] == 300
    session = _asked(server, "GET", "")[1]["session"]
    assert isinstance(session, dict)
    assert str(session["prompt"]).startswith(
        typed[-1]
    )  # behind it, what the seed chose for what it leaves open
    assert psutil.Process(generator).memory_info().rss < 1.3 * before
    assert b"Traceback" not in server.log.read_bytes()


def test_a_window_that_is_closed_mid_segment_ends_the_session_and_the_next_one_starts(
    server: StudioServer,
) -> None:
    if _asked(server, "GET", "")[1]["session"] is None:
        assert _asked(server, "POST", "", {"prompt": PROMPT.format("waving"), "words": WORDS})[0] == 201
    _until(server, 0)  # looks on, and goes while a segment is made
    (generator,) = server.children()
    assert _asked(server, "PUT", "/words", {"text": "dancing"})[0] == 200
    end = time.monotonic() + 30
    while psutil.pid_exists(generator) and time.monotonic() < end:
        time.sleep(0.1)
    assert not psutil.pid_exists(generator)
    assert _asked(server, "GET", "")[1]["session"] is None
    assert b"Traceback" not in server.log.read_bytes()
    assert _asked(server, "POST", "", {"prompt": PROMPT.format("waving"), "words": WORDS})[0] == 201
    assert _asked(server, "DELETE", "")[0] == 204
