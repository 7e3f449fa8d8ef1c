"""The delivered MP4 plays from start to end in a real browser, where one is installed."""

from __future__ import annotations

import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import numpy as np
import pytest
import tiny_vae as tiny

from pokora_anime.nano.world import draw_frame, sample_scene
from pokora_anime.provenance.node import Node
from pokora_anime.stages import encode

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --autoplay-policy=no-user-gesture-required"
).split()
PAGE = """<video id=v muted autoplay src="video.mp4"></video><script>
const size = () => `width=${v.videoWidth}&height=${v.videoHeight}&seconds=${v.duration}`
const say = (word) => fetch(`/report?word=${word}&${size()}`)
v.onended = () => say('ended'); v.onerror = () => say('error')
</script>"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@pytest.fixture
def drawn_clip(tmp_path: Path) -> Path:
    """One second of a drawn clip, encoded as every clip is."""
    scene = sample_scene(np.random.default_rng(3), action="waving")
    frames = (draw_frame(scene, index / 24, 768).rgb for index in range(24))
    context = tiny.context(tmp_path / "run")
    drawn = Node(op="finish", params={}, parents=("a" * 64,), inputs=("b" * 64,), output="c" * 64)
    return encode.write(frames, tiny.config(size=(768, 768)), context, lambda hashes: drawn).path


@pytest.fixture
def reports(tmp_path: Path, drawn_clip: Path) -> Iterator[tuple[str, queue.Queue[dict[str, list[str]]]]]:
    """A loopback server with the page and the clip, and what the page reports."""
    (tmp_path / "index.html").write_text(PAGE)
    shutil.copy(drawn_clip, tmp_path / "video.mp4")
    heard: queue.Queue[dict[str, list[str]]] = queue.Queue()

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/report"):
                heard.put(parse_qs(urlparse(self.path).query))
            super().do_GET()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", heard
    server.shutdown()


def test_the_clip_plays_to_its_end(
    reports: tuple[str, queue.Queue[dict[str, list[str]]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    address, heard = reports
    profile = tmp_path_factory.mktemp("profile")
    assert CHROMIUM is not None
    browser = subprocess.Popen(
        [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "--remote-debugging-port=0", address],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        report = heard.get(timeout=90)
    finally:
        os.killpg(browser.pid, 9)
        browser.wait()
    assert report["word"] == ["ended"]
    assert (report["width"], report["height"]) == (["768"], ["768"])
    assert float(report["seconds"][0]) == pytest.approx(1.0, abs=0.05)
