"""The text encoders of a base while they are trained too: peft's layers in them, and captions read with
gradients.

Shapes: text [B, 77, channels], pooled [B, channels], B captions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

import torch
from peft import LoraConfig as PeftLora
from peft.utils import get_peft_model_state_dict  # pyright: ignore[reportUnknownVariableType]  # untyped
from torch import Tensor, nn

from pokora_anime.networks.text_encoders import TextStack, framed
from pokora_anime.prompt.prompt_chunks import CHUNK
from pokora_anime.workshop.training.lora_settings import LoraSettings

LAYERS = ("q_proj", "k_proj", "v_proj", "out_proj")
_ROOT = "text_model."  # of names in files; newer versions of transformers leave it out of the network's


class _Adaptable(Protocol):
    """A network of transformers that peft's layers can be put into."""

    def add_adapter(self, adapter_config: PeftLora) -> None: ...


class TextLayers:
    """The layers of one training in a base's encoders, which it keeps loaded."""

    def __init__(self, stack: TextStack, settings: LoraSettings) -> None:
        self._stack, self.rank = stack, settings.text_rank
        self.encoders = [cast(nn.Module, encoder) for encoder in stack.encoders]
        self.trained: list[tuple[str, nn.Parameter]] = []
        torch.manual_seed(settings.seed)  # pyright: ignore[reportUnknownMemberType]  # untyped
        for number, encoder in enumerate(self.encoders, 1):
            layers = PeftLora(r=self.rank, lora_alpha=self.rank, target_modules=list(LAYERS))
            cast(_Adaptable, encoder).add_adapter(layers)
            mine = [
                (f"text_{number}.{name}", one) for name, one in encoder.named_parameters() if "lora_" in name
            ]
            for _, parameter in mine:
                parameter.data = parameter.data.float()
                parameter.requires_grad_(True)
            self.trained += mine

    def read(self, captions: Sequence[str]) -> tuple[Tensor, Tensor | None]:
        """Text and pooled text of captions, as `TextStack.encode` has them, with gradients."""
        hidden: list[Tensor] = []
        pooled: Tensor | None = None
        for which, (tokenizer, encoder) in enumerate(
            zip(self._stack.tokenizers, self._stack.encoders, strict=True)
        ):
            rows = [framed(self._stack.tokens(one, which)[:CHUNK], tokenizer) for one in captions]
            found = encoder(torch.tensor(rows, device=encoder.device), output_hidden_states=True)
            alone = len(self.encoders) == 1
            hidden.append((found.last_hidden_state if alone else found.hidden_states[-2]).float())
            pooled = None if alone else getattr(found, "text_embeds", pooled)
        text = torch.cat(hidden, dim=-1)
        if self._stack.zero_empty:
            said = torch.tensor([bool(one) for one in captions], device=text.device)
            text = text * said[:, None, None]
            pooled = None if pooled is None else pooled * said[:, None]
        return text, None if pooled is None else pooled.float()

    def kohya(self) -> dict[str, Tensor]:
        """The layers under the names that every program reads, each with its alpha: lora_te1_ and lora_te2_,
        or lora_te_ of a base with one encoder."""
        found: dict[str, Tensor] = {}
        for number, encoder in enumerate(self.encoders, 1):
            prefix = "lora_te" if len(self.encoders) == 1 else f"lora_te{number}"
            layers: dict[str, Tensor] = get_peft_model_state_dict(encoder)
            for name, tensor in layers.items():
                module, half = name.removesuffix(".weight").rsplit(".", 1)
                place = f"{prefix}_{_ROOT}{module.removeprefix(_ROOT)}".replace(".", "_")
                found[f"{place}.{'lora_down' if half == 'lora_A' else 'lora_up'}.weight"] = tensor
                found[f"{place}.alpha"] = torch.tensor(float(self.rank))
        return found
