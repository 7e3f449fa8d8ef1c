"""The model card of a family, from its training records and its bench."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from pokora_anime.nano.world.vocabulary import ATTRIBUTES

CARD, MANIFEST = "README.md", "MANIFEST.json"
ABOUT: dict[str, str] = {
    "tokenizer": "CLIP tokenizer; its vocabulary is the drawn world's words and all bytes",
    "tokenizer_2": "the same",
    "text_encoder": "CLIP text encoder",
    "text_encoder_2": "CLIP text encoder with projection",
    "unet": "UNet2DConditionModel with SDXL's added conditions, v-prediction",
    "vae": "AutoencoderKL, 8x, 4 channels",
    "vae_tiny": "AutoencoderTiny for previews",
    "motion_adapter": "MotionAdapter for 16 frames",
    "controlnet_pose": "ControlNet for OpenPose maps",
    "controlnet_depth": "ControlNet for depth maps",
    "lora_lcm": "LCM LoRA: 4 to 6 steps",
    "lora_pastel": "style LoRA, diffusers and kohya format",
    "lora_flat_color": "style LoRA, diffusers and kohya format",
    "pose_extractor": "18 OpenPose joints of a picture",
    "depth_extractor": "DepthAnythingForDepthEstimation",
    "choreographer": "words to the poses of a whole clip",
    "crisp": "frames three times as large, with clean lines",
    "probe": "attribute probe: the judge in benches and tests",
    "scheduler": "DPM-Solver++ configuration",
}
HEAD = """---
license: cc0-1.0
library_name: diffusers
tags: [text-to-image, text-to-video, anime, animatediff, controlnet]
---
# nano

A miniature of SDXL with a motion adapter, ControlNets, LoRAs and extractors, in diffusers and
transformers classes and folders. It draws one anime girl at 256 x 256 pixels, still or in motion, and is
small enough for any laptop.

## Data

Every picture that it was trained on is drawn by code of this project (`pokora_anime/nano/world`) from a
seed: characters with exact joints, depth and attributes before parallax backgrounds. No photograph, no
other person's drawing, no other model and no font took part. One in eight combinations of hair, outfit
and background is held out from training; scores are measured on those.
"""
LIMITS = """## Limits

- It knows the vocabulary above and nothing else; other words are harmless and do nothing.
- One character, seen from the front, in one drawing style; no text, no animals, no second person.
- Frames are 256 x 256; larger sizes were not trained.
- Its motion adapter leaves the camera still: `pokora` moves a window over the finished frames instead, and
  that is what the line on cameras judges. In other programs words such as `zoom in` do nothing.
- It is no base for contests that name SDXL or SD2: it is for planning, tests and laptops.
- The probe judges the drawn world's attributes; it is no judge of beauty, and none of other pictures.

## Licence

CC0 1.0, weights and drawings alike (`LICENSE`).
"""


def render(folder: Path, bench: Mapping[str, Any] | None = None) -> str:
    """The card of the family in `folder`; `bench` is what `pokora bench nano` wrote, if it ran."""
    parts = [HEAD, _vocabulary(), _members(folder), _recipe(folder)]
    if bench is not None:
        parts.append(_scores(bench))
    return "\n".join([*parts, LIMITS])


def write_card(folder: Path, bench: Mapping[str, Any] | None = None) -> None:
    """Writes README.md into the family's folder and its hash into the manifest, if there is one."""
    text = render(folder, bench)
    (folder / CARD).write_text(text, encoding="utf-8")
    manifest = folder / MANIFEST
    if manifest.exists():
        table = json.loads(manifest.read_text(encoding="utf-8"))
        table[CARD] = sha256(text.encode()).hexdigest()
        manifest.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def records(folder: Path) -> Iterator[dict[str, Any]]:
    """The training records of the members, each training once."""
    seen: set[tuple[str, str]] = set()
    for path in sorted(folder.glob("*/training*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        name = (record["member"], record["code_sha256"])
        if name not in seen:
            seen.add(name)
            yield record


def _vocabulary() -> str:
    lines = [f"- {name.replace('_', ' ')}: {', '.join(values)}" for name, values in ATTRIBUTES.items()]
    return "\n".join(["## Vocabulary", "", "Tags in any order, or plain English.", "", *lines, ""])


def _members(folder: Path) -> str:
    rows = ["## Members", "", "| Folder | What | MB |", "|---|---|---|"]
    total = 0
    for member in sorted(path for path in folder.iterdir() if path.is_dir()):
        size = sum(p.stat().st_size for p in member.rglob("*") if p.is_file())
        total += size
        rows.append(f"| `{member.name}` | {ABOUT.get(member.name, '')} | {size / 1e6:.2f} |")
    rows += [f"| all | fp16 safetensors | {total / 1e6:.1f} |", ""]
    return "\n".join(rows)


def _recipe(folder: Path) -> str:
    rows = [
        "## Recipe",
        "",
        "`pokora train nano` trains every member from nothing and goes on after a kill. Each training's",
        "loss curve and the hash of its code are in `training.json` beside the weights.",
        "",
        "| Training | Steps | Batch | Minutes | Scores |",
        "|---|---|---|---|---|",
    ]
    seconds = 0.0
    for record in records(folder):
        stages = [*record.get("before", []), record]
        spent = sum(stage.get("seconds", 0.0) for stage in stages)
        seconds += spent
        steps = " + ".join(str(stage["training"]["steps"]) for stage in stages)
        scores = ", ".join(f"{name} {value:g}" for name, value in record["scores"].items())
        rows.append(
            f"| {record['member']} | {steps} | {record['training']['batch']} | {spent / 60:.0f} | {scores} |"
        )
    rows += [f"| all | | | {seconds / 60:.0f} | |", ""]
    return "\n".join(rows)


def _scores(bench: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{count} {name}" for name, count in bench["counts"].items())
    rows = [
        "## Scores",
        "",
        f"`pokora bench nano` with {counts}, on {bench['machine']}. Shares are judged by the probe.",
        "",
        "| What | Bar | Measured | n | |",
        "|---|---|---|---|---|",
    ]
    for line in bench["lines"]:
        cells = (line["what"], line["bar"], line["shown"], line["count"] or "", line["status"])
        rows.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join([*rows, ""])


def main() -> None:
    """`python -m pokora_anime.nano.model_card FOLDER [BENCH.json]`."""
    parser = argparse.ArgumentParser(description="Write the model card of a nano family.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("bench", type=Path, nargs="?")
    options = parser.parse_args()
    bench = json.loads(options.bench.read_text(encoding="utf-8")) if options.bench else None
    write_card(options.folder, bench)


if __name__ == "__main__":
    main()
