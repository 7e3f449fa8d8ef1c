"""`pokora bench`: measurements of this code on this machine, written as JSON and a table."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from pokora_anime.bench import video
from pokora_anime.cli.parser import OneLineParser
from pokora_anime.errors import ConfigError


def _rates(out: Path) -> dict[str, object]:
    from pokora_anime.bench import rates

    return rates.measure(out)


BENCHES: dict[str, Callable[[Path], dict[str, object]]] = {
    "video": video.speed,
    "repeat": video.repeat,
    "resume": video.resume,
    "memory": video.memory,
    "rates": _rates,
}


def main(arguments: Sequence[str]) -> int:
    """Run the named benches (default: video) and print their results; returns the exit status.

    `nano`, `clips` and `gpu` have options of their own: `pokora bench nano --help`.
    """
    if arguments and arguments[0] == "nano":
        from pokora_anime.bench import nano

        return nano.main(arguments[1:])
    if arguments and arguments[0] == "gpu":
        from pokora_anime.bench import gpu

        return gpu.main(arguments[1:])
    if arguments and arguments[0] == "clips":
        from pokora_anime.bench import clips

        return clips.main(arguments[1:])
    parser = OneLineParser(prog="pokora bench", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"{', '.join(BENCHES)}; nano, clips or gpu alone (default: video)",
    )
    parser.add_argument("--out", type=Path, default=Path("outputs/bench"), help="folder for the results")
    options = parser.parse_args(arguments)
    names: list[str] = options.names or ["video"]
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        raise ConfigError(
            "CFG-BENCH", f"bench {unknown[0]!r}", expected=" or ".join(BENCHES), fix="pokora bench video"
        )
    options.out.mkdir(parents=True, exist_ok=True)
    for name in names:
        result = {"bench": name, "machine": video.describe_machine(), **BENCHES[name](options.out)}
        path = options.out / f"{name}.json"
        path.write_text(json.dumps(result, indent=2) + "\n")
        print(f"{name}")
        for key, value in result.items():
            print(f"  {key:32} {value}")
        print(f"  -> {path}")
    return 0
