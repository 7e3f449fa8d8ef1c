"""The extractors of pose and depth, and the inputs that make them sturdy."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from pokora_anime.nano import family, sizes
from pokora_anime.nano.nano_extractors import PoseExtractor, soft_argmax
from pokora_anime.nano.recipe import Training
from pokora_anime.nano.train import drawn_data
from pokora_anime.nano.train.members.train_vae import load_latents, load_vae
from pokora_anime.nano.train.training_loop import Dice, Place, train, write_record

MIRROR = [0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16]
HEAT = 64
SPREAD = 1.0  # heat map cells
THROUGH_VAE = 0.25
SCORED = 0.05  # share of the posed clips that are kept for the score
POSED = 0.5  # share of the pose extractor's pictures that show a pose of any action


class _Inputs:
    """Pictures as a generator would paint them: decoded latents, jitter, blur and noise."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.drawn = drawn_data.load(place.work, "stills", place.seed)
        self.latents = np.asarray(load_latents(place, "stills"))
        self.vae: AutoencoderKL = load_vae(place)

    def __call__(self, dice: Dice, count: int) -> tuple[Tensor, NDArray[np.int64]]:
        """Pictures [B,3,256,256] in 0..1 and their indices."""
        index = dice.numpy.integers(len(self.drawn.rgb), size=count)
        pictures = torch.from_numpy(np.stack([self.drawn.rgb[i] for i in index]))
        pictures = pictures.to(self.place.device).permute(0, 3, 1, 2).float() / 255
        decoded = max(1, round(count * THROUGH_VAE))
        pictures[:decoded] = self._decoded(index[:decoded], dice)
        return self.jittered(pictures, dice), index

    @torch.no_grad()
    def _decoded(self, index: NDArray[np.int64], dice: Dice) -> Tensor:
        latents = torch.from_numpy(self.latents[index].astype(np.float32))
        strength = torch.rand(len(index), 1, 1, 1, generator=dice.torch) * 0.4
        latents = latents + strength * dice.normal(*latents.shape)
        decoded = self.vae.decode(latents.to(self.place.device)).sample.float()
        return ((decoded + 1) / 2).clamp(0, 1)

    def jittered(self, pictures: Tensor, dice: Dice) -> Tensor:
        """Pictures [B,3,256,256] in other colours, and some of them softer."""
        rng, count = dice.numpy, len(pictures)

        def draw(low: float, high: float, channels: int = 1) -> Tensor:
            values = rng.uniform(low, high, size=(count, channels, 1, 1)).astype(np.float32)
            return torch.from_numpy(values).to(self.place.device)

        pictures = pictures * draw(0.75, 1.25, 3) + draw(-0.1, 0.1, 3)
        for i in np.flatnonzero(rng.random(count) < 0.3):
            size = int(rng.integers(96, 224))
            small = functional.interpolate(pictures[i : i + 1], size=size, mode="area")
            pictures[i : i + 1] = functional.interpolate(small, size=sizes.PICTURE, mode="bilinear")
        noise = dice.normal(*pictures.shape).to(self.place.device)
        return (pictures + draw(0.0, 0.08) * noise).clamp(0, 1)


def train_pose(training: Training, place: Place) -> None:
    """Trains the pose extractor; the score is the mean error in pixels at 256."""
    torch.manual_seed(place.seed)
    model = family.make_pose_extractor().to(place.device)
    inputs, posed = _Inputs(place), drawn_data.load(place.work, "posed", place.seed)
    share = min(round(training.batch * POSED), training.batch - 1)

    def loss_of(dice: Dice) -> Tensor:
        pictures, index = inputs(dice, training.batch - share)
        assert inputs.drawn.joints is not None
        in_poses, joints_in_poses = _in_poses(posed, dice, share)
        in_poses = inputs.jittered(in_poses.to(place.device), dice)
        pictures = torch.cat([pictures, in_poses])
        joints = np.concatenate([np.stack([inputs.drawn.joints[i] for i in index]), joints_in_poses])
        for i in np.flatnonzero(dice.numpy.random(len(joints)) < 0.5):
            pictures[i], joints[i] = pictures[i].flip(-1), mirrored(joints[i])
        pictures, joints = _moved(pictures, joints, dice)
        heat, presence = model(pictures)
        return _pose_loss(heat.float(), presence.float(), torch.from_numpy(joints).to(place.device))

    named = list(model.named_parameters())
    progress = train("pose_extractor", training, named, loss_of, place)
    scores = _pose_scores(model.eval(), place)
    print(f"pose_extractor: {scores}", flush=True)
    model.save_pretrained(place.family / "pose_extractor")
    write_record("pose_extractor", training, progress, place, scores)


def _in_poses(posed: drawn_data.Drawn, dice: Dice, count: int) -> tuple[Tensor, NDArray[np.float32]]:
    """Frames [B,3,256,256] in 0..1 of posed clips but the last ones, and their joints [B,18,3]."""
    assert posed.joints is not None
    clips = dice.numpy.integers(_taught(posed), size=count)
    frames = dice.numpy.integers(posed.rgb.shape[1], size=count)
    pictures = torch.from_numpy(posed.rgb[clips, frames]).permute(0, 3, 1, 2).float() / 255
    return pictures, posed.joints[clips, frames]


def _taught(posed: drawn_data.Drawn) -> int:
    """How many of the posed clips are trained on; the rest are for the score."""
    return max(1, len(posed.rgb) - max(1, round(len(posed.rgb) * SCORED)))


def mirrored(joints: NDArray[np.float32]) -> NDArray[np.float32]:
    """Joints [18,3] of the picture seen in a mirror: left and right swap names too."""
    turned = joints[MIRROR].copy()
    turned[:, 0] = sizes.PICTURE - turned[:, 0]
    return turned


def _moved(pictures: Tensor, joints: NDArray[np.float32], dice: Dice) -> tuple[Tensor, NDArray[np.float32]]:
    """Random zoom and shift of pictures and joints together."""
    size, count = sizes.PICTURE, len(pictures)
    zoom = dice.numpy.uniform(0.8, 1.2, size=count).astype(np.float32)
    shift = dice.numpy.uniform(-0.12, 0.12, size=(count, 2)).astype(np.float32)
    theta = np.zeros((count, 2, 3), np.float32)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 / zoom
    theta[:, :, 2] = -2 * shift / zoom[:, None]
    grid = functional.affine_grid(torch.from_numpy(theta), [count, 3, size, size], align_corners=False)
    moved = functional.grid_sample(
        pictures, grid.to(pictures.device), padding_mode="border", align_corners=False
    )
    joints = joints.copy()
    joints[..., :2] = (joints[..., :2] / size - 0.5) * zoom[:, None, None] + shift[:, None] + 0.5
    joints[..., :2] *= size
    inside = ((joints[..., :2] >= 0) & (joints[..., :2] < size)).all(-1)
    # A joint outside the drawing stays unknown; shrinking a picture cannot reveal it.
    joints[..., 2] *= inside
    return moved, joints


def _pose_loss(heat: Tensor, presence: Tensor, joints: Tensor) -> Tensor:
    visible = joints[..., 2]
    cells = joints[..., :2] / sizes.PICTURE * HEAT - 0.5
    axis = torch.arange(HEAT, device=heat.device)
    near = [torch.exp(-((axis - cells[..., k, None]) ** 2) / (2 * SPREAD**2)) for k in (0, 1)]
    wanted = (near[1][..., :, None] * near[0][..., None, :]).flatten(2)
    wanted = wanted / wanted.sum(-1, keepdim=True).clamp(min=1e-6)
    entropy = -(wanted * functional.log_softmax(heat.flatten(2), -1)).sum(-1)
    distance = (soft_argmax(heat) - joints[..., :2] / sizes.PICTURE).abs().sum(-1)
    placed = (visible * (entropy + 10 * distance)).sum() / visible.sum().clamp(min=1)
    return placed + functional.binary_cross_entropy_with_logits(presence, visible)


def _pose_scores(model: PoseExtractor, place: Place) -> dict[str, float]:
    """Scores on held-out stills, and `posed_...` on clips of all actions."""
    drawn, posed = (drawn_data.load(place.work, kind, place.seed) for kind in ("held_out", "posed"))
    assert drawn.joints is not None and posed.joints is not None
    rgb, joints = (array[_taught(posed) :, ::4] for array in (posed.rgb, posed.joints))
    in_poses = _errors(model, rgb.reshape(-1, *rgb.shape[2:]), joints.reshape(-1, 18, 3))
    scores = _errors(model, drawn.rgb, drawn.joints)
    return {**scores, **{f"posed_{name}": value for name, value in in_poses.items()}}


def _errors(model: PoseExtractor, rgb: NDArray[np.uint8], joints: NDArray[np.float32]) -> dict[str, float]:
    found = np.stack([model(np.asarray(picture)) for picture in rgb])
    visible = joints[..., 2] > 0.5
    errors = np.linalg.norm(found[..., :2] - joints[..., :2], axis=-1)[visible]
    return {
        "mean_error_px": float(errors.mean()),
        "within_8px": float((errors < 8).mean()),
        "presence_accuracy": float(((found[..., 2] > 0.5) == visible).mean()),
    }


def train_depth(training: Training, place: Place) -> None:
    """Trains the depth extractor; the score is the mean absolute error of depth in 0..1."""
    torch.manual_seed(place.seed)
    model = family.make_depth_extractor().to(place.device)
    # The head ends in a ReLU: a start above zero keeps it alive.
    nn.init.constant_(model.head.conv3.bias, 0.5)
    inputs = _Inputs(place)

    def loss_of(dice: Dice) -> Tensor:
        pictures, index = inputs(dice, training.batch)
        assert inputs.drawn.depth is not None
        depth = np.stack([_small_depth(inputs.drawn.depth[i]) for i in index])
        wanted = torch.from_numpy(depth).to(place.device)
        found = model(_small_pictures(pictures)).predicted_depth.float()
        difference = found - wanted
        edges = (difference[..., 1:] - difference[..., :-1]).abs().mean()
        edges = edges + (difference[..., 1:, :] - difference[..., :-1, :]).abs().mean()
        return difference.abs().mean() + edges

    named = list(model.named_parameters())
    progress = train("depth_extractor", training, named, loss_of, place)
    scores = _depth_scores(model.eval(), place)
    print(f"depth_extractor: {scores}", flush=True)
    model.save_pretrained(place.family / "depth_extractor")
    write_record("depth_extractor", training, progress, place, scores)


def _small_pictures(pictures: Tensor) -> Tensor:
    """Pictures in 0..1 as the image processor hands them to the model."""
    size = family.DEPTH_INPUT
    return functional.interpolate(pictures, size=size, mode="bilinear", antialias=True) * 2 - 1


def _small_depth(depth: NDArray[np.uint8]) -> NDArray[np.float32]:
    size = (family.DEPTH_INPUT, family.DEPTH_INPUT)
    return cv2.resize(np.asarray(depth), size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255


@torch.no_grad()
def _depth_scores(model: nn.Module, place: Place) -> dict[str, float]:
    drawn = drawn_data.load(place.work, "held_out", place.seed)
    assert drawn.depth is not None
    errors: list[float] = []
    for rgb, depth in zip(drawn.rgb, drawn.depth, strict=True):
        picture = torch.from_numpy(np.array(rgb)).to(place.device).permute(2, 0, 1)[None] / 255
        found = model(_small_pictures(picture)).predicted_depth[0].float().cpu().numpy()
        errors.append(float(np.abs(found - _small_depth(depth)).mean()))
    return {"mean_absolute_error": float(np.mean(errors))}
