"""What a blend looks like: the same seed without it and with it, side by side. Torch-free."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from pokora_anime.schema import own_styles
from pokora_anime.schema.own_styles import Blend
from pokora_anime.system.files.atomic_files import write_atomic, writing
from pokora_anime.workshop.blending.trial_runs import TrialRuns

SEED = 0
_QUALITY = 90  # of the WebP
FOLDER = "styles"  # of the runs, below OUT/sweep


def preview(blend: Blend, words: Sequence[str], root: Path) -> Path:
    """Render and keep it beside the option, as styles/NAME.webp; `words` are more keys of `pokora stills`.

    Raises what rendering raises.
    """
    with TrialRuns(root, FOLDER) as runs:
        return preview_by(runs, blend, words)


def preview_by(runs: TrialRuns, blend: Blend, words: Sequence[str]) -> Path:
    """The same in a process that is there already."""
    from PIL import Image as Pictures

    from pokora_anime.quality.contact_sheet import contact_sheet

    base = f"base={blend.base.value}"
    plain = runs.shown([base, "style=none", *words], SEED)
    styled = runs.shown([base, f"style={blend.name}", *words], SEED)
    sheet = contact_sheet([plain, styled], 2, ["without", f"{blend.name}: {blend.said}"])
    data = io.BytesIO()
    Pictures.fromarray(sheet).save(data, "WEBP", quality=_QUALITY)
    path = own_styles.path_of(blend.name).with_suffix(".webp")
    with writing(path.parent):
        write_atomic(path, data.getvalue())
    return path
