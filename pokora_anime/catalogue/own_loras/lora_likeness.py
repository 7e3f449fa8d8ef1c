"""How two LoRAs differ: layers, ranks, the size of what they change, and whether they change the same way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pokora_anime.catalogue.lora.lora_table import Layer, read_table
from pokora_anime.errors import WeightsError
from pokora_anime.provenance.hashing import Json

PLAIN = "LoRA"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One file: tensors, layers, kinds, ranks, and the Frobenius norm of all changes at weight 1."""

    tensors: int
    layers: int
    kinds: tuple[str, ...]
    ranks: tuple[int, ...]
    norm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """Two files. `cosine` is that of both changes as one vector, over the layers that both have (None where
    there is none that can be compared); `layers` by name, and `unread` those of other kinds than LoRA."""

    first: Told
    second: Told
    common: int
    cosine: float | None
    layers: Mapping[str, float]
    unread: int

    def to_json(self) -> dict[str, Json]:
        """As `pokora models compare --json` prints it."""
        layers: dict[str, Json] = dict(self.layers)
        return {
            "tensors": [self.first.tensors, self.second.tensors],
            "layers": [self.first.layers, self.second.layers],
            "kinds": [[*self.first.kinds], [*self.second.kinds]],
            "ranks": [[*self.first.ranks], [*self.second.ranks]],
            "norm": [self.first.norm, self.second.norm],
            "common": self.common,
            "cosine": self.cosine,
            "cosines": layers,
            "unread": self.unread,
        }

    def lines(self, most: int) -> list[str]:
        """A table, and the `most` layers that are least alike."""
        one, two = self.first, self.second
        rows = [
            ("tensors", str(one.tensors), str(two.tensors)),
            ("layers", str(one.layers), str(two.layers)),
            ("kind", "+".join(one.kinds), "+".join(two.kinds)),
            ("rank", _span(one.ranks), _span(two.ranks)),
            ("norm at weight 1", f"{one.norm:.4g}", f"{two.norm:.4g}"),
        ]
        lines = [f"{name:24} {a:>20} {b:>20}" for name, a, b in rows]
        alike = "nothing to compare" if self.cosine is None else f"cosine {self.cosine:.4f}"
        lines.append(f"{alike} over {self.common} common layers")
        if self.unread:
            lines.append(f"{self.unread} layers of other kinds than LoRA are not compared")
        if self.cosine is not None and self.cosine < 1 - 1e-6:
            least = sorted(self.layers.items(), key=lambda pair: pair[1])[:most]
            lines += [f"  {cosine:+.3f} {name}" for name, cosine in least]
        return lines


def _span(ranks: Sequence[int]) -> str:
    return "-" if not ranks else f"{ranks[0]}" if len(ranks) == 1 else f"{ranks[0]} to {ranks[-1]}"


def compare(first: tuple[Path, str], second: tuple[Path, str]) -> Likeness:
    """Two files with their names. Raises WeightsError WGT-DAMAGED, WGT-FIT: two bases too."""
    one, two = ({(r.named.network, r.named.place): r for r in read_table(*file)} for file in (first, second))
    common = [key for key in one if key in two]
    for network, place in common:
        shapes = [_shape(table[network, place]) for table in (one, two)]
        if None not in shapes and shapes[0] != shapes[1]:
            raise WeightsError(
                "WGT-FIT",
                f"{place} changes {shapes[0]} weights in {first[1]}, {shapes[1]} in {second[1]}",
                expected="two LoRAs of one base",
                fix="compare LoRAs that were trained for the same base",
            )
    plain = [key for key in common if one[key].kind == PLAIN == two[key].kind and _shape(one[key])]
    products = {key: _products(one[key], two[key]) for key in plain}
    inner, squares = (
        sum(p[0] for p in products.values()),
        [sum(p[i] for p in products.values()) for i in (1, 2)],
    )
    length = (squares[0] * squares[1]) ** 0.5
    return Likeness(
        first=_told(list(one.values())),
        second=_told(list(two.values())),
        common=len(common),
        cosine=inner / length if length > 0 else None,
        layers={
            one[key].named.layer: p[0] / (p[1] * p[2]) ** 0.5
            for key, p in products.items()
            if p[1] * p[2] > 0
        },
        unread=len(common) - len(plain),
    )


def _told(layers: Sequence[Layer]) -> Told:
    ranks = sorted({layer.rank for layer in layers if layer.rank})
    square = sum(_products(one, one)[0] for one in layers if one.kind == PLAIN and _shape(one))
    return Told(
        tensors=sum(len(layer.tensors) + (layer.alpha is not None) for layer in layers),
        layers=len(layers),
        kinds=tuple(sorted({layer.kind for layer in layers})),
        ranks=tuple(ranks),
        norm=square**0.5,
    )


def _shape(layer: Layer) -> tuple[int, ...] | None:
    """Of the weight that a plain product changes: outputs and inputs; None for another kind."""
    if layer.kind != PLAIN or "mid" in layer.tensors:
        return None
    return layer.tensors["up"].shape[0], layer.tensors["down"][0].numel()


def _products(first: Layer, second: Layer) -> tuple[float, float, float]:
    """Inner product and both squared norms of two changes up @ down, from the small matrices alone.

    <U D, V E> = trace((U^T V) (E D^T)): nothing of the weight's own size is ever made.
    """
    (up, down), (other_up, other_down) = _halves(first), _halves(second)
    return (
        _inner(up, down, other_up, other_down),
        _inner(up, down, up, down),
        _inner(other_up, other_down, other_up, other_down),
    )


def _inner(up: Tensor, down: Tensor, other_up: Tensor, other_down: Tensor) -> float:
    return float(((up.T @ other_up) * (down @ other_down.T)).sum())


def _halves(layer: Layer) -> tuple[Tensor, Tensor]:
    """up [outputs, rank], scaled, and down [rank, inputs], in float64."""
    up, down = (layer.tensors[half].to(torch.float64) for half in ("up", "down"))
    return up.flatten(1) * layer.scale, down.flatten(1)
