"""What a blend looks like: the same seed without it and with it, side by side."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image as Pictures

from pokora_anime.quality.contact_sheet import contact_sheet
from pokora_anime.schema import own_styles
from pokora_anime.schema.own_styles import Blend
from pokora_anime.schema.settings import LoraConfig
from pokora_anime.system.files.atomic_files import write_atomic, writing
from pokora_anime.workshop.blending.trial_stills import TrialStills

SEED = 0
_QUALITY = 90  # of the WebP


def preview(blend: Blend, words: Sequence[str]) -> Path:
    """Draw it and keep it beside the option, as styles/NAME.webp; `words` are more keys of `pokora stills`.

    Raises what composing and loading raise.
    """
    return drawn(TrialStills([f"base={blend.base.value}", "style=none", *words]), blend)


def drawn(trials: TrialStills, blend: Blend) -> Path:
    """The same by networks that are there already."""
    loras = [LoraConfig(id=part.id, weight=part.weight) for part in blend.parts]
    pictures = [trials.look([SEED], loras=chosen).pictures[0] for chosen in ((), loras)]
    sheet = contact_sheet(pictures, 2, ["without", f"{blend.name}: {blend.said}"])
    data = io.BytesIO()
    Pictures.fromarray(sheet).save(data, "WEBP", quality=_QUALITY)
    path = own_styles.path_of(blend.name).with_suffix(".webp")
    with writing(path.parent):
        write_atomic(path, data.getvalue())
    return path
