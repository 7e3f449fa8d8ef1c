"""Which guard is in force in this process: set once, when the process confines itself, and recorded."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from pokora_anime.errors import MachineError

if TYPE_CHECKING:  # it imports numpy, which starts threads
    from pokora_anime.provenance.hashing import Json


class Level(Enum):
    """How a run is rendered."""

    landlock = "landlock"  # in a child that the kernel confines
    process = "process"  # in a fresh child with a clean environment, on a kernel that cannot confine it
    none = "none"  # in the process that was started, with whatever it inherited


class Network(Enum):
    """What the rendering process may do on the network."""

    closed = "closed"  # no socket but unix ones
    tcp_closed = "tcp closed"  # TCP refused, UDP not
    open = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """The guard of this process, as it stands in the record of a run."""

    wanted: str = "off"
    level: Level = Level.none
    landlock_abi: int = 0
    network: Network = Network.open
    details: dict[str, Json] = field(default_factory=dict)
    head_start: float = 0.0  # seconds between the start of the command and of this process

    def to_json(self) -> dict[str, Json]:
        """For `summary["guard"]` of the record."""
        return {
            "wanted": self.wanted,
            "level": self.level.value,
            "landlock_abi": self.landlock_abi,
            "network": self.network.value,
            "details": self.details,
        }


_in_force = Guard()


def in_force() -> Guard:
    """The guard of this process; level `none` where it never confined itself."""
    return _in_force


def enter(guard: Guard) -> None:
    """Note what this process confined itself to. Raises MachineError SYS-GUARD if more was required."""
    global _in_force
    full = guard.level is Level.landlock and guard.network is Network.closed
    if guard.wanted == "require" and not full:
        raise MachineError(
            "SYS-GUARD",
            f"level {guard.level.value}, Landlock ABI {guard.landlock_abi}, network {guard.network.value}",
            expected="level landlock (Linux 5.13 or later, not switched off) and network closed",
            fix="guard=auto renders with what this system has, and records it",
        )
    _in_force = guard
