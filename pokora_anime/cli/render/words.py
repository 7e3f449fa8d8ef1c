"""`pokora words`: everything that base=nano can be asked for, by group; with --html its pictures too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap

from pokora_anime.cli.parser import OneLineParser
from pokora_anime.nano.world import vocabulary
from pokora_anime.system.files.atomic_files import writing

_DESCRIPTION = """What base=nano draws: one girl, described by these words and no others.

Words of the same group exclude each other. Any other word is told before a render and not drawn.
What you leave open of hair, eyes and clothes is chosen by the seed (base.fill_open=false: by chance)."""


def main(arguments: Sequence[str]) -> int:
    """Print the groups, or write the page. Raises ConfigError, MachineError SYS-WRITE."""
    parser = OneLineParser(prog="pokora words", description=_DESCRIPTION)
    parser.add_argument("--html", metavar="FILE", type=Path, help="write a page with a picture of each word")
    typed = parser.parse_args(list(arguments))
    if typed.html is None:
        print(listing())
        return 0
    from pokora_anime.nano.world.gallery import page

    text = page(said)
    with writing(typed.html):
        typed.html.write_text(text, encoding="utf-8")
    print(typed.html)
    return 0


def listing() -> str:
    """Every group with its values, other forms of a value in brackets."""
    width = max(map(len, vocabulary.ATTRIBUTES)) + 2
    lines = [_DESCRIPTION, ""]
    for name, values in vocabulary.ATTRIBUTES.items():
        for index, value in enumerate(values):
            label = name.replace("_", " ") if index == 0 else ""
            others = vocabulary.SYNONYMS.get(name, {}).get(value, ())
            also = f"  (also {', '.join(said(name, form) for form in others)})" if others else ""
            lines.append(f"  {label:{width}}{said(name, value)}{also}")
    lines += ["", f"  {'taken, no effect':{width}} {', '.join(vocabulary.QUALITY)}", "", *_moves(), ""]
    return "\n".join([*lines, "Try: pokora stills shot.prompt='1girl, red hair, ponytail, kimono, beach'"])


def _moves() -> list[str]:
    """What a clip's poses can be planned for, beside the actions that are drawn."""
    from pokora_anime.choreography.actions import NAMES

    more = [name for name in NAMES if name not in vocabulary.ATTRIBUTES["action"]]
    lines = wrap(", ".join(more), 96, initial_indent="  ", subsequent_indent="  ")
    return ["Clips (control.source=choreography, the default) also know, seen from the front:", *lines]


def said(name: str, value: str) -> str:
    """A value as it stands in a prompt: a colour with what it colours."""
    noun = {"hair_color": "hair", "eye_color": "eyes", "outfit_color": "clothes"}.get(name)
    return f"{value} {noun}" if noun else value
