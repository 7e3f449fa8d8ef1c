"""A style LoRA of `pokora train lora` as a member of the family.

python -m pokora_anime.nano.train.adopted_style WORK FAMILY lora_pastel
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from pokora_anime.nano import family, model_card
from pokora_anime.nano.train import export
from pokora_anime.nano.train.lora_layers import save_kohya
from pokora_anime.nano.train.training_loop import RECORD, code_hash

PREFIX = "lora_unet_"
PARTS = {"lora_down": "lora_A", "lora_up": "lora_B"}


def adopt(work: Path, target: Path, member: str) -> None:
    """Puts the LoRA of a finished training in `work` into the family `target`: both formats, record, hashes.

    Raises ValueError for layers that nano's UNet does not have, KeyError for a member that is no style.
    """
    told = json.loads((work / "style.json").read_text(encoding="utf-8"))
    weights = layers(load_file(work / told["file"]["name"]))
    folder = target / member
    export.save_lora(weights, folder)
    save_kohya(weights, folder / export.STYLES[member])
    text = json.dumps(record(told, member), indent=1)
    (folder / RECORD).write_text(f"{text}\n", encoding="utf-8")
    bench = target.parents[2] / "benchmarks" / "results" / "nano.json"
    export.write_manifest(target)
    model_card.write_card(target, json.loads(bench.read_text()) if bench.is_file() else None)


def layers(kohya: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same layers under the names of a diffusers LoRA file. Raises ValueError."""
    modules = {name.replace(".", "_"): name for name, _ in family.make_unet().named_modules()}
    found: dict[str, Tensor] = {}
    for name, tensor in kohya.items():
        place, _, part = name.removeprefix(PREFIX).partition(".")
        if part == "alpha":
            continue
        module, kind = modules.get(place), PARTS.get(part.removesuffix(".weight"))
        if module is None or kind is None:
            raise ValueError(f"{name} is no layer of nano's UNet")
        found[f"unet.{module}.{kind}.weight"] = tensor
    return found


def record(told: Mapping[str, Any], member: str) -> dict[str, Any]:
    """training.json of the member: how the workshop trained it, on what, and its scores there."""
    training, scores, made = told["training"], told["scores"], told["made_with"]
    names = ("steps", "batch", "rate", "rank", "views", "dropout", "seed")
    return {
        "member": member,
        "code_sha256": code_hash(),
        "trained_by": "pokora train lora --role style",
        "data": told["data"],
        "training": {name: training[name] for name in names},
        "seconds": training["seconds"],
        "made_with": made,
        "scores": {name: round(scores[name], 4) for name in ("moved", "nearer")},
        "before": [],
    }


def main() -> None:
    """`python -m pokora_anime.nano.train.adopted_style WORK FAMILY MEMBER`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path, help="the folder of the training, which holds style.json")
    parser.add_argument("family", type=Path)
    parser.add_argument("member", choices=[*export.STYLES])
    typed = parser.parse_args()
    adopt(typed.work, typed.family, typed.member)


if __name__ == "__main__":
    main()
