"""The contact sheet against the video: it is drawn again from the frames that the MP4 decodes to."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pokora_anime.compliance.findings import Finding
from pokora_anime.compliance.replay import thresholds
from pokora_anime.compliance.replay.compare import Figures, picture_figures
from pokora_anime.compliance.verify import pictures
from pokora_anime.compliance.verify.container import Unreadable, finding
from pokora_anime.compliance.verify.contents import SHEET
from pokora_anime.compliance.verify.folder import Folder
from pokora_anime.compliance.verify.limits import Limits
from pokora_anime.compliance.verify.video import Shape
from pokora_anime.quality.sheet import FRAMES, SheetCollector
from pokora_anime.records import Image

_NONE = np.zeros((2, 2, 3), np.uint8)


class Redrawn:
    """Collects the sheet's frames from a stream of decoded ones."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._collector = SheetCollector(shape.frames, keep=FRAMES)

    def take(self, frame: bytes) -> None:
        """The next frame, yuv420p; only those that the sheet shows are converted."""
        self._collector.add(self._rgb(frame) if self._collector.due else _NONE)

    def check(self, folder: Folder, fps: int, crf: int, limits: Limits) -> Iterable[Finding]:
        """VID-SHEET where the sheet shows something else than the video, encoded with `crf`, does."""
        if SHEET not in folder.sizes:
            return
        try:
            told = pictures.decode_png(folder.read(SHEET, limits.file_bytes), limits.picture_pixels)
        except (pictures.BadPicture, Unreadable):
            return  # told by contents.check
        apart = compared(told, self._collector.sheet(max(fps, 1)))
        most = thresholds.encoded(crf).fails.block
        if apart is None or apart.block is None or apart.block > most:
            yield finding(
                "VID-SHEET",
                "the contact sheet shows other frames than the video",
                SHEET,
                "another size" if apart is None else apart.line(),
                expected=f"blocks at most {most:.0f} grey levels apart",
            )

    def _rgb(self, frame: bytes) -> Image:
        half = pictures.half_of_yuv(frame, self._shape.width, self._shape.height)
        return half.repeat(2, axis=0).repeat(2, axis=1)


def compared(told: Image, drawn: Image) -> Figures | None:
    """How far two sheets lie apart at half their size; None for sheets of different sizes."""
    if told.shape != drawn.shape:
        return None
    return picture_figures(pictures.halved(told), pictures.halved(drawn))
