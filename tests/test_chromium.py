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
from PIL import Image as Pictures

from pokora_anime.nano.world.draw import draw_frame
from pokora_anime.nano.world.scene import sample_scene
from pokora_anime.provenance.node import Node
from pokora_anime.quality.clip import ClipScorer
from pokora_anime.quality.scorecard import Scorecard, write
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


def test_the_score_page_opens_with_its_plots(tmp_path: Path) -> None:
    scene = sample_scene(np.random.default_rng(1), action="waving", camera="static")
    scorers = [ClipScorer(joins=(6,), fps=8) for _ in range(2)]
    for index in range(14):
        for scorer in scorers:
            scorer.push(draw_frame(scene, index / 8, 96).rgb)
    card = Scorecard(title="1girl", origin="drawn", generated=scorers[0].result(), final=scorers[1].result())
    _, report = write(card, tmp_path)
    shot = tmp_path / "page.png"
    line = [str(CHROMIUM), *FLAGS, "--window-size=1100,1600", f"--screenshot={shot}", report.as_uri()]
    subprocess.run(
        [*line, f"--user-data-dir={tmp_path / 'profile'}"], capture_output=True, timeout=120, check=True
    )
    with Pictures.open(shot) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    purple = (np.abs(pixels - [0x6C, 0x4B, 0xD8]).sum(2) < 24).sum(1)  # the lines of "before interpolation"
    assert (purple[400:] > 0).sum() > 150  # rows of plots that a line passes
