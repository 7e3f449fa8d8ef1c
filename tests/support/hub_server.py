"""A hub on the loopback: repositories of files, served as the real one serves them to its own client.

Large files (safetensors, onnx, pth) are announced with their sha256 and redirected to a second path, as
the real hub redirects to its file store; small ones with git's hash. `break_after`, `swap`, `gated`
and `gone` make it fail as the real one does.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

MAPPED = 64 * 2**20  # bytes from which a file is not read into memory
LARGE = (".safetensors", ".onnx", ".pth")


@dataclass
class Repository:
    """One repository: its files by name, at one commit, which main points to."""

    files: dict[str, bytes | mmap.mmap]
    gated: bool = False
    hashed: dict[str, str] = field(default_factory=dict)  # sha256 of the mapped ones, which do not change

    @property
    def commit(self) -> str:
        listed = json.dumps({name: self.sha256(name) for name in self.files})
        return hashlib.sha1(listed.encode()).hexdigest()

    def sha256(self, name: str) -> str:
        """The hash of one file."""
        data = self.files[name]
        if isinstance(data, bytes):
            return hashlib.sha256(data).hexdigest()
        if name not in self.hashed:
            self.hashed[name] = hashlib.sha256(data).hexdigest()
        return self.hashed[name]


@dataclass
class Hub:
    """The repositories by id, what was asked, and how to fail."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    plain: dict[str, bytes] = field(default_factory=dict)  # by path, outside the hub
    asked: list[tuple[str, str, str]] = field(default_factory=list)  # method, path, Range
    break_after: dict[str, list[int]] = field(default_factory=dict)  # file: bytes sent, for each attempt
    swap: dict[str, bytes] = field(default_factory=dict)  # file: what is sent instead of it
    url: str = ""
    store: str = ""  # another host name: the client treats a redirect to its own host differently

    def add(self, repo: str, folder: Path, gated: bool = False) -> Repository:
        """Publish all files of a folder."""
        files = {
            path.relative_to(folder).as_posix(): _content(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        self.repositories[repo] = Repository(files, gated)
        return self.repositories[repo]

    def downloads(self, name: str) -> list[str]:
        """The Range of each request for a file's content."""
        return [part for method, path, part in self.asked if method == "GET" and path.endswith(f"/{name}")]


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """The hub on a free port of the loopback, its address in `url`."""

    class Handler(_Handler):
        content = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    port = server.server_address[1]
    hub.url, hub.store = f"http://127.0.0.1:{port}", f"http://localhost:{port}/store"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def reach(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """What HF_ENDPOINT does when the client is imported."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
    template = f"{url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr("huggingface_hub.file_download.HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)


class _Handler(BaseHTTPRequestHandler):
    content: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        del format, args

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.content.asked.append((self.command, path, self.headers.get("Range", "")))
        if path in self.content.plain:
            return self._send(path, self.content.plain[path], {}, body=body)
        if found := re.fullmatch(r"/api/models/(.+/.+?)/auth-check", path):
            repository = self.content.repositories.get(found[1])
            return self._error(403, "GatedRepo") if repository and repository.gated else self._json({})
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            return self._info(found[1], found[2] or "main")
        if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self._resolve(found[1], found[2], found[3], body=body)
        if found := re.fullmatch(r"/store/([^/]+/[^/]+)/(.+)", path):
            data = self.content.repositories[found[1]].files[found[2]]
            return self._send(path, self.content.swap.get(found[2], data), {}, body=body)
        return self._error(404, "")

    def _repository(self, repo: str, revision: str) -> Repository | None:
        repository = self.content.repositories.get(repo)
        if repository is None:
            self._error(404, "RepoNotFound")
            return None
        if revision not in ("main", repository.commit):
            self._error(404, "RevisionNotFound")
            return None
        return repository

    def _info(self, repo: str, revision: str) -> None:
        repository = self._repository(repo, revision)
        if repository is None:
            return
        siblings: list[dict[str, Any]] = []
        for name, data in repository.files.items():
            entry: dict[str, Any] = {"rfilename": name, "size": len(data), "blobId": _blob(name, data)}
            if name.endswith(LARGE):
                entry["lfs"] = {"sha256": repository.sha256(name), "size": len(data), "pointerSize": 130}
            siblings.append(entry)
        self._json(
            {
                "id": repo,
                "modelId": repo,
                "sha": repository.commit,
                "gated": "manual" if repository.gated else False,
                "private": False,
                "tags": [],
                "downloads": 0,
                "siblings": siblings,
            }
        )

    def _resolve(self, repo: str, revision: str, name: str, *, body: bool) -> None:
        repository = self._repository(repo, revision)
        if repository is None:
            return None
        if repository.gated:
            return self._error(403, "GatedRepo")
        data = repository.files.get(name)
        if data is None:
            return self._error(404, "EntryNotFound")
        headers = {"X-Repo-Commit": repository.commit}
        if not name.endswith(LARGE):
            sent = self.content.swap.get(name, data)
            return self._send(name, sent, {**headers, "ETag": f'"{_git(data)}"'}, body=body)
        self.send_response(302)
        headers |= {
            "X-Linked-ETag": f'"{repository.sha256(name)}"',
            "X-Linked-Size": str(len(data)),
            "Location": f"{self.content.store}/{repo}/{name}",
            "Content-Length": "0",
        }
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        return None

    def _send(self, name: str, data: bytes | mmap.mmap, headers: dict[str, str], *, body: bool) -> None:
        start = 0
        if found := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            start = int(found[1])
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if not body:
            return
        breaks = next((left for key, left in self.content.break_after.items() if name.endswith(key)), None)
        if breaks:
            self.wfile.write(data[start : start + breaks.pop(0)])
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()
            return
        self.wfile.write(memoryview(data)[start:])

    def _json(self, value: object) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _error(self, status: int, code: str) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _content(path: Path) -> bytes | mmap.mmap:
    """A file's bytes, mapped where it is too large to be held."""
    if path.stat().st_size < MAPPED:
        return path.read_bytes()
    with path.open("rb") as handle:
        return mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)


def _blob(name: str, data: bytes | mmap.mmap) -> str:
    """git's hash: of large files, of the pointer that git holds, so any other than the content's."""
    return _git(data) if isinstance(data, bytes) else hashlib.sha1(name.encode()).hexdigest()


def _git(data: bytes | mmap.mmap) -> str:
    return hashlib.sha1(b"blob %d\0%b" % (len(data), data)).hexdigest()
