"""What a prompt's text means: LoRA tags, `(emphasis:1.2)`, `[less]`, BREAK, `{a|b}`, escapes. Torch-free.

The syntax is that of the AUTOMATIC1111 web UI, which the contest's prompt template uses. What it has
and a run has not is answered in prompt_foreign.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, replace

from pokora_anime.catalogue.lora.lora_tags import split_tags
from pokora_anime.errors import PromptError
from pokora_anime.prompt import prompt_choices, prompt_foreign
from pokora_anime.prompt.prompt_chunks import BREAK
from pokora_anime.prompt.prompt_text import check_text
from pokora_anime.schema.settings import LoraConfig, ShotConfig

EMPHASIS = 1.1  # what one pair of parentheses multiplies by, and of square brackets divides by
WEIGHTS = (0.0, 3.0)
MAX_STOPS = 30
_STOP = re.compile(r"(?:^|,)\s*(\d{1,5})\s*:\s+")
_TOKEN = re.compile(
    r"\\[()\[\]{}|\\]|[(\[]|:\s*([+-]?[\d.]+)\s*\)|[)\]]|(\bBREAK\b)|(?:(?!\bBREAK\b)[^\\()\[\]:])+|.",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedPrompt:
    """A prompt taken apart: bare `text`, `loras` in order, and `pieces` of text with their weight.

    The piece BREAK begins a new chunk.
    """

    text: str
    loras: tuple[LoraConfig, ...]
    pieces: tuple[tuple[str, float], ...]

    @property
    def weights(self) -> tuple[float, ...]:
        """The weight of each piece."""
        return tuple(weight for _, weight in self.pieces)


def parse(text: str, key: str = "shot.prompt", seed: int = 0) -> ParsedPrompt:
    """Take a prompt apart; choices that are still open are made by `seed`.

    Raises PromptError PRM-CHARACTER (not text) and PRM-SYNTAX (bad tag, weight or choice, another
    program's syntax).
    """
    check_text(key, text)
    bare, loras = split_tags(prompt_choices.choose(text, seed, key), key)
    prompt_foreign.refuse(bare, key)
    pieces = _pieces(bare, key)
    said = "".join(", " if piece == BREAK else piece[0] for piece in pieces)
    return ParsedPrompt(text=said.strip(), loras=tuple(loras), pieces=pieces)


def parse_shot(shot: ShotConfig, chosen: str = "") -> tuple[ParsedPrompt, ParsedPrompt]:
    """A shot's prompt (its prefix, and `chosen` words behind it, included) and negative prompt.

    Raises PromptError PRM-EMPTY when nothing is asked for, PRM-CHARACTER and PRM-SYNTAX as `parse`.
    """
    asked = parse(shot.prompt)
    if not asked.text.strip(" ,.;"):
        raise PromptError(
            "PRM-EMPTY",
            "shot.prompt is empty" + (" but for its LoRA tags" if asked.loras else ""),
            expected="what to show, in words",
            fix="shot.prompt='1girl, blue hair, twintails, waving, cherry blossoms'",
        )
    for key, text in (("shot.prefix", shot.prefix), ("shot.negative", shot.negative)):
        if prompt_choices.has(text):
            raise PromptError(
                "PRM-SYNTAX", f"a choice in {key}", expected="a choice in shot.prompt", fix=f"{key}="
            )
    parse(shot.prefix, "shot.prefix")  # so that what is wrong there is told under its own name
    prefix = shot.prefix.strip().rstrip(",")
    negative = parse(shot.negative, "shot.negative")
    if negative.loras:
        raise PromptError(
            "PRM-SYNTAX",
            "a LoRA tag in shot.negative, the negative prompt",
            expected="words; in shot.prompt a negative weight turns a LoRA round",
            fix=f"shot.negative={shlex.quote(negative.text)}",
        )
    return parse(", ".join(part for part in (prefix, shot.prompt, chosen) if part)), negative


def stops(text: str) -> tuple[tuple[int, str], ...]:
    """The stops of `0: a girl standing, 24: a girl waving` as (generated frame, text); any other text is one.

    Raises PromptError PRM-TRAVEL unless the frames begin with 0 and grow, or for more than MAX_STOPS.
    """
    found = list(_STOP.finditer(text))
    if not found or found[0].start() != 0:
        return ((0, text),)
    ends = [match.start() for match in found[1:]] + [len(text)]
    frames = [int(match[1]) for match in found]
    if frames[0] != 0 or frames != sorted(set(frames)) or len(frames) > MAX_STOPS:
        raise PromptError(
            "PRM-TRAVEL",
            f"prompt travel by the frames {', '.join(map(str, frames))}",
            expected=f"at most {MAX_STOPS} stops, the first at 0 and each later than the one before",
            fix="shot.prompt='0: 1girl, standing, 24: 1girl, waving'",
        )
    return tuple(
        (frame, text[match.end() : end].strip(" ,"))
        for frame, match, end in zip(frames, found, ends, strict=True)
    )


def parse_travel(
    shot: ShotConfig, chosen: str = ""
) -> tuple[tuple[tuple[int, ParsedPrompt], ...], ParsedPrompt]:
    """A shot's prompt at each of its stops, and its negative prompt. Raises as `parse_shot` and `stops`."""
    parsed = [(frame, *parse_shot(replace(shot, prompt=text), chosen)) for frame, text in stops(shot.prompt)]
    return tuple((frame, positive) for frame, positive, _ in parsed), parsed[0][2]


def _pieces(text: str, key: str) -> tuple[tuple[str, float], ...]:
    """Stretches of text with their weight; neighbours of equal weight are joined."""
    found: list[tuple[str, float]] = []
    round_, square = list[int](), list[int]()  # index into `found` where each open bracket began
    for match in _TOKEN.finditer(text):
        token = match[0]
        if match[2]:
            found.append(BREAK)
        elif token in "([":
            (round_ if token == "(" else square).append(len(found))
        elif match[1] is not None and round_:
            _multiply(found, round_.pop(), _weight(match[1], token, key))
        elif token == ")" and round_:
            _multiply(found, round_.pop(), EMPHASIS)
        elif token == "]" and square:
            _multiply(found, square.pop(), 1 / EMPHASIS)
        else:
            found.append((token[1:] if token[0] == "\\" and len(token) > 1 else token, 1.0))
    # A bracket never closed counts to the end, as in the web UI.
    for opened, factor in ((round_, EMPHASIS), (square, 1 / EMPHASIS)):
        for start in opened:
            _multiply(found, start, factor)
    return _joined(found)


def _joined(found: list[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    joined: list[tuple[str, float]] = []
    for piece, weight in found:
        if joined and joined[-1][1] == weight and (piece, weight) != BREAK:
            joined[-1] = (joined[-1][0] + piece, weight)
        else:
            joined.append((piece, weight))
    for place, one in enumerate(joined):  # spaces and commas around BREAK are no tokens
        if one == BREAK:
            _trim(joined, place - 1, before=True)
            _trim(joined, place + 1, before=False)
    return tuple(piece for piece in joined if piece[0])


def _trim(joined: list[tuple[str, float]], place: int, *, before: bool) -> None:
    if 0 <= place < len(joined) and joined[place] != BREAK:
        piece, weight = joined[place]
        joined[place] = (piece.rstrip(" ,") if before else piece.lstrip(" ,"), weight)


def _multiply(found: list[tuple[str, float]], start: int, factor: float) -> None:
    found[start:] = [one if one == BREAK else (one[0], one[1] * factor) for one in found[start:]]


def _weight(number: str, token: str, key: str) -> float:
    try:
        weight = float(number)
    except ValueError:
        weight = -1.0
    if not WEIGHTS[0] <= weight <= WEIGHTS[1]:
        raise PromptError(
            "PRM-SYNTAX",
            f"weight {number!r} in {token!r} in {key}",
            expected=f"a number in {WEIGHTS}",
            fix=f"write :1.2) instead of {token}",
        )
    return weight
