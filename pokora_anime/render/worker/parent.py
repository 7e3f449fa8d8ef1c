"""The side that is not confined: starts rendering processes, asks them, and hands Ctrl-C on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, NoReturn, Self, cast

from pokora_anime.catalogue import hash_memory
from pokora_anime.devices import openvino_runtime
from pokora_anime.devices.forecast import cheaper_settings
from pokora_anime.errors import Interrupted, MachineError
from pokora_anime.networks.converted import kept_conversions
from pokora_anime.provenance.run_layout import LOGS
from pokora_anime.render.worker import temporary_folders
from pokora_anime.render.worker.bytecode import compile_later
from pokora_anime.render.worker.granted_paths import library_folders, needed, places_of_weights
from pokora_anime.render.worker.messages import Message, receive, send, unpack_error
from pokora_anime.render.worker.run_paths import command_of, run_folder
from pokora_anime.sandbox import child_environment
from pokora_anime.sandbox.grants import Grants
from pokora_anime.schema.run_identity import to_plain
from pokora_anime.schema.settings import RunConfig
from pokora_anime.system import process
from pokora_anime.system.files.installed_package import INSTALLED
from pokora_anime.system.processor_cores import usable_cores
from pokora_anime.system.terminal.interrupts import Relay

Watch = Callable[[dict[str, object]], None]
_STOPPING_SECONDS = 8.0  # a run that was interrupted has for its last step; its process is kept for the next

_BOOT = """
import json, sys
header = json.loads(sys.stdin.buffer.readline() or sys.exit())
sys.path.insert(0, header["package"])
from pokora_anime.render.worker import child
child.main(header)
"""


def render(config: RunConfig, root: Path, guard: str) -> Path:
    """One run under `root` in a process of its own, which may write in the run's folder alone.

    `guard` is auto or require. Returns the run folder. Raises what the run raises, KeyboardInterrupt
    where it was stopped before it had begun, and MachineError SYS-GUARD, SYS-RENDER or SYS-WRITE.
    """
    work = run_folder(config, root)
    with Child(config, needed(config, work), work / LOGS, "run", guard) as child:
        return child.render(config, root)


class Worker:
    """Renders the jobs of a sweep one after the other, all in one process that may write in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.label = ""  # in front of each line that the next run shows
        self.watch: Watch | None = None  # is told how far the next run is
        self._child: Child | None = None

    def render(self, config: RunConfig, guard: str, first: Callable[[float], bool] | None = None) -> Path:
        """As `render`, below the sweep's folder; models that the job before used are still loaded."""
        return self._ready(config, guard).render(config, self.folder, self.label, first, self.watch)

    def warm(self, config: RunConfig, guard: str = "auto") -> None:
        """Starts the process for a run like this one, so that the run itself has nothing to import."""
        self._ready(config, guard).warm()

    @property
    def alive(self) -> bool:
        """Whether a process is there that can be asked."""
        return self._child is not None and self._child.alive

    def _ready(self, config: RunConfig, guard: str) -> Child:
        """A process that may open what a run needs."""
        grants = needed(config, self.folder)
        if self._child is not None and not (self._child.alive and self._child.grants.covers(grants)):
            # What a process may open cannot grow.
            grants = grants.joined(self._child.grants)
            self.close()
        if self._child is None:
            self._child = Child(config, grants, self.folder, "sweep", guard)
        return self._child

    def interrupt(self) -> None:
        """Ctrl-C for the run under way, from any thread: its finished segments stay. Without one, nothing."""
        if self._child is not None and self._child.busy:
            self._child.interrupt()

    def close(self) -> None:
        """End the process."""
        if self._child is not None:
            self._child.close()
            self._child = None


class Child:
    """A rendering process. `grants` is what it may open, final from its start on.

    `home` is the folder for its temporary files, which go with it; `writes` tells the record whether
    it may write in a run's or a sweep's folder. It is told the hashes of weights that are known here, and
    of none under guard=require: then it reads every byte itself. Raises MachineError SYS-WRITE or SYS-DISK.
    """

    boot = _BOOT  # what the process runs

    def __init__(self, config: RunConfig, grants: Grants, home: Path, writes: str, guard: str) -> None:
        self.grants, self._config = grants, config
        self.busy = False  # whether a run is under way
        self._overdue: threading.Timer | None = None  # ends a run that was interrupted and goes on
        self._temporary = temporary_folders.make(home)
        try:
            self._process = _start(self.boot, self._environment(config))
            self.ask(
                {
                    "package": str(INSTALLED.parent),
                    "libraries": library_folders(),
                    "prefix": sys.prefix,
                    "grants": grants.to_json(),
                    "wanted": guard,
                    "writes": writes,
                    "hashes": {} if guard == "require" else hash_memory.known(),
                    "temporary": str(self._temporary),
                    "encoding": sys.stderr.encoding or "utf-8",
                    "started": process.started(),
                }
            )
        except BaseException:  # Ctrl-C comes at any moment
            temporary_folders.remove(self._temporary)
            raise

    @property
    def alive(self) -> bool:
        """Whether the process can be asked."""
        return self._process.poll() is None

    def render(
        self,
        config: RunConfig,
        root: Path,
        label: str = "",
        first: Callable[[float], bool] | None = None,
        watch: Watch | None = None,
    ) -> Path:
        """One run; returns its folder or raises what it raised. `label` stands before each of its lines.

        `first` is told the score of a clip's first segment; where it says no, the run is stopped. `watch` is
        told how far the run is, as `progress.watched` reports it.
        """
        self._config, self.busy = config, True
        asked: Message = {
            "command": command_of(config),
            "config": to_plain(config),
            "root": str(root),
            "label": label,
            "first": first is not None,
            "watch": watch is not None,
        }
        self.ask(asked)
        with Relay(self._process) as relay:
            answer = self._answer(first, watch)
        self.busy = False
        if self._overdue is not None:
            self._overdue.cancel()
        if answer is None:
            self._died(run_folder(config, root), interrupted=relay.pressed)
        if "path" in answer:
            return Path(answer["path"])
        if "stopped" in answer:
            raise KeyboardInterrupt
        cause = ChildTraceback(answer["trace"])
        if "error" in answer:
            raise unpack_error(answer["error"]) from cause
        raise type(answer["bug"], (Exception,), {})(answer["text"]) from cause

    def memory(self) -> int:
        """Bytes of memory that the process fills; 0 where the system does not tell."""
        import psutil

        try:
            return int(psutil.Process(self._process.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def warm(self) -> None:
        """Import what a run imports. A fault is the next run's to tell."""
        self.ask({"warm": True})
        self._answer()

    def interrupt(self) -> None:
        """Ctrl-C for the run under way; one that does not end by itself is killed."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)
        self._overdue = threading.Timer(_STOPPING_SECONDS, self._process.kill)
        self._overdue.daemon = True
        self._overdue.start()

    def close(self) -> None:
        """End the process and remove its temporary files."""
        with suppress(OSError):
            self._input.close()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.output.close()
        temporary_folders.remove(self._temporary)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _input(self) -> IO[bytes]:
        return cast("IO[bytes]", self._process.stdin)

    @property
    def output(self) -> IO[bytes]:
        """What the process answers on."""
        return cast("IO[bytes]", self._process.stdout)

    def _environment(self, config: RunConfig) -> dict[str, str]:
        threads = config.device.threads or usable_cores()
        return child_environment.clean(os.environ, self._temporary, threads, places_of_weights(config))

    def ask(self, message: Message) -> None:
        """Send a message; nothing where the process has ended."""
        with suppress(BrokenPipeError):  # why it died is in its last answer
            send(self._input, message)

    def _answer(
        self, first: Callable[[float], bool] | None = None, watch: Watch | None = None
    ) -> Message | None:
        """The next message that ends a request; None where the process died."""
        while (message := receive(self.output)) is not None:
            if first is not None and "first" in message and not first(float(message["first"])):
                self._process.send_signal(signal.SIGINT)
            if watch is not None and "progress" in message:
                watch(message["progress"])
            compile_later(message.get("uncompiled", ()))
            for made in message.get("converted", ()):
                self.keep(Path(made))
            if message.keys() & {"path", "stopped", "error", "bug", "warm"}:
                return message
        return None

    def keep(self, made: Path) -> None:
        """Keep a converted network that the process has made among its temporary files."""
        try:
            if not made.is_relative_to(self._temporary) or ".." in made.parts:
                raise ValueError(f"{made} lies elsewhere")
            kept_conversions.adopt(made, openvino_runtime.folder())
        except (OSError, ValueError) as error:
            print(f"a converted network cannot be kept: {error}", file=sys.stderr)

    def _died(self, folder: Path, *, interrupted: bool) -> NoReturn:
        status = self._process.wait()
        if interrupted:
            raise Interrupted("INT-STOP", f"stopped; everything finished so far is in {folder}")
        killed = sys.platform != "win32" and status == -signal.SIGKILL
        how = f"by signal {-status}" if status < 0 else f"with status {status}"
        raise MachineError(
            "SYS-MEMORY" if killed else "SYS-RENDER",
            f"the rendering process was ended {how}; everything finished so far is in {folder}",
            expected="more free memory" if killed else "a run that ends by itself",
            fix=cheaper_settings.advice(self._config) if killed else "start the same command again",
        )


class ChildTraceback(Exception):
    """The traceback of the rendering process, shown as the cause of what its parent raises."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def _start(boot: str, own: dict[str, str]) -> subprocess.Popen[bytes]:
    """Python without PYTHON* variables, site, user site and .pth files."""
    line = [sys.executable, "-I", "-S", "-X", "utf8", "-c", boot]
    if sys.platform == "win32":
        return subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=own)
    # In a group of its own: Ctrl-C is for us, and we hand it on. It is held back from the child until
    # somebody there listens.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        return subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=own, process_group=0)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
