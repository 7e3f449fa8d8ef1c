"""keyframe.identity=adapter on SDXL: tiny checkpoints in the published layout, from a render to a replay."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from support import tiny_checkpoints
from support.forged_run import Forgery, codes, sign
from support.hub_server import Hub
from support.replay_runs import ALL, GUARD, QUIET, honest_codes, steps

from pokora_anime.catalogue import registry
from pokora_anime.catalogue.hub.fetch_models import fetch
from pokora_anime.catalogue.needed_weights import check_available, needs
from pokora_anime.config.compose import compose
from pokora_anime.errors import Interrupted, PokoraError
from pokora_anime.provenance.run_layout import array_name
from pokora_anime.provenance.run_reading import read_run
from pokora_anime.quality.finished_score import score_run
from pokora_anime.render import pipeline
from pokora_anime.replay.examine_replay import replay
from pokora_anime.schema.settings import VideoConfig
from pokora_anime.system.terminal.progress import Display
from pokora_anime.verify.verdict import Verdict

pytestmark = pytest.mark.apart
SIDE = 64
SMALL = (
    *("base=sdxl", "speed=lcm", "style=none", "control=none", "speed.steps=2", "seed=3"),
    *(f"base.width={SIDE}", f"base.height={SIDE}", f"finish.width={SIDE}", f"finish.height={SIDE}"),
    *("shot.seconds=1", "motion.frames=6", "motion.overlap=2", "device.threads=1", "device.dtype=fp32"),
    *QUIET,
)
ADAPTED = (*SMALL, "keyframe.identity=adapter")


def composed(*overrides: str) -> VideoConfig:
    config = compose("video", [*overrides])
    assert isinstance(config, VideoConfig)
    return config


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """Rows of the registry that name tiny weights, fetched from a hub on the loopback."""
    root = tmp_path_factory.mktemp("hub")
    with pytest.MonkeyPatch.context() as patch, tiny_checkpoints.on_loopback(root, patch) as running:
        config = composed(*ADAPTED, "control=depth")
        fetch(needs(config), config.base.family, report=lambda line: None)
        yield running


def rendered(overrides: tuple[str, ...], root: Path) -> Path:
    folder = pipeline.render_video(composed(*overrides), root, GUARD)
    sign(folder)
    return folder


@pytest.fixture(scope="module")
def run(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of two segments that see the keyframe through the adapter."""
    return rendered(ADAPTED, tmp_path_factory.mktemp("adapted"))


@pytest.fixture(scope="module")
def plain(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same clip with the anchor alone."""
    return rendered(SMALL, tmp_path_factory.mktemp("plain"))


def latents(folder: Path) -> list[np.ndarray]:
    return [load_file(folder / array_name("motion", one.id))["latents"] for one in steps(folder, "motion")]


def replayed(folder: Path) -> tuple[list[str], Verdict]:
    """The parts that came out otherwise, by operation, and the verdict."""
    report, _ = replay(folder, ALL)
    return [part.name.partition(" ")[0] for part in report.parts if not part.exact], report.verdict


def test_an_adapted_clip_renders_verifies_and_replays(run: Path) -> None:
    (shown,), (first,), clip = steps(run, "image_embedding"), steps(run, "keyframe"), steps(run, "motion")
    assert shown.parents == (first.id,)
    assert len(clip) == 2 and all(shown.id in step.parents and "ip_adapter" in step.weights for step in clip)
    tokens = load_file(run / array_name("image_embedding", shown.id))
    assert {name: one.shape for name, one in tokens.items()} == {
        "tokens": (4, 32),
        "negative_tokens": (4, 32),
    }
    assert honest_codes(run) == set()
    assert replayed(run) == ([], Verdict.passed)


def test_the_adapter_changes_the_clip_and_at_scale_0_nothing(run: Path, plain: Path, tmp_path: Path) -> None:
    assert not steps(plain, "image_embedding") and "identity" not in read_run(plain).config["keyframe"]
    with_it, without = latents(run), latents(plain)
    assert all((one != other).any() for one, other in zip(with_it, without, strict=True))
    drift = [score_run(folder).generated.values["color_drift"] for folder in (run, plain)]
    assert None not in drift and drift[0] != drift[1]
    nothing = rendered((*ADAPTED, "keyframe.identity_scale=0"), tmp_path)
    assert steps(nothing, "image_embedding")
    assert all((one == other).all() for one, other in zip(latents(nothing), without, strict=True))
    assert (nothing / "frames.json").read_bytes() == (plain / "frames.json").read_bytes()


def test_it_works_without_the_anchor_in_a_second_pass_and_with_cfg(
    hub: Hub, run: Path, tmp_path: Path
) -> None:
    more = ("motion.anchor=none", "finish.upscale=hires", "speed.guidance_scale=1.7")
    folder = rendered((*ADAPTED, *more), tmp_path)
    (shown,), again = steps(folder, "image_embedding"), steps(folder, "hires")
    assert again and all(shown.id in step.parents for step in again)
    assert honest_codes(folder) == set()
    assert replayed(folder) == ([], Verdict.passed)


def test_a_draft_and_each_shot_see_their_own_keyframe(hub: Hub, tmp_path: Path) -> None:
    shots = "shots=[{prompt:'1girl',seconds:0.5},{prompt:'1girl, waving',seconds:0.5,seed:9}]"
    folder = rendered((*ADAPTED, "control=depth", "control.source=draft", shots), tmp_path)
    shown, drawn = steps(folder, "image_embedding"), steps(folder, "keyframe")
    assert [one.parents for one in shown] == [(one.id,) for one in drawn] and len(shown) == 2
    for op in ("draft", "motion"):
        assert [one.parents[3] for one in steps(folder, op)] == [one.id for one in shown]
    assert honest_codes(folder) == set()
    assert replayed(folder) == ([], Verdict.passed)


def test_a_killed_run_goes_on_with_the_same_embedding(run: Path, tmp_path: Path) -> None:
    step = Display.step

    def stopping(self: Display, detail: str = "") -> None:
        step(self, detail)
        if detail == "segment 2/2":
            raise Interrupted("INT-STOP", "Ctrl-C")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Display, "step", stopping)
        with pytest.raises(PokoraError, match="INT-STOP"):
            pipeline.render_video(composed(*ADAPTED), tmp_path)
    (kept,) = tmp_path.glob("video/*/stages/image_embedding-*")
    written = kept.stat().st_mtime_ns
    folder = pipeline.render_video(composed(*ADAPTED), tmp_path)
    assert (folder / "frames.json").read_bytes() == (run / "frames.json").read_bytes()
    assert kept.stat().st_mtime_ns == written


# Forgeries, everything mended that can be mended without a model


def another_picture(forged: Forgery) -> None:
    """A keyframe of another place, and the embedding made of it."""
    first = forged.of("keyframe")
    node: dict[str, Any] = {**first, "id": "1" * 64, "params": {**first["params"], "part": ["keyframe", 1]}}
    forged.nodes.insert(forged.nodes.index(first) + 1, node)
    forged.store(node, {name: one[..., ::-1].copy() for name, one in forged.arrays(first).items()})
    forged.of("image_embedding")["parents"] = [node["id"]]


def of_the_noise(forged: Forgery) -> None:
    forged.of("image_embedding")["parents"] = [forged.of("noise")["id"]]


def of_a_segment(forged: Forgery) -> None:
    forged.of("image_embedding")["parents"] = [forged.of("prompt")["id"]]


def from_nowhere(forged: Forgery) -> None:
    forged.of("image_embedding").update(parents=[], inputs=[])


def an_argument_more(forged: Forgery) -> None:
    forged.of("image_embedding")["params"]["image"] = "face.png"


def another_scale(forged: Forgery) -> None:
    forged.of("image_embedding")["params"]["scale"] = 1.0


def a_picture_beside(forged: Forgery) -> None:
    node = forged.of("image_embedding")
    forged.store(node, {**forged.arrays(node), "face": np.zeros((4, 4, 3), np.uint8)})


def more_tokens(forged: Forgery) -> None:
    node = forged.of("image_embedding")
    forged.store(node, {name: np.tile(one, (4, 1)) for name, one in forged.arrays(node).items()})


def unseen(forged: Forgery) -> None:
    shown = forged.of("image_embedding")["id"]
    for node in forged.nodes:
        if node["op"] == "motion":
            at = node["parents"].index(shown)
            del node["parents"][at], node["inputs"][at]


def unasked(forged: Forgery) -> None:
    for name in ("identity", "identity_scale"):
        del forged.config["keyframe"][name]


def without_the_adapter(forged: Forgery) -> None:
    for node in forged.nodes:
        if node["op"] == "motion":
            del node["weights"]["ip_adapter"]


@pytest.mark.parametrize(
    ("forge", "code"),
    [
        (another_picture, "POL-CHAIN"),
        (of_the_noise, "POL-PARENTS"),
        (of_a_segment, "POL-PARENTS"),
        (from_nowhere, "POL-PARENTS"),
        (an_argument_more, "POL-PARAMS"),
        (another_scale, "POL-PARAMS"),
        (a_picture_beside, "POL-ARRAYS"),
        (more_tokens, "POL-ARRAYS"),
        (unseen, "POL-CHAIN"),
        (unasked, "POL-CHAIN"),
        (without_the_adapter, "POL-WEIGHTS"),
    ],
)
def test_a_forged_embedding(
    forge: Any, code: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("support.forged_run.honest", lambda: run)
    forged = Forgery(tmp_path)
    forge(forged)
    assert code in codes(forged.seal())


def test_an_embedding_swapped_with_everything_mended_is_found_by_replay(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("support.forged_run.honest", lambda: run)
    forged = Forgery(tmp_path)
    node = forged.of("image_embedding")
    forged.store(node, {name: one[::-1].copy() for name, one in forged.arrays(node).items()})
    swapped = forged.seal()
    assert honest_codes(swapped) == set()
    parts, verdict = replayed(swapped)
    assert "image_embedding" in parts and verdict is Verdict.failed
    (tmp_path / "again").mkdir()
    again = Forgery(tmp_path / "again")
    path = again.array_path(again.of("image_embedding"))
    path.write_bytes(path.read_bytes()[:-8] + bytes(8))
    assert {"INT-HASH", "INT-OUTPUT"} & codes(again.folder)


def test_weights_that_are_not_here_or_not_whole_are_refused_in_a_line(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = registry.any_row("ip-adapter-sdxl")
    monkeypatch.setenv("POKORA_DATA", str(tmp_path / "data"))
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", str(tmp_path / "hub"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "memory"))
    with pytest.raises(PokoraError) as absent:
        check_available(composed(*ADAPTED))
    assert absent.value.code == "WGT-MISSING" and "ip-adapter-sdxl" in absent.value.got
    assert "keyframe.identity=adapter" in absent.value.fix and "\n" not in absent.value.line()
    fetch(needs(composed(*ADAPTED)), row.families[0], report=lambda line: None)
    (file,) = (tmp_path / "hub").rglob(row.files[0])
    file.resolve().write_bytes(file.read_bytes()[:-100])
    with pytest.raises(PokoraError, match=r"WGT-DAMAGED: .*ip-adapter-sdxl"):
        check_available(composed(*ADAPTED))
    check_available(composed(*SMALL))
