"""Joints of the figure in a picture, by ViTPose (arXiv 2204.12484)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

# COCO's 17 joints in OpenPose's order; its neck lies between the shoulders.
_COCO = (0, 5, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
_SHOULDERS = (5, 6)
_NECK = 1
CUSTOMARY = 0.3  # the peak of a heatmap from which ViTPose's joints are taken as seen
MARGIN = 0.25  # of the figure's size, around it
LEAST = 0.1  # of the picture's size, where all joints lie close together
FEWEST = 4  # joints that say where a figure is


class VitPose:
    """Reads the pose twice: in the whole picture, then in the part of it where the figure was found.

    ViTPose wants a box around each person. The picture shows one figure that fills much of it, so the first
    reading takes the place of a detector.
    """

    def __init__(self, network: Any, processor: Any) -> None:
        self._network, self._processor = network, processor

    @classmethod
    def from_pretrained(cls, folder: Path, device: torch.device) -> VitPose:
        """The published folder, in fp32. Raises OSError, ValueError or RuntimeError."""
        from transformers import VitPoseForPoseEstimation
        from transformers.models.vitpose.image_processing_pil_vitpose import VitPoseImageProcessorPil

        network: Any = cast(Any, VitPoseForPoseEstimation).from_pretrained(
            folder, use_safetensors=True, local_files_only=True, dtype=torch.float32
        )
        processor = cast(Any, VitPoseImageProcessorPil).from_pretrained(folder, local_files_only=True)
        return cls(network.to(device).eval(), processor)

    def __call__(self, picture: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """18 joints [18, 3]: x, y in pixels, confidence 0..1 (0.5 is where a joint counts as seen)."""
        height, width = picture.shape[:2]
        whole = self._read(picture, (0.0, 0.0, float(width), float(height)))
        seen = whole[whole[:, 2] >= CUSTOMARY, :2]
        if len(seen) >= FEWEST:
            low, high = seen.min(axis=0), seen.max(axis=0)
            margin = max(MARGIN * float((high - low).max()), LEAST * max(height, width))
            left, top = np.maximum(low - margin, 0)
            right, bottom = np.minimum(high + margin, (width, height))
            whole = self._read(picture, (float(left), float(top), float(right - left), float(bottom - top)))
        return openpose_joints(whole)

    def _read(
        self, picture: NDArray[np.uint8], box: tuple[float, float, float, float]
    ) -> NDArray[np.float32]:
        """COCO joints [17, 3] of the figure in a box (left, top, width, height)."""
        inputs = self._processor([picture], boxes=[[list(box)]], return_tensors="pt")
        with torch.inference_mode():
            pixels = inputs["pixel_values"].to(self._network.device, torch.float32)
            answer = self._network(pixels)
        answer.heatmaps = answer.heatmaps.float().cpu()
        found = self._processor.post_process_pose_estimation(answer, boxes=[[list(box)]])[0][0]
        joints = np.zeros((17, 3), np.float32)
        joints[:, :2] = np.asarray(found["keypoints"], np.float32)
        joints[:, 2] = np.asarray(found["scores"], np.float32)
        return joints


def openpose_joints(coco: NDArray[np.float32]) -> NDArray[np.float32]:
    """OpenPose's 18 joints from COCO's 17; confidences are moved so that 0.5 is ViTPose's threshold."""
    joints = coco[list(_COCO)].copy()
    joints[_NECK, :2] = coco[list(_SHOULDERS), :2].mean(axis=0)
    joints[_NECK, 2] = coco[list(_SHOULDERS), 2].min()
    joints[:, 2] = np.clip(joints[:, 2] * 0.5 / CUSTOMARY, 0.0, 1.0)
    return joints
