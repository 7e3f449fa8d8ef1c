"""The studio's server: what may come in, what is answered, and jobs that survive kill -9 of anything."""

from __future__ import annotations

import http.client
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from attacks.test_gate import NAMED, TYPED
from support.studio_server import StudioServer, asked, posted

from pokora_anime.cli import main
from pokora_anime.client import Client, JobView, StudioError
from pokora_anime.config.overrides import prepare
from pokora_anime.errors import ConfigError, PokoraError
from pokora_anime.schema.config_groups import typed_settings
from pokora_anime.studio import studio_settings
from pokora_anime.studio.api import server_api
from pokora_anime.studio.http_guard import MOST_BYTES

PROMPT = "shot.prompt=1girl, red hair, kimono, standing, beach"
STILL = [PROMPT, "count=1", "speed.steps=2"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioServer]:
    one = StudioServer(tmp_path_factory.mktemp("studio"), "studio.requests=100000", "studio.queue=5")
    one.start()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def client(server: StudioServer) -> Client:
    return Client(server.address)


def refusal(client: Client, command: str, *words: str) -> StudioError:
    with pytest.raises(StudioError) as caught:
        client.add(command, words)
    return caught.value


# What is told


def test_the_schema_names_every_key_of_the_command_line(client: Client) -> None:
    schema = client.schema()
    for command in ("video", "stills"):
        told = {one["key"]: one for one in schema["settings"][command]}
        assert set(told) == set(typed_settings(command))
        assert all(one["help"] for one in told.values())
    assert {one["name"] for one in schema["groups"]["speed"]} >= {"lcm", "hq"}


def test_check_says_what_pokora_check_says(
    client: Client, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = [f"{PROMPT}, dragon", "seed=3"]
    told = client.check("video", words)
    main(["check", "video", *words, "--json"])
    known = json.loads(capsys.readouterr().out)
    assert told["findings"] == known["findings"] and told["verdict"] == known["verdict"]
    assert told["command_line"].startswith("pokora video ")
    assert {part["text"]: part["known"] for part in told["prompt"]["parts"]}["dragon"] is False


def test_an_estimate_counts_the_jobs_of_a_sweep(client: Client) -> None:
    told = client.estimate("sweep", [PROMPT, "seed=1,2,3", "speed=lcm"])
    assert told["jobs"] == 3 and told["seconds"]["total"] > 0


def test_an_idle_server_is_small_and_has_no_torch(server: StudioServer, client: Client) -> None:
    client.check("video", [PROMPT])
    assert server.process is not None
    process = psutil.Process(server.process.pid)
    assert process.memory_info().rss < 150 << 20
    if os.path.exists("/proc/self/maps"):
        assert "libtorch" not in Path(f"/proc/{process.pid}/maps").read_text()


def test_every_address_has_a_description(client: Client, server: StudioServer) -> None:
    described = json.loads(asked(server, "GET", "/openapi.json")[2])
    told = [one for methods in described["paths"].values() for one in methods.values()]
    assert len(told) > 25 and all(one.get("description") for one in told)
    status, headers, page = asked(server, "GET", "/api")
    assert status == 200 and b"/api/runs/{job_id}/cancel" in page
    assert b"<script" not in page and "script-src 'self'" in headers["content-security-policy"]


def test_metrics_are_for_prometheus(server: StudioServer) -> None:
    status, _, text = asked(server, "GET", "/metrics")
    assert status == 200
    assert b'pokora_jobs{state="queued"}' in text and b"pokora_answers_total" in text


# What may not come in


@pytest.mark.parametrize(("word", "code"), [*((f"{name}=1", code) for name, code in NAMED.items()), *TYPED])
def test_what_the_gate_refuses_in_a_shell_it_refuses_here_by_the_same_code(
    client: Client, word: str, code: str
) -> None:
    del code
    with pytest.raises(PokoraError) as known:
        prepare("video", [word], multirun=False)
    told = refusal(client, "video", word)
    assert told.status == 422 and told.code == known.value.code
    assert not client.jobs("queued", "running")


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("--out=/tmp/x", "CFG-SYNTAX"), ("--from=outputs/a.png", "CFG-SYNTAX"),
        ("--prompt-file", "CFG-SYNTAX"), ("--config-dir=/tmp", "GATE-CONFIG"),
        ("timeline=a.yaml", "CFG-STUDIO"), ("shots=a.yaml", "CFG-STUDIO"),
        ("guard=off", "CFG-STUDIO"), ("track=mlflow", "CFG-STUDIO"), ("keep=3", "CFG-STUDIO"),
        ("picture", "CFG-SYNTAX"), ("shot.promt=x", "CFG-KEY"), ("seed=-1", "CFG-RANGE"),
        ("hydra.launcher.n_jobs=2", "CFG-STUDIO"),
    ],
)  # fmt: skip
def test_options_files_and_mistakes_have_their_codes(client: Client, word: str, code: str) -> None:
    told = refusal(client, "video", word)
    assert told.status == 422 and told.code == code
    assert told.expected or told.fix


def test_a_sweep_of_too_many_jobs_is_refused(client: Client) -> None:
    told = refusal(client, "sweep", PROMPT, f"seed={','.join(map(str, range(300)))}", "speed=lcm")
    assert told.code == "CFG-SWEEP" and "300 jobs" in told.got


def test_an_endless_sweep_is_refused_before_it_is_counted_out(client: Client) -> None:
    begun = time.monotonic()
    assert refusal(client, "sweep", PROMPT, "seed=range(1,999999999)", "speed=lcm").code == "CFG-SWEEP"
    assert time.monotonic() - begun < 30


def test_a_search_is_judged_by_what_its_trials_share(client: Client) -> None:
    assert client.estimate("sweep", [PROMPT, "sweep=search", "speed.steps=choice(4,6)"])["jobs"] == 1
    assert refusal(client, "sweep", PROMPT, "sweep=search", "seed=-1").code == "CFG-RANGE"


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 422),
        (b"[]", "application/json", 422),
        (b'{"words": "seed=1"}', "application/json", 422),
        (b'{"command": "video", "picture": "x"}', "application/json", 422),
        (b'{"command": "rm"}', "application/json", 422),
        (b'{"words": ["seed=1\\ud800"]}', "application/json", 422),
        (b"words=seed", "application/x-www-form-urlencoded", 415),
        (b"--x", "multipart/form-data; boundary=x", 415),
        (b" " * (MOST_BYTES + 1), "application/json", 413),
    ],
)
def test_a_body_that_is_none_is_one_line(server: StudioServer, body: bytes, kind: str, status: int) -> None:
    got, headers, told = asked(server, "POST", "/api/runs", body, Content_Type=kind)
    assert got == status
    assert headers["content-type"] == "application/problem+json"
    problem = json.loads(told)
    assert problem["code"] and problem["detail"] and "Traceback" not in told.decode()


def test_a_body_without_end_is_cut_off(server: StudioServer) -> None:
    block = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    body = block * (MOST_BYTES // 0x10000 + 2) + b"0\r\n\r\n"
    status, _, _ = asked(
        server, "POST", "/api/check", body, Content_Type="application/json", Transfer_Encoding="chunked"
    )
    assert status == 413


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Host": "evil.example"}, 421, "API-HOST"),
        ({"Host": "127.0.0.1.evil.example:8321"}, 421, "API-HOST"),
        ({"Host": "192.168.1.5"}, 421, "API-HOST"),
        ({"Host": "["}, 421, "API-HOST"),
        ({"Origin": "https://evil.example"}, 403, "API-ORIGIN"),
        ({"Origin": "null"}, 403, "API-ORIGIN"),
        ({"Sec_Fetch_Site": "cross-site"}, 403, "API-ORIGIN"),
        ({"Sec_Fetch_Site": "same-site"}, 403, "API-ORIGIN"),
    ],
)
def test_other_names_and_other_sites_are_refused(
    server: StudioServer, headers: dict[str, str], status: int, code: str
) -> None:
    got, told = posted(server, "/api/check", {"words": []}, **headers)
    assert got == status and told["code"] == code
    got, _, body = asked(server, "GET", "/api/gallery", None, **headers)
    assert got == status and json.loads(body)["code"] == code


def test_the_studios_own_page_may_ask(server: StudioServer) -> None:
    origin = {"Origin": server.address, "Sec_Fetch_Site": "same-origin"}
    assert posted(server, "/api/check", {"words": []}, **origin)[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/api/gallery/..%2f..%2fstudio.log", "/api/gallery/0000000000000000/files/record.json",
        "/page/..%2f__init__.py", "/page/../studio_settings.py",
        "/api/submission/bundles/..%2f..%2fstudio.log",
        "/api/runs/..%2f..%2fetc/files/passwd", "/api/runs/0/files/..%2f..%2f..%2fetc%2fpasswd",
    ],
)  # fmt: skip
def test_ids_and_names_do_not_traverse(server: StudioServer, path: str) -> None:
    status, _, told = asked(server, "GET", path)
    assert status in (404, 422)
    assert b"root:" not in told and b"import" not in told


def test_every_answer_carries_the_headers(server: StudioServer) -> None:
    for path in ("/", "/health", "/api/gallery", "/nothing"):
        _, headers, _ = asked(server, "GET", path)
        assert headers["x-content-type-options"] == "nosniff"
        assert "unsafe" not in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers


def test_the_page_has_no_inline_script_and_takes_no_file() -> None:
    for path in server_api.PAGE.rglob("*"):
        if path.suffix in (".html", ".js"):
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"https?://(?!www\.w3\.org)", text), path.name
            assert not re.search(
                r"<script(?![^>]*\bsrc=)|\son\w+=\"|type=\"file\"|type: \"file\"|eval\(", text
            )
            assert "innerHTML" not in text, path.name


def test_the_page_speaks_three_languages() -> None:
    told = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in (server_api.PAGE / "strings").glob("*.json")
    }
    assert set(told) == {"en", "ko", "ja"}

    def keys(value: object, prefix: str = "") -> set[str]:
        if not isinstance(value, dict):
            return {prefix}
        return {one for name, inner in value.items() for one in keys(inner, f"{prefix}.{name}")}

    assert keys(told["ko"]) == keys(told["en"]) == keys(told["ja"])
    assert sum(told["ko"][name] == told["en"][name] for name in told["en"]) < len(told["en"]) / 5


# Settings and tokens


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["studio.port=x"], "CFG-TYPE"), (["studio.port=70000"], "CFG-RANGE"), (["studio.prot=1"], "CFG-KEY"),
        (["port"], "CFG-SYNTAX"), (["studio.engine=slurm"], "CFG-RANGE"),
        (["studio.host=0.0.0.0"], "CFG-STUDIO"),
        (["studio.host=a b", "studio.tokens=x"], "CFG-STUDIO"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_one_line(words: list[str], code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        studio_settings.read(words)
    assert caught.value.code == code and caught.value.expected


@pytest.mark.parametrize(
    "text",
    ["", "me", "me:short", "me:0123456789abcdef\nme:0123456789abcdeg", "a/b:0123456789abcdef",
     "a:0123456789abcdef\nb:0123456789abcdef", "me:0123456789 abcdef"],
)  # fmt: skip
def test_tokens_that_are_none_are_refused(text: str, tmp_path: Path) -> None:
    place = tmp_path / "tokens.txt"
    place.write_text(text)
    config = studio_settings.read([f"studio.tokens={place}"])
    with pytest.raises(ConfigError) as caught:
        studio_settings.tokens(config)
    assert caught.value.code == "CFG-STUDIO"


def test_each_token_sees_its_own_and_too_many_requests_wait(tmp_path: Path) -> None:
    place = tmp_path / "tokens.txt"
    place.write_text("# who may\nkim:kim-0123456789abcdef\nlee:lee-0123456789abcdef\n")
    server = StudioServer(
        tmp_path / "studio", "studio.host=0.0.0.0", f"studio.tokens={place}", "studio.requests=40",
        token="kim-0123456789abcdef",
    )  # fmt: skip
    kim = server.start()
    try:
        lee = Client(server.address, "lee-0123456789abcdef")
        assert kim.schema()["user"] == "kim"
        job = kim.build(draft=True)
        assert [one.id for one in kim.jobs()] == [job.id] and lee.jobs() == []
        with pytest.raises(StudioError) as caught:
            lee.cancel(job.id)
        assert caught.value.status == 404
        with pytest.raises(StudioError) as caught:
            Client(server.address).schema()
        assert caught.value.status == 401
        status, _, page = asked(server, "GET", "/")
        assert status == 200 and b"<html" in page
        status, headers, _ = asked(
            server,
            "POST",
            "/api/session",
            b'{"token": "kim-0123456789abcdef"}',
            Content_Type="application/json",
        )
        cookie = headers["set-cookie"]
        assert (
            status == 204 and "HttpOnly" in cookie and "SameSite=strict" in cookie and "kim-0" not in cookie
        )
        assert asked(server, "GET", "/api/schema", None, Cookie=cookie.partition(";")[0])[0] == 200
        forged = re.sub(r"=kim\.", "=lee.", cookie.partition(";")[0])
        assert asked(server, "GET", "/api/schema", None, Cookie=forged)[0] == 401
        with pytest.raises(StudioError) as caught:
            for _ in range(50):
                kim.health()
        assert caught.value.status == 429 and caught.value.retry_after > 0
        assert lee.health()["status"] == "ok"
        with pytest.raises(StudioError) as caught:
            for _ in range(20):
                Client(server.address, "wrong-0123456789abcdef").schema()
        assert caught.value.status in (401, 429)
        assert "0123456789abcdef" not in server.log.read_text()
    finally:
        server.stop()


def test_a_taken_port_tells_by_whom_and_offers_another(
    server: StudioServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    port = urlsplit(server.address).port
    assert main(["studio", f"studio.port={port}"]) == 2
    line = capsys.readouterr().err
    assert "API-PORT" in line and "python" in line and "fix: studio.port=" in line
    assert not (tmp_path / "outputs").exists()


def test_two_studios_do_not_share_a_folder(server: StudioServer, capsys: pytest.CaptureFixture[str]) -> None:
    before = os.getcwd()
    os.chdir(server.root)
    try:
        assert main(["studio", "studio.port=0"]) == 2
    finally:
        os.chdir(before)
    assert "API-SERVER" in capsys.readouterr().err


def test_a_browser_that_is_closed_ends_its_stream_alone(server: StudioServer, client: Client) -> None:
    for _ in range(5):
        where = urlsplit(server.address)
        connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=30)
        connection.request("GET", "/api/events")
        assert connection.getresponse().readline().startswith(b"event: queue")
        connection.close()
    assert client.health()["status"] == "ok"


# Jobs


def until(client: Client, job: JobView, *states: str, seconds: float = 120.0) -> JobView:
    """The job once it is in one of the states."""
    end = time.monotonic() + seconds
    while (found := client.job(job.id)).state not in states:
        assert time.monotonic() < end, found
        time.sleep(0.05)
    return found


@pytest.mark.apart
def test_killed_servers_and_workers_lose_and_double_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = StudioServer(tmp_path / "studio", "studio.queue=3")
    client = server.start()
    try:
        jobs = [client.add("stills", [*STILL, f"seed={seed}"], once=f"k{seed}") for seed in (1, 2, 3)]
        assert client.add("stills", [*STILL, "seed=1"], once="k1").id == jobs[0].id
        client.move(jobs[2].id, 0)
        until(client, jobs[0], "running")
        server.kill()

        client = server.start()
        until(client, jobs[0], "running", "finished")
        while not (children := server.children()):
            time.sleep(0.05)
        psutil.Process(children[0]).kill()

        events = [name for name, _ in client.events(jobs[1].id)]
        assert events[0] == "job" and events[-1] == "end" and "progress" in events and "picture" in events
        done = [client.wait(job.id, 180) for job in jobs]
        assert [job.state for job in done] == ["finished"] * 3
        assert len(client.jobs()) == 3
        assert len(client.gallery()) == 3
        assert client.verify(run=str(done[0].run))["verdict"] in ("PASS", "REVIEW")
        with pytest.raises(StudioError) as caught:
            client.cancel(done[0].id)
        assert caught.value.status == 409
        client.save(done[1], "still-1.png", tmp_path / "studio.png")
        status, headers, part = asked(
            server, "GET", f"/api/runs/{done[1].id}/files/still-1.png", None, Range="bytes=1-3"
        )
        assert (status, part) == (206, b"PNG") and headers["content-range"].startswith("bytes 1-3/")
        client.favourite(str(done[1].run))
        assert [one["seed"] for one in client.gallery(favourites=1)] == [2]
        client.delete(str(done[2].run))
        assert len(client.gallery()) == 2
    finally:
        server.stop()
    monkeypatch.chdir(tmp_path)
    assert main(["stills", *STILL, "seed=2"]) == 0
    (typed,) = (tmp_path / "outputs" / "stills").iterdir()
    assert (typed / "still-1.png").read_bytes() == (tmp_path / "studio.png").read_bytes()


@pytest.mark.ray
def test_a_cluster_of_ray_renders_the_same_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    server = StudioServer(tmp_path / "studio", "studio.engine=ray")
    client = server.start()
    try:
        done = client.wait(client.add("stills", [*STILL, "seed=2"]).id, 240)
        assert done.state == "finished", done.error
        assert any(line.startswith("signed with") for line in done.lines)
        client.save(done, "still-1.png", tmp_path / "studio.png")
    finally:
        server.stop()
    monkeypatch.chdir(tmp_path)
    assert main(["stills", *STILL, "seed=2"]) == 0
    (typed,) = (tmp_path / "outputs" / "stills").iterdir()
    assert (typed / "still-1.png").read_bytes() == (tmp_path / "studio.png").read_bytes()


# Live


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"prompt": "1girl, waving", "words": ["live.steps=9"]}, 422, "CFG-RANGE"),
        ({"prompt": "1girl, waving", "words": ["live.camera=0"]}, 422, "CFG-KEY"),
        ({"prompt": "1girl, waving", "words": ["shot.seconds=3"]}, 422, "CFG-KEY"),
        ({"prompt": "0: 1girl, standing, 24: 1girl, waving"}, 422, "PRM-TRAVEL"),
        ({"prompt": "   "}, 422, "PRM-EMPTY"),
        ({"prompt": "1girl, 12: waving"}, 422, "PRM-TRAVEL"),
        ({"prompt": "1girl, <lora:nobody:1>"}, 422, "GATE-UNREGISTERED"),
        ({"prompt": "1girl, <lora:pastel:0.5>"}, 422, "PRM-SYNTAX"),
        ({"prompt": "1girl", "image": "a.png"}, 422, "API-BODY"),
    ],
)
def test_a_live_session_that_cannot_be_is_told_and_bars_no_queue(
    server: StudioServer, body: dict[str, object], status: int, code: str | None
) -> None:
    told = posted(server, "/api/live", body)
    assert (told[0], told[1]["code"]) == (status, code or told[1]["code"])
    assert told[1]["fix"] or code == "API-BODY"
    assert json.loads(asked(server, "GET", "/api/live")[2])["session"] is None


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "frames"), ("GET", "still"), ("POST", "record"), ("DELETE", "record"), ("DELETE", "")],
)
def test_without_a_live_session_there_is_nothing(server: StudioServer, method: str, path: str) -> None:
    status, _, told = asked(server, method, f"/api/live/{path}".rstrip("/"))
    assert (status, json.loads(told)["code"]) == (404, "API-MISSING")
