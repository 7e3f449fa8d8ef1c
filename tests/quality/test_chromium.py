"""The delivered MP4 plays from start to end in a real browser, where one is installed."""

from __future__ import annotations

import io
import json
import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pictures
from support import forged_media
from support import tiny_vae as tiny

from pokora_anime.media.ffmpeg_program import find_ffmpeg
from pokora_anime.nano.world.draw import draw_frame
from pokora_anime.nano.world.scene import sample_scene
from pokora_anime.provenance.node import Node
from pokora_anime.provenance.run_layout import video_tag
from pokora_anime.quality.metrics.clip_scorer import ClipScorer
from pokora_anime.quality.report.scorecard_files import write
from pokora_anime.quality.scorecard import Scorecard
from pokora_anime.schema.run_identity import to_plain
from pokora_anime.stages.delivery import encode
from pokora_anime.untrusted.png_pictures import closed_png_problem
from pokora_anime.verify.video.mp4_form import check_form
from pokora_anime.verify.video.mp4_frames import BadVideo, Shape

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

# Shows each file as it stands on a page, in a box of its natural size, and tells its pixels:
# all of it on 32 x 32, and 32 x 32 of its centre as they are.
GALLERY = """<canvas id=c width=32 height=32></canvas><script>
const draw = async (name) => {
  const moving = name.endsWith('.mp4')
  const shown = document.createElement(moving ? 'video' : 'img')
  shown.src = moving ? URL.createObjectURL(await (await fetch(name)).blob()) : name
  if (moving) shown.muted = true
  document.body.append(shown)
  const ready = new Promise((yes, no) => {
    shown.onerror = () => no('unreadable')
    shown[moving ? 'onloadeddata' : 'onload'] = yes
  })
  try {
    await ready
    if (moving) {
      shown.currentTime = SECOND
      await new Promise((yes) => { shown.onseeked = yes })
    } else await new Promise((yes) => setTimeout(yes, 120))
    const box = shown.getBoundingClientRect()
    const pen = c.getContext('2d', {willReadFrequently: true})
    pen.imageSmoothingQuality = 'high'
    pen.fillStyle = 'black'
    pen.fillRect(0, 0, 32, 32)
    pen.drawImage(shown, 0, 0, 32, 32)
    const pixels = [...pen.getImageData(0, 0, 32, 32).data]
    pen.drawImage(shown, box.width / 2 - 16, box.height / 2 - 16, 32, 32, 0, 0, 32, 32)
    return {size: [box.width, box.height], pixels, centre: [...pen.getImageData(0, 0, 32, 32).data]}
  } catch (reason) { return {size: [0, 0], pixels: String(reason)} }
  finally { shown.remove() }
}
const all = async () => {
  const told = {}
  for (const name of NAMES) {
    told[name] = await Promise.race([
      draw(name), new Promise((yes) => setTimeout(() => yes({size: [0, 0], pixels: 'no answer'}), 5000))])
  }
  fetch('/report', {method: 'POST', body: JSON.stringify(told)})
}
all()
</script>"""
SECOND = 0.52  # within frame 12 of 24 a second

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@pytest.fixture
def drawn_clip(tmp_path: Path) -> Path:
    """One second of a drawn clip, encoded as every clip is."""
    scene = sample_scene(np.random.default_rng(3), action="waving")
    frames = (draw_frame(scene, index / 24, 768).rgb for index in range(24))
    context = tiny.context(tmp_path / "run")
    drawn = Node(op="finish", params={}, parents=("a" * 64,), inputs=("b" * 64,), output="c" * 64)
    return encode.write(frames, tiny.config(size=(768, 768)), context, lambda hashes: [drawn]).path


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


def shown_by_chromium(folder: Path, names: list[str], profile: Path) -> dict[str, Any]:
    """What a real browser shows of the files of a folder: sizes on the page and pixels."""
    page = GALLERY.replace("NAMES", json.dumps(names)).replace("SECOND", str(SECOND))
    (folder / "index.html").write_text(page)
    heard: queue.Queue[dict[str, Any]] = queue.Queue()

    class Handler(SimpleHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    assert CHROMIUM is not None
    browser = subprocess.Popen(
        [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", f"http://127.0.0.1:{server.server_port}/"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return heard.get(timeout=180)
    finally:
        os.killpg(browser.pid, 9)
        browser.wait()
        server.shutdown()


@pytest.mark.apart
def test_what_a_browser_shows_otherwise_is_refused(tmp_path: Path, drawn_clip: Path) -> None:
    """An honest file is shown as it was hashed; each forged one that is shown otherwise is refused."""
    picture = draw_frame(sample_scene(np.random.default_rng(3), action="waving"), 0.5, 96).rgb
    picture = np.asarray(Pictures.fromarray(picture).resize((32, 32), Pictures.Resampling.BOX))
    buffer = io.BytesIO()
    Pictures.fromarray(picture).save(buffer, "PNG")
    honest = {"mp4": drawn_clip.read_bytes(), "png": buffer.getvalue()}
    forged = {"mp4": forged_media.MP4, "png": forged_media.PNG}
    files = {f"honest.{kind}": data for kind, data in honest.items()}
    for kind, data in honest.items():
        files |= {f"{n}.{kind}": forge(data) for n, forge in enumerate(forged[kind].values())}
    media = tmp_path / "media"
    media.mkdir()
    for name, data in files.items():
        (media / name).write_bytes(data)
    shown = shown_by_chromium(media, list(files), tmp_path / "profile")

    assert shown["honest.png"]["size"] == [32, 32]
    assert (pixels(shown["honest.png"]["centre"]) == picture).all()
    assert shown["honest.mp4"]["size"] == [768, 768]
    decoded = decoded_frame(drawn_clip, 12)
    assert np.abs(pixels(shown["honest.mp4"]["centre"]) - decoded).mean() < 2

    other = {name for name, told in shown.items() if told != shown[f"honest.{name[-3:]}"]}
    assert {name[-3:] for name in other} == {"mp4", "png"}  # some are shown otherwise: the test can see it
    accepted = {name for name, data in files.items() if not form_problem(name, data)}
    assert accepted & other == set()


def pixels(told: list[int]) -> NDArray[np.float64]:
    return np.asarray(told, float).reshape(32, 32, 4)[:, :, :3]


def decoded_frame(path: Path, index: int) -> NDArray[np.float64]:
    """The centre of one frame of an MP4 as ffmpeg decodes it, 32 x 32."""
    line = [find_ffmpeg(), "-v", "error", "-i", str(path), "-vf", f"select=eq(n\\,{index})", "-frames:v", "1"]
    done = subprocess.run(
        [*line, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True
    )
    frame = Pictures.frombytes("RGB", (768, 768), done.stdout)
    return np.asarray(frame.crop((368, 368, 400, 400)), float)


def form_problem(name: str, data: bytes) -> str:
    if name.endswith(".png"):
        return closed_png_problem(data)
    try:
        tag = video_tag(to_plain(tiny.config(size=(768, 768))))
        check_form(io.BytesIO(data), len(data), Shape(width=768, height=768, frames=24), 24, tag)
    except BadVideo as error:
        return str(error)
    return ""


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
