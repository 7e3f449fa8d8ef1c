"""Text to embeddings: chunks of 75 tokens, emphasis, the positive and negative prompt at equal length."""

from __future__ import annotations

import sys

import torch
from torch import Tensor

from pokora_anime.config.schema import RunConfig, ShotConfig
from pokora_anime.context import RunContext
from pokora_anime.errors import PromptError
from pokora_anime.models import lora_tags, text
from pokora_anime.models.text import CHUNK, TextStack
from pokora_anime.provenance.code import code_hash
from pokora_anime.provenance.environment import environment
from pokora_anime.provenance.hashing import text_hash
from pokora_anime.provenance.node import Node
from pokora_anime.records import Prompt
from pokora_anime.stages import prompt_syntax
from pokora_anime.stages.prompt_syntax import ParsedPrompt, parse_shot

MAX_CHUNKS = 4
Chunks = list[list[list[int]]]  # [tokenizer][chunk][token]


def encode(shot: ShotConfig, config: RunConfig, context: RunContext) -> Prompt:
    """The shot's prompt as embeddings, from the run folder if they are there.

    Raises PromptError PRM-1 (empty), PRM-2 (over-long), PRM-3 (not text), PRM-4 (bad tag or weight).
    """
    context.progress.stage("prompt")
    positive, negative = parse_shot(shot)
    stack = context.models.text_stack()
    tokens, weights = tokenize(positive, stack, "prompt")
    negative_tokens, negative_weights = tokenize(negative, stack, "negative prompt")
    length = max(len(tokens[0]), len(negative_tokens[0]))
    node = _node(positive, negative, [tokens, negative_tokens], config, context)
    stored = context.folder.load(node)
    if stored is None:
        embeds, pooled = _embed(stack, tokens, weights, length)
        negative_embeds, negative_pooled = _embed(stack, negative_tokens, negative_weights, length)
        if stack.zero_empty and not negative.text:
            negative_embeds, negative_pooled = _zeros(negative_embeds, negative_pooled)
        arrays = {"embeds": embeds, "negative_embeds": negative_embeds}
        if pooled is not None and negative_pooled is not None:
            arrays |= {"pooled": pooled, "negative_pooled": negative_pooled}
        node = context.folder.save(node, {name: array.cpu().numpy() for name, array in arrays.items()})
    else:
        arrays = {name: torch.from_numpy(array) for name, array in stored.items()}
        node = context.folder.recorded(node)
    return Prompt(
        text=positive.text,
        negative=negative.text,
        embeds=arrays["embeds"],
        negative_embeds=arrays["negative_embeds"],
        pooled=arrays.get("pooled"),
        negative_pooled=arrays.get("negative_pooled"),
        node=node,
    )


def tokenize(parsed: ParsedPrompt, stack: TextStack, what: str) -> tuple[Chunks, list[list[list[float]]]]:
    """Token ids and their weights, both [tokenizer][chunk][at most 75]; at least one chunk.

    Raises PromptError PRM-2 with the count when there are more than 4 chunks.
    """
    ids: Chunks = []
    weights: list[list[list[float]]] = []
    for which in range(len(stack.tokenizers)):
        pieces = [(stack.tokens(piece, which), weight) for piece, weight in parsed.pieces if piece.strip()]
        flat = [token for tokens, _ in pieces for token in tokens]
        scale = [weight for tokens, weight in pieces for _ in tokens]
        if len(flat) > MAX_CHUNKS * CHUNK:
            raise PromptError(
                "PRM-2",
                f"the {what} has {len(flat)} tokens",
                expected=f"at most {MAX_CHUNKS * CHUNK}",
                fix="shorten it: a few strong tags work better than many",
            )
        starts = range(0, max(len(flat), 1), CHUNK)
        ids.append([flat[start : start + CHUNK] for start in starts])
        weights.append([scale[start : start + CHUNK] for start in starts])
    return ids, weights


def emphasize(hidden: Tensor, weights: Tensor) -> Tensor:
    """Scale each token's embedding by its weight and keep the chunk's mean size.

    hidden [chunks, 77, channels], weights [chunks, 77]. The web UI keeps the signed mean, which may
    be near zero or change its sign; the mean of the absolute values cannot.
    """
    scaled = hidden * weights[:, :, None]
    size = hidden.abs().mean(dim=(1, 2), keepdim=True)
    return scaled * (size / scaled.abs().mean(dim=(1, 2), keepdim=True).clamp_min(1e-8))


def _embed(
    stack: TextStack, tokens: Chunks, weights: list[list[list[float]]], length: int
) -> tuple[Tensor, Tensor | None]:
    """Embeddings [length * 77, channels] and the pooled one; missing chunks are empty ones."""
    padded = [[*rows, *([[]] * (length - len(rows)))] for rows in tokens]
    hidden, pooled = stack.encode(padded)
    # One weight per token: both tokenizers of a base cut text alike.
    scale = torch.ones(hidden.shape[:2])
    for chunk, row in enumerate(weights[0]):
        scale[chunk, 1 : 1 + len(row)] = torch.tensor(row)
    if bool((scale != 1.0).any()):
        hidden = emphasize(hidden, scale.to(hidden))
    return hidden.flatten(0, 1), pooled


def _zeros(embeds: Tensor, pooled: Tensor | None) -> tuple[Tensor, Tensor | None]:
    return torch.zeros_like(embeds), None if pooled is None else torch.zeros_like(pooled)


def _node(
    positive: ParsedPrompt,
    negative: ParsedPrompt,
    tokens: list[Chunks],
    config: RunConfig,
    context: RunContext,
) -> Node:
    return Node(
        op="prompt",
        params={
            "text": config.shot.prompt,
            "prefix": config.shot.prefix,
            "negative": config.shot.negative,
            "pieces": [[list(piece) for piece in parsed.pieces] for parsed in (positive, negative)],
            "tokens": text_hash(tokens),
            "loras": dict(context.models.lora_weights),
        },
        weights=context.models.weights_hash("text"),
        code=code_hash(sys.modules[__name__], prompt_syntax, lora_tags, text),
        environment=environment(context),
    )
