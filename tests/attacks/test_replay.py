"""Fabricated runs whose every hash, id, ledger line and signature holds: computing again tells.

A forged node is one that its stored parents do not give, whatever was signed. Each test names the part
that must fail; what follows honestly from a forged part must still be bit-equal.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from support import forged_run, replay_runs
from support.replay_runs import Forgery

from pokora_anime.provenance import run_layout
from pokora_anime.provenance.hashing import arrays_hash
from pokora_anime.provenance.run_layout import still_texts
from pokora_anime.provenance.stage_records import Image
from pokora_anime.render.run import Run
from pokora_anime.replay.examine_replay import Question, replay
from pokora_anime.replay.replay_report import Report
from pokora_anime.stages.picture import keyframe
from pokora_anime.verify.examine_run import examine
from pokora_anime.verify.verdict import Verdict


@pytest.fixture
def forgery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Forgery:
    return replay_runs.forged(tmp_path, monkeypatch)


def replay_all(folder: Path) -> Report:
    return replay(folder, Question(nonce="judge", nodes=99))[0]


def failed(report: Report) -> set[str]:
    """Kinds of the parts that failed."""
    return {part.name.split()[0] for part in report.parts if part.verdict is Verdict.failed}


def clean(folder: Path) -> bool:
    """Whether verify alone finds nothing that blocks."""
    return examine(folder).exit_code() == 0


def test_hand_made_noise_with_everything_mended(forgery: Forgery) -> None:
    node = forgery.of("noise")
    values = np.zeros_like(forgery.arrays(node)["noise"])
    forgery.store(node, {"noise": values})
    report = replay_all(forgery.seal())
    assert report.exit_code == 1
    assert {found.code for found in report.findings} == {"POL-NOISE"}
    assert failed(report) == {"noise", "keyframe"}


def test_a_swapped_keyframe_picture_with_everything_mended(forgery: Forgery) -> None:
    node = forgery.of("keyframe")
    arrays = forgery.arrays(node)
    arrays["image"] = arrays["image"][:, ::-1].copy()
    forgery.store(node, arrays)
    forgery.draw("keyframe.png", arrays["image"])
    folder = forgery.seal()
    assert clean(folder)
    report = replay(folder, Question(nonce="any", nodes=3))[0]
    assert report.verdict is Verdict.failed
    assert failed(report) == {"keyframe", "control"}  # the maps are those of the honest picture


def test_a_swapped_control_map_with_everything_mended(forgery: Forgery) -> None:
    node = forgery.of("control")
    drawn = forgery.arrays(node)["depth"].copy()
    drawn[8:40, 8:40] = 255 - drawn[8:40, 8:40]
    forgery.store(node, {"depth": drawn})
    forgery.draw("control_depth.png", drawn)
    folder = forgery.seal()
    assert clean(folder)
    # Maps are always replayed, and so is every other place where a picture could come in at little cost.
    assert failed(replay(folder, Question(nonce="any", nodes=3))[0]) == {"control"}


def test_embeddings_of_something_else_than_the_prompt(forgery: Forgery) -> None:
    """What textual inversion gives: embeddings that no text has."""
    node = forgery.of("prompt")
    arrays = forgery.arrays(node)
    arrays["embeds"][5] = arrays["embeds"][9]
    forgery.store(node, arrays)
    folder = forgery.seal()
    assert clean(folder)
    assert "prompt" in failed(replay(folder, Question(nonce="any", nodes=3))[0])


def test_a_swapped_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forgery = replay_runs.forged(tmp_path, monkeypatch, replay_runs.stills)
    outside = np.zeros((64, 64, 3), np.uint8)
    for number in (1, 2):
        node = forgery.of("still", number - 1)
        node["output"] = arrays_hash({"image": outside})
        texts = still_texts(forgery.config, number - 1, node["id"], node["inputs"][0])
        forgery.draw(f"still-{number}.png", outside, texts)
    folder = forgery.seal()
    assert clean(folder)
    assert failed(replay(folder, Question(nonce="any", nodes=3))[0]) == {"still"}


def interrupted(root: Path) -> tuple[Path, Path]:
    """The folder of the honest run as a kill just before its record would have left it, and its keyframe."""
    folder = root / "video" / replay_runs.honest().name
    shutil.copytree(replay_runs.honest(), folder)
    for name in (run_layout.RECORD, run_layout.STATEMENT):
        (folder / name).unlink()
    return folder, next(folder.glob("stages/keyframe-*"))


def test_a_keyframe_edited_before_the_run_goes_on_is_made_again(tmp_path: Path) -> None:
    folder, keyframe_file = interrupted(tmp_path)
    arrays = load_file(keyframe_file)
    save_file({**arrays, "latent": arrays["latent"][..., ::-1].copy()}, keyframe_file)
    assert replay_runs.rendered(tmp_path) == folder
    honest = replay_runs.honest()
    assert (folder / run_layout.FRAMES).read_bytes() == (honest / run_layout.FRAMES).read_bytes()
    assert np.array_equal(load_file(keyframe_file)["latent"], arrays["latent"])
    assert clean(folder)


def swap_before_it_goes_on(folder: Path, op: str, name: str) -> None:
    """Mirrors an array of the first node of an operation; its hash and the ledger's chain are made anew."""
    entries = [json.loads(line) for line in (folder / run_layout.LEDGER).read_bytes().splitlines()]
    node = next(entry for entry in entries if entry.get("op") == op)
    path = folder / run_layout.array_name(op, node["id"])
    arrays = load_file(path)
    known = 1 if op == "motion" else 0  # its first frame is the keyframe, and verify knows that one
    arrays[name][:, known:] = np.flip(arrays[name][:, known:], -2)
    with safe_open(path, "np") as opened:
        metadata = opened.metadata()
    save_file(arrays, path, metadata)
    node["output"] = arrays_hash(arrays)
    for entry in entries:
        del entry["previous"]
    (folder / run_layout.LEDGER).write_bytes(b"".join(line + b"\n" for line in forged_run.chain(entries)))


@pytest.mark.parametrize(
    ("op", "name"),
    [("prompt", "embeds"), ("keyframe", "latent"), ("control", "depth"), ("motion", "latents")],
)
def test_a_stage_swapped_with_its_ledger_before_the_run_goes_on(op: str, name: str, tmp_path: Path) -> None:
    """The run takes the swapped stage for its own and goes on from it, honestly; replay does not."""
    folder, _ = interrupted(tmp_path)
    swap_before_it_goes_on(folder, op, name)
    assert replay_runs.rendered(tmp_path) == folder
    assert clean(folder)
    assert op in failed(replay_all(folder))


def test_a_latent_swapped_in_a_segment_with_everything_mended(forgery: Forgery) -> None:
    node = forgery.of("motion", 1)
    latents = forgery.arrays(node)["latents"]
    latents[:, -2:] = latents[:, -2:, :, ::-1]
    forgery.store(node, {"latents": latents})
    folder = forgery.seal()
    assert clean(folder)
    report = replay_all(folder)
    assert "motion" in failed(report)
    assert sum(part.verdict is Verdict.failed for part in report.parts if "motion" in part.name) == 1


def test_other_code_than_the_version_that_is_claimed(forgery: Forgery) -> None:
    """Code that nobody has would excuse a node from being bit-equal."""
    for node in forgery.nodes:
        node["code"] = "0" * 64
    folder = forgery.seal()
    assert clean(folder)
    report = replay(folder, Question(nonce="any", nodes=3))[0]
    assert report.verdict is Verdict.review
    assert all("another version" in " ".join(part.reasons) for part in report.parts)


def test_a_fabricated_chain_from_a_foreign_keyframe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The forger's own pokora puts another latent in; control, motion and video follow honestly."""
    foreign = torch.linspace(-2, 2, 4 * 8 * 8).reshape(4, 8, 8)
    with monkeypatch.context() as patched:
        patched.setattr(keyframe, "denoise", lambda *_: foreign.clone())
        folder = replay_runs.rendered(tmp_path)
    assert clean(folder)
    report = replay_all(folder)
    assert failed(report) == {"keyframe"}
    assert all(part.exact for part in report.parts if not part.name.startswith("keyframe"))
    few = replay(folder, Question(nonce="another", nodes=3))[0]
    assert few.exit_code == 1


def test_frames_composited_before_they_were_encoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A patch drawn into every frame after finish; hashes, sheet and MP4 are made after it."""
    honest = Run.watch

    def drawn(run: Run, frames: Iterator[Image], shot: int = 0) -> Iterator[Image]:
        yield from honest(run, (painted(frame) for frame in frames), shot)

    def painted(frame: Image) -> Image:
        frame[20:36, 20:36] = (255, 0, 255)
        return frame

    with monkeypatch.context() as patched:
        patched.setattr(Run, "watch", drawn)
        folder = replay_runs.rendered(tmp_path)
    assert clean(folder)
    report = replay(folder, Question(nonce="judge", nodes=3))[0]
    assert failed(report) == {"frames"}
