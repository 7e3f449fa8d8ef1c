"""The published ONNX taggers of drawings: model.onnx beside selected_tags.csv, run by onnxruntime.
Torch-free.

The layout is that of SmilingWolf's wd-v1-4-* and wd-*-tagger-v3 (Apache-2.0): pictures [1, side, side, 3] as
BGR of 0 to 255 on a white square, probabilities [1, tags] in the order of the table's rows.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pictures

from pokora_anime.catalogue.licences import LICENCES, open_ids
from pokora_anime.catalogue.registry_row import Kind, Row, Status
from pokora_anime.errors import DataError
from pokora_anime.schema.settings import Family
from pokora_anime.untrusted.png_pictures import Image

MODEL, TABLE = "model.onnx", "selected_tags.csv"
GENERAL = (
    "0"  # category of what a picture shows; 4 are known characters, 9 ratings: no caption for a training
)
THRESHOLD = 0.35
LICENCE = {"SmilingWolf": "Apache-2.0"}  # by owner; of others the page says it
EXTRA = "pip install 'pokora_anime[tagger]'"
MOST_TABLE = 16 * 2**20  # bytes
# Faces made of signs, whose underscores are no spaces.
_FACES = frozenset(
    "0_0 (o)_(o) +_+ +_- ._. <o>_<o> <|>_<|> =_= >_< 3_3 6_9 >_o @_@ ^_^ o_o u_u x_x |_| ||_||".split()
)


class _Input(Protocol):
    name: str
    shape: Sequence[int | str]


class _Session(Protocol):
    """A session of onnxruntime."""

    def get_inputs(self) -> Sequence[_Input]: ...
    def run(self, names: None, feed: dict[str, NDArray[np.float32]]) -> Sequence[NDArray[np.float32]]: ...


@dataclass(slots=True, kw_only=True)
class WdTagger:
    """One tagger; `words` are the general tags by their place in its answer."""

    name: str
    session: _Session
    words: dict[int, str]
    threshold: float = THRESHOLD

    def tags(self, rgb: Image) -> Sequence[tuple[str, float]]:
        """The surest first."""
        given = self.session.get_inputs()[0]
        side = given.shape[1]
        shares = self.session.run(None, {given.name: squared(rgb, int(side))})[0][0]
        if len(shares) <= max(self.words):
            raise _no_tagger(self.name, f"{len(shares)} probabilities for {max(self.words) + 1} tags")
        found = [(word, float(shares[place])) for place, word in self.words.items()]
        return sorted(found, key=lambda one: -one[1])


def squared(rgb: Image, side: int) -> NDArray[np.float32]:
    """A picture as these networks take it: on a white square, BGR of 0 to 255, float32 [1, side, side, 3]."""
    height, width = rgb.shape[:2]
    longest = max(height, width)
    square = Pictures.new("RGB", (longest, longest), (255, 255, 255))
    square.paste(
        Pictures.fromarray(np.ascontiguousarray(rgb)), ((longest - width) // 2, (longest - height) // 2)
    )
    if longest != side:
        square = square.resize((side, side), Pictures.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(square, np.float32)[None, ..., ::-1])


def in_folder(folder: Path, name: str = "") -> WdTagger:
    """The tagger of a folder. Raises DataError DAT-TAGGER for a folder that holds none, or no onnxruntime."""
    runtime = _runtime()
    name = name or folder.name
    if not (folder / MODEL).is_file() or not (folder / TABLE).is_file():
        raise _no_tagger(str(folder), f"no {MODEL} beside a {TABLE}")
    words = _words(folder / TABLE, name)
    try:
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1  # the same probabilities on every machine with as many cores
        session = runtime.InferenceSession(
            str(folder / MODEL), sess_options=options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its errors have no common class but this
        raise _no_tagger(name, f"{MODEL} cannot be loaded: {' '.join(str(error).split())[:120]}") from error
    session = cast(_Session, session)
    shape = list(session.get_inputs()[0].shape)
    if len(shape) != 4 or not isinstance(shape[1], int) or shape[1:] != [shape[1], shape[1], 3]:
        raise _no_tagger(name, f"it takes {shape}")
    return WdTagger(name=name, session=session, words=words)


def fetched(repo: str) -> WdTagger:
    """The tagger of a repository on the hub: fetched where it is not here, checked and locked as weights are.

    Raises DataError DAT-TAGGER, and what `pokora models fetch` raises.
    """
    from pokora_anime.catalogue import lockfile
    from pokora_anime.catalogue.hub import fetch_models

    _runtime()
    row = _pinned(_row(repo))
    (folder,) = fetch_models.fetch([row], Family.nano)
    locked = lockfile.entry(row)
    return in_folder(folder, f"{repo}@{locked.revision[:12]}" if locked is not None else repo)


def _row(repo: str) -> Row:
    owner, _, name = repo.partition("/")
    return Row(
        id=f"tagger-{owner}-{name}".lower(),
        kind=Kind.scorer,
        role=f"tagger {repo}",
        families=(Family.nano,),
        repo=repo,
        published=(MODEL, TABLE),
        files=(MODEL, TABLE),
        licence=LICENCE.get(owner) or _licence_on_its_page(repo),
        citation=(),
        status=Status.allowed,
    )


def _pinned(row: Row) -> Row:
    """With the sha256 of its graph: as locked when it was first fetched, else as the hub announces it."""
    from pokora_anime.catalogue import lockfile
    from pokora_anime.catalogue.hub import hub_client

    locked = lockfile.entry(row)
    if locked is not None and MODEL in locked.files:
        return replace(row, sha256={MODEL: locked.files[MODEL].sha256})
    announced = {
        file.name: file.digest for file in hub_client.listing(row).files if file.algorithm == "sha256"
    }
    if MODEL not in announced:
        raise _no_tagger(row.repo, f"the hub announces no sha256 of {MODEL}")
    return replace(row, sha256={MODEL: announced[MODEL]})


def _licence_on_its_page(repo: str) -> str:
    from huggingface_hub import HfApi, constants

    from pokora_anime.catalogue.hub.hub_client import TIMEOUT

    told = ""
    try:
        card = HfApi(endpoint=constants.ENDPOINT).model_info(repo, timeout=TIMEOUT).card_data
        told = str(getattr(card, "license", None) or "")
    except Exception as error:  # the client's many failures; without its page there is no licence
        told = f"unread ({type(error).__name__})"
    found = next((name for name in LICENCES if name.lower() == told.lower()), "")
    if found in open_ids():
        return found
    raise DataError(
        "DAT-TAGGER",
        f"--tagger {repo}, whose page states {f'the licence {told}' if told else 'no licence'}",
        expected="a tagger under a free licence",
        fix=f"--tagger wd-vit-tagger-v3, or fetch it yourself and name its folder ({MODEL}, {TABLE})",
    )


class _Runtime(Protocol):
    SessionOptions: type
    InferenceSession: type


def _runtime() -> _Runtime:
    try:
        import onnxruntime  # pyright: ignore[reportMissingImports]  # an extra
    except ImportError as error:
        raise DataError(
            "DAT-TAGGER",
            "onnxruntime is not installed, which published taggers run on",
            fix=f"{EXTRA}, or --tagger probe, which needs nothing",
        ) from error
    return cast(_Runtime, onnxruntime)


def _words(table: Path, name: str) -> dict[int, str]:
    try:
        if table.stat().st_size > MOST_TABLE:
            raise ValueError(f"{table.stat().st_size} bytes")
        with table.open(encoding="utf-8-sig", newline="") as handle:
            rows = list(csv.DictReader(handle))
        words = {
            place: _spoken(row["name"])
            for place, row in enumerate(rows)
            if row["category"].strip() == GENERAL
        }
    except (OSError, ValueError, KeyError, AttributeError, csv.Error) as error:
        raise _no_tagger(name, f"{TABLE} is no table with the columns name and category") from error
    if not words:
        raise _no_tagger(name, f"{TABLE} names no tag of category {GENERAL}")
    return words


def _spoken(tag: str) -> str:
    plain = "".join(sign for sign in tag if sign.isprintable() and sign != ",").strip()
    return plain if plain in _FACES else plain.replace("_", " ")


def _no_tagger(name: str, why: str) -> DataError:
    return DataError(
        "DAT-TAGGER",
        f"{name} is no tagger that can be used: {why}",
        expected=f"{MODEL} of [1, side, side, 3] and {TABLE}, as SmilingWolf publishes them",
        fix="--tagger wd-vit-tagger-v3, or --tagger probe",
    )
