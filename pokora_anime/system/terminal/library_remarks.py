"""What libraries remark while something is shown: warnings and logged lines go into the log instead."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import TextIO, cast


class Remarks(logging.Handler):
    """Between `install` and `restore` every Python warning and logged warning is told to `tell`, once each.

    Nothing reaches standard error, where it would tear the live display apart. What is told must not raise.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell
        self._told: set[str] = set()
        self._streams: list[tuple[logging.Logger, logging.Handler]] = []
        self._show = warnings.showwarning

    def install(self) -> None:
        """Listen from now on; handlers of libraries that write to standard error are set aside."""
        self._show = warnings.showwarning
        warnings.showwarning = self._warned
        for logger in _loggers():
            for handler in list(logger.handlers):
                if type(cast(object, handler)) is logging.StreamHandler:
                    logger.removeHandler(handler)
                    self._streams.append((logger, handler))
                    if not logger.propagate:
                        logger.addHandler(self)
        logging.getLogger().addHandler(self)

    def restore(self) -> None:
        """As it was before `install`."""
        if warnings.showwarning == self._warned:
            warnings.showwarning = self._show
        for logger in _loggers():
            logger.removeHandler(self)
        for logger, handler in self._streams:
            logger.addHandler(handler)
        self._streams.clear()

    def emit(self, record: logging.LogRecord) -> None:
        """A line that a library logged."""
        try:
            text = record.getMessage()
        except (TypeError, ValueError):
            text = str(record.msg)
        self._once(f"{record.name}: {text}")

    def _warned(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        del file, line
        self._once(f"{category.__name__}: {message} ({filename}:{lineno})")

    def _once(self, text: str) -> None:
        line = " ".join(text.split())
        if line not in self._told:
            self._told.add(line)
            self._tell(f"remark: {line}")


def _loggers() -> list[logging.Logger]:
    known = logging.root.manager.loggerDict.values()
    return [logging.getLogger(), *(one for one in known if isinstance(one, logging.Logger))]
