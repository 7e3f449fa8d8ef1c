"""What a prompt's text means: LoRA tags, `(emphasis:1.2)`, escapes. Torch-free.

The syntax is that of the AUTOMATIC1111 web UI, which the contest's prompt template uses; square
brackets have no meaning here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from pokora_anime.config.overrides import check_text
from pokora_anime.config.schema import LoraConfig, ShotConfig
from pokora_anime.errors import PromptError
from pokora_anime.models.lora_tags import split_tags

EMPHASIS = 1.1  # what one pair of parentheses multiplies by
WEIGHTS = (0.0, 3.0)
MAX_STOPS = 8
_STOP = re.compile(r"(?:^|,)\s*(\d{1,5})\s*:\s+")
_TOKEN = re.compile(r"\\[()\\]|\(|:\s*([+-]?[\d.]+)\s*\)|\)|[^\\():]+|.", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedPrompt:
    """A prompt taken apart: bare `text`, `loras` in order, and `pieces` of text with their weight."""

    text: str
    loras: tuple[LoraConfig, ...]
    pieces: tuple[tuple[str, float], ...]

    @property
    def weights(self) -> tuple[float, ...]:
        """The weight of each piece."""
        return tuple(weight for _, weight in self.pieces)


def parse(text: str, key: str = "shot.prompt") -> ParsedPrompt:
    """Take a prompt apart. Raises PromptError PRM-3 (not text) and PRM-4 (bad tag or weight)."""
    check_text(key, text)
    bare, loras = split_tags(text)
    pieces = _pieces(bare)
    return ParsedPrompt(text="".join(piece for piece, _ in pieces).strip(), loras=tuple(loras), pieces=pieces)


def parse_shot(shot: ShotConfig) -> tuple[ParsedPrompt, ParsedPrompt]:
    """A shot's prompt (its prefix included) and negative prompt.

    Raises PromptError PRM-1 when nothing is asked for, PRM-3 and PRM-4 as `parse`.
    """
    asked = parse(shot.prompt)
    if not asked.text.strip(" ,.;"):
        raise PromptError(
            "PRM-1",
            "shot.prompt is empty" + (" but for its LoRA tags" if asked.loras else ""),
            expected="what to show, in words",
            fix="shot.prompt='1girl, blue hair, twintails, waving, cherry blossoms'",
        )
    check_text("shot.prefix", shot.prefix)
    prefix = shot.prefix.strip().rstrip(",")
    negative = parse(shot.negative, "shot.negative")
    if negative.loras:
        raise PromptError(
            "PRM-4",
            "a LoRA tag in the negative prompt",
            fix="move it to shot.prompt; a negative weight there turns a LoRA round",
        )
    return parse(f"{prefix}, {shot.prompt}" if prefix else shot.prompt), negative


def stops(text: str) -> tuple[tuple[int, str], ...]:
    """The stops of `0: a girl standing, 24: a girl waving` as (generated frame, text); any other text is one.

    Raises PromptError PRM-5 unless the frames begin with 0 and grow, or for more than 8 stops.
    """
    found = list(_STOP.finditer(text))
    if not found or found[0].start() != 0:
        return ((0, text),)
    ends = [match.start() for match in found[1:]] + [len(text)]
    frames = [int(match[1]) for match in found]
    if frames[0] != 0 or frames != sorted(set(frames)) or len(frames) > MAX_STOPS:
        raise PromptError(
            "PRM-5",
            f"prompt travel by the frames {', '.join(map(str, frames))}",
            expected=f"at most {MAX_STOPS} stops, the first at 0 and each later than the one before",
            fix="shot.prompt='0: 1girl, standing, 24: 1girl, waving'",
        )
    return tuple(
        (frame, text[match.end() : end].strip(" ,"))
        for frame, match, end in zip(frames, found, ends, strict=True)
    )


def parse_travel(shot: ShotConfig) -> tuple[tuple[tuple[int, ParsedPrompt], ...], ParsedPrompt]:
    """A shot's prompt at each of its stops, and its negative prompt. Raises as `parse_shot` and `stops`."""
    parsed = [(frame, *parse_shot(replace(shot, prompt=text))) for frame, text in stops(shot.prompt)]
    return tuple((frame, positive) for frame, positive, _ in parsed), parsed[0][2]


def _pieces(text: str) -> tuple[tuple[str, float], ...]:
    """Stretches of text with their weight; neighbours of equal weight are joined."""
    found: list[tuple[str, float]] = []
    opened: list[int] = []  # index into `found` where each open parenthesis began
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token == "(":
            opened.append(len(found))
        elif match[1] is not None and opened:
            _multiply(found, opened.pop(), _weight(match[1], token))
        elif token == ")" and opened:
            _multiply(found, opened.pop(), EMPHASIS)
        else:
            found.append((token[1:] if token[0] == "\\" and len(token) > 1 else token, 1.0))
    for start in opened:  # a parenthesis never closed counts to the end, as in the web UI
        _multiply(found, start, EMPHASIS)
    joined: list[tuple[str, float]] = []
    for piece, weight in found:
        if joined and joined[-1][1] == weight:
            joined[-1] = (joined[-1][0] + piece, weight)
        else:
            joined.append((piece, weight))
    return tuple(joined)


def _multiply(found: list[tuple[str, float]], start: int, factor: float) -> None:
    found[start:] = [(piece, weight * factor) for piece, weight in found[start:]]


def _weight(number: str, token: str) -> float:
    try:
        weight = float(number)
    except ValueError:
        weight = -1.0
    if not WEIGHTS[0] <= weight <= WEIGHTS[1]:
        raise PromptError(
            "PRM-4",
            f"weight {number!r} in {token!r}",
            expected=f"a number in {WEIGHTS}",
            fix="for example (smile:1.2)",
        )
    return weight
