"""Which judges are used: the best that this machine has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pokora_anime.catalogue import registry, weight_hashes
from pokora_anime.catalogue.weight_paths import locate
from pokora_anime.catalogue.weights_advice import refuse_blocked
from pokora_anime.quality.metrics.features import ColorsAndEdges, Describer
from pokora_anime.quality.metrics.metric_table import COLORS
from pokora_anime.quality.metrics.optical_flow import BothFlows, DisFlow
from pokora_anime.schema.settings import Family
from pokora_anime.system.files.installed_package import NANO_WEIGHTS

if TYPE_CHECKING:
    from pokora_anime.networks.extraction.extractors import PoseReader

PROBE_FOLDER = NANO_WEIGHTS / "probe"


def describer_for(family: Family, prompt: str, device: str = "cpu", probe: Path = PROBE_FOLDER) -> Describer:
    """The nano probe for nano clips, else DINOv2 and CLIP where both were fetched, else colours and edges.

    Raises WeightsError for weights that are not what the registry says.
    """
    light = light_describer(family, prompt, device, probe)
    if light.name != COLORS:
        return light
    pose = _pose_reader(family, device)
    dino, clip = fetched("score_consistency", family), fetched("score_prompt", family)
    if dino is not None and clip is not None:
        from pokora_anime.quality.metrics.frame_judges import HubJudge

        return HubJudge(dino[0], clip[0], prompt, device, pose)
    if pose is None:
        return light
    from pokora_anime.quality.metrics.frame_judges import PosedColors

    return PosedColors(pose)


def _pose_reader(family: Family, device: str) -> PoseReader | None:
    """The base's own pose extractor where it was fetched, to tell where face and clothes are."""
    row, found = registry.find("pose_extractor", family), fetched("pose_extractor", family)
    if row is None or found is None:
        return None
    import torch

    from pokora_anime.networks.extraction.extractors import load_pose

    return load_pose(row, found[0], torch.device(device))


def light_describer(
    family: Family, prompt: str, device: str = "cpu", probe: Path = PROBE_FOLDER
) -> Describer:
    """One that takes next to no memory: the nano probe for nano clips, else colours and edges."""
    if family is Family.nano and (probe / "model.safetensors").is_file():
        from pokora_anime.quality.metrics.frame_judges import NanoProbe

        return NanoProbe(probe, prompt, device)
    return ColorsAndEdges()


def flows_for(family: Family, device: str = "cpu") -> BothFlows:
    """RAFT on a GPU where it was fetched, else OpenCV: on a CPU RAFT would take longer than the render."""
    raft = fetched("score_flow", family) if device != "cpu" else None
    if raft is None:
        return DisFlow()
    from pokora_anime.quality.metrics.optical_flow import RaftFlow

    folder, files = raft
    return RaftFlow(folder / files[0], device)


def fetched(role: str, family: Family) -> tuple[Path, tuple[str, ...]] | None:
    """Folder and file names of the scorer with this role, verified; None where it is not here."""
    row = registry.find(role, family)
    if row is None:
        return None
    try:
        folder = locate(row)
    except OSError:  # a guarded run may not even look there
        return None
    if folder is None:
        return None
    refuse_blocked(row, family)
    weight_hashes.verify(row, folder)
    return folder, row.files
