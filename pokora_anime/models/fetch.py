"""Which weights a composition needs, whether they are here, and how they get here. Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

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
from pokora_anime.errors import ConfigError, MachineError, WeightsError
from pokora_anime.models import hashes, registry
from pokora_anime.models.lora_tags import merge_loras, shot_loras
from pokora_anime.models.registry import Row, Status

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
    """Style LoRAs by role for a base, and a note for each that only other bases have."""
    found: list[tuple[Row, float]] = []
    notes: list[str] = []
    for lora in loras:
        row = registry.find_style(lora.id, family)
        if row is None:
            notes.append(f"LoRA {lora.id}: base={family.value} has none for this role; left out")
        elif row.status is Status.blocked:
            raise WeightsError("WGT-3", f"LoRA {lora.id} is blocked ({row.licence})", fix="remove it")
        else:
            found.append((row, lora.weight))
    return found, notes


def control_rows(kinds: Iterable[ControlKind], family: Family) -> list[Row]:
    """ControlNets and extractors for the kinds; ConfigError CFG-CONTROL for a kind without one."""
    wanted: list[Row] = []
    for kind in kinds:
        network = registry.find(f"controlnet_{kind.value}", family)
        if network is None:
            valid = [k.value for k in ControlKind if registry.find(f"controlnet_{k.value}", family)]
            raise ConfigError(
                "CFG-CONTROL",
                f"base={family.value} has no ControlNet for {kind.value}",
                expected=f"control kinds out of {', '.join(valid)}",
                fix=f"use control={'_'.join(valid)} or control=none",
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
    """Every row that a composition loads, the base first."""
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
    return list({row.id: row for row in wanted}.values())


def check_available(config: RunConfig, folders: Mapping[str, Path] | None = None) -> None:
    """Raise unless everything that the composition loads is on this machine and undamaged.

    WeightsError WGT-1 names the command that fetches what is missing, WGT-2 a damaged file.
    `folders` overrides where a row is looked for, by row id.
    """
    wanted = needs(config)
    places = {row.id: (folders or {}).get(row.id) or locate(row) for row in wanted}
    lacking = [row for row in wanted if places[row.id] is None]
    fetchable = [row for row in lacking if row.status is not Status.blocked]
    if fetchable or lacking:
        raise absent(fetchable or lacking)
    for row in wanted:
        folder = places[row.id]
        # Only what has a promised hash is read here: hashing gigabytes would delay the first step.
        if folder is not None and (row.packaged or row.sha256):
            hashes.verify(row, folder)


def absent(lacking: list[Row]) -> WeightsError:
    """The error for rows that are not on this machine; how to mend it depends on why."""
    names = ", ".join(row.id for row in lacking)
    first = lacking[0]
    if first.packaged:
        return WeightsError(
            "WGT-1", f"missing from the installed package: {names}", fix="reinstall pokora_anime"
        )
    if first.status is Status.blocked:
        return WeightsError(
            "WGT-1",
            f"{names} is not here, and is never fetched for you (licence: {first.licence})",
            fix="use control=depth or control=none, or put it into the hub cache yourself: "
            f"hf download {first.repo} {' '.join(first.files)}",
        )
    return WeightsError("WGT-1", f"weights missing: {names}", fix=hashes.fetch_command(*lacking))


def fetch(config: RunConfig, report: Callable[[str], None] = print) -> list[Path]:
    """Download what the composition needs at the pinned revisions; returns the folders.

    Raises MachineError SYS-NET when the hub cannot be reached, WGT-2 when a file is not as pinned.
    """
    folders: list[Path] = []
    for row in needs(config):
        folder = locate(row)
        if folder is None and row.status is Status.blocked:
            report(f"{row.id}: left out (licence: {row.licence})")
            continue
        if folder is None:
            report(f"{row.id}: fetching {row.repo} ({row.licence})")
            folder = _download(row)
        hashes.verify(row, folder)
        report(f"{row.id}: {row.status.value}, {folder}")
        folders.append(folder)
    return folders


def _download(row: Row) -> Path:
    if row.packaged:
        raise absent([row])
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        snapshot_download(row.repo, revision=row.revision, allow_patterns=list(row.files))
    except (OSError, HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise MachineError(
            "SYS-NET",
            f"cannot fetch {row.repo}: {type(error).__name__}",
            fix="check the connection (HF_HUB_OFFLINE must be unset), then type the same command again",
        ) from error
    folder = locate(row)
    if folder is None:
        raise WeightsError("WGT-1", f"{row.repo} has not all of {', '.join(row.files)}")
    return folder
