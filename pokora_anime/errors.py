"""What goes wrong in a way the user can mend: one line with a code, what was got, and the way out."""

from __future__ import annotations


class PokoraError(Exception):
    """A mistake or a lack that the user can mend.

    `code` is stable and searchable, `got` what was found, `expected` what would do, `fix` what to
    type or change. `exit_code` is the process's exit status.
    """

    exit_code = 1

    def __init__(self, code: str, got: str, *, expected: str = "", fix: str = "") -> None:
        self.code, self.got, self.expected, self.fix = code, got, expected, fix
        super().__init__(self.line())

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not survive the default pickling, which sweep workers rely on.
        return (_rebuild, (type(self), self.code, self.got, self.expected, self.fix))

    def line(self) -> str:
        """The whole message on one line."""
        parts = [f"{self.code}: {self.got}"]
        if self.expected:
            parts.append(f"expected {self.expected}")
        if self.fix:
            parts.append(f"fix: {self.fix}")
        return "; ".join(part.replace("\n", " ") for part in parts)


def _rebuild(kind: type[PokoraError], code: str, got: str, expected: str, fix: str) -> PokoraError:
    return kind(code, got, expected=expected, fix=fix)


class ConfigError(PokoraError):
    """Unknown key or option, wrong type, value out of range (codes CFG-*)."""

    exit_code = 2


class PromptError(PokoraError):
    """A prompt that cannot be used (codes PRM-*)."""

    exit_code = 2


class WeightsError(PokoraError):
    """Weights missing, damaged or of the wrong kind (codes WGT-*)."""

    exit_code = 3


class DataError(PokoraError):
    """Drawings to train on, missing, unusable or of no free licence (codes DAT-*)."""

    exit_code = 2


class TrainingError(PokoraError):
    """A LoRA that cannot be trained, or was trained and kept and is not good enough (codes TRN-*)."""

    exit_code = 6


class PictureError(WeightsError):
    """Numbers that came out of the networks and are no picture (codes WGT-NAN, WGT-BLANK)."""


class MachineError(PokoraError):
    """The machine lacks something: ffmpeg, memory, disk space, a writable folder (codes SYS-*)."""

    exit_code = 4


class RecordError(PokoraError):
    """A run folder whose content is not what its record says (codes REC-*)."""

    exit_code = 5


class QualityError(PokoraError):
    """A clip that was rendered and kept, and is not as good as quality.min asks (codes QUA-*)."""

    exit_code = 6


class Interrupted(PokoraError):
    """The user stopped the run; what is finished stays (code INT-STOP)."""

    exit_code = 130
