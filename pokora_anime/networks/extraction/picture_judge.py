"""How much of a prompt a picture shows, read by a network that only ever scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray

from pokora_anime.catalogue.registry import Row
from pokora_anime.errors import WeightsError
from pokora_anime.nano.probe import AttributeProbe
from pokora_anime.nano.world.vocabulary import ATTRIBUTES
from pokora_anime.prompt.prompt_attributes import asked_attributes


class PictureJudge(Protocol):
    """A picture uint8 [H, W, 3] and a prompt to a score in 0..1; more is better."""

    def __call__(self, picture: NDArray[np.uint8], prompt: str, /) -> float: ...


class ProbeJudge:
    """nano's attribute probe: the mean probability of what the prompt names and a still can show.

    Of a prompt that names nothing the probe knows, how sure it is of what it sees.
    """

    def __init__(self, probe: AttributeProbe) -> None:
        self._probe = probe

    def __call__(self, picture: NDArray[np.uint8], prompt: str, /) -> float:
        shares = {name: values[0] for name, values in self._probe.judge(picture[None]).shares.items()}
        asked = {name: value for name, value in asked_attributes(prompt).items() if name in shares}
        if asked.get("expression") == "closed eyes":
            asked.pop("eye_color", None)
        shown = [shares[name][ATTRIBUTES[name].index(value)] for name, value in asked.items()]
        return float(np.mean(shown or [values.max() for values in shares.values()]))


class ClipJudge:
    """CLIP's cosine of prompt and picture (CLIPScore, arXiv 2104.08718), from -1..1 to 0..1."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        from transformers import CLIPModel, CLIPProcessor

        untyped, processor = cast(Any, CLIPModel), cast(Any, CLIPProcessor)
        network: Any = untyped.from_pretrained(folder, use_safetensors=True, local_files_only=True)
        self._network: Any = network.to(device).eval()
        self._processor: Any = processor.from_pretrained(folder, local_files_only=True)
        self._device = device

    def __call__(self, picture: NDArray[np.uint8], prompt: str, /) -> float:
        from PIL import Image

        words = self._processor(
            text=[prompt], images=Image.fromarray(picture), return_tensors="pt", truncation=True
        )
        with torch.inference_mode():
            seen = self._network(**words.to(self._device))
        cosine = float(seen.image_embeds[0].float() @ seen.text_embeds[0].float())
        return (1 + cosine) / 2


def load(row: Row, folder: Path, device: torch.device) -> PictureJudge:
    """The probe for nano, else CLIP; WeightsError WGT-DAMAGED if it cannot be loaded."""
    try:
        if row.packaged:
            return ProbeJudge(AttributeProbe.from_pretrained(folder).to(device))
        return ClipJudge(folder, device)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise WeightsError("WGT-DAMAGED", f"{row.id} cannot be loaded: {str(error)[:160]}") from error
