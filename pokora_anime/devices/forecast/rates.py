"""How fast this machine was measured to be (`pokora bench rates`), or is assumed to be. Torch-free."""

from __future__ import annotations

import json
import math
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self, cast

from pokora_anime.errors import ConfigError
from pokora_anime.schema.settings import DeviceKind, DType, Family
from pokora_anime.system.files.user_folder import data_folder

FILE = "rates.json"
# FLOP/s of nano's motion UNet by itself on one core of an EPYC with AVX512-bf16 (`pokora bench gpu`).
_CORE = {DType.fp32: 75e9, DType.bf16: 120e9}


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """A card of this machine: bytes of its memory, and FLOP/s that SDXL's shapes reach in 16 bits."""

    kind: DeviceKind
    name: str
    memory: int
    rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """A machine's rates; those by default are of two cores of an EPYC.

    `nano` and `wide` are FLOP/s of a core, in `dtype`, of nano's networks and of SDXL's shapes (0: as nano).
    `starting` is seconds until nano's first step, `delivering` the core-seconds that a delivered pixel takes
    (interpolation, score, preview, encoding). `measured` is the day, empty where all of it is assumed.
    """

    dtype: DType = DType.bf16
    nano: float = 77e9  # of a whole clip: keyframe, decoding and what keeps one core alone busy included
    wide: float = _CORE[DType.bf16]
    starting: float = 5.7
    delivering: float = 2.0e-7
    accelerator: Accelerator | None = None
    measured: str = ""
    machine: str = ""

    def core(self, dtype: DType, family: Family) -> float:
        """FLOP/s of one core; a format that was not measured keeps its share of the other."""
        rate = self.nano if family is Family.nano else self.wide or self.nano
        return rate * _CORE[dtype] / _CORE[self.dtype]

    def to_json(self) -> dict[str, object]:
        """Plain values by name."""
        plain: dict[str, object] = {**asdict(self), "dtype": self.dtype.value}
        if self.accelerator:
            plain["accelerator"] = asdict(self.accelerator) | {"kind": self.accelerator.kind.value}
        return plain

    @classmethod
    def of(cls, plain: object) -> Self:
        """From `to_json`. Raises ValueError, KeyError or TypeError for anything else."""
        read = dict(cast(dict[str, object], plain))
        card = cast(dict[str, object] | None, read.pop("accelerator"))
        found = cls(
            dtype=DType(read.pop("dtype")),
            accelerator=None if card is None else Accelerator(**card | {"kind": DeviceKind(card["kind"])}),  # type: ignore[arg-type]
            **read,  # type: ignore[arg-type]
        )
        numbers = [found.nano, found.starting, found.delivering, *([card_rate(found)] if card else [])]
        if found.dtype not in _CORE or not all(0 < one < math.inf for one in numbers) or found.wide < 0:
            raise ValueError("a rate that is none")
        return found


def card_rate(rates: Rates) -> float:
    """FLOP/s of the measured card; 0 without one."""
    return rates.accelerator.rate if rates.accelerator else 0.0


def path() -> Path:
    """Where the measured rates are kept."""
    return data_folder() / FILE


def read() -> Rates:
    """This machine's rates, assumed where none were measured. ConfigError CFG-RATES for a damaged file."""
    try:
        found = Rates.of(json.loads(path().read_text(encoding="utf-8")))
    except OSError:  # there is none, or a confined process was not given it
        return Rates()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            "CFG-RATES",
            f"{path()} holds no rates",
            expected="what `pokora bench rates` writes",
            fix="pokora bench rates",
        ) from error
    return found if found.machine == processor() else Rates()


def here() -> Rates:
    """As `read`; a damaged file is as none, because no run may end for a forecast."""
    try:
        return read()
    except ConfigError:
        return Rates()


def processor() -> str:
    """The processor's model, as the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    told = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return told or platform.processor() or platform.machine()
