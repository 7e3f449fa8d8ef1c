"""What the functions of the API share, and who asks them. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends, Request
from prometheus_client import CollectorRegistry

from pokora_anime.studio.access import Access
from pokora_anime.studio.live_seat import LiveSeat
from pokora_anime.studio.queue.job_board import JobBoard
from pokora_anime.studio.queue.job_queue import JobQueue
from pokora_anime.studio.studio_settings import StudioConfig
from pokora_anime.studio.workspaces import Workspace, Workspaces


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The server's parts."""

    config: StudioConfig
    access: Access
    workspaces: Workspaces
    board: JobBoard
    queue: JobQueue
    live: LiveSeat
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, with the parts of the server."""

    user: str
    services: Services

    @property
    def queue(self) -> JobQueue:
        """The queue."""
        return self.services.queue

    @property
    def board(self) -> JobBoard:
        """What is told of jobs under way."""
        return self.services.board

    @property
    def workspace(self) -> Workspace:
        """The caller's own folder."""
        return self.services.workspaces.of(self.user)


def _caller(request: Request) -> Caller:
    return Caller(cast(str, request.state.user), cast(Services, request.app.state.services))


Asking = Annotated[Caller, Depends(_caller)]
