"""What a confined process may open: paths by what may be done with them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Self

from pokora_anime.sandbox.landlock import DEVICE, EXECUTE, LIST, READ, WRITE, Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Grants:
    """Paths by what may be done with them (and below them); `look` lists a folder without its files."""

    read: tuple[str, ...]
    look: tuple[str, ...]
    write: tuple[str, ...]
    execute: tuple[str, ...]
    devices: tuple[str, ...]

    @classmethod
    def of(cls, stored: dict[str, list[str]]) -> Self:
        """From `to_json`."""
        return cls(**{name: tuple(paths) for name, paths in stored.items()})

    def to_json(self) -> dict[str, list[str]]:
        """Lists by name."""
        return {name: list(paths) for name, paths in asdict(self).items()}

    def covers(self, other: Grants) -> bool:
        """Whether all that `other` allows is allowed here."""
        mine, others = self.to_json(), other.to_json()
        return all(set(others[name]) <= set(mine[name]) for name in mine)

    def joined(self, other: Grants) -> Grants:
        """What either of the two allows."""
        mine, others = self.to_json(), other.to_json()
        return Grants.of({name: list(dict.fromkeys([*mine[name], *others[name]])) for name in mine})

    def rules(self, interpreter: Iterable[str]) -> list[Rule]:
        """For Landlock; `interpreter` are the places of the running Python's own modules."""
        kinds = ((self.read, READ), (self.look, LIST), (self.write, WRITE), (self.execute, EXECUTE))
        listed = [Rule(path, access) for paths, access in kinds for path in paths]
        return [
            *listed,
            *(Rule(path, DEVICE) for path in self.devices),
            *(Rule(path, READ) for path in interpreter),
        ]
