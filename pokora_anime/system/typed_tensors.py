"""What torch does not type, with the types that it has: nothing is computed here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch
from safetensors import safe_open
from torch import Tensor

if TYPE_CHECKING:
    from diffusers.models.attention_processor import AttentionProcessor

T = TypeVar("T")
# A network that answers with tensors: diffusers types neither its arguments nor its answer.
Network = Callable[..., tuple[Tensor, ...]]


def from_array(array: npt.NDArray[np.generic]) -> Tensor:
    """`torch.from_numpy`: a tensor that shares the array's memory."""
    return torch.from_numpy(array)  # pyright: ignore[reportUnknownMemberType]  # torch types no argument


def split(tensor: Tensor, size: int, dim: int = 0) -> tuple[Tensor, ...]:
    """`Tensor.split`: views of `size` each along `dim`, of which the last may be shorter."""
    return cast("tuple[Tensor, ...]", cast(Any, tensor).split(size, dim=dim))


def unflatten(tensor: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """`Tensor.unflatten`: one dimension as several."""
    return tensor.unflatten(dim, sizes)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # untyped


def norm(tensor: Tensor) -> Tensor:
    """`Tensor.norm`: the root of the sum of squares."""
    return cast(Tensor, cast(Any, tensor).norm())


def solve(left: Tensor, right: Tensor) -> Tensor:
    """`torch.linalg.solve`: X where left X = right."""
    return cast(Tensor, cast(Any, torch.linalg).solve(left, right))


def stored(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file and its metadata. Raises OSError and SafetensorError."""
    with cast(Any, safe_open)(file, framework="pt") as opened:
        return {key: opened.get_tensor(key) for key in opened.keys()}, dict(opened.metadata() or {})  # noqa: SIM118


def pretrained(kind: type[T], folder: Path, **named: object) -> T:
    """`from_pretrained` of a class of diffusers or transformers. Raises OSError and ValueError."""
    return cast(T, cast(Any, kind).from_pretrained(folder, **named))


class Attending(Protocol):
    """A network of diffusers whose attention processors can be exchanged."""

    @property
    def attn_processors(self) -> dict[str, AttentionProcessor]: ...
    def set_attn_processor(self, processor: dict[str, AttentionProcessor]) -> None: ...


class Vae(Protocol):
    """A VAE of diffusers, as far as frames are decoded with it."""

    device: torch.device
    dtype: torch.dtype
    config: Mapping[str, float]

    def decode(self, latents: Tensor, *, return_dict: bool) -> tuple[Tensor, ...]: ...


class Card(Protocol):
    """What CUDA's driver says of a card; later versions say less."""

    name: str
    major: int
    minor: int
    total_memory: int
    multi_processor_count: int


def card(device: torch.device) -> Card:
    """`torch.cuda.get_device_properties`."""
    return cast(Card, cast(Any, torch.cuda).get_device_properties(device))
