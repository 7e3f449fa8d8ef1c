"""`pokora data`: drawings of one's own as data sets, with licence and source for every file. Torch-free."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pokora_anime.catalogue.licences import open_ids
from pokora_anime.cli.parser import OneLineParser, between, dispatch
from pokora_anime.findings import Finding, Severity

if TYPE_CHECKING:
    from pokora_anime.workshop.data.tagging.tagger_choice import Captions

PAGE = """pokora data: drawings of your own, to train a style or a character on.

  pokora data add FOLDER --id mychar --licence CC0-1.0 --source 'drawn by me'
                                        read the pictures, judge them, keep them as a version
  pokora data list                      the data sets that are there
  pokora data show mychar               one of them: what it holds, its data card, its report
  pokora data diff mychar@1a2b mychar   what changed from one version to another
  pokora data check mychar              is every file still what was added?

This is the one place of the tool that reads pictures, and only a training sees them: no run does. Captions
lie beside the pictures as NAME.txt; sources.csv (file, licence, source, author) tells what differs.
With --clips each folder in FOLDER is a clip of numbered frames, from which a motion LoRA learns a move.
Then: pokora train lora --data mychar --base nano --role character"""
SHOWN = 12  # findings of one code that are told one by one


def main(arguments: Sequence[str]) -> int:
    """Dispatch to one action; returns the exit status."""
    actions: dict[str, Callable[[list[str]], int]] = {
        "add": _add, "list": _list, "show": _show, "diff": _diff, "check": _check,
    }  # fmt: skip
    return dispatch("data", PAGE, actions, arguments)


def _parser(action: str, text: str) -> OneLineParser:
    return OneLineParser(prog=f"pokora data {action}", description=text, allow_abbrev=False)


def _add(arguments: list[str]) -> int:
    from pokora_anime.workshop.data import data_adding, picture_sources

    parser = _parser("add", "Read a folder's pictures and keep those that can be used as a version.")
    parser.add_argument("folder", type=Path, help="PNG, JPEG or WebP files, captions beside them as .txt")
    parser.add_argument("--id", required=True, help="how trainings name it")
    parser.add_argument("--licence", required=True, help=f"SPDX id: {', '.join(open_ids())}")
    parser.add_argument("--source", required=True, help="who made them, or where they were published")
    parser.add_argument("--author", default="", help="whom to name")
    parser.add_argument("--few", action="store_true", help="go on with fewer than eight pictures or clips")
    parser.add_argument(
        "--clips", action="store_true", help="each folder in it is a clip of numbered frames (motion LoRAs)"
    )
    parser.add_argument(
        "--tagger",
        default="",
        help="captions for pictures without one: probe, wd-vit-tagger-v3 (fetched), OWNER/NAME or a folder",
    )
    parser.add_argument(
        "--threshold",
        type=between(0, 1),
        help="from where on a tag counts (default: the tagger's, 0.35 or 0.5)",
    )
    parser.add_argument("--leave-out", default="", help="tags that it never writes: what is to be learnt")
    typed = parser.parse_args(arguments)
    tagger = _tagger(typed)
    told = picture_sources.Told(licence=typed.licence, source=typed.source, author=typed.author)
    added = data_adding.add(typed.folder, typed.id, told, few=typed.few, clips=typed.clips, tagger=tagger)
    print("\n".join(_lines(added.findings)), end="\n" if added.findings else "")
    data = added.stored.data
    left_out = added.found - (len(data.by_clip()) if data.clips else len(data.entries))
    words = f", {left_out} left out" if left_out else ""
    print(f"{data.name}: {data.amount}{words}{'' if added.new else '; it was there already'}")
    if tagger is not None:
        print(_told_of_captions(typed.tagger, tagger))
    print(f"report: {added.stored.report}")
    print(f"data card: {added.stored.card}")
    role = "motion" if data.clips else "character"
    print(f"next: pokora train lora --data {data.id} --base nano --role {role}")
    return 0


def _tagger(typed: argparse.Namespace) -> Captions | None:
    """The tagger that is named. Raises ConfigError CFG-SYNTAX for words about one that is not."""
    from pokora_anime.errors import ConfigError
    from pokora_anime.workshop.data.tagging import tagger_choice

    if typed.tagger:
        return tagger_choice.chosen(typed.tagger, typed.threshold, typed.leave_out)
    if typed.threshold is not None or typed.leave_out:
        word = "--leave-out" if typed.leave_out else "--threshold"
        raise ConfigError(
            "CFG-SYNTAX", f"{word} without --tagger", expected="a tagger that it is for", fix="--tagger probe"
        )
    return None


def _told_of_captions(word: str, tagger: Captions) -> str:
    if not tagger.name:
        return f"--tagger {word} was not needed: every picture has a caption"
    advice = tagger.advice()
    return f"{len(tagger.written)} captions by {tagger.name}{f'{chr(10)}{advice}' if advice else ''}"


def _lines(findings: Sequence[Finding]) -> list[str]:
    """One line each; of many of one code the first ones, and how many more."""
    lines: list[str] = []
    for code in dict.fromkeys(one.code for one in findings):
        mine = [one for one in findings if one.code == code]
        out = mine[0].severity is Severity.review
        lines += [one.line() + ("; left out" if out else "") for one in mine[:SHOWN]]
        if len(mine) > SHOWN:
            lines.append(f"{code} and {len(mine) - SHOWN} more, in the report")
    return lines


def _list(arguments: list[str]) -> int:
    from pokora_anime.workshop.data import data_store

    _parser("list", "The data sets that are there.").parse_args(arguments)
    known = data_store.ids()
    if not known:
        print("no data set yet: pokora data add FOLDER --id mychar --licence CC0-1.0 --source 'drawn by me'")
        return 0
    print(f"{'data set':32} {'pictures':>22} {'versions':>8} licence, source")
    for identifier in known:
        versions = data_store.versions(identifier)
        if versions:
            data = data_store.find(identifier).data
            told = f"{', '.join(data.licences)}, {'; '.join(data.sources)}"
            print(f"{data.name:32} {data.amount.removesuffix(' pictures'):>22} {len(versions):8} {told}")
    return 0


def _show(arguments: list[str]) -> int:
    from pokora_anime.workshop.data import data_store

    parser = _parser("show", "What a data set holds.")
    parser.add_argument("name", help="mychar, or mychar@VERSION")
    stored = data_store.find(parser.parse_args(arguments).name)
    print(f"{stored.data.name}: {stored.data.statement}")
    for entry in stored.data.entries:
        size = f"{entry.width}x{entry.height}"
        print(f"  {entry.name:24} {size:>9}  {entry.licence:12} {entry.caption or '-'}")
    print(f"versions: {', '.join(data_store.versions(stored.data.id))}")
    print(f"report: {stored.report}")
    print(f"data card: {stored.card}")
    print(f"pictures: {stored.folder / 'pictures'}")
    return 0


def _diff(arguments: list[str]) -> int:
    from pokora_anime.workshop.data import data_checks, data_store

    parser = _parser(
        "diff", "What changed from one data set or version to another; status 1 if anything did."
    )
    parser.add_argument("first", help="mychar@VERSION")
    parser.add_argument("second", help="mychar, or mychar@VERSION")
    typed = parser.parse_args(arguments)
    first, second = data_store.find(typed.first).data, data_store.find(typed.second).data
    found = data_checks.difference(first, second)
    print(f"{first.name} -> {second.name}")
    for sign, names in (("+", found.added), ("-", found.removed)):
        print("".join(f"{sign} {name}\n" for name in names), end="")
    print("".join(f"~ {name}: {what}\n" for name, what in found.changed), end="")
    if not found:
        print("no difference")
    return 1 if found else 0


def _check(arguments: list[str]) -> int:
    from pokora_anime.workshop.data import data_checks, data_store

    parser = _parser("check", "Read every picture again; status 1 where one is not what was added.")
    parser.add_argument("name", help="mychar, or mychar@VERSION")
    stored = data_store.find(parser.parse_args(arguments).name)
    findings = data_checks.check(stored)
    print("\n".join(finding.line() for finding in findings), end="\n" if findings else "")
    whole = f"{len(findings)} damaged" if findings else "all as added"
    print(f"{stored.data.name}: {stored.data.amount}, {whole}")
    return 1 if findings else 0
