"""A torch network's call at fixed shapes, made into a graph that OpenVINO runs.

torch.export traces the call with plain attention, LoRAs merged and the keyframe's part of reference attention
as inputs of the graph; OpenVINO's frontend translates it operation by operation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from pokora_anime.networks.repeat_text_per_frame import share_text
from pokora_anime.provenance.hashing import Json

HALVED = 500_000_000  # parameters from which on weights are written in 16 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a network: its tensors, and all else of it, which becomes part of the graph.

    `mode` is what reference attention does (off, read); `seen` is what it reads.
    """

    given: tuple[Tensor, ...]
    seen: tuple[Tensor, ...]
    fixed: tuple[object, ...]
    form: pytree.TreeSpec
    mode: str

    @classmethod
    def of(
        cls, positional: Sequence[object], named: Mapping[str, object], mode: str, seen: Sequence[Tensor]
    ) -> Self:
        """From the arguments as they are typed."""
        leaves, form = pytree.tree_flatten((tuple(positional), dict(named)))
        given = tuple(_plain(leaf) for leaf in leaves if isinstance(leaf, Tensor))
        fixed = tuple(None if isinstance(leaf, Tensor) else (leaf,) for leaf in leaves)
        return cls(given=given, seen=tuple(map(_plain, seen)), fixed=fixed, form=form, mode=mode)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The graph's inputs, in order."""
        return *self.given, *self.seen

    @property
    def signature(self) -> list[Json]:
        """Shapes and number formats, and what becomes part of the graph, as plain data."""
        shapes: list[Json] = [f"{str(one.dtype)[6:]}{[*one.shape]}" for one in self.tensors]
        return [self.mode, shapes, repr(self.fixed), str(self.form)]

    def arguments(self, given: Sequence[Tensor]) -> tuple[tuple[object, ...], dict[str, object]]:
        """Positional and named arguments with these tensors in the places of the call's own."""
        tensors = iter(given)
        leaves = [next(tensors) if one is None else cast("tuple[object]", one)[0] for one in self.fixed]
        return pytree.tree_unflatten(leaves, self.form)


def _plain(tensor: Tensor) -> Tensor:
    """Under autocast some numbers come in 16 bits; a graph takes them in 32."""
    return tensor.float() if tensor.is_floating_point() else tensor


class _Traced(nn.Module):
    """The call as a function of tensors alone."""

    def __init__(self, network: Any, call: Call, reference: Any) -> None:
        super().__init__()
        self.network, self._call, self._reference = network, call, reference

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        count = len(self._call.given)
        positional, named = self._call.arguments(tensors[:count])
        if self._call.mode != "off":
            return self._reference.traced(tensors[count:], lambda: self.network(*positional, **named))
        return tuple(pytree.tree_flatten(self.network(*positional, **named))[0])


def converted(network: Any, call: Call, reference: Any) -> Any:
    """The OpenVINO model of a call of `network`, with static shapes. Raises what torch.export raises."""
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder

    share_text(network, keep=False)  # what is kept between calls would be a number of the graph
    try:
        with torch.inference_mode(mode=False), torch.no_grad(), torch.autocast("cpu", enabled=False):
            examples = tuple(torch.zeros(one.shape, dtype=one.dtype) for one in call.tensors)
            program = torch.export.export(_Traced(network, call, reference), examples, strict=False)
            frontend: Any = cast(Any, FrontEndManager()).load_by_framework("pytorch")
            decoder: Any = cast(Any, TorchFXPythonDecoder).from_exported_program(program)
            model: Any = frontend.convert(frontend.load(decoder))
    finally:
        share_text(network, keep=True)
    model.reshape({index: [*one.shape] for index, one in enumerate(call.tensors)})
    return model


def write(model: Any, path: str, parameters: int) -> None:
    """Graph and weights of a model as OpenVINO reads them. Raises OSError."""
    import openvino

    try:
        openvino.save_model(model, path, compress_to_fp16=parameters >= HALVED)
    except RuntimeError as error:  # a full disk, among others
        raise OSError(str(error)) from error
