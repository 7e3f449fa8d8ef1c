"""Which tagger a word names: nano's probe, a published one, or one in a folder. Nothing is loaded or fetched
before a picture needs it. Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pokora_anime.errors import DataError
from pokora_anime.untrusted.png_pictures import Image

PROBE = "probe"
OWNER = "SmilingWolf"  # of a name without one
MOST_TAGS = 40  # of a caption: what a text encoder reads at once
OFTEN = 0.8  # share of the pictures, from which on a tag is what they have in common
PLAIN = ("1girl", "solo")  # of them all, and nothing that a training would learn
_NAMED = 8  # of these that are told


class Tagger(Protocol):
    """A picture in, its tags and how sure they are out. `name` says which tagger it is, `threshold` from
    where on a tag counts."""

    name: str
    threshold: float

    def tags(self, rgb: Image, /) -> Sequence[tuple[str, float]]: ...


@dataclass(slots=True, kw_only=True)
class Captions:
    """Captions by a tagger. `threshold` None: the tagger's own; `left_out` tags are never written."""

    open: Callable[[], Tagger]
    threshold: float | None
    left_out: Collection[str]
    written: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    _opened: Tagger | None = None

    @property
    def name(self) -> str:
        """Which tagger and from where on its tags count; empty while it was not needed."""
        if self._opened is None:
            return ""
        return f"{self._opened.name}, tags from {self._least:g}"

    @property
    def _least(self) -> float:
        assert self._opened is not None
        return self._opened.threshold if self.threshold is None else self.threshold

    def caption(self, rgb: Image, where: str) -> str:
        """Of a picture uint8 [height, width, 3]."""
        self._opened = self._opened or self.open()
        sure = [tag for tag, share in self._opened.tags(rgb) if share >= self._least]
        told = [tag for tag in sure if tag.lower() not in self.left_out][:MOST_TAGS]
        self.written[where] = told
        return ", ".join(told)

    def advice(self) -> str:
        """What most pictures have in common, which a training learns only where captions leave it out."""
        tags = [tag for told in self.written.values() for tag in told]
        most = OFTEN * len(self.written)
        often = [tag for tag in dict.fromkeys(tags) if tags.count(tag) >= most and tag not in PLAIN]
        if len(self.written) < 2 or not often:
            return ""
        told = ", ".join(often[:_NAMED])
        return (
            f"in nearly every caption: {told}; what is to be learnt may stand in none of them:"
            f" --leave-out '{told}'"
        )


def chosen(word: str, threshold: float | None, left_out: str) -> Captions:
    """The captions that a command asks for. Raises DataError DAT-TAGGER for what names no tagger."""
    from pokora_anime.workshop.data.tagging import wd_tagger

    tags = {" ".join(tag.replace("_", " ").split()).lower() for tag in left_out.split(",")} - {""}
    folder = Path(word).expanduser()
    if word == PROBE:
        return Captions(open=_probe, threshold=threshold, left_out=tags)
    if folder.is_dir():
        return Captions(open=lambda: wd_tagger.in_folder(folder), threshold=threshold, left_out=tags)
    repo = word if "/" in word else f"{OWNER}/{word}"
    owner, _, name = repo.partition("/")
    if not all(_plain(part) for part in (owner, name)):
        raise DataError(
            "DAT-TAGGER",
            f"--tagger {word[:80]!r}",
            expected="probe, a tagger's name or repository on the hub, or a folder that holds one",
            fix="--tagger probe, or --tagger wd-vit-tagger-v3",
        )
    return Captions(open=lambda: wd_tagger.fetched(repo), threshold=threshold, left_out=tags)


def _plain(part: str) -> bool:
    return bool(part) and len(part) <= 96 and all(sign.isalnum() or sign in "-_." for sign in part)


def _probe() -> Tagger:
    from pokora_anime.workshop.data.tagging.probe_tagger import ProbeTagger

    return ProbeTagger()
