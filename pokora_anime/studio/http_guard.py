"""What every request passes before the API sees it, and what every answer carries. Torch-free.

Host against DNS rebinding, origin against other sites' pages, size and kind of bodies, token, rate.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Sequence
from functools import partial
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pokora_anime.studio.access import COOKIE_CHARACTERS, Access
from pokora_anime.studio.problems import Problem

MOST_BYTES = 256 << 10  # of a request's body
_SAFE = ("GET", "HEAD", "OPTIONS")
# Answered without a token: the page that asks for it, what it consists of, and whether the server lives.
_OPEN = ("/", "/health", "/api/session")
_OPEN_BELOW = ("/page/", "/watch", "/gallery", "/enter", "/models", "/make")
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self'; "
    "connect-src 'self'; font-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
# Pages that a run has written: shown, and nothing in them runs or calls anybody.
REPORT_CSP = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; media-src 'self' data:"
)
_HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


class HttpGuard:
    """ASGI middleware around the whole application."""

    def __init__(
        self,
        app: ASGIApp,
        access: Access,
        names: Collection[str],
        *,
        any_address: bool,
        count: Callable[[str, int], object],
    ) -> None:
        """`names`: what the server may be called; `any_address`: also by any IP address, as 0.0.0.0 is.

        `count` is told the method and status of each answer, and no word of it.
        """
        self._app, self._access, self._names = app, access, {name.lower() for name in names}
        self._any_address, self._count = any_address, count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; an answer of ours where it may not pass."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        answered = _with_headers(send, partial(self._count, scope["method"]))
        body = _Body(receive)
        try:
            self._judge(scope)
            await self._app(scope, body.receive, answered)
        except Problem as problem:
            await problem.response()(scope, receive, answered)

    def _judge(self, scope: Scope) -> None:
        scope["headers"] = _with_short_cookies(scope["headers"])
        headers, method, path = Headers(scope=scope), scope["method"], scope["path"]
        host = headers.get("host", "")
        if not self._called(host):
            raise Problem(
                421,
                "API-HOST",
                f"a request to {host[:80]!r}",
                expected="one of " + ", ".join(sorted(self._names)),
                fix="studio.name=NAME, where a proxy stands before the studio",
            )
        _judge_origin(headers, host, method)
        _judge_body(headers, method)
        address = scope["client"][0] if scope.get("client") else ""
        token = headers.get("authorization", "")
        user = self._access.user(token, headers.get("cookie", ""))
        if user is None and token:
            refuse_guessing(self._access, address)
        if user is None and not _open(path):
            raise Problem(
                401,
                "API-TOKEN",
                "a wrong token" if token else "no token",
                expected="Authorization: Bearer TOKEN",
                fix="ask for a token whoever started the studio",
            )
        if not self._access.allowed(user if user is not None else f"address {address}"):
            raise Problem(429, "API-RATE", "too many requests", fix="wait a moment", retry_after=5)
        scope.setdefault("state", {})["user"] = user

    def _called(self, host: str) -> bool:
        """Whether a Host header names this server."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return self._any_address


def _with_short_cookies(headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers of a request with no more of its cookies than is looked at.

    The framework takes cookies apart for every request, in a time that grows with the square of their length.
    """
    found: list[tuple[bytes, bytes]] = []
    left = COOKIE_CHARACTERS
    for name, value in headers:
        if name == b"cookie":
            value, left = value[:left], max(0, left - len(value))
        found.append((name, value))
    return found


def refuse_guessing(access: Access, address: str) -> None:
    """Counts a wrong token; raises Problem 429 for an address that has sent too many in a minute."""
    if not access.may_try(address):
        raise Problem(
            429, "API-TOKEN", "too many wrong tokens", expected="a token of this studio", fix="wait a minute",
            retry_after=60,
        )  # fmt: skip
    access.failed(address)


def _open(path: str) -> bool:
    return path in _OPEN or path.startswith(_OPEN_BELOW)


def _judge_origin(headers: Headers, host: str, method: str) -> None:
    """Another site's page may neither send anything here nor read anything."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "same-origin")
    try:
        foreign = origin is not None and urlsplit(origin).netloc.lower() != host.lower()
    except ValueError:
        foreign = True
    navigation = method in _SAFE and headers.get("sec-fetch-mode", "") == "navigate"
    if foreign or (site in ("cross-site", "same-site") and not navigation):
        raise Problem(
            403,
            "API-ORIGIN",
            f"a request from a page of {str(origin or site)[:80]}",
            expected="the studio's own page, or a program",
            fix="open the studio at the address that it printed",
        )


def _judge_body(headers: Headers, method: str) -> None:
    if method in _SAFE:
        return
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > MOST_BYTES:
        raise _too_large()
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if (length != "0" or "transfer-encoding" in headers) and kind != "application/json":
        raise Problem(
            415, "API-BODY", f"a body of {kind[:60] or 'no kind'}", expected="application/json",
            fix="send JSON: words and numbers, never a file",
        )  # fmt: skip


def _too_large() -> Problem:
    return Problem(
        413, "API-BODY", "a body over the limit", expected=f"at most {MOST_BYTES >> 10} KiB of JSON",
        fix="shorten the words",
    )  # fmt: skip


class _Body:
    """Counts what arrives, whatever was announced."""

    def __init__(self, receive: Receive) -> None:
        self._receive, self._count = receive, 0

    async def receive(self) -> Message:
        message = await self._receive()
        self._count += len(message.get("body", b""))
        if self._count > MOST_BYTES:
            raise _too_large()
        return message


def _with_headers(send: Send, count: Callable[[int], object]) -> Send:
    async def answered(message: Message) -> None:
        if message["type"] == "http.response.start":
            count(message["status"])
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return answered
