"""How many bytes a run writes, counted from its config, and whether they fit. Torch-free."""

from __future__ import annotations

from pathlib import Path

from pokora_anime.devices.forecast.workload import Job
from pokora_anime.errors import MachineError
from pokora_anime.schema.settings import RunConfig, StillsConfig, VideoConfig
from pokora_anime.system.files.user_folder import amount, free_space
from pokora_anime.timeline import choreography_plan, draft_plan, join_plan

_LATENT = 4 * 4  # bytes of a latent pixel: four channels in fp32
_RGB = 3
_JOINTS = 18 * 3 * 4  # bytes of the joints of a frame: OpenPose places and whether they show, in fp32
_ENCODED = 0.25  # bytes of an encoded pixel at _CRF, as noise takes them; nano's clips take a fifth
_CRF = 16
_HALVED = 6  # steps of CRF that halve a file
_AROUND = 20_000_000  # prompt, contact sheet, preview, score, record, logs and temporary files


def needed(config: RunConfig) -> int:
    """Bytes that a whole run writes at most."""
    job = Job.of(config)
    frame, latent = job.width * job.height * _RGB, job.latent_pixels * _LATENT
    picture = 2 * frame + latent  # as stored, and as a PNG that does not shrink
    if isinstance(config, StillsConfig):
        return _AROUND + job.pictures * picture
    assert isinstance(config, VideoConfig)
    finish, attempts = config.finish, config.quality.reroll + 1
    maps = len(config.control.kinds) * frame
    segment = 2 * job.frames * latent * attempts  # its noise and its latents
    segment += job.frames * job.hires.latent_pixels * _LATENT if job.hires else 0
    if draft_plan.wanted(config):
        segment += job.frames * (latent + maps)
    elif choreography_plan.wanted(config):
        segment += job.frames * _JOINTS
    elif join_plan.mapped(config):
        segment += maps
    pictures = max(config.best_of + 1, config.control.attempts if config.control.kinds else 1)
    first = pictures * picture + 2 * maps if config.keyframe.enabled else 0
    encoded = job.delivered * _ENCODED * 2 ** ((_CRF - config.encode.crf) / _HALVED)
    chunk = finish.width * finish.height * _RGB  # the frames of the scorecard
    return round(_AROUND + first + job.segments * (segment + 2 * chunk) + encoded)


def require(config: RunConfig, folder: Path) -> None:
    """Raise MachineError SYS-DISK where a run's folder has no room for what the run has still to write."""
    there = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if found := shortage(folder, max(_AROUND, needed(config) - there)):
        got, expected = found
        raise MachineError(
            "SYS-DISK",
            f"a run does not fit: {got}",
            expected=expected,
            fix="free some space, or --out DIR on another disk",
        )


def shortage(folder: Path, need: int) -> tuple[str, str] | None:
    """What is to write and what is free where `folder` is or will be, and how much is lacking, in words."""
    free = free_space(folder)
    if free >= need:
        return None
    return f"{amount(need)} to write and {amount(free)} free in {folder}", f"{amount(need - free)} more"
