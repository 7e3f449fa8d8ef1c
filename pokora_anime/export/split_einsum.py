"""Attention as the Neural Engine likes it: heads one by one, channels in the second place, no reshaping.

The arithmetic is that of softmax(Q K^T / sqrt(d)) V. Linear layers act as convolutions of 1x1 on tensors
[batch, channels, 1, tokens], and each head is a pair of einsums whose operands need no transposing in memory
(the idea is published in "Deploying Transformers on the Apple Neural Engine", Apple, 2022).

Shape suffixes: B batch, C channels, H W height and width, Q K query and key tokens, D channels of a head.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pokora_anime.system.typed_tensors import split

NAME = "pokora_split_einsum"  # that transformers knows it by


def per_head(query_BC1Q: Tensor, key_BC1K: Tensor, value_BC1K: Tensor, heads: int, scale: float) -> Tensor:
    """Attention of all heads, one after the other: [B, C, 1, Q]."""
    width = query_BC1Q.shape[1] // heads
    queries, values = split(query_BC1Q, width, dim=1), split(value_BC1K, width, dim=1)
    keys = split(key_BC1K.transpose(1, 3), width, dim=3)
    made = [_head(query * scale, key, value) for query, key, value in zip(queries, keys, values, strict=True)]
    return torch.cat(made, dim=1)


def _head(query_BD1Q: Tensor, key_BK1D: Tensor, value_BD1K: Tensor, bias_K1Q: Tensor | None = None) -> Tensor:
    scores = torch.einsum("bchq,bkhc->bkhq", query_BD1Q, key_BK1D)
    if bias_K1Q is not None:
        scores = scores + bias_K1Q
    return torch.einsum("bkhq,bchk->bchq", scores.softmax(dim=1), value_BD1K)


def _as_convolution(layer: nn.Linear, tensor_BC1T: Tensor) -> Tensor:
    return functional.conv2d(tensor_BC1T, layer.weight[:, :, None, None], layer.bias)


class SplitEinsumProcessor:
    """An attention processor of diffusers: what AttnProcessor2_0 computes, head by head.

    For the attention of UNets, motion layers and VAEs: no mask, and a group norm and a residual where the
    layer has them.
    """

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """As the layer's: [B, tokens, C] in and out, or [B, C, H, W] in a VAE."""
        if (
            attention_mask is not None
            or attn.spatial_norm is not None
            or (temb is not None and attn.spatial_norm)
        ):
            raise NotImplementedError("split_einsum has no attention mask and no spatial norm")
        residual, shape = hidden_states, hidden_states.shape
        if len(shape) == 4:
            hidden_states = hidden_states.flatten(2).transpose(1, 2)
        if attn.group_norm is not None:
            hidden_states = attn.group_norm(hidden_states.transpose(1, 2)).transpose(1, 2)
        seen = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        if encoder_hidden_states is not None and attn.norm_cross:
            seen = attn.norm_encoder_hidden_states(seen)
        own, others = (tokens.transpose(1, 2).unsqueeze(2) for tokens in (hidden_states, seen))
        query = _as_convolution(attn.to_q, own)
        key, value = _as_convolution(attn.to_k, others), _as_convolution(attn.to_v, others)
        found = per_head(query, key, value, attn.heads, attn.scale)
        found = _as_convolution(attn.to_out[0], found)
        made = found.squeeze(2).transpose(1, 2)
        if len(shape) == 4:
            made = made.transpose(1, 2).reshape(shape)
        if attn.residual_connection:
            made = made + residual
        return made / attn.rescale_output_factor


def of_text(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """Attention of a text encoder as transformers calls it; query, key and value [B, heads, tokens, D].

    Returns [B, tokens, heads, D].
    """
    scale = float(query.shape[-1] ** -0.5 if scaling is None else scaling)
    bias = (
        None
        if attention_mask is None
        else attention_mask[:, 0, :, : key.shape[2]].transpose(1, 2)[:, :, None]
    )
    if bias is None and getattr(module, "is_causal", False):
        raise NotImplementedError("split_einsum takes a causal mask as a tensor")
    made: list[Tensor] = []
    for head in range(query.shape[1]):
        one = (query[:, head] * scale).transpose(1, 2)[:, :, None]
        made.append(_head(one, key[:, head][:, :, None], value[:, head].transpose(1, 2)[:, :, None], bias))
    return torch.stack([head.squeeze(2).transpose(1, 2) for head in made], dim=2), None
