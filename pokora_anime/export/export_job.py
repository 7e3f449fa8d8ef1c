"""What is exported: which parts of which base, in which format and form, and what it takes. Torch-free."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from importlib.util import find_spec
from math import prod
from pathlib import Path

from pokora_anime.catalogue import needed_weights, registry
from pokora_anime.catalogue.checkpoint import tensor_header
from pokora_anime.catalogue.registry import Row
from pokora_anime.catalogue.weight_hashes import files
from pokora_anime.catalogue.weights_advice import absent, refuse_blocked, usable_kinds
from pokora_anime.config.compose import compose_video
from pokora_anime.errors import ConfigError, MachineError
from pokora_anime.schema.settings import Family, VideoConfig
from pokora_anime.system.did_you_mean import nearest
from pokora_anime.system.files.user_folder import amount, free_space

CONTROLNET = "controlnet"  # in short for all of a base's
READ = ("base", "speed", "style", "motion")  # sections of the config that an export depends on
_AROUND = 5_000_000  # bytes of tokenizers, schedulers and graphs beside the weights


class Format(Enum):
    """What reads the parts."""

    onnx = "onnx"
    coreml = "coreml"


class Attention(Enum):
    """How the attention is written in the graph: as diffusers writes it, or head by head."""

    original = "original"
    split_einsum = "split_einsum"


# Packages of the extra that each format takes, by the name under which they are imported.
PACKAGES: Mapping[Format, tuple[str, ...]] = {
    Format.onnx: ("onnx", "onnxscript", "onnxruntime"),
    Format.coreml: ("coremltools",),
}
# Bits of a weight in each format, the default first.
BITS: Mapping[Format, tuple[int, ...]] = {Format.onnx: (32,), Format.coreml: (16, 8, 6)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportJob:
    """One export. `config` holds base, speed and styles; `run`: Core ML computes the parts too; `swift`: a
    Swift package is made around them;
    `folders` overrides by row id where weights lie.
    """

    config: VideoConfig
    format: Format
    parts: tuple[str, ...]
    attention: Attention = Attention.original
    bits: int = 16
    run: bool = False
    swift: bool = False
    folders: Mapping[str, Path] = field(default_factory=dict[str, Path])

    @property
    def family(self) -> Family:
        """The base's family."""
        return self.config.base.family

    @property
    def rows(self) -> list[Row]:
        """The rows of the registry that it is made of, the base first."""
        config, family = self.config, self.family
        wanted = needed_weights.base_rows(config.base)
        speed = needed_weights.speed_row(config.speed, family)
        wanted += [speed] if speed is not None else []
        wanted += [row for row, _ in needed_weights.style_rows(config.style.loras, family)[0]]
        if "motion_unet" in self.parts:
            wanted.append(registry.get(config.base.motion_adapter, family))
            camera = needed_weights.motion_lora_row(config.motion, config.base)
            wanted += [] if camera is None else [camera]
        wanted += [registry.resolve(name, family) for name in self.parts if name.startswith("controlnet_")]
        return list({row.id: row for row in wanted}.values())

    def place(self, row: Row) -> Path | None:
        """The folder of a row's files; None where they are not here."""
        return self.folders.get(row.id) or needed_weights.locate(row)


def part_names(family: Family) -> tuple[str, ...]:
    """The parts that a base has, in the order in which a picture is drawn."""
    second = () if family is Family.sd2 else ("text_encoder_2",)
    controls = tuple(f"controlnet_{kind.value}" for kind in usable_kinds(family))
    return "text_encoder", *second, "unet", "motion_unet", "vae_decoder", *controls


def still_parts(family: Family) -> tuple[str, ...]:
    """The parts that a still takes."""
    return tuple(name for name in part_names(family) if not name.startswith(("motion", CONTROLNET)))


def chosen_parts(text: str, family: Family) -> tuple[str, ...]:
    """The parts that are typed, each once and in order; ConfigError CFG-EXPORT for an unknown one."""
    known = part_names(family)
    if not text:
        return still_parts(family)
    wanted: set[str] = set()
    for name in filter(None, (one.strip() for one in text.split(","))):
        if name == "all":
            wanted |= set(known)
        elif name == CONTROLNET:
            wanted |= {one for one in known if one.startswith(CONTROLNET)}
        elif name in known:
            wanted.add(name)
        else:
            close = nearest(name, known)
            raise ConfigError(
                "CFG-EXPORT",
                f"base={family.value} has no part {name!r}",
                expected=f"names out of {', '.join(known)}, {CONTROLNET}, all",
                fix=f"--parts {close or ','.join(still_parts(family))}",
            )
    if not wanted:
        raise ConfigError(
            "CFG-EXPORT",
            f"--parts {text!r} names nothing",
            expected=f"names out of {', '.join(known)}, {CONTROLNET}, all",
            fix=f"--parts {','.join(still_parts(family))}",
        )
    return tuple(name for name in known if name in wanted)


def require_still(parts: Sequence[str], family: Family) -> None:
    """Raise ConfigError CFG-EXPORT unless an app can draw with the parts: those of a still alone.

    A UNet beside ControlNets wants their residuals, which the app has none of.
    """
    wanted = still_parts(family)
    if tuple(parts) != wanted:
        raise ConfigError(
            "CFG-EXPORT",
            f"a Swift package with {','.join(parts)}",
            expected=f"the parts of a still: {','.join(wanted)}",
            fix="leave --parts out",
        )


def composed(base: str, words: Sequence[str]) -> VideoConfig:
    """The base with its speed and styles; ConfigError CFG-EXPORT for a key that no part depends on."""
    for word in words:
        key = word.lstrip("+~").partition("=")[0]
        if "=" not in word or key.partition(".")[0] not in READ:
            raise ConfigError(
                "CFG-EXPORT",
                f"an export does not read {word!r}",
                expected=f"keys of {', '.join(READ)}, such as style=none speed=lcm base.width=512",
                fix="leave it out: prompts and seeds are the app's",
            )
        if key == "base":
            raise ConfigError(
                "CFG-EXPORT", f"{word} and --base", expected="one base", fix=f"--base {word[5:]}"
            )
    return compose_video([f"base={base}", *words])


def require_extra(format: Format) -> None:
    """Raise MachineError SYS-EXTRA where a package that the format takes is not installed."""
    lacking = [name for name in PACKAGES[format] if find_spec(name) is None]
    if lacking:
        raise MachineError(
            "SYS-EXTRA",
            f"an export to {format.value} without the package{'s' if len(lacking) > 1 else ''} "
            f"{' and '.join(lacking)}",
            expected="them in this environment: the base install leaves them out",
            fix=f"`pip install {' '.join(PACKAGES[format])}`",
        )


def require_macos(platform: str = sys.platform) -> None:
    """Raise MachineError SYS-MACOS where Core ML cannot compute."""
    if platform != "darwin":
        raise MachineError(
            "SYS-MACOS",
            f"Core ML computes on macOS alone, and this is {platform}",
            expected="an export without --run: every weight is read back and compared on any system",
            fix="leave --run out, or type the same command on a Mac",
        )


def require_weights(job: ExportJob) -> None:
    """Raise WeightsError WGT-MISSING or WGT-BLOCKED unless all that the parts are made of is here."""
    wanted = job.rows
    for row in wanted:
        refuse_blocked(row, job.family)
    lacking = [row for row in wanted if job.place(row) is None]
    if lacking:
        raise absent(lacking, wanted, job.family)


def require_room(job: ExportJob, folder: Path) -> None:
    """Raise MachineError SYS-DISK where the export does not fit on the disk of `folder`."""
    need, free = needed(job), free_space(folder)
    if free < need:
        raise MachineError(
            "SYS-DISK",
            f"the export does not fit: {amount(free)} free in {folder}",
            expected=f"{amount(need)} while it is made",
            fix="free some space, fewer --parts, or --out DIR on another disk",
        )


def needed(job: ExportJob) -> int:
    """Bytes that an export takes while it is made: the parts, and a copy of the largest one."""
    counts = [parameters(job, name) for name in job.parts]
    if job.format is Format.onnx:
        return _AROUND + 4 * sum(counts) + 4 * max(counts)
    return _AROUND + sum(count * job.bits // 8 for count in counts) + 4 * max(counts)


def parameters(job: ExportJob, part: str) -> int:
    """Numbers that a part holds, counted from its files' headers."""
    config, family = job.config, job.family
    base = registry.get(config.base.weights, family)
    if part.startswith(CONTROLNET):
        return _counted(job, registry.resolve(part, family), "")
    if part == "vae_decoder" and config.base.vae:
        return _counted(job, registry.get(config.base.vae, family), "")
    if part == "motion_unet":
        adapter = registry.get(config.base.motion_adapter, family)
        return _counted(job, base, "unet/") + _counted(job, adapter, "")
    return _counted(job, base, {"vae_decoder": "vae/"}.get(part, f"{part}/"))


def _counted(job: ExportJob, row: Row, prefix: str) -> int:
    folder = job.place(row)
    present = [] if folder is None else files(folder, row.files) or []
    weights = [path for path in present if path.suffix == ".safetensors"]
    if folder is not None:
        weights = [path for path in weights if path.relative_to(folder).as_posix().startswith(prefix)]
    return sum(prod(shape) for path in weights for shape in tensor_header.read(path).shapes.values())
