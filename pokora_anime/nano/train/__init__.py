"""`pokora train nano`: the whole family from nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pokora_anime.nano.recipe import MEMBERS, Recipe, make_recipe

ALONE = ("data", "latents")  # no training: one process does them

if TYPE_CHECKING:
    from pokora_anime.nano.train.loop import Place


def train_nano(
    members: Sequence[str] | None,
    preset: str,
    work: Path,
    export: Path | None,
    device: str,
    threads: int,
    seed: int,
) -> None:
    """Trains members (None: all) in order; resumes what a kill interrupted.

    Raises ValueError for an unknown member or preset, or when an earlier member is missing.
    """
    import torch

    from pokora_anime.nano.train import workers
    from pokora_anime.nano.train.loop import Place

    chosen = _chosen(members)
    recipe = make_recipe(preset)
    torch.set_num_threads(threads)
    work.mkdir(parents=True, exist_ok=True)
    place = Place(work, device, seed, recipe.previews)
    workers.meet()
    for member in chosen:
        if (work / "done" / member).exists():
            print(f"{member}: already trained", flush=True)
            continue
        started = time.monotonic()
        if workers.rank() == 0 or member not in ALONE:
            _train_member(member, recipe, place, threads)
        workers.wait()
        if workers.rank() == 0:
            _finish(member, place, export, time.monotonic() - started)
        workers.wait()


def _finish(member: str, place: Place, export: Path | None, seconds: float) -> None:
    """Marks a member as trained and ships the family as it stands."""
    done = place.work / "done" / member
    done.parent.mkdir(exist_ok=True)
    done.write_text("")
    print(f"{member}: done in {seconds:.0f} s", flush=True)
    if export is not None and member not in ALONE:
        from pokora_anime.nano.train.export import export_family

        export_family(place, export)


def _chosen(members: Sequence[str] | None) -> list[str]:
    unknown = sorted(set(members or ()) - set(MEMBERS))
    if unknown:
        raise ValueError(f"unknown member {unknown[0]!r}; choose from {', '.join(MEMBERS)}")
    return [m for m in MEMBERS if members is None or m in members]


def _train_member(member: str, recipe: Recipe, place: Place, threads: int) -> None:
    """Imports late: each member's module is needed by that member alone."""
    if member == "data":
        from pokora_anime.nano.train.data import render

        render(place.work, recipe.data, place.seed, threads)
    elif member == "text":
        from pokora_anime.nano.train.text import train_text

        train_text(recipe.text, place)
    elif member == "vae":
        from pokora_anime.nano.train.vae import train_vae

        train_vae(recipe.vae, place)
    elif member == "latents":
        from pokora_anime.nano.train.vae import encode_latents

        encode_latents(place)
    elif member == "unet":
        from pokora_anime.nano.train.unet import train_unet

        train_unet(recipe.unet, place)
    elif member == "motion":
        from pokora_anime.nano.train.motion import train_motion

        train_motion(recipe.motion, place)
    elif member in ("controlnet_pose", "controlnet_depth"):
        from pokora_anime.nano.train.control import train_controlnet

        train_controlnet(member, getattr(recipe, member), place)
    elif member == "lora_lcm":
        from pokora_anime.nano.train.lcm import train_lcm

        train_lcm(recipe.lora_lcm, place)
    elif member in ("pose_extractor", "depth_extractor"):
        from pokora_anime.nano.train import extract

        trainer = extract.train_pose if member == "pose_extractor" else extract.train_depth
        trainer(getattr(recipe, member), place)
    elif member in ("decoder", "vae_tiny"):
        from pokora_anime.nano.train import decoders

        decoder = decoders.train_decoder if member == "decoder" else decoders.train_vae_tiny
        decoder(getattr(recipe, member), place)
