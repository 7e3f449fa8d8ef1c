"""The change that a layer of a LoRA stands for, exactly, for every kind of layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pokora_anime.catalogue.lora.lora_names import SCALE
from pokora_anime.catalogue.lora.lora_table import MAGNITUDES, Layer
from pokora_anime.system.typed_tensors import norm, solve


class Misfit(Exception):
    """A layer of a LoRA cannot belong to a module; says why."""


def change(layer: Layer, module: nn.Module) -> tuple[Tensor | None, Tensor | None]:
    """What a layer at weight 1 adds to a module's weight and bias, in fp32 on the weight's device.

    LoRA: alpha / rank * up @ down, with a Tucker core up @ core @ down (LoCon); LoHa: a product of two
    such products (arXiv 2108.06098); LoKr: a Kronecker product (arXiv 2309.14859); DoRA: what the
    magnitudes make of base and product together, less the base (arXiv 2402.09353); differences as they
    are; GLoRA: weight @ a1 @ a2 + b1 @ b2 (arXiv 2306.07967); OFT, BOFT: rows turned in blocks (arXiv
    2306.07280, 2311.06243); (IA)^3: longer rows or columns (arXiv 2205.05638). On the meta device only
    shapes are compared. Raises Misfit.
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
    if shift is None and "ia3_l" in parts and isinstance(bias, Tensor) and parts["ia3_l"].shape[0] > 1:
        shift = bias.float() * (parts["ia3_l"].flatten() - 1)  # peft makes the whole output longer
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
    if kind == "GLoRA":
        return layer.scale * _shaped(_generalized(parts, weight), weight)
    if kind in ("OFT", "BOFT"):
        return _rotated(parts, weight, layer.alpha or 0.0)
    if kind == "(IA)^3":  # asked of the stored tensor: parts may be on the meta device
        return _lengthened(weight, parts[SCALE], int(bool(layer.tensors["on_input"].any())))
    if kind == "(IA)^3 of peft":
        if weight.dim() != 2:
            raise ValueError("a convolution, of which peft's file does not tell the side")
        return _lengthened(weight, parts["ia3_l"] - 1, int(parts["ia3_l"].shape[0] == 1))
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


def _generalized(parts: dict[str, Tensor], weight: Tensor) -> Tensor:
    """GLoRA's two products, in the layout of LyCORIS or of its older versions, where 1 and 2 are swapped."""
    first, second = ("1", "2") if parts["b1"].shape[0] == weight.shape[0] else ("2", "1")
    inner = parts[f"a{first}"].flatten(1) @ parts[f"a{second}"].flatten(1)
    halves = {"up": parts[f"b{first}"], "down": parts[f"b{second}"]}
    if "bm" in parts:
        halves["mid"] = parts["bm"]
    return torch.einsum("oi...,ij->oj...", weight.float(), inner) + _low_rank(halves, weight)


def _rotated(parts: dict[str, Tensor], weight: Tensor, constraint: float) -> Tensor:
    """The rows turned block by block by the Cayley transform of each, less the weight itself.

    `constraint` (the file's alpha) bounds the turn per output; 0 does not. BOFT turns in stages, each over
    rows that lie twice as far apart as those of the one before.
    """
    blocks, rows = parts["oft_blocks"], weight.shape[0]
    skew = blocks - blocks.transpose(-1, -2)
    if constraint > 0:
        length = norm(skew)
        skew = skew * (constraint * rows / (length + 1e-8)).clamp(max=1)
    one = torch.eye(blocks.shape[-1], device=blocks.device)
    turns = solve(one - skew, one + skew)
    *_, count, size, _ = turns.shape
    if count * size != rows or (turns.dim() == 4 and size % 2):
        raise ValueError("blocks of other rows")
    turned = weight.float().flatten(1)
    if turns.dim() == 3:
        turned = torch.einsum("knm,kni->kmi", turns, turned.reshape(count, size, -1)).reshape(rows, -1)
    else:
        for stage, turn in enumerate(turns):
            near = 2**stage * size // 2
            apart = turned.reshape(-1, 2, near, turned.shape[1]).transpose(1, 2).reshape(count, size, -1)
            apart = (turn @ apart).reshape(-1, near, 2, turned.shape[1])
            turned = apart.transpose(1, 2).reshape(rows, -1)
    if "rescale" in parts:
        turned = turned * parts["rescale"].reshape(rows, 1)
    return turned.reshape(weight.shape) - weight.float()


def _lengthened(weight: Tensor, by: Tensor, axis: int) -> Tensor:
    """What is added to each row (axis 0) or column (1) that becomes `1 + by` times as long."""
    shape = [weight.shape[one] if one == axis else 1 for one in range(weight.dim())]
    return weight.float() * by.reshape(shape)


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
