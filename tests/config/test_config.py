"""From what is typed to a checked config: prompts survive, mistakes are named, keys are stable."""

from __future__ import annotations

import dataclasses

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pokora_anime.cli.render import render
from pokora_anime.config import group_precedence
from pokora_anime.config.checks import contest_notes
from pokora_anime.config.compose import compose, compose_stills, compose_video, translate
from pokora_anime.config.overrides import prepare, quote
from pokora_anime.errors import ConfigError, PokoraError, PromptError
from pokora_anime.jobs import sweep_jobs
from pokora_anime.schema.config_groups import conf_dir, defaults, groups, keys, options
from pokora_anime.schema.option_values import leaves
from pokora_anime.schema.run_identity import recorded, run_key, run_slug, to_plain, to_yaml
from pokora_anime.schema.settings import Anchor, ControlKind, Family, MapSource, Sampler

TEMPLATE = (
    "(masterpiece, anime, clean cel-shading), detailed eyes, vivid colors, "
    "<lora:pastelAnimeXL:0.8>, <lora:animeFlatColorXL:0.25>"
)
TRICKY = (
    "1girl, blue hair, (smile:1.2)",
    "it's \"quoted\" 'twice'",
    "costs $5, ${seed}, $(id), ${oc.env:HOME}",
    "<lora:a:1> = b, c=d",
    "[blurry], {curly}, a|b",
    "back\\slash, ends in \\",
    "\\${x} \\\\${y} \\' \\\\'",
    "青い髪、ツインテール、手を振る",
    "null",
    "1.5",
    "-starts with a dash",
    "choice(a,b)",
    "# no comment",
    "a: b",
    "@here ~there !that *star &and %percent",
)


def refusal(*overrides: str, command: str = "video") -> str:
    """The line that a composition is refused with."""
    with pytest.raises(PokoraError) as caught:
        compose(command, overrides)
    line = caught.value.line()
    assert "\n" not in line
    return line


@pytest.mark.parametrize("prompt", TRICKY)
def test_a_prompt_arrives_as_typed(prompt: str) -> None:
    assert compose_video([f"shot.prompt={prompt}"]).shot.prompt == prompt


def test_negative_and_prefix_arrive_as_typed() -> None:
    shot = compose_video(["shot.negative=a, (b), ${c}", "shot.prefix="]).shot
    assert (shot.negative, shot.prefix) == ("a, (b), ${c}", "")


@settings(deadline=None, max_examples=200)
@given(st.text(st.sampled_from("ab \\'\"${}(),=:[]<>~#é髪")))
def test_quoting_loses_nothing(text: str) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    value = OverridesParser.create().parse_override(f"key={quote(text)}").value()
    read = OmegaConf.to_container(OmegaConf.create({"key": value}), resolve=True)
    assert read == {"key": text} or text == "???"


def test_a_list_of_prompts_is_a_sweep() -> None:
    ready = prepare("video", ["shot.prompt=[\"a, b\", 'c (d)']"], multirun=True)
    assert ready == ["shot.prompt='a, b','c (d)'"]


def test_a_list_of_prompts_needs_multirun() -> None:
    assert "CFG-SWEEP" in refusal('shot.prompt=["a", "b"]')


def test_brackets_alone_are_a_prompt() -> None:
    assert compose_video(["shot.prompt=[smile]"]).shot.prompt == "[smile]"


@pytest.mark.parametrize(
    ("prompt", "code"),
    [("", "PRM-EMPTY"), ("  ,", "PRM-EMPTY"), ("<lora:a:1>", "PRM-EMPTY"), ("a\nb", "PRM-CHARACTER"),
     ("a\x00b", "PRM-CHARACTER"), ("\udcff", "PRM-CHARACTER"), ("x" * 2001, "PRM-LONG"), ("???", "PRM-EMPTY"),
     ("a <lora:b", "PRM-SYNTAX"), (".", "PRM-EMPTY"), ("()", "PRM-EMPTY"), ("a\ue000", "PRM-CHARACTER"),
     ("a\uffff", "PRM-CHARACTER"), ("(a:9)", "PRM-SYNTAX")],
)  # fmt: skip
def test_an_unusable_prompt_is_refused(prompt: str, code: str) -> None:
    with pytest.raises(PromptError) as caught:
        compose_video([f"shot.prompt={prompt}"])
    assert caught.value.code == code


def test_the_defaults_are_what_make_video_promises() -> None:
    config = compose_video()
    assert config.base.family is Family.nano
    assert (config.speed.sampler, config.speed.steps) == (Sampler.lcm, 6)
    assert config.control.kinds == [ControlKind.pose]
    assert config.control.source is MapSource.choreography
    assert (config.shot.seconds, config.shot.fps, config.finish.fps) == (8.0, 8, 24)
    assert (config.finish.width, config.finish.height) == (768, 768)
    assert config.motion.overlap == 4


def test_the_contest_preset_is_the_contest_template() -> None:
    config = compose_video(["experiment=contest_sdxl"])
    assert config.shot.prefix == TEMPLATE
    assert config.shot.prompt == "1 girl, flowing hair, dynamic pose, dramatic lighting"
    assert config.shot.negative == (
        "bad anatomy, extra limbs, two heads, blurry, low detail, watermark, text, distorted face, "
        "unstable shading"
    )
    assert (config.speed.sampler, config.speed.steps, config.speed.guidance_scale) == (
        Sampler.dpmpp_2m_karras, 25, 6.0,
    )  # fmt: skip
    assert contest_notes(config) == []


def test_numbers_of_a_pair_of_base_and_speed_leave_the_speed_alone() -> None:
    assert compose_video(["base=nano", "speed=hq"]).speed.guidance_scale != 6.0
    assert compose_video(["base=sdxl", "speed=hq"]).speed.guidance_scale == 6.0
    assert compose_video(["base=nano", "speed=hq", "speed.guidance_scale=3"]).speed.guidance_scale == 3.0
    assert compose_video(["base=nano"]).speed.guidance_scale == 1.5
    assert compose_video(["base=sdxl"]).speed.guidance_scale == 1.7


def test_the_motion_takes_what_its_base_needs() -> None:
    for key in ("known_ahead", "noise_share", "step_share", "deflicker", "hold", "pose_start"):
        nano, told, sdxl = (
            compose_video(typed) for typed in (["base=nano"], [f"base.{key}=0.125"], ["base=sdxl"])
        )
        assert getattr(nano.motion, key) == getattr(nano.base, key) > 0
        assert getattr(told.motion, key) == 0.125
        assert getattr(sdxl.motion, key) == 0


def test_the_keyframe_is_one_more_known_frame_where_the_motion_adapter_was_trained_on_those() -> None:
    for base in options("base"):
        motion = compose_video([f"base={base}"]).motion
        assert motion.anchor is (Anchor.both if motion.known_ahead > 0 else Anchor.attention)
    assert compose_video(["base=sdxl", "base.anchor=frame"]).motion.anchor is Anchor.frame
    assert compose_video(["base=nano", "motion=last_latent"]).motion.anchor is Anchor.none


def test_an_anchor_takes_one_of_the_positions_that_a_motion_adapter_knows() -> None:
    assert compose_video(["motion.frames=31"]).motion.anchor is Anchor.both
    assert compose_video(["motion.frames=32", "motion.anchor=attention"]).motion.frames == 32
    assert compose_video(["motion.frames=32", "keyframe=none", "control=none"]).motion.frames == 32
    with pytest.raises(ConfigError, match="2 to 31"):
        compose_video(["motion.frames=32"])


CHOICES = [(group, option) for group in groups("video") for option in options(group)]


@pytest.mark.parametrize(("group", "option"), CHOICES)
def test_every_option_composes(group: str, option: str) -> None:
    assert compose_video([f"{group}={option}"]).shot.prompt


def test_every_option_says_what_it_is_for() -> None:
    from pokora_anime.schema.config_groups import purpose

    assert [choice for choice in CHOICES if not purpose(*choice)] == []


def test_what_follows_from_the_base_is_no_choice() -> None:
    assert options("control") == (
        *("canny", "depth", "lineart", "none", "pose", "pose_depth", "segment", "union"),
    )


def test_stills_compose() -> None:
    assert compose_stills(["count=3"]).count == 3
    assert "CFG-RANGE: count=65; expected 1 to 64" in refusal("count=65", command="stills")


def test_a_launcher_without_n_jobs_composes() -> None:
    # As those of Slurm and Ray, which are not installed here.
    assert compose_video(["hydra/launcher=basic"]).shot.prompt
    assert compose_stills(["hydra/launcher=basic"]).count == 1


def test_an_unknown_key_of_a_launcher_is_named() -> None:
    assert refusal("hydra.launcher.n_jbs=2").startswith("CFG-KEY: unknown key n_jbs")


def test_more_lcm_steps_than_it_was_distilled_from_are_refused() -> None:
    assert "expected 1 to 50" in refusal("speed=lcm", "speed.steps=51")
    assert compose_video(["speed=hq", "speed.steps=51"]).speed.steps == 51


def test_a_clip_without_a_frame_is_refused() -> None:
    line = refusal("shot.seconds=0.5", "shot.fps=1", "finish.fps=1")
    assert line == "CFG-RANGE: shot.seconds=0.5; expected at least one frame at 1 fps; fix: shot.seconds=1"


def test_the_defaults_list_is_read_right() -> None:
    assert defaults("video")["base"] == "nano"
    assert defaults("video")["control"] == "pose"  # behind for_${base}
    assert set(defaults("stills")) < set(defaults("video"))


def test_no_keyframe_takes_the_control_maps_with_it() -> None:
    assert compose_video(["keyframe=none"]).control.kinds == []
    assert "control=pose" in refusal("keyframe=none", "control=pose")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("+typo=1", ["CFG-KEY", "typo"]),
        ("typo=1", ["CFG-KEY", "typo"]),
        ("shot.promt=x", ["CFG-KEY", "did you mean shot.prompt?"]),
        ("seconds=9", ["CFG-KEY", "did you mean shot.seconds?"]),
        ("sed=2", ["CFG-KEY", "did you mean seed?"]),
        ("shot=3", ["CFG-KEY", "shot.prompt"]),
        ("style.loras=[{id:a,wait:1}]", ["CFG-KEY", "did you mean weight?"]),
        ("base=sdx", ["CFG-OPTION", "nano|sd2|sdxl", "did you mean base=sdxl?"]),
        ("seed=abc", ["CFG-TYPE", "seed=abc", "whole number"]),
        ("shot.fps=8.5", ["CFG-TYPE", "shot.fps"]),
        ("seed=null", ["CFG-TYPE", "seed"]),
        ("fresh=maybe", ["CFG-TYPE", "true or false"]),
        ("device.dtype=fp8", ["CFG-TYPE", "bf16"]),
        ("control.kinds=[pose,dept]", ["CFG-TYPE", "dept", "depth"]),
        ("seed=1,2", ["CFG-SWEEP", "--multirun"]),
        ("base=nano,sdxl", ["CFG-SWEEP", "--multirun"]),
        ("1girl, blue hair", ["CFG-SYNTAX", "shot.prompt='1girl, blue hair'"]),
        ("~control", ["CFG-SYNTAX", "none"]),
        ("seed=(1", ["CFG-SYNTAX", "seed=(1"]),
        ("shot.seconds=nan", ["CFG-RANGE", "0.5 to 600"]),
        ("shot.seconds=0", ["CFG-RANGE", "0.5 to 600"]),
        ("shot.fps=0", ["CFG-RANGE", "shot.fps"]),
        ("shot.fps=30", ["CFG-RANGE", "finish.fps=24"]),
        ("seed=-1", ["CFG-RANGE", "seed"]),
        ("finish.width=767", ["CFG-RANGE", "finish.width=768"]),
        ("base.width=250", ["CFG-RANGE", "multiple of 8"]),
        ("base.weights=/etc/passwd", ["GATE-PATH", "registry id"]),
        ("motion.overlap=16", ["CFG-RANGE", "motion.overlap=4"]),
        ("motion.frames=33", ["CFG-RANGE", "2 to 31"]),
        ("speed.steps=0", ["CFG-RANGE", "speed.steps"]),
        ("control.scale.pse=1", ["CFG-RANGE", "control.scale.pose"]),
        ("encode.preset=fastt", ["CFG-RANGE", "did you mean fast?"]),
        ("style.loras=[{id:a},{id:b},{id:c},{id:d}]", ["CFG-RANGE", "at most 3", "a, b, c, d"]),
    ],
)
def test_a_mistake_is_one_line_with_a_way_out(override: str, words: list[str]) -> None:
    line = refusal(override)
    assert [word for word in words if word not in line] == []


def test_the_negative_prompt_follows_from_the_speed_unless_one_is_chosen() -> None:
    for command in (compose_video, compose_stills):
        assert command([]).shot.negative.startswith("bad anatomy, extra limbs, two heads")
        assert command(["base=sdxl", "speed=lightning"]).shot.negative == ""
        assert "signature" in command(["base=sdxl", "speed=lightning", "negative=anime"]).shot.negative
        assert command(["negative=none", "shot.negative=hat"]).shot.negative == "hat"


def test_prompt_travel_stays_within_the_clip() -> None:
    assert "where the clip ends" in refusal("shot.prompt=0: girl, 64: boy")
    assert "motion.chain=overlap" in refusal("shot.prompt=0: girl, 8: boy", "motion.chain=windows")
    assert "a still has no frames" in refusal("shot.prompt=0: girl, 8: boy", command="stills")
    assert compose_video(["shot.prompt=0: girl, 63: boy"]).shot.prompt == "0: girl, 63: boy"


def test_a_distilled_speed_keeps_its_steps_and_its_guidance() -> None:
    assert "fix: speed.steps=4" in refusal("base=sdxl", "speed=lightning", "speed.steps=6")
    assert "without CFG" in refusal("base=sdxl", "speed=lightning", "speed.guidance_scale=2")
    eight = ("speed=lightning", "speed.lora_role=lightning_8step", "speed.steps=8")
    assert compose_video(["base=sdxl", *eight]).speed.steps == 8


def test_lcm_guidance_above_two_is_refused_on_sdxl() -> None:
    assert "speed=hq" in refusal("base=sdxl", "speed=lcm", "speed.guidance_scale=6")


def test_all_problems_come_in_one_error() -> None:
    line = refusal("shot.fps=30", "motion.overlap=16", "finish.width=767")
    assert [
        part for part in ("3 problems", "shot.fps", "motion.overlap", "finish.width") if part not in line
    ] == []


def test_all_unknown_keys_come_in_one_error() -> None:
    line = refusal("sed=1", "shot.promt=x")
    assert "did you mean seed?" in line
    assert "did you mean shot.prompt?" in line


def test_a_control_scale_can_be_set_without_a_plus() -> None:
    assert compose_video(["control=pose", "control.scale.depth=0.3"]).control.scale == {
        "pose": 0.7,
        "depth": 0.3,
    }


def test_the_key_knows_what_changes_the_result() -> None:
    plain = run_key("video", compose_video())
    assert run_key("video", compose_video(["fresh=true"])) == plain
    for override in ("seed=1", "shot.prompt=other", "speed.steps=5", "device.threads=7", "device.dtype=fp32"):
        assert run_key("video", compose_video([override])) != plain


def test_the_key_does_not_change_with_the_order_of_typing() -> None:
    one, other = (
        run_key("video", compose_video(typed)) for typed in (["seed=3", "speed=hq"], ["speed=hq", "seed=3"])
    )
    assert one == other


@pytest.mark.parametrize(
    ("prompt", "slug"),
    [
        ("1girl, blue hair", "1girl-blue-hair"),
        ("青い髪", "shot"),
        ("<lora:a:1> Café ../../etc", "cafe-etc"),
        ("word " * 30, "word-word-word-word-word-word-word-word"),
        ("x" * 99, "x" * 40),
    ],
)
def test_the_slug_is_short_ascii(prompt: str, slug: str) -> None:
    assert run_slug(compose_video([f"shot.prompt={prompt}"])) == slug


def test_the_saved_config_reads_back_as_it_was() -> None:
    config = compose_video(["shot.prompt=青い髪: ${a} 'b'"])
    assert yaml.safe_load(to_yaml(config)) == recorded(config)


def test_no_field_can_hold_a_path_or_an_image() -> None:
    allowed = {"text", "text or null", "whole number", "number", "number or null", "true|false", "[text,...]"}
    kinds = {name: kind for name, kind in keys("video").items() if kind not in allowed and "|" not in kind}
    lists = {
        "shots",
        *(f"timeline.{name}" for name in "prompt control lora zoom right down turn effect".split()),
    }
    assert set(kinds) == {"control.kinds", "control.scale", "style.loras", *lists}


def test_schemas_refuse_unknown_fields_by_having_slots() -> None:
    from pokora_anime.schema import settings as schema

    for name in dir(schema):
        kind = getattr(schema, name)
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            assert "__slots__" in vars(kind), name


def test_conf_lies_where_the_package_finds_it() -> None:
    assert (conf_dir() / "video.yaml").is_file()


def test_an_unknown_complaint_of_hydra_still_is_one_line() -> None:
    error = translate(RuntimeError("first\nsecond"))
    assert isinstance(error, ConfigError)
    assert error.line().startswith("CFG-SYNTAX: first second")


# A seed that is drawn


@pytest.mark.parametrize("typed", ["seed=random", "+seed=random"])
def test_a_random_seed_is_a_number_from_the_start(typed: str) -> None:
    found = {compose("video", [typed]).seed for _ in range(4)}
    assert len(found) > 1
    assert all(0 <= seed < 10**6 for seed in found)


def test_a_drawn_seed_is_what_goes_on_after_a_stop(capsys: pytest.CaptureFixture[str]) -> None:
    request = render.parse("video", ["seed=random", "speed=hq"])
    seed = compose("video", request.overrides).seed
    assert render.words(request) == [f"seed={seed}", "speed=hq"]
    assert f"drawn: seed={seed}" in capsys.readouterr().err


def test_a_sweep_draws_each_seed_and_a_prompt_keeps_the_word(capsys: pytest.CaptureFixture[str]) -> None:
    request = render.parse("video", ["--multirun", "seed=random,7,random", "shot.prompt=seed=random"])
    first, second, third = request.overrides[0].removeprefix("seed=").split(",")
    assert (second, first.isdigit(), third.isdigit()) == ("7", True, True)
    assert first != third
    assert request.overrides[1] == "shot.prompt=seed=random"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["experiment=preview", "speed=hq"], {"speed.steps": 25, "shot.seconds": 2.0, "finish.width": 512}),
        (["experiment=preview", "speed=hq", "speed.steps=7"], {"speed.steps": 7}),
        (["experiment=preview", "speed=lcm"], {"speed.steps": 4}),  # the preset's own choice
        (["experiment=preview", "finish=hires"], {"finish.width": 512, "finish.upscale": "hires"}),
        (["experiment=preview", "finish=default"], {"finish.width": 768}),
        (["experiment=cpu_fast", "base=nano"], {"base.width": 256, "speed.steps": 4}),
        (["experiment=cpu_fast", "base=sdxl"], {"base.width": 512, "speed.steps": 4}),
        (["experiment=contest_sdxl", "speed=lcm"], {"speed.name": "lcm", "base.family": "sdxl"}),
        (["sweep=seeds", "seed=1", "finish=default"], {"finish.width": 768, "shot.seconds": 2.0}),
    ],
)
def test_a_typed_group_wins_over_a_preset_with_what_it_says(
    words: list[str], expected: dict[str, object]
) -> None:
    found = leaves(to_plain(compose_video(words)))
    assert {key: found[key] for key in expected} == expected
    if "speed=hq" in words and len(words) == 2:
        line = "speed=hq is typed and brings its own: speed.steps=25 (not 4 of experiment=preview)"
        assert group_precedence.lines("video", words) == [line]


def test_each_value_of_a_swept_group_brings_its_own() -> None:
    jobs, _ = sweep_jobs.configs("video", ["sweep=grid", "experiment=preview", "seed=1"])
    assert [(label, config.speed.steps) for label, config in jobs] == [("speed=lcm", 4), ("speed=hq", 25)]
