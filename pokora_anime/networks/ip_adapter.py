"""IP-Adapter (arXiv 2308.06721): a picture that the run itself drew, as tokens beside the text's.

The published layout: `image_proj.*` makes tokens of the image encoder's embedding, `ip_adapter.N.*` are the
keys and values of each cross-attention layer. diffusers puts the latter in place.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from diffusers.models.attention_processor import IPAdapterAttnProcessor2_0
from diffusers.models.embeddings import ImageProjection
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor

from pokora_anime.sandbox import network_arguments
from pokora_anime.system.typed_tensors import pretrained, stored

_PROJECTION, _ATTENTION = "image_proj.", "ip_adapter."
TOKENS = 4  # of a picture: what the adapter was trained with
# What cannot be read or does not fit: damaged, cut off, or an adapter of another layout or base.
UNFIT = (OSError, ValueError, KeyError, RuntimeError, SafetensorError)


def attach(unet: Any, file: Path, scale: float) -> None:
    """Give each cross-attention layer of a motion UNet its keys and values for a picture's tokens.

    The UNet is told the tokens behind the text's (stages/denoising/conditioning.py), so that it takes no
    argument more than before. Raises one of UNFIT for a file that is not all that, and nothing else.
    """
    tensors, _ = stored(file)
    projection, attention = _inside(tensors, _PROJECTION), _inside(tensors, _ATTENTION)
    _projection_of(projection)  # for what its shapes say
    layers = sum(_crosses(name) for name in unet.attn_processors)
    if len(attention) != 2 * layers:
        raise ValueError(f"keys and values of {len(attention) / 2:g} attention layers, not of {layers}")
    unet._load_ip_adapter_weights(
        [{"image_proj": projection, "ip_adapter": attention}], low_cpu_mem_usage=False
    )
    unet.encoder_hid_proj = None  # tokens are made once a clip, and not once a step
    for processor in unet.attn_processors.values():
        if isinstance(processor, IPAdapterAttnProcessor2_0):
            cast(Any, processor).scale = [scale]


class ImageTokens:
    """The image encoder and the adapter's projection: a picture uint8 [H, W, 3] to its tokens [4, D].

    It is cropped to a square and brought to the encoder's size by the encoder's own preprocessing.
    """

    def __init__(self, encoder: Any, projection: ImageProjection, device: torch.device) -> None:
        from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

        side = cast(int, encoder.config.image_size)
        self._encoder, self._projection, self._device = encoder, projection, device
        self._processor: Any = cast(Any, CLIPImageProcessorPil)(
            size={"shortest_edge": side}, crop_size={"height": side, "width": side}
        )

    @classmethod
    def load(cls, encoder: Path, adapter: Path, device: torch.device) -> ImageTokens:
        """From the encoder's folder and the adapter's file, in fp32. Raises one of UNFIT."""
        from transformers import CLIPVisionModelWithProjection

        tensors, _ = stored(adapter)
        projection = _projection_of(_inside(tensors, _PROJECTION)).to(device).eval()
        del tensors
        network: Any = pretrained(
            CLIPVisionModelWithProjection,
            encoder,
            use_safetensors=True,
            local_files_only=True,
            dtype=torch.float32,
        )
        wide, taken = cast(int, network.config.projection_dim), projection.image_embeds.in_features
        if wide != taken:
            raise ValueError(f"the encoder gives {wide} numbers, the adapter takes {taken}")
        return cls(network_arguments.only(network.to(device).eval()), projection, device)

    def __call__(self, picture: NDArray[np.uint8], /) -> tuple[Tensor, Tensor]:
        """Tokens of the picture and of none, each float32 [4, D] on the CPU.

        None is an embedding of zeros, as the adapter was trained to see it where the picture was dropped.
        """
        pixels = self._processor(images=picture, return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            embedding = self._encoder(pixels.to(self._device)).image_embeds.float()
            found = self._projection(torch.cat([embedding, torch.zeros_like(embedding)])).float().cpu()
        return found[0], found[1]


def _inside(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): one for name, one in tensors.items() if name.startswith(prefix)}


def _crosses(processor: str) -> bool:
    return processor.endswith("attn2.processor") and "motion_modules" not in processor


def _projection_of(tensors: dict[str, Tensor]) -> ImageProjection:
    """The projection that a global embedding is made into tokens with; ValueError for another's tensors."""
    if set(tensors) != {"proj.weight", "proj.bias", "norm.weight", "norm.bias"}:
        got = ", ".join(sorted(tensors)[:3]) or "none"
        raise ValueError(f"no projection of a global image embedding, whose layers are proj and norm: {got}")
    rows, taken = tensors["proj.weight"].shape
    made = ImageProjection(
        image_embed_dim=taken, cross_attention_dim=rows // TOKENS, num_image_text_embeds=TOKENS
    )
    made.load_state_dict({name.replace("proj", "image_embeds"): one for name, one in tensors.items()})
    return made
