"""`pokora train nano`: the whole family from nothing."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from pokora_anime.nano.recipe import MEMBERS, PROBE, Recipe, Training, make_recipe
from pokora_anime.system.files.atomic_files import writing

ALONE = ("data", "probe")  # one process does it
ANEW = (
    "text",
    "pose_extractor",
    "depth_extractor",
    "probe",
    "choreographer",
)  # these never go on from other weights
UNTRAINED = ("data", "latents")
# What shows that a member is in a work folder, where others are trained on it.
SIGNS = {
    "data": "data/done.json",
    "latents": "latents/stills.json",
    "text": "family/text_encoder/config.json",
    "vae": "family/vae/config.json",
    "unet": "family/unet/config.json",
    "motion": "family/motion_adapter/config.json",
    "controlnet_pose": "family/controlnet_pose/config.json",
}
PICTURES = ("data", "vae", "latents")
NEEDS = {
    "data": (),
    "text": (),
    "vae": ("data",),
    "latents": ("data", "vae"),
    "decoder": PICTURES,
    "unet": ("text", *PICTURES),
    "pose_extractor": PICTURES,
    "depth_extractor": PICTURES,
    "vae_tiny": PICTURES,
    "probe": PICTURES,
    "choreographer": (),
    "crisp": ("text", "vae", "unet"),
    "steering": ("text", *PICTURES, "unet", "motion", "controlnet_pose"),
    "lora_lcm": ("text", *PICTURES, "unet", "motion"),
}
DIFFUSION = ("text", *PICTURES, "unet")  # what every other member needs
# What trains a member, in `members/`.
_TRAINERS = {
    "probe": "train_probe.train_probe",
    "choreographer": "train_choreographer.train_choreographer",
    "crisp": "train_crisp.train_crisp",
    "text": "train_text.train_text",
    "vae": "train_vae.train_vae",
    "decoder": "train_decoders.train_decoder",
    "vae_tiny": "train_decoders.train_vae_tiny",
    "unet": "train_unet.train_unet",
    "motion": "train_motion.train_motion",
    "steering": "train_steering.train_steering",
    "lora_lcm": "train_lcm.train_lcm",
    "pose_extractor": "train_extractors.train_pose",
    "depth_extractor": "train_extractors.train_depth",
}
# The same, told which of several members it is.
_TRAINERS_OF_SEVERAL = {
    "controlnet_pose": "train_controlnets.train_controlnet",
    "controlnet_depth": "train_controlnets.train_controlnet",
    "lora_pastel": "train_style.train_style",
    "lora_flat_color": "train_style.train_style",
}

if TYPE_CHECKING:
    from pokora_anime.nano.train.training_loop import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What a training is to make, in which folders.

    `members` are trained in order (None: all); `work` keeps what is done and what is begun; the family is
    shipped to `export`. `start` is a finished family to go on from, in a work folder that has none yet;
    members that cannot go on from weights are taken over, unless they are named.
    """

    work: Path
    members: Sequence[str] | None = None
    export: Path | None = None
    start: Path | None = None


def train_nano(assignment: Assignment, preset: str, device: str, threads: int, seed: int) -> None:
    """Trains members in order; resumes what a kill interrupted.

    Raises ValueError for what `check` refuses, an unknown preset or device, and a member that another
    process is training in the same folder.
    """
    chosen = check(assignment)
    recipe = make_recipe(preset)
    import torch

    from pokora_anime.nano.train import training_workers
    from pokora_anime.nano.train.training_loop import Place

    torch.set_num_threads(threads)
    _check_device(device)
    place, start = Place(assignment.work, device, seed, recipe.previews), assignment.start
    training_workers.meet()
    if start is not None and training_workers.rank() == 0:
        _begin_family(start, place.family)
    training_workers.wait()
    kept = kept_from(start) if assignment.members is None else ()
    for member in chosen:
        if (place.work / "done" / member).exists():
            print(f"{member}: already trained", flush=True)
        elif member in kept:
            print(f"{member}: stays as it is in {start}; --members {member} trains it anew", flush=True)
        else:
            _train_together(member, recipe, place, threads, assignment.export)
            training_workers.wait()


def _train_together(member: str, recipe: Recipe, place: Place, threads: int, export: Path | None) -> None:
    """One member by all processes that there are, or by the first of them alone."""
    from pokora_anime.nano.train import training_workers

    started = time.monotonic()
    with training_workers.only_training(member, place.work):
        if member not in ALONE:
            training_workers.take_core()
            with suppress(training_workers.OnlyHelped):
                _train_member(member, shared_out(recipe, training_workers.count()), place, threads)
        elif training_workers.rank() == 0:
            cores = threads * training_workers.count()
            with training_workers.by_itself():
                _train_member(member, recipe, place, cores)
        training_workers.wait()
        if training_workers.rank() == 0:
            _finish(member, place, export, time.monotonic() - started)


def check(assignment: Assignment) -> list[str]:
    """The members to train, in order, if these folders will do. Torch-free.

    Raises ValueError for an unknown member or one that lacks what it is trained on, for a `start` that
    is no family and for an `export` that would overwrite something else; MachineError if nothing can
    be written in `work`.
    """
    work, start = assignment.work, assignment.start
    chosen = _chosen(assignment.members)
    if start is not None:
        lacking = [sign for sign in map(_in_family, SIGNS.values()) if sign and not (start / sign).exists()]
        if lacking:
            raise ValueError(f"--start {start} is not a nano family: it has no {lacking[0]}")
    for number, member in enumerate(chosen):
        for need in NEEDS.get(member, DIFFUSION):
            sign = SIGNS[need]
            started = start is not None and _in_family(sign)
            if need not in chosen[:number] and not (work / sign).exists() and not started:
                raise ValueError(f"{member} needs {need}, which is not in {work}: add it to --members")
    if assignment.export is not None:
        from pokora_anime.nano.train.export import refuse_foreign

        refuse_foreign(assignment.export)
    with writing(work):
        work.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=work).close()
    return chosen


def kept_from(start: Path | None) -> tuple[str, ...]:
    """The members that a whole training takes from `start` as they are: they only ever begin anew."""
    if start is None:
        return ()
    return tuple(m for m in ANEW if (start / (_in_family(SIGNS.get(m, "")) or m)).exists())


def shared_out(recipe: Recipe, processes: int) -> Recipe:
    """The recipe of one of several processes: each takes its share of every batch."""
    shares = {
        f.name: replace(value, batch=max(1, value.batch // processes))
        for f in fields(recipe)
        if isinstance(value := getattr(recipe, f.name), Training)
    }
    return replace(recipe, **shares)


def copy_family(start: Path, family: Path) -> None:
    """Copies a family into a work folder, its weights as float32 and in one file each."""
    from safetensors.torch import load_file, save_file

    part = family.with_name(family.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(start, part, copy_function=shutil.copyfile)
    for index in part.glob("*/*.safetensors.index.json"):
        # A network that is saved over its shards leaves their index behind, and cannot be read again.
        shards = {index.with_name(name) for name in json.loads(index.read_text())["weight_map"].values()}
        whole = {name: tensor for shard in shards for name, tensor in load_file(shard).items()}
        save_file(whole, index.with_name(index.name.removesuffix(".index.json")))
        for path in (index, *shards):
            path.unlink()
    for path in part.glob("*/*.safetensors"):
        if path.parent.name not in (PROBE, "choreographer"):
            tensors = {name: tensor.float() for name, tensor in load_file(path).items()}
            save_file(tensors, path, metadata={"format": "pt"})
    part.rename(family)


def _begin_family(start: Path, family: Path) -> None:
    if family.exists():
        print(f"{family} is there already: --start is not needed", flush=True)
    else:
        copy_family(start, family)


def _in_family(sign: str) -> str:
    """The sign's path inside a family folder; empty for what is no part of a family."""
    return sign.removeprefix("family/") if sign.startswith("family/") else ""


def _check_device(device: str) -> None:
    import torch

    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device {device} cannot be used here: {str(error).splitlines()[0]}") from error


def _finish(member: str, place: Place, export: Path | None, seconds: float) -> None:
    """Marks a member as trained and ships the family as it stands."""
    done = place.work / "done" / member
    done.parent.mkdir(exist_ok=True)
    done.write_text("")
    print(f"{member}: done in {seconds:.0f} s", flush=True)
    if export is not None and member not in UNTRAINED:
        from pokora_anime.nano.train.export import export_family

        export_family(place, export)


def _chosen(members: Sequence[str] | None) -> list[str]:
    unknown = sorted(set(members or ()) - set(MEMBERS))
    if unknown:
        raise ValueError(f"unknown member {unknown[0]!r}; choose from {', '.join(MEMBERS)}")
    return [m for m in MEMBERS if members is None or m in members]


def _train_member(member: str, recipe: Recipe, place: Place, threads: int) -> None:
    if member == "data":
        from pokora_anime.nano.train.drawn_data import render

        render(place.work, recipe.data, place.seed, threads)
    elif member == "latents":
        from pokora_anime.nano.train.members.train_vae import encode_latents

        encode_latents(place)
    elif member in _TRAINERS_OF_SEVERAL:
        _trainer(_TRAINERS_OF_SEVERAL[member])(member, getattr(recipe, member), place)
    else:
        _trainer(_TRAINERS[member])(getattr(recipe, member), place)


def _trainer(name: str) -> Callable[..., None]:
    """Imported late: each member's module is needed by that member alone."""
    module, _, function = name.partition(".")
    return getattr(import_module(f"pokora_anime.nano.train.members.{module}"), function)
