"""The parts of a base as functions of tensors alone, at fixed shapes: what torch.export can trace."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from pokora_anime.export import split_einsum
from pokora_anime.export.export_job import Attention, ExportJob
from pokora_anime.networks.loader import Models
from pokora_anime.networks.text_encoders import framed
from pokora_anime.schema.settings import ControlKind
from pokora_anime.stages.picture.initial_noise import CHANNELS

TOKENS = 77
MASKED = -1e4  # added to a score that is not to count; 16 bits hold it
TIMESTEP = 499.0  # that a part is compared at


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """A part: its module, its inputs by name with numbers to compare at, and the names of its outputs."""

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]
    network: Any = field(repr=False)

    @property
    def given(self) -> tuple[Tensor, ...]:
        """The inputs in order."""
        return tuple(self.inputs.values())

    def computed(self) -> tuple[Tensor, ...]:
        """What torch makes of them."""
        with torch.inference_mode():
            return self.module(*self.given)


class _Unet(nn.Module):
    """A UNet of pictures or of frames; ControlNets' residuals, the middle one last, where `controls` are."""

    def __init__(self, network: Any, frames: int, controls: int, *, told_size: bool) -> None:
        super().__init__()
        self.network, self._frames, self._controls, self._told = network, frames, controls, told_size

    def forward(self, sample: Tensor, timestep: Tensor, text: Tensor, *more: Tensor) -> tuple[Tensor, ...]:
        """The prediction, as large as the sample."""
        added = dict(zip(("text_embeds", "time_ids"), more, strict=False)) if self._told else None
        residuals = more[2:] if self._told else more
        named: dict[str, object] = {}
        if self._controls:
            named["down_block_additional_residuals"] = tuple(residuals[:-1])
            named["mid_block_additional_residual"] = residuals[-1]
        if self._frames:
            text = text.repeat_interleave(self._frames, dim=0)
        return self.network(
            sample, timestep, encoder_hidden_states=text, added_cond_kwargs=added, return_dict=False, **named
        )[:1]


class _Control(nn.Module):
    """A ControlNet: the residuals for a map, the middle one last."""

    def __init__(self, network: Any, *, told_size: bool) -> None:
        super().__init__()
        self.network, self._told = network, told_size

    def forward(
        self, sample: Tensor, timestep: Tensor, text: Tensor, control_map: Tensor, *more: Tensor
    ) -> tuple[Tensor, ...]:
        """Residuals in the order in which the UNet takes them."""
        added = dict(zip(("text_embeds", "time_ids"), more, strict=True)) if self._told else None
        down, middle = self.network(
            sample,
            timestep,
            encoder_hidden_states=text,
            controlnet_cond=control_map,
            conditioning_scale=1.0,
            added_cond_kwargs=added,
            return_dict=False,
        )
        return *down, middle


class _Decoder(nn.Module):
    """Latents as the UNet knows them to a picture in -1..1."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        self._scale = float(network.config["scaling_factor"])
        self._shift = float(getattr(network.config, "shift_factor", None) or 0.0)

    def forward(self, latent: Tensor) -> tuple[Tensor, ...]:
        """The picture, eight times as large."""
        return self.network.decode(latent / self._scale + self._shift, return_dict=False)[:1]


class _Text(nn.Module):
    """A text encoder as the base reads it: hidden states, and the pooled embedding of the one that has it."""

    def __init__(self, network: Any, *, alone: bool) -> None:
        super().__init__()
        self.network, self._alone = network, alone
        # Made here, because the libraries make it by operations that no converter knows. Its numbers are
        # ordinary ones: infinity less infinity is none.
        self._mask = torch.full((1, 1, TOKENS, TOKENS), MASKED).triu(1)

    def forward(self, ids: Tensor) -> tuple[Tensor, ...]:
        """SD2's normed last states, else the penultimate ones (arXiv 2307.01952)."""
        forward = type(self.network).forward  # past the guard of our own calls, which give no mask
        found = forward(self.network, ids, attention_mask=self._mask, output_hidden_states=True)
        if self._alone:
            return (found.last_hidden_state,)
        pooled = getattr(found, "text_embeds", None)
        hidden = found.hidden_states[-2]
        return (hidden,) if pooled is None else (hidden, pooled)


@dataclass(slots=True)
class PartSource:
    """Makes the traced parts of a job from its networks, one at a time."""

    job: ExportJob
    models: Models

    @contextmanager
    def opened(self, name: str) -> Generator[Traced, None, None]:
        """A part with the job's attention; its network is dropped at the end."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            made = self._makers()[name.partition("_")[0] if name.startswith("controlnet") else name](name)
        with torch.no_grad(), attending(made.network, self.job.attention):
            yield made
        self.models.free({"motion_unet": "motion", "vae_decoder": "vae"}.get(name, name))
        if name.startswith("text_encoder"):
            self.models.free("text")

    def _makers(self) -> dict[str, Callable[[str], Traced]]:
        return {
            "text_encoder": self._text,
            "text_encoder_2": self._text,
            "unet": self._unet,
            "motion_unet": self._unet,
            "vae_decoder": self._decoder,
            "controlnet": self._control,
        }

    def _latent(self, *frames: int) -> Tensor:
        return torch.randn(1, CHANNELS, *frames, *self.models.latent_size)

    def _condition(self, network: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Text as every network of a base takes it, and what SDXL's are told besides."""
        config = network.config
        text = {"text": torch.randn(1, TOKENS, _width(config.cross_attention_dim))}
        if config.addition_embed_type != "text_time":
            return text, {}
        base = self.job.config.base
        pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        size = float(base.height), float(base.width)
        return text, {
            "text_embeds": torch.randn(1, pooled),
            "time_ids": torch.tensor([[*size, 0.0, 0.0, *size]]),
        }

    def _unet(self, name: str) -> Traced:
        moving = name == "motion_unet"
        network: Any = self.models.motion_unet() if moving else self.models.unet()
        frames = self.job.config.motion.frames if moving else 0
        text, told = self._condition(network)
        residuals = self._residuals(frames or 1)
        sample = self._latent(frames) if moving else self._latent()
        inputs = {"sample": sample, "timestep": torch.tensor([TIMESTEP]), **text, **told, **residuals}
        module = _Unet(network, frames, len(residuals), told_size=bool(told))
        return Traced(name=name, module=module, inputs=inputs, outputs=("prediction",), network=network)

    def _residuals(self, frames: int) -> dict[str, Tensor]:
        """Inputs for the job's ControlNets, by name; none where it has none."""
        kinds = [name for name in self.job.parts if name.startswith("controlnet_")]
        if not kinds:
            return {}
        traced = self._control(kinds[0])
        with torch.no_grad():
            made = traced.module(*traced.given)
        shapes = zip(traced.outputs, made, strict=True)
        return {name: torch.randn(frames, *one.shape[1:]) * 0.1 for name, one in shapes}

    def _control(self, name: str) -> Traced:
        kind = ControlKind(name.removeprefix("controlnet_"))
        network: Any = self.models.controlnet(kind)
        text, told = self._condition(network)
        base = self.job.config.base
        control_map = {"control_map": torch.rand(1, 3, base.height, base.width)}
        inputs = {
            "sample": self._latent(),
            "timestep": torch.tensor([TIMESTEP]),
            **text,
            **control_map,
            **told,
        }
        blocks = len(network.controlnet_down_blocks)
        outputs = (*(f"control_{index}" for index in range(blocks)), "control_middle")
        module = _Control(network, told_size=bool(told))
        return Traced(name=name, module=module, inputs=inputs, outputs=outputs, network=network)

    def _decoder(self, name: str) -> Traced:
        network: Any = self.models.vae()
        inputs = {"latent": self._latent() * float(network.config["scaling_factor"])}
        return Traced(
            name=name, module=_Decoder(network), inputs=inputs, outputs=("picture",), network=network
        )

    def _text(self, name: str) -> Traced:
        stack = self.models.text_stack()
        index = 1 if name.endswith("_2") else 0
        tokenizer, network = stack.tokenizers[index], cast(Any, stack.encoders[index])
        ids = framed(stack.tokens(self.job.config.shot.prompt, index)[: TOKENS - 2], tokenizer)
        alone = len(stack.tokenizers) == 1
        outputs = ("hidden", "pooled") if index else ("hidden",)
        return Traced(
            name=name,
            module=_Text(network, alone=alone),
            inputs={"ids": torch.tensor([ids], dtype=torch.int32)},
            outputs=outputs,
            network=network,
        )


def _width(dimension: int | tuple[int, ...]) -> int:
    return dimension if isinstance(dimension, int) else dimension[0]


@contextmanager
def attending(network: Any, how: Attention) -> Generator[None, None, None]:
    """The network with this form of attention."""
    split = how is Attention.split_einsum
    if hasattr(network, "set_attn_processor"):
        before = dict(network.attn_processors)
        network.set_attn_processor(split_einsum.SplitEinsumProcessor() if split else AttnProcessor2_0())
        try:
            yield
        finally:
            network.set_attn_processor(before)
        return
    ALL_ATTENTION_FUNCTIONS.register(split_einsum.NAME, split_einsum.of_text)
    config, spoken = network.config, network.config._attn_implementation
    config._attn_implementation = split_einsum.NAME if split else "eager"
    try:
        yield
    finally:
        config._attn_implementation = spoken
