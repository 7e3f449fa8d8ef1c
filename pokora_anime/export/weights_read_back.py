"""Every weight of a Core ML package read back and compared with torch's.

A Core ML program cannot be computed off macOS; its weights can be read anywhere. Each of torch's tensors is
looked for by name, or by value where the converter made another tensor's operand of it, and may lie as far
off as its number format or its quantiser allows, and no farther.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from pokora_anime.export.part_files import Compared
from pokora_anime.export.traced_parts import Traced

HALF = 2.0**-11  # relative error of rounding to 16 bits
LEAST = 2.0**-24  # half of the smallest 16-bit number
Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Stored:
    """A weight of a package: its numbers, and how far each may lie from what was rounded to it.

    `palette` holds the only numbers that it is made of, where it is: then the nearest one is the right one.
    """

    values: Array
    step: Array | None = None
    palette: Array | None = None

    def farthest(self, wanted: Array) -> float:
        """The largest difference as a share of what is allowed: 1 is the bound."""
        values = self.values.reshape(wanted.shape)
        if not (np.isfinite(values).all() and np.isfinite(wanted).all()):
            return float("nan")
        allowed = np.abs(wanted) * HALF + LEAST
        if self.step is not None:  # the scale itself is a rounded number
            levels = np.abs(wanted) / np.maximum(self.step, LEAST)
            allowed = allowed + self.step * (0.5 + levels * 2 * HALF)
        if self.palette is not None:
            allowed = 2 * allowed + _to_nearest(wanted, self.palette)
        return float((np.abs(values - wanted) / allowed).max(initial=0.0))


def _to_nearest(wanted: Array, palette: Array) -> Array:
    entries = np.sort(palette.reshape(-1))
    right = np.clip(np.searchsorted(entries, wanted), 1, len(entries) - 1)
    return np.minimum(np.abs(wanted - entries[right]), np.abs(wanted - entries[right - 1]))


def compare(traced: Traced, used: Set[str], package: Path) -> Compared:
    """The weight that lies farthest off, in shares of its bound; infinite where one is not found at all.

    `used` are the names of the weights that the part computes with.
    """
    stored, largest = read(package), 0.0
    for name, wanted in _weights(traced, used):
        mine = next((stored[one] for one in _names(name) if one in stored), None)
        same = [] if mine is None or mine.values.size != wanted.size else [mine]
        if not same:  # another operand's name, or that of an equal one, which is stored once
            same = [one for one in stored.values() if one.values.size == wanted.size]
        found = min((one.farthest(wanted) for one in same), default=float("inf"))
        if not found <= 1.0 and _does_nothing(wanted):
            continue
        largest = max(largest, found) if found == found else float("nan")
    return Compared(what="weights, in shares of what rounding allows", largest=largest, allowed=1.0)


def _does_nothing(wanted: Array) -> bool:
    """Whether a norm or a bias is all ones, or zeros in 16 bits: the converter leaves those out."""
    return wanted.ndim == 1 and bool((np.abs(wanted) <= LEAST).all() or (wanted == 1.0).all())


def _weights(traced: Traced, used: Set[str]) -> Iterator[tuple[str, Array]]:
    """The weights that the part computes with, by name."""
    for name, one in traced.network.named_parameters():
        if name in used:
            yield name, one.detach().float().numpy()
    for name, one in traced.network.named_buffers():
        if name.endswith(".pos_embed.pe"):  # of which as many rows are used as there are frames
            yield name, one[:, : traced.inputs["sample"].shape[2]].float().numpy()


def _names(name: str) -> Iterator[str]:
    plain = f"p_network_{name}".replace(".", "_")
    for suffix in ("_to_fp16", "_to_fp32", ""):
        for form in ("_quantized", "_palettized", ""):
            yield f"{plain}{suffix}{form}"


def read(package: Path) -> dict[str, Stored]:
    """The constants of a package's program that are more than a number, by name."""
    import coremltools as ct  # pyright: ignore[reportMissingImports]
    from coremltools.converters.mil.frontend.milproto.load import load  # pyright: ignore[reportMissingImports]

    model: Any = ct.models.MLModel(str(package), skip_model_load=True)
    spec: Any = model.get_spec()
    program: Any = load(spec, spec.specificationVersion, model.weights_dir)
    operations = cast("list[Any]", program.functions["main"].operations)
    found: dict[str, Stored] = {}
    for operation in operations:
        stored = _stored(operation)
        if stored is not None:
            found[operation.outputs[0].name] = stored
    return found


def _stored(operation: Any) -> Stored | None:
    kind, inputs = str(operation.op_type), cast("Mapping[str, Any]", operation.inputs)
    if kind == "const":
        value = operation.outputs[0].val
        numbers = isinstance(value, np.ndarray) and value.dtype.kind == "f"
        return Stored(np.asarray(value, np.float32)) if numbers else None
    if kind == "constexpr_affine_dequantize":
        values = np.asarray(operation.materialized_val_inference(), np.float32)
        scale, axis = np.asarray(inputs["scale"].val, np.float32), int(inputs["axis"].val)
        shape = [1] * values.ndim
        shape[axis] = scale.size
        return Stored(values, step=np.abs(scale).reshape(shape))
    if kind == "constexpr_lut_to_dense":
        values = np.asarray(operation.materialized_val_inference(), np.float32)
        return Stored(values, palette=np.asarray(inputs["lut"].val, np.float32))
    return None
