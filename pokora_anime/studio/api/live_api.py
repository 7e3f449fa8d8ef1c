"""Live: a session started, followed, recorded and ended, and its frames as a stream. Torch-free."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from pokora_anime.schema import field_laws
from pokora_anime.studio.api.check_api import Word, known_parts
from pokora_anime.studio.api.runs_api import to_json
from pokora_anime.studio.api.services import Asking, Caller
from pokora_anime.studio.problems import Problem, plain

if TYPE_CHECKING:
    from pokora_anime.live.live_session import LiveSession

router = APIRouter(prefix="/api/live", tags=["live"])
_WAIT = 0.5  # seconds for a frame, after which it is seen whether somebody is still there
# Each names all that a base would fill in, so that a new one is another person.
PROMPTS = (
    "1girl, blue hair, twintails, green eyes, white dress, waving, cherry blossoms",
    "1girl, red hair, ponytail, gold eyes, black kimono, dancing, night sky",
    "1girl, blonde hair, long hair, blue eyes, white school uniform, walking, city",
    "1girl, pink hair, short hair, purple eyes, yellow hoodie, jumping, beach",
    "1girl, silver hair, long hair, blue eyes, purple dress, ballet, sunset",
    "1girl, green hair, twintails, brown eyes, white hoodie, club dance, city",
    "1girl, black hair, short hair, red eyes, red kimono, bowing, cherry blossoms",
    "1girl, brown hair, ponytail, green eyes, blue dress, spinning, beach",
    "1girl, purple hair, twintails, gold eyes, smile, pink dress, arms up, blue sky",
    "1girl, blonde hair, ponytail, green eyes, black hoodie, running, forest",
)


class NewSession(BaseModel, extra="forbid"):
    """A session in words: its prompt, and settings as `live.key=value`."""

    prompt: Annotated[str, Field(max_length=4000)]
    words: Annotated[list[Word], Field(max_length=20)] = []


class Typed(BaseModel, extra="forbid"):
    """What is typed while it goes on: a whole prompt, or words that change a part of it."""

    text: Annotated[str, Field(max_length=4000)]


@router.get("")
def state(asking: Asking) -> dict[str, object]:
    """The caller's session as it is, what can be set, and prompts to begin with."""
    from pokora_anime.live.live_settings import PREFIX, LiveConfig

    session = asking.services.live.maybe(asking.user)
    settings = [
        {
            "key": f"{PREFIX}{one.key}",
            "default": getattr(one.default, "name", one.default),
            "low": one.law.low,
            "high": one.law.high,
            "multiple": one.law.multiple,
            "members": list(one.members),
            "whole": one.kind is int,
            "help": one.law.help,
        }
        for one in field_laws.settings(LiveConfig)
    ]
    told = None if session is None else _told(session)
    return {"session": told, "settings": settings, "prompts": list(PROMPTS)}


@router.post("", status_code=201)
def start(sent: NewSession, asking: Asking) -> dict[str, object]:
    """Starts the server's one session; jobs of the queue wait until it ends. 409 beside another or a job."""
    session = asking.services.live.start(asking.user, sent.prompt, sent.words, asking.workspace)
    return _told(session)


@router.put("/words")
def follow(typed: Typed, asking: Asking) -> dict[str, object]:
    """Follows what is typed; of several the last. Answers with the prompt that it comes to."""
    config, number = asking.services.live.follow(asking.user, typed.text)
    return {"prompt": config.shot.prompt, "words": number, "parts": known_parts(config)}


@router.post("/record")
def record(asking: Asking) -> dict[str, object]:
    """Begins a take, which becomes a run."""
    asking.services.live.record(asking.user)
    return _told(asking.services.live.of(asking.user))


@router.delete("/record")
def stop_recording(asking: Asking) -> dict[str, object]:
    """Ends the take and puts it into the queue; it is rendered when the session is over."""
    return to_json(asking.services.live.stop_recording(asking.user), asking)


@router.delete("", status_code=204)
def end(asking: Asking) -> Response:
    """Ends the session; the queue goes on."""
    asking.services.live.end(asking.user)
    return Response(status_code=204)


@router.get("/still")
def still(asking: Asking) -> Response:
    """The frame on the display as a PNG."""
    data = asking.services.live.of(asking.user).still()
    if data is None:
        raise Problem(
            409, "API-LIVE", "nothing is shown yet", expected="a session under way", fix="wait a moment"
        )
    return Response(
        data, media_type="image/png", headers={"Content-Disposition": "attachment; filename=live.png"}
    )


@router.get("/frames")
async def frames(asking: Asking, request: Request) -> StreamingResponse:
    """Frames as they are shown, until the session is over or the caller is gone.

    Each is a length of four bytes (the high one first), as much JSON, and behind it as many bytes of JPEG as
    its `bytes` says; without `bytes` it tells how the session stands.
    """
    session = asking.services.live.of(asking.user)
    return StreamingResponse(_frames(session, asking, request), media_type="application/octet-stream")


async def _frames(session: LiveSession, asking: Caller, request: Request) -> AsyncIterator[bytes]:
    number, told = 0, ""
    while not await request.is_disconnected():
        shown = await asyncio.to_thread(session.after, number, _WAIT)
        if shown is None or shown.number % 12 == 0:
            state = json.dumps(_told(session))
            if state != told or shown is None:
                told = state
                yield _part(state.encode(), b"")
            if session.over:
                return
        if shown is not None:
            number = shown.number
            about = {
                "number": number,
                "position": round(shown.position, 3),
                "words": shown.words,
                "recording": shown.recording,
                "bytes": len(shown.data),
            }
            yield _part(json.dumps(about).encode(), shown.data)


def _part(about: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(about)) + about + data


def _told(session: LiveSession) -> dict[str, object]:
    """A session as the page shows it."""
    take = session.take
    return {
        "state": session.state.value,
        "prompt": session.words,
        "note": session.notes[-1] if session.notes else "",
        "made_a_second": round(session.made_a_second, 1),
        "ahead_seconds": round(session.seconds_ahead, 1),
        "take": None if take is None else {"begun": session.recording, "seconds": session.take_seconds},
        "error": None if session.error is None else plain(session.error),
    }
