"""`pokora bench gpu`: this package's loop against diffusers' own pipeline, arms interleaved in one run.

On a CUDA card: SDXL at full size with random weights, 768x768, 96 frames as six disjoint segments. Without
one: the nano family against the same arms. `python -m benchmarks.gpu.gpu` needs neither Hydra nor ffmpeg.
"""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.gpu.gpu_rows import Row, Rows, ratio, table
from pokora_anime.cli.parser import OneLineParser, whole
from pokora_anime.devices import openvino_runtime
from pokora_anime.errors import MachineError, PokoraError

if TYPE_CHECKING:
    import torch

    from benchmarks.gpu.gpu_arms import Arm, Setting, Studio

CAPS = (24, 12, 8)  # GB of the card that a plan may use
# Side and segments of the first edition's bars, and seconds of an H100 by arm.
BARRED = (768, 6)
SECONDS = (
    ("ours, two ControlNets, CFG off", "two ControlNets", 8.0),
    ("ours, CFG off", "no ControlNet", 5.3),
)
LONG = (16, 32, 64, 128, 256, 512)  # frames


def main(arguments: Sequence[str]) -> int:
    """Measure what is not measured yet, print the table, write it; 1 where an exact arm misses its bar."""
    parser = OneLineParser(prog="pokora bench gpu", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("outputs/bench"), help="folder for the results")
    parser.add_argument("--rounds", type=whole(1), default=3, help="of all arms, each arm once a round")
    parser.add_argument("--segments", type=whole(0), default=0, help="of 16 frames (default: 6; 1 on a CPU)")
    parser.add_argument("--side", type=whole(0), default=0, help="pixels (default: 768; 256 on a CPU)")
    parser.add_argument("--threads", type=whole(0), default=0, help="of a CPU")
    parser.add_argument("--device", default="auto", help="auto, cuda or cpu")
    parser.add_argument(
        "--compile", action="store_true", help="compile the stock arm with all flags and one of ours"
    )
    parser.add_argument(
        "--openvino", action="store_true", help="on a CPU: arms that OpenVINO computes (the extra openvino)"
    )
    parser.add_argument("--minutes", type=whole(1), default=0, help="begin no other arm after so many")
    parser.add_argument("--fresh", action="store_true", help="forget what was measured before")
    options = parser.parse_args(list(arguments))
    until = time.perf_counter() + 60 * options.minutes if options.minutes else math.inf
    import torch

    from benchmarks.gpu.gpu_arms import Setting, Studio, arms

    device = torch.device(_device(options.device))
    if options.threads:
        torch.set_num_threads(options.threads)
    cpu = device.type == "cpu"
    setting = Setting(
        device=device,
        dtype=_dtype(device),
        side=options.side or (256 if cpu else 768),
        segments=options.segments or (1 if cpu else 6),
    )
    told = {
        "machine": machine(setting),
        "dtype": str(setting.dtype),
        "side": setting.side,
        "segments": setting.segments,
        "compiled": options.compile,
        "torch": torch.__version__,
    }
    rows = Rows(options.out / f"gpu-{device.type}.jsonl", told, fresh=options.fresh)
    if not cpu and not options.minutes:  # before anything else fills the card
        _caps(setting, rows)
        _lengths(setting, rows)
    studio = Studio(setting)
    every = arms(studio, compiled=options.compile, openvino=_openvino(options.openvino))
    _measure(studio, every, rows, options.rounds, until)
    lines = list(report(rows, every, busy=cpu))
    (options.out / f"gpu-{device.type}.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return int(cpu and bool(missed(rows, every)))


def missed(rows: Rows, every: Sequence[Arm], bar: float = 1.05) -> list[str]:
    """The exact arms that take more than `bar` of the stock pipeline's computing time."""
    found: list[str] = []
    for arm in every:
        against = ratio(rows.of(arm.name), rows.of(arm.baseline), busy=True)
        if arm.kind == "exact" and against is not None and against > bar:
            found.append(f"{arm.name}: {against:.3f}")
    return found


def report(rows: Rows, every: Sequence[Arm], *, busy: bool) -> Sequence[str]:
    """The machine and the table, as Markdown."""
    told = rows.setting
    what = "computing time of the process" if busy else "wall time"
    head = (
        f"{told['machine']}, torch {told['torch']}, {told['dtype']}, {told['side']}x{told['side']}, "
        f"{told['segments']} segments of 16 frames, 6 steps; {what}, decoding included"
    )
    extra = [(row, "", "") for row in dict.fromkeys(r.arm for r in rows.every() if r.arm.startswith("at "))]
    cells = [(arm.name, arm.kind, arm.baseline) for arm in every] + extra
    lines = [head, "", *table(rows, cells, busy=busy)]
    if (told["side"], told["segments"]) == BARRED and not busy:
        lines += ["", *bars(rows)]
    slope = _slope(rows)
    return [*lines, "", f"time over frames, log-log slope: {slope:.3f}"] if slope else lines


def bars(rows: Rows) -> list[str]:
    """What the first edition wants of one H100, and what was measured, as Markdown."""
    found = [f"| {what} | {bar:.1f} s | {_median(rows, arm)} |" for arm, what, bar in SECONDS]
    against = ratio(rows.of("ours, CFG off"), rows.of("stock, CFG on"), busy=False)
    times = "" if not against else f"{1 / against:.1f} x"
    return [
        "| 96 frames at 768x768, six steps | At most | Measured |",
        "|---|---|---|",
        *found,
        f"| without guidance, against stock with it | 3.0 x as fast at least | {times} |",
    ]


def _median(rows: Rows, arm: str) -> str:
    seconds = [row.seconds for row in rows.of(arm)]
    return f"{median(seconds):.1f} s" if seconds else ""


def _openvino(asked: bool) -> bool:
    """Whether it is there. MachineError SYS-LIBRARY where it is asked for and is not."""
    if asked and not openvino_runtime.installed():
        raise MachineError("SYS-LIBRARY", "openvino is not installed", fix="pip install openvino")
    return asked


def machine(setting: Setting) -> str:
    """The card, or the processor and the threads that torch takes of it."""
    import torch

    if setting.device.type == "cuda":
        return torch.cuda.get_device_name(setting.device)
    model = platform.processor() or platform.machine()
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return f"{torch.get_num_threads()} threads of {model}, no GPU"


def _measure(studio: Studio, every: Sequence[Arm], rows: Rows, rounds: int, until: float) -> None:
    """Rounds of all arms; each arm runs once untimed first, which is where it compiles."""
    ready: dict[str, Callable[[], None]] = {}
    for round_ in range(rounds):
        for arm in every:
            if rows.has(arm.name, round_):
                continue
            if time.perf_counter() > until:
                print(f"time is up before round {round_ + 1}/{rounds} of {arm.name}; start again to go on")
                return
            if arm.name not in ready:
                ready[arm.name] = arm.make()
                began = time.perf_counter()
                ready[arm.name]()
                print(f"{arm.name}: first run {time.perf_counter() - began:.1f} s", flush=True)
            studio.first = 0.0
            row = replace(
                timed(arm.name, round_, ready[arm.name], studio.setting), first_segment=studio.first
            )
            rows.add(row)
            print(f"round {round_ + 1}/{rounds}  {row.seconds:8.2f} s  {arm.name}", flush=True)


def timed(arm: str, round_: int, run: Callable[[], None], setting: Setting) -> Row:
    """One run by the clock, by computing time, and at its peak of a card's memory."""
    import torch

    cuda = setting.device.type == "cuda"
    if cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    began, busy = time.perf_counter(), time.process_time()
    run()
    if cuda:
        torch.cuda.synchronize()
    return Row(
        arm=arm,
        round=round_,
        seconds=time.perf_counter() - began,
        busy=time.process_time() - busy,
        first_segment=0.0,
        peak_bytes=torch.cuda.max_memory_allocated() if cuda else 0,
    )


def _caps(setting: Setting, rows: Rows) -> None:
    """With the allocator capped, the plan for that much memory must come to its end."""
    import torch

    from benchmarks.gpu.gpu_capped import capped

    whole = torch.cuda.get_device_properties(setting.device).total_memory
    for gigabytes in CAPS:
        name = f"at most {gigabytes} GB, two ControlNets, CFG on"
        if rows.has(name, 0):
            continue
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(min(1.0, gigabytes * 2**30 / whole))
        try:
            rows.add(timed(name, 0, capped(setting, gigabytes), setting))
        except torch.OutOfMemoryError:
            print(f"{name}: out of memory", flush=True)
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)


def _lengths(setting: Setting, rows: Rows) -> None:
    """Time and memory over the number of frames."""
    from benchmarks.gpu.gpu_arms import FRAMES, Studio

    for frames in LONG:
        name = f"at {frames} frames"
        if not rows.has(name, 0):
            studio = Studio(replace(setting, segments=frames // FRAMES))
            rows.add(timed(name, 0, studio.ours(1.0), setting))


def _slope(rows: Rows) -> float:
    """Least-squares slope of log time over log frames; 0 where the lengths were not measured."""
    points = [(frames, row.seconds) for frames in LONG for row in rows.of(f"at {frames} frames")]
    if len(points) < 2:
        return 0.0
    logs = [(math.log(frames), math.log(seconds)) for frames, seconds in points]
    x, y = (sum(values) / len(logs) for values in zip(*logs, strict=True))
    return sum((a - x) * (b - y) for a, b in logs) / sum((a - x) ** 2 for a, _ in logs)


def _device(asked: str) -> str:
    import torch

    present = ["cuda", "cpu"] if torch.cuda.is_available() else ["cpu"]
    if asked not in ("auto", *present):
        raise MachineError(
            "SYS-DEVICE", f"--device {asked}", expected=" or ".join(("auto", *present)), fix="--device auto"
        )
    return present[0] if asked == "auto" else asked


def _dtype(device: torch.device) -> torch.dtype:
    import torch

    from pokora_anime.devices.machine import cpu_has_bf16

    return torch.bfloat16 if device.type == "cuda" or cpu_has_bf16() else torch.float32


if __name__ == "__main__":
    import sys

    try:
        sys.exit(main(sys.argv[1:]))
    except PokoraError as error:
        print(json.dumps(error.line()), file=sys.stderr)
        sys.exit(error.exit_code)
