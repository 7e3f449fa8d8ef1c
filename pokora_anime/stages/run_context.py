"""What a stage is given beside its record and its config: where to write, what to compute with."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from pokora_anime.devices.execution import Execution
from pokora_anime.devices.machine import Timeline
from pokora_anime.provenance.seed_noise import derived_seed

if TYPE_CHECKING:
    import torch

    from pokora_anime.networks.loader import Models
    from pokora_anime.provenance.run_folder import RunFolder


class Progress(Protocol):
    """The live display; stages report to it and never print."""

    def stage(self, name: str, total: int = 0, detail: str = "") -> None:
        """A stage begins; `total` is its number of steps (0: unknown)."""
        ...

    def step(self, detail: str = "") -> None:
        """One step of the current stage is done; raises Interrupted once Ctrl-C was pressed."""
        ...

    def note(self, message: str) -> None:
        """A line that stays visible and goes into the log."""
        ...


@dataclass(slots=True, kw_only=True)
class RunContext:
    """Everything that a stage may use."""

    folder: RunFolder
    models: Models
    progress: Progress
    device: torch.device
    dtype: torch.dtype
    threads: int
    seed: int
    timeline: Timeline = field(default_factory=Timeline)
    execution: Execution = field(default_factory=Execution)
    preview: Callable[[int, torch.Tensor], None] | None = None  # is shown a segment's start and latents

    def autocast(self) -> AbstractContextManager[object]:
        """On a CPU the weights stay fp32 and bf16 comes by autocast; elsewhere they have the run's dtype."""
        import torch

        if self.device.type == "cpu" and self.dtype == torch.bfloat16:
            return torch.autocast("cpu", dtype=torch.bfloat16)
        return nullcontext()

    def generator(self, *names: str | int) -> torch.Generator:
        """A CPU generator derived from the run's seed and the names of a stage and its part.

        CPU and CUDA runs start from the same noise because noise is always drawn on the CPU.
        """
        import torch

        return torch.Generator("cpu").manual_seed(derived_seed(self.seed, *names))
