"""A client of `pokora studio`'s API for scripts and other programs. Torch-free, standard library alone.

studio = Client("http://127.0.0.1:8321")
job = studio.add("video", ["shot.prompt=1girl, red hair, dancing", "seed=3"])
job = studio.wait(job.id)
studio.save(job, "video.mp4", Path("clip.mp4"))
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self, cast
from urllib.parse import quote, urlencode

from pokora_anime.errors import PokoraError

Plain = dict[str, object]
OVER = ("finished", "failed", "cancelled")
_BLOCK = 1 << 16


class StudioError(PokoraError):
    """What the studio answered that is no success; `status` is HTTP's, `retry_after` in seconds."""

    def __init__(self, status: int, problem: Mapping[str, object], retry_after: float = 0.0) -> None:
        self.status, self.retry_after = status, retry_after
        super().__init__(
            str(problem.get("code", "API-ANSWER")),
            str(problem.get("detail", f"status {status}")),
            expected=str(problem.get("expected", "")),
            fix=str(problem.get("fix", "")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """A job as the studio tells it; see its page /api for the fields."""

    id: str
    command: str
    words: list[str]
    command_line: str
    label: str
    state: str
    position: int | None
    version: int
    attempts: int
    run: str | None
    progress: Plain | None
    pictures: dict[str, str | None]
    lines: list[str]
    error: Plain | None

    @classmethod
    def of(cls, plain: Mapping[str, object]) -> Self:
        """From JSON; fields that this release does not know are left out."""
        known = {one.name: plain.get(one.name) for one in fields(cls)}
        return cls(**known)  # pyright: ignore[reportArgumentType]  # the server's own types

    @property
    def over(self) -> bool:
        """Whether nothing more comes of it by itself."""
        return self.state in OVER


class Client:
    """Talks to one studio. Every method raises StudioError, and OSError where nobody answers."""

    def __init__(self, address: str, token: str = "", timeout: float = 60.0) -> None:
        self._address, self._token, self._timeout = address.rstrip("/"), token, timeout

    def schema(self) -> Plain:
        """Groups, keys with their laws, and the words that nano knows."""
        return self._plain("GET", "/api/schema")

    def check(self, command: str, words: Sequence[str]) -> Plain:
        """The judgement of `pokora check`."""
        return self._plain("POST", "/api/check", {"command": command, "words": [*words]})

    def estimate(self, command: str, words: Sequence[str]) -> Plain:
        """Time, memory and disk."""
        return self._plain("POST", "/api/estimate", {"command": command, "words": [*words]})

    def add(
        self, command: str, words: Sequence[str], *, once: str = "", still: tuple[str, int] | None = None
    ) -> JobView:
        """A new job. `once` is an idempotency key; `still` a run and its still, whose clip it becomes."""
        body: Plain = {"command": command, "words": [*words]}
        if still is not None:
            body["from"] = {"run": still[0], "still": still[1]}
        headers = {"Idempotency-Key": once} if once else {}
        return JobView.of(self._plain("POST", "/api/runs", body, headers))

    def job(self, job_id: str) -> JobView:
        """A job as it is now."""
        return JobView.of(self._plain("GET", f"/api/runs/{quote(job_id, safe='')}"))

    def jobs(self, *states: str) -> list[JobView]:
        """The caller's jobs, of all states or of some."""
        found = self._plain("GET", f"/api/runs?{urlencode({'state': ','.join(states), 'limit': 1000})}")
        return [JobView.of(one) for one in cast(list[Plain], found["runs"])]

    def cancel(self, job_id: str, version: int | None = None) -> JobView:
        """Stops it; finished segments stay."""
        return JobView.of(self._plain("POST", f"/api/runs/{job_id}/cancel", {"version": version}))

    def retry(self, job_id: str, version: int | None = None) -> JobView:
        """Goes on with one that failed or was cancelled."""
        return JobView.of(self._plain("POST", f"/api/runs/{job_id}/retry", {"version": version}))

    def move(self, job_id: str, position: int, version: int | None = None) -> JobView:
        """Puts a waiting job at another position."""
        body: Plain = {"position": position, "version": version}
        return JobView.of(self._plain("POST", f"/api/runs/{job_id}/move", body))

    def events(self, job_id: str) -> Iterator[tuple[str, Plain]]:
        """The server-sent events of a job until its end: a name and its data."""
        name = "message"
        with closing(self._open("GET", f"/api/runs/{job_id}/events")) as answer:
            for raw in answer:
                line = raw.decode().rstrip("\r\n")
                if line.startswith("event:"):
                    name = line.removeprefix("event:").strip()
                elif line.startswith("data:"):
                    yield name, json.loads(line.removeprefix("data:"))

    def wait(self, job_id: str, seconds: float = 3600.0, poll: float = 0.2) -> JobView:
        """The job once it is over. Raises TimeoutError."""
        end = time.monotonic() + seconds
        while not (found := self.job(job_id)).over:
            if time.monotonic() > end:
                raise TimeoutError(f"job {job_id} is {found.state} after {seconds:g} s")
            time.sleep(poll)
        return found

    def gallery(self, **query: str | int) -> list[Plain]:
        """The caller's runs."""
        return cast(list[Plain], self._plain("GET", f"/api/gallery?{urlencode(query)}")["runs"])

    def run(self, run_id: str) -> Plain:
        """One run with files, scores and the command that makes it again."""
        return self._plain("GET", f"/api/gallery/{quote(run_id, safe='')}")

    def graph(self, run_id: str) -> Plain:
        """A run's record as a graph of nodes."""
        return self._plain("GET", f"/api/gallery/{run_id}/graph")

    def favourite(self, run_id: str, *, chosen: bool = True) -> Plain:
        """Chooses a run, or no longer."""
        return self._plain("PUT", f"/api/gallery/{run_id}/favourite", {"favourite": chosen})

    def delete(self, run_id: str) -> None:
        """Moves a run into the bin."""
        self._open("DELETE", f"/api/gallery/{run_id}").close()

    def verify(self, *, run: str = "", bundle: str = "") -> Plain:
        """`pokora verify` of a run or a bundle."""
        return self._plain("POST", "/api/verify", {"run": run} if run else {"bundle": bundle})

    def submission(self) -> Plain:
        """The submission's form and bundles."""
        return self._plain("GET", "/api/submission")

    def checklist(self) -> list[Plain]:
        """What is done of the submission and what is missing."""
        return cast(list[Plain], self._plain("GET", "/api/submission/checklist")["checklist"])

    def fill_in(self, fields_: Mapping[str, str], runs: Sequence[str] | None = None) -> Plain:
        """Changes the submission's words and runs."""
        body: Plain = {"fields": dict(fields_)}
        if runs is not None:
            body["runs"] = [*runs]
        return self._plain("PUT", "/api/submission", body)

    def build(self, *, draft: bool = False) -> JobView:
        """Builds the bundle, as a job."""
        return JobView.of(self._plain("POST", "/api/submission/build", {"draft": draft}))

    def models(self) -> Plain:
        """Every row of the registry, and whether it is here."""
        return self._plain("GET", "/api/models")

    def health(self) -> Plain:
        """Whether the studio answers."""
        return self._plain("GET", "/health")

    def save(self, job: JobView, name: str, target: Path) -> Path:
        """A file of a job's run, written to `target`."""
        answer = self._open("GET", f"/api/runs/{job.id}/files/{quote(name)}")
        with closing(answer), target.open("wb") as file:
            while block := answer.read(_BLOCK):
                file.write(block)
        return target

    def _plain(
        self, method: str, path: str, body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Plain:  # fmt: skip
        with closing(self._open(method, path, body, headers)) as answer:
            return cast(Plain, json.loads(answer.read() or b"{}"))

    def _open(
        self, method: str, path: str, body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> _Answer:  # fmt: skip
        sent = dict(headers or {})
        if self._token:
            sent["Authorization"] = f"Bearer {self._token}"
        data = None
        if body is not None:
            data, sent["Content-Type"] = json.dumps(body).encode(), "application/json"
        request = urllib.request.Request(f"{self._address}{path}", data, sent, method=method)
        try:
            return cast(_Answer, urllib.request.urlopen(request, timeout=self._timeout))
        except urllib.error.HTTPError as error:
            with error:
                raise _error(error) from error


class _Answer:
    """What urllib answers, typed."""

    def read(self, size: int = -1) -> bytes: ...

    def close(self) -> None: ...

    def __iter__(self) -> Iterator[bytes]: ...


def _error(error: urllib.error.HTTPError) -> StudioError:
    try:
        plain: object = json.loads(error.read())
    except (ValueError, OSError):
        plain = None
    retry = error.headers.get("Retry-After", "")
    told = cast(Plain, plain) if isinstance(plain, dict) else {}
    return StudioError(error.code, told, float(retry) if retry.isdecimal() else 0.0)
