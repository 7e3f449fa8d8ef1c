"""Text to embeddings: chunks of 75 tokens, emphasis, the positive and negative prompt at equal length."""

from __future__ import annotations

import sys
from functools import partial

import torch
from torch import Tensor

from pokora_anime.catalogue.lora import lora_tags
from pokora_anime.nano.world import vocabulary
from pokora_anime.networks import text_encoders
from pokora_anime.networks.text_encoders import TextStack
from pokora_anime.prompt import (
    open_words,
    prompt_attributes,
    prompt_choices,
    prompt_chunks,
    prompt_foreign,
    prompt_syntax,
)
from pokora_anime.prompt.prompt_chunks import chunked
from pokora_anime.prompt.prompt_syntax import ParsedPrompt, parse_travel
from pokora_anime.provenance.code_hash import code_hash
from pokora_anime.provenance.environment import environment
from pokora_anime.provenance.hashing import text_hash
from pokora_anime.provenance.node import Node
from pokora_anime.provenance.run_folder import Arrays
from pokora_anime.provenance.stage_records import Prompt, Stop
from pokora_anime.schema import brackets
from pokora_anime.schema.settings import Curve, RunConfig, ShotConfig, VideoConfig
from pokora_anime.stages.cached_stage import cached
from pokora_anime.stages.run_context import RunContext
from pokora_anime.system.typed_tensors import from_array

_READERS = (
    prompt_syntax,
    prompt_foreign,
    prompt_chunks,
    open_words,
    prompt_attributes,
    vocabulary,
    brackets,
    prompt_choices,
    lora_tags,
    text_encoders,
)
Chunks = list[list[list[int]]]  # [tokenizer][chunk][token]


def encode(shot: ShotConfig, config: RunConfig, context: RunContext) -> Prompt:
    """The shot's prompt as embeddings, from the run folder if they are there.

    Raises PromptError PRM-EMPTY (empty), PRM-LONG (over-long), PRM-CHARACTER (not text), PRM-SYNTAX (bad tag
    or weight), PRM-TRAVEL (bad stops).
    """
    context.progress.stage("prompt")
    chosen = open_words.chosen(config)
    positives, negative = parse_travel(shot, chosen)
    stack = context.models.text_stack()
    tokenized = [tokenize(positive, stack, "prompt") for _, positive in positives]
    tokenized.append(tokenize(negative, stack, "negative prompt"))
    length = max(len(tokens[0]) for tokens, _ in tokenized)
    parsed = [*(positive for _, positive in positives), negative]
    node = _node(parsed, [tokens for tokens, _ in tokenized], config, context)

    def embed() -> Arrays:
        embedded = [_embed(stack, tokens, weights, length) for tokens, weights in tokenized]
        if stack.zero_empty and not negative.text:
            embedded[-1] = _zeros(*embedded[-1])
        return {name: array.cpu().numpy() for name, array in _arrays(embedded).items()}

    stage = cached(node, embed, context)
    arrays = {name: from_array(array) for name, array in stage.arrays.items()}
    return Prompt(
        text=positives[0][1].text,
        negative=negative.text,
        embeds=arrays["embeds"],
        negative_embeds=arrays["negative_embeds"],
        pooled=arrays.get("pooled"),
        negative_pooled=arrays.get("negative_pooled"),
        travel=_travel([frame for frame, _ in positives], arrays, config),
        node=stage.node,
    )


def _arrays(embedded: list[tuple[Tensor, Tensor | None]]) -> dict[str, Tensor]:
    """The embeddings by the names under which a run keeps them; later stops have a number."""
    *positives, negative = embedded
    names = ["", *(f"_{index}" for index in range(1, len(positives)))]
    found: dict[str, Tensor] = {}
    for name, (embeds, pooled) in zip(names, positives, strict=True):
        found |= {f"embeds{name}": embeds} | ({} if pooled is None else {f"pooled{name}": pooled})
    embeds, pooled = negative
    return found | {"negative_embeds": embeds} | ({} if pooled is None else {"negative_pooled": pooled})


def _travel(frames: list[int], arrays: dict[str, Tensor], config: RunConfig) -> tuple[Stop, ...]:
    if len(frames) == 1:
        return ()
    names = ["", *(f"_{index}" for index in range(1, len(frames)))]
    turned = config.timeline.prompt if isinstance(config, VideoConfig) else []
    turns = {turn.frame: turn.curve for turn in turned}
    return tuple(
        Stop(
            frame=frame,
            embeds=arrays[f"embeds{name}"],
            pooled=arrays.get(f"pooled{name}"),
            curve=turns.get(frame, Curve.linear).value,
        )
        for frame, name in zip(frames, names, strict=True)
    )


def tokenize(parsed: ParsedPrompt, stack: TextStack, what: str) -> tuple[Chunks, list[list[list[float]]]]:
    """Token ids and their weights, both [tokenizer][chunk][at most 75]; at least one chunk.

    Raises PromptError PRM-LONG with the count when there are more than 4 chunks.
    """
    ids: Chunks = []
    weights: list[list[list[float]]] = []
    for which in range(len(stack.tokenizers)):
        chunks = chunked(parsed.pieces, partial(stack.placed, which=which), what)
        ids.append([[token.id for token in chunk] for chunk in chunks])
        weights.append([[token.weight for token in chunk] for chunk in chunks])
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


def _node(parsed: list[ParsedPrompt], tokens: list[Chunks], config: RunConfig, context: RunContext) -> Node:
    return Node(
        op="prompt",
        params={
            "text": config.shot.prompt,
            "prefix": config.shot.prefix,
            "negative": config.shot.negative,
            "pieces": [[list(piece) for piece in one.pieces] for one in parsed],
            "tokens": text_hash(tokens),
            "loras": dict(context.models.lora_weights),
            **open_words.recorded(config),
        },
        weights=context.models.weights_hash("text"),
        code=code_hash(sys.modules[__name__], *_READERS),
        environment=environment(context),
    )
