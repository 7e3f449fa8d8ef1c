"""`pokora models add --kind base`: an SDXL checkpoint of others, from its one file to a verified clip."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from support import ldm_checkpoint, replay_runs, tiny_checkpoints, tiny_networks
from support.forged_run import codes, sign
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from pokora_anime.catalogue import (
    citations,
    needed_weights,
    own_weights,
    registry,
    weight_hashes,
    weight_paths,
    weights_advice,
)
from pokora_anime.catalogue.checkpoint import checkpoint_convert, checkpoint_kind
from pokora_anime.catalogue.hub import leftovers
from pokora_anime.catalogue.lora import lora_names
from pokora_anime.cli.weights import models as command
from pokora_anime.config import gate
from pokora_anime.config.compose import compose
from pokora_anime.errors import PokoraError, WeightsError
from pokora_anime.networks.loader import Models
from pokora_anime.networks.schedulers import build_scheduler
from pokora_anime.provenance.run_reading import read_run
from pokora_anime.render import pipeline
from pokora_anime.replay.examine_replay import Question, replay
from pokora_anime.replay.replay_device import Wishes
from pokora_anime.schema.settings import Family, Sampler, StillsConfig, VideoConfig
from pokora_anime.submission.documents import checkpoint_list
from pokora_anime.verify.examine_run import examine
from pokora_anime.verify.verdict import Verdict

SIDE = 64
SMALL = (
    *("base=own:hero", f"base.width={SIDE}", f"base.height={SIDE}", f"finish.width={SIDE}"),
    *(f"finish.height={SIDE}", "speed=lcm", "speed.steps=2", "device.threads=1", "device.dtype=fp32"),
)
CLIP = (
    "base.vae=null",
    "control=none",
    "style=pastel",
    "shot.seconds=2",
    "motion.frames=8",
    "contest=showcase",
)
PUBLISHED, SDXL = registry.any_row("sdxl-base-1.0"), checkpoint_convert.SDXL
PARTS = ("unet", "text_encoder", "text_encoder_2", "vae")
ZERO_SNR = {"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}
PAGE = "https://a.page/models/1"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The networks that the checkpoint is written from, in diffusers' layout."""
    folder = tiny_networks.family(tmp_path_factory.mktemp("original"))
    shutil.rmtree(folder / "vae")
    ldm_checkpoint.vae(folder / "vae")
    return folder


@pytest.fixture(scope="module")
def content(original: Path) -> ldm_checkpoint.Tensors:
    return ldm_checkpoint.tensors(original, original / "vae")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A machine that fetched what goes with SDXL, tiny, and takes tiny checkpoints."""
    root = tmp_path_factory.mktemp("machine")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint_convert, "SDXL", ldm_checkpoint.layout())
        with tiny_checkpoints.on_loopback(root, patch):
            command.main(
                ["fetch", "sdxl-tokenizers", "animatediff-sdxl-beta", "lcm-lora-sdxl", "pastel-anime-xl"]
            )
        yield root


@pytest.fixture(scope="module")
def hero(machine: Path, content: ldm_checkpoint.Tensors) -> Path:
    """The folder of the registered base."""
    half = {name: value.half() if value.is_floating_point() else value for name, value in content.items()}
    add(ldm_checkpoint.write(machine / "hero.safetensors", half))
    folder = weight_paths.locate(registry.any_row("hero"))
    assert folder is not None
    return folder


@pytest.fixture(scope="module")
def clip(machine: Path, hero: Path) -> Path:
    config = compose("video", [*SMALL, *CLIP, *replay_runs.QUIET])
    assert isinstance(config, VideoConfig)
    return sign_and_return(pipeline.render_video(config, machine / "outputs", replay_runs.GUARD))


def sign_and_return(folder: Path) -> Path:
    sign(folder)
    return folder


def add(file: Path, *more: str, **change: str) -> int:
    words = {"id": "hero", "licence": "LicenseRef-Fair-AI-1.0-SD", "source": PAGE, **change}
    options = [part for name, value in words.items() for part in (f"--{name}", value)]
    return command.main(["add", str(file), "--kind", "base", *options, *more])


def refused(file: Path, *more: str, **change: str) -> PokoraError:
    with pytest.raises(PokoraError) as caught:
        add(file, "--replace", *more, **change)
    assert "\n" not in caught.value.line()
    assert caught.value.fix
    return caught.value


# Conversion


def test_every_network_is_the_one_that_was_written(hero: Path, original: Path) -> None:
    kinds: dict[str, Any] = {
        "unet": UNet2DConditionModel,
        "vae": AutoencoderKL,
        "text_encoder": CLIPTextModel,
        "text_encoder_2": CLIPTextModelWithProjection,
    }
    for part, kind in kinds.items():
        wanted = kind.from_pretrained(original / part).state_dict()
        found = kind.from_pretrained(hero / part).state_dict()
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            assert torch.equal(found[name].float(), value.half().float()), f"{part} {name}"


def test_it_answers_as_the_original_does(machine: Path, hero: Path, original: Path) -> None:
    config = compose("video", ["base=own:hero", "base.vae=null", "speed=hq"])
    loaded = Models(config.base, config.speed, (), torch.device("cpu"), torch.float32)
    unet = UNet2DConditionModel.from_pretrained(original / "unet").half().float()
    text = torch.randn(1, 77, 2 * tiny_networks.TEXT)
    added = {"text_embeds": torch.randn(1, tiny_networks.TEXT), "time_ids": torch.zeros(1, 6)}
    latent = torch.randn(1, 4, 8, 8)
    with torch.no_grad():
        answers = [
            one(latent, 500, encoder_hidden_states=text, added_cond_kwargs=added).sample
            for one in (loaded.unet(), unet)
        ]
        assert torch.equal(*answers)
        vae = AutoencoderKL.from_pretrained(original / "vae").half().float()
        pictures = [one.decode(latent).sample for one in (loaded.vae(), vae)]
        torch.testing.assert_close(*pictures, atol=1e-5, rtol=1e-5)


def test_half_precision_is_kept(hero: Path) -> None:
    for part in ("unet", "vae", "text_encoder", "text_encoder_2"):
        assert {value.dtype for value in ldm_checkpoint.network(hero / part).values()} == {torch.float16}


def test_the_same_file_gives_the_same_bytes(machine: Path, hero: Path) -> None:
    before = registry.any_row("hero").sha256
    add(machine / "hero.safetensors", "--replace")
    assert registry.any_row("hero").sha256 == before
    assert not [path for path in hero.parent.iterdir() if path.name != "hero"]


def test_eight_bits_become_sixteen_without_loss(
    machine: Path, hero: Path, content: ldm_checkpoint.Tensors
) -> None:
    narrow = {
        name: value.to(torch.float8_e4m3fn) if value.is_floating_point() and value.dim() > 1 else value
        for name, value in content.items()
    }
    add(ldm_checkpoint.write(machine / "narrow.safetensors", narrow), id="narrow")
    found = ldm_checkpoint.network(weight_paths.locate(registry.any_row("narrow")) / "unet")
    wide = content["model.diffusion_model.input_blocks.0.0.weight"].to(torch.float8_e4m3fn)
    assert torch.equal(found["conv_in.weight"], wide.half())


# What it predicts


def scheduler(identifier: str, sampler: Sampler = Sampler.dpmpp_2m_karras) -> Any:
    folder = weight_paths.locate(registry.any_row(identifier))
    assert folder is not None
    return build_scheduler(folder / "scheduler", sampler)


def test_noise_is_predicted_on_sdxls_schedule_unless_something_tells(hero: Path) -> None:
    config = scheduler("hero").config
    assert (config.prediction_type, config.beta_end) == ("epsilon", 0.012)
    assert not config.get("rescale_betas_zero_snr")


@pytest.mark.parametrize("way", ["keys", "metadata", "option"])
def test_v_prediction_is_read_or_told(
    machine: Path, hero: Path, content: ldm_checkpoint.Tensors, way: str
) -> None:
    keys = ZERO_SNR if way == "keys" else {}
    noted = {"modelspec.prediction_type": "v"} if way == "metadata" else None
    file = ldm_checkpoint.write(machine / "v.safetensors", {**content, **keys}, noted)
    options = ["--prediction", "v", "--zero-snr"] if way == "option" else []
    add(file, "--replace", *options, id="velocity")
    for sampler in (Sampler.dpmpp_2m_karras, Sampler.lcm):
        made = scheduler("velocity", sampler)
        assert made.config.prediction_type == "v_prediction"
        assert bool(made.config.rescale_betas_zero_snr) == (way != "metadata")
    if way == "keys":
        assert refused(file, "--prediction", "epsilon").code == "CFG-OWN"


# What is refused


def test_other_files_are_named_for_what_they_are(
    machine: Path, hero: Path, content: ldm_checkpoint.Tensors, tmp_path: Path
) -> None:
    unet = "model.diffusion_model."
    first = f"{unet}input_blocks.0.0.weight"
    only = {name: value for name, value in content.items() if name.startswith(unet)}
    vae = {name: value for name, value in content.items() if name.startswith("first_stage")}
    some, lora = torch.zeros(2, 2), "lora_unet_mid_block_attentions_0_proj_in"
    files: dict[str, ldm_checkpoint.Tensors] = {
        "a LoRA": {f"{lora}.lora_down.weight": some, f"{lora}.lora_up.weight": some},
        "it is a LoRA": {f"{unet}input_blocks.3.1.proj_in.lora_A.weight": some},
        "a VAE alone": vae,
        "another kind of network": {f"{unet}blocks.0.attn.qkv.weight": some, **vae},
        "without its first text encoder": {**only, **vae},
        "an SD 1.5 checkpoint": {**only, "cond_stage_model.transformer.text_model.x": some},
        "an SD 2 checkpoint": {**only, "cond_stage_model.model.ln_final.weight": some},
        "an inpainting checkpoint": {**content, first: torch.zeros(16, 9, 3, 3)},
        "SDXL's refiner": {**only, **vae, "conditioner.embedders.0.model.ln_final.weight": some},
        "an EDM checkpoint": {**content, "edm_mean": some},
        "a Flux checkpoint": {f"{unet}double_blocks.0.img_attn.qkv.weight": some},
        "an SD 3 checkpoint": {f"{unet}joint_blocks.0.x_block.attn.qkv.weight": some},
        "a UNet alone, in diffusers' layout": {"down_blocks.0.resnets.0.conv1.weight": some},
        "a ControlNet": {"control_model.input_hint_block.0.weight": some},
        "a textual inversion": {"emb_params": some},
        "is not understood": {**content, "extra.weight": some},
        "more than SDXL's": {**content, f"{unet}input_blocks.3.1.transformer_blocks.9.norm1.weight": some},
        "conv_in.weight of [8, 4, 3, 3]": {**content, first: torch.zeros(8, 4, 3, 3)},
        "lacks 1 of": {name: value for name, value in content.items() if name != f"{unet}out.2.bias"},
        "NaN or infinite": {**content, first: torch.full((16, 4, 3, 3), torch.nan)},
        "it is quantised": {**content, first: torch.zeros(16, 4, 3, 3, dtype=torch.int8)},
    }
    for what, tensors in files.items():
        error = refused(ldm_checkpoint.write(tmp_path / "other.safetensors", tensors), id="other")
        assert (error.code, what in error.got) == ("WGT-FIT", True), error.line()
    assert "other" not in [row.id for row in own_weights.rows()]
    assert not (own_weights.data_folder() / "bases" / "other").exists()
    assert not leftovers.find()


def test_a_pickle_is_refused_with_a_way_out(machine: Path, tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "hero.ckpt")
    shutil.copyfile(tmp_path / "hero.ckpt", tmp_path / "hero.safetensors")
    for name in ("hero.ckpt", "hero.safetensors"):
        error = refused(tmp_path / name)
        assert (error.code, "safetensors" in error.fix) == ("WGT-UNSAFE", True)
    with pytest.raises(WeightsError, match="WGT-MISSING"):
        add(tmp_path / "missing.safetensors", id="other")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"licence": "CC-BY-NC-4.0"}, "WGT-BLOCKED"),
        ({"source": "web"}, "CFG-OWN"),
        ({"id": "sdxl-base-1.0"}, "CFG-OWN"),
        ({"id": "nano"}, "CFG-OWN"),
        ({"prediction": "x0"}, "CFG-SYNTAX"),
        ({"base": "sd2"}, "CFG-SYNTAX"),
    ],
)
def test_words_that_will_not_do_are_refused(
    machine: Path, hero: Path, change: dict[str, str], code: str
) -> None:
    with pytest.raises(PokoraError) as caught:
        add(machine / "hero.safetensors", "--replace", **change)
    assert caught.value.code == code


def test_an_id_is_taken_until_it_is_replaced(machine: Path, hero: Path) -> None:
    with pytest.raises(PokoraError, match="taken by your base hero"):
        add(machine / "hero.safetensors")


def test_tokenizers_are_asked_for(
    machine: Path, hero: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    error = refused(machine / "hero.safetensors", id="other")
    assert (error.code, error.fix) == ("WGT-MISSING", "pokora models fetch sdxl-tokenizers")


# As a base


def test_configs_name_it_as_own(machine: Path, hero: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = compose("video", [*SMALL, *CLIP])
    assert (config.base.family, config.base.weights) == (Family.sdxl, "own:hero")
    rows = needed_weights.needs(config)
    assert rows[0].id == "hero" and "sdxl-base-1.0" not in {row.id for row in rows}
    assert weights_advice.fetch_command(rows).startswith("pokora models fetch base=own:hero")
    for word in ("base=own:nobody", "base.weights=own:nobody"):
        with pytest.raises(PokoraError, match="nobody"):
            needed_weights.needs(compose("video", [word]))


def test_the_contest_says_that_it_is_another_base(machine: Path, hero: Path) -> None:
    found = gate.examine(compose("video", ["base=own:hero", "contest=cs492c"]))
    (base,) = [one for one in found if one.code == "RULE-BASE"]
    assert (base.severity.value, base.ineligible, "another base" in base.message) == ("block", True, True)
    elsewhere = {one.code for one in gate.examine(compose("video", ["base=own:hero", "contest=showcase"]))}
    assert "RULE-BASE" not in elsewhere and "RULE-TRAINING-DATA" in elsewhere
    assert not {code for code in elsewhere if code.startswith("GATE-")}


def test_a_clip_of_it_verifies_and_replays(clip: Path) -> None:
    report = examine(clip, contest="showcase")
    found = {one.code for one in report.findings if one.severity.value == "block"}
    assert not {code for code in found if not code.startswith("RULE-")}, report.findings
    assert "RULE-BASE" not in found
    assert "RULE-BASE" in codes(clip, contest="cs492c")
    used = checkpoint_list.used([read_run(clip)])
    assert used[0].row.id == "hero"
    text = checkpoint_list.bibtex(used)
    assert PAGE in text and "Fair AI Public License" in text and "podell2023sdxl" in text
    again, _ = replay(clip, Question(nonce="7", nodes=2, wishes=Wishes()))
    assert again.verdict is Verdict.passed


def test_stills_are_drawn_by_velocity_with_a_lora_on_it(
    machine: Path, hero: Path, content: ldm_checkpoint.Tensors
) -> None:
    add(
        ldm_checkpoint.write(machine / "z.safetensors", {**content, **ZERO_SNR}), id="zero", licence="CC0-1.0"
    )
    config = compose(
        "stills", [*SMALL, "base=own:zero", "speed=hq", "style=pastel", "count=1", "base.vae=null"]
    )
    assert isinstance(config, StillsConfig)
    made = pipeline.render_stills(config, machine / "stills", replay_runs.GUARD)
    rows = {entry.row for entry in read_run(made).weights.values()}
    assert rows == {"zero", "pastel-anime-xl"}


def test_an_altered_file_is_found(machine: Path, hero: Path) -> None:
    file = hero / "unet" / "diffusion_pytorch_model.safetensors"
    kept = file.read_bytes()
    try:
        file.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
        with pytest.raises(WeightsError, match="damaged") as caught:
            weight_hashes.verify(registry.any_row("hero"), hero)
        assert "--kind base --id hero --replace" in caught.value.fix
    finally:
        file.write_bytes(kept)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("role: own:hero", "role: base"),
        ("- sdxl\n  repo: own:hero", "- sd2\n  repo: own:hero"),
        ("status: review", "status: allowed"),
        ("vae/config.json", "../vae/config.json"),
    ],
)
def test_no_base_of_ones_own_passes_for_a_shipped_one(machine: Path, hero: Path, old: str, new: str) -> None:
    kept = own_weights.path().read_text()
    assert old in kept
    try:
        own_weights.path().write_text(kept.replace(old, new))
        with pytest.raises(PokoraError) as caught:
            registry.rows()
        assert caught.value.code == "CFG-OWN"
    finally:
        own_weights.path().write_text(kept)


def test_it_is_cited_as_somebody_elses(machine: Path, hero: Path) -> None:
    text = citations.bibtex([registry.any_row("hero")])
    assert "Unknown" in text and "hero.safetensors, sha256" in text.replace("\\_", "_")


def test_every_name_of_the_published_file_has_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """SDXL's own file has 2515 tensors: those of these networks, and two that are not read."""
    monkeypatch.setitem(ldm_checkpoint.VAE, "block_out_channels", SDXL.vae["block_out_channels"])
    stored: dict[str, ldm_checkpoint.Tensors] = {}
    networks = {part: checkpoint_convert._empty(part, SDXL).state_dict() for part in PARTS}
    modules = {name.rpartition(".")[0] for name in networks["unet"]}
    original = lora_names._Original(modules)
    layers = {name: original.names(name)[0] for name in modules}
    stored["unet"] = {
        f"{checkpoint_kind.UNET}{layers[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": value
        for name, value in networks["unet"].items()
    }
    text = networks["text_encoder"].items()
    stored["text_encoder"] = {f"{checkpoint_kind.CLIP}{name}": value for name, value in text}
    second = ldm_checkpoint._open_clip(networks["text_encoder_2"]).items()
    stored["text_encoder_2"] = {f"{checkpoint_kind.OPEN_CLIP}{name}": value for name, value in second}
    named = (ldm_checkpoint._vae(name, value) for name, value in networks["vae"].items())
    stored["vae"] = {f"{checkpoint_kind.VAE}{name}": value for name, value in named}
    assert sum(map(len, stored.values())) + 2 == 2515
    for part, tensors in stored.items():
        found = checkpoint_convert._converted("published", part, tensors, SDXL)
        assert found.keys() == networks[part].keys()


def test_the_layout_is_the_published_one() -> None:
    """Networks of its configs have as many numbers as the published files of two bytes each."""
    for part in PARTS:
        (file,) = [
            name for name in PUBLISHED.sizes if name.startswith(f"{part}/") and name.endswith("tensors")
        ]
        network = checkpoint_convert._empty(part, SDXL)
        numbers = sum(tensor.numel() for tensor in network.state_dict().values())
        assert 0 < PUBLISHED.sizes[file] - 2 * numbers < 300_000
