"""What a LoRA file's header tells without a tensor being read: its layers, and their base. Torch-free."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from pokora_anime.catalogue.checkpoint import tensor_header
from pokora_anime.errors import WeightsError
from pokora_anime.schema.settings import Family
from pokora_anime.system.files.installed_package import NANO_WEIGHTS

_DOWN = re.compile(r"(lora_down|[._]lora\.down|lora_A|lora_linear_layer\.down)(\.[\w-]+)?\.weight$")
_TEXT_ATTENTION = re.compile(r"attn2[._]to_k")
# Channels of the text that cross-attention reads.
_WIDTHS = {2048: Family.sdxl.value, 1024: Family.sd2.value, 768: "SD 1.5"}
_NANO = NANO_WEIGHTS / "unet/config.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraHeader:
    """`width` of the text that its layers attend to, None if they touch no such layer."""

    width: int | None

    @property
    def base(self) -> str | None:
        """The base whose text has that width, None where it cannot be told."""
        widths = {**_WIDTHS, _nano_width(): Family.nano.value}
        return widths.get(self.width) if self.width is not None else None

    def check(self, name: str, family: Family) -> None:
        """WeightsError WGT-FIT if the layers are another base's."""
        if self.width is not None and self.base != family.value:
            base = self.base or f"a base with text of {self.width} channels"
            known = any(one.value == base for one in Family)
            raise WeightsError(
                "WGT-FIT",
                f"{name} was trained for {base}",
                expected=family.value,
                fix=f"--base {base}"
                if known
                else "use a LoRA made for nano, sdxl or sd2: SD 1.5 ones fit none of them",
            )


def _nano_width() -> int:
    return int(json.loads(_NANO.read_text(encoding="utf-8"))["cross_attention_dim"])


def read_header(file: Path) -> LoraHeader:
    """The header of a safetensors file. Raises WeightsError WGT-DAMAGED (anything else), WGT-MISSING."""
    shapes = tensor_header.read(file, "LoRA").shapes
    down = {name: shape for name, shape in shapes.items() if _DOWN.search(name)}
    widths = {shape[1] for name, shape in down.items() if _TEXT_ATTENTION.search(name) and len(shape) > 1}
    return LoraHeader(width=min(widths) if len(widths) == 1 else None)
