"""Small requests and hostile folders that once stopped the studio, or led out of it."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.studio_server import StudioServer, asked, posted

from pokora_anime.client import Client, StudioError
from pokora_anime.config.overrides import quote
from pokora_anime.errors import ConfigError
from pokora_anime.studio.access import SESSION_SECONDS, Access
from pokora_anime.untrusted import strict_yaml

CONFIG = "seed: 1\nshot:\n  prompt: 1girl\n"
HUGE = "9" * 400
TOKEN = "kim-0123456789abcdef"
QUICK = 3.0  # seconds that no request of this file may take on a busy machine


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioServer]:
    root = tmp_path_factory.mktemp("studio")
    for name in ("x", "huge", "score", "taken", "deep", "linked", "a"):
        run(root / "outputs" / "video" / name, CONFIG)
    bad = os.fsencode(root / "outputs" / "video") + b"/bad\xff"
    os.makedirs(bad)
    Path(os.fsdecode(bad), "config.yaml").write_text(CONFIG)
    run(root / "outputs" / "video" / "huge", f"seed: {HUGE}\n")
    run(root / "outputs" / "video" / "deep", "a: " + "[" * 3000)
    reports = root / "outputs" / "video" / "score" / "reports"
    reports.mkdir()
    values = {"features": "nano", "values": {"seam": int(HUGE)}, "verdicts": {}}
    (reports / "scorecard.json").write_text(json.dumps({"final": values, "generated": values}))
    logs = root / "outputs" / "video" / "taken" / "logs"
    logs.mkdir()
    (logs / "timings.json").write_text(f'{{"taken": {HUGE}}}')
    secret = root / "secret"
    run(secret, CONFIG)
    (secret / "key.txt").write_text("topsecret")
    (root / "outputs" / "video" / "link").symlink_to(secret)
    (root / "outputs" / "video" / "linked" / "reports").symlink_to(secret)
    (root / "outputs" / "sweep").mkdir()
    (root / "outputs" / "sweep" / "link").symlink_to(root / "outputs")
    dist = root / "submission" / "dist"
    dist.mkdir(parents=True)
    (dist / "gone.zip").symlink_to(root / "nowhere")
    (dist / "**.zip").write_bytes(b"")
    (dist / "a#b?.zip").write_bytes(b"")
    (root / "tokens.txt").write_text(f"kim:{TOKEN}\n")
    one = StudioServer(root, "studio.requests=100000")
    one.start()
    yield one
    one.stop()


def run(folder: Path, config: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(config)


@pytest.fixture
def client(server: StudioServer) -> Client:
    return Client(server.address)


def test_a_strangers_run_stops_no_other_and_links_lead_nowhere(server: StudioServer, client: Client) -> None:
    told = client.gallery(limit=500)
    names = {Path(str(one["path"])).name for one in told}
    assert {"x", "huge", "score", "taken", "deep", "linked", "a"} <= names
    assert "link" not in names and len(told) == 8
    for one in told:
        status, _, body = asked(server, "GET", f"/api/gallery/{one['id']}")
        assert status == 200, body
        assert asked(server, "GET", f"/api/gallery/{one['id']}/graph")[0] in (200, 409)
        for name in ("poster.webp", f"poster-{'9' * 4400}.webp"):
            assert asked(server, "GET", f"/api/gallery/{one['id']}/files/reports/{name}")[0] == 404
        assert asked(server, "GET", f"/api/gallery/{one['id']}/files/reports/key.txt")[0] == 404
    assert sorted(os.listdir(server.root / "secret")) == ["config.yaml", "key.txt"]


def test_bundles_are_plain_files_and_a_damaged_bin_is_a_bin(server: StudioServer, client: Client) -> None:
    told = client.submission()
    assert {one["name"] for one in told["bundles"]} == {"a#b?.zip", "**.zip"}
    assert all(asked(server, "GET", str(one["url"]))[0] == 200 for one in told["bundles"])
    for number, (path, when) in enumerate([("video/a", "'abc'"), ("studio/evil", "1"), ("\\ud800", HUGE)]):
        place = server.root / "outputs" / "studio" / "bin" / f"{number:016x}-1"
        (place / "run").mkdir(parents=True)
        (place / "deleted.json").write_text(f'{{"path": "{path}", "when": {when.replace(chr(39), chr(34))}}}')
    status, _, body = asked(server, "GET", "/api/bin")
    assert status == 200
    assert [one["path"] for one in json.loads(body)["runs"]] == ["video/a"]
    assert posted(server, "/api/bin/0000000000000001-1/restore", {})[0] == 404


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["shot.prompt=" + "\\" * 11_000, "shot.prefix=" + "\\" * 11_000], "video"),
        (["seed=" + "data:;" * 1900], "video"),
        (["shots=" + "[" * 300 + "]" * 300], "video"),
        (["seed=" + "[" * 900], "video"),
        (["seed=shuffle(range(0,4000000000))"], "sweep"),
        (["seed=range(0,10,0)"], "sweep"),
        (["seed=range(0.0,300000.0,0.001)"], "sweep"),
        (["keep=a\0b"], "sweep"),
        (["sweep=search", "search.x=/etc/passwd"], "sweep"),
        (["sweep=search", "search.sampler=os.system"], "sweep"),
        (["seed=1"] * 5000, "video"),
    ],
)
def test_a_small_request_is_refused_soon(server: StudioServer, words: list[str], command: str) -> None:
    begun = time.monotonic()
    status, told = posted(server, "/api/check", {"command": command, "words": words})
    assert status == 422, told
    assert time.monotonic() - begun < QUICK


def test_a_sweep_is_checked_by_its_first_job(server: StudioServer) -> None:
    begun = time.monotonic()
    words = {"command": "sweep", "words": ["seed=range(0,190)", "speed=lcm"]}
    assert posted(server, "/api/check", words)[0] == 200
    assert posted(server, "/api/estimate", words)[1]["jobs"] == 190
    assert time.monotonic() - begun < 2 * QUICK


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/health", {"Origin": "http://["}),
        ("/page/" + "%F0%9F%98%80" * 100 + ".js", {}),
        ("/health", {"Cookie": 'pokora_session="' + '\\"' * 25_000 + '"'}),
        ("/health", {"Cookie": ";".join(['a="' + '\\"' * 5_000 + '"'] * 5)}),
    ],
)
def test_no_header_or_name_is_a_fault_of_ours(
    server: StudioServer, path: str, headers: dict[str, str]
) -> None:
    begun = time.monotonic()
    status, told, _ = asked(server, "GET", path, None, **headers)
    assert status < 500 and time.monotonic() - begun < QUICK
    assert status == 431 or status == 400 or "content-security-policy" in told


def test_a_field_that_is_none_is_told_without_its_bytes(server: StudioServer) -> None:
    status, _, told = asked(
        server, "PUT", "/api/submission", b'{"fields": {"\\ud800": "a"}}', Content_Type="application/json"
    )
    assert status == 422 and b"SUB-FIELD" in told


def test_one_key_for_two_jobs_is_told(client: Client) -> None:
    first = client.add("stills", ["seed=1", "count=1"], once="key")
    with pytest.raises(StudioError) as caught:
        client.add("stills", ["seed=2", "count=1"], once="key")
    assert caught.value.status == 422 and caught.value.code == "API-KEY"
    client.cancel(first.id)


def test_sessions_end_by_themselves_and_when_they_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    access = Access({"kim": TOKEN, "lee": "lee-0123456789abcdef"}, 100)
    session = access.session("kim")
    header = f"a=b; pokora_session={session}; c=d"
    assert access.user("", header) == "kim"
    assert access.user("", header.replace("=kim.", "=lee.")) is None
    assert access.user("", re.sub(r"\.\d+\.", ".99999999999.", header)) is None
    other = access.session("kim")
    access.end(header)
    assert access.user("", header) is None
    assert access.user("", f"pokora_session={other}") == "kim"
    later = time.time() + SESSION_SECONDS + 1
    monkeypatch.setattr(time, "time", lambda: later)
    assert access.user("", f"pokora_session={other}") is None


def test_wrong_tokens_close_nothing_to_right_ones(server: StudioServer, tmp_path: Path) -> None:
    place = server.root / "tokens.txt"
    other = StudioServer(tmp_path / "studio", "studio.host=0.0.0.0", f"studio.tokens={place}", token=TOKEN)
    kim = other.start()
    try:
        answers = []
        for _ in range(15):
            with pytest.raises(StudioError) as caught:
                Client(other.address, "wrong-0123456789abc").schema()
            answers.append(caught.value.status)
        assert answers[0] == 401 and answers[-1] == 429
        assert kim.schema()["user"] == "kim" and asked(other, "GET", "/")[0] == 200
    finally:
        other.stop()


@pytest.mark.parametrize("text", ["\\" * 200_000, "\\${" * 50_000, "a'" * 50_000])
def test_quoting_takes_time_by_length_alone(text: str) -> None:
    begun = time.process_time()
    assert len(quote(text)) >= len(text)
    assert time.process_time() - begun < 2.0


def test_yaml_that_nests_without_end_is_refused_at_once() -> None:
    begun = time.process_time()
    with pytest.raises(ConfigError) as caught:
        strict_yaml.load("a: " + "[" * 90_000)
    assert caught.value.code == "GATE-YAML" and time.process_time() - begun < 1.0
