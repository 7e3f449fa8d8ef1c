"""What the node of a delivered video tells of the sound in it. Torch-free."""

from __future__ import annotations

from pokora_anime.provenance.hashing import Json
from pokora_anime.schema.settings import ShotConfig


def recorded(shot: ShotConfig) -> dict[str, Json]:
    """The sound's name, licence and hashes; nothing where there is none."""
    if shot.sound is None:
        return {}
    track = shot.track
    return {
        "sound": {"id": shot.sound, "sha256": track.sha256, "heard": track.heard, "licence": track.licence}
    }
