"""`pokora style`: LoRAs blended by weight into a style of one's own. Torch-free until it is looked at."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pokora_anime.cli.parser import OneLineParser, dispatch, whole
from pokora_anime.errors import PokoraError, WeightsError
from pokora_anime.schema import own_styles
from pokora_anime.schema.own_styles import Blend
from pokora_anime.schema.settings import Family
from pokora_anime.workshop.blending import blend_files, blend_weights
from pokora_anime.workshop.blending.blend_weights import EXAMPLE, Wish

PAGE = """pokora style: blend style LoRAs into one of your own.

  pokora style blend pastel=0.7 flat_color=0.3 --name dusk
                                        weights sum to 1 (or --normalize); a preview, then style=dusk
  pokora style tune pastel=0.7 flat_color=0.3 --name dusk
                                        search the weights on the score, from these on
  pokora style list                     the styles of your own
  pokora style show dusk                one of them
  pokora style export dusk dusk.json    as one small file, to pass on
  pokora style import dusk.json         somebody's file as an option, its LoRAs found by their hash
  pokora style remove dusk              take one away

Names are those that style= and <lora:...> know, your own LoRAs, their versions (mychar@2) and your blends.
Weights keep the bounds of --contest (cs492c): pastel 0.7 to 0.85, flat_color 0.15 to 0.3; those of
--contest showcase are 0 to 1."""


def main(arguments: Sequence[str]) -> int:
    """Dispatch to one action; returns the exit status."""
    actions: dict[str, Callable[[list[str]], int]] = {
        "blend": _blend, "tune": _tune, "list": _list, "show": _show, "export": _export,
        "import": _import, "remove": _remove,
    }  # fmt: skip
    return dispatch("style", PAGE, actions, arguments)


def _parser(action: str, text: str) -> OneLineParser:
    return OneLineParser(prog=f"pokora style {action}", description=text, allow_abbrev=False)


def _blending(action: str, text: str) -> OneLineParser:
    parser = _parser(action, text)
    parser.add_argument("words", nargs="*", metavar="NAME=WEIGHT", help="at most three; the rest: key=value")
    parser.add_argument("--name", required=True, help="how style= will call it")
    parser.add_argument("--base", default="nano", choices=[one.value for one in Family])
    parser.add_argument("--contest", default="cs492c", help="whose bounds the weights keep (or showcase)")
    parser.add_argument("--normalize", action="store_true", help="scale the weights so that they sum to 1")
    parser.add_argument("--replace", action="store_true", help="take the place of the one of that name")
    return parser


def _parsed(parser: OneLineParser, arguments: list[str]) -> tuple[argparse.Namespace, list[str], list[str]]:
    """What was typed, its weights, and the keys of a render."""
    typed, unknown = parser.parse_known_intermixed_args(arguments)
    if negative := [word for word in unknown if "=" in word and not word.startswith("--")]:
        parser.error(f"{negative[0]!r} is no NAME=WEIGHT")
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    keys = [word for word in typed.words if _is_key(word)]
    return typed, [word for word in typed.words if word not in keys], keys


def _is_key(word: str) -> bool:
    """Whether a word is a key or a group of a render, `shot.prompt=...`, and no weight of a LoRA."""
    from pokora_anime.schema.config_groups import groups, keys

    name, equals, _ = word.partition("=")
    return bool(equals) and (name in keys("stills") or name in groups("stills") or name in keys("video"))


def _blend(arguments: list[str]) -> int:
    parser = _blending("blend", "Blend style LoRAs by weight, and keep the blend as an option of style.")
    parser.add_argument("--no-preview", action="store_true", help="do not look at it")
    typed, weights, keys = _parsed(parser, arguments)
    blend = blend_weights.blend(weights, _wish(typed))
    path = blend_files.keep(blend)
    print(f"style={blend.name}: {blend.said} (base={blend.base.value}, {blend.contest}); kept in {path}")
    if not typed.no_preview:
        _preview(blend, keys)
    elif keys:
        print(f"not used: {' '.join(keys)}: there is no preview", file=sys.stderr)
    _told_how(blend)
    return 0


def _wish(typed: argparse.Namespace) -> Wish:
    return Wish(
        name=typed.name,
        base=Family(typed.base),
        contest=typed.contest,
        normalize=typed.normalize,
        replace=typed.replace,
    )


def _preview(blend: Blend, words: Sequence[str]) -> None:
    """Look at a blend. It is kept whatever comes of that: weights of a large base may not be here."""
    from pokora_anime.workshop.blending.blend_preview import preview

    started = time.monotonic()
    try:
        path = preview(blend, words)
    except WeightsError as error:
        print(f"no preview: {error.line()}", file=sys.stderr)
        return
    print(f"preview: {path} ({time.monotonic() - started:.1f} s)")


def _told_how(blend: Blend) -> None:
    base = "" if blend.base is Family.nano else f"base={blend.base.value} "
    print(f"use it: pokora video {base}style={blend.name}; pass it on: pokora style export {blend.name}")


def _refuse_tuning(weights: Sequence[str], wish: Wish) -> None:
    """What is wrong is told before torch comes."""
    blend_weights.blend(weights, wish)


def _tune(arguments: list[str]) -> int:
    parser = _blending("tune", "Search a blend's weights on the score, from those that are typed on.")
    parser.add_argument("--trials", type=whole(1, 60), default=8, help="blends to look at besides the start")
    parser.add_argument("--seeds", type=whole(1, 16), default=6, help="that each is looked at with")
    typed, weights, keys = _parsed(parser, arguments)
    _refuse_tuning(weights, _wish(typed))
    from pokora_anime.workshop.blending import weight_search

    asked = weight_search.Asked(words=tuple(keys), trials=typed.trials, seeds=typed.seeds)
    found = weight_search.tune(weights, _wish(typed), asked, _tell)
    print("\n".join(found.lines()))
    if found.kept is None:
        return 1
    _told_how(found.kept)
    return 0


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _list(arguments: list[str]) -> int:
    _parser("list", "The styles of your own.").parse_args(arguments)
    for name in own_styles.names():
        try:
            blend = own_styles.find(name)
        except PokoraError as error:
            print(f"{name:16} {error.line()}")
            continue
        print(f"{name:16} {blend.base.value:5} {blend.said}")
    if not own_styles.names():
        print(f"no style of your own; {EXAMPLE}")
    return 0


def _show(arguments: list[str]) -> int:
    from pokora_anime.catalogue.own_loras import blend_pins

    parser = _parser("show", "One style of your own: its LoRAs, their hashes, its scores.")
    parser.add_argument("name")
    blend = own_styles.find(parser.parse_args(arguments).name)
    print(f"style={blend.name}  base={blend.base.value}  bounds of {blend.contest}")
    for part in blend.parts:
        told = ", ".join(word for word in (part.title, part.author, part.licence) if word)
        print(f"  {part.id:20} {part.weight:<6g} sha256 {part.sha256[:12]}  {told}")
    for name, value in blend.scores.items():
        print(f"  {name:20} {value:g}")
    path = own_styles.path_of(blend.name)
    print(path)
    if path.with_suffix(".webp").is_file():
        print(path.with_suffix(".webp"))
    blend_pins.require(blend)
    return 0


def _export(arguments: list[str]) -> int:
    parser = _parser("export", "One style of your own as one small file, which names its LoRAs by hash.")
    parser.add_argument("name")
    parser.add_argument("file", type=Path, nargs="?", help="default: NAME.json")
    parser.add_argument("--replace", action="store_true", help="write over a file that is there")
    typed = parser.parse_args(arguments)
    print(
        blend_files.export(typed.name, typed.file or Path(f"{typed.name}.json"), replace_file=typed.replace)
    )
    return 0


def _import(arguments: list[str]) -> int:
    parser = _parser("import", "Somebody's style as an option here; its LoRAs are found by their hash.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--name", default="", help="another name than the file says")
    parser.add_argument("--replace", action="store_true", help="take the place of the one of that name")
    typed = parser.parse_args(arguments)
    blend, told = blend_files.take(typed.file, typed.name, replace_option=typed.replace)
    print("\n".join([*told, f"style={blend.name}: {blend.said} (base={blend.base.value})"]))
    _told_how(blend)
    return 0


def _remove(arguments: list[str]) -> int:
    parser = _parser("remove", "Take a style of your own away; runs that were made with it stay whole.")
    parser.add_argument("name")
    print(f"removed {blend_files.remove(parser.parse_args(arguments).name)}")
    return 0
