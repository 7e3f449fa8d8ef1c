"""The contact sheet against the video: it is drawn again from the frames that the MP4 decodes to."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pokora_anime.findings import Finding
from pokora_anime.media import yuv
from pokora_anime.provenance.run_layout import SHEET
from pokora_anime.provenance.stage_records import Image
from pokora_anime.quality.contact_sheet import FRAMES, SheetCollector
from pokora_anime.untrusted import png_pictures
from pokora_anime.untrusted.container import Unreadable, finding
from pokora_anime.untrusted.folder_listing import Folder
from pokora_anime.untrusted.read_limits import Limits
from pokora_anime.verify.video.frame_figures import Figures, picture_figures
from pokora_anime.verify.video.mp4_frames import Shape
from pokora_anime.verify.video.thresholds import Bound

# Scaling rounds a pixel otherwise on another processor, and drawn letters have other edges elsewhere.
ROUNDING = Bound(most=8, psnr=40, block=1)
_NONE = np.zeros((2, 2, 3), np.uint8)


class Redrawn:
    """Collects the sheet's frames from a stream of decoded ones."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._collector = SheetCollector(shape.frames, keep=FRAMES)

    def take(self, frame: bytes) -> None:
        """The next frame, yuv420p; only those that the sheet shows are converted."""
        self._collector.add(self._rgb(frame) if self._collector.due else _NONE)

    def check(self, folder: Folder, fps: int, limits: Limits) -> Iterable[Finding]:
        """VID-SHEET where the sheet is not the one that is drawn from the video's frames."""
        if SHEET not in folder.sizes:
            return
        try:
            told = png_pictures.decode_png(folder.read(SHEET, limits.file_bytes), limits.picture_pixels)
        except (png_pictures.BadPicture, Unreadable):
            return  # told by contents.check
        apart = compared(told, self._collector.sheet(max(fps, 1)))
        if apart is None or not apart.within(ROUNDING):
            yield finding(
                "VID-SHEET",
                "the contact sheet shows other frames than the video",
                SHEET,
                "another size" if apart is None else apart.line(),
                expected=f"pixels at most {ROUNDING.most:.0f} grey levels apart",
                fix="render again: releases before 0.2 drew it before the frames were encoded",
            )

    def _rgb(self, frame: bytes) -> Image:
        return yuv.rgb_of_yuv(frame, self._shape.width, self._shape.height)


def compared(told: Image, drawn: Image) -> Figures | None:
    """How far two sheets lie apart; None for sheets of different sizes."""
    if told.shape != drawn.shape:
        return None
    return picture_figures(told, drawn)
