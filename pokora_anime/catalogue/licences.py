"""The licences that weights come under: SPDX ids, what they are called, and what they allow. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from pokora_anime.errors import ConfigError, WeightsError


class Terms(Enum):
    """What a licence means for this project."""

    open = "open"  # may be used and passed on, some with conditions on what is made with it
    unclear = "unclear"  # nobody has said: a person has to decide before it is fetched
    non_commercial = "non_commercial"  # never used here


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    """One licence by its SPDX id (LicenseRef- where SPDX has none)."""

    id: str
    name: str
    link: str = ""
    terms: Terms = Terms.open


_SPDX = "https://spdx.org/licenses"
LICENCES = {
    licence.id: licence
    for licence in (
        Licence(id="CC0-1.0", name="Creative Commons Zero 1.0", link=f"{_SPDX}/CC0-1.0"),
        Licence(id="CC-BY-4.0", name="Creative Commons Attribution 4.0", link=f"{_SPDX}/CC-BY-4.0"),
        Licence(
            id="CC-BY-SA-4.0",
            name="Creative Commons Attribution ShareAlike 4.0",
            link=f"{_SPDX}/CC-BY-SA-4.0",
        ),
        Licence(id="Apache-2.0", name="Apache License 2.0", link=f"{_SPDX}/Apache-2.0"),
        Licence(id="MIT", name="MIT License", link=f"{_SPDX}/MIT"),
        Licence(id="BSD-3-Clause", name="BSD 3-Clause", link=f"{_SPDX}/BSD-3-Clause"),
        Licence(
            id="LicenseRef-CreativeML-OpenRAIL-PP-M",
            name="CreativeML Open RAIL++-M",
            link="https://huggingface.co/stabilityai/stable-diffusion-xl-base-1.0/blob/main/LICENSE.md",
        ),
        Licence(
            id="LicenseRef-CreativeML-OpenRAIL-M",
            name="CreativeML Open RAIL-M",
            link="https://huggingface.co/spaces/CompVis/stable-diffusion-license",
        ),
        Licence(
            id="LicenseRef-Fair-AI-1.0-SD",
            name="Fair AI Public License 1.0-SD",
            link="https://freedevproject.org/faipl-1.0-sd/",
        ),
        Licence(id="LicenseRef-unknown", name="no licence stated", terms=Terms.unclear),
        Licence(
            id="CC-BY-NC-4.0",
            name="Creative Commons Attribution NonCommercial 4.0",
            link=f"{_SPDX}/CC-BY-NC-4.0",
            terms=Terms.non_commercial,
        ),
        Licence(
            id="LicenseRef-OpenPose-NonCommercial",
            name="OpenPose academic or non-profit non-commercial research licence",
            link="https://github.com/CMU-Perceptual-Computing-Lab/openpose/blob/master/LICENSE",
            terms=Terms.non_commercial,
        ),
        Licence(
            id="LicenseRef-Stability-NonCommercial",
            name="Stability AI Non-Commercial Research Community License",
            link="https://huggingface.co/stabilityai/sdxl-turbo/blob/main/LICENSE.md",
            terms=Terms.non_commercial,
        ),
    )
}


def require_open(licence_id: str, code: str) -> None:
    """Raise ConfigError of this code, or WeightsError WGT-BLOCKED, for a licence that is not open."""
    licence = LICENCES.get(licence_id)
    if licence is not None and licence.terms is Terms.non_commercial:
        raise WeightsError(
            "WGT-BLOCKED", f"licence {licence_id} ({licence.name})", expected="one that this project may use"
        )
    if licence is None or licence.terms is not Terms.open:
        raise ConfigError(code, f"--licence {licence_id[:60]}", expected=" or ".join(open_ids()))


def open_ids() -> list[str]:
    """The ids that an own LoRA may be registered under."""
    return [licence.id for licence in LICENCES.values() if licence.terms is Terms.open]
