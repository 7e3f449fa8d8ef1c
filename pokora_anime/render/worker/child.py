"""The rendering process: it confines itself before it imports any library, then renders what is asked.

parent.py starts it as `python -I -S`: no PYTHON* variables, no site, user site or .pth files. Requests
come on standard input and answers go out on the original standard output, one line of JSON each; what
libraries print goes to standard error.
"""

from __future__ import annotations

import io
import os
import queue
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, NoReturn, cast

from pokora_anime.errors import MachineError, PokoraError
from pokora_anime.render.worker.messages import Message, from_plain, pack_error, receive, send
from pokora_anime.sandbox import guard_state
from pokora_anime.sandbox.grants import Grants
from pokora_anime.sandbox.guard_state import Guard, Level, Network
from pokora_anime.sandbox.landlock import Confinement, confine, landlock_abi, no_new_privileges
from pokora_anime.sandbox.seccomp import refuse_sockets
from pokora_anime.system import process
from pokora_anime.system.terminal.labelled_lines import labelled

if TYPE_CHECKING:
    from pokora_anime.schema.settings import RunConfig


def main(header: Message, serve: Callable[[IO[bytes], str], None] | None = None) -> None:
    """Confine, then serve until the parent is gone; `serve` is told where to answer and its own folder."""
    answers = _answers()
    begun = answered(lambda: _begin(header))
    send(answers, begun)
    if "guard" in begun:
        (serve or _serve)(answers, header["temporary"])
    _end(header["temporary"], 0)


def confine_here(header: Message) -> dict[str, object]:
    """Confine this process as the header says; what holds from now on, as the record tells it."""
    return _begin(header)["guard"]


def _end(temporary: str, status: int) -> NoReturn:
    shutil.rmtree(temporary, ignore_errors=True)
    sys.stdout.flush()
    os._exit(status)  # the interpreter's own end would wait for torch's threads


def _begin(header: Message) -> Message:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if sys.platform != "win32":
        # A line of ours on a terminal that stops background writers must not stop the run.
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    cast("io.TextIOWrapper", sys.stderr).reconfigure(encoding=header["encoding"])
    interpreter = [path for path in sys.path if path != header["package"]]
    sys.path[:] = [*interpreter, *header["libraries"]]
    sys.prefix = sys.exec_prefix = header["prefix"]  # as site would have it
    guard_state.enter(_confined(header, interpreter))
    from pokora_anime.catalogue import hash_memory
    from pokora_anime.system.terminal.library_remarks import Remarks

    hash_memory.confine(header.get("hashes", {}))
    Remarks(lambda _: None).install()  # until a display is there, whose log keeps them
    return {"guard": guard_state.in_force().to_json()}


def _confined(header: Message, interpreter: list[str]) -> Guard:
    """The guard that holds from now on; what it claims was tried out."""
    process.started()  # asked while it can be; nothing asks the system again
    confinement: Confinement | None = None
    if sys.platform == "linux":
        _no_core_dumps()
        no_new_privileges()
        alone = len(os.listdir("/proc/self/task")) == 1  # threads that run already would stay free
        if alone and landlock_abi():
            with suppress(OSError):  # a sandbox around us may not let us; then the level says so
                confinement = confine(Grants.of(header["grants"]).rules(interpreter))
                sys.dont_write_bytecode = True
    closed = refuse_sockets() and _refused(_open_socket)
    held = confinement is not None and _refused(lambda: os.listdir("/"))
    tcp = confinement is not None and confinement.tcp
    return Guard(
        wanted=header["wanted"],
        level=Level.landlock if held else Level.process,
        landlock_abi=confinement.abi if confinement else 0,
        network=Network.closed if closed else Network.tcp_closed if tcp else Network.open,
        details={
            "writes": header["writes"],
            "signals_scoped": confinement is not None and confinement.scoped,
            "environment": [*sorted(os.environ)],
        },
        head_start=process.started() - header["started"],
    )


def _no_core_dumps() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _refused(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except PermissionError:
        return True
    return False


def _open_socket() -> None:
    import socket

    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()


def _answers() -> IO[bytes]:
    """The original standard output; what prints there from now on goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _serve(answers: IO[bytes], temporary: str) -> None:
    requests = _Requests(temporary)
    for request in requests:
        with labelled(request.get("label", "")):
            work = _warm if request.get("warm") else partial(_render, request, answers)
            answer = answered(work)
        requests.answered()
        send(answers, answer)


class _Requests:
    """The parent's requests; the process ends when the parent is gone while one is unanswered."""

    def __init__(self, temporary: str) -> None:
        self._temporary = temporary
        self._arrived: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._unanswered = 0
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, daemon=True).start()

    def __iter__(self) -> Iterator[Message]:
        while (request := self._arrived.get()) is not None:
            yield request

    def answered(self) -> None:
        """The request that was taken last needs nothing more."""
        with self._lock:
            self._unanswered -= 1

    def _listen(self) -> None:
        while (request := receive(sys.stdin.buffer)) is not None:
            with self._lock:
                self._unanswered += 1
            self._arrived.put(request)
        with self._lock:
            if self._unanswered:
                _end(self._temporary, 1)
        self._arrived.put(None)


def _render(request: Message, answers: IO[bytes]) -> Message:
    from pokora_anime.config.checks import check
    from pokora_anime.render.worker import weight_check
    from pokora_anime.schema.config_groups import SCHEMAS

    config = from_plain(SCHEMAS[request["command"]], request["config"])
    check(config)
    weight_check.check(config)
    from pokora_anime.networks.converted import kept_conversions

    send(answers, {"uncompiled": _uncompiled()})
    kept_conversions.hand_over(lambda made: send(answers, {"converted": [str(made)]}))
    with _watched(request, answers):
        return {"path": str(_rendered(config, request, answers)), "uncompiled": _uncompiled()}


def _warm() -> Message:
    """Imports what a run imports, before one is asked for."""
    from pokora_anime.networks import network_cache
    from pokora_anime.render import pipeline

    del network_cache, pipeline
    return {"warm": True, "uncompiled": _uncompiled()}


def _rendered(config: RunConfig, request: Message, answers: IO[bytes]) -> Path:
    from pokora_anime.render import pipeline
    from pokora_anime.schema.settings import StillsConfig, VideoConfig

    root = Path(request["root"])
    if isinstance(config, VideoConfig):
        told = partial(_tell_first, answers) if request.get("first") else None
        return pipeline.render_video(config, root, guard_state.in_force().to_json(), told)
    assert isinstance(config, StillsConfig)
    return pipeline.render_stills(config, root, guard_state.in_force().to_json())


def _watched(request: Message, answers: IO[bytes]) -> AbstractContextManager[None]:
    """Within the block the parent is told how far the run is, where it asked for that."""
    if not request.get("watch"):
        return nullcontext()
    from pokora_anime.system.terminal.progress import watched

    return watched(lambda report: send(answers, {"progress": report}))


def _tell_first(answers: IO[bytes], score: float) -> None:
    send(answers, {"first": score})


def _uncompiled() -> list[str]:
    """Sources that were compiled in this process and whose bytecode could not be kept."""
    if not sys.dont_write_bytecode:
        return []
    specs = [getattr(module, "__spec__", None) for module in list(sys.modules.values())]
    found = [(spec.origin, spec.cached) for spec in specs if spec is not None and spec.has_location]
    return [
        origin
        for origin, kept in found
        if origin and kept and origin.endswith(".py") and not os.path.exists(kept)
    ]


def answered(action: Callable[[], Message]) -> Message:
    """What came of it as a message; Ctrl-C is listened to meanwhile and at no other time."""
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        return action()
    except PokoraError as error:
        return {"error": pack_error(error), "trace": traceback.format_exc()}
    except KeyboardInterrupt:
        return {"stopped": True}
    except PermissionError as error:
        if error.filename is None or guard_state.in_force().level is not Level.landlock:
            return _bug(error)
        return {"error": pack_error(_denied(error)), "trace": traceback.format_exc()}
    except ModuleNotFoundError as error:
        return {"error": pack_error(_lacking(error)), "trace": traceback.format_exc()}
    except Exception as error:
        return _bug(error)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _denied(error: PermissionError) -> MachineError:
    return MachineError(
        "SYS-GUARD-DENIED",
        f"the guard refused access to {error.filename}",
        expected="this package, installed libraries, registered weights and the run's folder",
        fix="reinstall with `make setup`; guard=off renders without the guard, and records it",
    )


def _lacking(error: ModuleNotFoundError) -> MachineError:
    return MachineError(
        "SYS-LIBRARY",
        f"{error.name} is not installed in {sys.prefix}",
        expected="every library in the environment itself, not in the user's own folder or on PYTHONPATH",
        fix="make setup",
    )


def _bug(error: Exception) -> Message:
    return {"bug": type(error).__name__, "text": str(error), "trace": traceback.format_exc()}
