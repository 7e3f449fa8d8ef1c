"""The change that a layer of a LoRA stands for, exactly, for every kind of layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pokora_anime.models.lora_table import MAGNITUDES, Layer


class Misfit(Exception):
    """A layer of a LoRA cannot belong to a module; says why."""


def change(layer: Layer, module: nn.Module) -> tuple[Tensor | None, Tensor | None]:
    """What a layer at weight 1 adds to a module's weight and bias, in fp32 on the weight's device.

    LoRA: alpha / rank * up @ down, with a Tucker core up @ core @ down (LoCon); LoHa: a product of two
    such products (arXiv 2108.06098); LoKr: a Kronecker product (arXiv 2309.14859); DoRA: what the
    magnitudes make of base and product together, less the base (arXiv 2402.09353); differences as they
    are. On the meta device only shapes are compared. Raises Misfit.
    """
    weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
    if not isinstance(weight, Tensor):
        raise Misfit("it has no weight")
    parts = {name: tensor.to(weight.device, torch.float32) for name, tensor in layer.tensors.items()}
    try:
        product = _product(layer, parts, weight)
    except (RuntimeError, IndexError, ValueError) as error:
        shapes = ", ".join(f"{part} {list(tensor.shape)}" for part, tensor in layer.tensors.items())
        raise Misfit(f"{shapes} for a weight of {list(weight.shape)}") from error
    if product is not None and not parts.keys().isdisjoint(MAGNITUDES):
        product = _decomposed(weight.float(), product, parts)
    shift = parts.get("diff_b", parts.get("b_norm"))
    if "up_bias" in parts:
        shift = layer.scale * parts["up_bias"]
    if shift is not None and (not isinstance(bias, Tensor) or shift.numel() != bias.numel()):
        has = f"one of {list(bias.shape)}" if isinstance(bias, Tensor) else "no bias"
        raise Misfit(f"a bias of {list(shift.shape)} for a layer with {has}")
    return product, shift.reshape(bias.shape) if shift is not None and isinstance(bias, Tensor) else None


def _product(layer: Layer, parts: dict[str, Tensor], weight: Tensor) -> Tensor | None:
    kind = layer.kind
    if kind == "LoRA":
        return layer.scale * _low_rank(parts, weight)
    if kind == "LoHa":
        first = _factor(parts.get("hada_t1"), parts["hada_w1_a"], parts["hada_w1_b"])
        second = _factor(parts.get("hada_t2"), parts["hada_w2_a"], parts["hada_w2_b"])
        if first.shape != second.shape:
            raise ValueError("two products of different shape")
        return layer.scale * _shaped(first * second, weight)
    if kind == "LoKr":
        return layer.scale * _kronecker(parts, weight)
    whole = parts.get("diff", parts.get("w_norm"))
    return _shaped(whole, weight) if whole is not None else None


def _low_rank(parts: dict[str, Tensor], weight: Tensor) -> Tensor:
    up, down, core = parts["up"], parts["down"], parts.get("mid")
    if any(size != 1 for size in up.shape[2:]):
        raise ValueError("an up half that is no 1x1 convolution")
    if core is None:
        if weight.dim() == 4 and down.dim() == 4 and down.shape[1:] != weight.shape[1:]:
            raise ValueError("another kernel")
        return _shaped(up.flatten(1) @ down.flatten(1), weight)
    if any(size != 1 for size in down.shape[2:]):
        raise ValueError("a down half that is no 1x1 convolution")
    return _shaped(torch.einsum("oa,abhw,bi->oihw", up.flatten(1), core, down.flatten(1)), weight)


def _factor(core: Tensor | None, a: Tensor, b: Tensor) -> Tensor:
    if core is None:
        return a @ b
    return torch.einsum("ijhw,jr,ip->prhw", core, b, a)


def _kronecker(parts: dict[str, Tensor], weight: Tensor) -> Tensor:
    left = parts["lokr_w1"] if "lokr_w1" in parts else parts["lokr_w1_a"] @ parts["lokr_w1_b"]
    right = parts.get("lokr_w2")
    if right is None:
        right = _factor(parts.get("lokr_t2"), parts["lokr_w2_a"], parts["lokr_w2_b"])
    if right.dim() == 4:
        left = left[:, :, None, None]
    return _shaped(torch.kron(left, right.contiguous()), weight)


def _shaped(found: Tensor, weight: Tensor) -> Tensor:
    """The change in the weight's own shape; ValueError if the outputs or the inputs are of another number."""
    if found.dim() == 0 or found.shape[0] != weight.shape[0] or found.numel() != weight.numel():
        raise ValueError("another shape")
    if found.dim() == weight.dim() and found.shape != weight.shape:
        raise ValueError("another shape")
    return found.reshape(weight.shape)


def _decomposed(weight: Tensor, product: Tensor, parts: dict[str, Tensor]) -> Tensor:
    """DoRA: every row (in some LyCORIS files, every column) of base + product gets a new length."""
    changed = weight + product
    magnitude = parts["magnitude"] if "magnitude" in parts else parts["dora_scale"]
    # peft's are of rows, (outputs) or (1, outputs, 1, 1); LyCORIS writes (outputs, 1) or (1, inputs).
    columns = "dora_scale" in parts and magnitude.dim() > 1 and magnitude.shape[0] == 1
    kept = 1 if columns else 0
    if magnitude.numel() != weight.shape[kept]:
        raise Misfit(f"a magnitude of {list(magnitude.shape)} for a weight of {list(weight.shape)}")
    others = [axis for axis in range(weight.dim()) if axis != kept]
    shape = [weight.shape[axis] if axis == kept else 1 for axis in range(weight.dim())]
    length = changed.pow(2).sum(dim=others, keepdim=True).sqrt()
    return changed * (magnitude.reshape(shape) / length.clamp_min(torch.finfo(torch.float32).tiny)) - weight
