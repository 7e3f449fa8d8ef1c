"""Effects, a beat and a sound: what they follow from, and what cannot stand beside them. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator

from pokora_anime.config.field_checks import Problem
from pokora_anime.schema.settings import Chain, Effect, SoundTrack, StillsConfig, VideoConfig
from pokora_anime.sounds import sound_store, sound_track
from pokora_anime.timeline import shot_plan

MOST_DIGITS = 36_000  # of a curve
_EVEN = 1e-6  # beats


def settle(config: VideoConfig) -> None:
    """Puts a registered sound's curve in, and drops a strength without an effect; twice is once."""
    sound_track.settle(config)
    if config.motion.effect is Effect.none and 0 <= config.motion.effect_strength <= 2:  # others are refused
        config.motion.effect_strength = 1.0


def unused(typed: VideoConfig) -> list[str]:
    """What a config that is not settled yet says of effects and nothing uses, one line each."""
    if typed.motion.effect is Effect.none and typed.motion.effect_strength != 1.0:
        return ["motion.effect_strength is not used without an effect, such as motion.effect=zoom_feedback"]
    return []


def problems(config: VideoConfig) -> Iterator[Problem]:
    """All that is wrong with effects, beat and sound."""
    motion, shot = config.motion, config.shot
    if motion.effect is not Effect.none:
        if motion.chain is Chain.windows:
            expected = "none, because windows start from no frame before them"
            yield Problem("motion.effect", f"{motion.effect.value} with windows", expected, "motion=default")
        if motion.loop:
            expected = "none, because a feedback never comes back to its beginning"
            yield Problem("motion.effect", f"{motion.effect.value} in a loop", expected, "motion.loop=false")
        if config.speed.steps < 2:
            expected = "two or more, of which an effect leaves one out"
            yield Problem("speed.steps", config.speed.steps, expected, "speed.steps=4")
    if shot.sound is not None and not shot.track.curve:
        sound_store.find(shot.sound)  # which raises where there is none
    frames = round((shot.begins + shot.seconds) * shot.track.rate)
    if (shot.sound is None) != (shot.track == SoundTrack()) or len(shot.track.curve) < min(
        frames, MOST_DIGITS
    ):
        yield Problem(
            "shot.track", "not what shot.sound is", "its curve and its hashes", "type the command again"
        )
    yield from _even(config)


def _even(config: VideoConfig) -> Iterator[Problem]:
    """A loop closes, and a list of shots cuts, on a beat."""
    beat = config.shot.beat
    if beat is None:
        return
    if config.motion.loop and _odd(config.shot.seconds, beat):
        yield Problem(
            "shot.seconds",
            config.shot.seconds,
            f"whole beats at {beat:g} in a loop",
            _fix(config.shot.seconds, beat),
        )
    for scene in shot_plan.scenes(config)[:-1]:
        seconds = sum(entry.seconds for entry in scene)
        if _odd(seconds, beat):
            expected = f"whole beats at {beat:g}, so that the cut is on one"
            yield Problem(
                "shots", f"{seconds:g} s up to a cut", expected, _fix(seconds, beat).removeprefix("shot.")
            )
            return


def _odd(seconds: float, beat: float) -> bool:
    beats = seconds * beat / 60
    return abs(beats - round(beats)) > _EVEN


def _fix(seconds: float, beat: float) -> str:
    return f"shot.seconds={max(1, round(seconds * beat / 60)) * 60 / beat:g}"


def still_problems(config: StillsConfig) -> Iterator[Problem]:
    """A still neither moves nor is heard."""
    if config.shot.beat is not None:
        yield Problem("shot.beat", f"{config.shot.beat:g}", "null: a still does not move", "shot.beat=null")
    if config.shot.sound is not None:
        yield Problem("shot.sound", config.shot.sound, "null: a still is not heard", "shot.sound=null")
