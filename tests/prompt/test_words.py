"""Words: what was typed and is not read is said, what is left open is chosen by the seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pokora_anime.cli import main
from pokora_anime.config import gate, prompt_notes
from pokora_anime.config.compose import compose, compose_stills, compose_video
from pokora_anime.config.overrides import prepare
from pokora_anime.errors import ConfigError, PromptError
from pokora_anime.nano.world.gallery import picture
from pokora_anime.nano.world.vocabulary import ATTRIBUTES, FILLER
from pokora_anime.prompt import open_words, prompt_choices
from pokora_anime.prompt.prompt_attributes import asked_attributes
from pokora_anime.prompt.prompt_chunks import chunked
from pokora_anime.prompt.prompt_syntax import parse, parse_travel
from pokora_anime.prompt.unknown_words import nearest, unknown_words
from pokora_anime.quality.metrics.frame_judges import Tally
from pokora_anime.verify.policy import config_params

# What nano does not know


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("1girl, blue hair, twintails, waving, cherry blossoms", ()),
        ("a cute girl with long silver hair wearing a red kimono is dancing at night", ()),
        ("1girl, school uniform", ()),
        ("1girl, school", ("school",)),
        ("a dragon in a giant castle", ("dragon", "giant castle")),
        ("spaceship, xyzzy", ("spaceship", "xyzzy")),
        ("青い髪の女の子", ("青い髪の女の子",)),
        ("1girl, yellow hair, black_eyes", ("yellow hair", "black eyes")),
    ],
)
def test_what_the_world_cannot_draw_is_named(text: str, unknown: tuple[str, ...]) -> None:
    assert unknown_words(text) == unknown


def test_every_word_of_every_attribute_is_known_and_noise_is_not() -> None:
    tags = [f"{value} hair" for value in ATTRIBUTES["hair_color"]]
    assert unknown_words(", ".join([*tags, *ATTRIBUTES["outfit"], *ATTRIBUTES["background"]])) == ()
    assert len(unknown_words(", ".join(FILLER[:20]))) == 20


@pytest.mark.parametrize(
    ("thing", "near"),
    [("boy", "1girl"), ("twintials", "twintails"), ("yellow hair", "blonde hair"), ("xyzzy", "")],
)
def test_the_nearest_known_word_is_told(thing: str, near: str) -> None:
    assert nearest(thing) == near


@pytest.mark.parametrize("command", ["video", "stills"])
def test_unknown_words_are_told_by_check(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", command, "shot.prompt=spaceship, boy"])
    said = capsys.readouterr().out
    assert "PRM-UNKNOWN" in said and "boy (nearest: 1girl)" in said


def test_other_bases_know_all_words() -> None:
    config = compose_stills(["base=sdxl", "shot.prompt=spaceship"])
    assert [one.code for one in prompt_notes.findings(config)] == []


def test_unknown_things_count_as_not_shown() -> None:
    tally = Tally({"hair_color": "blue"}, unknown=1)
    shares = np.zeros(len(ATTRIBUTES["hair_color"]), np.float32)
    shares[ATTRIBUTES["hair_color"].index("blue")] = 1.0
    tally.add({"hair_color": shares}, np.zeros((18, 3), np.float32))
    assert tally.adherence(None)[0] == 0.5
    nothing = Tally({}, unknown=2)
    nothing.add({"hair_color": shares}, np.zeros((18, 3), np.float32))
    assert nothing.adherence(None)[0] == 0.0


def test_words_lists_each_value_and_its_page_shows_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["words"]) == 0
    said = capsys.readouterr().out
    assert [value for values in ATTRIBUTES.values() for value in values if value not in said] == []
    assert picture("hair_color", "blue") != picture("hair_color", "red")
    monkeypatch.setattr("pokora_anime.nano.world.gallery.picture", lambda name, value: b"")
    assert main(["words", "--html", str(tmp_path / "words.html")]) == 0
    page = (tmp_path / "words.html").read_text()
    assert page.count("<img") == sum(map(len, ATTRIBUTES.values()))


# What is left open


def test_what_is_left_open_is_chosen_by_the_seed_and_named_is_kept() -> None:
    composed = compose_video(["shot.prompt=1girl, red hair, dress"])
    prompts = [replace(composed, seed=seed) for seed in range(12)]
    words = [open_words.chosen(config) for config in prompts]
    assert len(set(words)) > 6
    assert words == [open_words.chosen(config) for config in prompts]
    for config, chosen in zip(prompts, words, strict=True):
        whole = asked_attributes(parse_travel(config.shot, chosen)[0][0][1].text)
        assert set(open_words.FILLED) <= set(whole)
        assert (whole["hair_color"], whole["outfit"]) == ("red", "dress")


@pytest.mark.parametrize(
    "words", ["1girl", "red hair, kimono", "blonde hair, dress", "hoodie", "silver hair"]
)
def test_clothes_are_never_chosen_in_the_color_of_the_hair(words: str) -> None:
    alike = {"silver": "white", "blonde": "yellow"}
    for seed in range(40):
        config = compose_video([f"shot.prompt='{words}'", f"seed={seed}"])
        chosen = open_words.chosen(config)
        found = asked_attributes(f"{words}, {chosen}")
        hair = found["hair_color"]
        assert found["outfit_color"] not in (hair, alike.get(hair)), chosen


def test_nothing_is_chosen_where_all_is_named_or_switched_off() -> None:
    assert open_words.chosen(compose_video([])) == ""
    off = compose_video(["shot.prompt=1girl", "base.fill_open=false"])
    assert open_words.chosen(off) == ""
    assert open_words.chosen(compose_stills(["base=sdxl", "shot.prompt=1girl"])) == ""


def test_closed_eyes_get_no_colour_and_a_refused_one_is_not_chosen() -> None:
    composed = compose_stills(["shot.prompt=1girl, closed eyes", "shot.negative=red hair"])
    for seed in range(20):
        config = replace(composed, seed=seed)
        found = asked_attributes(open_words.chosen(config))
        assert "eye_color" not in found and found["hair_color"] != "red"


def test_all_stops_of_a_prompt_get_the_same_words() -> None:
    config = compose_video(["shot.prompt=0: 1girl, standing, 24: 1girl, blue hoodie, waving"])
    chosen = open_words.chosen(config)
    assert "hoodie" not in chosen and chosen
    assert all(one.text.endswith(chosen) for _, one in parse_travel(config.shot, chosen)[0])


def test_verify_expects_the_words_that_the_config_and_seed_give() -> None:
    config = compose_stills(["shot.prompt=1girl", "seed=3"])
    wanted = config_params.params(config)["prompt"]
    assert wanted["chosen"] == open_words.chosen(config) != ""
    assert "chosen" not in config_params.params(compose_video([]))["prompt"]


# Choices


def test_the_seed_chooses_and_what_was_typed_is_kept() -> None:
    found = {prompt_choices.choose("{red|blue} hair", seed) for seed in range(9)}
    assert found == {"red hair", "blue hair"}
    shot = compose_stills(["shot.prompt={red|blue} hair"]).shot
    assert shot.typed == "{red|blue} hair"
    assert compose_stills(["shot.prompt={curly}, a|b, \\{x|y\\}"]).shot.typed == ""


def test_a_recorded_choice_is_the_seeds() -> None:
    config = compose_stills(["shot.prompt={red|blue|green} hair", "seed=1"])
    assert not [one for one in gate.examine(config) if one.code == "CFG-RANGE"]
    config.shot.prompt = next(
        f"{color} hair" for color in ("red", "blue") if f"{color} hair" != config.shot.prompt
    )
    assert "CFG-RANGE" in [one.code for one in gate.examine(config)]


def test_a_multirun_renders_each_way_and_a_file_each_prompt(tmp_path: Path) -> None:
    assert prompt_choices.ways("{a|{b|c}} {d|e}") == ["a d", "a e", "b d", "b e", "c d", "c e"]
    assert prepare("stills", ["shot.prompt={red|blue} hair"], multirun=True) == [
        "shot.prompt='red hair','blue hair'"
    ]
    with pytest.raises(PromptError, match="64"):
        prompt_choices.ways("{a|b|c}" * 4 + "{a|b}")
    from pokora_anime.cli.render.render import parse as parse_command

    (tmp_path / "prompts.txt").write_text("# mine\n1girl, (smile:1.2)\n\n青い髪\n", encoding="utf-8")
    request = parse_command("video", ["--prompt-file", str(tmp_path / "prompts.txt")])
    assert request.multirun
    assert prepare("video", request.overrides, multirun=True) == ["shot.prompt='1girl, (smile:1.2)','青い髪'"]
    with pytest.raises(ConfigError, match="CFG-FILE"):
        parse_command("video", ["--prompt-file", str(tmp_path)])


# What is not read


@pytest.mark.parametrize("overrides", [["speed.guidance_scale=1"], ["speed.guidance_end=0"]])
def test_a_negative_prompt_without_guidance_is_told(overrides: list[str]) -> None:
    config = compose("stills", ["shot.negative=bad hands", *overrides])
    assert "PRM-UNREAD" in [one.code for one in prompt_notes.findings(config)]
    assert any("negative prompt is not read" in line for line in prompt_notes.lines(config))


def test_a_negative_prompt_that_is_read_or_empty_is_not_told() -> None:
    for overrides in ([], ["speed.guidance_scale=1", "shot.negative="]):
        codes = [one.code for one in prompt_notes.findings(compose("stills", overrides))]
        assert "PRM-UNREAD" not in codes


@pytest.mark.parametrize("base", ["nano", "sdxl"])
def test_an_over_long_prompt_is_refused_before_any_model(base: str) -> None:
    for key in ("prompt", "negative"):
        with pytest.raises(PromptError, match="PRM-LONG"):
            compose_stills([f"base={base}", f"shot.{key}={'a, ' * 151}"])
    assert compose_stills([f"base={base}", f"shot.prompt={'a, ' * 125}"])


def test_a_mistake_is_told_under_the_key_that_was_typed() -> None:
    for key in ("prompt", "negative", "prefix"):
        with pytest.raises(PromptError, match=rf"shot\.{key}"):
            compose_video([f"shot.{key}=(a:9)"])


# Chunks


def words_as_tokens(text: str) -> tuple[list[int], list[tuple[int, int]]]:
    """A token a letter: a word is long, so that cuts fall into it."""
    spans = [(place, place + 1) for place, letter in enumerate(text) if not letter.isspace()]
    return [ord(text[start]) for start, _ in spans], spans


@pytest.mark.parametrize("before", range(8))
def test_chunks_end_at_commas_or_at_least_between_words(before: int) -> None:
    tags = ["cat"] * before + ["cherry blossoms", "hypersensitivity", "night sky"] * 4
    chunks = chunked([(", ".join(tags), 1.0)], words_as_tokens, "prompt")
    ends = ["".join(chr(token.id) for token in chunk) for chunk in chunks]
    assert len(ends) > 1 and all(end.endswith(",") for end in ends[:-1])
    sentence = chunked([(" ".join(["hypersensitivity"] * 8), 1.0)], words_as_tokens, "prompt")
    assert all("".join(chr(t.id) for t in chunk).endswith("hypersensitivity") for chunk in sentence)


def test_break_begins_a_chunk_and_a_weight_may_span_it() -> None:
    pieces = parse("red (dress, BREAK blue:1.2) BREAK BREAK hat").pieces
    chunks = chunked(pieces, words_as_tokens, "prompt")
    assert [("".join(chr(t.id) for t in chunk), chunk[-1].weight) for chunk in chunks] == [
        ("reddress", 1.2),
        ("blue", 1.2),
        ("hat", 1.0),
    ]
    with pytest.raises(PromptError, match="5 chunks"):
        chunked(parse(" BREAK ".join("abcde")).pieces, words_as_tokens, "prompt")
