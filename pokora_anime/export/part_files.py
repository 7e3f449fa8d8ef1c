"""What an export tells of a part and of where it came from: the entries of export.json. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from pokora_anime.catalogue.weight_hashes import verify
from pokora_anime.errors import WeightsError
from pokora_anime.export.export_job import PACKAGES, ExportJob
from pokora_anime.provenance.hashing import Json, file_hash, text_hash

CARD = "export.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """How far a part lies from torch: the largest difference, and what it may be."""

    what: str
    largest: float
    allowed: float

    def line(self) -> str:
        """What was compared and how far it lies off, for a person."""
        return f"{self.what}: at most {self.largest:.2g} off torch's, {self.allowed:.2g} allowed"

    def require(self, name: str) -> None:
        """Raise WeightsError WGT-EXPORT where it lies farther off than it may."""
        if not self.largest <= self.allowed:  # NaN too
            raise WeightsError(
                "WGT-EXPORT",
                f"{name}: {self.what} differ from torch's by {self.largest:.3g}",
                expected=f"at most {self.allowed:.3g}",
                fix="nothing was kept; try another --attention or --bits, or other releases of the packages",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A part that was written: its file in the export, its tensors, and how it compares with torch."""

    name: str
    file: str
    inputs: Mapping[str, Json]
    outputs: Mapping[str, Json]
    compared: Compared
    seconds: float
    parameters: int


def licences(job: ExportJob) -> list[Json]:
    """Each row that the export is made of: its licence, where it comes from, and the hashes of its files."""
    told: list[Json] = []
    weights = _weights(job)
    for row in job.rows:
        folder = job.place(row)
        assert folder is not None  # require_weights has looked
        told.append(
            {
                "id": row.id,
                "kind": row.kind.value,
                "weight": weights.get(row.id, 1.0),
                "source": row.repo,
                "revision": row.revision,
                "licence": row.licence,
                "licence_name": row.terms.name,
                "licence_link": row.terms.link,
                "sha256": {**verify(row, folder)},
            }
        )
    return told


def _weights(job: ExportJob) -> dict[str, float]:
    from pokora_anime.catalogue import needed_weights

    config, family = job.config, job.family
    speed = needed_weights.speed_row(config.speed, family)
    styles, _ = needed_weights.style_rows(config.style.loras, family)
    found = {row.id: weight for row, weight in styles}
    return found | ({} if speed is None else {speed.id: config.speed.lora_weight})


def metadata(job: ExportJob, told: list[Json], name: str) -> dict[str, str]:
    """What a part's own file says of itself, as texts."""
    rows = [row for row in told if isinstance(row, dict)]
    return {
        "pokora.part": name,
        "pokora.base": job.config.base.weights,
        "pokora.attention": job.attention.value,
        "pokora.weights": ", ".join(f"{row['id']} x{row['weight']:g}" for row in rows),
        "pokora.licences": ", ".join(dict.fromkeys(f"{row['licence']} ({row['id']})" for row in rows)),
        "pokora.weights_sha256": text_hash([[row["id"], row["weight"], row["sha256"]] for row in rows]),
        "pokora.version": version("pokora_anime"),
    }


def card(job: ExportJob, told: list[Json], made: list[Made], folder: Path) -> dict[str, Json]:
    """The content of export.json; `folder` holds the parts."""
    config = job.config
    speed = asdict(config.speed) | {"sampler": config.speed.sampler.value}
    packages = ("torch", "diffusers", "transformers", *PACKAGES[job.format])
    parts: dict[str, Json] = {one.name: _part(one, folder) for one in made}
    return {
        "format": job.format.value,
        "made_by": f"pokora_anime {version('pokora_anime')}",
        "versions": {name: version(name) for name in packages},
        "base": config.base.weights,
        "family": config.base.family.value,
        "size": [config.base.width, config.base.height],
        "prompt": {"example": config.shot.prompt, "prefix": config.shot.prefix},
        "frames": config.motion.frames if "motion_unet" in job.parts else None,
        "attention": job.attention.value,
        "bits": job.bits,
        "speed": {
            name: speed[name] for name in ("name", "sampler", "steps", "guidance_scale", "lora_weight")
        },
        "parts": parts,
        "weights": told,
    }


def written(folder: Path, file: str) -> list[Path]:
    """The files of a part of an export: those in its package, or its graph and the weights beside it."""
    path = folder / file
    inside = sorted(path.rglob("*")) if path.is_dir() else sorted(path.parent.glob(f"{path.name}*"))
    return [one for one in inside if one.is_file()]


def size(folder: Path, file: str) -> int:
    """Bytes of a part."""
    return sum(one.stat().st_size for one in written(folder, file))


def _part(made: Made, folder: Path) -> dict[str, Json]:
    return {
        "file": made.file,
        "bytes": size(folder, made.file),
        "sha256": {one.relative_to(folder).as_posix(): file_hash(one) for one in written(folder, made.file)},
        "inputs": dict(made.inputs),
        "outputs": dict(made.outputs),
        "parameters": made.parameters,
        "compared": {
            "what": made.compared.what,
            "largest_difference": made.compared.largest,
            "allowed": made.compared.allowed,
        },
    }
