"""The text encoders, taught to name every attribute of a caption."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from pokora_anime.nano import family
from pokora_anime.nano.recipe import Training
from pokora_anime.nano.train.training_loop import Dice, Place, train, write_record
from pokora_anime.nano.world.caption import caption_with_labels
from pokora_anime.nano.world.scene import sample_scene
from pokora_anime.nano.world.vocabulary import ATTRIBUTES

NAMES = tuple(ATTRIBUTES)
SIZES = tuple(len(ATTRIBUTES[name]) + 1 for name in NAMES)  # the last class: not mentioned
HELD_OUT = 1024


@dataclass(slots=True)
class TextEncoders:
    """Tokenizer and both encoders, as SDXL uses them."""

    tokenizer: CLIPTokenizer
    first: CLIPTextModel
    second: CLIPTextModelWithProjection

    def tokens(self, captions: list[str]) -> Tensor:
        """Token ids [B,77]."""
        return self.tokenizer(
            captions, padding="max_length", max_length=77, truncation=True, return_tensors="pt"
        ).input_ids

    def encode(self, captions: list[str]) -> tuple[Tensor, Tensor]:
        """Context [B,77,256] and pooled [B,128]."""
        ids = self.tokens(captions).to(self.first.device)
        one = self.first(ids, output_hidden_states=True)
        two = self.second(ids, output_hidden_states=True)
        context = torch.cat([one.hidden_states[-2], two.hidden_states[-2]], -1)
        return context, two.text_embeds

    def frozen(self, place: Place) -> TextEncoders:
        self.first.to(place.device).eval().requires_grad_(False)
        self.second.to(place.device).eval().requires_grad_(False)
        return self


def build() -> TextEncoders:
    """Random encoders; the caller seeds torch."""
    tokenizer = family.make_tokenizer()
    return TextEncoders(tokenizer, family.make_text_encoder(tokenizer), family.make_text_encoder_2(tokenizer))


def load(place: Place) -> TextEncoders:
    """The trained encoders from the work folder, frozen."""
    root = place.family
    return TextEncoders(
        CLIPTokenizer.from_pretrained(root / "tokenizer"),
        CLIPTextModel.from_pretrained(root / "text_encoder", dtype=torch.float32),
        CLIPTextModelWithProjection.from_pretrained(root / "text_encoder_2", dtype=torch.float32),
    ).frozen(place)


class _Heads(nn.Module):
    """Attribute logits from the pooled embedding and from the mean context."""

    def __init__(self) -> None:
        super().__init__()
        self.pooled = nn.Linear(family.TEXT_WIDTH, sum(SIZES))
        self.context = nn.Linear(family.CONTEXT_WIDTH, sum(SIZES))

    def forward(self, context: Tensor, pooled: Tensor) -> tuple[Tensor, Tensor]:
        return self.pooled(pooled), self.context(context.mean(1))


def draw_captions(rng: np.random.Generator, count: int) -> tuple[list[str], Tensor]:
    """Captions of random scenes, one in twenty empty, and labels [count,11]."""
    captions: list[str] = []
    labels: list[list[int]] = []
    for _ in range(count):
        text, found = caption_with_labels(sample_scene(rng), rng)
        if rng.random() < 0.05:
            text, found = "", dict.fromkeys(NAMES, -1)
        captions.append(text)
        labels.append([found[n] if found[n] >= 0 else s - 1 for n, s in zip(NAMES, SIZES, strict=True)])
    return captions, torch.tensor(labels)


def train_text(training: Training, place: Place) -> None:
    """Trains both encoders and writes them with their tokenizers."""
    torch.manual_seed(place.seed)
    encoders, heads = build(), _Heads()
    model = nn.ModuleDict({"first": encoders.first, "second": encoders.second, "heads": heads})
    model.to(place.device)

    def loss_of(dice: Dice) -> Tensor:
        captions, labels = draw_captions(dice.numpy, training.batch)
        context, pooled = encoders.encode(captions)
        labels = labels.to(place.device)
        # A gentle pull to unit scale keeps what cross attention reads in a handy range.
        scale = 0.02 * (context.float().square().mean() - 1).square()
        return sum((_loss(logits, labels) for logits in heads(context, pooled)), scale)

    progress = train("text", training, list(model.named_parameters()), loss_of, place)
    scores = _accuracy(encoders, heads, place)
    print(f"text: held-out accuracy {scores}", flush=True)
    root = place.family
    encoders.first.save_pretrained(root / "text_encoder")
    encoders.second.save_pretrained(root / "text_encoder_2")
    encoders.tokenizer.save_pretrained(root / "tokenizer")
    encoders.tokenizer.save_pretrained(root / "tokenizer_2")
    for folder in ("text_encoder", "text_encoder_2"):
        write_record("text", training, progress, place, scores, folder)


def _loss(logits: Tensor, labels: Tensor) -> Tensor:
    parts = logits.float().split(SIZES, -1)
    return torch.stack([functional.cross_entropy(p, labels[:, i]) for i, p in enumerate(parts)]).mean()


@torch.no_grad()
def _accuracy(encoders: TextEncoders, heads: _Heads, place: Place) -> dict[str, float]:
    """Share of right attributes in new captions, from each of the two outputs."""
    rng = np.random.default_rng((place.seed, 99))
    right = np.zeros(2)
    worst = np.zeros((2, len(NAMES)))
    for _ in range(HELD_OUT // 64):
        captions, labels = draw_captions(rng, 64)
        for k, logits in enumerate(heads(*encoders.encode(captions))):
            found = torch.stack([p.argmax(-1) for p in logits.split(SIZES, -1)], -1).cpu()
            worst[k] += (found == labels).float().mean(0).numpy() / (HELD_OUT // 64)
    right = worst.mean(1)
    return {
        "accuracy_pooled": float(right[0]),
        "accuracy_context": float(right[1]),
        "worst_attribute": float(worst.min()),
    }
