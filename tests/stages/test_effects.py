"""Effects, a beat and a sound: what a segment starts from, where accents fall, that all of it checks."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from attacks.rows_record import Opened
from support import replay_runs, tiny_networks
from support.forged_run import codes
from test_chaining import clip

from benchmarks.effects.beat import on_beat, planned_energy
from pokora_anime.choreography import pose_plan
from pokora_anime.choreography.choreographer import Choreographer
from pokora_anime.config.checks import check
from pokora_anime.config.compose import compose_video
from pokora_anime.config.over_time.effect_checks import unused
from pokora_anime.errors import ConfigError
from pokora_anime.media import mp4_sound
from pokora_anime.replay.examine_replay import Question, replay
from pokora_anime.schema.settings import Effect, KeyPoint, ShotConfig
from pokora_anime.sounds import sound_store
from pokora_anime.stages.delivery.camera_window import way_of
from pokora_anime.stages.motion.feedback import fed_back
from pokora_anime.timeline.effects import accents, effect_plan
from pokora_anime.timeline.segment_plan import Span

WEIGHTS = Path(pose_plan.__file__).parents[1] / "nano" / "weights"
EFFECTS = [effect for effect in Effect if effect is not Effect.none]


def spot(x: int, y: int, size: int = 33) -> torch.Tensor:
    picture = torch.zeros(1, size, size)
    picture[0, y - 1 : y + 2, x - 1 : x + 2] = 1
    return picture


def found(picture: torch.Tensor) -> tuple[float, float]:
    """Where a spot lies about the middle of its picture: x, y."""
    weight = picture[0].clamp(min=0.2) - 0.2
    side = torch.arange(picture.shape[-1], dtype=torch.float32) - (picture.shape[-1] - 1) / 2
    return float((weight.sum(0) * side).sum() / weight.sum()), float(
        (weight.sum(1) * side).sum() / weight.sum()
    )


@pytest.mark.parametrize("effect", EFFECTS)
def test_an_effect_moves_more_with_each_frame_and_nothing_at_strength_nought(effect: Effect) -> None:
    start = spot(22, 16)
    moved = fed_back(start, [0.0, 1.0, 2.0], effect)
    assert torch.allclose(moved[:, 0], start, atol=1e-5)
    places = [found(moved[:, frame]) for frame in range(3)]
    if effect is Effect.zoom_feedback:
        assert places[0][0] < places[1][0] < places[2][0]
    elif effect is Effect.rotate_feedback:
        assert (
            places[0][1] < places[1][1] < places[2][1]
        )  # to the right of the middle, it goes down: clockwise
    else:
        assert places[0][0] > places[1][0] > places[2][0]


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> tiny_networks.Kept:
    return tiny_networks.Kept.of(tiny_networks.family(tmp_path_factory.mktemp("sdxl")))


def test_frames_are_those_of_no_effect_at_strength_nought(
    networks: tiny_networks.Kept, tmp_path: Path
) -> None:
    plain = clip(networks, tmp_path / "plain")
    still = clip(networks, tmp_path / "still", effect=Effect.drift, effect_strength=0.0)
    moved = clip(networks, tmp_path / "moved", effect=Effect.drift)
    assert all(torch.equal(one, other) for one, other in zip(plain, still, strict=True))
    assert not any(torch.equal(one, other) for one, other in zip(plain, moved, strict=True))


def test_key_points_weigh_an_effect_frame_by_frame() -> None:
    config = compose_video(["base=nano", "motion.effect=drift"])
    config.timeline.effect = [KeyPoint(frame=0, value=0.0), KeyPoint(frame=16, value=2.0)]
    amounts = effect_plan.amounts(Span(index=0, start=0, frames=16, known=1), config)
    steps = np.diff(amounts)
    assert amounts[0] == 0.0
    assert (np.diff(steps) > 0).all()
    later = effect_plan.amounts(Span(index=1, start=12, frames=16, known=4), config)
    assert later[:4] == [0.0] * 4


def test_a_strength_without_an_effect_is_told_and_changes_nothing() -> None:
    from pokora_anime.config.compose import unresolved
    from pokora_anime.schema.run_identity import run_key

    words = ["motion.effect_strength=1.7"]
    assert unused(unresolved("video", words))  # type: ignore[arg-type]
    assert run_key("video", compose_video(words)) == run_key("video", compose_video([]))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (["shot.beat=0"], "shot.beat=0.*20 to 300"),
        (["shot.beat=10000"], "shot.beat=10000.*20 to 300"),
        (["motion.effect=drift", "motion.effect_strength=3"], "effect_strength"),
        (["motion.effect=drift", "motion.loop=true"], "loop"),
        (["motion.effect=drift", "motion=windows"], "windows"),
        (["timeline.effect=[{frame:0,value:1}]"], "no effect"),
        (["shot.beat=90", "motion.loop=true", "shot.seconds=7"], "whole beats"),
    ],
)
def test_what_does_not_go_together_is_refused(wrong: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        check(compose_video(["base=nano", *wrong]))


# The beat


@pytest.mark.parametrize("action", ["waving", "dancing", "standing"])
def test_planned_motion_peaks_on_the_beat(action: str) -> None:
    model = Choreographer.load(WEIGHTS / "choreographer")
    with_beat = on_beat(planned_energy(model, action, 90, beaten=True), 12, 90)
    without = on_beat(planned_energy(model, action, 90, beaten=False), 12, 90)
    assert len(with_beat) >= 120
    assert np.mean(with_beat) >= 0.95
    assert np.mean(without) < 0.8


def test_the_clock_runs_as_long_as_the_clip_does() -> None:
    shot = ShotConfig(prompt="", fps=8, beat=120.0)
    clock = accents.clock(shot, 65)
    assert clock[64] == pytest.approx(8.0)
    assert all(after > before for before, after in zip(clock, clock[1:], strict=False))


def test_the_window_jumps_at_a_beat_and_never_leaves_the_frame() -> None:
    config = compose_video(["base=nano", "shot.beat=120", "finish.camera=pan_left"])
    way = way_of(config)
    assert way is not None
    growth = [way.at(frame / 192).growth for frame in range(192)]
    rises = [frame for frame in range(1, 192) if growth[frame] > growth[frame - 1]]
    assert rises == list(range(12, 192, 12))
    assert min(growth) >= 1.0


# A whole run


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with an effect and a sound, whose sound is registered nowhere any more."""
    root = tmp_path_factory.mktemp("heard")
    time = np.arange(2 * 48_000) / 48_000
    soundfile.write(root / "a.wav", 0.5 * np.sin(2 * np.pi * 90 * time) * np.exp(-(time % 0.5) * 20), 48_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POKORA_DATA", str(root / "data"))
        new = sound_store.NewSound(
            id="song", file=root / "a.wav", licence="CC0-1.0", source="made for a test"
        )
        sound_store.add(new)
        run = replay_runs.rendered(
            root, "shot.sound=song", "motion.effect=rotate_feedback", *replay_runs.QUIET
        )
        shutil.rmtree(root / "data")
    return run


def test_a_run_with_effect_and_sound_verifies_where_the_sound_is_unknown(heard: Path) -> None:
    found = codes(heard)
    assert not {code for code in found if code.startswith(("VID-", "INT-", "POL-"))} - {"POL-UNCHECKED"}


def forged(heard: Path, tmp_path: Path, change: str) -> set[str]:
    """The codes of a copy of the run whose MP4 was changed, and all that follows mended."""
    folder = tmp_path / "run"
    shutil.copytree(heard, folder)
    pictures, sound = mp4_sound.split((folder / "video.mp4").read_bytes())
    other = mp4_sound.Stream(channels=sound.channels, frames=sound.frames[::-1])
    made = {"none": pictures, "another": mp4_sound.joined(pictures, other), "more": pictures + b"\0" * 8}
    (folder / "video.mp4").write_bytes(made[change])
    opened = Opened(folder)
    opened.deliver(opened.frames())
    opened.seal()
    return codes(folder)


@pytest.mark.parametrize("change", ["none", "another", "more"])
def test_a_forged_sound_is_found(change: str, heard: Path, tmp_path: Path) -> None:
    assert "VID-SOUND" in forged(heard, tmp_path, change)


@pytest.mark.apart
def test_a_run_with_effect_and_sound_is_replayed_where_the_sound_is_unknown(heard: Path) -> None:
    report, _ = replay(heard, Question(nonce="7", nodes=99))
    assert [part.name for part in report.parts if not part.to_plain()["bit_equal"]] == []
