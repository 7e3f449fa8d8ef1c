"""Networks that look at frames: the nano probe offline, DINOv2 and CLIP when fetched. Imports torch late."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np
import numpy.typing as npt

from pokora_anime.nano.world.vocabulary import ATTRIBUTES
from pokora_anime.prompt.prompt_attributes import asked_attributes, bare_text
from pokora_anime.prompt.unknown_words import unknown_words
from pokora_anime.provenance.stage_records import Image
from pokora_anime.quality.metrics.features import ColorsAndEdges, Look, Vector, unit
from pokora_anime.quality.metrics.figure_parts import described, in_pixels
from pokora_anime.quality.metrics.metric_table import HUB, PROBE

if TYPE_CHECKING:
    from torch import Tensor

    from pokora_anime.networks.extraction.extractors import PoseReader

SUBJECT = ("hair_color", "hair_style", "eye_color", "outfit", "outfit_color")
BACKGROUND = ("background",)
CLIP_FRAMES = 16  # joint tracks that an action is judged by
_DINO_SIDE = 224
Scale = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]  # what a network takes from its pixels
_IMAGENET: Scale = (np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225]))
_CLIP: Scale = (
    np.array([0.48145466, 0.4578275, 0.40821073]),
    np.array([0.26862954, 0.26130258, 0.27577711]),
)


class NanoProbe:
    """The probe's attributes as looks, and whether they are those that the prompt names.

    The likeness of two looks is the mean Bhattacharyya coefficient of their attributes' probabilities;
    the background's is half that and half its colours and edges.
    """

    name = PROBE
    looks_a_second = 8.0  # what its action head was trained on

    def __init__(self, folder: Path, prompt: str, device: str = "cpu") -> None:
        from pokora_anime.nano.probe import AttributeProbe

        self._probe = AttributeProbe.from_pretrained(folder).to(device)
        self._colors = ColorsAndEdges()
        self._tally = Tally(asked_attributes(prompt), len(unknown_words(bare_text(prompt))))

    def look(self, frame: Image) -> Look:
        judged = self._probe.judge(frame[None])
        shares = {name: values[0] for name, values in judged.shares.items()}
        self._tally.add(shares, judged.tracks[0])
        colors = self._colors.look(frame).background
        place = _roots(shares, BACKGROUND)
        return Look(
            subject=unit(_roots(shares, SUBJECT)),
            background=unit(np.concatenate([unit(place), colors])),
            parts=described(frame, in_pixels(judged.tracks[0], frame)),
        )

    def adherence(self) -> tuple[float | None, str]:
        tracks = self._tally.windows()
        actions = None if tracks is None else self._probe.judge_actions(tracks)
        return self._tally.adherence(actions)


class Tally:
    """How often each attribute that a prompt names was seen; what is `unknown` to the world never is."""

    def __init__(self, asked: dict[str, str], unknown: int = 0) -> None:
        self._asked = asked
        self._unknown = unknown
        self._right: dict[str, int] = {}
        self._frames = 0
        self._tracks: list[npt.NDArray[np.float32]] = []

    def add(self, shares: dict[str, npt.NDArray[np.float32]], track: npt.NDArray[np.float32]) -> None:
        """A frame's probabilities by attribute, and its joints [18,3]."""
        for name, values in shares.items():
            right = self._asked.get(name) == ATTRIBUTES[name][int(values.argmax())]
            self._right[name] = self._right.get(name, 0) + right
        self._frames += 1
        if "action" in self._asked:
            self._tracks.append(np.asarray(track, np.float32))

    def windows(self) -> npt.NDArray[np.float32] | None:
        """Joint tracks [n,16,18,3], half overlapping; None where no action is asked for or seen."""
        count = len(self._tracks)
        if count < CLIP_FRAMES:
            return None
        starts = range(0, count - CLIP_FRAMES + 1, CLIP_FRAMES // 2)
        return np.stack([np.stack(self._tracks[start : start + CLIP_FRAMES]) for start in starts])

    def adherence(self, actions: npt.NDArray[np.float32] | None) -> tuple[float | None, str]:
        """Mean over what the prompt names of the share of frames (windows) that show it; unknown: 0."""
        if not self._frames:
            return None, "no frame"
        shares = [self._right[name] / self._frames for name in self._asked if name in self._right]
        if actions is not None:
            wanted = ATTRIBUTES["action"].index(self._asked["action"])
            shares.append(float((actions.argmax(-1) == wanted).mean()))
        shares += [0.0] * self._unknown
        if not shares:
            return None, "the prompt names nothing that the probe can read"
        return float(np.mean(shares)), PROBE


class PosedColors(ColorsAndEdges):
    """Colours and edges, of the figure's parts too: a pose extractor tells where they are."""

    def __init__(self, pose: PoseReader) -> None:
        self._pose = pose

    def look(self, frame: Image) -> Look:
        return replace(super().look(frame), parts=described(frame, self._pose(frame)))


class HubJudge:
    """DINOv2 sees the subject, CLIP the whole picture and the prompt, as VBench (arXiv 2311.17982) has it."""

    name = HUB
    looks_a_second = 2.0

    def __init__(
        self, dino: Path, clip: Path, prompt: str, device: str = "cpu", pose: PoseReader | None = None
    ) -> None:
        import torch
        from transformers import AutoModel, CLIPModel, CLIPTokenizer

        self._torch, self._device, self._pose = torch, device, pose
        self._dino: Any = cast(Any, AutoModel).from_pretrained(dino, local_files_only=True).to(device).eval()
        clip_model: Any = cast(Any, CLIPModel).from_pretrained(clip, local_files_only=True)
        self._clip: Any = clip_model.to(device).eval()
        words = cast(Any, CLIPTokenizer).from_pretrained(clip)(prompt, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            text = self._clip.text_model(**words.to(device)).pooler_output
            self._prompt = _array(self._clip.text_projection(text))
        self._clip_side = int(self._clip.config.vision_config.image_size)
        self._cosines: list[float] = []

    def look(self, frame: Image) -> Look:
        with self._torch.inference_mode():
            subject = self._dino(pixel_values=self._pixels(frame, _DINO_SIDE, _IMAGENET)).last_hidden_state[
                :, 0
            ]
            seen = self._clip.vision_model(
                pixel_values=self._pixels(frame, self._clip_side, _CLIP)
            ).pooler_output
            picture = _array(self._clip.visual_projection(seen))
        self._cosines.append(float(picture @ self._prompt))
        joints = None if self._pose is None else self._pose(frame)
        return Look(subject=_array(subject), background=picture, parts=described(frame, joints))

    def adherence(self) -> tuple[float | None, str]:
        return (float(np.mean(self._cosines)), "CLIP") if self._cosines else (None, "no frame")

    def _pixels(self, frame: Image, side: int, scale: Scale) -> Tensor:
        kind = cv2.INTER_AREA if min(frame.shape[:2]) > side else cv2.INTER_CUBIC
        small = np.asarray(cv2.resize(frame, (side, side), interpolation=kind), np.float32) / 255
        mean, spread = scale
        pixels = ((small - mean) / spread).astype(np.float32).transpose(2, 0, 1)[None]
        return self._torch.from_numpy(pixels).to(self._device)


def _array(tensor: Tensor) -> Vector:
    """A batch of one as a vector of length 1."""
    return unit(tensor.float().cpu().numpy()[0])


def _roots(shares: dict[str, npt.NDArray[np.float32]], names: tuple[str, ...]) -> Vector:
    return np.concatenate([np.sqrt(shares[name]) for name in names])
