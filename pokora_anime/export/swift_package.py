"""A Swift package around a Core ML export: what draws, an app, and test vectors for both made here."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from jinja2 import Environment
from transformers import CLIPTokenizer

from pokora_anime.export.part_files import CARD
from pokora_anime.networks import schedulers
from pokora_anime.networks.schedulers import StepScheduler
from pokora_anime.networks.text_encoders import framed
from pokora_anime.provenance.hashing import Json, canonical_json
from pokora_anime.provenance.seed_noise import PICTURE, derived_seed
from pokora_anime.schema.settings import Sampler

TEMPLATES = Path(__file__).parent / "templates"
# Where each template goes; those that end with .j2 are filled in.
PLACES: Mapping[str, str] = {
    "Package.swift.j2": "Package.swift",
    "README.md.j2": "README.md",
    "Tokenizer.swift": "Sources/PokoraKit/Tokenizer.swift",
    "Sampler.swift": "Sources/PokoraKit/Sampler.swift",
    "Noise.swift": "Sources/PokoraKit/Noise.swift",
    "Drawing.swift": "Sources/PokoraKit/Drawing.swift",
    "PokoraDrawApp.swift": "Sources/PokoraDraw/PokoraDrawApp.swift",
    "VectorTests.swift": "Tests/PokoraKitTests/VectorTests.swift",
    "macos.yml": ".github/workflows/macos.yml",
}
EXPORT, VECTORS = "Sources/PokoraKit/Export", "Tests/PokoraKitTests/vectors.json"
TEXTS = (
    "1girl, blue hair, twintails, smile",
    "",
    "It's a CAT\tin  cafe\u0301 Paris, 2026!",
    "魔法少女 ★ naïve don't",
    "a " * 90,
)


def wrap(place: Path) -> None:
    """Make a Swift package of the Core ML export that lies in `place`; its card is copied."""
    parts = list(place.iterdir())
    (place / EXPORT).mkdir(parents=True)
    for path in parts:
        shutil.move(path, place / EXPORT / path.name)
    shutil.copyfile(place / EXPORT / CARD, place / CARD)
    card = cast("dict[str, Any]", json.loads((place / CARD).read_text(encoding="utf-8")))
    for template, file in PLACES.items():
        text = (TEMPLATES / template).read_text(encoding="utf-8")
        if template.endswith(".j2"):
            text = Environment(autoescape=False, keep_trailing_newline=True).from_string(text).render(card)
        (place / file).parent.mkdir(parents=True, exist_ok=True)
        (place / file).write_text(text, encoding="utf-8")
    content = json.dumps(vectors(place / EXPORT, card), ensure_ascii=False)
    (place / VECTORS).write_text(content + "\n", encoding="utf-8")


def vectors(export: Path, card: Mapping[str, Any]) -> dict[str, Json]:
    """Tokens of texts, steps of both samplers and noise of seeds, as the libraries make them."""
    steps = int(card["speed"]["steps"])
    return {
        "texts": list(_texts(export)),
        "steps": [row for one in (Sampler.lcm, Sampler.euler_trailing) for row in _steps(export, one, steps)],
        "noise": [_noise(seed) for seed in (0, 7, 123_456)],
    }


def _texts(export: Path) -> Iterator[Json]:
    for name in ("tokenizer", "tokenizer_2"):
        if (export / name).is_dir():
            tokenizer = cast(Any, CLIPTokenizer).from_pretrained(export / name)
            for text in TEXTS:
                ids = tokenizer(text, add_special_tokens=False, truncation=False, verbose=False).input_ids
                row: list[Json] = [*framed(ids[:75], tokenizer)]
                yield {"tokenizer": name, "text": text, "padding": tokenizer.pad_token_id, "ids": row}


def told(scheduler: StepScheduler, stored: Mapping[str, Json], sampler: Sampler) -> dict[str, Json]:
    """What an app's own scheduler needs: the noise schedule and the steps. Euler's sigmas end with 0."""
    names = ("beta_start", "beta_end", "beta_schedule", "num_train_timesteps", "prediction_type")
    sigmas = cast("torch.Tensor | None", getattr(scheduler, "sigmas", None))
    return {
        **{name: stored[name] for name in names},
        "sampler": "lcm" if sampler is Sampler.lcm else "euler",
        "timesteps": cast("list[Json]", scheduler.timesteps.tolist()),
        "sigmas": None if sigmas is None else cast("list[Json]", sigmas.tolist()),
        "init_noise_sigma": float(scheduler.init_noise_sigma),
    }


def _steps(export: Path, sampler: Sampler, steps: int) -> Iterator[Json]:
    """Each step of a sampler on 16 numbers."""
    folder = export / "scheduler"
    stored = json.loads((folder / "scheduler_config.json").read_text(encoding="utf-8"))
    scheduler = schedulers.build_scheduler(folder, sampler)
    scheduler.set_timesteps(steps, device=torch.device("cpu"))
    drawing = torch.Generator().manual_seed(1)
    latents = torch.randn(16, generator=drawing) * scheduler.init_noise_sigma
    for step, timestep in enumerate(scheduler.timesteps):
        scaled = scheduler.scale_model_input(latents, timestep)
        prediction = torch.randn(16, generator=drawing)
        seeded = {"generator": torch.Generator().manual_seed(step)} if sampler is Sampler.lcm else {}
        made = scheduler.step(prediction, timestep, latents, return_dict=False, **seeded)[0]
        noise = torch.randn(16, generator=torch.Generator().manual_seed(step))
        yield {
            "schedule": told(scheduler, stored, sampler),
            "step": step,
            **{
                name: cast("list[Json]", one.tolist())
                for name, one in (
                    ("latents", latents),
                    ("prediction", prediction),
                    ("noise", noise),
                    ("scaled", scaled),
                    ("next", made),
                )
            },
        }
        latents = made


def _noise(seed: int) -> Json:
    names: list[Json] = [seed, PICTURE, 0]
    generator = torch.Generator("cpu").manual_seed(derived_seed(seed, PICTURE, 0))
    values = torch.randn(64, generator=generator)
    return {"names": canonical_json(names), "values": cast("list[Json]", values.tolist())}
