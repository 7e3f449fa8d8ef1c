"""`pokora negative`: what to leave out, suggested or searched. Torch-free until it is searched."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pokora_anime.cli.parser import OneLineParser, dispatch, whole
from pokora_anime.config.compose import compose
from pokora_anime.errors import ConfigError
from pokora_anime.workshop.blending import negative_words

PAGE = """pokora negative: the negative prompt, what is to be left out.

  pokora negative suggest '1girl, red kimono, night'
                                        from the contest's list, what the base is known for, and what the
                                        scorecards of your runs miss; says where it is not read
  pokora negative tune '1girl, red kimono, night' --trials 20
                                        which of those words help, on stills of fixed seeds; told only where
                                        it is better by more than noise, with a sheet of before and after

More keys may follow: base=sdxl speed=hq."""


def main(arguments: Sequence[str]) -> int:
    """Dispatch to one action; returns the exit status."""
    actions: dict[str, Callable[[list[str]], int]] = {"suggest": _suggest, "tune": _tune}
    return dispatch("negative", PAGE, actions, arguments)


def _parser(action: str, text: str) -> OneLineParser:
    parser = OneLineParser(prog=f"pokora negative {action}", description=text, allow_abbrev=False)
    parser.add_argument("prompt", help="the prompt, in quotes")
    parser.add_argument("keys", nargs="*", help="key=value, as for `pokora video`")
    parser.add_argument("--out", type=Path, default=Path("outputs"), metavar="DIR", help="where the runs are")
    return parser


def _refuse(prompt: str, keys: Sequence[str]) -> None:
    """What is no prompt, or no key. Raises ConfigError CFG-SYNTAX."""
    if not prompt.strip():
        raise ConfigError(
            "CFG-SYNTAX", "an empty prompt", expected="what is to be seen", fix="'1girl, beach'"
        )
    strange = next((key for key in keys if "=" not in key), "")
    if strange:
        raise ConfigError(
            "CFG-SYNTAX", f"{strange[:60]!r} is not key=value", fix="put the whole prompt into single quotes"
        )
    if any(key.startswith(("shot.prompt=", "shot.negative=", "negative=")) for key in keys):
        raise ConfigError(
            "CFG-SYNTAX",
            "a prompt or a negative prompt as a key",
            expected="the prompt as the first word, and no negative one: it is what is looked for",
            fix="leave the key out",
        )


def _suggest(arguments: list[str]) -> int:
    parser = _parser("suggest", "Words to leave out, and where each is from. Nothing is rendered.")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    typed = parser.parse_intermixed_args(arguments)
    _refuse(typed.prompt, typed.keys)
    found = negative_words.suggest(typed.prompt, typed.keys, typed.out)
    if typed.json:
        print(json.dumps(found.to_json(), ensure_ascii=False, indent=2))
        return 0
    for word, why in found.words.items():
        print(f"{word:20} {why}")
    for note in found.notes:
        print(note)
    if found.left_out:
        print(f"left out, because the prompt asks for it: {', '.join(found.left_out)}")
    if not found.runs:
        print("no scored run at this base and speed: nothing measured went in")
    print(f"shot.negative={shlex.quote(found.text)}")
    return 0


def _tune(arguments: list[str]) -> int:
    parser = _parser("tune", "Search which of the suggested words help, on stills of fixed seeds.")
    parser.add_argument("--trials", type=whole(1, 200), default=20)
    parser.add_argument("--seeds", type=whole(1, 32), default=6, help="that each trial is looked at with")
    typed = parser.parse_intermixed_args(arguments)
    _refuse(typed.prompt, typed.keys)
    # What is wrong is told before torch comes.
    negative_words.require_read(compose("stills", [*typed.keys, f"shot.prompt={typed.prompt}"]))
    from pokora_anime.workshop.blending.negative_search import Asked, tune

    asked = Asked(
        prompt=typed.prompt,
        words=tuple(typed.keys),
        trials=typed.trials,
        seeds=typed.seeds,
        root=typed.out,
    )
    found = tune(asked, lambda line: print(line, file=sys.stderr, flush=True))
    if found.compared is None:
        print("nothing is better than what is there: nothing to change")
        return 1
    print(f"before: {found.start or 'none'}\nafter: {found.best or 'none'}\n{found.compared.line()}")
    print(f"sheet: {found.sheet}")
    if not found.compared.better:
        print("not kept: leave the negative prompt as it is")
        return 1
    print(f"shot.negative={shlex.quote(found.best)}")
    return 0
