"""`pokora models fetch` with the hub's real client against a hub on the loopback."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import ControlNetUnionModel
from safetensors.torch import load_file
from support import tiny_checkpoints, tiny_networks
from support.hub_server import Hub, Repository, reach, serving

from pokora_anime.catalogue import hash_memory, lockfile, registry, weight_hashes, weight_paths
from pokora_anime.catalogue.hub import hub_client as hub
from pokora_anime.catalogue.hub import leftovers
from pokora_anime.catalogue.hub.fetch_models import fetch, table
from pokora_anime.catalogue.needed_weights import check_available, needs
from pokora_anime.catalogue.registry_row import Kind, Mirror, Row
from pokora_anime.cli.weights.models import main as command
from pokora_anime.config.compose import compose
from pokora_anime.errors import MachineError, PokoraError, WeightsError
from pokora_anime.networks.loader import Models
from pokora_anime.schema.settings import ControlKind, Family

VAE = "madebyollin/sdxl-vae-fp16-fix"
WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Repository]:
    hub = Hub()
    for repo, folder in tiny_checkpoints.write(tmp_path_factory.mktemp("published")).items():
        hub.add(repo, folder)
    return hub.repositories


@pytest.fixture
def loopback(
    repositories: dict[str, Repository], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Hub]:
    """The hub, an empty cache and data folder, and a registry that names the tiny repositories."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "memory"))
    monkeypatch.setenv("POKORA_DATA", str(tmp_path / "data"))
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", str(tmp_path / "hub"))
    with serving(Hub(dict(repositories))) as hub:
        reach(monkeypatch, hub.url)
        rows = tiny_checkpoints.named(registry.shipped(), hub)
        monkeypatch.setattr(registry, "shipped", lambda: rows)
        yield hub


def register(monkeypatch: pytest.MonkeyPatch, row: Row) -> Row:
    """Put a changed row in the place of the one with its id."""
    rows = tuple(row if one.id == row.id else one for one in registry.shipped())
    monkeypatch.setattr(registry, "shipped", lambda: rows)
    return row


def vae_row() -> Row:
    return registry.resolve("vae", Family.sdxl)


def quiet(line: str) -> None:
    del line


def failure(*rows: Row) -> PokoraError:
    with pytest.raises(PokoraError) as caught:
        fetch(rows, Family.sdxl, report=quiet)
    return caught.value


# Published layouts, fetched and loaded


def test_sdxl_is_fetched_verified_and_run(loopback: Hub) -> None:
    config = compose("video", ["base=sdxl", "style=pastel", "control=depth", "speed=lcm"])
    said: list[str] = []
    rows = needs(config)
    fetch(rows, Family.sdxl, report=said.append)
    asked = {
        path.split("/")[1] + "/" + path.split("/")[2] for _, path, _ in loopback.asked if "/resolve/" in path
    }
    assert asked == {row.repo for row in rows}  # just what the composition needs
    assert any("CreativeML Open RAIL++-M" in line for line in said)
    check_available(config)

    styles = [row.id for row in rows if row.kind is Kind.style_lora]
    networks = Models(
        replace(config.base, width=tiny_networks.SIZE, height=tiny_networks.SIZE),
        config.speed,
        [tiny_networks.LoraConfig(id=name) for name in styles],
        torch.device("cpu"),
        torch.float32,
    )
    text = torch.randn(1, 77, 2 * tiny_networks.TEXT)
    added = {"text_embeds": torch.randn(1, tiny_networks.TEXT), "time_ids": torch.zeros(1, 6)}
    latents = torch.randn(1, 4, 2, 4, 4)
    with torch.no_grad():
        moved = networks.motion_unet()(
            latents, 9, encoder_hidden_states=text.repeat(2, 1, 1), added_cond_kwargs=added
        ).sample
        picture = networks.vae().decode(latents[:, :, 0]).sample
        down, _ = networks.controlnet(ControlKind.depth)(
            latents[:, :, 0],
            9,
            encoder_hidden_states=text,
            controlnet_cond=torch.zeros(1, 3, tiny_networks.SIZE, tiny_networks.SIZE),
            added_cond_kwargs=added,
            return_dict=False,
        )
    assert moved.shape == latents.shape
    assert picture.shape == (1, 3, tiny_networks.SIZE, tiny_networks.SIZE)
    assert len(down) > 0
    tokens = networks.text_stack().tokens("girl")
    hidden, pooled = networks.text_stack().encode([[tokens], [tokens]])
    assert hidden.shape == (1, 77, 2 * tiny_networks.TEXT)
    assert pooled is not None


def test_a_fetched_kohya_lora_changes_unet_and_both_encoders(loopback: Hub) -> None:
    config = compose("video", ["base=sdxl", "style=none", "control=none", "speed=hq"])
    pastel = registry.resolve("pastel", Family.sdxl)
    fetch([*needs(config), pastel], Family.sdxl, report=quiet)

    def networks(*loras: str) -> Models:
        chosen = [tiny_networks.LoraConfig(id=name) for name in loras]
        return Models(config.base, config.speed, chosen, torch.device("cpu"), torch.float32)

    plain, styled = networks(), networks("pastelAnimeXL")
    weight = f"{tiny_checkpoints.ATTENTION}.weight"
    assert not torch.equal(plain.unet().state_dict()[weight], styled.unet().state_dict()[weight])
    for before, after in zip(plain.text_stack().encoders, styled.text_stack().encoders, strict=True):
        pairs = zip(before.state_dict().values(), after.state_dict().values(), strict=True)
        assert any(not torch.equal(one, other) for one, other in pairs)


def test_sd2_is_fetched_and_run(loopback: Hub) -> None:
    config = compose("video", ["base=sd2", "control=depth"])
    fetch(needs(config), Family.sd2, accept=["controlnet-depth-sd21"], report=quiet)
    check_available(config)
    networks = Models(config.base, config.speed, [], torch.device("cpu"), torch.float32)
    with torch.no_grad():
        moved = networks.motion_unet()(
            torch.randn(1, 4, 2, 4, 4), 9, encoder_hidden_states=torch.randn(2, 77, tiny_networks.TEXT)
        ).sample
    assert moved.shape == (1, 4, 2, 4, 4)
    assert networks.scheduler().config["prediction_type"] == "v_prediction"


def test_a_union_controlnet_is_fetched_and_read(loopback: Hub) -> None:
    row = registry.resolve("controlnet_union", Family.sdxl)
    (folder,) = fetch([row], Family.sdxl, report=quiet)
    config = compose("video", ["base=sdxl", "style=none", "speed=hq", "control=union"])
    fetch([registry.resolve("base", Family.sdxl)], Family.sdxl, report=quiet)
    networks = Models(config.base, config.speed, [], torch.device("cpu"), torch.float32)
    expected = ControlNetUnionModel.from_pretrained(folder, use_safetensors=True, local_files_only=True)
    found = networks.union_controlnet().state_dict()
    assert all(torch.equal(found[name], value) for name, value in expected.state_dict().items())


def test_a_fetched_pose_extractor_reads_joints(loopback: Hub) -> None:
    config = compose("video", ["base=sdxl", "style=none", "speed=hq", "control=pose"])
    row = registry.resolve("pose_extractor", Family.sdxl)
    assert row in needs(config)
    fetch([registry.resolve("base", Family.sdxl), row], Family.sdxl, report=quiet)
    networks = Models(config.base, config.speed, [], torch.device("cpu"), torch.float32)
    joints = networks.pose_extractor()(np.zeros((40, 60, 3), np.uint8))
    assert joints.shape == (18, 3)
    assert np.isfinite(joints).all()
    assert set(networks.weights_hash("pose_extractor")) == {"pose_extractor"}


def test_of_a_collection_only_the_registered_file_comes(loopback: Hub) -> None:
    data = loopback.repositories[VAE].files[WEIGHTS]
    names = ("rife_v4.25.safetensors", "rife_v4.26.safetensors", "film.safetensors")
    files = {f"frame_interpolation/{name}": data for name in names}
    row = registry.resolve("rife", Family.nano)
    loopback.repositories[row.repo] = Repository(files)
    row = replace(row, revision=loopback.repositories[row.repo].commit, sha256={}, sizes={})
    listed = hub.listing(row)
    assert [file.path for file in listed.files] == ["frame_interpolation/rife_v4.25.safetensors"]
    assert [file.name for file in listed.files] == list(row.published)


def test_a_name_that_leads_out_of_the_cache_is_no_file_of_the_row(loopback: Hub) -> None:
    row = registry.resolve("flat_color", Family.sdxl)  # *.safetensors
    data = loopback.repositories[VAE].files[WEIGHTS]
    names = ("../../up.safetensors", "sub/other.safetensors", "own.safetensors")
    loopback.repositories[row.repo] = Repository(dict.fromkeys(names, data))
    assert [file.path for file in hub.listing(row).files] == ["own.safetensors"]


def test_the_command_fetches_with_licence_and_progress_and_says_where(loopback: Hub, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "HF_ENDPOINT": loopback.url,
        "HF_HUB_CACHE": str(tmp_path / "elsewhere"),
        "POKORA_DATA": str(tmp_path / "data"),
    }
    words = [sys.executable, "-m", "pokora_anime.cli", "models", "fetch", "animatediff-v1-5-3"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Apache License 2.0" in done.stdout
    assert str(tmp_path / "elsewhere") in done.stdout
    assert "/s, about 0:00 left" in done.stderr
    loopback.repositories.clear()
    refused = subprocess.run(
        [*words[:-1], "dinov2-small"], env=environment, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 3
    assert refused.stderr.startswith("pokora: WGT-MISSING: facebook/dinov2-small is not given out")
    assert refused.stderr.count("\n") == 1


def test_what_is_here_is_not_asked_for_again(loopback: Hub) -> None:
    fetch([vae_row()], Family.sdxl, report=quiet)
    loopback.asked.clear()
    said: list[str] = []
    fetch([vae_row()], Family.sdxl, report=said.append)
    assert loopback.asked == []
    assert "here" in said[0]


def test_a_dry_run_lists_files_sizes_and_licences_without_the_network(loopback: Hub) -> None:
    row = replace(vae_row(), sizes={WEIGHTS: 334643238})
    text = "\n".join(table([row]))
    assert "335 MB" in text
    assert "MIT License" in text
    assert loopback.asked == []


# The lock


def test_the_lock_holds_what_the_hub_announced(loopback: Hub) -> None:
    row = registry.resolve("motion", Family.sd2)  # not pinned
    fetch([row], Family.sd2, report=quiet)
    entry = lockfile.entry(row)
    assert entry is not None
    repository = loopback.repositories[row.repo]
    assert entry.revision == repository.commit
    weights = entry.files["diffusion_pytorch_model.fp16.safetensors"]
    assert (weights.hub, entry.files["config.json"].hub) == ("sha256", "git")
    assert (
        weights.sha256
        == hashlib.sha256(repository.files["diffusion_pytorch_model.fp16.safetensors"]).hexdigest()
    )


def test_a_row_without_a_commit_stays_at_the_one_that_was_locked(loopback: Hub) -> None:
    row = registry.resolve("motion", Family.sd2)
    (folder,) = fetch([row], Family.sd2, report=quiet)
    newer = {**loopback.repositories[row.repo].files, "config.json": b"{}"}
    loopback.repositories[row.repo] = Repository(newer)
    assert weight_paths.locate(row) == folder


def test_an_edited_file_is_no_longer_what_was_locked(loopback: Hub) -> None:
    row = registry.resolve("motion", Family.sd2)
    (folder,) = fetch([row], Family.sd2, report=quiet)
    (folder / "config.json").resolve().write_text("{}")
    with pytest.raises(WeightsError, match="damaged") as caught:
        weight_hashes.verify(row, folder)
    assert caught.value.code == "WGT-DAMAGED"


# What goes wrong on the way


def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client reads 10 MB at once and waits a second before it tries again; the files here are small."""
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 250)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)


def test_a_server_that_dies_in_mid_file_is_gone_on_with_where_it_broke_off(
    loopback: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch)
    loopback.break_after[WEIGHTS] = [1000]
    fetch([vae_row()], Family.sdxl, report=quiet)
    ranges = [part for part in loopback.downloads(WEIGHTS) if part]
    assert "bytes=1000-" in ranges


def test_a_download_that_broke_off_for_good_is_resumed_by_the_next_process(
    loopback: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch)
    row = vae_row()
    listed = hub.listing(row)
    weights = next(file for file in listed.files if file.name == WEIGHTS)
    loopback.break_after[WEIGHTS] = [1000] + [0] * 40
    assert failure(row).code == "SYS-NET"
    assert hub.partial(listed, weights).stat().st_size == 1000
    loopback.break_after.clear()
    loopback.asked.clear()
    fetch([row], Family.sdxl, report=quiet)
    assert {part for part in loopback.downloads(WEIGHTS) if part} == {"bytes=1000-"}
    assert not hub.partial(listed, weights).exists()


def test_bytes_that_are_not_the_announced_ones_are_thrown_away(loopback: Hub) -> None:
    row = vae_row()
    loopback.swap[WEIGHTS] = b"x" * len(loopback.repositories[VAE].files[WEIGHTS])
    error = failure(row)
    assert error.code == "WGT-DAMAGED"
    assert "not the announced file" in error.got
    assert weight_paths.locate(row) is None
    loopback.swap.clear()
    fetch([row], Family.sdxl, report=quiet)


def test_a_small_file_is_compared_with_gits_hash(loopback: Hub) -> None:
    loopback.swap["config.json"] = (
        b"{" + b" " * (len(loopback.repositories[VAE].files["config.json"]) - 2) + b"}"
    )
    error = failure(vae_row())
    assert (error.code, "config.json" in error.got) == ("WGT-DAMAGED", True)


def test_a_hub_that_announces_another_hash_than_registered_is_not_asked_for_the_file(
    loopback: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = register(monkeypatch, replace(vae_row(), sha256={WEIGHTS: "0" * 64}))
    error = failure(row)
    assert (error.code, loopback.downloads(WEIGHTS)) == ("WGT-DAMAGED", [])
    assert "gives out another" in error.got


def test_a_disk_that_is_too_small_is_found_before_anything_is_fetched(
    loopback: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(10**9, 10**9 - 5, 5))
    error = failure(vae_row())
    assert error.code == "SYS-DISK"
    assert "5 B free" in error.got
    assert loopback.downloads(WEIGHTS) == []


def test_a_disk_that_fills_up_ends_the_fetching_in_one_line(
    loopback: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from resource import RLIMIT_FSIZE, getrlimit, setrlimit
    from signal import SIG_IGN, SIGXFSZ, signal

    before, handler = getrlimit(RLIMIT_FSIZE), signal(SIGXFSZ, SIG_IGN)
    setrlimit(RLIMIT_FSIZE, (2000, before[1]))  # a write beyond it fails as on a full disk
    try:
        error = failure(vae_row(), registry.resolve("lcm", Family.sdxl))
    finally:
        setrlimit(RLIMIT_FSIZE, before)
        signal(SIGXFSZ, handler)
    assert isinstance(error, MachineError)
    assert error.code == "SYS-DISK"


def test_a_gated_repository_says_where_its_terms_are(loopback: Hub) -> None:
    loopback.repositories[VAE] = Repository(loopback.repositories[VAE].files, gated=True)
    error = failure(vae_row())
    assert error.code == "WGT-GATED"
    assert f"https://huggingface.co/{VAE}" in error.fix
    assert "hf auth login" in error.fix
    assert not [path for _, path, _ in loopback.asked if "/resolve/" in path]  # known before the first byte


def test_a_commit_that_is_gone_is_named(loopback: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    row = register(monkeypatch, replace(vae_row(), revision="1" * 40))
    error = failure(row)
    assert (error.code, "111111111111" in error.got) == ("WGT-REVISION", True)


def test_a_repository_that_is_gone_does_not_keep_the_others_away(loopback: Hub) -> None:
    del loopback.repositories[VAE]
    other = registry.resolve("lcm", Family.sdxl)
    said: list[str] = []
    with pytest.raises(WeightsError) as caught:
        fetch([vae_row(), other], Family.sdxl, report=said.append)
    assert caught.value.code == "WGT-MISSING"
    assert any(line.startswith("sdxl-vae-fp16-fix: WGT-MISSING") for line in said)
    assert weight_paths.locate(other) is not None


def test_no_hub_is_one_line(loopback: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    reach(monkeypatch, "http://127.0.0.1:9")
    error = failure(vae_row())
    assert error.code == "SYS-NET"
    assert "\n" not in error.line()


def test_a_licence_that_nobody_stated_needs_a_decision(loopback: Hub) -> None:
    row = registry.resolve("controlnet_depth", Family.sd2)
    error = failure(row)
    assert error.code == "WGT-REVIEW"
    assert f"--accept {row.id}" in error.fix
    fetch([row], Family.sd2, accept=[row.id], report=quiet)
    assert lockfile.read().accepted == {row.id: row.licence}


def test_a_decision_is_asked_for_before_anything_is_fetched(loopback: Hub) -> None:
    unclear = registry.resolve("controlnet_depth", Family.sd2)
    rows = [registry.resolve("motion", Family.sd2), unclear]
    with pytest.raises(WeightsError) as caught:
        fetch(rows, Family.sd2, report=quiet)
    assert caught.value.code == "WGT-REVIEW"
    assert f"--accept {unclear.id}" in caught.value.fix
    assert not loopback.asked


def test_without_a_network_all_rows_are_one_short_line(
    loopback: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    reach(monkeypatch, "http://127.0.0.1:9")
    said: list[str] = []
    with pytest.raises(MachineError) as caught:
        fetch(needs(compose("video", ["base=sdxl", "style=pastel"])), Family.sdxl, report=said.append)
    assert caught.value.code == "SYS-NET"
    assert not said
    assert len(caught.value.line()) < 300


def test_many_failures_of_one_kind_are_told_once(loopback: Hub) -> None:
    rows = needs(compose("video", ["base=sdxl", "style=none"]))
    for row in rows[1:]:
        loopback.repositories.pop(row.repo, None)
    with pytest.raises(WeightsError) as caught:
        fetch(rows, Family.sdxl, report=quiet)
    assert f"WGT-MISSING {len(rows) - 1} times" in caught.value.got
    assert len(caught.value.line()) < 400


def test_a_dry_run_asks_the_hub_for_sizes_that_nobody_wrote_down(
    loopback: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = needs(compose("video", ["base=sdxl", "style=pastel", "control=depth"]))
    assert any(None in [row.sizes.get(name) for name in row.published] for row in rows)
    assert not any("size ?" in line for line in table(rows))
    assert not any("/resolve/" in path for _, path, _ in loopback.asked)
    reach(monkeypatch, "http://127.0.0.1:9")
    assert "the hub was not reached" in table(rows)[-1]


def test_a_full_data_folder_is_found_before_the_download(
    loopback: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Path(os.environ["POKORA_DATA"])
    monkeypatch.setattr("pokora_anime.catalogue.hub.fetch_models._device", lambda folder: int(folder == data))
    monkeypatch.setattr(
        "pokora_anime.catalogue.hub.fetch_models.free_space", lambda folder: 0 if folder == data else 2**50
    )
    row = register(monkeypatch, replace(vae_row(), files=("converted.safetensors", "config.json")))
    assert row.converted
    error = failure(row)
    assert error.code == "SYS-DISK"
    assert str(data) in error.line()
    assert not any("/resolve/" in path for _, path, _ in loopback.asked)


def test_the_command_fetches_what_previews_need(
    loopback: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    del loopback, tmp_path, monkeypatch
    assert command(["fetch", "base=sdxl", "--dry-run"]) == 0
    assert "taesdxl: madebyollin/taesdxl" in capsys.readouterr().out
    assert command(["fetch", "base=sdxl", "quality.preview=false", "--dry-run"]) == 0
    assert "taesdxl" not in capsys.readouterr().out


def test_long_hashing_shows_how_far_it_is_and_what_was_hashed_is_not_read(
    loopback: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = compose("video", ["base=sdxl", "style=none", "control=none", "speed=hq"])
    fetch(needs(config), Family.sdxl, report=quiet)
    capsys.readouterr()
    known: dict[str, str] = {}
    monkeypatch.setattr("pokora_anime.catalogue.needed_weights.LONG", 1000)
    monkeypatch.setattr(hash_memory._told, "hashes", known)
    monkeypatch.setattr(hash_memory, "RACY", 0)
    check_available(config)
    shown = capsys.readouterr().err
    assert "checking weights: " in shown and known
    check_available(config)
    assert capsys.readouterr().err == ""


def test_a_mirror_stands_in_with_the_same_bytes_only(loopback: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = loopback.repositories.pop(VAE)
    loopback.repositories["somebody/else"] = repository
    mirror = Mirror(repo="somebody/else", revision=repository.commit)
    row = register(monkeypatch, replace(vae_row(), mirrors=(mirror,)))
    (folder,) = fetch([row], Family.sdxl, report=quiet)
    assert "somebody--else" in str(folder)
    unchecked = replace(row, sha256={})
    with pytest.raises(WeightsError, match="is not given out"):
        hub.listing(unchecked)


# Pickles


class Planted:
    """What a pickle could make of its reader."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def pickled(loopback: Hub, monkeypatch: pytest.MonkeyPatch, content: object, tmp_path: Path) -> Row:
    """The lineart row, with a pickle of `content` published for it."""
    file = tmp_path / "netG.pth"
    torch.save(content, file)
    loopback.repositories["lllyasviel/Annotators"] = Repository({"netG.pth": file.read_bytes()})
    row = registry.resolve("lineart_extractor", Family.sdxl)
    revision = loopback.repositories[row.repo].commit
    return register(monkeypatch, replace(row, revision=revision))


def test_a_pickle_is_converted_once_and_both_hashes_are_kept(
    loopback: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    weights = {"model.0.weight": torch.randn(3, 3)}
    row = pickled(loopback, monkeypatch, {"state_dict": weights, "epoch": 3}, tmp_path)
    (folder,) = fetch([row], Family.sdxl, report=quiet)
    assert torch.equal(load_file(folder / "netG.safetensors")["model.0.weight"], weights["model.0.weight"])
    entry = lockfile.entry(row)
    assert entry is not None
    conversion = entry.conversions["netG.safetensors"]
    assert conversion.source_sha256 == entry.files["netG.pth"].sha256
    assert weight_hashes.verify(row, folder) == {"netG.safetensors": conversion.sha256}
    assert [path.name for path in folder.iterdir()] == ["netG.safetensors"]


def test_code_in_a_pickle_is_not_run(loopback: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    row = pickled(loopback, monkeypatch, {"weight": Planted(tmp_path / "planted")}, tmp_path)
    error = failure(row)
    assert error.code == "WGT-CONVERT"
    assert "UnpicklingError" in error.got  # refused before it could try
    assert not (tmp_path / "planted").exists()
    assert weight_paths.locate(row) is None


def test_the_converting_child_can_read_nothing_else(tmp_path: Path) -> None:
    from pokora_anime.sandbox.landlock import landlock_abi

    if not landlock_abi():
        pytest.skip("this kernel offers no Landlock")
    secret = tmp_path / "elsewhere" / "secret.txt"
    secret.parent.mkdir()
    secret.write_text("private")
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from pokora_anime.sandbox.landlock import confine\n"
        "from pokora_anime.catalogue.checkpoint.pickle_child import rules\n"
        "confine(rules(Path(sys.argv[1]), Path(sys.argv[2])))\n"
        "Path(sys.argv[2]).write_text('may')\n"
        "Path(sys.argv[3]).read_text()"
    )
    work = tmp_path / "work"
    work.mkdir()
    arguments = [str(tmp_path / "netG.pth"), str(work / "netG.safetensors"), str(secret)]
    child = subprocess.run(
        [sys.executable, "-I", "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert "PermissionError" in child.stderr
    assert (work / "netG.safetensors").exists()


def test_a_plain_download_is_what_its_registered_hash_says(
    loopback: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = loopback.repositories[VAE].files[WEIGHTS]
    loopback.plain[f"/models/{WEIGHTS}"] = data
    monkeypatch.setattr(Row, "plain", property(lambda row: row.repo.startswith("http")))
    row = replace(
        registry.resolve("score_flow", Family.nano),
        repo=f"{loopback.url}/models",
        published=(WEIGHTS,),
        files=(WEIGHTS,),
        sha256={WEIGHTS: hashlib.sha256(data).hexdigest()},
    )
    (folder,) = fetch([register(monkeypatch, row)], Family.nano, report=quiet)
    assert weight_hashes.verify(row, folder) == row.sha256
    assert failure(replace(row, id="other", sha256={WEIGHTS: "0" * 64})).code == "WGT-DAMAGED"


# Cleaning up


def test_only_what_was_fetched_here_and_is_no_longer_named_goes(
    loopback: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, other = vae_row(), registry.resolve("lcm", Family.sdxl)
    (folder, kept) = fetch([row, other], Family.sdxl, report=quiet)
    foreign = folder / "somebody-elses.bin"
    foreign.write_bytes(b"x")
    assert leftovers.find() == []
    rows = tuple(one for one in registry.shipped() if one.id != row.id)
    monkeypatch.setattr(registry, "shipped", lambda: rows)
    found = leftovers.find()
    assert {path.name for path in found} == {"config.json", WEIGHTS}
    blob = (folder / WEIGHTS).resolve()
    assert leftovers.size(found) > blob.stat().st_size
    leftovers.remove(found)
    assert not blob.exists()
    assert foreign.exists()
    assert weight_hashes.files(kept, other.files) is not None
    assert set(lockfile.read().rows) == {other.id}
