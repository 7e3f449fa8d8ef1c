"""What a registered sound is to a clip: its curve at the delivered rate, and what is heard. Torch-free."""

from __future__ import annotations

import hashlib

from pokora_anime.media.mp4_sound import Stream
from pokora_anime.schema.settings import ShotConfig, SoundTrack, VideoConfig
from pokora_anime.sounds import sound_store

LONGEST, FASTEST = 600.0, 60  # seconds and frames a second of a clip: beyond it is refused later


def settle(config: VideoConfig) -> None:
    """Puts what shot.sound names into shot.track; twice is once.

    A name that is not registered here stays as it is: `checks` refuses it where nothing was recorded of it.
    Raises DataError DAT-SOUND for a damaged sound.
    """
    shot, fps = config.shot, config.finish.fps
    if shot.sound is None:
        shot.track = SoundTrack()
    elif shot.sound in sound_store.ids() and 0 < shot.seconds <= LONGEST and 0 < fps <= FASTEST:
        from pokora_anime.sounds import sound_curve

        sound = sound_store.find(shot.sound)
        shot.track = SoundTrack(
            sha256=sound.sha256,
            heard=heard(sound_store.stream_of(sound).first(shot.seconds)),
            licence=sound.licence,
            curve=sound_curve.digits(sound_store.levels_of(sound), fps, shot.seconds),
            rate=fps,
        )


def heard(stream: Stream) -> str:
    """The hash of what is heard of a clip: its channels and its frames."""
    digest = hashlib.sha256(bytes([stream.channels]))
    for frame in stream.frames:
        digest.update(len(frame).to_bytes(2, "big") + frame)
    return digest.hexdigest()


def stream(shot: ShotConfig) -> Stream | None:
    """The frames that are heard with a clip, None without a sound.

    Raises ConfigError CFG-SOUND where the sound is not registered here, or is another one by now.
    """
    if shot.sound is None:
        return None
    found = sound_store.stream_of(sound_store.find(shot.sound)).first(shot.seconds)
    if heard(found) != shot.track.heard:
        raise sound_store.another(shot.sound)
    return found
