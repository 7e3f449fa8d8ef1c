"""`pokora train nano`: the shipped family from nothing; a killed training goes on where it was."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pokora_anime.commands.arguments import OneLineParser
from pokora_anime.config.compose import usable_cores
from pokora_anime.errors import ConfigError
from pokora_anime.nano.recipe import MEMBERS


def main(arguments: Sequence[str]) -> int:
    """Parse and train; returns the exit status. Torch is imported after the command line is right."""
    options = _parser().parse_args(list(arguments))
    from pokora_anime.nano.train import train_nano

    try:
        train_nano(
            options.members,
            options.preset,
            options.work,
            options.export,
            options.device,
            options.threads,
            options.seed,
        )
    except ValueError as error:
        raise ConfigError("CFG-TRAIN", str(error), fix="`pokora train nano --help`") from error
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="pokora train", description="Train models from nothing but this package's own drawings."
    )
    families = parser.add_subparsers(dest="family", required=True, metavar="nano", parser_class=OneLineParser)
    nano = families.add_parser("nano", description=__doc__)
    nano.add_argument("--preset", choices=("full", "small"), default="full", help="small: seconds, for tests")
    nano.add_argument("--members", nargs="+", choices=MEMBERS, help="train only these (default: all)")
    nano.add_argument("--work", type=Path, default=Path("outputs/train/nano"), help="folder of checkpoints")
    nano.add_argument("--export", type=Path, help="write the finished family here, in diffusers layout")
    nano.add_argument("--device", default="cpu", help="cpu or cuda")
    nano.add_argument("--threads", type=int, default=usable_cores())
    nano.add_argument("--seed", type=int, default=0)
    return parser
