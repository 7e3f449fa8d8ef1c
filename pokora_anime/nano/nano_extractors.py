"""The pose extractor: a picture in, 18 OpenPose joints out."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

JOINTS = 18
INPUT = 256
CONFIG, WEIGHTS = "config.json", "model.safetensors"


class Residual(nn.Module):
    """Two 3x3 convolutions and a skip; [B,c,h,w] in and out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(8, channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(8, channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class PoseExtractor(nn.Module):
    """Heat maps [B,18,64,64] and presence logits [B,18] from pictures [B,3,256,256] in 0..1."""

    def __init__(self, widths: tuple[int, int, int, int] = (24, 48, 72, 96)) -> None:
        super().__init__()
        self.widths = tuple(widths)
        a, b, c, d = self.widths
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, 5, 2, 2), nn.SiLU(), nn.Conv2d(16, a, 3, 2, 1), Residual(a)
        )
        self.down1 = nn.Sequential(nn.Conv2d(a, b, 3, 2, 1), Residual(b))
        self.down2 = nn.Sequential(nn.Conv2d(b, c, 3, 2, 1), Residual(c))
        self.down3 = nn.Sequential(nn.Conv2d(c, d, 3, 2, 1), Residual(d), Residual(d))
        self.up2 = nn.Conv2d(d, c, 1)
        self.mix2 = Residual(c)
        self.up1 = nn.Conv2d(c, b, 1)
        self.mix1 = Residual(b)
        self.up0 = nn.Conv2d(b, a, 1)
        self.mix0 = Residual(a)
        self.heat = nn.Conv2d(a, JOINTS, 1)
        self.presence = nn.Linear(d, JOINTS)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        x0 = self.stem(pictures * 2 - 1)
        x1 = self.down1(x0)
        x2 = self.down2(x1)
        x3 = self.down3(x2)
        y = self.mix2(x2 + _double(self.up2(x3)))
        y = self.mix1(x1 + _double(self.up1(y)))
        y = self.mix0(x0 + _double(self.up0(y)))
        return self.heat(y), self.presence(x3.mean((2, 3)))

    @torch.no_grad()
    def locate(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        height, width = rgb.shape[:2]
        small = cv2.resize(rgb, (INPUT, INPUT), interpolation=cv2.INTER_AREA)
        parameter = next(self.parameters())
        picture = torch.from_numpy(small).permute(2, 0, 1)[None].to(parameter) / 255
        heat, presence = self(picture)
        points = soft_argmax(heat.float())[0].cpu().numpy()
        confidence = presence.float().sigmoid()[0].cpu().numpy()
        scale = np.array([width, height], np.float32)
        return np.concatenate([points * scale, confidence[:, None]], 1).astype(np.float32)

    def __call__(self, pictures: Tensor | NDArray[np.uint8]):  # type: ignore[override]
        """A picture uint8 [H,W,3] gives joints float32 [18,3]: x, y in pixels and confidence."""
        if isinstance(pictures, np.ndarray):
            return self.locate(pictures)
        return super().__call__(pictures)

    def save_pretrained(self, folder: Path | str) -> None:
        """Writes config.json and model.safetensors."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        config = {"model_type": "pokora_pose", "widths": list(self.widths)}
        (folder / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
        save_file({k: v.contiguous() for k, v in self.state_dict().items()}, folder / WEIGHTS)

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> PoseExtractor:
        """Loads what `save_pretrained` wrote, in float32 and eval mode."""
        folder = Path(folder)
        config = json.loads((folder / CONFIG).read_text())
        model = cls(tuple(config["widths"]))
        model.load_state_dict(load_file(folder / WEIGHTS))
        return model.float().eval()


def soft_argmax(heat: Tensor) -> Tensor:
    """Heat logits [B,J,h,w] to points [B,J,2] as shares of width and height."""
    _, _, height, width = heat.shape
    weights = functional.softmax(heat.flatten(2), -1).view_as(heat)
    xs = (torch.arange(width, device=heat.device) + 0.5) / width
    ys = (torch.arange(height, device=heat.device) + 0.5) / height
    return torch.stack([(weights.sum(2) * xs).sum(-1), (weights.sum(3) * ys).sum(-1)], -1)


def _double(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="nearest")
