"""The plan in force during a run, and what happens to it when memory runs out. Torch-free to import."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from pokora_anime.devices.forecast.plan import Plan
from pokora_anime.provenance.hashing import Json
from pokora_anime.schema.settings import Compile

if TYPE_CHECKING:
    from pokora_anime.provenance.node import Node
    from pokora_anime.provenance.run_folder import Arrays, RunFolder


class Execution:
    """The plans of a run, the one in force first. Denoising and decoding step down apart, in any thread."""

    def __init__(self, plans: Sequence[Plan] = (Plan(),)) -> None:
        self._plans, self._index, self._plan = tuple(plans), 0, plans[0]
        self._changing, self._turn = threading.Lock(), threading.Lock()
        self._chunks: list[int] = []  # frames decoded at once, in the order of their use

    @property
    def plan(self) -> Plan:
        """The plan in force."""
        return self._plan

    def turn(self) -> AbstractContextManager[object]:
        """Held around a denoising step and around the decoding of a chunk."""
        return self._turn if self._plan.alternate else nullcontext()

    def chunk(self, asked: int) -> int:
        """How many frames to decode at once where the config asks for so many."""
        return min(self._plan.decode_chunk or asked, asked)

    def decoded(self, chunk: int) -> None:
        """Remember that frames were decoded so many at once."""
        if not self._chunks or self._chunks[-1] != chunk:
            self._chunks.append(chunk)

    def decoding(self, asked: int) -> dict[str, Json]:
        """What decoding in other chunks than the config's adds to its node's environment."""
        return {} if self._chunks in ([], [asked]) else {"decode_chunks": list[Json](self._chunks)}

    def denoise_with_less(self) -> bool:
        """Take the next plan that holds networks otherwise, shows them less or decodes in turn; or False."""
        with self._changing:
            now, decoding = self._plan, bool(self._chunks)
            while True:
                self._index += 1
                if self._index >= len(self._plans):
                    return False
                following = self._plans[self._index]
                in_turn = decoding and following.alternate and not now.alternate
                if not following.holds_as(now) or in_turn or (following.tiled and not now.tiled):
                    break
            chunks = [chunk for chunk in (following.decode_chunk, now.decode_chunk) if chunk]
            self._plan = replace(
                following,
                alternate=following.alternate or now.alternate,
                tiled=following.tiled or now.tiled,
                decode_chunk=min(chunks, default=0),
            )
            return True

    def decode_with_less(self, chunk: int) -> bool:
        """Halve the chunk, then let decoding wait for denoising steps; False where both are done."""
        with self._changing:
            if chunk == 1 and self._plan.alternate:
                return False
            self._plan = replace(
                self._plan, decode_chunk=max(1, chunk // 2), alternate=chunk == 1 or self._plan.alternate
            )
            return True

    def follow(self, environment: dict[str, Json]) -> None:
        """Compute as a recorded node tells, but by torch and uncompiled: figures judge what that changes."""
        chunks = environment.get("decode_chunks")
        last = chunks[-1] if isinstance(chunks, list) and chunks else 0
        with self._changing:
            self._chunks.clear()
            self._plan = replace(
                self._plan,
                sequential=environment.get("guidance") == "sequential",
                fp8=environment.get("weights") == "fp8",
                tiled=environment.get("hires") == "tiled",
                compile=Compile.off,
                converts=(),
                decode_chunk=last if type(last) is int and 0 < last <= 64 else 0,
            )

    def stored(self, folder: RunFolder, node: Callable[[Plan], Node]) -> tuple[Node, Arrays | None]:
        """A part's node and what is stored of it, under the plan in force or any other of this run."""
        tried: list[Node] = []
        for plan in (self._plan, *self._plans):
            asked = node(plan)
            if asked in tried:
                continue
            found = folder.load(asked)
            if found is not None:
                return asked, found
            tried.append(asked)
        return tried[0], None
