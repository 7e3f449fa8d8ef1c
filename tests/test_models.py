"""The registry, what is looked for where, and the networks as they are put together."""

from __future__ import annotations

import errno
import json
import shlex
import subprocess
import sys
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny
import torch
from huggingface_hub.errors import OfflineModeIsEnabled, RepositoryNotFoundError
from safetensors.torch import load_file, save_file

from pokora_anime.config.compose import compose
from pokora_anime.config.schema import (
    BaseConfig,
    ControlConfig,
    ControlKind,
    Family,
    LoraConfig,
    Sampler,
)
from pokora_anime.errors import ConfigError, MachineError, PokoraError, WeightsError
from pokora_anime.models import advice, fetch, hashes, registry
from pokora_anime.models.lora_tags import merge_loras
from pokora_anime.models.motion_unet import build_motion_unet


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.family(tmp_path_factory.mktemp("sdxl"))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def sdxl() -> BaseConfig:
    return BaseConfig(
        family=Family.sdxl,
        weights="sdxl-base-1.0",
        vae="sdxl-vae-fp16-fix",
        motion_adapter="animatediff-sdxl-beta",
        width=768,
        height=768,
    )


# The registry


def test_every_row_has_a_licence_a_citation_and_a_link() -> None:
    for row in registry.rows():
        assert all((row.licence, row.citation, row.link, row.files)), row.id


def test_ids_are_unique_and_roles_are_unique_within_a_family() -> None:
    rows = registry.rows()
    assert len({row.id for row in rows}) == len(rows)
    roles = [(family, row.role) for row in rows for family in row.families]
    assert len(set(roles)) == len(roles)


def test_template_names_resolve_by_role() -> None:
    found = registry.find_style("pastelAnimeXL", Family.sdxl)
    assert found is not None
    assert found.role == "pastel"
    found = registry.find_style("flat_color", Family.sdxl)
    assert found is not None
    assert "animeFlatColorXL" in found.aliases


def test_a_style_that_only_other_bases_have_is_left_out_with_a_note() -> None:
    rows, notes = fetch.style_rows([LoraConfig(id="pastelAnimeXL")], Family.sd2)
    assert rows == []
    assert "pastelAnimeXL" in notes[0]


def test_an_unknown_style_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean pastelAnimeXL"):
        registry.find_style("pastelAnimXL", Family.nano)


def test_sd2_has_no_lcm_and_says_what_to_use() -> None:
    config = tiny.config("sd2")
    config.speed = replace(config.speed, name="lcm", lora_role="lcm")
    with pytest.raises(ConfigError, match="speed=hq"):
        fetch.needs(config)


def test_canny_without_a_controlnet_names_the_kinds_that_work() -> None:
    config = tiny.config()
    config.control = ControlConfig(kinds=[ControlKind.canny])
    with pytest.raises(ConfigError, match="pose, depth"):
        fetch.needs(config)


def test_one_style_under_several_names_counts_once_and_the_later_weight_wins() -> None:
    names = ("pastelAnimeXL", "pastel", "pastel-anime-xl")
    loras = [LoraConfig(id=name, weight=weight) for name, weight in zip(names, (0.1, 0.2, 0.3), strict=True)]
    assert [lora.weight for lora in merge_loras(loras[:1], loras[1:])] == [0.3]
    rows, _ = fetch.style_rows(loras, Family.sdxl)
    assert [(row.id, weight) for row, weight in rows] == [("pastel-anime-xl", 0.3)]


def test_the_limit_on_styles_counts_loras_not_names() -> None:
    tags = "<lora:pastel:0.8>, <lora:pastel-anime-xl:0.8>, <lora:flat_color:0.2>"
    assert compose("video", ["base=sdxl", f"shot.prompt='1girl, {tags}'"])


# What is here and what is not


def test_missing_sdxl_names_the_command_that_fetches_it() -> None:
    config = tiny.config()
    config.base, config.control = sdxl(), ControlConfig()
    with pytest.raises(WeightsError, match="pokora models fetch base=sdxl") as caught:
        fetch.check_available(config)
    assert caught.value.code == "WGT-1"


@pytest.mark.parametrize(
    "words",
    [
        "base=sdxl",
        "base=sdxl speed=hq",
        "base=sdxl style=none",
        "base=sdxl style=pastel control=none",
        "base=sdxl style=flat_color control=canny",
        "base=sdxl control.kinds=[depth,canny]",
        "base=sd2",
        "base=sd2 control=none",
    ],
)
def test_the_suggested_command_fetches_just_what_the_composition_lacks(words: str) -> None:
    config = compose("video", words.split())
    with pytest.raises(WeightsError, match="WGT-1") as caught:
        fetch.check_available(config)
    start, *suggested = shlex.split(caught.value.fix.removeprefix("pokora models "))
    assert start == "fetch"
    assert {row.id for row in fetch.needs(compose("video", suggested))} == {
        row.id for row in fetch.needs(config)
    }


def test_the_suggested_command_names_a_lora_that_no_style_has() -> None:
    base, pastel = registry.resolve("base", Family.sdxl), registry.resolve("pastel", Family.sdxl)
    other = replace(pastel, id="other-xl", role="other")
    suggested = shlex.split(advice.fetch_command([base, other]))
    assert "style=none" in suggested
    assert "style.loras=[{id:other-xl}]" in suggested


def test_what_serves_two_bases_is_fetched_for_the_one_in_use() -> None:
    row = registry.resolve("depth_extractor", Family.sd2)
    with pytest.raises(WeightsError, match="base=sd2"):
        raise advice.absent([row], [row], Family.sd2)


def test_only_control_kinds_that_may_be_used_are_suggested() -> None:
    assert advice.control_options(Family.sdxl) == "control=depth, control=canny or control=none"
    assert advice.control_options(Family.sd2) == "control=depth or control=none"
    config = tiny.config("sd2")
    config.control = ControlConfig(kinds=[ControlKind.canny])
    with pytest.raises(ConfigError) as caught:
        fetch.needs(config)
    assert caught.value.fix == "use control=depth or control=none"


def test_checking_weights_needs_no_torch() -> None:
    modules = "pokora_anime.models.fetch, pokora_anime.stages.prompt_syntax"
    code = f"import sys, {modules}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_fetched_row_is_found_at_its_pinned_revision(tmp_path: Path) -> None:
    row = registry.resolve("vae", Family.sdxl)
    snapshot = tmp_path / "hub" / "models--madebyollin--sdxl-vae-fp16-fix" / "snapshots" / str(row.revision)
    assert fetch.locate(row) is None
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").touch()
    assert fetch.locate(row) is None  # half of it is not enough
    (snapshot / "diffusion_pytorch_model.safetensors").touch()
    assert fetch.locate(row) == snapshot


def test_an_unpinned_row_is_found_where_main_points(tmp_path: Path) -> None:
    row = registry.resolve("lcm", Family.sdxl)
    home = tmp_path / "hub" / "models--latent-consistency--lcm-lora-sdxl"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("abc")
    (home / "snapshots" / "abc").mkdir(parents=True)
    (home / "snapshots" / "abc" / "pytorch_lora_weights.safetensors").touch()
    assert fetch.locate(row) == home / "snapshots" / "abc"


def test_blocked_weights_are_refused_even_where_they_are(tmp_path: Path) -> None:
    config = tiny.config()
    config.base, config.control = sdxl(), ControlConfig(kinds=[ControlKind.pose])
    here = {row.id: tmp_path for row in registry.rows()}
    with pytest.raises(WeightsError, match="control=depth") as caught:
        fetch.check_available(config, here)
    assert caught.value.code == "WGT-3"
    assert "hf download" not in caught.value.line()
    with pytest.raises(WeightsError, match="WGT-3"):
        fetch.fetch(config, lambda line: None)


def test_a_blocked_extractor_is_not_loaded_from_a_folder_that_has_it(tmp_path: Path) -> None:
    networks = tiny.models(tiny.family(tmp_path, "sd2"), "sd2", annotators_openpose=tmp_path)
    with pytest.raises(WeightsError, match="WGT-3"):
        networks.pose_extractor()


def failing(monkeypatch: pytest.MonkeyPatch, errors: dict[str, Exception]) -> list[str]:
    """A hub that refuses some repositories and gives out nothing else; what it was asked for."""
    asked: list[str] = []

    def download(repo: str, **_: object) -> None:
        asked.append(repo)
        raise errors.get(repo, OfflineModeIsEnabled("no network"))

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    return asked


def refused(status: int) -> Exception:
    response = SimpleNamespace(status_code=status, headers={}, request=None)
    return RepositoryNotFoundError("gone", response=response)  # pyright: ignore[reportArgumentType]


def test_a_repository_that_is_gone_says_what_leaves_it_out_and_the_others_are_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = failing(monkeypatch, {"2vXpSwA7/anime-flat-color-xl": refused(404)})
    config, said = compose("video", ["base=sdxl"]), list[str]()
    with pytest.raises(PokoraError) as caught:
        fetch.fetch(config, said.append)
    assert asked == [row.repo for row in fetch.needs(config)]
    assert caught.value.code == "SYS-NET"  # the first failure's; all are named
    assert "2vXpSwA7/anime-flat-color-xl is not given out" in caught.value.got
    assert "style=pastel" in caught.value.fix
    assert any("anime-flat-color-xl: WGT-1" in line for line in said)


def test_one_repository_that_is_gone_is_no_network_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    row = registry.resolve("lcm", Family.sdxl)
    failing(monkeypatch, {row.repo: refused(401)})
    with pytest.raises(WeightsError, match="speed=hq") as caught:
        fetch._download(row, Family.sdxl)
    assert caught.value.code == "WGT-1"


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("IO Error: No space left on device")],
)
def test_a_full_disk_ends_the_fetching(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    config = compose("video", ["base=sdxl"])
    asked = failing(monkeypatch, {row.repo: error for row in fetch.needs(config)})
    with pytest.raises(MachineError, match="hub") as caught:
        fetch.fetch(config, lambda line: None)
    assert caught.value.code == "SYS-DISK"
    assert len(asked) == 1


def test_fetching_says_what_is_unpinned(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, {})
    said: list[str] = []
    with pytest.raises(PokoraError):
        fetch.fetch(compose("video", ["base=sdxl"]), said.append)
    assert any("lcm-lora-sdxl" in line and "(unpinned)" in line for line in said)
    assert not any("sdxl-base-1.0:" in line and "unpinned" in line for line in said)


def test_a_run_has_a_note_about_unpinned_weights() -> None:
    (note,) = fetch.unpinned(compose("video", ["base=sdxl"]))
    assert "animatediff-sdxl-beta" in note
    assert "pastel-anime-xl" not in note  # pinned by its sha256
    assert fetch.unpinned(compose("video", [])) == []


def test_a_damaged_file_is_found_before_it_is_used(tmp_path: Path) -> None:
    row = registry.resolve("pastel", Family.sdxl)
    (tmp_path / row.files[0]).write_bytes(b"not the real thing")
    with pytest.raises(WeightsError, match="damaged") as caught:
        hashes.verify(row, tmp_path)
    assert caught.value.code == "WGT-2"


def test_a_manifest_promises_the_hashes_of_packaged_weights(tmp_path: Path) -> None:
    row = registry.resolve("lcm", Family.nano)
    folder = tmp_path / row.folder
    folder.mkdir()
    (folder / row.files[0]).write_bytes(b"x")
    (tmp_path / "MANIFEST.json").write_text(json.dumps({f"{row.folder}/{row.files[0]}": "0" * 64}))
    with pytest.raises(WeightsError, match="damaged"):
        hashes.verify(row, folder)


def test_a_file_that_the_manifest_lists_must_be_there(tmp_path: Path) -> None:
    row = registry.resolve("motion", Family.nano)
    folder = tmp_path / row.folder
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "m-00001-of-00002.safetensors").write_bytes(b"x")
    listed = {f"{row.folder}/{name}": "" for name in ("config.json",)}
    listed[f"{row.folder}/m-00002-of-00002.safetensors"] = "0" * 64
    (tmp_path / "MANIFEST.json").write_text(json.dumps(listed))
    with pytest.raises(WeightsError, match="lacks m-00002-of-00002") as caught:
        hashes.verify(row, folder)
    assert caught.value.code == "WGT-1"


@pytest.mark.parametrize(
    ("role", "name"),
    [
        ("base", "tokenizer/tokenizer.json"),
        ("base", "tokenizer_2/tokenizer.json"),
        ("base", "unet/diffusion_pytorch_model.safetensors.index.json"),
        ("depth_extractor", "preprocessor_config.json"),
    ],
)
def test_what_nano_loads_is_registered(role: str, name: str) -> None:
    assert any(fnmatchcase(name, pattern) for pattern in registry.resolve(role, Family.nano).files)


def test_a_damaged_tokenizer_is_a_weights_error(tmp_path: Path) -> None:
    folder = tiny.family(tmp_path)
    (folder / "tokenizer" / "tokenizer.json").write_text('{"a":')
    with pytest.raises(WeightsError, match="tokenizer") as caught:
        tiny.models(folder).text_stack()
    assert caught.value.code == "WGT-2"


@pytest.mark.parametrize("name", ["model_index.json", "tokenizer/tokenizer.json"])
def test_the_text_hash_knows_what_decides_about_a_prompt(tmp_path: Path, name: str) -> None:
    folder = tiny.family(tmp_path)
    before = tiny.models(folder).weights_hash("text")["text"]
    (folder / name).write_text((folder / name).read_text() + "\n")
    assert tiny.models(folder).weights_hash("text")["text"] != before


def test_a_hash_is_made_anew_when_the_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    file.write_bytes(b"one")
    first = hashes.weight_hash(file)
    file.write_bytes(b"three")
    assert hashes.weight_hash(file) != first


# The motion UNet


def frames_of(networks: tiny.Models, latents: torch.Tensor, frames: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What the 2D UNet and the motion UNet predict for the same frame, [C, H, W] each."""
    torch.manual_seed(3)
    text = torch.randn(1, 77, 2 * tiny.TEXT)
    added = {"text_embeds": torch.randn(1, tiny.TEXT), "time_ids": torch.tensor([[32, 32, 0, 0, 32, 32]])}
    with torch.no_grad():
        flat = networks.unet()(latents, 500, encoder_hidden_states=text, added_cond_kwargs=added).sample
        video = latents[:, :, None].repeat(1, 1, frames, 1, 1)
        moving = networks.motion_unet()(
            video, 500, encoder_hidden_states=text.repeat(frames, 1, 1), added_cond_kwargs=added
        ).sample
    return flat[0], moving[0, :, frames - 1]


def still(networks: tiny.Models) -> tiny.Models:
    """Silence the temporal layers."""
    with torch.no_grad():
        for name, parameter in networks.motion_unet().named_parameters():
            if "motion_modules" in name and "proj_out" in name:
                parameter.zero_()
    return networks


@pytest.fixture
def latents() -> torch.Tensor:
    return torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(5))


def without_loras(family: Path) -> tiny.Models:
    return tiny.models(family, settings=tiny.config(speed=Sampler.dpmpp_2m_karras))


def test_without_temporal_layers_the_motion_unet_is_the_2d_unet(family: Path, latents: torch.Tensor) -> None:
    flat, moving = frames_of(still(without_loras(family)), latents, 3)
    assert torch.allclose(flat, moving, atol=1e-6)


def test_the_temporal_layers_are_the_adapters(family: Path, latents: torch.Tensor) -> None:
    flat, moving = frames_of(without_loras(family), latents, 3)
    assert not torch.allclose(flat, moving, atol=1e-4)


def test_an_adapter_of_another_shape_is_refused(family: Path) -> None:
    from diffusers import MotionAdapter

    adapter = MotionAdapter(block_out_channels=(16, 16), motion_layers_per_block=1, motion_norm_num_groups=8)
    with pytest.raises(WeightsError, match="does not fit"):
        build_motion_unet(without_loras(family).unet(), adapter)


def test_sd2_converts_without_added_conditioning(tmp_path: Path) -> None:
    networks = tiny.models(tiny.family(tmp_path, "sd2"), "sd2")
    unet, motion = networks.unet(), networks.motion_unet()
    text = torch.randn(1, 77, tiny.TEXT)
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
    flat, moving = frames_of(still(tiny.models(family)), latents, 2)
    plain, _ = frames_of(still(without_loras(family)), latents, 2)
    assert torch.allclose(flat, moving, atol=1e-5)
    assert not torch.allclose(flat, plain, atol=1e-3)


def test_loras_blend_by_weight(family: Path) -> None:
    state = load_file(family / "lora_lcm" / "pytorch_lora_weights.safetensors")
    name = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    delta = state[f"unet.{name}.lora_B.weight"] @ state[f"unet.{name}.lora_A.weight"]
    config = tiny.config()
    config.speed = replace(config.speed, lora_weight=0.5)
    merged = tiny.models(family, settings=config).unet().state_dict()[f"{name}.weight"]
    plain = without_loras(family).unet().state_dict()[f"{name}.weight"]
    assert torch.allclose(merged, plain + 0.5 * delta, atol=1e-6)


def test_merging_leaves_no_wrappers(family: Path) -> None:
    for network in (tiny.models(family).unet(), tiny.models(family).motion_unet()):
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
    merged = tiny.models(family, nano_lcm=tmp_path).unet().state_dict()[f"{name}.weight"]
    assert torch.allclose(merged, plain.state_dict()[f"{name}.weight"] + 2.0 / 4 * up @ down, atol=1e-4)


def test_a_lora_in_mixed_spelling_lands_whole(family: Path, tmp_path: Path) -> None:
    state = load_file(family / "lora_lcm" / "pytorch_lora_weights.safetensors")
    mixed = {
        name.replace("lora_A", "lora.down").replace("lora_B", "lora.up") if "attn1" in name else name: value
        for name, value in state.items()
    }
    save_file(mixed, tmp_path / "pytorch_lora_weights.safetensors")
    merged = tiny.models(family, nano_lcm=tmp_path).unet().state_dict()
    expected = tiny.models(family).unet().state_dict()
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
        tiny.models(family, nano_lcm=tmp_path).unet()


def test_a_lora_for_another_width_is_refused(family: Path, tmp_path: Path) -> None:
    name = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    save_file(
        {f"{name}.lora_A.weight": torch.ones(2, 5), f"{name}.lora_B.weight": torch.ones(5, 2)},
        tmp_path / "pytorch_lora_weights.safetensors",
    )
    with pytest.raises(WeightsError, match="WGT-5"):
        tiny.models(family, nano_lcm=tmp_path).motion_unet()


def test_what_is_no_lora_at_all_is_refused(family: Path, tmp_path: Path) -> None:
    save_file({"some.weight": torch.ones(2)}, tmp_path / "pytorch_lora_weights.safetensors")
    with pytest.raises(WeightsError, match="not understood"):
        tiny.models(family, nano_lcm=tmp_path).unet()


def test_a_lora_reaches_the_text_encoders(family: Path, tmp_path: Path) -> None:
    name = "text_encoder.encoder.layers.0.self_attn.q_proj"
    encoder = without_loras(family).text_stack().encoders[0]
    plain = encoder.state_dict()["encoder.layers.0.self_attn.q_proj.weight"]
    down, up = torch.randn(2, tiny.TEXT), torch.randn(tiny.TEXT, 2)
    save_file(
        {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up},
        tmp_path / "pytorch_lora_weights.safetensors",
    )
    merged = tiny.models(family, nano_lcm=tmp_path).text_stack().encoders[0].state_dict()
    assert torch.allclose(merged["encoder.layers.0.self_attn.q_proj.weight"], plain + up @ down, atol=1e-5)


# Schedulers, hashes, memory


@pytest.mark.parametrize(
    ("sampler", "name"),
    [(Sampler.lcm, "LCMScheduler"), (Sampler.dpmpp_2m_karras, "DPMSolverMultistepScheduler")],
)
def test_the_scheduler_follows_the_speed_and_keeps_the_base(
    family: Path, sampler: Sampler, name: str
) -> None:
    scheduler = tiny.models(family, settings=tiny.config(speed=sampler)).scheduler()
    assert type(scheduler).__name__ == name
    assert scheduler.config["prediction_type"] == "v_prediction"
    assert (scheduler.config["beta_end"], scheduler.config["beta_schedule"]) == (0.020, "scaled_linear")


def test_hq_is_second_order_dpmpp_on_karras_sigmas(family: Path) -> None:
    config = tiny.models(family, settings=tiny.config(speed=Sampler.dpmpp_2m_karras)).scheduler().config
    assert (config["algorithm_type"], config["solver_order"], config["use_karras_sigmas"]) == (
        "dpmsolver++",
        2,
        True,
    )


def test_hashes_name_every_file_that_takes_part(family: Path) -> None:
    networks = tiny.models(family)
    assert set(networks.weights_hash("motion")) == {"motion", "nano-motion", "nano-lcm"}
    assert set(networks.weights_hash("controlnet_pose")) == {"controlnet_pose"}
    assert networks.weights_hash("text")["text"] != networks.weights_hash("unet")["unet"]


def test_freed_networks_are_loaded_anew(family: Path) -> None:
    networks = tiny.models(family)
    first = networks.unet()
    assert networks.unet() is first
    networks.free("unet")
    assert networks.unet() is not first


def test_the_shipped_family_is_complete_and_undamaged() -> None:
    config = tiny.config()
    fetch.check_available(config)


def test_two_threads_may_load_at_once(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    models = tiny.models(tiny.family(tmp_path))
    with ThreadPoolExecutor(2) as pool:
        loaded = list(pool.map(lambda load: load(), [models.vae, models.motion_unet] * 3))
    assert all(not parameter.is_meta for network in loaded for parameter in network.parameters())
