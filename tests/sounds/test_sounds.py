"""A user's own sounds: what is taken, the curve that they become, and their one form in an MP4."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from support.forged_run import honest

from pokora_anime import cli
from pokora_anime.config.compose import compose_video
from pokora_anime.errors import ConfigError
from pokora_anime.media import mp4_sound
from pokora_anime.media.mp4_sound import NoSound, Stream
from pokora_anime.rules.case import Case, uses
from pokora_anime.rules.contest import judge
from pokora_anime.sounds import sound_store

RATE, BPM = 48_000, 120
Samples = NDArray[np.float32] | NDArray[np.float64] | NDArray[np.int16]
WORDS = ("--licence", "CC0-1.0", "--source", "made for a test")


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POKORA_DATA", str(tmp_path / "data"))


def clicks(seconds: float, rate: int = RATE) -> NDArray[np.float32]:
    """A short low note on every beat."""
    found = np.zeros(round(seconds * rate), np.float32)
    for at in np.arange(0.0, seconds, 60 / BPM):
        first = round(at * rate)
        time = np.arange(min(len(found) - first, rate // 8)) / rate
        found[first : first + len(time)] += np.sin(2 * np.pi * 90 * time) * np.exp(-time * 25)
    return found


def wav(
    path: Path,
    samples: Samples,
    rate: int = RATE,
    kind: str | None = None,
    form: str | None = None,
) -> Path:
    soundfile.write(path, samples, rate, form, format=kind)
    return path


def added(path: Path, name: str = "song", *words: str) -> int:
    return cli.main(["sound", "add", str(path), "--id", name, *WORDS, *words])


def half(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def no_number(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    samples[7] = np.nan
    return samples


def text(path: Path) -> Path:
    path.write_text("no sound at all")
    return path


BAD: dict[str, Callable[[Path], Path]] = {
    "of no second": lambda at: wav(at / "a.wav", np.zeros(0)),
    "of three hours": lambda at: wav(at / "a.flac", np.zeros(3 * 3600 * 4000, np.int16), 4000),
    "with a NaN": lambda at: wav(at / "a.wav", no_number(clicks(1)), form="FLOAT"),
    "silent": lambda at: wav(at / "a.wav", np.zeros(RATE)),
    "an MP3": lambda at: wav(at / "a.mp3", clicks(1), kind="MP3"),
    "cut short": lambda at: half(wav(at / "a.wav", clicks(1))),
    "cut short, FLAC": lambda at: half(wav(at / "a.flac", clicks(1))),
    "a text": lambda at: text(at / "a.wav"),
    "not there": lambda at: at / "a.wav",
}


@pytest.mark.parametrize("what", BAD)
def test_a_file_that_is_no_sound_to_use_is_one_line(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert added(BAD[what](tmp_path)) == 2
    said = capsys.readouterr()
    assert said.err.startswith("pokora: DAT-SOUND: ")
    assert "expected" in said.err
    assert said.err.count("\n") == 1
    assert not said.out
    assert not sound_store.ids()


@pytest.mark.parametrize("words", [["--licence", "CC-BY-NC-4.0"], ["--source", ""], ["--id", "../up"]])
def test_a_sound_without_licence_or_source_is_not_registered(words: list[str], tmp_path: Path) -> None:
    assert added(wav(tmp_path / "a.wav", clicks(1)), "song", *words) in (2, 3)
    assert not sound_store.ids()


def test_six_channels_at_96_khz_become_one_at_48(tmp_path: Path) -> None:
    six = np.repeat(clicks(2, 96_000)[:, None], 6, axis=1)
    assert added(wav(tmp_path / "a.wav", six, 96_000)) == 0
    sound = sound_store.find("song")
    assert (sound.channels, sound.seconds) == (1, 2.0)


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_the_curve_of_a_sound_rises_on_its_beats(name: str, tmp_path: Path) -> None:
    assert added(wav(tmp_path / name, clicks(4))) == 0
    curve = compose_video(["shot.sound=song", "shot.seconds=4"]).shot.track.curve
    rises = [at for at in range(1, len(curve)) if int(curve[at]) - int(curve[at - 1]) > 3]
    assert rises
    assert all(min(at % 12, -at % 12) <= 1 for at in rises)  # 24 frames a second, two beats
    assert len(rises) >= 7


def test_a_name_that_is_not_registered_is_one_line_and_a_typed_curve_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"CFG-SOUND.*pokora sound add"):
        compose_video(["shot.sound=nowhere"])
    with pytest.raises(ConfigError, match="CFG-KEY"):
        compose_video(["shot.track.curve=999"])


def test_a_contest_asks_the_organisers(tmp_path: Path) -> None:
    assert added(wav(tmp_path / "a.wav", clicks(1))) == 0
    config = compose_video(["experiment=contest_sdxl", "shot.sound=song"])
    found = judge(Case(config=config, limits=config.contest, uses=uses(config)))
    told = [finding for finding in found if finding.code == "RULE-SOUND"]
    assert [one.severity.value for one in told] == ["review"]
    assert "ask the organisers" in told[0].fix
    assert compose_video(["experiment=contest_sdxl"]).shot.sound is None


# The MP4


def stream(tmp_path: Path, seconds: float) -> Stream:
    assert added(wav(tmp_path / "a.wav", np.stack([clicks(3), clicks(3)], 1))) == 0
    return sound_store.stream_of(sound_store.find("song")).first(seconds)


def test_a_sound_leaves_every_byte_of_the_pictures_and_plays(tmp_path: Path) -> None:
    pictures = (honest() / "video.mp4").read_bytes()
    sound = stream(tmp_path, 2.0)
    whole = mp4_sound.joined(pictures, sound)
    assert mp4_sound.split(whole) == (pictures, sound)
    (tmp_path / "heard.mp4").write_bytes(whole)
    line = [imageio_ffmpeg.get_ffmpeg_exe(), "-xerror", "-i", str(tmp_path / "heard.mp4")]

    def hashed(path: Path) -> bytes:
        line = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path)]
        return subprocess.run(
            [*line, "-map", "0:v", "-c", "copy", "-f", "md5", "-"], capture_output=True
        ).stdout

    assert hashed(tmp_path / "heard.mp4") == hashed(honest() / "video.mp4")
    raw = subprocess.run([*line, "-map", "0:a", "-f", "f32le", "pipe:1"], capture_output=True).stdout
    heard = np.frombuffer(raw, "<f4").reshape(-1, 2)[:, 0]
    assert abs(len(heard) - 2 * RATE) <= 1024
    assert np.corrcoef(heard[:RATE], clicks(1))[0, 1] > 0.98  # it begins when the pictures do


@pytest.mark.parametrize("at", [8, 40, 90, 140, 300])
def test_a_changed_track_is_another_sound_or_none(at: int, tmp_path: Path) -> None:
    pictures, sound = (honest() / "video.mp4").read_bytes(), stream(tmp_path, 2.0)
    whole = bytearray(mp4_sound.joined(pictures, sound))
    whole[whole.index(b"soun\0") + at] ^= 1
    with suppress(NoSound):
        assert mp4_sound.split(bytes(whole))[1] != sound  # which its hash tells
    with pytest.raises(NoSound):
        mp4_sound.split(bytes(whole[: len(whole) // 2]))
