"""`pokora bench`: measurements of this code on this machine, written as JSON and a table."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

import pokora_anime
from pokora_anime.cli.bench import video_bench
from pokora_anime.cli.parser import OneLineParser
from pokora_anime.errors import ConfigError
from pokora_anime.system.did_you_mean import nearest


def _rates(out: Path) -> dict[str, object]:
    from pokora_anime.cli.bench import measure_rates

    return measure_rates.measure(out)


BENCHES: dict[str, Callable[[Path], dict[str, object]]] = {
    "video": video_bench.speed,
    "repeat": video_bench.repeat,
    "resume": video_bench.resume,
    "memory": video_bench.memory,
    "rates": _rates,
}


# Benches of the project itself lie beside the package, and are not installed with it.
CHECKOUT = ("nano", "clips", "gpu", "live")


def main(arguments: Sequence[str]) -> int:
    """Run the named benches (default: video) and print their results; returns the exit status.

    `nano`, `clips`, `gpu` and `live` have options of their own: `pokora bench nano --help`.
    """
    if arguments and arguments[0] in CHECKOUT:
        return _of_checkout(arguments[0])(arguments[1:])
    parser = OneLineParser(prog="pokora bench", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"{', '.join(BENCHES)}; nano, clips, gpu or live alone (default: video)",
    )
    parser.add_argument("--out", type=Path, default=Path("outputs/bench"), help="folder for the results")
    options = parser.parse_args(arguments)
    names: list[str] = options.names or ["video"]
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        known = (*BENCHES, *CHECKOUT)
        best = nearest(unknown[0], known) or "video"
        raise ConfigError(
            "CFG-BENCH", f"bench {unknown[0]!r}", expected=" or ".join(known), fix=f"pokora bench {best}"
        )
    options.out.mkdir(parents=True, exist_ok=True)
    for name in names:
        result = {"bench": name, "machine": video_bench.describe_machine(), **BENCHES[name](options.out)}
        path = options.out / f"{name}.json"
        path.write_text(json.dumps(result, indent=2) + "\n")
        print(f"{name}")
        for key, value in result.items():
            print(f"  {key:32} {value}")
        print(f"  -> {path}")
    return 0


def _of_checkout(name: str) -> Callable[[Sequence[str]], int]:
    """The bench's own command. ConfigError CFG-BENCH outside of a checkout."""
    root = Path(pokora_anime.__file__).parent.parent
    if not (root / "benchmarks" / name / f"{name}.py").is_file():
        raise ConfigError(
            "CFG-BENCH",
            f"bench {name!r} is not part of the installed package",
            expected="a checkout of the project, where benchmarks/ lies beside the package",
            fix="run it from a clone, or take another: pokora bench video",
        )
    if str(root) not in sys.path:
        sys.path.append(str(root))
    return import_module(f"benchmarks.{name}.{name}").main
