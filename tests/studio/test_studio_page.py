"""The studio's page in a real Chromium, from a typed prompt to a verified draft bundle."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import submission_checkout
from support.studio_server import StudioServer

from pokora_anime.client import Client

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
    pytest.mark.skipif(sys.platform == "win32", reason="the studio's jobs are for POSIX here"),
]
sync_api = pytest.importorskip("playwright.sync_api")
RENDERING = 240_000  # milliseconds that a clip of two seconds may take on a busy machine


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioServer]:
    root = tmp_path_factory.mktemp("studio")
    submission_checkout.checkout(root)
    one = StudioServer(root)
    one.start()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def page(server: StudioServer, browser: object) -> Iterator[object]:
    """A page that has made no request elsewhere and no complaint when it is closed."""
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    one = context.new_page()
    wrong: list[str] = []
    one.on("request", lambda request: _same(server, request.url) or wrong.append(request.url))
    one.on("pageerror", lambda error: wrong.append(str(error)))
    one.on("console", lambda said: said.type == "error" and wrong.append(said.text))
    yield one
    context.close()
    assert not wrong


def _same(server: StudioServer, url: str) -> bool:
    return url.startswith((f"{server.address}/", "blob:", "data:"))


def test_from_a_prompt_to_a_verified_draft(server: StudioServer, page: object) -> None:
    client = Client(server.address)
    expect = sync_api.expect

    page.goto(f"{server.address}/")
    prompt = page.locator("#prompt")
    prompt.fill("1girl, red hair, kimono, dancing, night sky, dragon")
    expect(page.get_by_text(re.compile("Not known.*dragon"))).to_be_visible()
    prompt.fill("1girl, red hair, kimono, dancing, night sky")
    expect(page.get_by_text(re.compile("Not known.*dragon"))).to_be_hidden()
    page.get_by_label("Preset").first.select_option("preview")
    expect(page.get_by_text(re.compile("experiment=preview")).first).to_be_visible()
    prompt.press("Control+Enter")

    page.wait_for_url(re.compile("/watch/"))
    expect(page.locator("img[src*='keyframe.png']").first).to_be_visible(timeout=RENDERING)
    expect(page.locator("img[src*='choreography.webp']").first).to_be_visible(timeout=RENDERING)
    page.wait_for_function(  # the preview grows: it had a picture before the clip was finished
        "() => document.querySelector(\"img[src*='preview.webp']\") || document.querySelector('video')",
        timeout=RENDERING,
    )
    clip = page.locator("video").first
    expect(clip).to_be_visible(timeout=RENDERING)
    clip.evaluate("video => { video.muted = true; return video.play(); }")
    page.wait_for_function("() => document.querySelector('video').currentTime > 0.5", timeout=30_000)
    (job,) = client.jobs()
    job = client.wait(job.id, RENDERING / 1000)
    assert job.state == "finished"

    other = client.wait(client.add("video", [*job.words, "seed=5"]).id, RENDERING / 1000)
    assert other.state == "finished"
    page.get_by_role("link", name="Gallery").first.click()
    picks = page.get_by_role("button", name="Choose for comparing")
    expect(picks).to_have_count(2)
    picks.nth(0).click()
    picks.nth(1).click()
    page.get_by_text("Compare the two").click()
    expect(page.locator("video")).to_have_count(2)
    expect(page.get_by_role("button", name=re.compile("(Play|Pause) both")).first).to_be_visible()
    if page.get_by_role("button", name="Play both").count():
        page.get_by_role("button", name="Play both").first.click()
    page.wait_for_function(
        "() => { const [one, other] = document.querySelectorAll('video');"
        " return one.currentTime > 0.3 && Math.abs(one.currentTime - other.currentTime) < 0.2; }",
        timeout=30_000,
    )

    page.goto(f"{server.address}/enter")
    page.get_by_label(re.compile(r"^Title")).fill("Petals in the Light")
    page.get_by_label(re.compile(r"^Members")).fill("Kim Minsu=20231234")
    page.get_by_label(re.compile(r"^Artistic statement")).fill("She dances where the city ends.")
    expect(page.get_by_text("Saved", exact=True)).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Build a draft").click()
    bundle = page.locator(".bundle").first
    expect(bundle).to_be_visible(timeout=RENDERING)
    bundle.get_by_role("button", name="Verify").click()
    expect(bundle.get_by_text(re.compile("PASS|REVIEW")).first).to_be_visible(timeout=120_000)
    told = client.submission()
    assert [one["draft"] for one in told["bundles"]] == [True]
    assert client.verify(bundle=told["bundles"][0]["name"])["verdict"] in ("PASS", "REVIEW")


@pytest.mark.parametrize("view", ["/", "/watch", "/gallery", "/enter", "/models"])
@pytest.mark.parametrize(("scheme", "width"), [("dark", 1280), ("light", 1280), ("dark", 360)])
def test_each_view_fits_and_is_named(
    server: StudioServer, browser: object, view: str, scheme: str, width: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    page.goto(f"{server.address}{view}")
    page.wait_for_selector("h1", state="attached")
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    nameless = page.evaluate(
        "[...document.querySelectorAll('button, a[href], input, select, textarea')]"
        ".filter(one => one.offsetParent && !(one.innerText || one.getAttribute('aria-label') || one.title"
        " || (one.labels && one.labels.length) || one.getAttribute('aria-labelledby')))"
        ".map(one => one.outerHTML.slice(0, 120))"
    )
    assert nameless == []
    context.close()


def test_languages_and_a_lost_server_are_told(tmp_path: Path, browser: object) -> None:
    server = StudioServer(tmp_path / "studio")
    server.start()
    try:
        for locale, word in (("ko-KR", "갤러리"), ("ja-JP", "ギャラリー")):
            context = browser.new_context(locale=locale)
            page = context.new_page()
            page.goto(f"{server.address}/")
            sync_api.expect(page.get_by_role("link", name=re.compile(word)).first).to_be_visible()
            context.close()
        page = browser.new_page()
        page.goto(f"{server.address}/watch")
        page.wait_for_selector("h1", state="attached")
        server.kill()
        sync_api.expect(page.get_by_text(re.compile("does not answer")).first).to_be_visible(timeout=60_000)
        page.close()
    finally:
        server.stop()
