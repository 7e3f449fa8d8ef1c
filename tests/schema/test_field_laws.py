"""A setting's law stands on its field, and all who must know it read it there."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from pokora_anime.cli import main
from pokora_anime.config.checks import check
from pokora_anime.config.compose import compose, unresolved
from pokora_anime.config.resolve import resolve
from pokora_anime.errors import ConfigError
from pokora_anime.schema.config_groups import SCHEMAS, map_keys, prompt_keys, typed_settings
from pokora_anime.schema.field_laws import Law, Setting, Text, sections, settings
from pokora_anime.schema.run_identity import run_key
from pokora_anime.schema.settings import LoraConfig, RunConfig

EVERY = [(command, one) for command, schema in SCHEMAS.items() for one in settings(schema)]
NUMBERS = [
    (command, one)
    for command, one in EVERY
    if one.law.typed and one.kind in (int, float) and (command == "video" or one.key == "count")
    # Of a key point or a shot the clip and its list say more: tests/timeline.
    if not one.key.startswith(("timeline.", "shots[]"))
]
# What else must be set for a number at its border to fit the others.
BESIDE: dict[str, dict[str, object]] = {
    "shot.fps=60": {"finish.fps": 60},
    "finish.fps=1": {"shot.fps": 1},
    "motion.frames=2": {"motion.overlap": 1},
    "motion.frames=32": {"keyframe.enabled": False, "control.kinds": []},
    "motion.overlap=31": {"motion.frames": 32, "keyframe.enabled": False, "control.kinds": []},
}


@pytest.fixture(scope="module")
def configs() -> dict[str, RunConfig]:
    """A config of each command in which no field makes another's range smaller."""
    weights = "timeline.lora=[{frame:0,value:0.8,id:pastel}]"
    video = compose("video", ["speed=hq", "control.source=keyframe", "style.loras=[{id:pastel}]", weights])
    return {"video": video, "stills": compose("stills", ["speed=hq"])}


def ids(case: object) -> str:
    return case.key if isinstance(case, Setting) else str(case)


def put(config: RunConfig, key: str, value: object) -> None:
    """Set what a key of a schema stands for; [] is the first item, {} each name."""
    inside: Any = config
    *path, last = key.replace("[]", ".[]").split(".")
    for name in path:
        inside = inside[0] if name == "[]" else getattr(inside, name)
    if isinstance(getattr(inside, last), dict):
        getattr(inside, last)["pose"] = value
    else:
        setattr(inside, last, value)


def refusal(config: RunConfig) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        check(config)
    assert caught.value.code == "CFG-RANGE"
    return caught.value


def shown(key: str) -> str:
    """How an error names a key."""
    return f"{key}.pose" if key in map_keys() else key.replace("[]", "[0]")


@pytest.mark.parametrize(("command", "setting"), EVERY, ids=ids)
def test_every_field_says_what_it_is_for(command: str, setting: Setting) -> None:
    text = setting.law.help
    assert text == text.strip(" .") and 0 < len(text) <= 80, f"{setting.key} needs a law with a line of help"
    if setting.kind is str:
        assert setting.law.text or setting.law.words, f"{setting.key}: what may it hold?"
    if setting.law.typed and setting.kind in (int, float):
        assert setting.law.low is not None and setting.law.high is not None, f"{setting.key}: which numbers?"
    if setting.form == "map":
        assert setting.law.names, f"{setting.key}: which names?"


def test_every_section_says_what_it_is_for() -> None:
    for schema in SCHEMAS.values():
        assert all(law.help for law in sections(schema).values())


@pytest.mark.parametrize(("command", "setting"), NUMBERS, ids=ids)
def test_the_borders_of_a_law_are_allowed(
    command: str, setting: Setting, configs: dict[str, RunConfig]
) -> None:
    law = setting.law
    for border in (law.low, law.high, law.off):
        if border is not None:
            config = copy.deepcopy(configs[command])
            put(config, setting.key, setting.kind(border))
            for key, value in BESIDE.get(f"{setting.key}={setting.kind(border)}", {}).items():
                put(config, key, value)
            check(config)


def outside(setting: Setting) -> Iterator[float]:
    """Numbers just outside a law."""
    law = setting.law
    assert law.low is not None and law.high is not None
    if setting.kind is float:
        yield from (
            math.nextafter(law.low, -math.inf),
            math.nextafter(law.high, math.inf),
            math.nan,
            math.inf,
        )
    else:
        between = [int(law.low) + 1] if law.odd or law.multiple else []
        yield from (int(law.low) - 1, int(law.high) + 1, *between)


@pytest.mark.parametrize(("command", "setting"), NUMBERS, ids=ids)
def test_a_number_just_outside_is_refused_with_a_fix_that_works(
    command: str, setting: Setting, configs: dict[str, RunConfig]
) -> None:
    for value in outside(setting):
        config = copy.deepcopy(configs[command])
        for other, beside in BESIDE.get(f"{setting.key}={setting.law.nearest(value):g}", {}).items():
            put(config, other, beside)
        put(config, setting.key, value)
        error = refusal(config)
        assert error.got == f"{shown(setting.key)}={value}"
        assert error.expected.startswith(setting.law.expected().partition(" to ")[0])
        if setting.inside:
            assert error.fix == f"style.loras=[{{id:pastel,weight:{setting.law.nearest(value)}}}]"
            continue
        key, _, mended = error.fix.partition("=")
        assert key == shown(setting.key)
        put(config, setting.key, setting.kind(mended))
        check(config)


@examples(deadline=None, max_examples=200)
@given(case=st.sampled_from(NUMBERS), number=st.integers(-(2**64), 2**64) | st.floats())
def test_a_law_holds_for_what_it_calls_nearest(case: tuple[str, Setting], number: float) -> None:
    law = case[1].law
    assert law.holds(law.nearest(number))
    if law.holds(number):
        assert law.nearest(number) == number


@pytest.mark.parametrize("side", [0, 1])
def test_all_numbers_outside_are_named_in_one_line(side: int, capsys: pytest.CaptureFixture[str]) -> None:
    numbers = [one for command, one in NUMBERS if command == "video" and not one.inside]
    alone = ("seed", "motion.frames")  # the other seeds, and overlaps, follow from it
    typed = {shown(one.key): list(outside(one))[side] for one in numbers if one.key not in alone}
    assert main(["check", "video", "speed=hq", *(f"{key}={value}" for key, value in typed.items())]) == 2
    line = capsys.readouterr().err
    assert line.startswith("pokora: CFG-RANGE: ") and line.count("\n") == 1
    assert [key for key in typed if f" {key}=" not in line] == []


WRONG_TEXT = {Text.weights: "a b", Text.role: "a b", Text.own_role: "own:", Text.upscaler: "upscalr"}


@pytest.mark.parametrize(
    "setting",
    [one for _, one in EVERY if one.law.typed and (one.law.words or one.law.text in WRONG_TEXT)],
    ids=ids,
)
def test_a_text_outside_is_refused(setting: Setting, configs: dict[str, RunConfig]) -> None:
    config = copy.deepcopy(configs["video"])
    put(config, setting.key, WRONG_TEXT[setting.law.text] if setting.law.text else f"{setting.law.words[0]}r")
    error = refusal(config)
    assert error.got.startswith(f"{shown(setting.key)}=") and error.expected and error.fix


def test_a_name_outside_a_map_is_refused(configs: dict[str, RunConfig]) -> None:
    for key in map_keys():
        config = copy.deepcopy(configs["video"])
        inside: Any = config
        for name in key.split("."):
            inside = getattr(inside, name)
        inside["pse"] = 1.0
        error = refusal(config)
        assert (error.got, error.fix) == (f"{key}.pse=1.0", f"{key}.pose=1")


def test_what_can_be_typed_is_read_off_the_laws() -> None:
    assert prompt_keys() == ("shot.prompt", "shot.prefix", "shot.negative")
    assert map_keys() == ("control.scale",)
    assert not [key for key in typed_settings("video") if key.startswith("contest")]
    assert "shot.typed" not in typed_settings("video")


# One line in one place


class Colour(Enum):
    red = "red"
    blue = "blue"


@dataclass(kw_only=True, slots=True)
class Inner:
    width: Annotated[int, Law("width", low=8, high=64, multiple=8, unit="px")] = 16
    colour: Annotated[Colour | None, Law("colour")] = None


@dataclass(kw_only=True, slots=True)
class Outer:
    inner: Annotated[Inner, Law("what is inside", typed=False)]
    many: Annotated[list[Inner], Law("several")]
    named: Annotated[dict[str, float], Law("by name", low=0, high=1, names=("a", "b"))]
    bare: int = 3


def test_the_walk_reads_any_schema() -> None:
    found = {one.key: one for one in settings(Outer)}
    keys = "inner.width inner.colour many many[].width many[].colour named bare"
    assert list(found) == keys.split()
    assert (found["inner.width"].default, found["bare"].default, found["many"].default) == (16, 3, "???")
    assert not found["inner.width"].law.typed and found["many[].width"].law.typed
    assert found["inner.width"].accepted == "8 to 64 px, a multiple of 8"
    assert found["many[].colour"].type_name == "red|blue or null"
    assert found["named"].accepted == "0 to 1, by name: named.a=..."
    assert found["many"].type_name == "[{width:...,colour:...}]"
    assert found["bare"].law == Law("")
    assert {key: law.help for key, law in sections(Outer).items()} == {"inner": "what is inside"}


def test_hydra_sees_the_types_alone() -> None:
    from omegaconf import OmegaConf, ValidationError

    composed = OmegaConf.structured(SCHEMAS["video"])
    composed.shot.fps, composed.motion.lora = "7", None
    assert (composed.shot.fps, composed.motion.lora) == (7, None)
    for key, value in (("shot.fps", "x"), ("shot.fps", None), ("control.scale", {"pose": "x"})):
        with pytest.raises(ValidationError):
            OmegaConf.update(composed, key, value)


def test_what_is_resolved_once_stays() -> None:
    typed = ["shot.prompt={1girl|1boy}, waving", "motion.camera=pan_left"]
    once = resolve(unresolved("video", typed))
    assert once.shot.typed and once.device.threads > 0
    key = run_key("video", once)
    assert run_key("video", resolve(once)) == key == run_key("video", compose("video", typed))


def test_a_lora_of_a_list_is_typed_anew_as_a_whole(configs: dict[str, RunConfig]) -> None:
    config = copy.deepcopy(configs["video"])
    config.style.loras = [LoraConfig(id="pastel", weight=3.0), LoraConfig(id="flat_color", weight=0.2)]
    fix = refusal(config).fix
    assert fix == "style.loras=[{id:pastel,weight:2},{id:flat_color,weight:0.2}]"
    assert compose("video", [fix]).style.loras[0].weight == 2
