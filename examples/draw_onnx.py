"""A still from `pokora export onnx` by onnxruntime alone: no torch, no diffusers.

pokora export onnx --out nano-onnx
python examples/draw_onnx.py nano-onnx still.png --prompt '1girl, blue hair, smile' --seed 7

What an app of one's own has to do, in a page: two text encoders, a few steps of LCM, one decoder. The noise
is that of `pokora stills` with the same seed, so the picture is its picture before that is enlarged (of a
prompt that says it all: `pokora stills` adds shot.prefix, and eyes, hair and clothes that are left open).
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from PIL import Image
from tokenizers import Tokenizer

from pokora_anime.provenance.seed_noise import derived_seed, normal  # torch's random numbers without torch

PROMPT = "1girl, blue hair, twintails, green eyes, smile, school uniform, cherry blossoms"
TOKENS = 77
Array = npt.NDArray[np.float32]


class Export:
    """The parts of an export, and what its card says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sessions: dict[str, onnxruntime.InferenceSession] = {}
        self.card: dict[str, Any] = json.loads((folder / "export.json").read_text(encoding="utf-8"))

    def run(self, part: str, **given: npt.NDArray[Any]) -> list[Array]:
        """The outputs of a part; inputs that it does not take are left out."""
        if part not in self.sessions:
            file = self.folder / self.card["parts"][part]["file"]
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            self.sessions[part] = onnxruntime.InferenceSession(
                str(file), options, providers=["CPUExecutionProvider"]
            )
        session = self.sessions[part]
        wanted = {one.name for one in session.get_inputs()}
        return session.run(None, {name: value for name, value in given.items() if name in wanted})


def ids_of(tokenizer: Tokenizer, text: str, padding: int) -> npt.NDArray[np.int32]:
    """BOS, at most 75 tokens, EOS, padding: [1, 77]."""
    first, *ids, last = tokenizer.encode(text).ids
    row = [first, *ids[: TOKENS - 2], last]
    return np.array([row + [padding] * (TOKENS - len(row))], np.int32)


def embedded(export: Export, text: str) -> tuple[Array, Array]:
    """Hidden states of both encoders side by side, and the pooled embedding."""
    hidden: list[Array] = []
    pooled = np.zeros((1, 0), np.float32)
    for suffix in ("", "_2"):
        tokenizer = Tokenizer.from_file(str(export.folder / f"tokenizer{suffix}" / "tokenizer.json"))
        ids = ids_of(tokenizer, text, export.card["tokenizers"][f"tokenizer{suffix}"]["padding"])
        states, *more = export.run(f"text_encoder{suffix}", ids=ids)
        hidden.append(states)
        pooled = more[0] if more else pooled
    return np.concatenate(hidden, axis=-1), pooled


def alphas(scheduler: dict[str, Any]) -> npt.NDArray[np.float64]:
    """Cumulated alphas of the base's noise schedule."""
    low, high, count = scheduler["beta_start"], scheduler["beta_end"], scheduler["num_train_timesteps"]
    assert scheduler["beta_schedule"] == "scaled_linear"
    return np.cumprod(1 - np.linspace(low**0.5, high**0.5, count) ** 2)


def draw(export: Export, prompt: str, seed: int) -> npt.NDArray[np.uint8]:
    """The picture [height, width, 3] of a prompt, by the sampler LCM (arXiv 2310.04378)."""
    card, scheduler = export.card, export.card["scheduler"]
    width, height = card["size"]
    texts = [embedded(export, prompt)]
    scale = card["speed"]["guidance_scale"]
    texts += [embedded(export, "")] if scale > 1 else []
    sizes = np.array([[height, width, 0, 0, height, width]], np.float32)
    shape, timesteps, levels = (4, height // 8, width // 8), scheduler["timesteps"], alphas(scheduler)
    latent = normal(derived_seed(seed, "keyframe", 0), shape)[None]
    drawn = normal(derived_seed(seed, "keyframe", 0, "steps"), (max(len(timesteps) - 1, 1), 1, *shape))
    for step, timestep in enumerate(timesteps):
        found = [
            export.run(
                "unet",
                sample=latent.astype(np.float32),
                timestep=np.array([timestep], np.float32),
                text=hidden,
                text_embeds=pooled,
                time_ids=sizes,
            )[0]
            for hidden, pooled in texts
        ]
        prediction = found[0] if len(found) == 1 else found[1] + scale * (found[0] - found[1])
        signal, noise = levels[timestep] ** 0.5, (1 - levels[timestep]) ** 0.5
        if scheduler["prediction_type"] == "v_prediction":
            clean = signal * latent - noise * prediction
        else:
            clean = (latent - noise * prediction) / signal
        far = (10 * timestep) ** 2 + 0.25
        latent = clean * (10 * timestep / far**0.5) + latent * (0.25 / far)
        if step + 1 < len(timesteps):
            level = levels[timesteps[step + 1]]
            latent = level**0.5 * latent + (1 - level) ** 0.5 * drawn[step]
    (picture,) = export.run("vae_decoder", latent=latent.astype(np.float32))
    return (picture[0].transpose(1, 2, 0) * 127.5 + 127.5).round().clip(0, 255).astype(np.uint8)


def main() -> None:
    """Write a still."""
    parser = ArgumentParser(description="a still from `pokora export onnx`, by onnxruntime")
    parser.add_argument("export", type=Path, help="the folder of the export")
    parser.add_argument("file", type=Path, help="the picture, for example still.png")
    parser.add_argument("--prompt", default=PROMPT)
    parser.add_argument("--seed", type=int, default=7)
    typed = parser.parse_args()
    Image.fromarray(draw(Export(typed.export), typed.prompt, typed.seed)).save(typed.file)
    print(typed.file)


if __name__ == "__main__":
    main()
