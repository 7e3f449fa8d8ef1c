"""Which weights a composition needs, whether they are here, and how they get here. Torch-free."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import cast

from pokora_anime.config.schema import (
    BaseConfig,
    ControlKind,
    Family,
    LoraConfig,
    RunConfig,
    Sampler,
    SpeedConfig,
    VideoConfig,
)
from pokora_anime.errors import ConfigError, MachineError, PokoraError, WeightsError
from pokora_anime.models import hashes, registry
from pokora_anime.models.advice import absent, control_options, leave_out, refuse_blocked, usable_kinds
from pokora_anime.models.lora_tags import merge_loras, shot_loras
from pokora_anime.models.registry import Row
from pokora_anime.provenance.atomic import writing

_DISK = {errno.ENOSPC, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS}
_DISK.add(getattr(errno, "EDQUOT", errno.ENOSPC))  # Windows has no quotas
PACKAGE = Path(__file__).resolve().parent.parent


def locate(row: Row) -> Path | None:
    """The folder that holds a row's files on this machine, or None. Never touches the network."""
    folder = PACKAGE / row.repo.removeprefix("package:") / row.folder if row.packaged else _snapshot(row)
    return folder if folder is not None and hashes.files(folder, row.files) is not None else None


def _snapshot(row: Row) -> Path | None:
    """The row's folder in the hub cache: at the pinned revision, else at the newest one fetched."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    home = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=row.repo, repo_type="model")
    revision = row.revision
    if revision is None:
        reference = home / "refs" / "main"
        revision = reference.read_text().strip() if reference.is_file() else None
    return None if revision is None else home / "snapshots" / revision / row.folder


def speed_row(speed: SpeedConfig, family: Family) -> Row | None:
    """The speed mode's LoRA; ConfigError CFG-SPEED where this base has none."""
    if speed.lora_role is None:
        return None
    row = registry.find(speed.lora_role, family)
    if row is None:
        raise ConfigError(
            "CFG-SPEED",
            f"base={family.value} has no LoRA for speed={speed.name}",
            expected="a base with a published one (sdxl, nano)",
            fix="use speed=hq",
        )
    return row


def style_rows(loras: Iterable[LoraConfig], family: Family) -> tuple[list[tuple[Row, float]], list[str]]:
    """Style LoRAs by role for a base, and a note for each that only other bases have.

    A row that is named twice, by whichever of its names, counts once; the later weight wins.
    """
    found: dict[str, tuple[Row, float]] = {}
    notes: list[str] = []
    for lora in loras:
        row = registry.find_style(lora.id, family)
        if row is None:
            notes.append(f"LoRA {lora.id}: base={family.value} has none for this role; left out")
        else:
            refuse_blocked(row, family)
            found[row.id] = (row, lora.weight)
    return list(found.values()), notes


def control_rows(kinds: Iterable[ControlKind], family: Family) -> list[Row]:
    """ControlNets and extractors for the kinds; ConfigError CFG-CONTROL for a kind without one."""
    wanted: list[Row] = []
    for kind in kinds:
        network = registry.find(f"controlnet_{kind.value}", family)
        if network is None:
            valid = [usable.value for usable in usable_kinds(family)]
            raise ConfigError(
                "CFG-CONTROL",
                f"base={family.value} has no ControlNet for {kind.value}",
                expected=f"control kinds out of {', '.join(valid)}",
                fix=f"use {control_options(family)}",
            )
        wanted.append(network)
        extractor = registry.find(f"{kind.value}_extractor", family)
        if extractor is not None:  # canny needs no weights
            wanted.append(extractor)
    return wanted


def base_rows(base: BaseConfig) -> list[Row]:
    """The base and, where one is named, its replacement VAE."""
    names = [base.weights] + ([base.vae] if base.vae else [])
    return [registry.get(name, base.family) for name in names]


def needs(config: RunConfig) -> list[Row]:
    """Every row that a composition loads, the base first; WeightsError WGT-3 if one is blocked."""
    family = config.base.family
    wanted = base_rows(config.base)
    speed = speed_row(config.speed, family)
    if speed is not None:
        wanted.append(speed)
    elif config.speed.sampler is Sampler.lcm:
        raise ConfigError("CFG-SPEED", "sampler lcm without a speed LoRA", fix="use speed=hq or speed=lcm")
    loras = merge_loras(config.style.loras, shot_loras(config.shot))
    wanted += [row for row, _ in style_rows(loras, family)[0]]
    if isinstance(config, VideoConfig):
        wanted.append(registry.get(config.base.motion_adapter, family))
        wanted += control_rows(config.control.kinds, family)
    for row in wanted:
        refuse_blocked(row, family)
    return list({row.id: row for row in wanted}.values())


def unpinned(config: RunConfig) -> list[str]:
    """A note for the run's record where weights are not tied to a revision or a sha256; else nothing."""
    names = [row.id for row in needs(config) if row.unpinned]
    return [f"unpinned weights (as fetched, no revision registered): {', '.join(names)}"] if names else []


def check_available(config: RunConfig, folders: Mapping[str, Path] | None = None) -> None:
    """Raise unless everything that the composition loads is on this machine and undamaged.

    WeightsError WGT-1 names the command that fetches what is missing, WGT-2 a damaged file, WGT-3
    what is blocked.
    `folders` overrides where a row is looked for, by row id.
    """
    wanted = needs(config)
    places = {row.id: (folders or {}).get(row.id) or locate(row) for row in wanted}
    lacking = [row for row in wanted if places[row.id] is None]
    if lacking:
        raise absent(lacking, wanted, config.base.family)
    for row in wanted:
        folder = places[row.id]
        # Only what has a promised hash is read here: hashing gigabytes would delay the first step.
        if folder is not None and (row.packaged or row.sha256):
            hashes.verify(row, folder)


def fetch(config: RunConfig, report: Callable[[str], None] = print) -> list[Path]:
    """Download what the composition needs at the pinned revisions; returns the folders.

    What cannot be had is reported and the rest is fetched; then the failure is raised, all of them in
    one: SYS-NET (the hub cannot be reached), WGT-1 (it does not give the files out), WGT-2 (a file is
    not as pinned). A full disk ends it at once (SYS-DISK).
    """
    folders: list[Path] = []
    failures: list[PokoraError] = []
    for row in needs(config):
        try:
            folders.append(_fetch_row(row, config.base.family, report))
        except PokoraError as error:
            if error.code == "SYS-DISK":
                raise
            report(f"{row.id}: {error.line()}")
            failures.append(error)
    if failures:
        raise _together(failures)
    return folders


def _fetch_row(row: Row, family: Family, report: Callable[[str], None]) -> Path:
    folder = locate(row)
    if folder is None:
        pin = " (unpinned)" if row.unpinned else ""
        report(f"{row.id}: fetching {row.repo}{pin} ({row.licence})")
        folder = _download(row, family)
    hashes.verify(row, folder)
    report(f"{row.id}: {row.status.value}{', unpinned' if row.unpinned else ''}, {folder}")
    return folder


def _together(failures: list[PokoraError]) -> PokoraError:
    first = failures[0]
    if len(failures) == 1:
        return first
    got = "; ".join(error.got for error in failures)
    fixes = dict.fromkeys(error.fix for error in failures if error.fix)
    return type(first)(first.code, got, expected=first.expected, fix="; ".join(fixes))


def _download(row: Row, family: Family) -> Path:
    if row.packaged:
        raise absent([row], [row], family)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    # The errors of the HTTP library, which differs between versions of the hub's client.
    http = cast("tuple[type[Exception], ...]", HfHubHTTPError.__bases__)
    try:
        snapshot_download(row.repo, revision=row.revision, allow_patterns=list(row.files))
    except (OSError, RuntimeError, *http) as error:
        raise _why(row, family, error) from error
    folder = locate(row)
    if folder is None:
        raise WeightsError(
            "WGT-1",
            f"{row.repo} has not all of {', '.join(row.files)}",
            fix=f"type the same command again with a connection, or use {leave_out(row, family)}",
        )
    return folder


def _why(row: Row, family: Family, error: Exception) -> PokoraError:
    """What a failed download means to the user."""
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError

    number = getattr(error, "errno", None)
    if "No space left" in str(error):  # the hub's own transfer library raises it as a RuntimeError
        number = errno.ENOSPC
    if number in _DISK:
        try:
            with writing(Path(constants.HF_HUB_CACHE)):
                raise OSError(number, os.strerror(number))
        except PokoraError as refused:
            return refused
    for cause in (error, error.__cause__):
        status = cause.response.status_code if isinstance(cause, HfHubHTTPError) else None
        if status in (401, 403, 404):
            return WeightsError(
                "WGT-1",
                f"{row.repo} is not given out: it is gone, or its terms must be accepted first ({status})",
                fix=f"accept its terms at {row.link} and `hf auth login`, or use {leave_out(row, family)}",
            )
    return MachineError(
        "SYS-NET",
        f"cannot fetch {row.repo}: {type(error).__name__}",
        fix="check the connection (HF_HUB_OFFLINE must be unset), then type the same command again",
    )
