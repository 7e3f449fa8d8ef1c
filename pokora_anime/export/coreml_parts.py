"""Parts as Core ML packages: converted through torch.export, their weights rounded, and read back."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D
from torch import Tensor, nn

from pokora_anime.export import weights_read_back
from pokora_anime.export.onnx_parts import quiet, tensor_told
from pokora_anime.export.part_files import Made
from pokora_anime.export.traced_parts import Traced

Array = npt.NDArray[np.generic]
WHOLE = 2048  # numbers up to which a weight keeps its 16 bits: biases and norms
# Between a timestep and its sine: in 16 bits a timestep of 999 is off by a quarter, and its sine is another.
_TO_SINE = frozenset({"mul", "cast", "expand_dims", "concat", "reshape", "slice_by_index", "add"})


def write(traced: Traced, folder: Path, texts: Mapping[str, str], bits: int) -> Made:
    """Write a part as NAME.mlpackage with weights of `bits` bits, and read every weight back.

    Raises WeightsError WGT-EXPORT where a weight is not torch's within the rounding's bound.
    """
    started = time.monotonic()
    file = f"{traced.name}.mlpackage"
    with quiet():
        model, used = converted(traced)
        model = rounded(model, bits)
        model.user_defined_metadata.update({**texts, "pokora.bits": str(bits)})
        model.short_description = f"{texts['pokora.part']} of {texts['pokora.base']}"
        model.license = texts["pokora.licences"]
        model.author = texts["pokora.weights"]
        model.version = texts["pokora.version"]
        model.save(str(folder / file))
        del model
        compared = weights_read_back.compare(traced, used, folder / file)
    compared.require(file)
    outputs = zip(traced.outputs, traced.computed(), strict=True)
    return Made(
        name=traced.name,
        file=file,
        inputs={name: tensor_told(one.numpy()) for name, one in traced.inputs.items()},
        outputs={name: tensor_told(one.numpy()) for name, one in outputs},
        compared=compared,
        seconds=time.monotonic() - started,
        parameters=sum(one.numel() for name, one in traced.network.named_parameters() if name in used),
    )


def converted(traced: Traced) -> tuple[Any, frozenset[str]]:
    """The part as an ML program in 16 bits, for iOS 17 and macOS 14 on; its timesteps' sines in 32.

    And the names of the weights that it computes with: a text encoder's last layer may go unused.
    """
    import coremltools as ct  # pyright: ignore[reportMissingImports]

    with flat_norms(traced.network):
        program = torch.export.export(traced.module, traced.given, strict=False).run_decompositions({})
    used = _used(program)
    kinds = {torch.int32: np.int32}
    model: Any = ct.convert(
        program,
        inputs=[
            ct.TensorType(name=name, shape=tuple(one.shape), dtype=kinds.get(one.dtype, np.float32))
            for name, one in traced.inputs.items()
        ],
        outputs=[ct.TensorType(name=name, dtype=np.float32) for name in traced.outputs],
        convert_to="mlprogram",
        minimum_deployment_target=ct.target.iOS17,
        compute_precision=ct.transform.FP16ComputePrecision(op_selector=lambda op: not _sine(op)),
        skip_model_load=True,
    )
    return model, used


def _used(program: Any) -> frozenset[str]:
    """Names of the network's tensors that the outputs depend on.

    Drops what they do not depend on, and operations that only give a tensor another name: the converter
    knows none of those.
    """
    for node in list(program.graph.nodes):
        if node.op == "call_function" and node.target is torch.ops.aten.alias.default:
            node.replace_all_uses_with(node.args[0])
            program.graph.erase_node(node)
        elif node.target is torch.ops.aten._assert_tensor_metadata.default:
            program.graph.erase_node(node)  # a remark on a number format, which would keep a layer alive
    program.graph.eliminate_dead_code()
    signature = program.graph_signature
    names: dict[str, str] = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    read = [node.name for node in program.graph.nodes if node.op == "placeholder" and node.users]
    return frozenset(names[one].removeprefix("network.") for one in read if one in names)


class _FlatNorm(nn.GroupNorm):
    """A group norm of frames: the same numbers, without a tensor of six dimensions, which Core ML lacks."""

    def forward(self, input: Tensor) -> Tensor:
        """As `GroupNorm`, on [batch, channels, all else]."""
        return super().forward(input.flatten(2)).reshape(input.shape)


@contextmanager
def flat_norms(network: nn.Module) -> Generator[None, None, None]:
    """The network with norms of frames that Core ML can compute."""
    transformers = [one for one in network.modules() if isinstance(one, AnimateDiffTransformer3D)]
    norms = [cast(nn.Module, one.norm) for one in transformers]
    for norm in norms:
        norm.__class__ = _FlatNorm
    try:
        yield
    finally:
        for norm in norms:
            norm.__class__ = nn.GroupNorm


def _sine(op: Any, far: int = 8) -> bool:
    """Whether an operation is a sine or a cosine, or computes what goes into one."""
    if op.op_type in ("sin", "cos"):
        return True
    if far == 0 or op.op_type not in _TO_SINE:
        return False
    return any(_sine(child, far - 1) for output in op.outputs for child in output.child_ops)


def rounded(model: Any, bits: int) -> Any:
    """The model with weights of 16 bits as they are, of 8 linear by channel, of 6 from a palette."""
    import coremltools.optimize.coreml as cto  # pyright: ignore[reportMissingImports]

    if bits == 8:
        linear: Any = cto.OpLinearQuantizerConfig(mode="linear_symmetric", weight_threshold=WHOLE)
        return cto.linear_quantize_weights(model, cto.OptimizationConfig(global_config=linear))
    if bits == 6:
        palette: Any = cto.OpPalettizerConfig(mode="custom", lut_function=palette_of, weight_threshold=WHOLE)
        return cto.palettize_weights(model, cto.OptimizationConfig(global_config=palette))
    return model


def palette_of(weights: Array, bits: int = 6, turns: int = 24) -> tuple[Array, Array]:
    """The numbers that a tensor is made of (2**bits, in 16 bits), and for each weight the nearest's index.

    Lloyd's algorithm in one dimension on sorted weights, from their quantiles on: without chance.
    """
    ordered = np.sort(weights.reshape(-1).astype(np.float64))
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    entries = np.quantile(ordered, (np.arange(2**bits) + 0.5) / 2**bits)
    entries[0], entries[-1] = ordered[0], ordered[-1]  # the largest weights are few, and matter
    for _ in range(turns):
        edges = np.searchsorted(ordered, (entries[1:] + entries[:-1]) / 2)
        first, last = np.concatenate([[0], edges]), np.concatenate([edges, [len(ordered)]])
        many = last - first
        entries = np.where(many > 0, (sums[last] - sums[first]) / np.maximum(many, 1), entries)
    palette = np.sort(entries.astype(np.float16)).astype(np.float32)
    indices = np.searchsorted((palette[1:] + palette[:-1]) / 2, weights.reshape(-1).astype(np.float32))
    return palette.astype(weights.dtype), indices.astype(np.uint8)


def computed_here(traced: Traced, package: Path) -> float:
    """How far Core ML's numbers lie from torch's, as a share of the largest; on macOS alone."""
    import coremltools as ct  # pyright: ignore[reportMissingImports]

    model: Any = ct.models.MLModel(str(package))
    found: dict[str, Array] = model.predict({name: one.numpy() for name, one in traced.inputs.items()})
    pairs = [(found[name], one.numpy()) for name, one in zip(traced.outputs, traced.computed(), strict=True)]
    return max(float(np.abs(mine - wanted).max() / np.abs(wanted).max()) for mine, wanted in pairs)
