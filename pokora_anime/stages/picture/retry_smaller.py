"""Doing a part of a run again with less memory when a device has run out of it."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TypeVar

from pokora_anime.devices.forecast.plan import Offload, Plan
from pokora_anime.devices.machine import give_back
from pokora_anime.devices.out_of_memory import is_out_of_memory
from pokora_anime.stages.run_context import RunContext

T = TypeVar("T")
_WORDS = {Offload.model: "one network on the device at a time", Offload.group: "weights streamed"}


def with_less(part: str, attempt: Callable[[], T], context: RunContext) -> T:
    """What `attempt` returns; where memory runs out, again under the run's next plan, which is noted.

    Raises what `attempt` raised where no plan is left.
    """
    while True:
        try:
            return attempt()
        except Exception as error:
            if not (is_out_of_memory(error) and context.execution.denoise_with_less()):
                raise
        # Only now is the error gone, and with it the frames that held the tensors.
        _tidy(context)
        context.progress.note(f"{part}: out of memory, again with {_words(context.execution.plan)}")


def decode_with_less(attempt: Callable[[], T], chunk: int, context: RunContext) -> T | None:
    """What `attempt` returns; None out of memory, after which smaller chunks are the plan."""
    try:
        return attempt()
    except Exception as error:
        if not (is_out_of_memory(error) and context.execution.decode_with_less(chunk)):
            raise
    _tidy(context)
    plan = context.execution.plan
    turns = " between denoising steps" if plan.alternate else ""
    context.progress.note(f"decoding: out of memory, again {plan.decode_chunk} at once{turns}")
    return None


class Steps:
    """Tells the display each step of a part once, however often the part begins again."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell, self._told, self._now = tell, 0, 0

    def begin(self) -> None:
        """The part begins."""
        self._now = 0

    def step(self) -> None:
        """One step is done."""
        self._now += 1
        if self._now > self._told:
            self._told = self._now
            self._tell()


def _tidy(context: RunContext) -> None:
    gc.collect()
    give_back(context.device)


def _words(plan: Plan) -> str:
    words = [_WORDS[plan.offload]] if plan.offload in _WORDS else []
    words += ["guidance in two passes"] if plan.sequential else []
    words += [f"decoding {plan.decode_chunk} at once"] if plan.decode_chunk else []
    words += ["decoding between steps"] if plan.alternate else []
    words += ["the second pass in tiles"] if plan.tiled else []
    words += ["fp8 weights"] if plan.fp8 else []
    return ", ".join(words)
