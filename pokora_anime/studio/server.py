"""The studio's server: the application put together, and uvicorn around it. Torch-free."""

from __future__ import annotations

import errno
import logging
import socket
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.exceptions import HTTPException

from pokora_anime.errors import ConfigError, PokoraError
from pokora_anime.studio import studio_settings
from pokora_anime.studio.access import Access
from pokora_anime.studio.api import (
    check_api,
    gallery_api,
    live_api,
    models_api,
    runs_api,
    server_api,
    submission_api,
)
from pokora_anime.studio.api.services import Services
from pokora_anime.studio.http_guard import HttpGuard
from pokora_anime.studio.live_seat import LiveSeat
from pokora_anime.studio.problems import Problem
from pokora_anime.studio.queue.job_board import JobBoard
from pokora_anime.studio.queue.job_queue import JobQueue, Renders
from pokora_anime.studio.queue.render_engine import RenderEngine
from pokora_anime.studio.studio_settings import Engine, StudioConfig
from pokora_anime.studio.workspaces import Workspaces

_NEXT_PORTS = 20
_ROUTERS = (server_api, check_api, runs_api, gallery_api, submission_api, models_api, live_api)
_log = logging.getLogger("pokora.studio")


def application(config: StudioConfig, root: Path, renders: Renders | None = None) -> FastAPI:
    """The application over the runs below `root`. Raises ConfigError, MachineError.

    `renders` is what renders instead of the configured engine.
    """
    board = JobBoard()
    workspaces = Workspaces(root)
    access = Access(studio_settings.tokens(config), config.requests)
    engine = renders or _engine(config, board)
    turns = config.workers if config.engine is Engine.ray else 1
    queue = JobQueue(workspaces, config.queue, engine, board, turns)
    services = Services(
        config=config, access=access, workspaces=workspaces, board=board, queue=queue, live=LiveSeat(queue)
    )
    services.registry.register(_Jobs(queue))
    app = FastAPI(
        title="pokora studio",
        description="Anime clips from words, seeds and registered weights. Nothing here takes a picture.",
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
    )
    app.state.services = services
    for module in _ROUTERS:
        app.include_router(module.router)
    _problems(app)
    return app


def guarded(app: FastAPI, config: StudioConfig) -> HttpGuard:
    """The application behind what every request has to pass."""
    names = {"localhost", "127.0.0.1", "::1", config.host, *([config.name] if config.name else [])}
    services: Services = app.state.services
    answers = Counter("pokora_answers", "Answers", ["method", "status"], registry=services.registry)
    return HttpGuard(
        app,
        services.access,
        names,
        any_address=not config.loopback,
        count=lambda method, status: answers.labels(method, str(status)).inc(),
    )


def serve(
    config: StudioConfig,
    root: Path,
    *,
    name: str = "studio",
    path: str = "",
    show: Callable[[str], None] | None = None,
) -> None:
    """Serves until Ctrl-C; `name` tells the address of the view at `path`, which `show` opens.

    Raises ConfigError API-PORT, API-SERVER, CFG-STUDIO, MachineError."""
    listening = _listening(config)
    try:
        app = application(config, root)
    except BaseException:
        listening.close()
        raise
    port = listening.getsockname()[1]
    host = f"[{config.host}]" if ":" in config.host else config.host
    address = f"http://{host}:{port}/{path}"
    print(f"{name}: {address}", flush=True)
    print("Ctrl-C ends it; jobs that run or wait go on at the next start", file=sys.stderr, flush=True)
    if show is not None:
        show(address)
    server = uvicorn.Server(
        uvicorn.Config(
            guarded(app, config),
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=5,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=30,
        )
    )
    server.run(sockets=[listening])


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncGenerator[None]:
    app.state.services.queue.start()
    yield
    app.state.services.live.close()
    app.state.services.queue.stop()


def _engine(config: StudioConfig, board: JobBoard) -> Renders:
    if config.engine is Engine.ray:
        from pokora_anime.studio.queue.ray_engine import RayRenders

        return RayRenders(board, config.address, config.workers)
    return RenderEngine(board)


def _problems(app: FastAPI) -> None:
    """Every mistake as problem+json."""

    def known(request: Request, error: Exception) -> Response:
        del request
        assert isinstance(error, Problem)
        return error.response()

    def of_ours(request: Request, error: Exception) -> Response:
        del request
        assert isinstance(error, PokoraError)
        return Problem.of(error).response()

    def malformed(request: Request, error: Exception) -> Response:
        del request
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or "body"
        told = " ".join(str(first["msg"]).split())[:200]
        return Problem(422, "API-BODY", f"{where[:100]}: {told}", expected="what /api describes").response()

    def http(request: Request, error: Exception) -> Response:
        del request
        assert isinstance(error, HTTPException)
        if isinstance(error.__cause__, Problem):  # a body that was cut off while it was read
            return error.__cause__.response()
        code = {404: "API-MISSING", 405: "API-METHOD"}.get(error.status_code, "API-BODY")
        return Problem(error.status_code, code, str(error.detail), expected="what /api describes").response()

    def fault(request: Request, error: Exception) -> Response:
        _log.exception("%s %s", request.method, request.url.path, exc_info=error)
        return Problem(500, "BUG-FAULT", f"{type(error).__name__}", fix="look at the studio's log").response()

    app.add_exception_handler(Problem, known)
    app.add_exception_handler(PokoraError, of_ours)
    app.add_exception_handler(RequestValidationError, malformed)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, fault)


class _Jobs(Collector):
    """Jobs by state, and the memory of the server, as they are when they are asked for."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue

    def collect(self) -> Sequence[GaugeMetricFamily]:
        jobs = GaugeMetricFamily("pokora_jobs", "Jobs by state", labels=["state"])
        for state, count in self._queue.store.counts().items():
            jobs.add_metric([state], count)
        memory = GaugeMetricFamily("pokora_server_memory_bytes", "Resident memory of the server")
        memory.add_metric([], server_api.memory_bytes())
        return [jobs, memory]


def _listening(config: StudioConfig) -> socket.socket:
    """The socket. Raises ConfigError API-PORT, which says who has the port and offers the next free one."""
    found = _bound(config.host, config.port)
    if not isinstance(found, OSError):
        return found
    if found.errno not in (errno.EADDRINUSE, errno.EACCES):
        raise ConfigError(
            "API-PORT",
            f"{config.host}: {(found.strerror or str(found)).lower()}",
            expected="an address of this machine",
            fix="studio.host=127.0.0.1",
        ) from found
    free = config.port
    for free in range(config.port + 1, min(config.port + _NEXT_PORTS, 65535)):
        tried = _bound(config.host, free)
        if not isinstance(tried, OSError):
            tried.close()
            break
    taken = "is taken" if found.errno == errno.EADDRINUSE else "is not for users"
    raise ConfigError(
        "API-PORT",
        f"port {config.port} {taken}{_by(config.port)}",
        expected="a port that is free",
        fix=f"studio.port={free}",
    ) from found


def _bound(host: str, port: int) -> socket.socket | OSError:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        made = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        return error
    try:
        if sys.platform != "win32":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(128)
    except OSError as error:
        made.close()
        return error
    made.set_inheritable(False)
    return made


def _by(port: int) -> str:
    """Which process has a port, where the system tells."""
    with suppress(psutil.Error, OSError):
        for one in psutil.net_connections("tcp"):
            if one.laddr and one.laddr.port == port and one.status == psutil.CONN_LISTEN and one.pid:
                return f" by {psutil.Process(one.pid).name()} (process {one.pid})"
    return ""


def open_browser(address: str) -> None:
    """Shows an address in the browser, where there is one."""
    import webbrowser

    with suppress(webbrowser.Error):
        webbrowser.open(address)
