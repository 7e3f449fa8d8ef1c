"""`pokora models`: list the registry, fetch, check, cite, find and clean up weights, add some of your own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pokora_anime.catalogue import registry
from pokora_anime.catalogue.registry_row import Row
from pokora_anime.cli.parser import OneLineParser, dispatch
from pokora_anime.cli.weights import models_add, models_versions
from pokora_anime.errors import ConfigError, PokoraError
from pokora_anime.schema.settings import Family

PAGE = """pokora models: the weights that runs may load.

  pokora models list                    all of them: for which base, role, here or not, status, licence
  pokora models fetch base=sdxl         download what this composition needs (any keys of `pokora video`)
  pokora models fetch dinov2-small      download rows by their id
  pokora models fetch base=sdxl --dry-run   only list files, sizes and licences
  pokora models verify base=sdxl        read every byte again and compare hashes (nothing named: all here)
  pokora models cite base=sdxl          BibTeX of everything that this composition loads
  pokora models where base=sdxl         the folders that it would load
  pokora models gc                      delete what was fetched and no row names any more
  pokora models add my.safetensors ...  register a LoRA of your own (`pokora models add --help`)
  pokora models add hero.safetensors --kind base ...   an SDXL checkpoint of others, as base=own:ID
  pokora models versions mychar         every training of it: mychar@1, mychar@2, with scores and aliases
  pokora models alias mychar best 2     then <lora:mychar@best:0.8>; a run records the version
  pokora models compare mychar@1 mychar@2   layers, rank, norm, likeness and scores of two LoRAs"""


def main(arguments: Sequence[str]) -> int:
    """Dispatch to one action; returns the exit status."""
    actions: dict[str, Callable[[list[str]], int]] = {
        "list": _list, "fetch": _fetch, "verify": _verify, "cite": _cite, "where": _where,
        "gc": _gc, "add": models_add.main, "versions": models_versions.versions,
        "alias": models_versions.alias, "compare": models_versions.compare,
    }  # fmt: skip
    return dispatch("models", PAGE, actions, arguments)


def _parser(action: str, text: str, words: str = "") -> OneLineParser:
    parser = OneLineParser(prog=f"pokora models {action}", description=text)
    if words:
        parser.add_argument("words", nargs="*", help=words)
    return parser


WORDS = "ids of `pokora models list`, or key=value as for `pokora video`"


def rows_of(words: Sequence[str], *, beside: bool = False) -> tuple[list[Row], Family]:
    """The rows that ids and a composition name together, and the composition's base.

    With `beside` also what a run can do without: the tiny VAE that shows it as it grows.
    """
    from pokora_anime.catalogue.needed_weights import needs, watched
    from pokora_anime.config.compose import compose

    ids = [word for word in words if "=" not in word and not word.startswith(("~", "+"))]
    overrides = [word for word in words if word not in ids]
    rows: list[Row] = []
    family: Family | None = None
    if overrides or not ids:
        config = compose("video", overrides)
        rows, family = needs(config), config.base.family
        rows += watched(config) if beside else []
    rows += [registry.any_row(identifier) for identifier in ids]
    return list({row.id: row for row in rows}.values()), family or rows[0].families[0]


def _list(arguments: list[str]) -> int:
    from pokora_anime.catalogue.weight_paths import locate

    _parser("list", "Every row of the registry.").parse_args(arguments)
    print(f"{'id':29} {'for':14} {'role':24} {'here':5} {'status':8} licence")
    for row in registry.rows():
        families = ",".join(family.value for family in row.families)
        here = "-" if row.slot else "yes" if locate(row) is not None else "no"
        pin = " (not pinned)" if row.unpinned and not row.slot else ""
        licence = "-" if row.slot else row.terms.name
        print(f"{row.id:29} {families:14} {row.role:24} {here:5} {row.status.value:8} {licence}{pin}")
        if row.reason:
            print(f"{'':29} {row.reason}")
    return 0


def _fetch(arguments: list[str]) -> int:
    from pokora_anime.catalogue.hub.fetch_models import fetch, table

    parser = _parser("fetch", "Download what a composition needs, or rows by their id.", WORDS)
    parser.add_argument("--dry-run", action="store_true", help="only list files, sizes and licences")
    parser.add_argument(
        "--accept",
        action="append",
        default=[],
        metavar="ID",
        help="you looked at the terms of this row, whose licence is unclear, and take the decision",
    )
    typed = parser.parse_intermixed_args(arguments)
    rows, family = rows_of(typed.words, beside=True)
    unknown = sorted(set(typed.accept) - {row.id for row in rows})
    if unknown:
        raise ConfigError(
            "CFG-WEIGHTS",
            f"--accept {unknown[0]}, which is not among what would be fetched",
            expected=f"one of {', '.join(row.id for row in rows)}",
        )
    if typed.dry_run:
        print("\n".join(table(rows)))
        return 0
    fetch(rows, family, accept=[*typed.accept, *_asked(rows, typed.accept)])
    return 0


def _asked(rows: Sequence[Row], accepted: Sequence[str]) -> list[str]:
    """Ids of rows of unclear licence that the user at the terminal accepts, asked before anything comes."""
    from pokora_anime.catalogue.hub.fetch_models import undecided

    questions = [row for row in undecided(rows) if row.id not in accepted]
    if not sys.stdin.isatty():
        return []
    answers: list[str] = []
    for row in questions:
        print(f"{row.id}: {row.terms.name}; {row.reason}. Look at {row.link}")
        try:
            answer = input(f"Fetch and use {row.id}? [y/N] ").strip().lower()
        except EOFError:
            answer = ""
        if answer not in ("y", "yes"):
            break  # what to type instead is told by what follows
        answers.append(row.id)
    return answers


def _verify(arguments: list[str]) -> int:
    from pokora_anime.catalogue import weight_hashes
    from pokora_anime.catalogue.weight_paths import locate
    from pokora_anime.catalogue.weights_advice import absent

    typed = _parser("verify", "Read every byte again and compare hashes.", WORDS).parse_args(arguments)
    if typed.words:
        rows, family = rows_of(typed.words)
    else:
        rows, family = [row for row in registry.rows() if locate(row) is not None], Family.nano
    failures: list[PokoraError] = []
    for row in rows:
        folder = locate(row)
        try:
            if folder is None:
                raise absent([row], [row], family)
            found = weight_hashes.verify(row, folder, fresh=True)
        except PokoraError as error:
            print(f"{row.id:29} {error.line()}")
            failures.append(error)
            continue
        known = weight_hashes.promised(row, folder)
        compared = sum(name in known for name in found)
        print(f"{row.id:29} {compared} of {len(found)} files as promised")
    if failures:
        raise failures[0]
    return 0


def _cite(arguments: list[str]) -> int:
    from pokora_anime.catalogue.citations import bibtex

    typed = _parser("cite", "BibTeX of what a composition loads.", WORDS).parse_args(arguments)
    rows, _ = rows_of(typed.words)
    print(bibtex(rows), end="")
    return 0


def _where(arguments: list[str]) -> int:
    from pokora_anime.catalogue.weight_paths import locate

    typed = _parser("where", "The folders that a composition would load.", WORDS).parse_args(arguments)
    rows, _ = rows_of(typed.words)
    missing = 0
    for row in rows:
        folder: Path | None = locate(row)
        missing += folder is None
        print(f"{row.id:29} {folder or 'not here'}")
    if missing:
        print(f"to get what is missing: pokora models fetch {' '.join(arguments)}".rstrip())
    return 0


def _gc(arguments: list[str]) -> int:
    from pokora_anime.catalogue.hub import leftovers
    from pokora_anime.system.files.user_folder import amount

    parser = _parser("gc", "Delete what was fetched by pokora and no row of the registry names any more.")
    parser.add_argument("--yes", action="store_true", help="delete without asking")
    typed = parser.parse_args(arguments)
    found = leftovers.find()
    if not found:
        print("nothing to delete")
        return 0
    print("\n".join(str(path) for path in found))
    question = f"{len(found)} to delete, {amount(leftovers.size(found))}"
    if not typed.yes:
        if not sys.stdin.isatty():
            print(f"{question}: pokora models gc --yes")
            return 0
        if input(f"{question}? [y/N] ").strip().lower() not in ("y", "yes"):
            print("nothing was deleted")
            return 0
    leftovers.remove(found)
    print(f"{question}: done")
    return 0
