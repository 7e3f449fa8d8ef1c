"""`pokora export`: a base's networks for other runtimes. Torch-free until something is converted."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pokora_anime.cli.parser import OneLineParser, dispatch
from pokora_anime.export import export_folder, export_job
from pokora_anime.export.export_job import BITS, Attention, ExportJob, Format

PAGE = """pokora export FORMAT: networks of a base as files of another runtime, compared with torch.

  pokora export onnx                        # what a still takes, of base=nano
  pokora export onnx --parts unet,motion_unet,vae_decoder
  pokora export coreml --bits 8 --attention split_einsum
  pokora export coreml --base sdxl --parts all style=none speed=lcm
  pokora export swift --bits 8              # a SwiftUI package around the Core ML parts

LoRAs of speed= and style= are merged in. `pokora export FORMAT --help` has the options."""
SWIFT = "swift"
DESCRIPTION = {
    "onnx": "Parts as ONNX, each computed by onnxruntime and compared with torch.",
    "coreml": "Parts as Core ML packages, every weight read back and compared with torch.",
    SWIFT: "A SwiftUI package that draws with the Core ML parts of a still, with tests for `swift test`.",
}
OUTPUTS = Path("outputs/export")


def main(arguments: Sequence[str]) -> int:
    """Parse, check and export; returns the exit status."""
    actions = {one: partial(_export, one) for one in DESCRIPTION}
    return dispatch("export", PAGE, actions, arguments)


def _export(name: str, arguments: list[str]) -> int:
    format = Format.coreml if name == SWIFT else Format(name)
    typed = _parser(name, format).parse_args(arguments)
    job = job_of(format, typed, swift=name == SWIFT)
    folder = typed.out or OUTPUTS / f"{typed.base.replace(':', '-')}-{name}"
    if job.run:
        export_job.require_macos()
    export_job.require_extra(format)
    export_job.require_weights(job)
    export_folder.require_free(folder, replace=typed.replace)
    export_job.require_room(job, folder)
    from pokora_anime.export import make_export

    print(make_export.make(job, folder, _tell, replace=typed.replace))
    return 0


def job_of(format: Format, typed: argparse.Namespace, *, swift: bool = False) -> ExportJob:
    """The job that was typed. Raises ConfigError."""
    config = export_job.composed(typed.base, typed.words)
    parts = export_job.chosen_parts(typed.parts, config.base.family)
    if swift:
        export_job.require_still(parts, config.base.family)
    return ExportJob(
        config=config,
        format=format,
        parts=parts,
        attention=Attention(typed.attention),
        bits=typed.bits,
        run=format is Format.coreml and typed.run,
        swift=swift,
    )


def _tell(line: str) -> None:
    print(line, flush=True)


def _parser(name: str, format: Format) -> OneLineParser:
    parser = OneLineParser(prog=f"pokora export {name}", description=DESCRIPTION[name])
    parser.add_argument("--base", default="nano", metavar="NAME", help="nano, sdxl, sd2 or own:ID")
    parser.add_argument(
        "--parts",
        default="",
        metavar="NAMES",
        help="unet, motion_unet, vae_decoder, text_encoder, text_encoder_2, controlnet_KIND, controlnet, all "
        "(default: what a still takes)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help=f"default: {OUTPUTS}/BASE-{name}")
    parser.add_argument("--replace", action="store_true", help="in the place of an earlier export")
    attentions = [one.value for one in Attention]
    parser.add_argument(
        "--attention",
        choices=attentions,
        default=attentions[0],
        help="split_einsum: head by head, for the Neural Engine",
    )
    bits = BITS[format]
    parser.add_argument("--bits", type=int, choices=bits, default=bits[0], help="of a weight")
    if format is Format.coreml:
        parser.add_argument("--run", action="store_true", help="compute each part by Core ML too (macOS)")
    parser.add_argument("words", nargs="*", metavar="key=value", help="of base, speed, style and motion")
    return parser
