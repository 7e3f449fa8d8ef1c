"""One resumable training loop for every member."""

from __future__ import annotations

import json
import math
import os
import platform
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pokora_anime.errors import MachineError
from pokora_anime.nano.recipe import Training
from pokora_anime.nano.train import training_workers
from pokora_anime.nano.train.muon import Muon, is_matrix
from pokora_anime.system.files.atomic_files import disk_error, writing

SAVE_SECONDS = 60.0
REPORT_SECONDS = 15.0
CURVE_POINTS = 200
RECORD = "training.json"


@dataclass(frozen=True, slots=True)
class Dice:
    """The randomness of one step: a function of the seed, the member, the step, the worker's rank, and how
    many trainings went before, so that going on shows other items and other noise than they did."""

    numpy: np.random.Generator
    torch: torch.Generator

    @classmethod
    def of(cls, seed: int, member: str, step: int, rank: int = 0, before: int = 0) -> Dice:
        more = (rank, before) if before else (rank,) if rank else ()
        numpy = np.random.default_rng((seed, zlib.crc32(member.encode()), step, *more))
        generator = torch.Generator()  # on the CPU, so that every device draws the same numbers
        generator.manual_seed(int(numpy.integers(2**62)))
        return cls(numpy, generator)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.torch)


@dataclass(slots=True)
class Place:
    """Where and how a training runs."""

    work: Path
    device: str = "cpu"
    seed: int = 0
    previews: bool = True

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.split(":")[0], dtype=torch.bfloat16)

    @property
    def family(self) -> Path:
        return self.work / "family"


@dataclass(slots=True)
class Progress:
    """What a training has done so far."""

    step: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    before: list[dict[str, object]] = field(default_factory=list)  # earlier trainings of these weights


LossOf = Callable[[Dice], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What is shown on the way: `show` is told the step, every `every` steps and at the end."""

    show: Callable[[int], None]
    every: int = 500

    def due(self, step: int, steps: int) -> bool:
        """Whether it is shown after this step of so many."""
        return step % self.every == 0 or step == steps


def train(
    member: str,
    training: Training,
    parameters: Sequence[tuple[str, nn.Parameter]],
    loss_of: LossOf,
    place: Place,
    preview: Preview | None = None,
    before: Sequence[dict[str, object]] = (),
) -> Progress:
    """Minimises `loss_of` over the parameters in place; resumes from the work folder.

    `before` is what `begin` returned, for the record. Afterwards the parameters hold the EMA weights
    if the training asks for them. Raises ValueError for a state of another architecture and
    MachineError where the loss is no number any more or the state cannot be saved.
    """
    loop = _Loop(member, training, parameters, place)
    loop.progress.before = list(before)
    loop.resume()
    started = saved = reported = time.monotonic()
    while loop.progress.step < training.steps:
        loop.advance(loss_of)
        now = time.monotonic()
        loop.progress.seconds += now - started
        started = now
        step = loop.progress.step
        if training_workers.rank() > 0:
            continue
        if now - reported > REPORT_SECONDS or step == training.steps:
            loop.report()
            reported = now
        if now - saved > SAVE_SECONDS or step == training.steps:
            loop.save()
            saved = now
        if place.previews and preview is not None and preview.due(step, training.steps):
            with loop.averaged():
                preview.show(step)
            started = time.monotonic()
    loop.keep_average()
    if training_workers.rank() > 0:
        raise training_workers.OnlyHelped
    return loop.progress


def begin(model: nn.Module, place: Place, name: str, record: str = RECORD) -> list[dict[str, object]]:
    """Loads the weights of `name` in the family folder, if it has any, to go on from them.

    Returns their earlier trainings, oldest first; none where training starts from nothing. Raises
    ValueError for weights of another architecture.
    """
    folder = place.family / name
    state = {
        key: tensor.float()
        for file in sorted(folder.glob("*.safetensors"))
        for key, tensor in load_file(file).items()
    }
    if not state:
        return []
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise other_architecture(name) from error
    return went_before(folder / record, name)


def other_architecture(name: str) -> ValueError:
    return ValueError(f"the weights of {name} have another architecture; choose another --work or --start")


class _Loop:
    def __init__(
        self, member: str, training: Training, parameters: Sequence[tuple[str, nn.Parameter]], place: Place
    ) -> None:
        self.member, self.training, self.place = member, training, place
        self.names = [name for name, _ in parameters]
        self.parameters = [parameter for _, parameter in parameters]
        self.optimizers = make_optimizers(self.parameters, training)
        self.average = [p.detach().clone() for p in self.parameters] if training.ema else []
        self.progress = Progress()
        self.path = place.work / "state" / f"{member}.pt"

    def _named(self) -> zip[tuple[str, nn.Parameter]]:
        return zip(self.names, self.parameters, strict=True)

    def rate(self) -> float:
        step, total = self.progress.step, self.training.steps
        warm = min(1.0, (step + 1) / max(1, self.training.warmup))
        fall = max(1.0, self.training.decay * total)
        return self.training.rate * warm * min(1.0, (total - step) / fall)

    def advance(self, loss_of: LossOf) -> None:
        progress = self.progress
        dice = Dice.of(
            self.place.seed, self.member, progress.step, training_workers.rank(), len(progress.before)
        )
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.rate()
        with self.place.autocast():
            loss = loss_of(dice)
        loss.backward()
        training_workers.average_gradients(self.parameters)
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.progress.step += 1
        self.progress.losses.append(float(loss.detach()))
        if not math.isfinite(self.progress.losses[-1]):
            raise MachineError(
                "SYS-LOSS",
                f"{self.member}: the loss of step {self.progress.step} is {self.progress.losses[-1]}",
                expected="a finite number",
                fix="run it again: it goes on from the last saved state; lower the rate if it comes back",
            )
        if self.average:
            # A young average follows closely, or it would remember the random start.
            keep = min(self.training.ema, self.progress.step / (self.progress.step + 10))
            weights = [p.detach() for p in self.parameters]
            torch._foreach_lerp_(self.average, weights, 1 - keep)  # pyright: ignore[reportPrivateUsage]  # one launch

    def save(self) -> None:
        state = {
            "progress": asdict(self.progress),
            "parameters": {name: p.detach() for name, p in self._named()},
            "average": self.average,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }
        part = self.path.with_suffix(".part")
        with writing(self.path.parent):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                torch.save(state, part)
            except RuntimeError as error:  # torch's writer says so of every failed write
                raise disk_error(self.path.parent, 0, "the training's state could not be written") from error
            os.replace(part, self.path)

    def resume(self) -> None:
        if not self.path.exists():
            return
        state = torch.load(self.path, map_location=self.place.device, weights_only=True)
        self.progress = Progress(**state["progress"])
        stored = state["parameters"]
        if any(name not in stored or stored[name].shape != p.shape for name, p in self._named()):
            raise other_architecture(self.member)
        with torch.no_grad():
            for name, parameter in self._named():
                parameter.copy_(stored[name])
        self.average = state["average"]
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        print(f"{self.member}: resumed at step {self.progress.step}", flush=True)

    def report(self) -> None:
        p, total = self.progress, self.training.steps
        speed = p.step / max(p.seconds, 1e-9)
        loss = sum(p.losses[-50:]) / len(p.losses[-50:])
        left = (total - p.step) / speed
        print(
            f"{self.member}: step {p.step}/{total}  loss {loss:.4f}  {speed:.2f} steps/s"
            f"  {left / 60:.1f} min left",
            flush=True,
        )

    def swap(self) -> None:
        for parameter, average in zip(self.parameters, self.average, strict=True):
            parameter.data, average.data = average.data, parameter.data

    def averaged(self) -> _Averaged:
        return _Averaged(self)

    def keep_average(self) -> None:
        if self.average:
            self.swap()


def make_optimizers(parameters: Sequence[nn.Parameter], training: Training) -> list[torch.optim.Optimizer]:
    """AdamW, or Muon for the matrices and AdamW for the rest."""
    matrices = [p for p in parameters if training.muon and is_matrix(p)]
    rest = [p for p in parameters if not (training.muon and is_matrix(p))]
    adamw = torch.optim.AdamW(
        rest, lr=training.rate, betas=(0.9, 0.99), weight_decay=training.weight_decay, fused=True
    )
    return [adamw, Muon(matrices, training.rate, training.weight_decay)] if matrices else [adamw]


class _Averaged:
    """Inside, the model has its EMA weights."""

    def __init__(self, loop: _Loop) -> None:
        self.loop = loop

    def __enter__(self) -> None:
        if self.loop.average:
            self.loop.swap()

    def __exit__(self, *_: object) -> None:
        if self.loop.average:
            self.loop.swap()


def code_hash() -> str:
    """sha256 over the sources of the drawn world and of the training."""
    root = Path(__file__).parent.parent
    digest = sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def write_record(
    member: str,
    training: Training,
    progress: Progress,
    place: Place,
    scores: dict[str, float],
    folder: str | None = None,
    name: str = RECORD,
) -> None:
    """Writes the training record beside the member's weights in the work folder."""
    stride = max(1, len(progress.losses) // CURVE_POINTS)
    curve = [
        [start + stride, round(float(np.mean(progress.losses[start : start + stride])), 6)]
        for start in range(0, len(progress.losses) - stride + 1, stride)
    ]
    threads = f"{training_workers.count()} x {torch.get_num_threads()} threads"
    target = place.family / (folder or member)
    record = {
        "member": member,
        "code_sha256": code_hash(),
        "seed": place.seed,
        "training": {**asdict(training), "batch": training.batch * training_workers.count()},
        "seconds": round(progress.seconds, 1),
        "machine": f"{platform.machine()}, {place.device}, {threads}",
        "torch": torch.__version__,
        "scores": {name: round(value, 4) for name, value in scores.items()},
        "before": progress.before,
        "loss_curve": curve,
    }
    target.mkdir(parents=True, exist_ok=True)
    (target / name).write_text(json.dumps(record, indent=1) + "\n")


def went_before(path: Path, name: str) -> list[dict[str, object]]:
    """The earlier trainings that a record tells of, oldest first, without their curves; says so."""
    print(f"{name}: goes on from weights trained before", flush=True)
    if not path.exists():
        return []
    last = json.loads(path.read_text())
    kept = ("code_sha256", "training", "seconds", "machine", "scores")
    return [*last.get("before", []), {name: last[name] for name in kept if name in last}]
