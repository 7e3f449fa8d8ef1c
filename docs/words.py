"""Writes docs/words.md: everything that base=nano can be asked for, as `pokora words` lists it.

python docs/words.py
"""

from __future__ import annotations

from pathlib import Path

from pokora_anime.choreography.actions import NAMES
from pokora_anime.cli.render.words import said
from pokora_anime.nano.world import vocabulary

PAGE = Path(__file__).parent / "words.md"
_HEAD = """# The words of nano

Made from the source by `python docs/words.py`; `pokora words` prints the same, and `pokora words --html
FILE` draws a picture of each. `base=nano` draws one girl, described by these words and no others. Words of
a group exclude each other. Any other word is told before a render and not drawn. What you leave open of
hair, eyes and clothes is chosen by the seed.
"""


def page() -> str:
    """The page as Markdown."""
    lines = [_HEAD, "| Group | Word | Also |", "|---|---|---|"]
    for name, values in vocabulary.ATTRIBUTES.items():
        others = vocabulary.SYNONYMS.get(name, {})
        for index, value in enumerate(values):
            label = name.replace("_", " ") if index == 0 else ""
            also = ", ".join(said(name, form) for form in others.get(value, ()))
            lines.append(f"| {label} | {said(name, value)} | {also} |")
    more = [name for name in NAMES if name not in vocabulary.ATTRIBUTES["action"]]
    lines += ["", f"Taken, without effect: {', '.join(vocabulary.QUALITY)}.", ""]
    lines += [f"Clips also move by these words, seen from the front: {', '.join(more)}.", ""]
    lines += ["```sh", "pokora stills shot.prompt='1girl, red hair, ponytail, kimono, beach'", "```"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
