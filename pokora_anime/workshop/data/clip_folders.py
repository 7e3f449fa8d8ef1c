"""Drawn clips: folders of numbered frames, read within bounds. Torch-free."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pokora_anime.untrusted.png_pictures import Image
from pokora_anime.workshop.data import captions, picture_reading
from pokora_anime.workshop.data.captions import Caption
from pokora_anime.workshop.data.picture_reading import Drawing, Unusable

FEWEST_FRAMES = 16  # of a clip: what a motion adapter denoises at once
CAPTION = "caption.txt"  # within a clip's folder; or CLIP.txt beside it
STILL = 0.2  # grey levels from frame to frame, below which nothing moves
_NUMBER = re.compile(r"(\d{1,9})$")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipFolder:
    """A clip's folder and its frames in their order, each with its number."""

    folder: Path
    frames: tuple[tuple[int, Path], ...]

    def caption(self) -> Caption:
        """What the whole clip shows."""
        within = self.folder / CAPTION
        return captions.beside(
            within if within.is_file() else self.folder.with_name(f"{self.folder.name}.png")
        )

    def read(self) -> list[Drawing]:
        """All frames, decoded. Raises Unusable for a clip that no training can use."""
        self._check_numbers()
        drawings: list[Drawing] = []
        for _, file in self.frames:
            try:
                drawings.append(picture_reading.read(file))
            except Unusable as error:
                raise Unusable(
                    error.code, f"{file.name}: {error.message}", error.got, error.expected, error.fix
                ) from error
        _check_pictures([one.rgb for one in drawings])
        return drawings

    def _check_numbers(self) -> None:
        numbers = [number for number, _ in self.frames]
        if len(set(numbers)) < len(numbers):
            twice = next(number for number in numbers if numbers.count(number) > 1)
            raise Unusable(
                "DAT-FRAMES",
                "two frames of one number",
                f"{twice} twice",
                "each number once",
                "take one of both away",
            )
        if len(numbers) < FEWEST_FRAMES:
            raise Unusable(
                "DAT-SHORT",
                "a clip that is too short",
                f"{len(numbers)} frames",
                f"at least {FEWEST_FRAMES}",
                "draw more frames: a motion adapter looks at 16 at once",
            )
        lost = sorted(set(range(numbers[0], numbers[-1] + 1)) - set(numbers))
        if lost:
            raise Unusable(
                "DAT-FRAMES",
                "a clip with frames missing",
                f"no frame {lost[0]}{f' and {len(lost) - 1} more' if len(lost) > 1 else ''}",
                "numbers without a gap",
                "draw them, or number the frames anew",
            )


def _check_pictures(frames: Sequence[Image]) -> None:
    sizes = {frame.shape[:2] for frame in frames}
    if len(sizes) > 1:
        (height, width), (other_height, other_width) = sorted(sizes)[:2]
        raise Unusable(
            "DAT-FRAMES",
            "frames of different sizes",
            f"{width}x{height} and {other_width}x{other_height}",
            "one size for all frames of a clip",
            "export the clip again",
        )
    thin = [frame[::4, ::4].astype(np.int16) for frame in frames]
    moved = np.mean([np.abs(one - two).mean() for one, two in zip(thin, thin[1:], strict=False)])
    if moved < STILL:
        raise Unusable(
            "DAT-STILL",
            "a clip in which nothing moves",
            f"{moved:.2f} grey levels from frame to frame",
            f"at least {STILL}",
            "draw what moves, or take the clip out",
        )


def found(folder: Path) -> list[ClipFolder]:
    """The clips of a folder: each folder in it that holds pictures, by name."""
    return list(_clips(folder))


def _clips(folder: Path) -> Iterator[ClipFolder]:
    for one in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        numbered: list[tuple[int, Path]] = []
        for file in sorted(one.iterdir()):
            if file.suffix.lower() not in picture_reading.SUFFIXES or file.name.startswith("."):
                continue
            match = _NUMBER.search(file.stem)
            if match is not None and file.is_file():
                numbered.append((int(match[1]), file))
        if numbered:
            yield ClipFolder(folder=one, frames=tuple(sorted(numbered)))
