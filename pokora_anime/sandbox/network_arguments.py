"""Which arguments the networks take from us. What could carry an image, a latent or code is not among them.

diffusers' networks accept more than text needs: IP-Adapter images inside `added_cond_kwargs`, adapters in
`cross_attention_kwargs`, a picture to encode. `only` closes those doors on a loaded network, for every
caller, at the cost of one look at the names a call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar, cast

from pokora_anime.errors import MachineError

if TYPE_CHECKING:
    from torch import nn

N = TypeVar("N", bound="nn.Module")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What a call may hold: how many positional arguments, which names, which names inside a mapping."""

    positional: int
    names: frozenset[str]
    inside: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])


_SIZES = {"added_cond_kwargs": frozenset({"text_embeds", "time_ids"})}
_CONDITION = frozenset({"encoder_hidden_states", "added_cond_kwargs", "return_dict"})
_RESIDUALS = frozenset({"down_block_additional_residuals", "mid_block_additional_residual"})
_TEXT = Signature(positional=1, names=frozenset({"output_hidden_states"}))
_DECODE = Signature(positional=1, names=frozenset({"return_dict"}))
_CONTROL = frozenset({"controlnet_cond", "conditioning_scale"})

# By class; None: never called by us.
FORWARD: Mapping[str, Signature | None] = {
    **dict.fromkeys(
        ("UNet2DConditionModel", "UNetMotionModel"),
        Signature(positional=2, names=_CONDITION | _RESIDUALS, inside=_SIZES),
    ),
    "ControlNetModel": Signature(positional=2, names=_CONDITION | _CONTROL, inside=_SIZES),
    "ControlNetUnionModel": Signature(
        positional=2, names=_CONDITION | _CONTROL | {"control_type", "control_type_idx"}, inside=_SIZES
    ),
    "CLIPTextModel": _TEXT,
    "CLIPTextModelWithProjection": _TEXT,
    "CLIPVisionModelWithProjection": Signature(positional=1, names=frozenset()),  # a keyframe's pixels
    "AutoencoderKL": None,
    "AutoencoderTiny": None,
    "IFNet": Signature(positional=7, names=frozenset()),
    **dict.fromkeys(("RRDBNet", "SRVGGNetCompact"), Signature(positional=1, names=frozenset())),
}
METHODS: Mapping[str, Mapping[str, Signature | None]] = {
    "AutoencoderKL": {"decode": _DECODE, "encode": None},
    "AutoencoderTiny": {"decode": _DECODE, "encode": None},
}
# Safetensors from this disk, and no code that comes with a checkpoint.
LOADING = frozenset({"variant", "use_safetensors", "local_files_only", "dtype", "output_loading_info"})


def only(network: N) -> N:
    """The same network, which refuses arguments that are not listed for its class.

    A refused call raises MachineError SYS-GUARD-ARGUMENT, and so does a class that is not listed.
    """
    kind = type(network).__name__
    if kind not in FORWARD:
        raise _refused(kind, "the class itself", tuple(FORWARD))
    forward = FORWARD[kind]

    def judge_forward(_: object, positional: tuple[object, ...], named: dict[str, object]) -> None:
        judge(kind, forward, positional, named)

    network.register_forward_pre_hook(judge_forward, with_kwargs=True)
    for method, signature in METHODS.get(kind, {}).items():
        setattr(network, method, _judged(f"{kind}.{method}", signature, getattr(network, method)))
    return network


def judge(
    what: str, signature: Signature | None, positional: tuple[object, ...], named: Mapping[str, object]
) -> None:
    """Raise MachineError SYS-GUARD-ARGUMENT for a call that the signature does not allow.

    A name that is given None is given nothing.
    """
    if signature is None:
        raise _refused(what, "a call", ("none",))
    if len(positional) > signature.positional:
        raise _refused(what, f"{len(positional)} positional arguments", (f"{signature.positional}",))
    for name, value in named.items():
        if name not in signature.names and value is not None:
            raise _refused(what, name, tuple(sorted(signature.names)))
        allowed = signature.inside.get(name)
        if allowed is not None and isinstance(value, Mapping):
            for strange in cast(Mapping[str, object], value).keys() - allowed:
                raise _refused(what, f"{name}[{strange}]", tuple(sorted(allowed)))


def _judged(what: str, signature: Signature | None, call: Callable[..., object]) -> Callable[..., object]:
    def judged(*positional: object, **named: object) -> object:
        judge(what, signature, positional, named)
        return call(*positional, **named)

    return judged


def _refused(what: str, got: str, allowed: tuple[str, ...]) -> MachineError:
    return MachineError(
        "SYS-GUARD-ARGUMENT",
        f"{what} was given {got}",
        expected=", ".join(allowed),
        fix="reinstall pokora_anime: its own code never does this",
    )
