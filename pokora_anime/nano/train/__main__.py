"""Command line of the training: `python -m pokora_anime.nano.train`."""

from __future__ import annotations

import argparse
from pathlib import Path

from pokora_anime.nano.recipe import MEMBERS
from pokora_anime.nano.train import train_nano


def main() -> None:
    """Parses the command line and trains."""
    parser = argparse.ArgumentParser(description="Train the nano family from nothing.")
    parser.add_argument("--preset", default="full", choices=("full", "small"))
    parser.add_argument("--members", nargs="*", choices=MEMBERS, help="default: all")
    parser.add_argument("--work", type=Path, default=Path(".work/nano"))
    parser.add_argument("--export", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args()
    train_nano(a.members, a.preset, a.work, a.export, a.device, a.threads, a.seed)


if __name__ == "__main__":
    main()
