"""README-JUDGE.md: what lies where, and what to type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pokora_anime.submission.bundle.manifest import Manifest

PAGE = """# {title}

{draft}A submission to {contest}, made with pokora_anime from text, seeds and registered weights.

## In a minute, without a GPU

With any install of pokora_anime (`pip install` of a release, or `make setup` in a clone that you trust):

```sh
pokora verify BUNDLE.zip                     # seconds, no torch
pokora verify BUNDLE.zip --key ed25519:...   # the key that the team registered
pokora replay BUNDLE.zip --nonce 7           # recomputes parts that your nonce picks
pokora reproduce BUNDLE.zip                  # renders everything again and compares every frame
```

`verify` compares every file with the signed manifest and judges each run by the contest's limits. `replay`
and `reproduce` compute with your own install and your own copy of the weights; nothing of the bundle's
code runs. `pokora reproduce BUNDLE.zip --trust-source` shows how the bundle's source differs from yours
and then renders with it, confined to its own folder.

Without pokora_anime: `sha256sum -c SHA256SUMS` checks the files.

## What lies where

| | |
|---|---|
{entry}| `entry/writeup.pdf`, `entry/poster.pdf` | the documents |
| `entry/citations.bib` | papers and checkpoints |
| `compliance.html` | what verification says of the runs; `pokora verify --html` writes it with pictures |
{runs}| `weights.json` | registry rows and sha256 of every weight file that was used, without the weights |
| `data-cards/` | where a LoRA was trained by the team: what it was shown, and under which licence |
| `loras/` | where the team carries it: that LoRA itself, which replay computes with |
| `source/` | the source at commit {commit}: all that renders, the lock file, and text beside it |
| `bundle.json`, `SHA256SUMS`, `statement.dsse.json` | manifest, checksums, signature |
| `credentials/` | where made: copies with Content Credentials (C2PA); the plain files are the entry |
| `ro-crate-metadata.json` | RO-Crate 1.1 metadata |

## What this proves, and what not

An entrant owns the machine that rendered, so a record alone proves little: it shows that nothing was edited
after signing, and that what was recorded keeps to the rules. That the pictures come from these weights and
this text is shown by replay, on your machine. `source/COMPLIANCE.md` says what nobody can detect.
"""


def readme(manifest: Manifest) -> bytes:
    """The page for this bundle."""
    entry = "".join(f"| `{name}` | {_what(name)} |\n" for name in sorted(manifest.entry))
    runs = "".join(
        f"| `{run}/` | a run as it was recorded: config, stored arrays, ledger, signature |\n"
        for run in manifest.runs
    )
    return PAGE.format(
        title=_plain(manifest.title),
        draft="**This is a draft. It cannot be handed in.**\n\n" if manifest.draft else "",
        contest=manifest.contest,
        entry=entry,
        runs=runs,
        commit=_commit(manifest.source),
    ).encode()


def _what(name: str) -> str:
    return "the video" if name.endswith(".mp4") else "a still"


def _plain(text: str) -> str:
    """Text that Markdown reads as text."""
    return "".join(f"\\{sign}" if sign in "\\`*_{}[]<>#|" else sign for sign in text)


def _commit(source: Mapping[str, object]) -> str:
    changed = source.get("changed")
    more = " with uncommitted changes" if isinstance(changed, Sequence) and changed else ""
    return f"{str(source.get('commit'))[:12]}{more}"
