"""A base of others: an SDXL checkpoint in one file, converted once and registered on this machine.

Torch-free until one is added.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from pokora_anime.catalogue.checkpoint import checkpoint_kind, tensor_header
from pokora_anime.catalogue.checkpoint.checkpoint_kind import Prediction
from pokora_anime.catalogue.checkpoint.tensor_header import TensorHeader
from pokora_anime.catalogue.hub.download_meter import Meter
from pokora_anime.catalogue.own_rows import BASE_PARTS
from pokora_anime.catalogue.registry_row import Kind, Status
from pokora_anime.errors import ConfigError, WeightsError
from pokora_anime.provenance.hashing import Json, file_hash
from pokora_anime.schema.settings import Family
from pokora_anime.system.files.atomic_files import disk_error, sync_folder, temporary_path, writing
from pokora_anime.system.files.reading_progress import LONG
from pokora_anime.system.files.user_folder import data_folder, free_space

TOKENIZERS = "sdxl-tokenizers"  # the registry's row
MIN_SOURCE = 8  # characters; less names no place
SPARE = 50_000_000  # bytes beside the networks
_V = re.compile(r"v|v_pred(iction)?|velocity", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBase:
    """What `pokora models add --kind base` is told. `prediction` is epsilon, v or empty (the file tells)."""

    id: str
    file: Path
    licence: str
    source: str
    prediction: str = ""
    zero_snr: bool = False
    author: str = ""
    title: str = ""


def make(new: NewBase) -> tuple[dict[str, Json], Prediction]:
    """Check and convert a checkpoint into the data folder; its registry entry, and what it predicts.

    Raises ConfigError CFG-OWN, WeightsError WGT-MISSING (no tokenizers), WGT-DAMAGED, WGT-FIT, WGT-UNSAFE
    (a pickle), MachineError SYS-*.
    """
    if len(" ".join(new.source.split())) < MIN_SOURCE:
        raise ConfigError(
            "CFG-OWN",
            f"--source {new.source!r}",
            expected="where the checkpoint was published",
            fix="for example --source https://the.page/of/the/checkpoint",
        )
    checkpoint_kind.refuse_pickle(new.file)
    header = tensor_header.read(new.file, "checkpoint")
    checkpoint_kind.refuse_others(new.id, header)
    prediction = predicted(new, header)
    tokenizers = _tokenizers()
    size = new.file.stat().st_size
    folder = data_folder() / "bases" / new.id
    if free_space(folder) < size + SPARE:
        raise disk_error(folder, size + SPARE)
    temporary = temporary_path(folder)
    try:
        with writing(folder.parent, size), Meter(3 * size, about=new.id, quiet=size < LONG) as meter:
            temporary.mkdir(parents=True)
            origin = file_hash(new.file, meter.add)
            _convert(new, temporary, prediction, tokenizers, meter)
            files = {name: _hashed(temporary / name, meter) for name in BASE_PARTS}
            shutil.rmtree(folder, ignore_errors=True)
            temporary.replace(folder)
            sync_folder(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return _entry(new, files, origin), prediction


def _convert(new: NewBase, folder: Path, prediction: Prediction, tokenizers: Path, meter: Meter) -> None:
    # Torch: not for those who only list.
    from pokora_anime.catalogue.checkpoint import checkpoint_convert

    checkpoint_convert.convert(new.file, new.id, folder, prediction, add=meter.add)
    checkpoint_convert.copy_tokenizers(tokenizers, folder)


def _hashed(path: Path, meter: Meter) -> Json:
    return {"size": path.stat().st_size, "sha256": file_hash(path, meter.add)}


def predicted(new: NewBase, header: TensorHeader) -> Prediction:
    """What the UNet predicts, by the file's `v_pred` and `ztsnr` and its metadata, or as its user says.

    Raises ConfigError CFG-OWN where the two contradict each other.
    """
    noted = header.metadata.get("modelspec.prediction_type", "")
    told_v = "v_pred" in header.shapes or bool(_V.fullmatch(noted))
    zero = "ztsnr" in header.shapes or new.zero_snr
    if told_v and new.prediction == "epsilon":
        raise ConfigError(
            "CFG-OWN",
            "--prediction epsilon, and the file says that it predicts velocity",
            expected="what it was trained for",
            fix="leave --prediction out",
        )
    return Prediction(v=told_v or new.prediction == "v", zero_snr=zero)


def _tokenizers() -> Path:
    """The folder of SDXL's tokenizers, undamaged. WeightsError WGT-MISSING where they were not fetched."""
    from pokora_anime.catalogue import (
        registry,  # which read the user's rows
        weight_hashes,
        weight_paths,
    )

    row = registry.any_row(TOKENIZERS)
    folder = weight_paths.locate(row)
    if folder is None:
        raise WeightsError(
            "WGT-MISSING",
            "SDXL's tokenizers are not here; a checkpoint in one file has none",
            expected="them fetched once (3 MB), or all of base=sdxl",
            fix=f"pokora models fetch {TOKENIZERS}",
        )
    weight_hashes.verify(row, folder)
    return folder


def _entry(new: NewBase, files: dict[str, Json], origin: str) -> dict[str, Json]:
    source = " ".join(new.source.split())
    return {
        "id": new.id,
        "kind": Kind.base.value,
        "role": f"own:{new.id}",
        "families": [Family.sdxl.value],
        "repo": f"own:{new.id}",
        "files": files,
        "licence": new.licence,
        "citation": ["podell2023sdxl"],
        "status": Status.review.value,
        "reason": "a base of others: licence and source are as its user states",
        "origin": f"{new.file.name}, sha256 {origin}",
        "data_statement": f"published at {source}",
        "author": new.author,
        "title": new.title,
        "page": source if source.startswith("https://") else "",
    }
