"""Who may ask, and how often: tokens, the browser's session, and rates. Torch-free."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Mapping

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

COOKIE = "pokora_session"
SESSION_SECONDS = 12 * 3600
COOKIE_CHARACTERS = 4096  # characters of a Cookie header that are looked at
_SESSION = re.compile(
    rf"(?:^|;) ?{COOKIE}=([A-Za-z0-9_-]{{1,32}})\.(\d{{1,12}})\.([0-9a-f]{{16}})\.([0-9a-f]{{64}})(?=;|$)"
)
_WRONG_TOKENS = 10  # a minute, from one address
LOCAL = ""  # the user where there are no tokens


class Access:
    """Tells users by their tokens; a token is compared in constant time with every one that exists."""

    def __init__(self, tokens: Mapping[str, str], requests_a_minute: int) -> None:
        self._hashes = {user: _hash(token) for user, token in tokens.items()}
        self._key = secrets.token_bytes(32)  # sessions end with the server
        self._ended: dict[str, float] = {}  # sessions that were signed out, until they would have ended
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._rate = RateLimitItemPerMinute(requests_a_minute)
        self._wrong = RateLimitItemPerMinute(_WRONG_TOKENS)

    @property
    def closed(self) -> bool:
        """Whether a token is needed at all."""
        return bool(self._hashes)

    def user(self, authorization: str, cookie: str) -> str | None:
        """The user that a request's headers tell; None for nobody."""
        if not self.closed:
            return LOCAL
        kind, _, token = authorization.partition(" ")
        if kind.lower() == "bearer":
            return self.by_token(token.strip())
        return self._by_session(cookie)

    def by_token(self, token: str) -> str | None:
        """The user of a token."""
        given, found = _hash(token), None
        for user, expected in self._hashes.items():
            if hmac.compare_digest(given, expected):
                found = user
        return found

    def session(self, user: str) -> str:
        """A session of a user, for the browser's cookie: it holds when it ends."""
        told = f"{user}.{int(time.time()) + SESSION_SECONDS}.{secrets.token_hex(8)}"
        return f"{told}.{self._signature(user, told)}"

    def end(self, cookie: str) -> None:
        """Signs the session of a Cookie header out."""
        now = time.time()
        self._ended = {nonce: until for nonce, until in self._ended.items() if until > now}
        if found := _SESSION.search(cookie[:COOKIE_CHARACTERS]):
            self._ended[found[3]] = float(found[2])

    def allowed(self, user: str) -> bool:
        """Counts a request of a user; False once there were too many in a minute."""
        return self._limiter.hit(self._rate, "user", user)

    def may_try(self, address: str) -> bool:
        """Whether this address has not sent too many wrong tokens."""
        return self._limiter.test(self._wrong, "wrong", address)

    def failed(self, address: str) -> None:
        """Counts a wrong token."""
        self._limiter.hit(self._wrong, "wrong", address)

    def _by_session(self, header: str) -> str | None:
        found = _SESSION.search(header[:COOKIE_CHARACTERS])
        if found is None:
            return None
        user, until, nonce, signature = found.groups()
        if not hmac.compare_digest(signature, self._signature(user, f"{user}.{until}.{nonce}")):
            return None
        return (
            user if user in self._hashes and time.time() < int(until) and nonce not in self._ended else None
        )

    def _signature(self, user: str, told: str) -> str:
        """Changes with the user's token, so that a token taken back ends its sessions."""
        return hmac.new(self._key, told.encode() + self._hashes.get(user, b""), hashlib.sha256).hexdigest()


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
