"""The contest's pipeline from fetch to bundle on random checkpoints of published names and layouts.

python benchmarks/rehearsal                          tiny: a minute or two, as in the tests
python benchmarks/rehearsal --size full --work DIR   published shapes: hours on a CPU, 45 GB below DIR

A hub on the loopback serves the files; a throw-away checkout names them in its registry. Prints a line a
step: seconds, peak memory of all its processes. Exit status 1 where a step does not come out as it must.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(Path(__file__).parent)]


def main(arguments: list[str] | None = None) -> int:
    """Rehearse; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="rehearsal", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=("tiny", "full"), default="tiny")
    parser.add_argument("--work", type=Path, help="an empty folder (default: a temporary one, removed)")
    parser.add_argument("--steps", type=int, help="denoising steps (memory does not depend on them)")
    parser.add_argument("--side", type=int, help="width and height of the clip's frames before delivery")
    options = parser.parse_args(arguments)
    if options.work is not None:
        options.work.mkdir(parents=True, exist_ok=True)
        return rehearse(options.work.resolve(), options.size, options.steps, options.side)
    with tempfile.TemporaryDirectory(prefix="pokora-rehearsal-") as folder:
        return rehearse(Path(folder), options.size, options.steps, options.side)


def rehearse(folder: Path, size: str, count: int | None = None, side: int | None = None) -> int:
    """All steps below `folder`: `count` denoising steps, a clip `side` pixels wide. 1 where one fails."""
    import checkpoints
    from place import Place, StepError
    from steps import SIZES, steps
    from support.hub_server import Hub, serving

    sized = SIZES[size]
    if count is not None:
        common = [word for word in sized.common if not word.startswith("speed.steps")]
        sized = replace(sized, common=(*common, f"speed.steps={count}"))
    if side is not None:
        sized = replace(sized, clip=(*sized.clip, f"base.width={side}", f"base.height={side}"))
    hub = Hub()
    for repo, written in {"tiny": checkpoints.tiny, "full": checkpoints.full}[size](
        folder / "published"
    ).items():
        hub.add(repo, written)
    with serving(hub):
        place = Place(folder, hub)
        place.make()
        try:
            for step in steps(place, sized):
                peak = f"{step.done.peak / 2**30:6.2f} GiB ({step.done.resident / 2**30:.2f} resident)"
                print(f"{step.name:16} {step.done.seconds:8.1f} s  {peak}  {step.told}".rstrip(), flush=True)
        except StepError as error:
            print(f"rehearsal: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
