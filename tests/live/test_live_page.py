"""Live in a real Chromium: started, followed, recorded, ended; and the recording verifies."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import chromium_page
from support.chromium_page import Page
from support.studio_server import StudioServer

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(chromium_page.CHROMIUM is None, reason="no Chromium is installed"),
    pytest.mark.skipif(sys.platform == "win32", reason="the studio's jobs are for POSIX here"),
]
WAITING = 240.0  # seconds that the first frame may take on a busy machine
SETTINGS = {"live.steps": 1, "live.frames": 8, "live.runtime": "torch", "live.seed": 3, "live.threads": 1}
PROMPT = "1girl, blue hair, twintails, white dress, waving, cherry blossoms"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioServer]:
    one = StudioServer(tmp_path_factory.mktemp("live"))
    one.start()
    yield one
    one.stop()


def _typed(page: Page, words: str) -> None:
    page.tell(f"document.querySelector('#live-words').value = {json.dumps(words)}")
    page.tell("document.querySelector('.live-form').requestSubmit()")


def _picture(page: Page) -> str:
    return page.tell("document.querySelector('.live-screen canvas').toDataURL()")


def test_from_the_first_frame_to_a_verified_recording(server: StudioServer, tmp_path: Path) -> None:
    address = server.address
    with chromium_page.browser(tmp_path) as page:
        page.open(f"{address}/live")
        page.tell(f"localStorage.setItem('pokora.live', {json.dumps(json.dumps(SETTINGS))})")
        page.open(f"{address}/live")
        page.until("document.querySelector('.live-form') !== null")
        page.tell(
            "import('/page/state.js').then(({listen}) => {"
            " window.seen = []; listen('live-frame', (one) => window.seen.push(one)); })"
        )
        _typed(page, PROMPT)  # starts, with these words
        page.until("window.seen.length > 12", WAITING)
        before = _picture(page)
        _typed(page, "dancing")
        page.until("window.seen.at(-1).words === 1", WAITING)
        page.until("document.querySelector('#live-now').textContent.endsWith('dancing')", 10)
        assert _picture(page) != before
        numbers = page.tell("window.seen.map((one) => one.number)")
        assert numbers == sorted(set(numbers))

        buttons = "[...document.querySelectorAll('.live-tools button')]"
        record = f"{buttons}.find((one) => one.getAttribute('aria-pressed'))"
        page.tell(f"{record}.click()")
        page.until("window.seen.at(-1).recording", WAITING)
        positions = "window.seen.filter((one) => one.recording).map((one) => one.position)"
        page.until(f"{positions}.at(-1) - {positions}[0] > 10", WAITING)
        still = page.tell(
            "fetch('/api/live/still').then((one) => one.arrayBuffer()).then((one) => one.byteLength)"
        )
        assert still > 10_000
        if pictures := os.environ.get("POKORA_PICTURES"):
            page.picture(Path(pictures) / "live.png")
        page.tell(f"{record}.click()")
        page.until("document.querySelector('.toast') !== null", WAITING)
        assert page.tell("document.querySelector('.toast').className") == "toast good"
        assert not page.errors

        refused = page.tell(
            "fetch('/api/live', {method: 'POST', headers: {'Content-Type': 'application/json'},"
            f" body: JSON.stringify({{prompt: {json.dumps(PROMPT)}}})}}).then((one) => one.json())"
        )
        assert (refused["status"], refused["code"]) == (409, "API-LIVE")

    from pokora_anime.client import Client

    client = Client(server.address)  # the window is closed: the session ends, and the queue goes on
    (job,) = client.jobs()
    assert job.command == "video"
    assert "seed=3" in job.words
    job = client.wait(job.id, WAITING)
    assert job.state == "finished", job
    assert client.verify(run=job.run)["verdict"] in ("PASS", "REVIEW")


def test_a_scripted_session_counts_what_the_page_drew(server: StudioServer, tmp_path: Path) -> None:
    from benchmarks.live import browser_session

    words = [f"{key}={value}" for key, value in SETTINGS.items()]
    with chromium_page.browser(tmp_path) as page:
        found = browser_session.session(page, server, words, 12.0, 0.0)
    row = browser_session.row(words, found)
    assert not found.errors
    assert row["actions typed and seen"]
    assert 0 < float(str(row["wait for an action, p95 s"])) < 12
    assert len(found.gaps) > 24
    assert sum(found.gaps) == pytest.approx(found.seconds, rel=0.3)
    assert min(found.memory) > 2e8
