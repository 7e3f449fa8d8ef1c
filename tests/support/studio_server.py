"""A studio for tests: the real command in a process of its own, on a free port, with its runs in a folder."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from pokora_anime.client import Client

STARTING_SECONDS = 60.0


class StudioServer:
    """`pokora studio` in `root`; `address` once it listens."""

    def __init__(self, root: Path, *words: str, token: str = "") -> None:
        self.root, self.words, self.token = root, words, token
        self.log = root / "studio.log"
        self.address = ""
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Client:
        """Starts it and waits until it answers; a client of it."""
        self.root.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            before = self.log.stat().st_size
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "pokora_anime.cli", "studio", "studio.port=0", *self.words],
                cwd=self.root,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        end = time.monotonic() + STARTING_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            told = self.log.read_bytes()[before:].decode()
            if found := re.search(r"studio: (http://\S+)/", told):
                self.address = found[1].replace("0.0.0.0", "127.0.0.1")
                if self._answers():
                    return Client(self.address, self.token)
            time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def kill(self) -> None:
        """kill -9, as the system does it."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Ctrl-C, and its end."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.kill()

    def children(self) -> Sequence[int]:
        """The rendering processes of the server."""
        import psutil

        assert self.process is not None
        return [one.pid for one in psutil.Process(self.process.pid).children(recursive=True)]

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def asked(
    server: StudioServer, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """One raw request; names of headers with _ for -."""
    where = urlsplit(server.address)
    connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=60)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.putrequest(method, path, skip_host="Host" in sent, skip_accept_encoding=True)
    if body is not None and "Transfer-Encoding" not in sent:
        sent.setdefault("Content-Length", str(len(body)))
    for name, value in sent.items():
        connection.putheader(name, value)
    connection.endheaders()
    if body is not None:
        connection.send(body)
    answer = connection.getresponse()
    told = {name.lower(): value for name, value in answer.getheaders()}
    return answer.status, told, b"" if "event-stream" in told.get("content-type", "") else answer.read()


def posted(server: StudioServer, path: str, body: object, **headers: str) -> tuple[int, dict[str, object]]:
    status, _, told = asked(
        server, "POST", path, json.dumps(body).encode(), Content_Type="application/json", **headers
    )
    return status, json.loads(told)
