"""The loop: noise on latents, a prediction, a step. Every step's randomness is a function of seed and step.

Shapes: latents [B, channels, height, width], B the batch; of clips [B, channels, frames, height, width].
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from pokora_anime.devices.out_of_memory import is_out_of_memory
from pokora_anime.errors import TrainingError
from pokora_anime.nano.train.training_loop import Dice
from pokora_anime.workshop.training import lora_adapter, lora_state, noise_targets
from pokora_anime.workshop.training.latent_cache import Example, batch_of
from pokora_anime.workshop.training.lora_settings import LoraSettings
from pokora_anime.workshop.training.lora_state import Standing
from pokora_anime.workshop.training.training_base import TrainingBase
from pokora_anime.workshop.training.training_forecast import Way

WARMUP, DECAY = 0.05, 0.5  # shares of the steps over which the rate rises, and falls to zero
SAVE_SECONDS = 20.0
LOOKS = 4  # noises and timesteps at which each held-out picture is looked at
PRIOR_WEIGHT = 1.0

Given = tuple[Tensor, Tensor, Tensor, Tensor]  # clean latents, noise, timesteps, details


class _Checkpointed(Protocol):
    def enable_gradient_checkpointing(self) -> None: ...


class LoraLoop:
    """One training in a folder; `advance` makes a step, `save` keeps it."""

    def __init__(self, settings: LoraSettings, base: TrainingBase, work: Path) -> None:
        self.settings, self.base, self.work = settings, base, work
        self.unet = self.network()
        self.trained = lora_adapter.add_adapter(self.unet, settings)
        refuse_full_disk(work, sum(one.numel() for _, one in self.trained))
        self.text = base.learn_text(settings) if settings.text_rank else None
        groups = [{"params": [one for _, one in self.trained], "share": 1.0}]
        if self.text is not None:
            told = [one for _, one in self.text.trained]
            groups.append({"params": told, "share": settings.text_rate / settings.rate})
            self.trained = [*self.trained, *self.text.trained]
        self.parameters = [parameter for _, parameter in self.trained]
        self.optimiser = torch.optim.AdamW(
            groups, lr=settings.rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True
        )
        self.path = work / lora_state.FILE
        self.standing: Standing = lora_state.resume(self.path, settings.key, self.trained, self.optimiser)
        self.split, self.checkpointed = 1, False  # parts that a batch is computed in; what is kept of each

    def network(self) -> nn.Module:
        """What the layers are in."""
        return self.base.models.unet()

    def begin(self, way: Way) -> None:
        """Takes the way that fits the machine's memory."""
        self.split = way.parts
        if way.checkpointed:
            self._checkpoint()

    def save(self) -> None:
        """Keeps where the training stands."""
        lora_state.save(self.path, self.settings.key, self.standing, self.trained, self.optimiser)

    @property
    def ended(self) -> bool:
        """Whether no step is left to make."""
        standing = self.standing
        return standing.step >= self.settings.steps or standing.worn_out(self.settings.early_stop)

    @torch.no_grad()
    def settle(self) -> None:
        """Of a training that ends early, the parameters of its best look."""
        standing = self.standing
        if standing.step < self.settings.steps:
            standing.kept = standing.best_step
            for name, parameter in self.trained:
                parameter.copy_(standing.best[name])

    def rate(self) -> float:
        """The rate of the coming step."""
        step, total = self.standing.step, self.settings.steps
        rise = min(1.0, (step + 1) / max(1.0, WARMUP * total))
        return self.settings.rate * rise * min(1.0, (total - step) / max(1.0, DECAY * total))

    def advance(self, seen: Sequence[Example], prior: Sequence[Example]) -> None:
        """One step. Raises TrainingError TRN-NAN for a loss that is no number, of which nothing is kept."""
        started = time.monotonic()
        dice = Dice.of(self.settings.seed, "lora", self.standing.step)
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate() * group["share"]
        loss = self._gradients(seen, dice)
        if prior:
            loss += PRIOR_WEIGHT * self._gradients(
                prior, Dice.of(self.settings.seed, "prior", self.standing.step)
            )
        size = nn.utils.clip_grad_norm_(self.parameters, 1.0)
        if not (math.isfinite(loss) and bool(torch.isfinite(size))):
            raise not_a_number(self.standing.step + 1, loss)
        self.optimiser.step()  # pyright: ignore[reportUnknownMemberType]  # untyped
        self.optimiser.zero_grad(set_to_none=True)
        self.standing.step += 1
        self.standing.losses.append(loss)
        self.standing.seconds += time.monotonic() - started

    def _gradients(self, examples: Sequence[Example], dice: Dice) -> float:
        """The loss over a batch, its gradients added up; in smaller parts where memory runs out."""
        chosen = chosen_from(examples, self.settings.batch, dice.numpy)
        captions = ["" if dice.numpy.random() < self.settings.dropout else one.caption for one in chosen]
        given = self.noised(*batch_of(chosen, dice.numpy), dice)
        while True:
            try:
                return self._in_parts(chosen[0], captions, given)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or (self.split >= len(chosen) and self.checkpointed):
                    raise
            self.optimiser.zero_grad(set_to_none=True)
            self._take_less(len(chosen))

    def noised(self, clean: Tensor, details: Tensor, dice: Dice) -> Given:
        """A batch with the noise and the timesteps of a step."""
        noise = dice.normal(*clean.shape)
        return clean, noise, noise_targets.timesteps(len(clean), len(self.base.alphas), dice.torch), details

    def _take_less(self, batch: int) -> None:
        """A batch in more parts; where each is one picture, its activations are computed twice."""
        if self.split < batch:
            self.split *= 2
            print(f"memory ran out: each batch is computed in {self.split} parts from here on", flush=True)
            return
        self._checkpoint()
        print("memory ran out: gradient checkpointing from here on, half as slow again", flush=True)

    def _checkpoint(self) -> None:
        """The network keeps what enters its blocks and computes the rest again; the numbers stay the same."""
        self.checkpointed = True
        cast(_Checkpointed, self.unet).enable_gradient_checkpointing()

    def _in_parts(self, first: Example, captions: Sequence[str], given: Given) -> float:
        total, count, size = 0.0, len(captions), (first.bucket.width, first.bucket.height)
        for rows in np.array_split(np.arange(count), self.split):
            part = slice(int(rows[0]), int(rows[-1]) + 1)
            some = given[0][part], given[1][part], given[2][part], given[3][part]
            loss = self.errors(some, captions[part], size).sum() / count
            loss.backward()  # pyright: ignore[reportUnknownMemberType]  # untyped
            total += float(loss.detach())
        return total

    def errors(self, given: Given, captions: Sequence[str], size: tuple[int, int]) -> Tensor:
        """The weighted error [B] of a prediction for clean latents, noise and timesteps."""
        clean, noise, moments, details = (one.to(self.base.device) for one in given)
        kept = self.base.alphas[moments]
        noisy, target = noise_targets.noised(clean, noise, kept, self.base.prediction)
        told = self.base.told(captions, size)
        with self.base.autocast():
            found = self.unet(noisy.to(self.base.models.dtype), moments, **told.arguments())[0].float()
        weights = noise_targets.loss_weights(kept, self.base.prediction)
        return ((found - target).square() * details).mean((1, 2, 3)) * weights

    @torch.no_grad()
    def held_out_loss(self, examples: Sequence[Example]) -> float:
        """The loss over pictures that no step sees, always with the same noise."""
        found: list[float] = []
        for index, one in enumerate(examples):
            dice = Dice.of(self.settings.seed, "held-out", index)
            clean = torch.stack([one.latents[0]] * LOOKS)
            given = self.noised(clean, torch.stack([one.details[0]] * LOOKS), dice)
            size = (one.bucket.width, one.bucket.height)
            found.append(float(self.errors(given, [one.caption] * LOOKS, size).mean()))
        return float(np.mean(found)) if found else math.nan

    def look(self, held: Sequence[Example], show: Callable[[int], None]) -> None:
        """The held-out loss, a sample of pictures, and a save."""
        if held:
            loss = self.held_out_loss(held)
            if not math.isfinite(loss):
                raise not_a_number(self.standing.step, loss)
            self.standing.held_out.append((self.standing.step, loss))
            if self.settings.early_stop and self.standing.best_step == self.standing.step > 0:
                self.standing.best = {name: one.detach().cpu().clone() for name, one in self.trained}
        show(self.standing.step)
        self.save()


def chosen_from(examples: Sequence[Example], count: int, rng: np.random.Generator) -> list[Example]:
    """Examples of one bucket, none twice while there are others; each is as likely as every other."""
    first = examples[int(rng.integers(len(examples)))]
    same = [one for one in examples if one.bucket == first.bucket]
    order: list[int] = []
    while len(order) < count:
        order += [int(index) for index in rng.permutation(len(same))]
    return [same[index] for index in order[:count]]


def not_a_number(step: int, loss: float) -> TrainingError:
    """A loss that no training comes back from."""
    return TrainingError(
        "TRN-NAN",
        f"the loss of step {step} is {loss}; the last good state is kept",
        expected="a finite number",
        fix="--fresh with a lower --rate",
    )


def refuse_full_disk(work: Path, parameters: int) -> None:
    """Raise MachineError SYS-DISK where a training's state and samples would not fit."""
    from pokora_anime.system.files.atomic_files import disk_error
    from pokora_anime.system.files.user_folder import free_space

    need = parameters * 4 * 8 + 64 * 2**20  # parameters, the best, two moments: twice while one is written
    if free_space(work) < need:
        raise disk_error(work, need)
