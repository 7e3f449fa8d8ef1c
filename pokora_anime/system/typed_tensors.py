"""What torch does not type, with the types that it has: nothing is computed here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy.typing as npt
import torch
from torch import Tensor


def from_array(array: npt.NDArray[Any]) -> Tensor:
    """`torch.from_numpy`: a tensor that shares the array's memory."""
    return torch.from_numpy(array)  # pyright: ignore[reportUnknownMemberType]  # torch types no argument


def split(tensor: Tensor, size: int, dim: int = 0) -> tuple[Tensor, ...]:
    """`Tensor.split`: views of `size` each along `dim`, of which the last may be shorter."""
    return cast("tuple[Tensor, ...]", cast(Any, tensor).split(size, dim=dim))


def unflatten(tensor: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """`Tensor.unflatten`: one dimension as several."""
    return tensor.unflatten(dim, sizes)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # untyped
