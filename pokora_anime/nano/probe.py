"""The attribute probe: the judge of what a picture or a clip of the drawn world shows.

It is trained on drawn pictures alone and never trains the generator, so what it says of generated
pictures is a measurement. Shapes: B pictures, F frames, K values of an attribute.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from pokora_anime.nano.nano_extractors import CONFIG, JOINTS, WEIGHTS, Residual, soft_argmax
from pokora_anime.nano.world.character.face import blink
from pokora_anime.nano.world.scene import Scene
from pokora_anime.nano.world.vocabulary import ATTRIBUTES

INPUT = 128  # pixels a side
STILL = tuple(name for name in ATTRIBUTES if name not in ("action", "camera"))
ACTIONS = ATTRIBUTES["action"]
UNKNOWN = -1  # the label of what a picture does not show
CLOSED_EYES = ATTRIBUTES["expression"].index("closed eyes")
BLINKING = 0.15  # share of closure from which a blink hides the expression
QUERIES = 2  # places that each attribute is looked for at
NOSE, NECK = 0, 1
BATCH = 32

Labels = dict[str, NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Seen:
    """What the network says of pictures, for training.

    logits [B,K] by attribute; joints [B,18,2] as shares of the frame; presence logits [B,18];
    attention [B,attributes,queries,16,16], each summing to 1.
    """

    logits: dict[str, Tensor]
    joints: Tensor
    presence: Tensor
    attention: Tensor


@dataclass(frozen=True, slots=True)
class Judged:
    """Probabilities [n,K] by attribute and joint tracks [n,18,3] (shares of the frame, presence)."""

    shares: dict[str, NDArray[np.float32]]
    tracks: NDArray[np.float32]

    def values(self) -> Labels:
        """The most probable value of each attribute, [n]."""
        return {name: shares.argmax(-1) for name, shares in self.shares.items()}


class ActionHead(nn.Module):
    """Logits [B,6] of the action from joint tracks [B,F,18,3]."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.first = nn.Conv1d(3 * JOINTS + 2, width, 3, padding=1)
        self.second = nn.Conv1d(width, width, 3, padding=2, dilation=2)
        self.third = nn.Conv1d(width, width, 3, padding=1)
        self.action = nn.Linear(2 * width, len(ACTIONS))

    def forward(self, tracks: Tensor) -> Tensor:
        x = functional.silu(self.first(_moves(tracks)))
        x = x + functional.silu(self.second(x))
        x = x + functional.silu(self.third(x))
        return self.action(torch.cat([x.mean(-1), x.amax(-1)], -1))


def _moves(tracks: Tensor) -> Tensor:
    """Joints around the neck in head sizes, and the neck's own way: [B,56,F]."""
    points, presence = tracks[..., :2], tracks[..., 2]
    neck = points[:, :, NECK]
    head = (points[:, :, NOSE] - neck).norm(dim=-1).mean(1).clamp(min=0.02)[:, None, None]
    around = (points - neck[:, :, None]) / head[..., None] * presence[..., None]
    way = (neck - neck.mean(1, keepdim=True)) / head
    return torch.cat([around.flatten(2) / 4, presence, way], -1).transpose(1, 2)


class AttributeProbe(nn.Module):
    """Attributes from pictures [B,3,128,128] in 0..1, actions from tracks of their joints."""

    def __init__(self, widths: tuple[int, int, int, int] = (24, 40, 80, 128)) -> None:
        super().__init__()
        self.widths = tuple(widths)
        a, b, c, d = self.widths
        self.stem = nn.Sequential(nn.Conv2d(3, a, 3, 2, 1), nn.SiLU(), nn.Conv2d(a, b, 3, 2, 1), Residual(b))
        self.down = nn.Sequential(nn.Conv2d(b, c, 3, 2, 1), Residual(c))
        self.deep = nn.Sequential(nn.Conv2d(c, d, 3, 2, 1), Residual(d))
        self.up = nn.Conv2d(d, c, 1)
        self.mix = nn.Sequential(nn.GroupNorm(8, c), nn.SiLU(), nn.Conv2d(c, c, 3, padding=1))
        self.attention = nn.Conv2d(c, len(STILL) * QUERIES, 1)
        self.heads = nn.ModuleDict({name: nn.Linear(QUERIES * c, len(ATTRIBUTES[name])) for name in STILL})
        self.heat = nn.Conv2d(c, JOINTS, 1)
        self.presence = nn.Conv2d(c, JOINTS, 1)
        self.clip = ActionHead()

    def forward(self, pictures: Tensor) -> Seen:
        shallow = self.down(self.stem(pictures * 2 - 1))
        deep = functional.interpolate(self.up(self.deep(shallow)), scale_factor=2, mode="nearest")
        cells = shallow + deep
        cells = cells + self.mix(cells)
        count, channels, height, width = cells.shape
        attention = functional.softmax(self.attention(cells).float().flatten(2), -1)
        found = torch.einsum("bqn,bcn->bqc", attention, cells.float().flatten(2))
        found = found.view(count, len(STILL), QUERIES * channels)
        logits = {name: self.heads[name](found[:, i]).float() for i, name in enumerate(STILL)}
        heat = self.heat(cells).float()
        presence = (functional.softmax(heat.flatten(2), -1) * self.presence(cells).float().flatten(2)).sum(-1)
        attention = attention.view(count, len(STILL), QUERIES, height, width)
        return Seen(logits, soft_argmax(heat), presence, attention)

    @torch.inference_mode()
    def judge(self, rgb: NDArray[np.uint8]) -> Judged:
        """Pictures uint8 [n,H,W,3]; H and W at least 128."""
        shares: dict[str, list[NDArray[np.float32]]] = {name: [] for name in STILL}
        tracks: list[NDArray[np.float32]] = []
        for start in range(0, len(rgb), BATCH):
            seen = self(to_input(rgb[start : start + BATCH]).to(self.heat.weight.device))
            for name, logits in seen.logits.items():
                shares[name].append(logits.softmax(-1).cpu().numpy())
            tracks.append(tracks_of(seen).cpu().numpy())
        return Judged({name: np.concatenate(parts) for name, parts in shares.items()}, np.concatenate(tracks))

    @torch.inference_mode()
    def judge_actions(self, tracks: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities [n,6] of the actions from joint tracks [n,F,18,3] of `judge`."""
        given = torch.from_numpy(np.asarray(tracks, np.float32)).to(self.heat.weight.device)
        return self.clip(given).softmax(-1).cpu().numpy()

    def save_pretrained(self, folder: Path | str) -> None:
        """Writes config.json and model.safetensors, in fp16."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        config = {"model_type": "pokora_probe", "widths": list(self.widths), "attributes": list(STILL)}
        (folder / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
        save_file({k: v.half().contiguous() for k, v in self.state_dict().items()}, folder / WEIGHTS)

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> AttributeProbe:
        """Loads what `save_pretrained` wrote, in float32 and eval mode."""
        folder = Path(folder)
        config = json.loads((folder / CONFIG).read_text())
        model = cls(tuple(config["widths"]))
        model.load_state_dict(load_file(folder / WEIGHTS))
        return model.float().eval()


def to_input(rgb: NDArray[np.uint8]) -> Tensor:
    """Pictures uint8 [n,H,W,3] as the network takes them: [n,3,128,128] in 0..1."""
    pictures = torch.from_numpy(np.array(rgb)).permute(0, 3, 1, 2).float() / 255
    if pictures.shape[-2:] == (INPUT, INPUT):
        return pictures
    return functional.interpolate(pictures, size=(INPUT, INPUT), mode="area")


def tracks_of(seen: Seen) -> Tensor:
    """Joint positions and presence probabilities [B,18,3]."""
    return torch.cat([seen.joints, seen.presence.sigmoid()[..., None]], -1).float()


def labels_of(scenes: Sequence[Scene], times: Sequence[float]) -> Labels:
    """What pictures of scenes at times (seconds) show, [n] by attribute; UNKNOWN where they do not.

    Closed lids hide the eye colour, and a blink the expression too.
    """
    labels: Labels = {name: np.empty(len(scenes), np.int64) for name in STILL}
    for i, (scene, closing) in enumerate(_lids(scenes, times)):
        for name in STILL:
            labels[name][i] = ATTRIBUTES[name].index(str(getattr(scene, name)))
        if scene.expression == "closed eyes" or closing > BLINKING:
            labels["eye_color"][i] = UNKNOWN
        if scene.expression != "closed eyes" and closing > BLINKING:
            labels["expression"][i] = UNKNOWN
    return labels


def _lids(scenes: Sequence[Scene], times: Sequence[float]) -> Iterator[tuple[Scene, float]]:
    for scene, time in zip(scenes, times, strict=True):
        yield scene, blink(scene, time)


def accuracy(found: Labels, wanted: Labels) -> dict[str, float]:
    """Share of right values by attribute among those that are known; NaN where none is."""
    result: dict[str, float] = {}
    for name, labels in wanted.items():
        known = labels != UNKNOWN
        result[name] = float((found[name][known] == labels[known]).mean()) if known.any() else float("nan")
    return result
