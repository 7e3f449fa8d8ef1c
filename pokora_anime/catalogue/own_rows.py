"""The user's own registry rows: LoRAs and bases that were added on this machine, and those that a bundle
states while it is judged. Torch-free."""

from __future__ import annotations

import re
from collections.abc import Collection, Generator, Iterable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import cast

import yaml

from pokora_anime.catalogue.registry_row import Kind, Row, Status, parse
from pokora_anime.errors import ConfigError
from pokora_anime.provenance.hashing import Json
from pokora_anime.schema.settings import Family
from pokora_anime.system.files.user_folder import data_folder

_TOKENIZER = ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json")
BASE_PARTS = (  # every file of a converted base, relative to its folder
    "model_index.json",
    "scheduler/scheduler_config.json",
    *(f"tokenizer/{name}" for name in _TOKENIZER),
    *(f"tokenizer_2/{name}" for name in _TOKENIZER),
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "text_encoder_2/config.json",
    "text_encoder_2/model.safetensors",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
)


def _check_base(row: Row) -> str:
    """Why a user's row of a base is none that `pokora models add` writes; "" where it is."""
    if set(row.published) != set(BASE_PARTS) or set(row.sha256) != set(BASE_PARTS):
        return f"{row.id} is no base of {len(BASE_PARTS)} hashed files"
    if row.families != (Family.sdxl,):
        return f"{row.id} is a base of another family than sdxl"
    return ""


ID = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
CHARACTER = "character"
SLOTS = (CHARACTER, "aesthetic")
CARDS = ("data-card.md", "data-card.json")  # beside a LoRA that was trained here: what it was shown
STYLE = "style.json"  # and how good it was
LORA_REASON = "an own LoRA: base, licence and data are as its owner states"
_KINDS = (Kind.style_lora, Kind.motion_lora, Kind.base)


def path() -> Path:
    """The user's registry."""
    return data_folder() / "models.yaml"


_STATED: ContextVar[tuple[Row, ...]] = ContextVar("stated", default=())
_CARRIED: ContextVar[Path | None] = ContextVar("carried", default=None)


@contextmanager
def stated(found: Iterable[Row], carried: Path | None = None) -> Generator[None]:
    """Within, these rows are the user's too, in the place of rows of the same id or slot; those whose file
    lies in the folder `carried` are loaded from there."""
    tokens = _STATED.set(tuple(found)), _CARRIED.set(carried)
    try:
        yield
    finally:
        _STATED.reset(tokens[0])
        _CARRIED.reset(tokens[1])


def rows() -> tuple[Row, ...]:
    """The user's rows, and before them those that are stated.

    None where there is no file. Raises ConfigError CFG-OWN for a file that is no registry.
    """
    told, mine = _STATED.get(), _registered()
    return (*told, *(row for row in mine if not any(_rivals(row, one) for one in told)))


def _rivals(row: Row, other: Row) -> bool:
    same_slot = row.role == other.role and set(row.families) & set(other.families)
    return row.id == other.id or bool(same_slot)


def _registered() -> tuple[Row, ...]:
    file = path()
    try:
        stat = file.stat()
        return _rows(file, stat.st_mtime_ns, stat.st_size)
    except OSError:
        return ()


@lru_cache(maxsize=4)
def _rows(file: Path, _changed: int, _size: int) -> tuple[Row, ...]:
    try:
        found = tuple(parse(entry) for entry in yaml.safe_load(file.read_text(encoding="utf-8")) or ())
    except (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise _no_registry(file, " ".join(str(error).split())[:120]) from error
    for row in found:
        if not row.own or row.id != row.repo.removeprefix("own:") or not ID.fullmatch(row.id):
            raise _no_registry(file, f"{row.id} is no own LoRA or base")
        if row.kind is Kind.base and (why := _check_base(row)):
            raise _no_registry(file, why)
        if why := _check_lora(row) if row.kind is not Kind.base else _check_claims(row):
            raise _no_registry(file, why)
    return tuple(sorted(found, key=lambda row: bool(row.version_of)))  # so that the newest fills a slot


def _version(row: Row) -> bool:
    """Whether a row is what a training leaves as a version."""
    named = re.fullmatch(rf"{re.escape(row.version_of)}-v[1-9]\d{{0,2}}", row.id)
    return bool(named and ID.fullmatch(row.version_of)) and row.kind is not Kind.base


def _check_lora(row: Row) -> str:
    """Why a user's row of a LoRA is none that `pokora models add` writes; "" where it is."""
    if row.kind not in _KINDS or row.unpinned or len(row.files) != 1:
        return f"{row.id} is no LoRA of one hashed file"
    if row.version_of and not _version(row):
        return f"{row.id} is no version of {row.version_of[:60]}"
    return _check_claims(row)


def _check_claims(row: Row) -> str:
    """Why a user's row claims what is not a user's to give; "" where it does not."""
    roles = (*SLOTS, row.id) if row.kind is Kind.style_lora else (f"own:{row.id}",)
    if row.role not in roles or row.aliases or row.status is not Status.review:
        return f"{row.id} has a role, a name or a status that is not a user's to give"
    return ""


def lora_entry(row: Row) -> dict[str, Json]:
    """The entry of a LoRA in the user's registry."""
    files: dict[str, Json] = {
        name: {"size": row.sizes[name], "sha256": row.sha256[name]} for name in row.published
    }
    told = {"data_set": row.data_set, "version_of": row.version_of}
    known: dict[str, Json] = {name: text for name, text in told.items() if text}
    return {
        "id": row.id,
        "kind": row.kind.value,
        "role": row.role,
        "families": [family.value for family in row.families],
        "repo": row.repo,
        "files": files,
        "licence": row.licence,
        "citation": [*row.citation],
        "status": row.status.value,
        "reason": row.reason,
        "data_statement": row.data_statement,
        "author": row.author,
        "title": row.title,
        "page": row.page,
        **known,
    }


def read_lora(entry: Mapping[str, Json]) -> Row:
    """The row of an entry of a LoRA. Raises ValueError, TypeError, KeyError or AttributeError for another."""
    row = parse(entry)
    words = (row.author, row.title, row.page, row.reason, row.data_statement, row.data_set, row.version_of)
    # Nothing has looked at them yet: the JSON of a stranger may hold numbers.
    texts = cast("tuple[object, ...]", (row.id, row.role, row.repo, row.licence, *words))
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("a text that is none")
    if row.repo != f"own:{row.id}" or not ID.fullmatch(row.id) or row.files != (f"{row.id}.safetensors",):
        raise ValueError(f"{row.id} is no own LoRA")
    if why := "a base" if row.kind is Kind.base else _check_lora(row):
        raise ValueError(why)
    if len(row.families) != 1 or row.citation or row.reason != LORA_REASON or lora_entry(row) != dict(entry):
        raise ValueError(f"{row.id} says more or less than an own LoRA does")
    return row


def refuse_names(found: tuple[Row, ...], taken: Collection[str]) -> None:
    """Raise ConfigError CFG-OWN if a user's row answers to a name of the shipped registry."""
    clash = next((row.id for row in found if row.id in taken), None)
    if clash is not None:
        raise _no_registry(path(), f"{clash} is a name of the shipped registry")


def folder_of(row: Row) -> Path:
    """Where a user's weights lie."""
    carried = _CARRIED.get()
    if carried is not None and row in _STATED.get() and (carried / row.files[0]).is_file():
        return carried
    return data_folder() / ("bases" if row.kind is Kind.base else "loras") / row.id


def _no_registry(file: Path, why: str) -> ConfigError:
    return ConfigError(
        "CFG-OWN",
        f"{file}: {why}",
        expected="what `pokora models add` writes",
        fix="mend it, or delete it and add your weights again",
    )
