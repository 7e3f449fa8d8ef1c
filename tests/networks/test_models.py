"""The networks as they are put together: motion UNet, LoRAs, schedulers, hashes, memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support import tiny_checkpoints, tiny_networks

from pokora_anime.catalogue import hash_memory, needed_weights, weight_hashes
from pokora_anime.errors import WeightsError
from pokora_anime.networks import loader
from pokora_anime.networks.motion_unet import build_motion_unet
from pokora_anime.networks.schedulers import build_scheduler, motion_betas
from pokora_anime.schema.settings import Betas, Family, Sampler


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_networks.family(tmp_path_factory.mktemp("sdxl"))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("POKORA_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


# Files


def test_a_damaged_tokenizer_is_a_weights_error(tmp_path: Path) -> None:
    folder = tiny_networks.family(tmp_path)
    (folder / "tokenizer" / "tokenizer.json").write_text('{"a":')
    with pytest.raises(WeightsError, match="tokenizer") as caught:
        tiny_networks.models(folder).text_stack()
    assert caught.value.code == "WGT-DAMAGED"


@pytest.mark.parametrize("part", ["text_encoder", "text_encoder_2"])
def test_a_text_encoder_that_lacks_a_weight_is_refused(tmp_path: Path, part: str) -> None:
    """transformers fills it with random numbers, and the pictures would be those of another prompt."""
    folder = tiny_networks.family(tmp_path)
    (file,) = (folder / part).glob("*.safetensors")
    tensors = load_file(file)
    lost = next(name for name in tensors if name.endswith("fc1.weight"))
    save_file({name: one for name, one in tensors.items() if name != lost}, file, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"weights are missing, such as .*fc1\.weight") as caught:
        tiny_networks.models(folder).text_stack().encode([[[1]], [[1]]])
    assert caught.value.code == "WGT-DAMAGED"


@pytest.mark.parametrize("name", ["model_index.json", "tokenizer/tokenizer.json"])
def test_the_text_hash_knows_what_decides_about_a_prompt(tmp_path: Path, name: str) -> None:
    folder = tiny_networks.family(tmp_path)
    before = tiny_networks.models(folder).weights_hash("text")["text"]
    (folder / name).write_text((folder / name).read_text() + "\n")
    assert tiny_networks.models(folder).weights_hash("text")["text"] != before


def test_a_hash_is_made_anew_when_the_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    file.write_bytes(b"one")
    first = weight_hashes.weight_hash(file)
    file.write_bytes(b"three")
    assert weight_hashes.weight_hash(file) != first


def aged(file: Path) -> str:
    """The hash of a file, read when it is older than a tick of the file system's clock."""
    time.sleep(0.15)
    return weight_hashes.weight_hash(file)


def test_bytes_changed_under_their_old_times_are_read_again(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    file.write_bytes(b"one")
    before = file.stat()
    first = aged(file)
    assert hash_memory.remembered(file)
    file.write_bytes(b"two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert not hash_memory.remembered(file)
    assert weight_hashes.weight_hash(file) != first


def test_a_file_that_changed_a_moment_ago_is_not_remembered(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    file.write_bytes(b"one")
    weight_hashes.weight_hash(file)
    assert not hash_memory.remembered(file)


def test_a_confined_process_believes_its_parent_and_keeps_nothing(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    file.write_bytes(b"one")
    aged(file)
    lines = (
        "import json, sys, pathlib; from pokora_anime.catalogue import hash_memory as h;"
        "p = pathlib.Path(sys.argv[1]); h.confine(json.loads(sys.argv[2]));"
        "print(h.remembered(p)); h.weight_hash(p);"
    )
    memory = hash_memory.data_folder() / hash_memory.MEMORY
    kept = memory.read_bytes()
    memory.write_text("{}")
    for known, expected in ((hash_memory.known(), "True"), ({}, "False")):
        told = subprocess.run(
            [sys.executable, "-c", lines, str(file), json.dumps(known)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert told.stdout.strip() == expected
        assert memory.read_text() == "{}"
    assert kept != b"{}"


# The motion UNet


def frames_of(
    networks: tiny_networks.Models, latents: torch.Tensor, frames: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the 2D UNet and the motion UNet predict for the same frame, [C, H, W] each."""
    torch.manual_seed(3)
    text = torch.randn(1, 77, 2 * tiny_networks.TEXT)
    added = {
        "text_embeds": torch.randn(1, tiny_networks.TEXT),
        "time_ids": torch.tensor([[32, 32, 0, 0, 32, 32]]),
    }
    with torch.no_grad():
        flat = networks.unet()(latents, 500, encoder_hidden_states=text, added_cond_kwargs=added).sample
        video = latents[:, :, None].repeat(1, 1, frames, 1, 1)
        moving = networks.motion_unet()(
            video, 500, encoder_hidden_states=text.repeat(frames, 1, 1), added_cond_kwargs=added
        ).sample
    return flat[0], moving[0, :, frames - 1]


def still(networks: tiny_networks.Models) -> tiny_networks.Models:
    """Silence the temporal layers."""
    with torch.no_grad():
        for name, parameter in networks.motion_unet().named_parameters():
            if "motion_modules" in name and "proj_out" in name:
                parameter.zero_()
    return networks


@pytest.fixture
def latents() -> torch.Tensor:
    return torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(5))


def without_loras(family: Path) -> tiny_networks.Models:
    return tiny_networks.models(family, settings=tiny_networks.config(speed=Sampler.dpmpp_2m_karras))


def test_without_temporal_layers_the_motion_unet_is_the_2d_unet(family: Path, latents: torch.Tensor) -> None:
    flat, moving = frames_of(still(without_loras(family)), latents, 3)
    assert torch.allclose(flat, moving, atol=1e-6)


def test_the_pooled_text_reaches_the_motion_unet(family: Path, latents: torch.Tensor) -> None:
    networks = without_loras(family)
    torch.manual_seed(3)
    text, sizes = torch.randn(2, 77, 2 * tiny_networks.TEXT), torch.zeros(1, 6)
    with torch.no_grad():
        one, other = (
            networks.motion_unet()(
                latents[:, :, None].repeat(1, 1, 2, 1, 1),
                500,
                encoder_hidden_states=text,
                added_cond_kwargs={
                    "text_embeds": torch.full((1, tiny_networks.TEXT), pooled),
                    "time_ids": sizes,
                },
            ).sample
            for pooled in (-1.0, 1.0)
        )
    assert (one - other).abs().max() > 1e-2


def test_what_loading_leaves_behind_is_given_back_once_a_large_network(
    family: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[bool] = []
    monkeypatch.setattr(loader, "give_back_memory", lambda: given.append(True))
    models = tiny_networks.models(family)
    for load in (models.unet, models.motion_unet, models.unet, models.vae):
        load()
    assert len(given) == 2


def test_the_temporal_layers_are_the_adapters(family: Path, latents: torch.Tensor) -> None:
    flat, moving = frames_of(without_loras(family), latents, 3)
    assert not torch.allclose(flat, moving, atol=1e-4)


def test_an_adapter_of_another_shape_is_refused(family: Path) -> None:
    from diffusers import MotionAdapter

    adapter = MotionAdapter(block_out_channels=(16, 16), motion_layers_per_block=1, motion_norm_num_groups=8)
    with pytest.raises(WeightsError, match="does not fit"):
        build_motion_unet(without_loras(family).unet(), adapter)


def test_sd2_converts_without_added_conditioning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_checkpoints.unhashed(monkeypatch, "sd2-1")
    networks = tiny_networks.models(tiny_networks.family(tmp_path, "sd2"), "sd2")
    unet, motion = networks.unet(), networks.motion_unet()
    text = torch.randn(1, 77, tiny_networks.TEXT)
    still(networks)
    sample = torch.randn(1, 4, 4, 4)
    with torch.no_grad():
        flat = unet(sample, 9, encoder_hidden_states=text).sample
        moving = motion(
            sample[:, :, None].repeat(1, 1, 2, 1, 1), 9, encoder_hidden_states=text.repeat(2, 1, 1)
        ).sample
    assert torch.allclose(flat[0], moving[0, :, 1], atol=1e-6)


# LoRAs


def test_a_lora_changes_both_unets_alike(family: Path, latents: torch.Tensor) -> None:
    flat, moving = frames_of(still(tiny_networks.models(family)), latents, 2)
    plain, _ = frames_of(still(without_loras(family)), latents, 2)
    assert torch.allclose(flat, moving, atol=1e-5)
    assert not torch.allclose(flat, plain, atol=1e-3)


def test_loras_blend_by_weight(family: Path) -> None:
    state = load_file(family / "lora_lcm" / "pytorch_lora_weights.safetensors")
    name = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    delta = state[f"unet.{name}.lora_B.weight"] @ state[f"unet.{name}.lora_A.weight"]
    config = tiny_networks.config()
    config.speed = replace(config.speed, lora_weight=0.5)
    merged = tiny_networks.models(family, settings=config).unet().state_dict()[f"{name}.weight"]
    plain = without_loras(family).unet().state_dict()[f"{name}.weight"]
    assert torch.allclose(merged, plain + 0.5 * delta, atol=1e-6)


def test_merging_leaves_no_wrappers(family: Path) -> None:
    for network in (tiny_networks.models(family).unet(), tiny_networks.models(family).motion_unet()):
        assert not [name for name in network.state_dict() if "lora" in name or "base_layer" in name]


def test_a_kohya_lora_lands_with_its_alpha(family: Path, tmp_path: Path) -> None:
    plain = without_loras(family).unet()
    name = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    width = plain.get_submodule(name).in_features
    down, up = torch.randn(4, width), torch.randn(width, 4)
    kohya = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
    save_file(
        {
            f"{kohya}.lora_down.weight": down,
            f"{kohya}.lora_up.weight": up,
            f"{kohya}.alpha": torch.tensor(2.0),
        },
        tmp_path / "pytorch_lora_weights.safetensors",
    )
    merged = tiny_networks.models(family, nano_lcm=tmp_path).unet().state_dict()[f"{name}.weight"]
    assert torch.allclose(merged, plain.state_dict()[f"{name}.weight"] + 2.0 / 4 * up @ down, atol=1e-4)


def test_a_lora_in_mixed_spelling_lands_whole(family: Path, tmp_path: Path) -> None:
    state = load_file(family / "lora_lcm" / "pytorch_lora_weights.safetensors")
    mixed = {
        name.replace("lora_A", "lora.down").replace("lora_B", "lora.up") if "attn1" in name else name: value
        for name, value in state.items()
    }
    save_file(mixed, tmp_path / "pytorch_lora_weights.safetensors")
    merged = tiny_networks.models(family, nano_lcm=tmp_path).unet().state_dict()
    expected = tiny_networks.models(family).unet().state_dict()
    assert all(torch.equal(merged[name], expected[name]) for name in expected)


def test_a_lora_that_half_fits_is_refused_with_the_share(family: Path, tmp_path: Path) -> None:
    state = load_file(family / "lora_lcm" / "pytorch_lora_weights.safetensors")
    stranger = "unet.down_blocks.7.attentions.0.transformer_blocks.0.attn1.to_q"
    state[f"{stranger}.lora_A.weight"], state[f"{stranger}.lora_B.weight"] = (
        torch.ones(2, 8),
        torch.ones(8, 2),
    )
    save_file(state, tmp_path / "pytorch_lora_weights.safetensors")
    total = sum("lora_A" in name for name in state)
    with pytest.raises(WeightsError, match=f"{total - 1} of {total} layers"):
        tiny_networks.models(family, nano_lcm=tmp_path).unet()


def test_a_lora_for_another_width_is_refused(family: Path, tmp_path: Path) -> None:
    name = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    save_file(
        {f"{name}.lora_A.weight": torch.ones(2, 5), f"{name}.lora_B.weight": torch.ones(5, 2)},
        tmp_path / "pytorch_lora_weights.safetensors",
    )
    with pytest.raises(WeightsError, match="WGT-FIT"):
        tiny_networks.models(family, nano_lcm=tmp_path).motion_unet()


def test_a_lora_of_another_base_names_it(family: Path, tmp_path: Path) -> None:
    name = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k"
    save_file(
        {f"{name}.lora_A.weight": torch.ones(2, 1024), f"{name}.lora_B.weight": torch.ones(32, 2)},
        tmp_path / "pytorch_lora_weights.safetensors",
    )
    with pytest.raises(WeightsError, match=r"0 of 1 layers fit this base .* it was trained for sd2"):
        tiny_networks.models(family, nano_lcm=tmp_path).unet()


def test_what_is_no_lora_at_all_is_refused(family: Path, tmp_path: Path) -> None:
    save_file({"some.weight": torch.ones(2)}, tmp_path / "pytorch_lora_weights.safetensors")
    with pytest.raises(WeightsError, match="not understood"):
        tiny_networks.models(family, nano_lcm=tmp_path).unet()


def test_a_lora_reaches_the_text_encoders(family: Path, tmp_path: Path) -> None:
    name = "text_encoder.encoder.layers.0.self_attn.q_proj"
    encoder = without_loras(family).text_stack().encoders[0]
    plain = encoder.state_dict()["encoder.layers.0.self_attn.q_proj.weight"]
    down, up = torch.randn(2, tiny_networks.TEXT), torch.randn(tiny_networks.TEXT, 2)
    save_file(
        {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up},
        tmp_path / "pytorch_lora_weights.safetensors",
    )
    merged = tiny_networks.models(family, nano_lcm=tmp_path).text_stack().encoders[0].state_dict()
    assert torch.allclose(merged["encoder.layers.0.self_attn.q_proj.weight"], plain + up @ down, atol=1e-5)


# Camera moves


def camera(folder: Path, unet: torch.nn.Module) -> Path:
    """A motion LoRA in the published spelling, for each temporal attention."""
    torch.manual_seed(9)
    tensors: dict[str, torch.Tensor] = {}
    for name, module in unet.named_modules():
        if "motion_modules" in name and name.endswith(("to_q", "to_out.0")):
            place, _, layer = name.rpartition(".to_")
            half = f"unet.{place}.processor.to_{layer.removesuffix('.0')}_lora"
            tensors[f"{half}.down.weight"] = torch.randn(2, module.in_features)
            tensors[f"{half}.up.weight"] = torch.randn(module.out_features, 2)
    folder.mkdir()
    save_file(tensors, folder / "diffusion_pytorch_model.safetensors")
    return folder


def test_a_camera_move_changes_the_temporal_layers_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_checkpoints.unhashed(monkeypatch, "sd2-1")
    config = tiny_networks.config("sd2")
    config.base.motion_adapter = "animatediff-v1-5-2"
    folder = tiny_networks.family(tmp_path / "sd2", "sd2")
    adapter = folder / "motion_adapter"
    plain = tiny_networks.models(folder, "sd2", config, animatediff_v1_5_2=adapter)
    config.motion.lora, config.motion.lora_weight = "pan_left", 0.5
    lora = camera(tmp_path / "lora", plain.motion_unet())
    moving = tiny_networks.models(
        folder, "sd2", config, animatediff_v1_5_2=adapter, motion_lora_pan_left=lora
    )
    before, after = plain.motion_unet().state_dict(), moving.motion_unet().state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all("motion_modules" in name for name in changed)
    name = next(name for name in sorted(changed) if name.endswith("to_q.weight"))
    tensors = load_file(lora / "diffusion_pytorch_model.safetensors")
    half = f"unet.{name.removesuffix('to_q.weight')}processor.to_q_lora"
    delta = tensors[f"{half}.up.weight"] @ tensors[f"{half}.down.weight"]
    torch.testing.assert_close(after[name], before[name] + 0.5 * delta)
    assert moving.motion_lora_weights == {"motion-lora-pan-left": 0.5}
    assert moving.lora_weights == {}
    assert "motion-lora-pan-left" in moving.weights_hash("motion")
    assert "motion-lora-pan-left" not in moving.weights_hash("unet")


# Schedulers, hashes, memory


@pytest.mark.parametrize(
    ("sampler", "name"),
    [
        (Sampler.lcm, "LCMScheduler"),
        (Sampler.dpmpp_2m_karras, "DPMSolverMultistepScheduler"),
        (Sampler.euler_trailing, "EulerDiscreteScheduler"),
    ],
)
def test_the_scheduler_follows_the_speed_and_keeps_the_base(
    family: Path, sampler: Sampler, name: str
) -> None:
    scheduler = tiny_networks.models(family, settings=tiny_networks.config(speed=sampler)).scheduler()
    assert type(scheduler).__name__ == name
    assert scheduler.config["prediction_type"] == "v_prediction"
    assert (scheduler.config["beta_end"], scheduler.config["beta_schedule"]) == (0.020, "scaled_linear")


def test_hq_is_second_order_dpmpp_on_karras_sigmas(family: Path) -> None:
    config = (
        tiny_networks.models(family, settings=tiny_networks.config(speed=Sampler.dpmpp_2m_karras))
        .scheduler()
        .config
    )
    assert (config["algorithm_type"], config["solver_order"], config["use_karras_sigmas"]) == (
        "dpmsolver++",
        2,
        True,
    )


@pytest.mark.parametrize(
    ("betas", "family", "sampler", "end"),
    [
        (Betas.auto, Family.sdxl, Sampler.dpmpp_2m_karras, 0.020),
        (Betas.auto, Family.sdxl, Sampler.lcm, None),
        (Betas.auto, Family.sd2, Sampler.dpmpp_2m_karras, None),
        (Betas.adapter, Family.sdxl, Sampler.lcm, 0.020),
        (Betas.adapter, Family.sd2, Sampler.dpmpp_2m_karras, 0.012),
        (Betas.adapter, Family.nano, Sampler.dpmpp_2m_karras, None),
        (Betas.base, Family.sdxl, Sampler.dpmpp_2m_karras, None),
    ],
)
def test_the_motions_noise_schedule_is_the_adapters_or_the_bases(
    betas: Betas, family: Family, sampler: Sampler, end: float | None
) -> None:
    assert motion_betas(betas, family, sampler).get("beta_end") == end


def test_the_adapters_noise_schedule_leaves_the_rest_of_the_base(tmp_path: Path) -> None:
    base = tiny_networks.models(tiny_networks.family(tmp_path)).scheduler()
    base.save_pretrained(tmp_path / "kept")
    changed = build_scheduler(tmp_path / "kept", Sampler.lcm, {"beta_schedule": "linear", "beta_end": 0.012})
    assert (changed.config["beta_schedule"], changed.config["beta_end"]) == ("linear", 0.012)
    assert changed.config["prediction_type"] == base.config["prediction_type"] == "v_prediction"


def test_trailing_euler_starts_from_the_noisiest_timestep_and_steps_as_ddim_does(family: Path) -> None:
    from diffusers import DDIMScheduler

    euler = tiny_networks.models(
        family, settings=tiny_networks.config(speed=Sampler.euler_trailing)
    ).scheduler()
    ddim: Any = DDIMScheduler.from_config(
        euler.config, timestep_spacing="trailing", set_alpha_to_one=True, clip_sample=False
    )
    for scheduler in (euler, ddim):
        scheduler.set_timesteps(4)
    assert euler.timesteps.tolist() == ddim.timesteps.tolist() == [999, 749, 499, 249]
    torch.manual_seed(0)
    noise, answers = torch.randn(1, 4, 2, 8, 8), torch.randn(4, 1, 4, 2, 8, 8)
    # Euler keeps x / alpha, DDIM x itself; both start from pure noise.
    scale = (1 + euler.sigmas**2) ** 0.5
    one, other = noise * scale[0], noise
    moments = zip(
        euler.timesteps, ddim.timesteps, answers, strict=True
    )  # floats for one, whole for the other
    for step, (moment, timestep, answer) in enumerate(moments):
        torch.testing.assert_close(one / scale[step], other, atol=1e-4, rtol=1e-4)
        one = euler.step(answer, moment, one, return_dict=False)[0]
        other = ddim.step(answer, timestep, other, return_dict=False)[0]
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_hashes_name_every_file_that_takes_part(family: Path) -> None:
    networks = tiny_networks.models(family)
    assert set(networks.weights_hash("motion")) == {"motion", "nano-motion", "nano-lcm"}
    assert set(networks.weights_hash("controlnet_pose")) == {"controlnet_pose"}
    assert networks.weights_hash("text")["text"] != networks.weights_hash("unet")["unet"]


def test_freed_networks_are_loaded_anew(family: Path) -> None:
    networks = tiny_networks.models(family)
    first = networks.unet()
    assert networks.unet() is first
    networks.free("unet")
    assert networks.unet() is not first


def test_the_shipped_family_is_complete_and_undamaged() -> None:
    config = tiny_networks.config()
    needed_weights.check_available(config)


def test_two_threads_may_load_at_once(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    models = tiny_networks.models(tiny_networks.family(tmp_path))
    with ThreadPoolExecutor(2) as pool:
        loaded = list(pool.map(lambda load: load(), [models.vae, models.motion_unet] * 3))
    assert all(not parameter.is_meta for network in loaded for parameter in network.parameters())
