"""The best of several keyframes: each is scored, and the clip goes on from the one with the highest score."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from pokora_anime.catalogue.registry import JUDGE
from pokora_anime.nano import nano_extractors, probe
from pokora_anime.nano.world import vocabulary
from pokora_anime.networks.extraction import picture_judge
from pokora_anime.prompt import open_words, prompt_attributes, prompt_syntax
from pokora_anime.provenance.code_hash import code_hash
from pokora_anime.provenance.environment import environment
from pokora_anime.provenance.node import Node
from pokora_anime.provenance.run_folder import Arrays
from pokora_anime.provenance.stage_records import Keyframe, Prompt
from pokora_anime.schema.settings import VideoConfig
from pokora_anime.stages.cached_stage import cached
from pokora_anime.stages.run_context import RunContext
from pokora_anime.system.typed_tensors import from_array

Scores = npt.NDArray[np.float32]  # [candidates], 0..1


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """The keyframe that a clip goes on from, which of the candidates it is, and the scores of all."""

    keyframe: Keyframe
    index: int
    scores: Scores


def select(
    text: Prompt,
    candidates: Sequence[Keyframe],
    config: VideoConfig,
    context: RunContext,
    taken: int | None = None,
) -> Selected:
    """The candidate with the highest score (of equal ones the first), written to keyframe.png.

    `taken` is the one that a recorded run took: a replay scores anew, and another machine's last digits
    must not take another picture.
    """
    context.progress.stage("selection", total=len(candidates))

    def compute() -> Arrays:
        judge, words = context.models.picture_judge(), judged_text(config)
        with torch.inference_mode():
            scores = np.array([judge(one.image, words) for one in candidates], np.float32)
        best = candidates[int(scores.argmax()) if taken is None else taken]
        return {"latent": best.latent.numpy(), "image": best.image, "scores": scores}

    stage = cached(_node(text, candidates, config, context), compute, context)
    arrays, node = stage.arrays, stage.node
    for _ in candidates:
        context.progress.step("kept" if stage.kept else "")
    scores = np.asarray(arrays["scores"], np.float32)
    context.folder.write_image("keyframe.png", arrays["image"], node, "image")
    keyframe = Keyframe(latent=from_array(arrays["latent"]), image=arrays["image"], node=node)
    index = int(scores.argmax()) if taken is None else taken
    return Selected(keyframe=keyframe, index=index, scores=scores)


def judged_text(config: VideoConfig) -> str:
    """What the clip begins with in words: the prompt's first stop, and what the seed chose beside it."""
    first = prompt_syntax.stops(config.shot.prompt)[0][1]
    return ", ".join(words for words in (first, open_words.chosen(config)) if words)


def _node(text: Prompt, candidates: Sequence[Keyframe], config: VideoConfig, context: RunContext) -> Node:
    return Node.after(
        [text.node, *(one.node for one in candidates)],
        "selection",
        {"size": [config.base.width, config.base.height], "best_of": config.best_of},
        weights=context.models.weights_hash(JUDGE),
        code=code_hash(
            sys.modules[__name__],
            nano_extractors,
            open_words,
            picture_judge,
            probe,
            prompt_attributes,
            prompt_syntax,
            vocabulary,
        ),
        environment=environment(context),
    )
