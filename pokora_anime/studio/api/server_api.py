"""The server about itself: sessions, health, metrics, the API's page and the studio's. Torch-free."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, cast

import psutil
from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, HTMLResponse
from jinja2 import Environment, PackageLoader
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from pokora_anime.studio.access import COOKIE, SESSION_SECONDS
from pokora_anime.studio.api.services import Asking, Services
from pokora_anime.studio.http_guard import refuse_guessing
from pokora_anime.studio.problems import Problem, missing
from pokora_anime.untrusted import untrusted_names

router = APIRouter()
PAGE = Path(__file__).parent.parent / "page"
_LONGEST = 60  # bytes of a name
_KINDS = {
    ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".json": "application/json",
    ".svg": "image/svg+xml", ".webp": "image/webp", ".png": "image/png", ".woff2": "font/woff2",
}  # fmt: skip


class Token(BaseModel, extra="forbid"):
    """What signs a browser in."""

    token: Annotated[str, Field(max_length=500)]


@router.post("/api/session", status_code=204, tags=["server"])
def session(token: Token, request: Request, response: Response) -> None:
    """Signs a browser in: a cookie that its scripts cannot read, for half a day."""
    services = cast(Services, request.app.state.services)
    user = services.access.by_token(token.token)
    if user is None:
        refuse_guessing(services.access, request.client.host if request.client else "")
        raise Problem(401, "API-TOKEN", "a wrong token", fix="ask for a token whoever started the studio")
    response.set_cookie(
        COOKIE, services.access.session(user), max_age=SESSION_SECONDS, httponly=True, samesite="strict",
        secure="https" in (request.url.scheme, request.headers.get("x-forwarded-proto", "")),
    )  # fmt: skip


@router.delete("/api/session", status_code=204, tags=["server"])
def sign_out(request: Request, response: Response) -> None:
    """Signs the browser out; its cookie is none from now on."""
    cast(Services, request.app.state.services).access.end(request.headers.get("cookie", ""))
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")


@router.get("/health", tags=["server"])
def health(request: Request) -> dict[str, object]:
    """Whether the server and its queue answer."""
    services = cast(Services, request.app.state.services)
    counts = services.queue.store.counts()
    return {"status": "ok", "running": counts["running"], "waiting": counts["queued"]}


@router.get("/metrics", tags=["server"])
def metrics(asking: Asking) -> Response:
    """Counts for Prometheus: jobs by state, requests, memory."""
    return Response(generate_latest(asking.services.registry), media_type=CONTENT_TYPE_LATEST)


@router.get("/api", response_class=HTMLResponse, include_in_schema=False)
def api_page(asking: Asking, request: Request) -> HTMLResponse:
    """The page of the API, from the same description as /openapi.json."""
    del asking
    described = cast(dict[str, object], request.app.openapi())
    return HTMLResponse(_templates().get_template("api.html.j2").render(described=described))


@router.get("/page/{name:path}", include_in_schema=False)
def page_file(name: str) -> Response:
    """A file of the studio's page."""
    path = PAGE / name
    if (
        len(name.encode()) > _LONGEST
        or untrusted_names.problem(name)
        or path.suffix not in _KINDS
        or not path.is_file()
    ):
        raise missing(f"no file {untrusted_names.shown(name)}")
    return FileResponse(path, media_type=_KINDS[path.suffix], headers={"Cache-Control": "no-cache"})


@router.get("/", include_in_schema=False)
@router.get("/make", include_in_schema=False)
@router.get("/watch", include_in_schema=False)
@router.get("/watch/{rest:path}", include_in_schema=False)
@router.get("/gallery", include_in_schema=False)
@router.get("/gallery/{rest:path}", include_in_schema=False)
@router.get("/enter", include_in_schema=False)
@router.get("/models", include_in_schema=False)
@router.get("/live", include_in_schema=False)
def page(rest: str = "") -> Response:
    """The studio's page; its views are addresses of one page."""
    del rest
    return FileResponse(PAGE / "index.html", media_type="text/html", headers={"Cache-Control": "no-cache"})


@router.get("/favicon.ico", include_in_schema=False)
def icon() -> Response:
    """The page's icon."""
    return FileResponse(PAGE / "icon.svg", media_type="image/svg+xml")


def memory_bytes() -> int:
    """What this process holds."""
    return int(psutil.Process().memory_info().rss)


@cache
def _templates() -> Environment:
    return Environment(loader=PackageLoader("pokora_anime.studio.api", "templates"), autoescape=True)
