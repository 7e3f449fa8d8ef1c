"""`pokora train nano`: the shipped family from nothing; a killed training goes on where it was.

The command starts the processes that train and watches them. Deep in torch a process hears of Ctrl-C
late; this one hears at once, ends them, and says what went wrong in one line. Torch-free.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Self

from pokora_anime.cli.parser import OneLineParser, whole
from pokora_anime.errors import ConfigError, MachineError
from pokora_anime.nano.recipe import MEMBERS
from pokora_anime.nano.train import Assignment, check, train_nano
from pokora_anime.system.processor_cores import usable_cores
from pokora_anime.system.terminal import resume_hint

WATCHED = "POKORA_TRAIN_WATCHED"
LOOK_SECONDS = 0.1
DESCRIPTION = "The shipped family from nothing; a killed training goes on where it was."


def main(arguments: Sequence[str]) -> int:
    """Parse, check and train; returns the exit status."""
    if arguments[:1] == ["lora"]:
        from pokora_anime.cli.workshop import train_lora

        return train_lora.main(arguments[1:])
    options = _parser().parse_args(list(arguments))
    threads = options.threads or (usable_cores() if options.processes == 1 else 1)
    assignment = Assignment(
        members=options.members, work=options.work, export=options.export, start=options.start
    )
    if WATCHED in os.environ:
        _end_with_the_command()
    try:
        if WATCHED not in os.environ and "WORLD_SIZE" not in os.environ:  # torchrun sets the latter
            check(assignment)
            return _watch_over(list(arguments), options.processes, threads)
        train_nano(assignment, options.preset, options.device, threads, options.seed)
    except ValueError as error:
        raise ConfigError("CFG-TRAIN", str(error), fix="`pokora train nano --help`") from error
    return 0


@dataclass(frozen=True, slots=True)
class _Worker:
    """One process that trains, and the file with what it says on stderr."""

    process: subprocess.Popen[bytes]
    said: Path

    def end(self) -> None:
        """Kills it and all that it has started; what it saved is whole at every moment."""
        with suppress(OSError):  # they have ended already
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def complaint(self) -> str:
        """Its one line about what went wrong; all that it said where there is none."""
        text = self.said.read_text(encoding="utf-8", errors="replace")
        lines = [line for line in text.splitlines(keepends=True) if line.startswith("pokora: ")]
        return text if os.environ.get("POKORA_DEBUG") or not lines else lines[-1]


class _CtrlC:
    """Within the block Ctrl-C raises only in `check`.

    Anywhere else it could come between the start of a process and its place in the list of those to end.
    """

    def __init__(self) -> None:
        self._pressed = False
        self._previous: object = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.getsignal(signal.SIGINT)
            if self._previous is not signal.SIG_IGN:  # nohup and the like
                signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(self, *_: object) -> None:
        if callable(self._previous):
            signal.signal(signal.SIGINT, self._previous)

    def _press(self, number: int, frame: FrameType | None) -> None:
        self._pressed = True

    def check(self) -> None:
        if self._pressed:
            raise KeyboardInterrupt


def _watch_over(arguments: list[str], count: int, threads: int) -> int:
    """Trains in `count` processes; returns the exit status, that of the first one that failed."""
    with tempfile.TemporaryDirectory(prefix="pokora-train-") as folder, _CtrlC() as pressed:
        workers: list[_Worker] = []
        try:
            meeting = _meeting(count, threads)
            for rank in range(count):
                workers.append(_start(arguments, meeting, rank, Path(folder) / f"{rank}.log"))
            failed = _first_failure(workers, pressed)
            if failed is None:
                return 0
            code = failed.process.returncode
            if code < 0:
                raise MachineError(
                    "SYS-TRAIN",
                    f"training process {workers.index(failed) + 1} of {count} was ended by"
                    f" {signal.Signals(-code).name}",
                    fix=f"if memory ran out, take fewer --processes; to go on: {resume_hint.how()}",
                )
            sys.stderr.write(failed.complaint())
            return code
        finally:
            for worker in workers:
                worker.end()


def _meeting(count: int, threads: int) -> dict[str, str]:
    """The environment in which the processes find one another, on this machine alone."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    found = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    loopback = [name for _, name in socket.if_nameindex() if name in ("lo", "lo0")]
    if loopback:
        found["GLOO_SOCKET_IFNAME"] = loopback[0]
    if count > 1:
        found["OMP_NUM_THREADS"] = str(threads)
    return {**os.environ, **found, WATCHED: "1"}


def _start(arguments: list[str], meeting: dict[str, str], rank: int, said: Path) -> _Worker:
    """The same command once more; the first process alone reports the progress."""
    with said.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "pokora_anime.cli", "train", *arguments],
            env={**meeting, "RANK": str(rank)},
            stdin=subprocess.PIPE,  # never written to: it closes when this process ends, however it ends
            stdout=None if rank == 0 else subprocess.DEVNULL,
            stderr=stderr,
            process_group=0,
        )
    return _Worker(process, said)


def _first_failure(workers: list[_Worker], pressed: _CtrlC) -> _Worker | None:
    """Waits until all have ended, or one with an error: the others would wait for it for ever.

    Raises KeyboardInterrupt after Ctrl-C.
    """
    while True:
        pressed.check()
        codes = [worker.process.poll() for worker in workers]
        failed = [worker for worker, code in zip(workers, codes, strict=True) if code]
        if failed:
            # The others fail in turn when the first is gone: the oldest words are about the cause.
            return min(failed, key=lambda worker: worker.said.stat().st_mtime_ns)
        if None not in codes:
            return None
        time.sleep(LOOK_SECONDS)


def _end_with_the_command() -> None:
    """Ends this process, and all that it has started, as soon as the command that started it is gone."""

    def wait() -> None:
        os.read(0, 1)  # not sys.stdin: its lock would be held for ever in forked processes
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="pokora train",
        description="Train the nano family from this package's own drawings (nano), or a style or a"
        " character of your own (lora --help).",
    )
    families = parser.add_subparsers(
        dest="family", required=True, metavar="nano|lora", parser_class=OneLineParser
    )
    nano = families.add_parser("nano", description=DESCRIPTION)
    nano.add_argument("--preset", choices=("full", "small"), default="full", help="small: seconds, for tests")
    nano.add_argument("--members", nargs="+", choices=MEMBERS, help="train only these (default: all)")
    nano.add_argument("--work", type=Path, default=Path("outputs/train/nano"), help="folder of checkpoints")
    nano.add_argument("--export", type=Path, help="write the finished family here, in diffusers layout")
    nano.add_argument("--device", default="cpu", help="cpu or cuda")
    nano.add_argument(
        "--threads", type=whole(1), help="of each process (default: all cores, or 1 for several processes)"
    )
    nano.add_argument(
        "--processes", type=whole(1), default=1, help="train each member in so many processes, a core each"
    )
    nano.add_argument("--start", type=Path, help="a finished family to go on from, in an empty work folder")
    nano.add_argument("--seed", type=whole(0), default=0)
    return parser
