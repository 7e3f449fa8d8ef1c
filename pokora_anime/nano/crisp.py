"""The crisp network: a decoded frame in, the frame three times as large out, its lines drawn clean.

It sees two by two pixels as one place, which costs a quarter, and adds what it finds to a bicubic
enlargement (sub-pixel convolution, arXiv 1609.05158). Nothing but one frame goes in.
"""

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

from pokora_anime.nano.nano_extractors import CONFIG, WEIGHTS

SCALE = 3
FOLD = 2  # pixels a side of one place
WIDTH, DEPTH = 48, 4
BLUR, AMOUNT = 1.5, 1.6  # of the unsharp mask: sigma in pixels of the large frame, and strength
CALM = (4.0,) * 4  # levels, a channel each
Picture = NDArray[np.uint8]  # [height, width, 3]


class Crisp(nn.Module):
    """What a bicubic enlargement lacks, [B,3,3H,3W], of pictures [B,3,H+2M,W+2M] in 0..1 with even H and W.

    M is `margin`: the pixels that each side must bring along.
    """

    def __init__(self, width: int = WIDTH, depth: int = DEPTH) -> None:
        super().__init__()
        self.width, self.depth = width, depth
        layers: list[nn.Module] = [nn.Conv2d(3 * FOLD**2, width, 3), nn.ReLU()]
        for _ in range(depth):
            layers += [nn.Conv2d(width, width, 3), nn.ReLU()]
        last = nn.Conv2d(width, 3 * (SCALE * FOLD) ** 2, 3)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)  # untrained, it is the bicubic enlargement
        self.layers = nn.Sequential(*layers, last)

    @property
    def margin(self) -> int:
        """Pixels around a picture that its convolutions use up, a side."""
        return FOLD * (self.depth + 2)

    def forward(self, pictures: Tensor) -> Tensor:
        return functional.pixel_shuffle(self.layers(functional.pixel_unshuffle(pictures, FOLD)), SCALE * FOLD)

    def enlarged(self, frame: Picture) -> Picture:
        """A frame [h,w,3], three times as large, its edges steepened."""
        return steepened(self.larger(frame))

    @torch.no_grad()
    def larger(self, frame: Picture) -> Picture:
        """A frame three times as large; an odd side is made even by its last line and cut again."""
        height, width = frame.shape[:2]
        margin = self.margin
        framed = cv2.copyMakeBorder(
            frame, margin, margin + height % FOLD, margin, margin + width % FOLD, cv2.BORDER_REPLICATE
        )
        given = torch.from_numpy(framed).to(self.layers[0].weight.device)
        found = self.layers(functional.pixel_unshuffle(given.permute(2, 0, 1)[None].float() / 255, FOLD))
        # Unfolded straight into rows of pixels: `pixel_shuffle` would have to be turned once more.
        step = SCALE * FOLD
        rows, columns = found.shape[-2:]
        lacking = found[0].float().view(3, step, step, rows, columns).permute(3, 1, 4, 2, 0) * 255
        levels = lacking.contiguous().view(rows * step, columns * step, 3).cpu().numpy()
        return np.asarray(
            cv2.add(bicubic(frame), levels[: SCALE * height, : SCALE * width], dtype=cv2.CV_8U), np.uint8
        )

    def save_pretrained(self, folder: Path | str) -> None:
        """Writes config.json and model.safetensors."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        config = {"model_type": "pokora_crisp", "width": self.width, "depth": self.depth}
        (folder / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
        save_file({k: v.contiguous() for k, v in self.state_dict().items()}, folder / WEIGHTS)

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> Crisp:
        """Loads what `save_pretrained` wrote, in float32 and eval mode."""
        folder = Path(folder)
        config = json.loads((folder / CONFIG).read_text())
        model = cls(config["width"], config["depth"])
        model.load_state_dict(load_file(folder / WEIGHTS))
        # In this layout it takes two thirds of the time on a CPU.
        return model.float().eval().to(memory_format=torch.channels_last)


def steepened(frame: Picture) -> Picture:
    """Unsharp masking within the range of a pixel's neighbours, less `CALM`: no edge gets a ring.

    What a network is unsure of, it draws soft: this is the last third of the way to a drawn line. Where
    neighbours hardly differ nothing changes, so that what trembles there trembles no more than before.
    """
    blurred = cv2.GaussianBlur(frame, (0, 0), BLUR)
    sharp = cv2.addWeighted(frame, 1 + AMOUNT, blurred, -AMOUNT, 0)
    around = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    most = cv2.max(frame, cv2.subtract(cv2.dilate(frame, around), CALM))
    least = cv2.min(frame, cv2.add(cv2.erode(frame, around), CALM))
    return np.asarray(cv2.max(cv2.min(sharp, most), least), np.uint8)


def bicubic(frame: Picture) -> Picture:
    """A frame three times as large by bicubic interpolation."""
    height, width = frame.shape[:2]
    size = (SCALE * width, SCALE * height)
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC), np.uint8)
