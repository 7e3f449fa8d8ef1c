"""Exports: each part is torch's in another format, an app can draw with it, and nothing half-made stays."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support import tiny_networks

from pokora_anime import cli
from pokora_anime.config.compose import compose_stills
from pokora_anime.errors import ConfigError, MachineError, WeightsError
from pokora_anime.export import (
    export_folder,
    export_job,
    make_export,
    part_files,
    split_einsum,
    swift_package,
    traced_parts,
)
from pokora_anime.export.export_job import Attention, ExportJob, Format
from pokora_anime.networks.loader import Models
from pokora_anime.provenance.seed_noise import derived_seed, normal
from pokora_anime.schema.settings import Family
from pokora_anime.stages.picture import keyframe
from pokora_anime.stages.text import prompt_embeddings

EXAMPLE = Path(__file__).parents[2] / "examples" / "draw_onnx.py"
PROMPT = "1girl, blue hair, twintails, green eyes, smile, school uniform, cherry blossoms"
STILL = ("style=none", "speed.steps=2")


def job(format: Format = Format.onnx, parts: str = "", *words: str, **more: Any) -> ExportJob:
    config = export_job.composed("nano", words or STILL)
    return ExportJob(
        config=config, format=format, parts=export_job.chosen_parts(parts, config.base.family), **more
    )


WITH_ONNX = pytest.mark.skipif(
    find_spec("onnxruntime") is None or find_spec("onnxscript") is None,
    reason="the extra `export` is not installed",
)


def tiny(folder: Path, format: Format, parts: str, **more: Any) -> ExportJob:
    """Of a tiny random SDXL."""
    config = tiny_networks.config()
    chosen = export_job.chosen_parts(parts, Family.sdxl)
    return ExportJob(config=config, format=format, parts=chosen, folders=tiny_networks.places(folder), **more)


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_networks.family(tmp_path_factory.mktemp("sdxl") / "family")


def line(capsys: pytest.CaptureFixture[str], *typed: str) -> tuple[int, str]:
    status = cli.main(["export", *typed])
    return status, capsys.readouterr().err.strip()


# ---- What is typed


@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [
        (("onnx", "--parts", "vea_decoder"), 2, "fix: --parts vae_decoder"),
        (("onnx", "--parts", ","), 2, "names nothing"),
        pytest.param(("onnx", "--base", "sdxl"), 3, "fix: pokora models fetch base=sdxl", marks=WITH_ONNX),
        (("onnx", "--base", "sdxk"), 2, "base=sdxk does not exist"),
        (("onnx", "shot.prompt=1girl"), 2, "an export does not read 'shot.prompt=1girl'"),
        (("onnx", "base=sdxl"), 2, "fix: --base sdxl"),
        (("onnx", "--bits", "8"), 2, "--bits"),
        (("coreml", "--bits", "5"), 2, "choose from 16, 8, 6"),
        (("tflite",), 2, "onnx|coreml|swift"),
    ],
)
def test_what_cannot_be_exported_is_one_line(
    typed: tuple[str, ...], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, told = line(capsys, *typed)
    assert status == code and said in told and "\n" not in told


def test_core_ml_off_a_mac_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    if sys.platform == "darwin":
        pytest.skip("Core ML computes here")
    status, told = line(capsys, "coreml", "--run")
    assert status == 4 and told.startswith("pokora: SYS-MACOS") and "\n" not in told


def test_a_package_that_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_job, "PACKAGES", {Format.onnx: ("no_such_onnx",)})
    with pytest.raises(MachineError, match=r"SYS-EXTRA: .*no_such_onnx.*pip install"):
        export_job.require_extra(Format.onnx)


def test_room_is_forecast_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = shutil.disk_usage(tmp_path)._replace(free=20_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: left)
    with pytest.raises(
        MachineError, match=r"SYS-DISK: the export does not fit: 20 MB free .*expected 74.6 MB"
    ):
        export_job.require_room(job(), tmp_path / "out")
    export_job.require_room(job(parts="text_encoder"), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_parts_are_named_by_base() -> None:
    assert "text_encoder_2" not in export_job.part_names(Family.sd2)
    both = export_job.chosen_parts("controlnet,unet", Family.nano)
    assert both == ("unet", "controlnet_pose", "controlnet_depth")


# ---- The folder


def test_a_failed_export_leaves_nothing_and_an_earlier_one_as_it_was(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with export_folder.making(out) as place:
        (place / part_files.CARD).write_text("first")
    with pytest.raises(MachineError, match=r"SYS-IO: .*broken"), export_folder.making(out) as place:
        (place / part_files.CARD).write_text("second")
        raise OSError("broken")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (out / part_files.CARD).read_text() == "first"


def test_what_a_killed_export_left_goes_with_the_next(tmp_path: Path) -> None:
    left = tmp_path / ".out.999999999.tmp"
    (left / "made").mkdir(parents=True)
    with export_folder.making(tmp_path / "out") as place:
        (place / part_files.CARD).write_text("{}")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_only_an_export_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(ConfigError, match=r"CFG-EXPORT: .*is no export"):
        export_folder.require_free(tmp_path / "mine", replace=True)


# ---- Attention


@pytest.mark.parametrize("parts", ["unet", "motion_unet", "vae_decoder", "text_encoder_2", "controlnet_pose"])
def test_both_forms_of_attention_are_equal(sdxl: Path, parts: str) -> None:
    made: list[tuple[torch.Tensor, ...]] = []
    for how in Attention:
        one = tiny(sdxl, Format.onnx, parts, attention=how)
        source = traced_parts.PartSource(one, models(one))
        with source.opened(parts) as traced:
            made.append(traced.computed())
    for original, split in zip(*made, strict=True):
        assert (original - split).abs().max() <= 2e-5 * original.abs().max()


def models(one: ExportJob) -> Models:
    config = one.config
    return Models(
        config.base,
        config.speed,
        (),
        torch.device("cpu"),
        torch.float32,
        folders=one.folders,
        motion=config.motion,
    )


def test_heads_are_told_apart() -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 12, 1, tokens) for tokens in (5, 7, 7))
    wanted = torch.nn.functional.scaled_dot_product_attention(
        *(one.reshape(2, 3, 4, -1).transpose(2, 3) for one in (query, key, value))
    )
    found = split_einsum.per_head(query, key, value, 3, 0.5)
    assert torch.allclose(found, wanted.transpose(2, 3).reshape(2, 12, 1, 5), atol=1e-6)


# ---- ONNX


@pytest.fixture(scope="module")
def onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    pytest.importorskip("onnxscript", reason="the extra `export` is not installed")
    torch.set_num_threads(1)
    return make_export.make(job(), tmp_path_factory.mktemp("onnx") / "out", lambda _: None)


@pytest.mark.apart
def test_onnxruntime_alone_draws_the_picture_of_torch(onnx: Path, tmp_path: Path) -> None:
    still = tmp_path / "still.png"
    code = f"import sys; sys.argv[1:] = {[str(onnx), str(still), '--prompt', PROMPT]!r}; import runpy"
    code += f"; runpy.run_path({str(EXAMPLE)!r}, run_name='__main__'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

    words = (
        "base.fill_open=false",
        "negative=none",
        "shot.prefix=",
        f"shot.prompt={PROMPT}",
        "seed=7",
        *STILL,
    )
    config = compose_stills(words)
    networks = Models(config.base, config.speed, (), torch.device("cpu"), torch.float32)
    context = tiny_networks.context(tmp_path / "run", networks, seed=7)
    wanted = keyframe.render_still(prompt_embeddings.encode(config.shot, config, context), config, context)
    drawn = np.asarray(Image.open(still)).astype(int)
    assert np.abs(drawn - wanted.image).max() <= 2 and wanted.image.std() > 20


@pytest.mark.apart
def test_an_export_tells_licences_and_hashes(onnx: Path) -> None:
    import onnx as library

    card = json.loads((onnx / part_files.CARD).read_text())
    assert {one["licence"] for one in card["weights"]} == {"CC0-1.0"}
    files = card["weights"][0]["sha256"]
    assert files["unet/config.json"] == part_files.file_hash(
        Path(traced_parts.__file__).parents[1] / "nano" / "weights" / "unet" / "config.json"
    )
    for part in card["parts"].values():
        assert part["compared"]["largest_difference"] <= 1e-4
        assert part["sha256"][part["file"]] == part_files.file_hash(onnx / part["file"])
    stored = library.load(onnx / "unet.onnx", load_external_data=False)
    texts = {one.key: one.value for one in stored.metadata_props}
    assert "CC0-1.0" in texts["pokora.licences"] and "nano-lcm x1" in texts["pokora.weights"]


# ---- Core ML


@pytest.fixture(scope="module")
def coreml(sdxl: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SDXL in 8 bits, head by head."""
    pytest.importorskip("coremltools", reason="the extra `export` is not installed")
    one = tiny(sdxl, Format.coreml, "unet,text_encoder_2", attention=Attention.split_einsum, bits=8)
    return make_export.make(one, tmp_path_factory.mktemp("coreml") / "out", lambda _: None)


@pytest.mark.apart
def test_a_package_loads_as_a_spec_with_its_shapes(coreml: Path) -> None:
    import coremltools

    loaded: Any = coremltools.models.MLModel(str(coreml / "unet.mlpackage"), skip_model_load=True)
    spec = loaded.get_spec()
    card = json.loads((coreml / part_files.CARD).read_text())
    for told, stored in (("inputs", spec.description.input), ("outputs", spec.description.output)):
        shapes = {one.name: list(one.type.multiArrayType.shape) for one in stored}
        assert shapes == {name: one["shape"] for name, one in card["parts"]["unet"][told].items()}
    texts = dict(spec.description.metadata.userDefined)
    assert texts["pokora.bits"] == "8" and "CC0-1.0 (nano)" in texts["pokora.licences"]
    assert card["parts"]["unet"]["compared"]["largest_difference"] <= 1


@pytest.mark.apart
@pytest.mark.parametrize("bits", [16, 6])
def test_every_weight_lies_within_its_rounding(sdxl: Path, bits: int, tmp_path: Path) -> None:
    pytest.importorskip("coremltools", reason="the extra `export` is not installed")
    from pokora_anime.export import coreml_parts, weights_read_back

    one = tiny(sdxl, Format.coreml, "text_encoder_2", bits=bits)
    with traced_parts.PartSource(one, models(one)).opened("text_encoder_2") as traced:
        made = coreml_parts.write(traced, tmp_path, part_files.metadata(one, [], "text_encoder_2"), bits)
        assert made.compared.largest <= 1.0
        with torch.no_grad():  # a weight that is another is found out
            weight = next(one for one in traced.network.parameters() if one.numel() > 2048)
            weight[0, 0] += 0.5
        names = frozenset(name for name, _ in traced.network.named_parameters())
        changed = weights_read_back.compare(traced, names, tmp_path / made.file)
        with pytest.raises(WeightsError, match="WGT-EXPORT"):
            changed.require(made.file)


# ---- Swift


@pytest.fixture(scope="module")
def package(sdxl: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Swift package around an export whose parts are left out: texts, steps and sources alone."""
    pytest.importorskip("coremltools", reason="the extra `export` is not installed")
    place = tmp_path_factory.mktemp("swift") / "package"
    one = tiny(sdxl, Format.coreml, "unet")
    with export_folder.making(place) as made:
        tokenizers = make_export._add_texts(one, made)
        card = part_files.card(one, part_files.licences(one), [], made)
        content = {**card, "tokenizers": tokenizers, "scheduler": make_export._scheduler(one)}
        (made / part_files.CARD).write_text(json.dumps(content))
        swift_package.wrap(made)
    return place


def test_the_swift_sources_parse(package: Path) -> None:
    tree_sitter = pytest.importorskip("tree_sitter", reason="the extra `export` is not installed")
    grammar = pytest.importorskip("tree_sitter_swift", reason="the extra `export` is not installed")
    parser = tree_sitter.Parser(tree_sitter.Language(grammar.language()))
    sources = sorted(package.rglob("*.swift"))
    assert len(sources) == 7
    for path in sources:
        tree = parser.parse(path.read_bytes())
        assert not tree.root_node.has_error, f"{path.name}: {_first_error(tree.root_node)}"
    assert parser.parse(b"func broken( {").root_node.has_error


def _first_error(node: Any) -> str:
    if node.type == "ERROR" or node.is_missing:
        return f"line {node.start_point[0] + 1}: {node.text[:80]!r}"
    return next((said for child in node.children if (said := _first_error(child))), "")


def test_swift_vectors_are_what_numpy_computes(package: Path) -> None:
    """The arithmetic of Sampler.swift and Noise.swift once more, in numpy."""
    vectors = json.loads((package / swift_package.VECTORS).read_text())
    for one in vectors["noise"]:
        seed, name, index = json.loads(one["names"])
        assert np.abs(normal(derived_seed(seed, name, index), (64,)) - one["values"]).max() <= 1e-5
    for one in vectors["steps"]:
        schedule, step = one["schedule"], one["step"]
        latents, prediction, noise = (np.array(one[name]) for name in ("latents", "prediction", "noise"))
        scaled, following = latents, latents
        if schedule["sampler"] == "lcm":
            low, high, count = (schedule[name] for name in ("beta_start", "beta_end", "num_train_timesteps"))
            alphas = np.cumprod(1 - np.linspace(low**0.5, high**0.5, count) ** 2)
            time, alpha = schedule["timesteps"][step], alphas[schedule["timesteps"][step]]
            clean = (latents - (1 - alpha) ** 0.5 * prediction) / alpha**0.5
            if schedule["prediction_type"] == "v_prediction":
                clean = alpha**0.5 * latents - (1 - alpha) ** 0.5 * prediction
            far = (10 * time) ** 2 + 0.25
            following = 10 * time / far**0.5 * clean + 0.25 / far * latents
            if step + 1 < len(schedule["timesteps"]):
                level = alphas[schedule["timesteps"][step + 1]]
                following = level**0.5 * following + (1 - level) ** 0.5 * noise
        else:
            sigma, ahead = schedule["sigmas"][step : step + 2]
            scaled = latents / (sigma**2 + 1) ** 0.5
            clean = latents - sigma * prediction
            if schedule["prediction_type"] == "v_prediction":
                clean = prediction * (-sigma / (sigma**2 + 1) ** 0.5) + latents / (sigma**2 + 1)
            following = latents + (latents - clean) / sigma * (ahead - sigma)
        assert np.abs(scaled - one["scaled"]).max() <= 1e-4
        assert np.abs(following - one["next"]).max() <= 1e-4
    assert {one["schedule"]["sampler"] for one in vectors["steps"]} == {"lcm", "euler"}
    assert all(len(one["ids"]) == 77 for one in vectors["texts"])


def test_a_swift_package_is_of_a_stills_parts(capsys: pytest.CaptureFixture[str]) -> None:
    status, told = line(capsys, "swift", "--parts", "unet,controlnet_pose")
    assert status == 2 and "the parts of a still" in told and "\n" not in told
