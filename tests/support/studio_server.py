"""A studio for tests: the real command in a process of its own, on a free port, with its runs in a folder."""

from __future__ import annotations

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
