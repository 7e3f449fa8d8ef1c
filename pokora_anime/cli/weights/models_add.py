"""`pokora models add`: a LoRA of one's own, or an SDXL checkpoint of others as a base."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pokora_anime.catalogue import own_rows, own_weights, registry
from pokora_anime.catalogue.checkpoint import own_base
from pokora_anime.catalogue.licences import open_ids
from pokora_anime.cli.parser import OneLineParser
from pokora_anime.schema.settings import Family


def main(arguments: Sequence[str]) -> int:
    """`pokora models add FILE`: register it; returns the exit status."""
    kind = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    kind.add_argument("--kind", nargs="?", default="lora")
    if kind.parse_known_args(arguments)[0].kind == "base":
        return _add_base(arguments)
    return _add_lora(arguments)


def _parser(text: str) -> OneLineParser:
    parser = OneLineParser(prog="pokora models add", description=text, allow_abbrev=False)
    parser.add_argument("--kind", default="lora", choices=["lora", "base"], help="what the file is")
    parser.add_argument("--licence", required=True, help=f"SPDX id: {', '.join(open_ids())}")
    parser.add_argument("--author", default="", help="who made it, for the citation")
    parser.add_argument("--title", default="", help="its name, for the citation")
    parser.add_argument("--replace", action="store_true", help="take the place of the one that is registered")
    return parser


def _add_base(arguments: Sequence[str]) -> int:
    parser = _parser("Register an SDXL checkpoint in one file; it is converted into your data folder.")
    parser.add_argument("file", type=Path, help="a .safetensors with UNet, both text encoders and VAE")
    parser.add_argument("--id", required=True, help="how configs name it: base=own:ID")
    parser.add_argument("--base", default="sdxl", choices=["sdxl"], help="what it was made from")
    parser.add_argument("--source", required=True, help="where it was published: its page")
    parser.add_argument(
        "--prediction", default="", choices=["", "epsilon", "v"], help="of its UNet; empty: as the file says"
    )
    parser.add_argument(
        "--zero-snr", action="store_true", help="trained on a schedule that ends in pure noise (ztsnr)"
    )
    typed = parser.parse_args(arguments)
    new = own_base.NewBase(
        id=typed.id,
        file=typed.file,
        licence=typed.licence,
        source=typed.source,
        prediction=typed.prediction,
        zero_snr=typed.zero_snr,
        author=typed.author,
        title=typed.title,
    )
    row, prediction = own_weights.add_base(new, _taken(), replace=typed.replace)
    print(f"{row.id}: {prediction.words}; converted from {row.origin}")
    print(f"status {row.status.value}: {row.reason}")
    print(f"use it: base={row.role} (base.vae=null for its own VAE in the place of SDXL's); fetch the rest:")
    print(f"pokora models fetch base={row.role}")
    return 0


def _taken() -> dict[str, str]:
    """Every name of the shipped registry, and the row that answers to it."""
    return {name: row.id for row in registry.shipped() for name in row.names}


def _lora_parser() -> argparse.ArgumentParser:
    parser = _parser(
        "Register a LoRA of your own; it is copied into your data folder. A checkpoint: --kind base --help."
    )
    parser.add_argument(
        "file", type=Path, help="a .safetensors of LoRA, LoCon, LoHa, LoKr, DoRA, GLoRA, OFT or (IA)^3 layers"
    )
    parser.add_argument("--id", required=True, help="how prompts name it: <lora:ID:0.7>")
    parser.add_argument("--base", required=True, choices=[family.value for family in Family])
    parser.add_argument(
        "--slot", default="", choices=["", *own_rows.SLOTS], help="one of each; empty: a style"
    )
    parser.add_argument("--data", required=True, help="what it was trained on, and why that data is free")
    parser.add_argument("--link", default="", help="its page, for the citation")
    return parser


def _add_lora(arguments: Sequence[str]) -> int:
    typed = _lora_parser().parse_args(arguments)
    new = own_weights.NewLora(
        id=typed.id,
        file=typed.file,
        family=Family(typed.base),
        slot=typed.slot,
        licence=typed.licence,
        data_statement=typed.data,
        author=typed.author,
        title=typed.title,
        page=typed.link,
    )
    row, header, checked = own_weights.add(new, _taken(), replace=typed.replace)
    told = f"for {header.base}" if header.base else "no layer tells for which base, so it is taken as you say"
    kinds = " and ".join(checked.kinds)
    print(
        f"{row.id}: {checked.layers} layers ({kinds}), {told}; sha256 {next(iter(row.sha256.values()))[:12]}"
    )
    if checked.unscaled:
        print(
            "the file names no alpha for some layers: they are used at the strength that they are stored with"
        )
    print(f"status {row.status.value}: {row.reason}")
    if checked.motion:
        print(f"use it: motion.lora={row.role} motion.lora_weight=0.7")
        return 0
    print(f"use it: <lora:{row.id}:0.7> in the prompt, or style.loras=[{{id:{row.id},weight:0.7}}]")
    return 0
