"""Networks of others that finish a clip, with random weights, as they are published and on a loopback hub."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save, save_file

from pokora_anime.catalogue import registry
from pokora_anime.catalogue.hub.fetch_models import fetch
from pokora_anime.catalogue.registry_row import Row
from pokora_anime.networks.finishing import rife
from pokora_anime.schema.settings import Family
from support.hub_server import Hub, Repository, reach, serving

RIFE, SMALL, LARGE = "rife-4.25", "realesr-animevideov3", "realesrgan-x4plus-anime-6b"


def compact(scale: int = 4) -> dict[str, torch.Tensor]:
    """SRVGGNet as Real-ESRGAN publishes it for anime videos: two layers of four features."""
    torch.manual_seed(0)
    shapes = [(4, 3), (4, 4), (4, 4), (3 * scale * scale, 4)]
    state: dict[str, torch.Tensor] = {}
    for index, (out, into) in enumerate(shapes):
        state[f"body.{2 * index}.weight"] = torch.randn(out, into, 3, 3) * 0.15
        state[f"body.{2 * index}.bias"] = torch.full((out,), 0.1)
        if index < len(shapes) - 1:
            state[f"body.{2 * index + 1}.weight"] = torch.full((out,), 0.2)
    return state


def blocks() -> dict[str, torch.Tensor]:
    """RRDBNet as Real-ESRGAN publishes it for anime pictures: two blocks of four features, 4x."""
    torch.manual_seed(1)
    widths = {"conv_first": (4, 3), "conv_body": (4, 4), "conv_up1": (4, 4), "conv_up2": (4, 4)}
    widths |= {"conv_hr": (4, 4), "conv_last": (3, 4)}
    for block in range(2):
        for dense in range(1, 4):
            for layer in range(1, 6):
                out = 4 if layer == 5 else 32
                widths[f"body.{block}.rdb{dense}.conv{layer}"] = (out, 4 + 32 * (layer - 1))
    state: dict[str, torch.Tensor] = {}
    for name, (out, into) in widths.items():
        state[f"{name}.weight"] = torch.randn(out, into, 3, 3) * 0.1
        state[f"{name}.bias"] = torch.full((out,), 0.1)
    return state


def interpolator() -> dict[str, torch.Tensor]:
    """RIFE 4.25 as it is published, its blocks counted as a list; flows of some pixels, no more."""
    torch.manual_seed(2)
    network: Any = rife._networks().IFNet()
    state = {name: value * 0.5 for name, value in network.state_dict().items()}
    return {re.sub(r"^block(\d)", r"blocks.\1", name): value for name, value in state.items()}


@contextmanager
def published(monkeypatch: pytest.MonkeyPatch, root: Path) -> Iterator[Callable[[str, Any], Row]]:
    """Publishes what a row names and returns the row that names it; `root` keeps what is fetched."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(root / "memory"))
    monkeypatch.setenv("POKORA_DATA", str(root / "data"))
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", str(root / "hub"))
    monkeypatch.setattr(Row, "plain", property(lambda row: row.repo.startswith("http")))
    with serving(Hub()) as hub:
        reach(monkeypatch, hub.url)

        def publish(identifier: str, content: Any) -> Row:
            row = registry.any_row(identifier)
            (name,) = row.published
            data = _bytes(name, content)
            sha256 = {name: hashlib.sha256(data).hexdigest()}
            if row.plain:
                hub.plain[f"/{identifier}/{name}"] = data
                row = replace(row, repo=f"{hub.url}/{identifier}", sha256=sha256)
            else:
                hub.repositories[row.repo] = Repository({f"{row.folder}/{name}": data})
                commit = hub.repositories[row.repo].commit
                row = replace(row, revision=commit, sha256=sha256, sizes={})
            rows = tuple(row if one.id == row.id else one for one in registry.shipped())
            monkeypatch.setattr(registry, "shipped", lambda: rows)
            return row

        yield publish


def fetched(row: Row) -> Path:
    """The folder of a row, fetched by the hub's real client."""
    (folder,) = fetch([row], Family.nano, report=lambda line: None)
    return folder


def stored(folder: Path, identifier: str, state: dict[str, torch.Tensor]) -> tuple[Row, Path]:
    """A row and a folder that holds what a run loads of it, without the way there."""
    row = registry.any_row(identifier)
    save_file({name: value.contiguous() for name, value in state.items()}, folder / row.files[0])
    return row, folder


def _bytes(name: str, content: Any) -> bytes:
    if name.endswith(".safetensors"):
        return save({key: value.contiguous() for key, value in content.items()})
    file = BytesIO()
    torch.save(content, file)
    return file.getvalue()
