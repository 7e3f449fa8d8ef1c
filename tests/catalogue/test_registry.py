"""The registry: its rows, what a composition needs of them, what is here, and what to type about it."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from pokora_anime.catalogue import (
    citations,
    lockfile,
    needed_weights,
    registry,
    weight_hashes,
    weight_paths,
    weights_advice,
)
from pokora_anime.catalogue.licences import LICENCES, Terms
from pokora_anime.catalogue.lora.lora_tags import merge_loras
from pokora_anime.catalogue.registry_row import COMMIT, Kind, Row, Status, parse
from pokora_anime.cli.weights import models as command
from pokora_anime.config.compose import compose
from pokora_anime.errors import ConfigError, PokoraError, WeightsError
from pokora_anime.rules import checkpoint_facts
from pokora_anime.schema.settings import ControlConfig, ControlKind, Family, LoraConfig


@pytest.fixture(autouse=True)
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("POKORA_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


# Rows


def test_every_row_has_a_licence_a_link_and_papers_that_exist() -> None:
    for row in registry.shipped():
        assert row.terms and row.link, row.id
        assert set(row.citation) <= set(citations.papers()), row.id
        assert row.published or row.slot, row.id


def test_ids_are_unique_and_roles_are_unique_within_a_family() -> None:
    rows = registry.shipped()
    assert len({row.id for row in rows}) == len(rows)
    roles = [(family, row.role) for row in rows for family in row.families]
    assert len(set(roles)) == len(roles)


def test_commits_are_whole_and_what_is_not_cleared_says_why() -> None:
    for row in registry.shipped():
        assert row.revision is None or COMMIT.fullmatch(row.revision), row.id
        assert all(COMMIT.fullmatch(mirror.revision) for mirror in row.mirrors), row.id
        assert row.reason or row.status is Status.allowed, row.id


def test_non_commercial_weights_are_blocked() -> None:
    for row in registry.shipped():
        if row.terms.terms is Terms.non_commercial:
            assert row.status is Status.blocked, row.id
    blocked = {row.id for row in registry.shipped() if row.status is Status.blocked}
    assert {"depth-anything-v2-base", "depth-anything-v2-large", "openpose-body", "sdxl-turbo"} <= blocked


def test_runs_load_safetensors_and_hashed_graphs_only() -> None:
    for row in registry.shipped():
        assert not [name for name in row.files if name.endswith((".pth", ".bin", ".ckpt", ".pt"))], row.id
        assert all(name in row.sha256 for name in row.files if name.endswith(".onnx")), row.id


@pytest.mark.parametrize(
    "role",
    """base vae preview_vae motion lcm lightning hyper pastel flat_color character aesthetic controlnet_pose
    controlnet_depth controlnet_canny controlnet_lineart controlnet_union pose_extractor depth_extractor
    lineart_extractor rife upscaler upscaler_large score_consistency score_prompt score_flow""".split(),
)
def test_sdxl_has_a_row_for_every_role(role: str) -> None:
    assert registry.resolve(role, Family.sdxl).families


def test_a_pickle_is_published_and_its_conversion_is_loaded() -> None:
    row = registry.resolve("lineart_extractor", Family.sdxl)
    assert (row.published, row.files) == (("netG.pth",), ("netG.safetensors",))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"licence": "WTFPL"}, "licence"),
        ({"files": {"a.safetensors": {"sha256": "abc"}}}, "64 hex"),
        ({"repo": "https://example.org/x", "files": ["a.safetensors"]}, "every file"),
        ({"kind": "painting"}, "painting"),
    ],
)
def test_a_row_that_is_none_is_refused(change: dict[str, object], why: str) -> None:
    entry = {
        "id": "x", "kind": "vae", "role": "x", "families": ["sdxl"], "repo": "a/b",
        "files": ["a.safetensors"], "licence": "MIT", "citation": [], "status": "allowed",
    }  # fmt: skip
    assert parse(entry).id == "x"
    with pytest.raises(ValueError, match=why):
        parse({**entry, **change})


def row_of(**change: object) -> Row:
    return replace(registry.resolve("vae", Family.sdxl), **change)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("change", "unpinned"),
    [
        ({}, False),
        ({"revision": None}, False),  # its weights are hashed
        ({"revision": None, "sha256": {}}, True),
        ({"revision": "main", "sha256": {}}, True),  # a branch moves
    ],
)
def test_a_row_is_pinned_by_a_commit_or_by_all_its_hashes(change: dict[str, object], unpinned: bool) -> None:
    assert row_of(**change).unpinned is unpinned


# Names


def test_template_names_resolve_by_role() -> None:
    found = registry.find_style("pastelAnimeXL", Family.sdxl)
    assert found is not None
    assert found.role == "pastel"
    found = registry.find_style("flat_color", Family.sdxl)
    assert found is not None
    assert "animeFlatColorXL" in found.aliases


def test_a_style_that_only_other_bases_have_is_left_out_with_a_note() -> None:
    rows, notes = needed_weights.style_rows([LoraConfig(id="pastelAnimeXL")], Family.sd2)
    assert rows == []
    assert "pastelAnimeXL" in notes[0]


def test_an_unknown_style_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean pastelAnimeXL"):
        registry.find_style("pastelAnimXL", Family.nano)


def test_an_empty_slot_says_how_to_fill_it() -> None:
    with pytest.raises(WeightsError, match="pokora models add FILE --slot character") as caught:
        needed_weights.style_rows([LoraConfig(id="character")], Family.sdxl)
    assert caught.value.code == "WGT-MISSING"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["base=sd2", "speed=lightning"], "CFG-SPEED", ["published one (sdxl)", "speed=hq"]),
        (["base=nano", "speed=hyper"], "CFG-SPEED", ["published one (sdxl)", "speed=lcm"]),
        (["base=sdxl", "speed=turbo"], "WGT-BLOCKED", ["non-commercial", "another base", "speed=lcm"]),
    ],
)
def test_a_speed_that_a_base_has_not_names_the_nearest_that_works(
    words: list[str], code: str, told: list[str]
) -> None:
    with pytest.raises(PokoraError) as caught:
        needed_weights.needs(compose("video", words))
    assert caught.value.code == code
    assert all(word in caught.value.line() for word in told)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["base=sdxl", "motion.lora=pan_left"],
            ["base=sdxl has no motion LoRA 'pan_left'", "SD 1.5", "motion.lora=null"],
        ),
        (["base=sd2", "motion.lora=zoom"], ["one of zoom_in, zoom_out, pan_left"]),
        (["base=sd2", "motion.lora=zoom_in"], ["base.motion_adapter=animatediff-v1-5-2"]),
        (["base=sdxl", "base.motion_adapter=animatediff-v1-5-3"], ["is for base=sd2, not for base=sdxl"]),
        (["base=sdxl", "base.vae=sd2-1"], ["is for base=sd2, not for base=sdxl"]),
    ],
)
def test_weights_of_another_base_or_adapter_are_named(words: list[str], told: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        needed_weights.needs(compose("video", words))
    assert all(word in caught.value.line() for word in told)


def test_sd2_has_no_lcm_and_says_what_to_use() -> None:
    with pytest.raises(ConfigError, match="speed=hq"):
        needed_weights.needs(compose("video", ["base=sd2", "speed=lcm"]))


def test_one_style_under_several_names_counts_once_and_the_later_weight_wins() -> None:
    names = ("pastelAnimeXL", "pastel", "pastel-anime-xl")
    loras = [LoraConfig(id=name, weight=weight) for name, weight in zip(names, (0.1, 0.2, 0.3), strict=True)]
    assert [lora.weight for lora in merge_loras(loras[:1], loras[1:])] == [0.3]
    rows, _ = needed_weights.style_rows(loras, Family.sdxl)
    assert [(row.id, weight) for row, weight in rows] == [("pastel-anime-xl", 0.3)]


def test_the_limit_on_styles_counts_loras_not_names() -> None:
    tags = "<lora:pastel:0.8>, <lora:pastel-anime-xl:0.8>, <lora:flat_color:0.2>"
    assert compose("video", ["base=sdxl", f"shot.prompt='1girl, {tags}'"])


# What is here and what is not


@pytest.mark.parametrize(
    "words",
    [
        "base=sdxl",
        "base=sdxl speed=hq",
        "base=sdxl style=none",
        "base=sdxl style=pastel control=none",
        "base=sdxl style=flat_color control=canny",
        "base=sdxl control.kinds=[depth,canny]",
        "base=sdxl control=pose",
        "base=sdxl control=depth",
        "base=sdxl control=lineart",
        "base=sdxl control=union",
        "base=sdxl control=union control.kinds=[canny]",
        "base=sdxl control=union control.kinds=[pose,lineart]",
        "base=sd2",
        "base=sd2 control=depth",
        "base=sd2 motion.lora=zoom_in base.motion_adapter=animatediff-v1-5-2",
    ],
)
def test_the_suggested_command_fetches_just_what_the_composition_lacks(words: str) -> None:
    config = compose("video", words.split())
    with pytest.raises(WeightsError, match="WGT-MISSING") as caught:
        needed_weights.check_available(config)
    start, *suggested = shlex.split(caught.value.fix.removeprefix("pokora models "))
    assert start == "fetch"
    assert {row.id for row in needed_weights.needs(compose("video", suggested))} == {
        row.id for row in needed_weights.needs(config)
    }


def test_the_suggested_command_names_a_lora_that_no_style_has() -> None:
    base, pastel = registry.resolve("base", Family.sdxl), registry.resolve("pastel", Family.sdxl)
    other = replace(pastel, id="other-xl", role="other")
    suggested = shlex.split(weights_advice.fetch_command([base, other]))
    assert "style=none" in suggested
    assert "style.loras=[{id:other-xl}]" in suggested


def test_what_serves_two_bases_is_fetched_for_the_one_in_use() -> None:
    row = registry.resolve("depth_extractor", Family.sd2)
    with pytest.raises(WeightsError, match="base=sd2"):
        raise weights_advice.absent([row], [row], Family.sd2)


def test_only_control_kinds_that_may_be_used_are_suggested(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "control=pose" in weights_advice.control_options(Family.sdxl)
    blocked = tuple(
        replace(row, status=Status.blocked) if row.id == "vitpose-base" else row for row in registry.shipped()
    )
    monkeypatch.setattr(registry, "shipped", lambda: blocked)
    assert "control=pose" not in weights_advice.control_options(Family.sdxl)


def test_a_blocked_extractor_is_refused_even_where_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = compose("video", ["base=sdxl", "control=pose"])
    blocked = tuple(
        replace(row, status=Status.blocked, reason="a test") if row.id == "vitpose-base" else row
        for row in registry.shipped()
    )
    monkeypatch.setattr(registry, "shipped", lambda: blocked)
    with pytest.raises(WeightsError, match="control=depth") as caught:
        needed_weights.check_available(config, {row.id: tmp_path for row in registry.rows()})
    assert caught.value.code == "WGT-BLOCKED"


def test_nano_has_no_canny_and_names_the_kinds_that_work() -> None:
    config = compose("video", ["base=nano"])
    assert hasattr(config, "control")
    config.control = ControlConfig(kinds=[ControlKind.canny])  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ConfigError, match="pose, depth") as caught:
        needed_weights.needs(config)
    assert "control=none" in caught.value.fix


def test_a_fetched_row_is_found_at_its_pinned_revision(tmp_path: Path) -> None:
    row = registry.resolve("vae", Family.sdxl)
    snapshot = tmp_path / "hub" / "models--madebyollin--sdxl-vae-fp16-fix" / "snapshots" / str(row.revision)
    assert weight_paths.locate(row) is None
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").touch()
    assert weight_paths.locate(row) is None  # half of it is not enough
    (snapshot / "diffusion_pytorch_model.safetensors").touch()
    assert weight_paths.locate(row) == snapshot


def test_an_unpinned_row_is_found_where_main_points(tmp_path: Path) -> None:
    row = registry.resolve("flat_color", Family.sdxl)
    home = tmp_path / "hub" / "models--2vXpSwA7--anime-flat-color-xl"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("abc")
    (home / "snapshots" / "abc").mkdir(parents=True)
    (home / "snapshots" / "abc" / "anything.safetensors").touch()
    assert weight_paths.locate(row) == home / "snapshots" / "abc"


def test_a_mirrors_copy_is_found(tmp_path: Path) -> None:
    row = registry.resolve("base", Family.sd2)
    (mirror,) = row.mirrors
    snapshot = tmp_path / "hub" / "models--stabilityai--stable-diffusion-2-1" / "snapshots" / mirror.revision
    for name in row.files:
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / name).touch()
    assert weight_paths.locate(row) == snapshot


def test_a_run_has_a_note_about_unpinned_weights() -> None:
    (note,) = needed_weights.unpinned(compose("video", ["base=sdxl"]))
    assert "anime-flat-color-xl" in note
    assert "pastel-anime-xl" not in note  # pinned by its sha256
    assert needed_weights.unpinned(compose("video", [])) == []


def test_a_lock_that_is_none_is_one_line(tmp_path: Path) -> None:
    lockfile.path().parent.mkdir(parents=True)
    lockfile.path().write_text('{"version": 99}')
    with pytest.raises(WeightsError, match="no lock file") as caught:
        lockfile.read()
    assert caught.value.code == "WGT-DAMAGED"


def test_checking_weights_needs_no_torch() -> None:
    modules = ", ".join(
        f"pokora_anime.catalogue.{name}"
        for name in (
            *("needed_weights", "own_weights", "citations", "checkpoint.pickle_convert"),
            *("hub.fetch_models", "hub.hub_client", "hub.leftovers"),
        )
    )
    code = (
        f"import sys, {modules}, pokora_anime.rules.checkpoint_facts;"
        "pokora_anime.rules.checkpoint_facts.every();"
        "assert not {'torch', 'diffusers', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Hashes


def test_a_damaged_file_is_found_before_it_is_used(tmp_path: Path) -> None:
    row = registry.resolve("pastel", Family.sdxl)
    (tmp_path / row.files[0]).write_bytes(b"not the real thing")
    with pytest.raises(WeightsError, match="damaged") as caught:
        weight_hashes.verify(row, tmp_path)
    assert caught.value.code == "WGT-DAMAGED"


@pytest.mark.parametrize("name", ["model.bin", "graph.onnx"])
def test_what_may_run_code_or_has_no_hash_is_not_opened(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(WeightsError, match=name) as caught:
        weight_hashes.verify(row_of(files=(name,), published=(name,), sha256={}), tmp_path)
    assert caught.value.code == "WGT-UNSAFE"


def test_a_manifest_promises_the_hashes_of_packaged_weights(tmp_path: Path) -> None:
    row = registry.resolve("lcm", Family.nano)
    folder = tmp_path / row.folder
    folder.mkdir()
    (folder / row.files[0]).write_bytes(b"x")
    (tmp_path / "MANIFEST.json").write_text(json.dumps({f"{row.folder}/{row.files[0]}": "0" * 64}))
    with pytest.raises(WeightsError, match="damaged"):
        weight_hashes.verify(row, folder)


def test_a_file_that_the_manifest_lists_must_be_there(tmp_path: Path) -> None:
    row = registry.resolve("motion", Family.nano)
    folder = tmp_path / row.folder
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "m-00001-of-00002.safetensors").write_bytes(b"x")
    listed = {f"{row.folder}/config.json": "", f"{row.folder}/m-00002-of-00002.safetensors": "0" * 64}
    (tmp_path / "MANIFEST.json").write_text(json.dumps(listed))
    with pytest.raises(WeightsError, match="lacks m-00002-of-00002") as caught:
        weight_hashes.verify(row, folder)
    assert caught.value.code == "WGT-MISSING"


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


# Facts for the rules, citations, the command


def test_the_rules_get_facts_about_every_row() -> None:
    every = checkpoint_facts.every()
    assert set(every) == {row.id for row in registry.rows()}
    assert (every["nano"].status, every["nano"].pinned, every["nano"].locked) == ("allowed", True, True)
    flat = checkpoint_facts.facts("animeFlatColorXL")
    assert (flat.status, flat.pinned, flat.decided, flat.locked) == ("review", False, False, False)
    assert "licence" in flat.reason
    assert not every["depth-anything-v2-large"].commercial
    lockfile.accept("anime-flat-color-xl", "LicenseRef-unknown")
    assert checkpoint_facts.facts("anime-flat-color-xl").decided


def test_every_checkpoint_of_a_composition_is_cited_with_its_link() -> None:
    rows = needed_weights.needs(compose("video", ["base=sdxl"]))
    text = citations.bibtex(rows)
    for row in rows:
        assert f"\\url{{{row.link}}}" in text, row.id
        assert all(f"{{{key}," in text for key in row.citation), row.id
    assert text.count("@") == len(rows) + len({key for row in rows for key in row.citation})
    assert text.count("{") == text.count("}")


def test_ids_and_a_composition_can_be_named_together() -> None:
    rows, family = command.rows_of(["base=sd2", "control=none", "dinov2-small"])
    assert family is Family.sd2
    assert {row.id for row in rows} >= {"sd2-1", "animatediff-v1-5-3", "dinov2-small"}
    (row,), family = command.rows_of(["rife-4.25"])
    assert row.kind is Kind.interpolator


def test_an_unknown_id_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean dinov2-small"):
        command.main(["fetch", "dinov2-smal"])


def test_the_list_shows_every_row_and_why_it_is_not_cleared(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["list"]) == 0
    shown = capsys.readouterr().out
    assert all(row.id in shown and row.reason in shown for row in registry.rows())


def test_a_dry_run_needs_neither_hub_nor_weights(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["fetch", "base=sdxl", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "5.14 GB  unet/diffusion_pytorch_model.fp16.safetensors" in shown
    assert "CreativeML Open RAIL++-M" in shown
    assert "needs --accept anime-flat-color-xl" in shown


def test_accepting_what_is_not_fetched_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match="--accept pastel-anime-xl"):
        command.main(["fetch", "dinov2-small", "--accept", "pastel-anime-xl"])


def test_verify_reads_every_byte_and_fails_on_a_changed_one(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    row = registry.resolve("pastel", Family.sdxl)
    assert command.main(["verify", "nano-lcm"]) == 0
    assert "1 of 1 files as promised" in capsys.readouterr().out
    main = tmp_path / "hub" / "models--Linaqruf--pastel-anime-xl-lora" / "refs" / "main"
    main.parent.mkdir(parents=True)
    main.write_text("abc")
    snapshot = main.parents[1] / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / row.files[0]).write_bytes(b"x")
    with pytest.raises(WeightsError, match="damaged"):
        command.main(["verify", row.id])


def test_blocked_rows_are_never_fetched() -> None:
    with pytest.raises(WeightsError, match="non-commercial") as caught:
        command.main(["fetch", "depth-anything-v2-large"])
    assert caught.value.code == "WGT-BLOCKED"


def test_licence_ids_are_spdx_or_own_references() -> None:
    for identifier in LICENCES:
        bare = identifier.removeprefix("LicenseRef-")
        assert all(letter.isalnum() or letter in "-." for letter in bare), identifier
