"""Where a training stands, on the disk: parameters, optimiser, step, losses. A kill loses no whole save."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pokora_anime.errors import TrainingError
from pokora_anime.system.files.atomic_files import write_atomic, writing

FILE = "state.pt"
Trained = Sequence[tuple[str, nn.Parameter]]  # by name


@dataclass(slots=True)
class Standing:
    """Steps done, seconds spent, the loss of each step, (step, loss) of each look at held-out pictures.

    `best` are the parameters of the look with the least of these losses, where an early stop may need them;
    `kept` is that look's step once the training has ended early.
    """

    step: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list[float])
    held_out: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])
    stopped: str = ""
    best: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    kept: int = 0

    @property
    def best_step(self) -> int:
        """The first look with the least loss on held-out pictures, of those after a step; 0 for none."""
        looks = [(loss, step) for step, loss in self.held_out if step]
        return min(looks)[1] if looks else 0

    def worn_out(self, patience: int) -> bool:
        """Whether so many looks have passed since then; 0 for a patience without end."""
        since = sum(step > self.best_step for step, _ in self.held_out)
        return bool(patience and self.best_step) and since >= patience


def save(
    path: Path,
    key: str,
    standing: Standing,
    trained: Sequence[tuple[str, nn.Parameter]],
    optimiser: Optimizer,
) -> None:
    """Writes the state whole. Raises MachineError SYS-*."""
    state = {
        "key": key,
        "standing": asdict(standing),
        "parameters": {name: one.detach().cpu() for name, one in trained},
        "optimiser": optimiser.state_dict(),
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    data = buffer.getvalue()
    with writing(path.parent, len(data)):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, data)


def resume(
    path: Path, key: str, trained: Sequence[tuple[str, nn.Parameter]], optimiser: Optimizer
) -> Standing:
    """Puts everything back as it was; a new standing where there is none. Raises TrainingError TRN-OTHER."""
    if not path.exists():
        return Standing()
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if state["key"] != key:
        raise other(path.parent)
    kept: dict[str, Tensor] = state["parameters"]
    with torch.no_grad():
        for name, parameter in trained:
            parameter.copy_(kept[name])
    optimiser.load_state_dict(state["optimiser"])
    told = dict(state["standing"])
    told["held_out"] = [(int(step), float(loss)) for step, loss in told["held_out"]]
    return Standing(**told)


def other(work: Path) -> TrainingError:
    """A folder that holds the beginning of a training with other settings."""
    return TrainingError(
        "TRN-OTHER",
        f"{work} holds a training with other settings or another version of the data",
        expected="the settings that it was begun with",
        fix="--fresh to begin anew, or another --id",
    )
