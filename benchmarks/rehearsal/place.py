"""A throw-away checkout whose registry names the rehearsal's files, and commands that run in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import psutil
import yaml
from support.hub_server import Hub

ROOT = Path(__file__).parent.parent.parent
SAMPLE_SECONDS = 0.1
COPIED = ("pokora_anime", "conf", "requirements.lock", "LICENSE", ".gitignore")


class StepError(RuntimeError):
    """A step of the rehearsal that did not come out as it must."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A command that ran: exit status (negative: a signal), output, seconds, peak bytes of its processes.

    `peak` is what they must have; `resident` counts pages of mapped weight files too, which the kernel drops
    where memory is short.
    """

    status: int
    output: str
    seconds: float
    peak: int
    resident: int

    @property
    def last(self) -> str:
        """The last line of standard output."""
        lines = self.output.strip().splitlines()
        return lines[-1] if lines else ""


class Place:
    """The checkout in `folder`, its own hub cache and data folder beside it."""

    def __init__(self, folder: Path, hub: Hub) -> None:
        self.checkout, self._hub = folder / "checkout", hub
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("HF_", "POKORA_", "XDG_"))
        } | {
            "HF_ENDPOINT": hub.url,
            "HF_HUB_CACHE": str(folder / "hub"),
            "POKORA_DATA": str(folder / "data"),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "XDG_CONFIG_HOME": str(folder / "config"),
        }

    def make(self) -> None:
        """Copy the package and commit it: a bundle holds the source that rendered its runs."""
        self.checkout.mkdir(parents=True)
        for name in COPIED:
            source, target = ROOT / name, self.checkout / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(source, target)
        path = self.checkout / "pokora_anime" / "catalogue" / "registry.yaml"
        rows = yaml.safe_load(path.read_text(encoding="utf-8"))
        path.write_text(yaml.safe_dump([self._row(row) for row in rows], sort_keys=False), encoding="utf-8")
        for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "rehearsal"]):
            who = ["-c", "user.name=rehearsal", "-c", "user.email=r@localhost", "-c", "commit.gpgsign=false"]
            subprocess.run(["git", *who, *words], cwd=self.checkout, check=True, capture_output=True)

    def _row(self, row: dict[str, Any]) -> dict[str, Any]:
        """A registry row with the commit, sizes and hashes of what the hub has under its id."""
        repository = self._hub.repositories.get(row["repo"])
        if repository is None:
            return row
        prefix = f"{row['folder']}/" if row.get("folder") else ""
        details: dict[str, Any] = {}
        for name in row["files"]:
            data = repository.files.get(prefix + name)
            weights = PurePosixPath(name).suffix == ".safetensors"
            known = data is not None and weights
            details[name] = {"size": len(data), "sha256": repository.sha256(prefix + name)} if known else None
        return {**row, "files": details, "revision": repository.commit if row.get("revision") else None}

    def pokora(
        self, *words: str, allowed: tuple[int, ...] = (0,), until: Callable[[], bool] | None = None
    ) -> Done:
        """Run `pokora WORDS` as a user would; StepError unless it ends with a status that is `allowed`.

        With `until` it is killed (SIGKILL, its children too) as soon as that is true.
        """
        begun = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "pokora_anime.cli", *words],
            cwd=self.checkout,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        watch = _Watch(process, until)
        watch.start()
        output, _ = process.communicate()
        watch.join()
        done = Done(
            status=process.returncode,
            output=output,
            seconds=time.monotonic() - begun,
            peak=watch.peak,
            resident=watch.resident,
        )
        if until is not None and not watch.killed:
            raise StepError(f"pokora {' '.join(words)} ended before it could be killed: {_tail(output)}")
        if until is None and done.status not in allowed:
            raise StepError(f"pokora {' '.join(words)} ended with {done.status}: {_tail(output)}")
        return done


class _Watch(threading.Thread):
    """Samples the memory of a process tree, and kills it when told."""

    def __init__(self, process: subprocess.Popen[str], until: Callable[[], bool] | None) -> None:
        super().__init__(daemon=True)
        self._process, self._until = process, until
        self.peak, self.resident, self.killed = 0, 0, False

    def run(self) -> None:
        while self._process.poll() is None:
            tree = _tree(self._process.pid)
            taken = [_taken(one) for one in tree]
            self.peak = max(self.peak, sum(own for own, _ in taken))
            self.resident = max(self.resident, sum(resident for _, resident in taken))
            if self._until is not None and self._until():
                self.killed = True
                for one in tree:
                    one.kill()
                return
            time.sleep(SAMPLE_SECONDS)


def _tree(pid: int) -> Sequence[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.Error:
        return []


def _taken(process: psutil.Process) -> tuple[int, int]:
    """Bytes of memory of its own, and of all that is resident; the same where the system does not tell."""
    try:
        memory = process.memory_info()
    except psutil.Error:
        return 0, 0
    return memory.rss - getattr(memory, "shared", 0), memory.rss


def _tail(output: str) -> str:
    return " | ".join(output.strip().splitlines()[-3:])
