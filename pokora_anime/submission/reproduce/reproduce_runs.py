"""A bundle's runs rendered again on the judge's machine, and what comes of comparing them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pokora_anime.errors import ConfigError, RecordError
from pokora_anime.findings import Severity, of_severity
from pokora_anime.provenance.hashing import Json
from pokora_anime.provenance.operations import ALWAYS_RUN
from pokora_anime.provenance.run_reading import Reading, read_run
from pokora_anime.rules import closed_config
from pokora_anime.schema.settings import DeviceConfig, DeviceKind, DType, RunConfig
from pokora_anime.submission import file_names
from pokora_anime.submission.check.entry_verdict import Shown, judged
from pokora_anime.submission.check.examine_bundle import examine_and_show, listed_runs
from pokora_anime.submission.reproduce import untrusted_source
from pokora_anime.submission.reproduce.compare_runs import Same, compare
from pokora_anime.untrusted.folder_listing import Folder
from pokora_anime.untrusted.read_limits import LIMITS
from pokora_anime.untrusted.run_source import open_source
from pokora_anime.untrusted.untrusted_names import shown
from pokora_anime.verify.verdict import Verdict
from pokora_anime.verify.video.frame_figures import worst

Tell = Callable[[str], None]
_FORMATS = {"float32": DType.fp32, "bfloat16": DType.bf16, "float16": DType.fp16}
# Findings about contents and numbers: the runs can be rendered again all the same.
_HARMLESS = ("RULE-", "SUB-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Whether the bundle's own source renders, and who is shown the difference first; None asks nobody."""

    source: bool = False
    confirm: Callable[[str], bool] | None = None


Render = Callable[[RunConfig, Path], Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What reproducing came to: one comparison a run and, of a bundle, what it shows beside its runs.

    Or why nothing was rendered.
    """

    subject: str
    runs: tuple[Same, ...] = ()
    shown: Shown | None = None
    refused: str = ""
    unreadable: bool = False

    @property
    def verdict(self) -> Verdict:
        """PASS, REVIEW or FAIL; `not run` for what cannot be read."""
        if self.unreadable:
            return Verdict.not_run
        entry = [self.shown.verdict] if self.shown else []
        return Verdict.failed if self.refused else worst([*entry, *(one.verdict for one in self.runs)])

    @property
    def exit_code(self) -> int:
        """0 PASS, 1 REVIEW or FAIL, 2 unreadable."""
        return 2 if self.unreadable else int(self.verdict is not Verdict.passed)

    def to_plain(self) -> dict[str, Json]:
        """The report as JSON data."""
        return {
            "subject": self.subject,
            "verdict": self.verdict.value,
            "refused": self.refused,
            "entry": self.shown.to_plain() if self.shown else None,
            "runs": [one.to_plain() for one in self.runs],
        }

    def as_text(self) -> str:
        """What a judge reads. Safe for a terminal."""
        entry = self.shown.lines() if self.shown else []
        lines = [self.subject, *entry, *(line for one in self.runs for line in one.lines())]
        lines += [self.refused] if self.refused else []
        return "\n".join([*lines, f"REPRODUCE  {self.verdict.value}"])


def reproduce(path: Path, out: Path, *, key: str, trust: Trust, render: Render, tell: Tell) -> Outcome:
    """Renders each run of a bundle, or the run at `path`, below `out` and compares.

    `render` renders a config below a folder and returns the run's; it is this install's.

    Raises WeightsError WGT-*, MachineError SYS-*, and ConfigError SUB-TRUST where nobody agreed to run
    the bundle's source.
    """
    tell("verifying")
    report, _ = examine_and_show(path, key=key, pictures=False)
    subject = shown(path)
    if report.unreadable:
        return Outcome(subject=subject, refused=report.unreadable, unreadable=True)
    blocking = of_severity(report.findings, Severity.block)
    if serious := [one for one in blocking if not one.code.startswith(_HARMLESS)]:
        return Outcome(subject=subject, refused=f"nothing was rendered: {serious[0].line()}")
    with open_source(path, LIMITS) as folder:
        is_bundle = file_names.MANIFEST in folder.sizes
        runs = listed_runs(folder, LIMITS) if is_bundle else [""]
        source = _source(folder, trust) if is_bundle and trust.source else None
        entry = judged(report) if is_bundle else None
        made = tuple(_run(folder, run, out, source or render, tell) for run in runs)
        return Outcome(subject=subject, shown=entry, runs=made)


def _source(folder: Folder, trust: Trust) -> Path:
    difference = untrusted_source.difference(folder)
    if trust.confirm is not None and not trust.confirm(difference):
        raise ConfigError(
            "SUB-TRUST",
            "the bundle's source was not run",
            expected="somebody who has read the difference and agrees",
            fix="answer yes at the question, or --yes",
        )
    return folder.root / file_names.SOURCE


def _run(folder: Folder, name: str, out: Path, rendering: Path | Render, tell: Tell) -> Same:
    original = folder.root / name if name else folder.root
    reading = read_run(original)
    config = as_it_ran(reading)
    short = name.removeprefix(f"{file_names.RUNS}/") or folder.root.name
    tell(f"rendering {short}")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="run-", dir=out.resolve()) as place:
        if isinstance(rendering, Path):
            again = untrusted_source.render(config, Path(place), rendering)
        else:
            again = rendering(replace(config, fresh=True), Path(place))
        same = compare(short, reading, read_run(again))
        kept = out / again.name
        if not kept.exists():
            again.rename(kept)
        return replace(same, folder=str(kept))


def as_it_ran(reading: Reading) -> RunConfig:
    """The recorded config with the device, format and threads that the run really had."""
    config, found = closed_config.read(reading.command, reading.config)
    if config is None:
        raise RecordError("REC-RECORD", f"no config that renders: {found[0].line()}")
    ran = next(node.environment for node in reading.nodes if node.op in ALWAYS_RUN)
    threads = ran.get("threads")
    kinds = [kind for kind in DeviceKind if kind.value == ran.get("device")]
    device = DeviceConfig(
        kind=kinds[0] if kinds and _here(kinds[0]) else DeviceKind.auto,
        dtype=_FORMATS.get(str(ran.get("dtype")), DType.auto),
        threads=threads if isinstance(threads, int) else 0,
    )
    return replace(config, device=device)


def _here(kind: DeviceKind) -> bool:
    if kind is DeviceKind.cpu:
        return True
    import torch

    return torch.cuda.is_available() if kind is DeviceKind.cuda else torch.backends.mps.is_available()
