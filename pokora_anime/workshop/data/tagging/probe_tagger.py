"""nano's probe as a tagger: what nano's own words say of a picture, with no hub."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pokora_anime.nano.probe import STILL, AttributeProbe
from pokora_anime.nano.world.vocabulary import ATTRIBUTES
from pokora_anime.system.files.installed_package import NANO_WEIGHTS
from pokora_anime.untrusted.png_pictures import Image

ALWAYS = ("1girl", 1.0)  # all that nano draws
UNSAID = (("style", "plain"),)


class ProbeTagger:
    """Hair, eyes, expression, outfit, place, framing and style, the most probable value of each."""

    name = "nano's probe"
    threshold = 0.5

    def __init__(self) -> None:
        self._probe = AttributeProbe.from_pretrained(NANO_WEIGHTS / "probe")

    def tags(self, rgb: Image) -> Sequence[tuple[str, float]]:
        """In the order that nano's captions have."""
        shares = self._probe.judge(np.ascontiguousarray(rgb)[None]).shares
        best = {name: int(shares[name][0].argmax()) for name in STILL}
        found = {name: (ATTRIBUTES[name][at], float(shares[name][0][at])) for name, at in best.items()}
        if found["expression"][0] == "closed eyes":
            found.pop("eye_color", None)  # closed lids hide it
        return [ALWAYS, *(_tag(name, *one) for name, one in found.items() if (name, one[0]) not in UNSAID)]


def _tag(name: str, value: str, share: float) -> tuple[str, float]:
    noun = {"hair_color": " hair", "eye_color": " eyes", "outfit_color": " clothes"}.get(name, "")
    return f"{value}{noun}", share
