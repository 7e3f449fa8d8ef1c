"""An IP-Adapter on the motion UNet: diffusers' own arithmetic, published names, files that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import MotionAdapter, UNet2DConditionModel, UNetMotionModel
from safetensors.torch import load_file, save_file
from support import tiny_checkpoints, tiny_networks
from torch import Tensor

from pokora_anime.networks import ip_adapter
from pokora_anime.networks.ip_adapter import UNFIT, ImageTokens
from pokora_anime.networks.motion_unet import build_motion_unet
from pokora_anime.networks.repeat_text_per_frame import share_text, told

FRAMES, WIDE = 3, 2 * tiny_networks.TEXT


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny SDXL family, and an IP-Adapter for it."""
    root = tmp_path_factory.mktemp("adapter")
    family = tiny_networks.family(root / "family")
    unet = UNet2DConditionModel.from_pretrained(family / "unet")
    return family, tiny_checkpoints.ip_adapter(root / "adapter", unet)


def adapter_file(folder: Path) -> Path:
    return folder / "sdxl_models" / "ip-adapter_sdxl_vit-h.safetensors"


def motion(family: Path, *, still: bool = False) -> UNetMotionModel:
    adapter = MotionAdapter.from_pretrained(family / "motion_adapter")
    if still:
        for name, one in adapter.named_parameters():
            if "proj_out" in name:
                torch.nn.init.zeros_(one)
    return build_motion_unet(UNet2DConditionModel.from_pretrained(family / "unet"), adapter).eval()


def given(rows: int = 2) -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {
        "latents": torch.randn(rows, 4, FRAMES, 4, 4),
        "text": torch.randn(rows, 77, WIDE),
        "tokens": torch.randn(rows, ip_adapter.TOKENS, WIDE),
        "pooled": torch.randn(rows, tiny_networks.TEXT),
        "sizes": torch.zeros(rows, 6),
    }


def added(told: dict[str, Tensor], repeat: int = 1) -> dict[str, Tensor]:
    return {
        "text_embeds": told["pooled"].repeat_interleave(repeat, 0),
        "time_ids": told["sizes"].repeat_interleave(repeat, 0),
    }


def predicted(unet: UNetMotionModel, told_: dict[str, Tensor], *, keep: bool, shown: bool = True) -> Tensor:
    """As the motion loop asks: the tokens behind the text."""
    share_text(unet, keep=keep)
    seen = torch.cat([told_["text"], told_["tokens"]], 1) if shown else told_["text"]
    with torch.inference_mode():
        return unet(told_["latents"], 9, told(unet, seen, FRAMES), added_cond_kwargs=added(told_)).sample


@pytest.mark.parametrize("keep", [True, False])
def test_it_is_what_diffusers_computes_with_the_2d_unet(published: tuple[Path, Path], keep: bool) -> None:
    family, folder = published
    ours, one = motion(family, still=True), given()
    ip_adapter.attach(ours, adapter_file(folder), 0.7)
    theirs = UNet2DConditionModel.from_pretrained(family / "unet").eval()
    tensors = {name: value.float() for name, value in load_file(adapter_file(folder)).items()}
    split = {
        part: {name.partition(".")[2]: value for name, value in tensors.items() if name.startswith(part)}
        for part in ("image_proj", "ip_adapter")
    }
    theirs._load_ip_adapter_weights([split], low_cpu_mem_usage=False)
    theirs.encoder_hid_proj = torch.nn.Identity()  # tokens are given as they are
    for processor in theirs.attn_processors.values():
        if hasattr(processor, "to_k_ip"):
            processor.scale = [0.7]
    frames = one["latents"].transpose(1, 2).flatten(0, 1)
    text, tokens = (one[name].repeat_interleave(FRAMES, 0) for name in ("text", "tokens"))
    kwargs = {**added(one, FRAMES), "image_embeds": [tokens]}
    with torch.inference_mode():
        wanted = theirs(frames, 9, text, added_cond_kwargs=kwargs).sample
    wanted = wanted.unflatten(0, (2, FRAMES)).transpose(1, 2)
    assert torch.allclose(predicted(ours, one, keep=keep), wanted, atol=1e-5)
    assert torch.equal(predicted(ours, one, keep=keep), predicted(ours, one, keep=keep))


def test_at_scale_0_it_is_the_network_without_it(published: tuple[Path, Path]) -> None:
    family, folder = published
    plain, adapted, one = motion(family), motion(family), given()
    ip_adapter.attach(adapted, adapter_file(folder), 0.0)
    assert torch.equal(predicted(adapted, one, keep=True), predicted(plain, one, keep=True, shown=False))
    counting = motion(family)
    ip_adapter.attach(counting, adapter_file(folder), 1.0)
    assert not torch.allclose(predicted(counting, one, keep=True), predicted(adapted, one, keep=True))


def test_tokens_are_those_of_the_picture(published: tuple[Path, Path]) -> None:
    _, folder = published
    encoder = folder / "models" / "image_encoder"
    read = ImageTokens.load(encoder, adapter_file(folder), torch.device("cpu"))
    pictures = np.random.default_rng(0).integers(0, 255, (2, 48, 64, 3), np.uint8)
    (one, none), (other, same) = read(pictures[0]), read(pictures[1])
    assert one.shape == none.shape == (ip_adapter.TOKENS, WIDE) and one.dtype == torch.float32
    assert (one != other).any() and torch.equal(none, same) and torch.equal(one, read(pictures[0])[0])


def plus(tensors: dict[str, Tensor]) -> None:
    """The layout of the `plus` variant, which reads patches."""
    for name in [name for name in tensors if name.startswith("image_proj.")]:
        del tensors[name]
    tensors["image_proj.latents"] = torch.zeros(1, 16, WIDE)


def fewer(tensors: dict[str, Tensor]) -> None:
    del tensors[next(name for name in tensors if name.startswith("ip_adapter."))]


def more(tensors: dict[str, Tensor]) -> None:
    tensors["ip_adapter.999.to_k_ip.weight"] = torch.zeros(4, WIDE)


def wider(tensors: dict[str, Tensor]) -> None:
    for name in [name for name in tensors if name.startswith("ip_adapter.")]:
        tensors[name] = torch.zeros(len(tensors[name]), WIDE + 8)


def renamed(tensors: dict[str, Tensor]) -> None:
    for name in [name for name in tensors if "to_k_ip" in name]:
        tensors[name.replace("to_k_ip", "to_k")] = tensors.pop(name)


def nothing(tensors: dict[str, Tensor]) -> None:
    tensors.clear()
    tensors["a"] = torch.zeros(1)


@pytest.mark.parametrize("spoil", [plus, fewer, more, wider, renamed, nothing])
def test_a_file_of_another_shape_is_refused(
    spoil: Callable[[dict[str, Tensor]], None], published: tuple[Path, Path], tmp_path: Path
) -> None:
    family, folder = published
    tensors = load_file(adapter_file(folder))
    spoil(tensors)
    save_file(tensors, tmp_path / "other.safetensors")
    with pytest.raises(UNFIT):
        ip_adapter.attach(motion(family), tmp_path / "other.safetensors", 1.0)
    (tmp_path / "cut").write_bytes(adapter_file(folder).read_bytes()[:-9])
    with pytest.raises(UNFIT):
        ip_adapter.attach(motion(family), tmp_path / "cut", 1.0)
