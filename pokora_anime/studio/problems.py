"""Mistakes as `application/problem+json` (RFC 9457), with the codes of the command line. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import JSONResponse

from pokora_anime.errors import (
    ConfigError,
    Interrupted,
    MachineError,
    PokoraError,
    PromptError,
    QualityError,
    RecordError,
    WeightsError,
)

MEDIA_TYPE = "application/problem+json"
_STATUS: dict[type[PokoraError], int] = {
    ConfigError: 422,
    PromptError: 422,
    WeightsError: 409,
    RecordError: 409,
    QualityError: 409,
    Interrupted: 409,
    MachineError: 503,
}
_TITLES = {
    400: "the request cannot be read",
    401: "a token is needed",
    403: "refused",
    404: "there is nothing of this name",
    405: "not a method of this address",
    409: "this cannot be done now",
    413: "the request is too large",
    415: "not JSON",
    421: "not a name of this server",
    422: "the request is not a run",
    429: "too many requests",
    500: "a fault of ours",
    503: "this machine cannot do it now",
}


class Problem(Exception):
    """An answer that is no success. `status` is HTTP's; the rest is as in PokoraError."""

    def __init__(
        self, status: int, code: str, detail: str, *, expected: str = "", fix: str = "", retry_after: int = 0
    ) -> None:
        self.status, self.code, self.detail = status, code, detail
        self.expected, self.fix, self.retry_after = expected, fix, retry_after
        super().__init__(detail)

    @classmethod
    def of(cls, error: PokoraError) -> Problem:
        """What the command line would say, as an answer."""
        status = next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 422)
        return cls(status, error.code, error.got, expected=error.expected, fix=error.fix)

    def to_json(self) -> dict[str, object]:
        """The answer's body."""
        return {
            "type": "about:blank",
            "title": _TITLES.get(self.status, "refused"),
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "expected": self.expected,
            "fix": self.fix,
        }

    def response(self) -> JSONResponse:
        """The answer."""
        headers: Mapping[str, str] = {"Retry-After": str(self.retry_after)} if self.retry_after else {}
        return JSONResponse(self.to_json(), self.status, headers, MEDIA_TYPE)


def plain(error: PokoraError) -> dict[str, object]:
    """An error as the body of an answer."""
    return Problem.of(error).to_json()


def missing(what: str) -> Problem:
    """404 API-MISSING."""
    return Problem(
        404, "API-MISSING", what, expected="an id that a list of this server holds", fix="reload the list"
    )
