"""The files of a submission and of its bundle by name."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

FOLDER = Path("submission")
PROJECT = "project.yaml"
DIST = "dist"

FORMAT = 2
KIND = "pokora_anime submission"
MANIFEST = "bundle.json"
SUMS = "SHA256SUMS"
STATEMENT = "statement.dsse.json"
README = "README-JUDGE.md"
CRATE = "ro-crate-metadata.json"
WEIGHTS = "weights.json"
REPORT = "compliance.html"
ENTRY = "entry"
RUNS = "runs"
SOURCE = "source"
SCORECARD = "reports/scorecard.json"  # of a run, below its folder
CREDENTIALS = "credentials"
CARDS = "data-cards"  # of LoRAs that were trained with the workshop
LORAS = "loras"  # the LoRAs themselves, where the team has asked for that
WRITEUP, POSTER = f"{ENTRY}/writeup.pdf", f"{ENTRY}/poster.pdf"
CITATIONS = f"{ENTRY}/citations.bib"
VIDEO = f"{ENTRY}/video.mp4"
# Written from the other files and from the team's words; every bundle has them.
FIXED = (MANIFEST, SUMS, STATEMENT, README, CRATE, WEIGHTS, REPORT, WRITEUP, POSTER, CITATIONS)


def still(index: int) -> str:
    """The entry's still with this index, counted from 0."""
    return f"{ENTRY}/still-{index + 1}.png"


def data_cards(row: str) -> tuple[str, str]:
    """The data card of an own LoRA: for programs, and for readers."""
    return f"{CARDS}/{row}.json", f"{CARDS}/{row}.md"


def own_lora(row: str) -> str:
    """What a bundle states of an own LoRA: its registry row with hash, licence and data."""
    return f"{CARDS}/{row}.lora.json"


def lora_file(row: str) -> str:
    """An own LoRA itself."""
    return f"{LORAS}/{row}.safetensors"


def signed_copy(delivered: str) -> str:
    """The name of the copy with Content Credentials of a video or still of the entry."""
    return f"{CREDENTIALS}/{PurePosixPath(delivered).name}"


def sealed(name: str) -> bool:
    """Whether the manifest's `files` must hold this name: all but the manifest itself and what covers it."""
    return name not in (MANIFEST, SUMS, STATEMENT) and not credential(name)


def credential(name: str) -> bool:
    """Whether a file is one of the signed copies, whose bytes differ each time."""
    return name.partition("/")[0] == CREDENTIALS
