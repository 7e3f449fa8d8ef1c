"""The rules: each number of a contest, each kind of string, no false alarm on what honest people type."""

from __future__ import annotations

import base64
import copy
import json
import resource
import subprocess
import sys
import time
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from io import BytesIO
from pathlib import Path
from random import Random
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pokora_anime.catalogue import registry
from pokora_anime.cli import main
from pokora_anime.config import gate
from pokora_anime.config.compose import compose
from pokora_anime.errors import ConfigError
from pokora_anime.findings import Finding, Severity, Verdict, verdict, worst_first
from pokora_anime.rules import (
    checkpoint_facts,
    closed_config,
    contest,
    contest_limits,
    loadable_weights,
    text_rules,
)
from pokora_anime.rules.case import Case, Use, uses
from pokora_anime.schema.config_groups import SCHEMAS, conf_dir
from pokora_anime.schema.run_identity import to_plain
from pokora_anime.schema.settings import ContestConfig, RunConfig
from pokora_anime.untrusted import strict_yaml
from pokora_anime.verify.policy import config_params

Plain = dict[str, Any]
CS492C = contest_limits.load("cs492c")


@pytest.fixture(scope="module")
def configs() -> dict[str, RunConfig]:
    """One config within all limits for each mode."""
    return {
        "hq": compose("video", ["experiment=contest_sdxl"]),
        "fast": compose("video", ["experiment=contest_sdxl_fast"]),
        "stills": compose("stills", ["base=sdxl", "speed=hq"]),
        "nano": compose("video", []),
    }


def changed(config: RunConfig, changes: Plain) -> Plain:
    """The config as plain data with some dotted keys set."""
    plain: Plain = copy.deepcopy(to_plain(config))
    for key, value in changes.items():
        inside = plain
        *path, last = key.split(".")
        for name in path:
            inside = inside[name]
        inside[last] = value
    return plain


def case_of(config: RunConfig, changes: Plain | None = None, limit: ContestConfig = CS492C) -> Case:
    """The case of a changed config; ranges of the schema are not checked."""
    command = "stills" if hasattr(config, "count") else "video"
    typed, found = closed_config.read(command, changed(config, changes or {}))
    assert typed is not None, found
    return Case(config=typed, limits=limit, uses=uses(typed))


def codes(findings: list[Finding], severity: Severity = Severity.block) -> set[str]:
    """The codes of one severity."""
    return {finding.code for finding in findings if finding.severity is severity}


PASTEL_FACTS = checkpoint_facts.facts("pastel-anime-xl")


def lora(role: str, strength: float = 1.0, *, kind: str = "style_lora", **facts: object) -> Use:
    """A LoRA for SDXL that nobody has to clear, unless `facts` say otherwise."""
    clear: Plain = {"status": "allowed", "pinned": True, "own": False, "empty": False, **facts}
    row = replace(PASTEL_FACTS, id=f"some-{role}", kind=kind, role=role, **clear)
    return Use(where="style.loras", name=role, kind=kind, strength=strength, weights=row)


# The contest's numbers


@pytest.mark.parametrize("mode", ["hq", "fast", "stills"])
def test_the_contest_presets_break_no_number(mode: str, configs: dict[str, RunConfig]) -> None:
    assert codes(contest.judge(case_of(configs[mode]))) == set()


PASTEL, FLAT = "<lora:pastelAnimeXL:{}>", "<lora:animeFlatColorXL:{}>"
WITHIN: list[tuple[str, Plain]] = [
    ("hq", {"shot.seconds": 8.0}),
    ("hq", {"shot.seconds": 10.0}),
    ("hq", {"shot.fps": 8}),
    ("hq", {"shot.fps": 12}),
    ("hq", {"speed.steps": 20}),
    ("hq", {"speed.steps": 30}),
    ("fast", {"speed.steps": 4}),
    ("fast", {"speed.steps": 6}),
    ("fast", {"speed.guidance_scale": 1.5}),
    ("fast", {"speed.guidance_scale": 2.0}),
    ("hq", {"base.width": 1024, "base.height": 1024}),
    ("hq", {"finish.width": 1366}),
    ("hq", {"finish.interpolation": "none"}),
    ("hq", {"shot.prefix": PASTEL.format(0.7) + FLAT.format(0.15)}),
    ("hq", {"shot.prefix": PASTEL.format(0.85) + FLAT.format(0.3)}),
    ("stills", {"count": 3}),
    ("stills", {"finish.width": 1024, "finish.height": 1024}),
]
BROKEN: list[tuple[str, Plain, str]] = [
    ("hq", {"shot.seconds": 7.9}, "RULE-SECONDS"),
    ("hq", {"shot.seconds": 10.1}, "RULE-SECONDS"),
    ("hq", {"shot.fps": 7}, "RULE-FPS"),
    ("hq", {"shot.fps": 13}, "RULE-FPS"),
    ("hq", {"speed.steps": 19}, "RULE-STEPS"),
    ("hq", {"speed.steps": 31}, "RULE-STEPS"),
    ("fast", {"speed.steps": 3}, "RULE-STEPS"),
    ("fast", {"speed.steps": 7}, "RULE-STEPS"),
    ("hq", {"speed.guidance_scale": 5.9}, "RULE-GUIDANCE"),
    ("hq", {"speed.guidance_scale": 6.1}, "RULE-GUIDANCE"),
    ("fast", {"speed.guidance_scale": 1.4}, "RULE-GUIDANCE"),
    ("fast", {"speed.guidance_scale": 2.1}, "RULE-GUIDANCE"),
    ("hq", {"speed.sampler": "lcm"}, "RULE-SAMPLER"),
    ("hq", {"speed.lora_role": "lcm"}, "RULE-SPEED-LORA"),
    ("fast", {"speed.lora_role": None}, "RULE-SPEED-LORA"),
    ("hq", {"base.width": 512, "base.height": 512}, "RULE-GENERATED-SIZE"),
    ("hq", {"base.height": 1024}, "RULE-GENERATED-SIZE"),
    ("hq", {"finish.height": 720}, "RULE-DELIVERED-SIZE"),
    ("stills", {"finish.height": 1024}, "RULE-DELIVERED-SIZE"),
    ("hq", {"motion.frames": 24}, "RULE-SEGMENT"),
    ("hq", {"shot.prefix": PASTEL.format(0.69)}, "RULE-LORA-WEIGHT"),
    ("hq", {"shot.prefix": PASTEL.format(0.86)}, "RULE-LORA-WEIGHT"),
    ("hq", {"shot.prefix": FLAT.format(0.14)}, "RULE-LORA-WEIGHT"),
    ("hq", {"shot.prefix": FLAT.format(0.31)}, "RULE-LORA-WEIGHT"),
    ("hq", {"style.loras": [{"id": "pastel", "weight": 1.0}], "shot.prefix": ""}, "RULE-LORA-WEIGHT"),
    ("stills", {"count": 0}, "RULE-STILLS"),
    ("stills", {"count": 4}, "RULE-STILLS"),
]


@pytest.mark.parametrize(("mode", "changes"), WITHIN)
def test_the_ends_of_a_range_belong_to_it(mode: str, changes: Plain, configs: dict[str, RunConfig]) -> None:
    assert codes(contest.judge(case_of(configs[mode], changes))) == set()


@pytest.mark.parametrize(("mode", "changes", "code"), BROKEN)
def test_a_number_outside_its_range_is_found(
    mode: str, changes: Plain, code: str, configs: dict[str, RunConfig]
) -> None:
    assert codes(contest.judge(case_of(configs[mode], changes))) == {code}


@pytest.mark.parametrize(
    ("role", "good", "bad"),
    [("character", 0.6, 0.59), ("character", 0.8, 0.81), ("aesthetic", 0.1, 0.09), ("aesthetic", 0.2, 0.21)],
)
def test_each_role_has_its_range(role: str, good: float, bad: float, configs: dict[str, RunConfig]) -> None:
    case = case_of(configs["hq"])
    assert codes(contest.judge(replace(case, uses=(*case.uses, lora(role, good))))) == set()
    assert codes(contest.judge(replace(case, uses=(*case.uses, lora(role, bad))))) == {"RULE-LORA-WEIGHT"}


def test_three_style_loras_pass_and_four_do_not(configs: dict[str, RunConfig]) -> None:
    case = case_of(configs["hq"])
    three = (*case.uses, lora("character", 0.7))
    assert codes(contest.judge(replace(case, uses=three))) == set()
    four = (*three, lora("aesthetic", 0.1))
    assert codes(contest.judge(replace(case, uses=four))) == {"RULE-LORA-COUNT"}


def test_a_camera_move_is_a_motion_lora_of_the_motion_alone() -> None:
    words = ["base=sd2", "motion.lora=zoom_in", "base.motion_adapter=animatediff-v1-5-2"]
    config = compose("video", words)
    assert [use.name for use in uses(config) if use.kind == "motion_lora"] == ["zoom_in"]
    assert "RULE-LICENCE" in codes(gate.examine(config), Severity.review)
    assert "motion-lora-zoom-in" in config_params.loras(config, moving=True)
    assert "motion-lora-zoom-in" not in config_params.loras(config, moving=False)


def test_one_motion_lora_passes_and_two_do_not(configs: dict[str, RunConfig]) -> None:
    case = case_of(configs["hq"])
    one = (*case.uses, lora("zoom_in", 1.0, kind="motion_lora"))
    assert codes(contest.judge(replace(case, uses=one))) == set()
    two = (*one, lora("pan_left", 1.0, kind="motion_lora"))
    assert codes(contest.judge(replace(case, uses=two))) == {"RULE-MOTION-LORA"}


def test_a_style_of_no_named_role_is_for_a_person(configs: dict[str, RunConfig]) -> None:
    case = case_of(configs["hq"])
    found = contest.judge(replace(case, uses=(*case.uses, lora("watercolour", 0.5))))
    assert "RULE-LORA-ROLE" in codes(found, Severity.review)
    assert codes(found) == set()


@pytest.mark.parametrize("name", ["lightning", "hyper"])
def test_speeds_that_the_rules_do_not_name_are_for_a_person(name: str) -> None:
    config = compose("video", ["base=sdxl", f"speed={name}"])
    found = gate.examine(config)
    assert codes(found) == set()
    assert {"RULE-SPEED", "RULE-LICENCE"} <= codes(found, Severity.review)


def test_turbo_is_not_eligible_as_speed_or_base(configs: dict[str, RunConfig]) -> None:
    turbo = compose("video", ["base=sdxl", "speed=turbo"])
    assert {"RULE-SPEED", "GATE-BLOCKED"} <= codes(gate.examine(turbo))
    assert "RULE-BASE" in codes(contest.judge(case_of(configs["fast"], {"base.weights": "sdxl-turbo"})))


def test_a_part_of_the_steps_without_guidance_is_for_a_person(configs: dict[str, RunConfig]) -> None:
    for part in ("speed.guidance_end", "speed.clip_guidance_end"):
        found = contest.judge(case_of(configs["hq"], {part: 0.5}))
        assert "RULE-GUIDANCE-INTERVAL" in codes(found, Severity.review)


def test_interpolation_is_one_that_the_rules_name(configs: dict[str, RunConfig]) -> None:
    case = case_of(configs["hq"])
    strict = replace(case, limits=replace(CS492C, interpolations=[]))
    assert "RULE-INTERPOLATION" in codes(contest.judge(strict))


def test_an_unknown_licence_and_a_missing_pin_are_for_a_person(configs: dict[str, RunConfig]) -> None:
    unclear = lora("pastel", 0.8, status="review", pinned=False)
    found = contest.judge(replace(case_of(configs["hq"]), uses=(unclear,)))
    assert codes(found) == set()
    assert codes(found, Severity.review) == {"RULE-LICENCE", "RULE-UNPINNED"}


@pytest.mark.parametrize(
    ("statement", "severity"), [("40 drawings of my own", Severity.review), ("", Severity.block)]
)
def test_the_data_of_an_own_lora_is_for_a_person(
    statement: str, severity: Severity, configs: dict[str, RunConfig]
) -> None:
    own = lora("character", 0.7, own=True, status="review", data_statement=statement)
    found = contest.judge(replace(case_of(configs["hq"]), uses=(own,)))
    assert codes(found, severity) == {"RULE-TRAINING-DATA"}


def test_an_empty_place_for_an_own_lora_is_no_lora(configs: dict[str, RunConfig]) -> None:
    empty = replace(case_of(configs["hq"]), uses=(lora("character", 0.7, empty=True),))
    assert codes(loadable_weights.judge(empty)) == {"GATE-UNREGISTERED"}


def test_weights_that_are_not_loaded_need_no_licence() -> None:
    found = gate.examine(compose("video", ["base=sd2"]))  # the template's style LoRAs are SDXL's
    absent = {one.got for one in found if one.code == "RULE-LORA-ABSENT"}
    assert absent == {"pastelAnimeXL", "animeFlatColorXL"}
    assert not any("flat-color" in one.got for one in found if one.severity is Severity.review)


def test_nano_renders_is_noted_and_not_eligible(configs: dict[str, RunConfig]) -> None:
    found = gate.examine(configs["nano"])
    assert codes(found) == set()
    assert "RULE-BASE" in codes(found, Severity.note)
    assert verdict(found) is Verdict.not_eligible
    gate.refuse(configs["nano"])


def test_what_breaks_a_number_renders_all_the_same(configs: dict[str, RunConfig]) -> None:
    config = case_of(configs["hq"], {"shot.seconds": 2.0}).config
    assert codes(gate.examine(config)) == {"RULE-SECONDS"}
    gate.refuse(config)


def leaves(plain: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Where the numbers of a contest's file are."""
    if isinstance(plain, dict):
        return [leaf for name, item in plain.items() for leaf in leaves(item, (*path, name))]
    if isinstance(plain, list):
        return [leaf for index, item in enumerate(plain) for leaf in leaves(item, (*path, index))]
    return [path] if isinstance(plain, int | float) else []


RAW: Plain = strict_yaml.load((conf_dir() / "contest" / "cs492c.yaml").read_text())  # type: ignore[assignment]
FOR_LATER = {"writeup_pages", "poster_megabytes"}  # of the submission's documents


@pytest.mark.parametrize("path", [leaf for leaf in leaves(RAW) if leaf[0] not in FOR_LATER], ids=str)
def test_every_number_of_the_file_is_in_force(
    path: tuple[str | int, ...], configs: dict[str, RunConfig]
) -> None:
    raw = copy.deepcopy(RAW)
    inside: Any = raw
    for name in path[:-1]:
        inside = inside[name]
    at_least = str(path[-1]).startswith(("min", "low"))
    inside[path[-1]] = 10_000 if at_least else -1
    limit, found = closed_config.read_contest(raw)
    assert limit is not None, found
    cases = [case_of(configs[mode], limit=limit) for mode in ("hq", "fast", "stills")]
    cases.append(case_of(configs["hq"], {"base.width": 1024, "base.height": 1024}, limit))
    extra = [lora("character", 0.7), lora("aesthetic", 0.15), lora("zoom", 1.0, kind="motion_lora")]
    cases += [replace(cases[0], uses=(use,)) for use in extra]
    assert any(codes(contest.judge(case)) for case in cases)


# Another contest is another file


def test_in_another_contest_other_limits_hold(configs: dict[str, RunConfig]) -> None:
    other = compose("video", ["contest=showcase", "shot.seconds=2", "style=none"])
    assert verdict(gate.examine(other)) is Verdict.eligible
    assert verdict(gate.examine(configs["nano"])) is Verdict.not_eligible


def test_limits_that_a_config_carries_are_not_those_that_count(configs: dict[str, RunConfig]) -> None:
    tampered = changed(configs["hq"], {"shot.seconds": 60.0, "contest.max_seconds": 100.0})
    found = gate.examine_recorded("video", tampered)
    assert codes(found) == {"RULE-SECONDS"}
    assert "RULE-LIMITS" in codes(found, Severity.review)


def test_a_contest_that_has_no_file_is_found(configs: dict[str, RunConfig]) -> None:
    found = gate.examine_recorded("video", changed(configs["hq"], {"contest.name": "easy"}))
    assert codes(found) == {"CFG-CONTEST"}


GOOD_FILE = (conf_dir() / "contest" / "cs492c.yaml").read_text()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (("max_fps: 12", "max_fps: 12\nmax_fps: 60"), "GATE-DUPLICATE"),
        (("max_fps: 12", "max_fps: 12\nmax_frames: 60"), "CFG-CONTEST"),
        (("max_fps: 12", "max_fps: twelve"), "CFG-CONTEST"),
        (("max_fps: 12", ""), "CFG-CONTEST"),
        (("min_stills: 1\nmax_stills: 3", "min_stills: &a 1\nmax_stills: *a"), "GATE-YAML"),
        (("max_fps: 12", "max_fps: !!python/object/apply:os.getpid []"), "GATE-YAML"),
        (("max_fps: 12", "max_fps: [12"), "GATE-YAML"),
        (("name: cs492c", "name: other"), "CFG-CONTEST"),
        (("max_fps: 12", "max_fps: .inf"), "CFG-CONTEST"),
    ],
)
def test_a_broken_contest_file_is_refused(change: tuple[str, str], code: str, tmp_path: Path) -> None:
    path = tmp_path / "cs492c.yaml"
    path.write_text(GOOD_FILE)
    assert contest_limits.read_file(path) == CS492C
    path.write_text(GOOD_FILE.replace(*change))
    with pytest.raises(ConfigError) as caught:
        contest_limits.read_file(path)
    assert caught.value.code == code


# The closed config


def slots(kind: Any, slot: str = "") -> list[tuple[str, Any]]:
    """Every place of a schema with its scalar type, as closed.STRINGS names them."""
    inside = get_args(kind)
    if NoneType in inside:
        return slots(inside[0], slot)
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return [
            found
            for entry in fields(kind)
            for found in slots(hints[entry.name], f"{slot}.{entry.name}" if slot else entry.name)
        ]
    if get_origin(kind) is list:
        return slots(inside[0], f"{slot}[]")
    if get_origin(kind) is dict:
        assert inside[0] is str
        return [(f"{slot}{{}}", str), *slots(inside[1], f"{slot}{{}}")]
    return [(slot, kind)]


ALL_SLOTS = [found for schema in SCHEMAS.values() for found in slots(schema)]


def test_a_config_is_text_numbers_and_choices() -> None:
    others = [
        slot
        for slot, kind in ALL_SLOTS
        if kind not in (str, int, float, bool) and not (isinstance(kind, type) and issubclass(kind, Enum))
    ]
    assert others == []


def test_every_string_has_a_rule() -> None:
    places = {slot for slot, kind in ALL_SLOTS if kind is str}
    # A map of texts would be judged by its key's rule.
    assert places == set(closed_config.STRINGS)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("???"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=150)
@given(place=st.integers(0, 10_000), value=JSON, command=st.sampled_from(["video", "stills", "train"]))
def test_any_json_in_the_place_of_a_value_is_judged(
    place: int, value: object, command: str, configs: dict[str, RunConfig]
) -> None:
    plain = copy.deepcopy(to_plain(configs["nano"]))
    holders: list[tuple[Any, Any]] = []

    def walk(inside: Any) -> None:
        for key in list(inside) if isinstance(inside, dict) else range(len(inside)):
            holders.append((inside, key))
            if isinstance(inside[key], dict | list):
                walk(inside[key])

    walk(plain)
    holder, key = holders[place % len(holders)]
    holder[key] = value
    assert all(isinstance(finding, Finding) for finding in gate.examine_recorded(command, plain))


@pytest.mark.parametrize("plain", [None, [], "x", 3, {}, {"shot": None}, {1: 2}, {"x" * 9999: 1}])
def test_what_is_no_config_is_refused(plain: object) -> None:
    assert codes(gate.examine_recorded("video", plain)) & {"GATE-TYPE", "GATE-KEY"}


# Strings: no false alarm


HONEST = (
    "1girl, blue hair, (smile:1.2)",
    "fate/stay night, black/white dress, he/she, 24/7, w/ glasses, and/or, AC/DC",
    ".hack//sign, re:zero, k-on!, a.i.channel, mr. smith vs. dr. who",
    "(/ω＼) ヽ(´▽`)/ \\(^o^)/ d(^o^)b ¯\\_(ツ)_/¯ o/ <3 >_< ^_^ :3 D: :// /|\\",
    "costs $5, ${seed}, $(id), ${oc.env:HOME}, 100% cotton",
    "<lora:a:1> = b, c=d, <lora:pastelAnimeXL:0.8>",
    "back\\slash, \\(escaped\\), ends in \\",
    "it's \"quoted\" 'twice', `ticks`",
    "青い髪、ツインテール、手を振る。桜の下で…",
    "한복을 입은 소녀, 벚꽃",
    "蓝色头发的女孩，挥手，樱花",
    "девушка с синими волосами, машет рукой",
    "κορίτσι με μπλε μαλλιά",
    "فتاة ذات شعر أزرق، تلوّح بيدها",
    "می‌خواهم برقصم",
    "ילדה עם שיער כחול\u200f, waving",
    "नीले बालों वाली लड़की, क्‍ष",
    "หญิงสาวผมสีฟ้าโบกมือ",
    "cô gái tóc xanh, vẫy tay",
    "niña de pelo azul, ¡saludando! ¿por qué?",
    "葛\U000e0100城, 辻\U000e0101",
    "👩‍🎤 singing 👨‍👩‍👧‍👦 🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f ❤️‍🔥 🫨 🧑🏽‍🚀 ☀️",
    "masterpiece,best_quality,1girl,solo,long_hair,looking_at_viewer_from_below,thighhighs,outdoors",
    "score_9, score_8_up, score_7_up, score_6_up, rating_safe, source_anime",
    "16:9, 4k, 8k, 1girl, 2boys, 3d, f/1.8, 85mm, ISO100, 1/200s, 1990s, no. 7",
    "colors #ff00aa #00ff11 #123456 #abcdef #0000ff, rgb(255, 0, 170)",
    "Donaudampfschifffahrtsgesellschaftskapitaen in Lederhosen",
    "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch station",
    "RedDress/BlueDress/LongHair/BigEyes/SchoolUniform2, iPhone15Pro, GPT4o",
    "red/blue/green/yellow/purple/orange/white/black/brown hair",
    "wait... what.../then, nya~, 5 ~ 6 cats, ~ and/or ~",
    "data: none, metadata: and/or, base64 tattoo, hex: cafe, bead, fade, deaf, face, dead, beef, added",
    "ｆｕｌｌｗｉｄｔｈ, １girl, ①②③, ™ ° ½ … — “curly” ‘quotes’ «guillemets»",
    "embedding a gem, a token of love, image of a girl, mask, latent energy, callback to the 90s",
    "null", "1.5", "-starts with a dash", "# no comment", "@here ~there !that *star &and %percent",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!!!!!!!!!!!!!!!!!!!!!",
    ", ".join(["RedDress/BlueDress/LongHair/BigEyes/SchoolUniform2"] * 5),
)  # fmt: skip


@pytest.mark.parametrize("prompt", HONEST)
def test_an_honest_prompt_passes(prompt: str) -> None:
    assert text_rules.judge(text_rules.PROMPT, prompt, "shot.prompt") == []


WORDS = [word for prompt in HONEST for word in prompt.replace(",", " ").split() if "\\" not in word]
# Hebrew's mark and a lone tag sequence mean something only where they stand.
PARTS = st.sampled_from([word for word in WORDS if "\u200f" not in word])
SEPARATORS = st.sampled_from([", ", " ", "、", ",", "; ", " | ", " + ", ". "])


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(PARTS, SEPARATORS), min_size=1, max_size=40), st.floats(0.1, 2.0))
def test_any_mix_of_honest_words_passes(parts: list[tuple[str, str]], weight: float) -> None:
    prompt = "".join(word + separator for word, separator in parts)[: text_rules.MAX_PROMPT - 40]
    prompt = f"{prompt.rsplit(' ', 1)[0]}, ({parts[0][0]}:{weight:.1f}), <lora:pastelAnimeXL:{weight:.2f}>"
    assert text_rules.judge(text_rules.PROMPT, prompt, "shot.prompt") == []


@settings(deadline=None, max_examples=200)
@given(st.text(st.characters(categories=["Lu", "Ll", "Lo", "Nd", "Po"]), max_size=60))
def test_letters_of_any_script_pass(words: str) -> None:
    found = {finding.code for finding in text_rules.judge(text_rules.PROMPT, words, "shot.prompt")}
    # Random punctuation may look like a link or place; letters never look hidden or encoded.
    assert found <= {"GATE-PATH", "GATE-URL", "GATE-DATA-URI"} or set(words) & set("\u115f\u1160\u3164\uffa0")


# Strings: no miss


def chunks(encoded: str, size: int, separator: str) -> str:
    return separator.join(encoded[start : start + size] for start in range(0, len(encoded), size))


ENCODINGS = {
    "base64": lambda raw: base64.b64encode(raw).decode(),
    "base64url": lambda raw: base64.urlsafe_b64encode(raw).decode(),
    "base64 in quotes": lambda raw: f'"{base64.b64encode(raw).decode()}"',
    "base64 in words": lambda raw: chunks(base64.b64encode(raw).decode(), 12, " "),
    "base64 in tags": lambda raw: chunks(base64.b64encode(raw).decode(), 8, ", "),
    "base32": lambda raw: base64.b32encode(raw).decode(),
    "hex": lambda raw: raw.hex(),
    "HEX": lambda raw: raw.hex().upper(),
    "hex pairs": lambda raw: raw.hex(" "),
    "hex, commas": lambda raw: ", ".join(f"0x{byte:02x}" for byte in raw),
    "escapes": lambda raw: "".join(f"\\x{byte:02x}" for byte in raw),
    "percent": lambda raw: "".join(f"%{byte:02X}" for byte in raw),
    "numbers": lambda raw: ", ".join(str(byte) for byte in raw),
    "floats": lambda raw: "[" + ", ".join(f"{byte / 255:.4f}" for byte in raw) + "]",
    "bits": lambda raw: "".join(f"{byte:08b}" for byte in raw),
    "Braille": lambda raw: "".join(chr(0x2800 + byte) for byte in raw),
    "data URI": lambda raw: f"data:image/png;base64,{base64.b64encode(raw).decode()}",
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32), st.sampled_from(["", "1girl, blue hair, ", "青い髪、"]))
def test_encoded_bytes_are_found_however_they_are_written(encoding: str, seed: int, before: str) -> None:
    random = Random(seed)  # compressed pictures look like chance
    prompt = before + ENCODINGS[encoding](random.randbytes(random.randint(160, 300)))
    found = {finding.code for finding in text_rules.judge(text_rules.PROMPT, prompt, "shot.prompt")}
    assert found & {"GATE-ENCODED", "GATE-ARRAY", "GATE-DATA-URI", "GATE-LONG"}


@pytest.mark.parametrize("encoding", ["base64", "base64 in words", "base64 in tags", "hex", "numbers"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_a_tiny_picture_is_found_however_it_is_written(kind: str, encoding: str) -> None:
    file = BytesIO()
    picture = Image.effect_noise((16, 16), 60).convert("RGB")
    picture.resize((24, 24)).save(file, kind, quality=40)
    prompt = f"1girl, {ENCODINGS[encoding](file.getvalue()[:700])}"
    found = {finding.code for finding in text_rules.judge(text_rules.PROMPT, prompt, "shot.prompt")}
    assert found & {"GATE-ENCODED", "GATE-ARRAY"}


@pytest.mark.parametrize(
    "hostile",
    ["1" * 4000, "1 " * 2000, "a" * 4000, "/a" * 2000, "data:" * 800, "ab " * 1300, "<a" * 2000,
     "www." * 1000, "\u200d" * 4000, "\ufe0f" * 4000, "0x" * 2000, "%a" * 2000, "." * 4000, "a://" * 1000,
     "\U0001f3f4" + "\U000e0067" * 3999],
)  # fmt: skip
def test_no_string_is_slow_to_judge(hostile: str) -> None:
    started = time.process_time()
    text_rules.judge(text_rules.PROMPT, hostile, "shot.prompt")
    text_rules.judge(text_rules.ID, hostile, "base.weights")
    assert time.process_time() - started < 0.5


# Findings


def test_a_verdict_is_that_of_the_gravest_finding() -> None:
    note = Finding(code="A", severity=Severity.note, message="a")
    review = Finding(code="B", severity=Severity.review, message="b")
    block = Finding(code="C", severity=Severity.block, message="c")
    assert verdict([]) is verdict([note]) is Verdict.eligible
    assert verdict([note, review]) is Verdict.after_review
    assert verdict([review, block]) is Verdict.not_eligible
    assert verdict([replace(note, ineligible=True)]) is Verdict.not_eligible
    assert worst_first([note, block, review]) == [block, review, note]


def test_a_finding_is_one_line() -> None:
    finding = Finding(
        code="A-1",
        severity=Severity.block,
        message="wrong",
        got="x\ny",
        expected="z",
        fix="type z",
        where="k",
    )
    assert finding.line() == "A-1 wrong (k: x y); expected z; fix: type z"


def test_blocked_weights_are_refused(configs: dict[str, RunConfig]) -> None:
    blocked = next(row for row in registry.rows() if row.status is registry.Status.blocked)
    case = case_of(configs["hq"], {"base.weights": blocked.id})
    assert "GATE-BLOCKED" in codes(loadable_weights.judge(case))
    with pytest.raises(ConfigError, match="GATE-BLOCKED"):
        gate.refuse(case.config)


# `pokora check`


@pytest.mark.parametrize(
    ("words", "status", "last"),
    [
        (["experiment=contest_sdxl"], 0, "eligible after review for cs492c"),
        ([], 0, "not eligible for cs492c"),
        (["contest=showcase", "style=none"], 0, "eligible for showcase"),
        (["base=sdxl", "shot.seconds=2"], 1, "not eligible for cs492c"),
        (["stills", "base=sdxl", "speed=hq"], 0, "eligible after review for cs492c"),
        (["image=photo"], 1, "not eligible"),
        (["--config-dir=/tmp"], 1, "not eligible"),
        (["shot.prompt=see https://example.org/a.png"], 1, "not eligible for cs492c"),
    ],
)
def test_check_says_what_a_config_is_worth(
    words: list[str], status: int, last: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", *words]) == status
    assert capsys.readouterr().out.splitlines()[-1] == last


@pytest.mark.parametrize(
    "words", [["sed=1"], ["--fast"], ["seed=1,2"], ["--multirun"], ["hydra.launcher.n_jbs=2"]]
)
def test_a_command_line_that_cannot_be_read_is_another_status(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", *words]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("pokora: CFG-")


def test_check_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--json", "base=sdxl", "shot.fps=24"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["command"], report["contest"], report["verdict"]) == ("video", "cs492c", "not eligible")
    blocks = [finding for finding in report["findings"] if finding["severity"] == "block"]
    assert [(one["code"], one["where"], one["got"], one["expected"]) for one in blocks] == [
        ("RULE-FPS", "shot.fps", "24", "8 to 12")
    ]


def test_check_takes_a_prompt_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POKORA_PROMPT", "see https://example.org")
    assert main(["check", "--prompt-env", "POKORA_PROMPT"]) == 1
    assert "GATE-URL" in capsys.readouterr().out


def test_check_is_quick_and_light() -> None:
    code = (
        "import sys; from pokora_anime.cli import main\n"
        "main(['check', 'experiment=contest_sdxl'])\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'cv2'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Processor time: this machine may be busy with something else.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2.0


def test_its_page_has_commands_that_work(capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", "--help"])
    page = capsys.readouterr().out
    typed = [line.split()[2:] for line in page.splitlines() if line.startswith("  pokora ")]
    assert len(typed) == 5
    assert [main(["check", *words]) for words in typed] == [0, 0, 1, 0, 0]
