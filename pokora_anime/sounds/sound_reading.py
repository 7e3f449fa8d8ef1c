"""A WAV or FLAC file of the user's as samples at 48 kHz, mono or stereo. Torch-free."""

from __future__ import annotations

import struct
import subprocess
from math import gcd
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from pokora_anime.errors import DataError, MachineError
from pokora_anime.media.ffmpeg_program import find_ffmpeg
from pokora_anime.media.mp4_sound import RATE

Samples = NDArray[np.float32]  # [samples, channels], -1 to 1


class Resample(Protocol):
    """scipy's polyphase resampling of samples along an axis."""

    def __call__(self, x: Samples, up: int, down: int, axis: int) -> Samples: ...


KINDS = ("WAV", "WAVEX", "FLAC")
SHORTEST, LONGEST = 0.1, 600.0  # seconds; a clip is at most as long
MOST_CHANNELS, SLOWEST, FASTEST = 64, 4_000, 400_000  # samples a second
SILENCE = 1e-3  # the loudest sample of what nothing can be heard of
_ENCODED_SECONDS = 120.0  # that the encoder may take; one is usual


def read(path: Path) -> Samples:
    """The file's samples; more than two channels are mixed to one.

    Raises DataError DAT-SOUND for what is no WAV or FLAC, is cut short, too short or long, silent, or holds
    numbers that are none.
    """
    import soundfile

    try:
        with path.open("rb") as file, soundfile.SoundFile(file) as opened:
            _check_form(path, opened.format, opened.frames / opened.samplerate, opened.channels)
            if not SLOWEST <= opened.samplerate <= FASTEST:
                expected = f"{SLOWEST} to {FASTEST} a second"
                raise _wrong(path, f"{opened.samplerate} samples a second", expected)
            found = cast(Samples, opened.read(dtype="float32", always_2d=True))
            told, rate, kind = opened.frames, opened.samplerate, opened.format
    except OSError as error:
        raise _wrong(path, f"cannot be read ({error.strerror})", "a WAV or FLAC file") from error
    except soundfile.LibsndfileError as error:
        what = " ".join(str(error).split()).partition(": ")[2] or "no sound"
        raise _wrong(
            path, f"no sound that can be read ({what.rstrip('.')})", "a whole WAV or FLAC file"
        ) from error
    if len(found) < told or (kind != "FLAC" and _cut_short(path)):
        raise _wrong(path, "cut short: it tells of more than it holds", "a whole file", "copy it again")
    return _heard(path, found, rate)


def encoded(samples: Samples) -> bytes:
    """The samples as AAC-LC in ADTS. Raises MachineError SYS-FFMPEG."""
    channels = samples.shape[1]
    source = ["-f", "f32le", "-ar", str(RATE), "-ac", str(channels), "-i", "pipe:0"]
    target = ["-c:a", "aac", "-b:a", f"{80 * channels}k", "-flags:a", "+bitexact", "-f", "adts", "pipe:1"]
    line = [find_ffmpeg(), "-hide_banner", "-loglevel", "error", "-threads", "1", *source, *target]
    done = subprocess.run(
        line,
        input=np.ascontiguousarray(samples, "<f4").tobytes(),
        capture_output=True,
        timeout=_ENCODED_SECONDS,
        check=False,
    )
    if done.returncode or not done.stdout:
        said = " ".join(done.stderr.decode(errors="replace").split())[:120]
        raise MachineError("SYS-FFMPEG", f"the sound was not encoded: {said}", expected="AAC")
    return done.stdout


def _check_form(path: Path, kind: str, seconds: float, channels: int) -> None:
    if kind not in KINDS:
        fix = f"ffmpeg -i {path.name} {path.stem}.wav"
        raise _wrong(path, f"it is {kind}", "WAV or FLAC", fix)
    if not SHORTEST <= seconds <= LONGEST:
        raise _wrong(
            path, f"{seconds:g} s long", f"{SHORTEST:g} to {LONGEST:g} s", "cut out what is to be heard"
        )
    if channels > MOST_CHANNELS:
        raise _wrong(path, f"{channels} channels", f"at most {MOST_CHANNELS}")


def _heard(path: Path, found: Samples, rate: int) -> Samples:
    """Samples at 48 kHz that are numbers, mixed, not silent, and within -1 to 1."""
    from scipy import signal

    if not np.isfinite(found).all():
        raise _wrong(path, "samples that are no numbers (NaN or infinite)", "finite ones", "export it again")
    if found.shape[1] > 2:
        found = found.mean(axis=1, keepdims=True, dtype=np.float32)
    if float(np.abs(found).max(initial=0.0)) < SILENCE:
        raise _wrong(path, "silence", "something to be heard", "leave shot.sound out, or use shot.beat=120")
    if rate != RATE:
        shared = gcd(rate, RATE)
        resampled = cast(Resample, signal.resample_poly)  # pyright: ignore[reportUnknownMemberType]  # bare arrays
        found = np.asarray(resampled(found, RATE // shared, rate // shared, axis=0), np.float32)
    return found / max(1.0, float(np.abs(found).max()))


def _cut_short(path: Path) -> bool:
    """Whether a WAV's head tells of more bytes than the file has; libsndfile reads what there is."""
    with path.open("rb") as file:
        head = file.read(8)
        (told,) = struct.unpack("<I", head[4:8])
        return head[:4] == b"RIFF" and told != 0xFFFFFFFF and told + 8 > path.stat().st_size + 1


def _wrong(path: Path, got: str, expected: str, fix: str = "") -> DataError:
    return DataError("DAT-SOUND", f"{path.name}: {got}", expected=expected, fix=fix)
