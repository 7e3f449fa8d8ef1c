"""Reference attention: every frame's self-attention also sees the keys and values of one picture.

The picture goes through the same network at the same timestep; what its self-attention layers were
given is kept and appended to what those of the frames are given. Each of its keys counts `weight` times:
log(weight) is added to its logits.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from enum import Enum
from math import log
from typing import Protocol, cast

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor

from pokora_anime.provenance.code_hash import code_hash
from pokora_anime.system.typed_tensors import Attending

Part = tuple[int, int]  # first row of the batch that is run, and the one past its last


class _Mode(Enum):
    off = "off"
    write = "write"
    read = "read"


class _Referred(Protocol):
    reference: Reference


class Reference:
    """Reference attention in the spatial layers of a motion UNet; does nothing unless `used` is called.

    What is learnt is kept for each part of the batch (guidance may run its rows one after the other).
    Shapes: B rows, F frames, N tokens, C channels.
    """

    def __init__(self, unet: Attending, weight: float) -> None:
        self.mode, self.bias = _Mode.off, log(weight)
        self.part: Part = (0, 0)
        self._seen: dict[Part, float] = {}
        self._layers: list[_Processor] = []
        processors = dict(unet.attn_processors)
        for name in processors:
            if name.endswith("attn1.processor") and "motion_modules" not in name:
                self._layers.append(_Processor(self))
                processors[name] = self._layers[-1]
        unet.set_attn_processor(processors)
        cast(_Referred, unet).reference = self  # who runs the network elsewhere hands on what the layers see

    def forget(self) -> None:
        """The next picture is another one, though it may be seen at the same timestep."""
        self._seen.clear()
        for layer in self._layers:
            layer.pictures.clear()

    def learn(self, part: Part, timestep: float, picture: Callable[[], object]) -> None:
        """Keeps what the layers are given while `picture` runs the network on the picture alone.

        Does nothing where it is what they were given last for this part.
        """
        self.part = part
        if self._seen.get(part) == timestep:
            return
        self.mode = _Mode.write
        try:
            with _uncompiled():
                picture()
        finally:
            self.mode = _Mode.off
        self._seen[part] = timestep

    def used(self, frames: Callable[[], Tensor]) -> Tensor:
        """What `frames` returns when its layers see the picture too."""
        self.mode = _Mode.read
        try:
            return frames()
        finally:
            self.mode = _Mode.off

    def told(self) -> list[float | str]:
        """What of this becomes part of a converted network: its number, and how it attends."""
        return [self.bias, code_hash(sys.modules[__name__])[:32]]

    def seen(self) -> tuple[Tensor, ...]:
        """What the layers keep of the picture for this part of the batch, in their order."""
        return tuple(layer.pictures[self.part] for layer in self._layers)

    def traced(self, seen: Sequence[Tensor], frames: Callable[[], Sequence[Tensor]]) -> tuple[Tensor, ...]:
        """What `frames` returns when its layers see this, of which nothing is kept: what a tracer records."""
        before = [dict(layer.pictures) for layer in self._layers], self.mode
        self.mode = _Mode.read
        try:
            for layer, picture in zip(self._layers, seen, strict=True):
                layer.pictures[self.part] = picture
            return tuple(frames())
        finally:
            self.mode = before[1]
            for layer, pictures in zip(self._layers, before[0], strict=True):
                layer.pictures = pictures


def _uncompiled() -> AbstractContextManager[object]:
    """One picture has another shape than the frames, and costs too little to compile for it."""
    compiling = "torch._dynamo" in sys.modules
    return torch.compiler.set_stance("force_eager") if compiling else nullcontext()


class _Processor(AttnProcessor2_0):
    def __init__(self, reference: Reference) -> None:
        super().__init__()
        self._reference = reference
        self.pictures: dict[Part, Tensor] = {}

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        mode = self._reference.mode
        if mode is _Mode.write:
            self.pictures[self._reference.part] = hidden_states  # [B, N, C]
        elif mode is _Mode.read:
            picture = self.pictures[self._reference.part]
            shown = picture.repeat_interleave(len(hidden_states) // len(picture), dim=0)
            encoder_hidden_states = torch.cat([hidden_states, shown], dim=1)
            own, bias = torch.zeros_like(hidden_states[:, None, :, 0]), self._reference.bias
            attention_mask = torch.cat([own, torch.full_like(own, bias)], dim=2)  # [B, 1, 2 N]
        return super().__call__(  # pyright: ignore[reportUnknownMemberType]  # untyped in part
            attn, hidden_states, encoder_hidden_states, attention_mask, temb
        )
