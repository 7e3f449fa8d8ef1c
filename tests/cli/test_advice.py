"""Every advice of a refusal is typed: what it says to type has another outcome than what was typed."""

from __future__ import annotations

import re
import shlex
from contextlib import suppress
from difflib import get_close_matches

import pytest

from pokora_anime.cli import main
from pokora_anime.config.overrides import prepare

RENDERING = ("video", "stills", "sweep", "bench", "train", "reproduce")
# A command line that is refused, and the code of the refusal. --cfg and check render nothing.
REFUSED = (
    ("vidoe --cfg", "CFG-COMMAND"),
    ("video sed=1 --cfg", "CFG-KEY"),
    ("video 'style.loras=[{id:pastel,wait:1}]' --cfg", "CFG-KEY"),
    ("video --fresh --cfg", "CFG-SYNTAX"),
    ("video '1girl, blue hair' --cfg", "CFG-SYNTAX"),
    ("video base=sdx --cfg", "CFG-OPTION"),
    ("video base=nano,sdxl --cfg", "CFG-SWEEP"),
    ("""video 'shot.prompt=["a", "b"]' --cfg""", "CFG-SWEEP"),
    ("video seed=-1 --cfg", "CFG-RANGE"),
    ("video shot.fps=30 --cfg", "CFG-RANGE"),
    ("video control.scale.pse=1 --cfg", "CFG-RANGE"),
    ("video encode.preset=fastt --cfg", "CFG-RANGE"),
    ("video keyframe=none control=pose --cfg", "CFG-RANGE"),
    ("video speed=lightning speed.guidance_scale=3 --cfg", "CFG-RANGE"),
    ("video motion.camera=pan_left motion.lora=zoom_in --cfg", "CFG-RANGE"),
    ("video base=sdxl base.fill_open=true --cfg", "CFG-RANGE"),
    ("video guard=x --cfg", "CFG-RANGE"),
    ("stills 'shot.prompt=0: a girl, 24: a boy' --cfg", "CFG-RANGE"),
    ("video 'shot.prompt=0: a girl, 99: a boy' --cfg", "CFG-RANGE"),
    ("video motion.chain=windows 'shot.prompt=0: a, 24: b' --cfg", "CFG-RANGE"),
    ("video shot.prompt= --cfg", "PRM-EMPTY"),
    ("video 'shot.prompt=4: a, 8: b' --cfg", "PRM-TRAVEL"),
    ("video 'shot.prompt=(smile:9), girl' --cfg", "PRM-SYNTAX"),
    ("video 'shot.prompt=girl <lora:pastel:9>' --cfg", "PRM-SYNTAX"),
    ("video 'shot.prompt=girl <lora:pastel' --cfg", "PRM-SYNTAX"),
    ("video 'shot.prompt=girl <lora:pastel:1:0.5>' --cfg", "PRM-SYNTAX"),
    ("video 'shot.prompt=girl <lora:pastel:te=0.5:unet=1>' --cfg", "PRM-SYNTAX"),
    ("video 'shot.prompt=girl <Lora:pastel:1>' --cfg", "PRM-SYNTAX"),
    ("video 'shot.prompt={2$$red|blue} hair' --cfg", "PRM-SYNTAX"),
    ("video 'shot.prompt={red|blue hair' --cfg", "PRM-SYNTAX"),
    ("video 'shot.prompt=girl AND cat:0.5' --cfg", "PRM-SYNTAX"),
    ("video 'shot.prompt=[girl:boy:0.5]' --cfg", "PRM-SYNTAX"),
    ("video 'shot.prompt=[red|blue] hair' --cfg", "PRM-SYNTAX"),
    ("video 'shot.prompt=__haircolor__, girl' --cfg", "PRM-SYNTAX"),
    ("""video 'shot.prompt="0": "girl", "8": "boy"' --cfg""", "PRM-SYNTAX"),
    ("video 'shot.negative=<lora:a:1> bad' --cfg", "PRM-SYNTAX"),
    ("video 'shot.negative={bad|worse}' --cfg", "PRM-SYNTAX"),
    ("check 'shot.prompt=girl <lora:pastl:1>'", "GATE-UNREGISTERED"),
    ("check 'shot.prompt=girl <lora:zzz:1>'", "GATE-UNREGISTERED"),
    ("check base=sdxl motion.lora=pan_lft", "GATE-UNREGISTERED"),
    ("check --multirun seed=1,2", "CFG-SYNTAX"),
    ("check base.weights=/etc/passwd", "GATE-PATH"),
    ("check hydra.searchpath=x", "GATE-CONFIG"),
    ("models lst", "CFG-COMMAND"),
    ("models cite xx", "CFG-WEIGHTS"),
    ("words foo", "CFG-SYNTAX"),
    ("doctor now", "CFG-SYNTAX"),
    ("train", "CFG-SYNTAX"),
)


@pytest.mark.parametrize(("line", "code"), REFUSED)
def test_an_advice_that_is_typed_has_another_outcome(
    line: str, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = shlex.split(line)
    said = outcome(typed, capsys)
    assert code in said
    advice = re.search(r"fix: (.+)", said)
    assert advice, said
    following = followed(typed, advice[1].strip())
    assert following != typed, said
    assert {"--cfg", "--multirun", "--help"} & set(following) or following[0] not in RENDERING, following
    if "--multirun" in following:  # what would render is only composed
        assert prepare(following[0], [word for word in following[1:] if "=" in word], multirun=True)
        return
    assert first(outcome(following, capsys)) != first(said)


def outcome(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What is printed."""
    with suppress(SystemExit):  # argparse's help
        main(arguments)
    shown = capsys.readouterr()
    return shown.err + shown.out


def first(said: str) -> str:
    """The refusal, or the first finding of check with what was got."""
    lines = said.splitlines()
    return " ".join(lines[:2])


def followed(typed: list[str], advice: str) -> list[str]:
    """The command line with the advice followed, as a person would; the first of two ways."""
    if found := re.fullmatch(r"write (.+) instead of (.+)", advice):
        assert any(found[2] in word for word in typed), advice
        return [word.replace(found[2], found[1]) for word in typed]
    if found := re.search(r"did you mean `pokora (\w+)`\?", advice):
        return [found[1], *typed[1:]]
    if found := re.search(r"`(?:pokora )([^`]+)`", advice):
        return shlex.split(found[1].replace("NAME", "x"))
    if found := re.search(r"did you mean (\S+?)(?: or \S+)?\?", advice):
        return meant(typed, found[1])
    if found := re.search(r"add (--\w+)", advice):
        return [*(word for word in typed if word != "--cfg"), found[1]]
    if found := re.search(r"leave out (\S+)", advice):
        kept = [word for word in typed if word.partition("=")[0] != found[1]]
        return [word for word in kept if "," not in word] if found[1] == "--multirun" else kept
    words = [word for word in shlex.split(re.split(r", or |; ", advice)[0]) if "=" in word]
    assert words, f"nothing to type in {advice!r}"
    return replaced(typed, words)


def replaced(typed: list[str], words: list[str]) -> list[str]:
    """With words in the place of those of the same key, and of what is no word of a command line."""
    keys = {word.partition("=")[0] for word in words}
    slip = [word for word in typed[1:] if "=" not in word and not word.startswith("-")]
    wrong = [*slip, *(word for word in typed if word.startswith("control.scale"))]
    return [*(w for w in typed if w.partition("=")[0] not in keys and w not in wrong), *words]


def meant(typed: list[str], name: str) -> list[str]:
    """With what is most like the name replaced by it: a command, a word, a key, a value, or part of one."""
    pieces = [
        piece
        for word in typed
        for piece in {word, *re.split(r"=", word, maxsplit=1), *re.findall(r"[\w.-]+", word)}
    ]
    close = get_close_matches(name, [piece for piece in pieces if piece and piece != name], n=1, cutoff=0.0)
    return [name if word == close[0] else word.replace(close[0], name) for word in typed]
