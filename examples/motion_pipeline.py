"""The denoising loop of `pokora video` in a script of one's own: two segments of nano, chained by latents.

python examples/motion_pipeline.py clip.webp --steps 8

The loop alone, without the control maps and the attention to the keyframe that hold a clip of `pokora video`
together: name what should stay as it is.
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

import torch
from diffusers import MotionAdapter

import pokora_anime
from pokora_anime.motion_pipeline import PokoraMotionPipeline

NANO = Path(pokora_anime.__file__).parent / "nano" / "weights"
KNOWN = 4  # frames that the second segment takes over from the first
PROMPT = "1girl, blue hair, twintails, green eyes, smile, school uniform, waving, cherry blossoms"


def main() -> None:
    """Write a moving picture of two segments."""
    parser = ArgumentParser(description="two segments of nano, chained by latents")
    parser.add_argument("file", type=Path, help="the animation, for example clip.webp")
    parser.add_argument("--prompt", default=PROMPT)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--size", type=int, default=256, help="pixels a side")
    parser.add_argument("--frames", type=int, default=16, help="of a segment")
    typed = parser.parse_args()

    adapter = MotionAdapter.from_pretrained(NANO / "motion_adapter")
    pipe = PokoraMotionPipeline.from_pretrained(NANO, motion_adapter=adapter)
    pipe.set_progress_bar_config(disable=True)
    options = {
        "width": typed.size,
        "height": typed.size,
        "num_frames": typed.frames,
        "num_inference_steps": typed.steps,
        "guidance_scale": 4.0,
    }
    first = pipe(typed.prompt, generator=torch.Generator("cpu").manual_seed(typed.seed), **options)
    second = pipe(
        typed.prompt,
        generator=torch.Generator("cpu").manual_seed(typed.seed + 1),
        known_latents=first.latents[:, -KNOWN:],
        **options,
    )
    frames = first.frames + second.frames[KNOWN:]
    frames[0].save(typed.file, save_all=True, append_images=frames[1:], duration=125, loop=0)
    print(f"{typed.file}: {len(frames)} frames")


if __name__ == "__main__":
    main()
