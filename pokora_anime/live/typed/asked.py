"""What a session is asked to follow, on both sides of the process that generates. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from pokora_anime.config.checks import check
from pokora_anime.render.worker.messages import from_plain
from pokora_anime.schema import run_identity
from pokora_anime.schema.settings import VideoConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A config to follow from now on, or (`take`) a clip to begin with it; `number` is how it is known."""

    number: int
    config: VideoConfig
    take: bool = False

    def message(self) -> dict[str, object]:
        """As the process is told."""
        return {"number": self.number, "config": run_identity.to_plain(self.config), "take": self.take}

    @classmethod
    def of(cls, message: Mapping[str, object]) -> Self:
        """As the process reads it. Raises ConfigError."""
        config = from_plain(VideoConfig, message["config"])
        check(config)
        return cls(number=int(str(message["number"])), config=config, take=bool(message.get("take")))
