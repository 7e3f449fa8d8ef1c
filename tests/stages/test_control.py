"""Control maps: read from the keyframe, in the formats that ControlNets expect."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from support import tiny_networks
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.vitpose.image_processing_pil_vitpose import VitPoseImageProcessorPil
from transformers.models.vitpose.modeling_vitpose import VitPoseEstimatorOutput

from pokora_anime.catalogue import registry
from pokora_anime.errors import ConfigError, WeightsError
from pokora_anime.networks.extraction import extractors, vitpose
from pokora_anime.provenance.stage_records import ControlTrack, Keyframe
from pokora_anime.schema.settings import ControlConfig, ControlKind, Family, VideoConfig
from pokora_anime.stages.control import control_maps
from pokora_anime.stages.control.control_maps import NobodyFound, canny_map, depth_map, extract, pose_map
from pokora_anime.stages.picture import keyframe
from pokora_anime.stages.run_context import RunContext
from pokora_anime.stages.text.prompt_embeddings import encode


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_networks.family(tmp_path_factory.mktemp("sdxl"))


def person(confidence: float = 1.0) -> NDArray[np.float32]:
    """Joints of somebody in a 32 px frame."""
    joints = np.full((18, 3), confidence, np.float32)
    joints[:, :2] = np.random.default_rng(0).uniform(4, 28, (18, 2))
    return joints


def made(family: Path, run: Path, config: VideoConfig) -> tuple[Keyframe, RunContext]:
    context = tiny_networks.context(run, tiny_networks.models(family, settings=config))
    return keyframe.render(encode(config.shot, config, context), config, context), context


def test_maps_are_rgb_at_frame_size(family: Path, tmp_path: Path) -> None:
    config = tiny_networks.config()
    still, context = made(family, tmp_path, config)
    context.models._loaded["pose_extractor"] = lambda picture: person()
    track = extract(still, config, context, last_attempt=False)
    assert isinstance(track, ControlTrack)
    assert set(track.maps) == {"pose", "depth"}
    for kind, found in track.maps.items():
        assert found.shape == (tiny_networks.SIZE, tiny_networks.SIZE, 3)
        assert found.dtype == np.uint8
        assert found.max() > 25
        assert (context.folder.path / f"control_{kind}.png").is_file()


def test_with_nobody_there_another_keyframe_is_asked_for(family: Path, tmp_path: Path) -> None:
    config = tiny_networks.config()
    still, context = made(family, tmp_path, config)
    context.models._loaded["pose_extractor"] = lambda picture: person(confidence=0.1)
    assert extract(still, config, context, last_attempt=False) == NobodyFound(0)


def test_on_the_last_attempt_it_goes_on_without_pose_and_says_so(family: Path, tmp_path: Path) -> None:
    config = tiny_networks.config()
    still, context = made(family, tmp_path, config)
    context.models._loaded["pose_extractor"] = lambda picture: person(confidence=0.1)
    track = extract(still, config, context, last_attempt=True)
    assert isinstance(track, ControlTrack)
    assert set(track.maps) == {"depth"}
    assert track.notes == (control_maps.NO_POSE,)


def test_stored_maps_are_read_back(family: Path, tmp_path: Path) -> None:
    config = tiny_networks.config()
    config.control = ControlConfig(kinds=[ControlKind.depth])
    still, context = made(family, tmp_path, config)
    first = extract(still, config, context, last_attempt=False)
    context.models._loaded["depth_extractor"] = lambda picture: pytest.fail("computed again")
    again = extract(still, config, context, last_attempt=False)
    assert isinstance(first, ControlTrack)
    assert isinstance(again, ControlTrack)
    assert np.array_equal(again.maps["depth"], first.maps["depth"])
    assert again.node == first.node


def test_a_kind_without_a_controlnet_is_refused(family: Path, tmp_path: Path) -> None:
    config = tiny_networks.config()
    config.control = ControlConfig(kinds=[ControlKind.canny])
    still, context = made(family, tmp_path, config)
    with pytest.raises(ConfigError, match="pose, depth"):
        extract(still, config, context, last_attempt=False)


def test_canny_needs_no_weights(family: Path, tmp_path: Path) -> None:
    config = tiny_networks.config()
    still, context = made(family, tmp_path, config)
    config.control = ControlConfig(kinds=[ControlKind.canny])
    config.base.family = Family.sdxl  # has a ControlNet for it
    track = extract(still, config, context, last_attempt=False)
    assert isinstance(track, ControlTrack)
    assert set(track.maps) == {"canny"}


def test_canny_finds_the_edges_of_a_square() -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[16:48, 16:48] = 255
    edges = canny_map(picture, (64, 64))
    assert edges[32, 14:18].max() == 255
    assert edges[32, 32].max() == 0.0
    assert edges[4, 4].max() == 0.0


def test_the_nearest_point_is_white() -> None:
    depth = np.array([[0.0, 1.0], [2.0, 4.0]], np.float32)
    grey = depth_map(depth, (2, 2))
    assert np.allclose(grey[:, :, 0] / 255, depth / 4, atol=0.5 / 255 + 1e-6)
    assert np.array_equal(grey[:, :, 0], grey[:, :, 2])


def test_a_flat_depth_is_all_far() -> None:
    assert depth_map(np.ones((3, 3), np.float32), (4, 4)).max() == 0.0


def test_a_pose_needs_a_head_and_both_shoulders() -> None:
    joints = person()
    joints[5, 2] = 0.2
    assert isinstance(pose_map(joints, (32, 32)), NobodyFound)
    joints[5, 2], joints[0, 2] = 0.9, 0.1
    assert isinstance(pose_map(joints, (32, 32)), np.ndarray)


def test_a_pose_map_has_the_frame_size_when_it_is_not_square() -> None:
    found = pose_map(person(), (32, 48))
    assert isinstance(found, np.ndarray)
    assert found.shape == (32, 48, 3)


# Extractors of the published bases


class Bright(nn.Module):
    """A pose network whose every joint is the brightest place."""

    device = torch.device("cpu")

    def forward(self, pixels: Tensor) -> VitPoseEstimatorOutput:
        heat = functional.avg_pool2d(pixels.mean(dim=1, keepdim=True), 4)
        low, high = heat.min(), heat.max()
        return VitPoseEstimatorOutput(heatmaps=((heat - low) / (high - low)).repeat(1, 17, 1, 1))


@pytest.mark.parametrize(("x", "y"), [(30, 40), (150, 100), (100, 12)])
def test_joints_are_where_the_picture_has_them(x: int, y: int) -> None:
    picture = np.zeros((128, 192, 3), np.uint8)
    picture[y - 3 : y + 4, x - 3 : x + 4] = 255
    processor = VitPoseImageProcessorPil(size={"height": 256, "width": 192})
    joints = vitpose.VitPose(Bright(), processor)(picture)
    assert np.abs(joints[:, :2] - (x, y)).max() < 3
    assert (joints[:, 2] > 0.9).all()


def test_openpose_order_is_made_from_cocos() -> None:
    coco = np.stack([np.arange(17), np.arange(17), np.full(17, 0.3)], axis=1).astype(np.float32)
    coco[6, 2] = 0.15  # the right shoulder, and with it the neck, is not seen
    joints = vitpose.openpose_joints(coco)
    # nose neck, right arm, left arm, right leg, left leg, eyes and ears right first
    order = [0, 5.5, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3]
    assert joints[:, 0].tolist() == order
    assert [index for index in range(18) if joints[index, 2] < control_maps.CONFIDENT] == [1, 2]


def test_lines_are_those_of_controlnet_aux(tmp_path: Path) -> None:
    from controlnet_aux import lineart_anime

    torch.manual_seed(0)
    plain: Any = partial(nn.InstanceNorm2d, affine=False, track_running_stats=False)
    network = lineart_anime.UnetGenerator(3, 1, 8, 2, norm_layer=plain)
    save_file(
        {f"module.{name}": value for name, value in network.state_dict().items()},
        tmp_path / "netG.safetensors",
    )
    row = registry.resolve("lineart_extractor", Family.sdxl)
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    read = extractors.load_lineart(row, tmp_path, torch.device("cpu"))
    expected = lineart_anime.LineartAnimeDetector(network.eval())(
        picture, detect_resolution=64, image_resolution=64, output_type="np"
    )
    assert np.array_equal(read(picture), expected)
    assert read(picture).std() > 0


def test_a_line_extractor_of_another_shape_is_one_line(tmp_path: Path) -> None:
    save_file({"model.model.0.weight": torch.zeros(2, 3, 4, 4)}, tmp_path / "netG.safetensors")
    row = registry.resolve("lineart_extractor", Family.sdxl)
    with pytest.raises(WeightsError, match="WGT-DAMAGED: lineart-anime cannot be loaded"):
        extractors.load_lineart(row, tmp_path, torch.device("cpu"))
