"""The keyframe's image embedding: an IP-Adapter's tokens of the picture that a clip begins with."""

from __future__ import annotations

import sys

from pokora_anime.provenance.code_hash import code_hash
from pokora_anime.provenance.environment import environment
from pokora_anime.provenance.node import Node
from pokora_anime.provenance.run_folder import Arrays
from pokora_anime.provenance.stage_records import ImageEmbedding, Keyframe
from pokora_anime.schema.settings import VideoConfig
from pokora_anime.stages.cached_stage import cached
from pokora_anime.stages.picture.sound_numbers import require_finite
from pokora_anime.stages.run_context import RunContext
from pokora_anime.system.typed_tensors import from_array

ROLES = ("image_encoder", "ip_adapter")


def of(keyframe: Keyframe, config: VideoConfig, context: RunContext) -> ImageEmbedding:
    """The tokens of a keyframe, computed in fp32 and stored under a node of their own.

    There is no other picture that this stage could be given: its parent is the keyframe's node. Raises
    WeightsError WGT-DAMAGED for an encoder or an adapter that cannot be loaded.
    """
    context.progress.stage("image embedding", total=1)
    weights: dict[str, str] = {}
    for role in ROLES:
        weights |= context.models.weights_hash(role)
    node = Node.after(
        [keyframe.node],
        "image_embedding",
        {"size": [config.base.width, config.base.height], "scale": config.keyframe.identity_scale},
        weights=weights,
        code=code_hash(sys.modules[__name__]),
        environment=environment(context),
    )
    stage = cached(node, lambda: _computed(keyframe, context), context)
    context.progress.step("image embedding")
    tokens, negative = (from_array(stage.arrays[name]) for name in ("tokens", "negative_tokens"))
    return ImageEmbedding(tokens=tokens, negative_tokens=negative, node=stage.node)


def _computed(keyframe: Keyframe, context: RunContext) -> Arrays:
    tokens, negative = context.models.image_tokens()(keyframe.image)
    context.models.free("image_encoder")  # 2.4 GiB that nothing else needs
    found = {"tokens": tokens, "negative_tokens": negative}
    return {name: require_finite(one, "image embedding").numpy() for name, one in found.items()}
