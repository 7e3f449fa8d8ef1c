"""What a safetensors file's header tells: shapes by name and metadata, no tensor read. Torch-free."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from pokora_anime.errors import WeightsError

MAX_HEADER = 64 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorHeader:
    """Shapes by tensor name, and the texts that the file carries about itself."""

    shapes: dict[str, list[int]]
    metadata: dict[str, str] = field(default_factory=dict[str, str])


def read(file: Path, what: str = "weights") -> TensorHeader:
    """The header of a safetensors file; WeightsError WGT-DAMAGED for anything else, WGT-MISSING for no file.

    `what` is the kind of file that is asked for.
    """
    try:
        with file.open("rb") as handle:
            length = int.from_bytes(handle.read(8), "little")
            if not 2 <= length <= MAX_HEADER:
                raise ValueError(length)
            header = json.loads(handle.read(length))
        metadata = header.pop("__metadata__", {})
        return TensorHeader(
            shapes={str(name): list(entry["shape"]) for name, entry in header.items()},
            metadata={str(name): str(value) for name, value in metadata.items()},
        )
    except OSError as error:
        raise WeightsError(
            "WGT-MISSING", f"{file}: {error.strerror or error}", expected=f"a {what} file"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(
            "WGT-DAMAGED", f"{file.name} is no readable safetensors file", expected=f"a .safetensors {what}"
        ) from error
