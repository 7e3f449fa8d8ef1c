"""The attribute probe: attributes of pictures, and actions from the tracks of the joints."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pokora_anime.nano.probe import ACTIONS, STILL, UNKNOWN, AttributeProbe, Labels, Seen, accuracy, labels_of
from pokora_anime.nano.recipe import Training
from pokora_anime.nano.sizes import FRAMES, PICTURE
from pokora_anime.nano.train import drawn_data
from pokora_anime.nano.train.members.probe_pictures import Pictures, moments, shrunk, through_vae
from pokora_anime.nano.train.members.train_extractors import MIRROR
from pokora_anime.nano.train.members.train_vae import load_vae
from pokora_anime.nano.train.training_loop import Dice, Place, train, write_record
from pokora_anime.nano.world.draw import draw_frame
from pokora_anime.nano.world.scene import Scene

EYES = (14, 15)
EYE_SPREAD, EYE_WEIGHT = 1.2, 0.2  # cells of the attention map
JOINT_WEIGHT = 5.0
CLIP_BATCH = 64
SCORED, SCORED_CLIPS, NEW = 400, 80, 100_000  # NEW: indices that no training draws


def train_probe(training: Training, place: Place) -> None:
    """Trains the probe on pictures, then its clip head on joint tracks, and writes it with its scores."""
    torch.manual_seed(place.seed)
    probe = AttributeProbe().to(place.device)
    pictures = Pictures(place)

    def loss_of(dice: Dice) -> Tensor:
        given, labels, joints = pictures(dice, training.batch)
        return still_loss(probe(given), labels, joints)

    named = [(n, p) for n, p in probe.named_parameters() if not n.startswith("clip.")]
    progress = train("probe", training, named, loss_of, place)
    _train_clips(probe.eval(), replace(training, batch=CLIP_BATCH), pictures, place)
    scores = _scores(probe, place)
    print(f"probe: {scores}", flush=True)
    probe.save_pretrained(place.family / "probe")
    write_record("probe", training, progress, place, scores)


def still_loss(seen: Seen, labels: Tensor, joints: Tensor) -> Tensor:
    """Cross-entropy of every attribute, distance of the joints, and the eyes looked at."""
    entropy = [
        functional.cross_entropy(seen.logits[name], labels[:, i], ignore_index=UNKNOWN, reduction="sum")
        / (labels[:, i] != UNKNOWN).sum().clamp(min=1)
        for i, name in enumerate(STILL)
    ]
    visible = joints[..., 2]
    distance = (seen.joints - joints[..., :2]).abs().sum(-1)
    placed = (visible * distance).sum() / visible.sum().clamp(min=1)
    presence = functional.binary_cross_entropy_with_logits(seen.presence, visible)
    return (
        torch.stack(entropy).mean()
        + JOINT_WEIGHT * placed
        + 0.2 * presence
        + EYE_WEIGHT * _eye_loss(seen, labels, joints)
    )


def _eye_loss(seen: Seen, labels: Tensor, joints: Tensor) -> Tensor:
    """How little of the eye colour's attention lies on the eyes: they are small and found late without."""
    index = STILL.index("eye_color")
    size = seen.attention.shape[-1]
    axis = (torch.arange(size, device=joints.device) + 0.5) / size
    eyes = joints[:, EYES, :]
    square = (axis - eyes[..., :1]).square()[:, :, None, :] + (axis - eyes[..., 1:2]).square()[..., None]
    near = torch.exp(-square / (2 * (EYE_SPREAD / size) ** 2)) * eyes[..., 2, None, None]
    on_eyes = (seen.attention[:, index] * near.amax(1)[:, None]).sum((2, 3))
    shown = (labels[:, index] != UNKNOWN) & (eyes[..., 2].amax(1) > 0)
    losses = -(on_eyes + 1e-3).log().mean(1)
    return (losses * shown).sum() / shown.sum().clamp(min=1)


def _train_clips(probe: AttributeProbe, training: Training, pictures: Pictures, place: Place) -> None:
    """Trains the clip head on the joint tracks that the trained probe sees."""
    drawn = drawn_data.load(place.work, "clips", place.seed)
    tracks = _tracks(probe, drawn.rgb)
    actions = np.array([ACTIONS.index(scene.action) for scene in drawn.scenes])
    decoded, index = pictures.clips()
    tracks = np.concatenate([tracks, *[_tracks(probe, decoded)] * 3])  # as often as a fifth
    actions = np.concatenate([actions, *[actions[index]] * 3])

    def loss_of(dice: Dice) -> Tensor:
        chosen = dice.numpy.integers(len(tracks), size=training.batch)
        given = _shaken(tracks[chosen], dice.numpy)
        wanted = torch.from_numpy(actions[chosen]).to(place.device)
        return functional.cross_entropy(probe.clip(torch.from_numpy(given).to(place.device)).float(), wanted)

    train("probe_clips", training, list(probe.clip.named_parameters()), loss_of, place)


def _tracks(probe: AttributeProbe, clips: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Joint tracks [n,F,18,3] of clips [n,F,H,W,3]."""
    return np.stack([probe.judge(np.stack([shrunk(frame) for frame in clip])).tracks for clip in clips])


def _shaken(tracks: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Tracks mirrored, moved, scaled and made unsteady."""
    tracks = tracks.copy()
    count = len(tracks)
    mirrored = rng.random(count) < 0.5
    tracks[mirrored] = tracks[mirrored][:, :, MIRROR]
    tracks[mirrored, ..., 0] = 1 - tracks[mirrored, ..., 0]
    around = tracks[..., :2] - 0.5
    tracks[..., :2] = around * rng.uniform(0.9, 1.1, size=(count, 1, 1, 1)) + 0.5
    unsteady = rng.uniform(0.0, 0.012, size=(count, 1, 1, 1))
    tracks[..., :2] += unsteady * rng.standard_normal(tracks[..., :2].shape)
    tracks[..., :2] += 0.008 * rng.standard_normal((count, 1, 18, 2))  # a joint seen beside its place
    return tracks


def _scores(probe: AttributeProbe, place: Place) -> dict[str, float]:
    """Accuracy by attribute on new drawings, the same after the autoencoder, and of actions."""
    count = min(SCORED, len(drawn_data.load(place.work, "stills", place.seed).rgb))
    drawn: list[tuple[Scene, float]] = []
    for kind in ("held_out", "held_out", "pastel", "flat_color"):
        drawn += moments(kind, range(NEW + len(drawn), NEW + len(drawn) + count // 4), 1, place.seed)
    rgb = np.stack([draw_frame(scene, time, PICTURE).rgb for scene, time in drawn])
    wanted = labels_of(*zip(*drawn, strict=True))
    scores = _named(accuracy(probe.judge(rgb).values(), wanted), "")
    scores |= _named(
        accuracy(probe.judge(through_vae(rgb, load_vae(place), place)).values(), wanted), "_decoded"
    )
    clips = min(SCORED_CLIPS, len(drawn_data.load(place.work, "clips", place.seed).rgb))
    frames = moments("clips", range(NEW, NEW + clips), FRAMES, place.seed)
    seen = probe.judge(np.stack([draw_frame(scene, time, PICTURE).rgb for scene, time in frames]))
    tracks = seen.tracks.reshape(clips, FRAMES, 18, 3)
    actions: Labels = {"action": np.array([ACTIONS.index(s.action) for s, _ in frames[::FRAMES]])}
    return scores | accuracy({"action": probe.judge_actions(tracks).argmax(-1)}, actions)


def _named(scores: dict[str, float], ending: str) -> dict[str, float]:
    return {name + ending: value for name, value in scores.items() if not np.isnan(value)}
