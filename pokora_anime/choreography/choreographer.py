"""The choreographer's networks: one reads the words, one poses a figure by its phase in a style."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import load_file, save_file  # pyright: ignore[reportUnknownVariableType]  # bare PathLike
from torch import Tensor, nn
from torch.nn import functional

from pokora_anime.choreography.action_words import MOST_WORDS, known_words, place_of, split
from pokora_anime.choreography.actions import NAMES, STYLES, together
from pokora_anime.choreography.skeleton import FACE, FEATURES

WIDTH, READ, BLOCKS, HARMONICS, PHRASE = 320, 128, 4, 5, 3
WEIGHTS, CONFIG = "model.safetensors", "config.json"


class Reader(nn.Module):
    """Words to actions (logits [B,A]) and to the logarithms of tempo and size [B,2]."""

    def __init__(self, words: Sequence[str]) -> None:
        super().__init__()
        self.known = {word: index + 2 for index, word in enumerate(words)}  # 0: nothing, 1: unknown
        self.words = nn.Embedding(len(words) + 2, READ)
        self.places = nn.Parameter(torch.randn(MOST_WORDS + 1, READ) * 0.02)
        layer = nn.TransformerEncoderLayer(
            READ, 4, 3 * READ, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.out = nn.Linear(2 * READ, len(NAMES) + 2)

    def tokens(self, texts: Sequence[str]) -> Tensor:
        """Numbers of words [B,W], W the most words of any plus one."""
        rows = [[1, *(self.known.get(word, 1) for word in split(text))] for text in texts]
        longest = max(len(row) for row in rows)
        return torch.tensor([row + [0] * (longest - len(row)) for row in rows])

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        there = (tokens > 0).unsqueeze(-1)
        hidden = self.words(tokens) + self.places[: tokens.shape[1]]
        hidden = self.layers(hidden, src_key_padding_mask=~there.squeeze(-1))
        most = hidden.masked_fill(~there, -1e4).amax(1)
        found = self.out(torch.cat([hidden[:, 0], most], -1))
        return found[:, : len(NAMES)], found[:, len(NAMES) :]


class Poser(nn.Module):
    """Poses [N,FEATURES] at phases (of the cycle and of the phrase) of actions done in a style."""

    def __init__(self) -> None:
        super().__init__()
        self.time = nn.Linear(2 * (HARMONICS + PHRASE), WIDTH)
        self.what = nn.Sequential(
            nn.Linear(len(NAMES) + STYLES + 2, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH), nn.SiLU()
        )
        self.tune = nn.ModuleList(nn.Linear(WIDTH, 2 * WIDTH) for _ in range(BLOCKS))
        self.first = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(BLOCKS))
        self.second = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(BLOCKS))
        self.out = nn.Linear(WIDTH, FEATURES)

    def forward(
        self, actions: Tensor, w: Tensor, bar: Tensor, begun: Tensor, size: Tensor, style: Tensor
    ) -> Tensor:
        """`actions` [N,A], the others [N] and `style` [N,STYLES]."""
        waves = [w * k for k in range(1, HARMONICS + 1)] + [bar * k for k in range(1, PHRASE + 1)]
        angles = torch.stack(waves, -1)
        hidden = self.time(torch.cat([angles.sin(), angles.cos()], -1))
        what = self.what(torch.cat([actions, style, begun[:, None], size[:, None]], -1))
        for tune, first, second in zip(self.tune, self.first, self.second, strict=True):
            scale, shift = tune(what).chunk(2, -1)
            inner = functional.layer_norm(hidden, (WIDTH,)) * (1 + scale) + shift
            hidden = hidden + second(functional.silu(first(inner)))
        return self.out(hidden)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What words ask for: a 0/1 [A] of actions, and factors of tempo and size."""

    actions: Tensor
    tempo: float
    size: float

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, on in zip(NAMES, self.actions, strict=True) if float(on))


class Choreographer(nn.Module):
    """Both networks; `words` is the vocabulary that the weights were trained with."""

    def __init__(self, words: Sequence[str] | None = None) -> None:
        super().__init__()
        self.vocabulary = tuple(words or known_words())
        self.reader, self.poser = Reader(self.vocabulary), Poser()

    @torch.no_grad()
    def read(self, text: str) -> Meaning:
        """What a prompt asks for; without an action idling, of contradicting ones the first one named."""
        logits, how = self.reader(self.reader.tokens([text]))
        scores = logits[0].tolist()
        found = [name for name, score in zip(NAMES, scores, strict=True) if score > 0]
        found.sort(key=lambda name: (place_of(name, text), -scores[NAMES.index(name)]))
        kept = {name for name in together(tuple(found)) if name in found} or {"standing"}
        actions = torch.tensor([float(name in kept) for name in NAMES])
        tempo, size = how[0].clamp(-0.9, 0.6).exp().tolist()
        return Meaning(actions, float(tempo), float(size))

    def save(self, folder: Path) -> None:
        """fp16 weights and the vocabulary."""
        folder.mkdir(parents=True, exist_ok=True)
        state = {name: tensor.detach().half().contiguous() for name, tensor in self.state_dict().items()}
        save_file(state, folder / WEIGHTS)
        config = {"actions": list(NAMES), "words": list(self.vocabulary)}
        (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Choreographer:
        """From a folder, in fp32. Raises OSError where it is not there."""
        config = cast(dict[str, list[str]], json.loads((folder / CONFIG).read_text()))
        model = cls(config["words"])
        model.load_state_dict({name: t.float() for name, t in load_file(folder / WEIGHTS).items()})
        return model.eval().requires_grad_(False)


def face_shown(poses: Tensor) -> Tensor:
    """Poses with the logits of the face as shares."""
    return torch.cat([poses[:, : -len(FACE)], poses[:, -len(FACE) :].sigmoid()], -1)
