"""What is typed or composed: every way in is refused with its own code, and nothing honest is."""

from __future__ import annotations

import ast
import copy
import importlib.util
import itertools
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pokora_anime.cli import help_pages as pages
from pokora_anime.cli import main
from pokora_anime.config import gate
from pokora_anime.config.compose import compose
from pokora_anime.config.overrides import prepare, quote, screen
from pokora_anime.errors import ConfigError, PokoraError
from pokora_anime.findings import Severity, of_severity
from pokora_anime.rules import closed_config, typed_words
from pokora_anime.schema.config_groups import conf_dir
from pokora_anime.schema.run_identity import to_plain
from pokora_anime.schema.settings import LoraConfig, RunConfig, VideoConfig
from pokora_anime.untrusted import strict_yaml


def codes_of(override: str) -> set[str]:
    """What the gate says of one override, before Hydra sees it."""
    return {finding.code for finding in screen("video", override)}


def refused(override: str, *, multirun: bool = False) -> str:
    """The code that a render command refuses an override with, before Hydra composes anything."""
    with pytest.raises(PokoraError) as caught:
        prepare("video", [override], multirun=multirun)
    return caught.value.code


@pytest.fixture(scope="module")
def nano() -> RunConfig:
    """The default config."""
    return compose("video", [])


@pytest.fixture(scope="module")
def sdxl() -> RunConfig:
    """The contest's config."""
    return compose("video", ["experiment=contest_sdxl_fast"])


def with_value(config: RunConfig, slot: str, value: object) -> dict[str, Any]:
    """The config as plain data with `value` in one place, named as in closed.STRINGS."""
    plain: Any = copy.deepcopy(to_plain(config))
    plain["style"]["loras"] = [{"id": "pastel", "weight": 0.8}]
    if slot.startswith("shots[]"):
        plain["shots"] = [
            {"prompt": "1girl", "seconds": 4.0, "camera": "free", "seed": None, "joined": False}
        ]
    elif slot.startswith("timeline.lora[]"):
        plain["timeline"]["lora"] = [{"frame": 0, "value": 0.8, "curve": "linear", "id": "pastel"}]
    inside, steps = plain, re.findall(r"[^.\[\]{}]+|\[\]|\{\}", slot)
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        key = 0 if step == "[]" else next(iter(inside)) if step == "{}" else step
        if step == "{}" and following is None:
            inside[value] = inside.pop(key)
        elif following is None:
            inside[key] = value
        else:
            inside = inside[key]
    return plain


# Arguments of diffusers that take pictures, latents, embeddings or code


def diffusers_arguments() -> list[str]:
    """Every argument of the pipelines that this project's work could be done with, from their source."""
    found = importlib.util.find_spec("diffusers")
    assert found is not None and found.submodule_search_locations
    root = Path(found.submodule_search_locations[0]) / "pipelines"
    names: set[str] = set()
    for folder in ("animatediff", "stable_diffusion_xl", "controlnet", "latent_consistency_models"):
        for path in (root / folder).glob("pipeline_*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef) and node.name == "__call__":
                    names |= {argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)}
    return sorted(names - {"self"})


ARGUMENTS = diffusers_arguments()
VISUAL = re.compile(r"^(?!num_).*(image|latents|embeds|mask|video|frames|callback|kwargs|sigmas|timesteps$)")


def test_the_list_of_arguments_is_diffusers_own() -> None:
    known = {"image", "ip_adapter_image", "ip_adapter_image_embeds", "latents", "prompt_embeds", "mask_image"}
    known |= {
        "control_image",
        "conditioning_frames",
        "cross_attention_kwargs",
        "callback_on_step_end",
        "video",
    }
    assert known <= set(ARGUMENTS)


@pytest.mark.parametrize("argument", [name for name in ARGUMENTS if VISUAL.match(name)])
@pytest.mark.parametrize("form", ["{}=1", "+{}=1", "++{}=x", "shot.{}=1", "+pipeline.{}.weight=1"])
def test_no_visual_argument_of_diffusers_can_be_typed(argument: str, form: str) -> None:
    override = form.format(argument)
    assert refused(override).startswith("GATE-")
    assert codes_of(override) & {
        "GATE-IMAGE", "GATE-LATENT", "GATE-EMBEDDING", "GATE-CALLBACK", "GATE-KWARGS",
    }  # fmt: skip


@pytest.mark.parametrize("argument", ARGUMENTS)
def test_no_other_argument_of_diffusers_can_be_typed_either(argument: str) -> None:
    assert refused(f"+{argument}=1").startswith(("GATE-", "CFG-"))


NAMED = {
    "image": "GATE-IMAGE", "init_image": "GATE-IMAGE", "control_image": "GATE-IMAGE",
    "mask_image": "GATE-IMAGE", "ip_adapter_image": "GATE-IMAGE", "conditioning_frames": "GATE-IMAGE",
    "video": "GATE-IMAGE", "pose_image": "GATE-IMAGE", "depth_map": "GATE-IMAGE", "sketch": "GATE-IMAGE",
    "ip_adapter_image_embeds": "GATE-EMBEDDING", "prompt_embeds": "GATE-EMBEDDING",
    "negative_pooled_prompt_embeds": "GATE-EMBEDDING", "textual_inversion": "GATE-EMBEDDING",
    "latents": "GATE-LATENT", "init_latents": "GATE-LATENT", "noise": "GATE-LATENT", "sigmas": "GATE-LATENT",
    "callback": "GATE-CALLBACK", "callback_on_step_end": "GATE-CALLBACK",
    "custom_pipeline": "GATE-CODE", "trust_remote_code": "GATE-CODE", "safety_checker": "GATE-CODE",
    "cross_attention_kwargs": "GATE-KWARGS", "output_path": "GATE-FILE", "cache_dir": "GATE-FILE",
    "model_url": "GATE-FILE", "pretrained_model_name_or_path": "GATE-FILE",
}  # fmt: skip


@pytest.mark.parametrize(("argument", "code"), NAMED.items())
def test_an_image_like_argument_is_refused_by_its_own_code(argument: str, code: str) -> None:
    assert refused(f"{argument}=1") == code
    assert refused(f"+base.{argument}=1") == code


# Hydra


TYPED = [
    ("hydra.searchpath=[file:///tmp/evil]", "GATE-CONFIG"),
    ("+hydra.searchpath=[pkg://evil]", "GATE-CONFIG"),
    ("hydra.callbacks.a._target_=os.system", "GATE-CALLBACK"),
    ("+hydra.callbacks.log_job._target_=evil.Callback", "GATE-CALLBACK"),
    ("+hydra/callbacks=evil", "GATE-CALLBACK"),
    ("hydra={callbacks:{a:{x:1}}}", "GATE-HYDRA"),
    ("hydra.run.dir=somewhere", "GATE-HYDRA"),
    ("hydra.sweep.dir=somewhere", "GATE-HYDRA"),
    ("hydra.sweep.subdir=x", "GATE-HYDRA"),
    ("hydra.output_subdir=x", "GATE-HYDRA"),
    ("hydra.job.chdir=true", "GATE-HYDRA"),
    ("hydra.job.env_set.PYTHONPATH=x", "GATE-HYDRA"),
    ("hydra.job.env_copy=[HOME]", "GATE-HYDRA"),
    ("hydra.job_logging.handlers.x.class=evil.Handler", "GATE-HYDRA"),
    ("hydra/job_logging=colorlog", "GATE-HYDRA"),
    ("hydra.mode=MULTIRUN", "GATE-HYDRA"),
    ("hydra.launcher.setup=[x]", "GATE-HYDRA"),
    ("hydra.launcher.python=x", "GATE-HYDRA"),
    ("hydra.launcher.submitit_folder=x", "GATE-HYDRA"),
    ("hydra.launcher.ray.init.runtime_env=x", "GATE-HYDRA"),
    ("hydra.launcher._target_=evil.Launcher", "GATE-HYDRA"),
    ("hydra/launcher=evil", "GATE-HYDRA"),
    ("hydra.sweeper.params.image=1", "GATE-HYDRA"),
    ("hydra.sweeper.storage=x", "GATE-HYDRA"),
    ("~hydra.launcher.n_jobs", "GATE-HYDRA"),
    ("~hydra.sweeper", "GATE-HYDRA"),
    ("hydra.launcher.n_jobs=/tmp", "GATE-HYDRA"),
    ("hydra.launcher.partition=${oc.env:HOME}", "GATE-HYDRA"),
    ("+_target_=os.system", "GATE-TARGET"),
    ("+shot._target_=os.system", "GATE-TARGET"),
    ("style.loras=[{_target_:os.system,id:a}]", "GATE-TARGET"),
    ("base._args_=[1]", "GATE-TARGET"),
    ("seed=${oc.env:SEED}", "GATE-INTERPOLATION"),
    ("seed=${hydra:job.num}", "GATE-INTERPOLATION"),
    ("base.weights=${base.vae}", "GATE-INTERPOLATION"),
    ("style.loras=[{id:${oc.decode:x}}]", "GATE-INTERPOLATION"),
    ("${x}=1", "GATE-INTERPOLATION"),
    ("contest.max_seconds=100", "GATE-CONTEST"),
    ("++contest.max_style_loras=9", "GATE-CONTEST"),
    ("~contest.bases", "GATE-CONTEST"),
    ("style.loras=[{id:pastel,id:lcm}]", "GATE-DUPLICATE"),
    ("control.scale={pose:0.1,'pose':2}", "GATE-DUPLICATE"),
    ("experiment=../../evil", "GATE-PATH"),
    ("base=choice(../evil,nano)", "GATE-PATH"),
    ("experiment=/tmp/evil", "GATE-PATH"),
    ("base=sdxl@/tmp", "GATE-PATH"),
    ("base.weights=~/model", "GATE-PATH"),
    ("base.vae=C:\\model", "GATE-PATH"),
    ("base.weights=model.safetensors", "GATE-PATH"),
    ("speed.name=keyframe.png", "GATE-PATH"),
    ("base.motion_adapter=../motion", "GATE-PATH"),
    ("base.weights=stabilityai/sdxl-turbo", "GATE-PATH"),
    ("style.loras=[{id:'/tmp/a',weight:1}]", "GATE-PATH"),
    ("base.weights=https://example.org/a", "GATE-URL"),
    ("base.weights=hf://some/model", "GATE-URL"),
    ("speed.name=data:image/png;base64,AAAA", "GATE-DATA-URI"),
    ("base.vae=iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ", "GATE-ENCODED"),
    ("base.weights=sdxl-bаse-1.0", "GATE-LOOKALIKE"),  # a Cyrillic letter
    ("base=nanо", "GATE-LOOKALIKE"),
    ("speed.lora_role=ｌｃｍ", "GATE-LOOKALIKE"),  # full width
    ("style.loras=[{id:раstel}]", "GATE-LOOKALIKE"),
    ("base.weights=sdxl\u200b-base-1.0", "GATE-INVISIBLE"),
    ("base.weights=\u202e0.1-esab-lxds", "GATE-BIDI"),
    ("base.weights=sdxl\x00", "GATE-CONTROL"),
    ("seed=1\nseed=2", "GATE-CONTROL"),
]


@pytest.mark.parametrize(("override", "code"), TYPED)
def test_an_override_that_reaches_outside_is_refused_before_hydra(override: str, code: str) -> None:
    assert code in codes_of(override)
    assert refused(override).startswith("GATE-")
    assert refused(override, multirun=True).startswith("GATE-")


@pytest.mark.parametrize(
    "option",
    ["--config-dir=/tmp", "--config-path=/tmp", "--config-name=evil", "-cd=/tmp", "-cp=/tmp", "-cn=evil",
     "--config-dir", "-cd", "--experimental-rerun=x.pickle", "--package=x"],
)  # fmt: skip
def test_options_for_foreign_configs_are_refused(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [finding.code for finding in typed_words.foreign_options(["seed=1", option])] == ["GATE-CONFIG"]
    assert main(["check", option]) == 1
    assert "GATE-CONFIG" in capsys.readouterr().out
    assert main(["video", option, "--out", str(tmp_path)]) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["video", "stills", "sweep"])
def test_a_planted_callback_and_config_folder_are_never_reached(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    planted = tmp_path / "planted"
    (planted / "experiment").mkdir(parents=True)
    (planted / "experiment" / "evil.yaml").write_text("# @package _global_\nseed: 666\n")
    (planted / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Callback: pass\n")
    monkeypatch.syspath_prepend(str(planted))
    out = tmp_path / "out"
    for attack in (
        ["+hydra.callbacks.evil._target_=evil.Callback"],
        [f"hydra.searchpath=[file://{planted}]", "experiment=evil"],
        [f"experiment=choice({planted}/experiment/evil)"],
    ):
        assert main([command, *attack, "--out", str(out)]) == 2
        assert "GATE-" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()
    assert not out.exists()


@pytest.mark.parametrize("path", sorted(conf_dir().rglob("*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_groups_choose_no_code_and_read_no_environment(path: Path) -> None:
    words_in_it = path.read_text(encoding="utf-8")
    outside = r"_target_|callbacks|searchpath|oc\.env|oc\.decode|_args_|env_set|class:"
    assert re.findall(outside, words_in_it) == []
    strict_yaml.load(words_in_it)


def test_the_environment_cannot_be_read_into_a_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POKORA_SECRET", "12345")
    assert refused("seed=${oc.env:POKORA_SECRET}") == "GATE-INTERPOLATION"
    assert refused("seed=${oc.decode:${oc.env:POKORA_SECRET}}") == "GATE-INTERPOLATION"
    prompt = "${oc.env:POKORA_SECRET} \\${oc.env:POKORA_SECRET} ${seed} ${hydra:job.name}"
    assert compose("video", [f"shot.prompt={prompt}", f"shot.negative={prompt}"]).shot.prompt == prompt


# Strings of a composed or recorded config


ATTACKS = {
    "/etc/passwd": "GATE-PATH",
    "../../keyframe.png": "GATE-PATH",
    "~/pictures/a.jpg": "GATE-PATH",
    "C:\\pictures\\a.webp": "GATE-PATH",
    "\\\\server\\share\\a": "GATE-PATH",
    "latents.npy": "GATE-PATH",
    "https://example.org/a.png": "GATE-URL",
    "file:///tmp/a": "GATE-URL",
    "s3://bucket/key": "GATE-URL",
    "www.example.org": "GATE-URL",
    "data:image/png;base64,iVBORw0KGgo=": "GATE-DATA-URI",
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk": "GATE-ENCODED",
    "ffd8ffe000104a46494600010100000100010000ffdb0043": "GATE-ENCODED",
    "\\xff\\xd8\\xff\\xe0\\x00\\x10JFIF": "GATE-ENCODED",
    "a\u200bb": "GATE-INVISIBLE",
    "a\ufeffb": "GATE-INVISIBLE",
    "a\U000e0041\U000e0042b": "GATE-INVISIBLE",  # tag characters: hidden ASCII
    "a\ufe00\ufe01\ufe02\ufe03b": "GATE-INVISIBLE",  # bytes as variation selectors
    "a\u202eb": "GATE-BIDI",
    "a\u2066b": "GATE-BIDI",
    "a\x1b[31mb": "GATE-CONTROL",
    "a\x00b": "GATE-CONTROL",
    "a\ue000b": "GATE-CONTROL",
    "a\u2028b": "GATE-CONTROL",
    "word " * 500: "GATE-LONG",
}
PROMPT_ATTACKS = {
    ", ".join(map(str, range(0, 250, 5))): "GATE-ARRAY",
    "[[0.1, 0.2], [0.3, 0.4], [0.5, 0.6], [0.7, 0.8], [0.9, 1], [0, 1], [1, 0], [1, 1]]": "GATE-ARRAY",
    "embedding:easynegative": "GATE-EMBEDDING",
    "a photo of <cat-toy>": "GATE-EMBEDDING",
    "<s1><s2> girl": "GATE-EMBEDDING",
    "<hypernet:face:1>": "GATE-EMBEDDING",
    "<embedding:face>": "GATE-EMBEDDING",
    "girl <|endoftext|> boy": "GATE-EMBEDDING",
    "<lora:/tmp/evil.safetensors:1>": "GATE-PATH",
    "1girl, <lora:evil:0.8>": "GATE-UNREGISTERED",
    "1girl, <lora:pаstelAnimeXL:0.8>": "GATE-LOOKALIKE",  # a Cyrillic letter
    "1girl, <lora:lcm-lora-sdxl:0.8>": "GATE-KIND",
}
PROMPTS = ("shot.prompt", "shot.prefix", "shot.negative", "shot.typed", "shots[].prompt")


def found_in(plain: object) -> set[str]:
    return {finding.code for finding in of_severity(gate.examine_recorded("video", plain), Severity.block)}


@pytest.mark.parametrize("slot", closed_config.STRINGS)
@pytest.mark.parametrize("attack", ATTACKS)
def test_no_string_holds_a_path_a_link_or_bytes(slot: str, attack: str, sdxl: RunConfig) -> None:
    found = found_in(with_value(sdxl, slot, attack))
    if slot in PROMPTS:
        assert ATTACKS[attack] in found
    else:
        assert found & {ATTACKS[attack], "GATE-ID", "GATE-CHOICE", "GATE-LOOKALIKE"}


@pytest.mark.parametrize(("attack", "code"), PROMPT_ATTACKS.items())
def test_no_prompt_calls_for_a_file(attack: str, code: str, sdxl: RunConfig) -> None:
    assert code in found_in(with_value(sdxl, "shot.prompt", attack))


@pytest.mark.parametrize(("attack", "code"), [*list(ATTACKS.items())[:16], *PROMPT_ATTACKS.items()])
def test_a_render_is_refused_for_its_prompt(attack: str, code: str, sdxl: RunConfig) -> None:
    config = copy.deepcopy(sdxl)
    config.shot.prompt = attack
    with pytest.raises(ConfigError, match=code):
        gate.refuse(config)


@pytest.mark.parametrize("slot", [slot for slot in closed_config.STRINGS if not slot.startswith(PROMPTS)])
def test_an_id_is_one_that_exists(slot: str, sdxl: RunConfig) -> None:
    """A name of the right shape that nobody registered carries nothing in."""
    found = gate.examine_recorded("video", with_value(sdxl, slot, "Zm9vYmFyYmF6"))
    assert {finding.code for finding in found} & {
        "GATE-UNREGISTERED", "GATE-CHOICE", "CFG-CONTEST", "RULE-LIMITS",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("slot", "value", "code"),
    [
        ("speed.lora_role", "pastel", "GATE-KIND"),  # a fourth style LoRA in the speed LoRA's place
        ("base.vae", "pastel-anime-xl", "GATE-KIND"),
        ("base.motion_adapter", "controlnet-depth-sdxl", "GATE-KIND"),
        ("base.weights", "nano", "GATE-FAMILY"),
        ("base.motion_adapter", "animatediff-v1-5-3", "GATE-FAMILY"),
        ("style.loras[].id", "depth-anything-v2-small", "GATE-KIND"),
        ("base.weights", "stabilityai/stable-diffusion-xl-base-1.0", "GATE-ID"),
    ],
)
def test_weights_are_loaded_as_what_they_are(slot: str, value: str, code: str, sdxl: RunConfig) -> None:
    assert code in found_in(with_value(sdxl, slot, value))


@pytest.mark.parametrize(
    ("slot", "value", "code"),
    [
        ("shot.prompt", [[0.1, 0.2], [0.3, 0.4]], "GATE-TYPE"),
        ("shot.prompt", {"_target_": "os.system"}, "GATE-TYPE"),
        ("seed", 10**400, "GATE-TYPE"),
        ("seed", 1.5, "GATE-TYPE"),
        ("seed", True, "GATE-TYPE"),
        ("shot.seconds", float("nan"), "GATE-TYPE"),
        ("shot.seconds", 10**400, "GATE-TYPE"),
        ("base.vae", ["sdxl-vae-fp16-fix"], "GATE-TYPE"),
        ("speed.sampler", "evil", "GATE-TYPE"),
        ("control.kinds", ["depth"] * 100, "GATE-ARRAY"),
        ("control.scale", {f"x{index}": 0.5 for index in range(100)}, "GATE-ARRAY"),
        ("control.scale", {"iVBORw0KGgo": 0.5}, "GATE-CHOICE"),
        ("shot.image", "x", "GATE-KEY"),
        ("latents", [0.0], "GATE-KEY"),
        ("_target_", "os.system", "GATE-KEY"),
        ("keyframe", None, "GATE-TYPE"),
        ("seed", -1, "CFG-RANGE"),
        ("shot.prompt", "", "PRM-EMPTY"),
    ],
)
def test_a_recorded_config_holds_nothing_else(slot: str, value: object, code: str, sdxl: RunConfig) -> None:
    assert code in found_in(with_value(sdxl, slot, value))


@pytest.mark.parametrize(
    "smuggled", [np.zeros((8, 8, 3)), b"\x89PNG", Path("/tmp/a.png"), object(), memoryview(b"x")], ids=type
)
def test_objects_put_into_a_config_in_python_are_refused(smuggled: object, nano: RunConfig) -> None:
    config = copy.deepcopy(nano)
    config.style.loras.append(LoraConfig(id=smuggled))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="GATE-TYPE"):
        gate.refuse(config)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("seed: 1\nseed: 2\n", "GATE-DUPLICATE"),
        ("shot:\n  prompt: a\n  fps: 8\n  prompt: b\n", "GATE-DUPLICATE"),
        ("style: {loras: [{id: a, id: b}]}", "GATE-DUPLICATE"),
        ("a: &x [1]\nb: *x\n", "GATE-YAML"),
        ("a: &a [1,1]\nb: &b [*a,*a]\nc: [*b,*b]\n", "GATE-YAML"),
        ("a: !!binary iVBORw0KGgo=", "GATE-YAML"),
        ("a: !!python/object/apply:os.system [id]", "GATE-YAML"),
        ("a: 1\n---\na: 2\n", "GATE-YAML"),
        ("a: [", "GATE-YAML"),
        ("[" * 2000, "GATE-YAML"),
        ("a" * 100_001, "GATE-YAML"),
    ],
)
def test_yaml_that_reads_in_two_ways_is_refused(text: str, code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        strict_yaml.load(text)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("words_typed", "code"),
    [
        (["video", "base=sdxl", "shot.prompt=like https://example.org/a.png"], "GATE-URL"),
        (["stills", "base=sdxl", "shot.prompt=1girl, <lora:evil:1>"], "GATE-UNREGISTERED"),
        (["video", "base=sdxl", "speed.lora_role=pastel"], "GATE-KIND"),
        (["video", "--multirun", "base=sdxl", "seed=1,2", "shot.prompt=<cat-toy>"], "GATE-EMBEDDING"),
        (["video", "--config-dir=/tmp"], "GATE-CONFIG"),
        (["sweep", "-cn=evil"], "GATE-CONFIG"),
    ],
)
def test_every_command_that_renders_stands_behind_the_gate(
    words_typed: list[str], code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words_typed, "--out", str(tmp_path)]) in (1, 2)
    shown = capsys.readouterr()
    assert code in shown.out + shown.err
    assert [*tmp_path.rglob("config.yaml"), *tmp_path.rglob("*.png"), *tmp_path.rglob("stages")] == []


def test_all_that_is_wrong_with_a_config_comes_in_one_error(nano: RunConfig) -> None:
    config = copy.deepcopy(nano)
    config.shot.prompt, config.shot.negative = "see https://a.b", "/etc/passwd"
    with pytest.raises(ConfigError) as caught:
        gate.refuse(config)
    assert "2 problems" in caught.value.line()
    assert "GATE-PATH" in caught.value.line()
    assert "\n" not in caught.value.line()


# The other side: what honest people type


COMPOSITIONS = [
    ("video", []),
    ("video", ["experiment=preview", "speed=hq"]),
    ("video", ["keyframe=none", "style=none", "motion=last_latent"]),
    ("video", ["control=pose", "control.scale.pose=0.5", "encode.preset=slow", "device.dtype=bf16"]),
    ("video", ["experiment=contest_sdxl", "shot.seconds=10", "shot.fps=12"]),
    ("video", ["experiment=contest_sdxl_fast", "style=pastel", "control=canny"]),
    ("video", ["base=sdxl", "speed=hq", "style.loras=[{id:pastel,weight:0.75}]", "style=none"]),
    ("video", ["base=sd2", "style=none", "motion=last_latent", "base.vae=null"]),
    ("stills", ["count=3", "style=flat_color"]),
    ("stills", ["base=sdxl", "speed=hq", "count=2"]),
]
PROMPTS_TYPED = [
    "1girl, blue hair, twintails, (smile:1.2), waving, cherry blossoms",
    "青い髪、ツインテール、手を振る、桜",
    "1 girl, \"quoted\" 'twice', costs $5, 100% cotton, ${seed} = b",
    "한복을 입은 소녀 👩‍🎤❤️‍🔥, fate/stay night, black/white dress",
    "девушка с синими волосами, <lora:pastelAnimeXL:0.8>, 16:9, f/1.8",
    "فتاة ذات شعر أزرق، تلوّح بيدها [blurry] {curly} a|b \\(x\\)",
]
HONEST = list(itertools.product(range(len(COMPOSITIONS)), range(len(PROMPTS_TYPED))))


@pytest.fixture(scope="module")
def composed() -> list[RunConfig]:
    return [compose(command, typed) for command, typed in COMPOSITIONS]


def test_the_honest_set_is_large_enough() -> None:
    assert len(HONEST) >= 50


@pytest.mark.parametrize(("which", "prompt"), HONEST)
def test_an_honest_config_has_no_block_finding(which: int, prompt: int, composed: list[RunConfig]) -> None:
    config = copy.deepcopy(composed[which])
    config.shot.prompt, config.seed = PROMPTS_TYPED[prompt], 7919 * which * prompt
    assert of_severity(gate.examine(config), Severity.block) == []
    gate.refuse(config)


TYPED_HONESTLY = [
    "seed=7", "seed=1,2,3", "seed=range(1,20)", f"seed={','.join(map(str, range(10, 60)))}", "speed=lcm,hq",
    "base=sdxl,nano", "motion.overlap=1,4,8", "fresh=true", "finish.zoom=1.5", "shot.seconds=9.5",
    "experiment=null",
    "control.kinds=[pose,depth]", "control.scale.pose=0.5", "+control.scale.depth=0.3", "++seed=3",
    "style.loras=[{id:pastel,weight:0.8}]", "style.loras=[{id:pastel,weight:0.8},{id:flat_color,weight:0.2}]",
    "base.vae=null", "base=glob(s*)", "hydra.launcher.n_jobs=2", "hydra/launcher=submitit_slurm",
    "hydra/launcher=ray", "+hydra.launcher.ray.init.num_cpus=2", "hydra.launcher.timeout_min=240",
    "hydra.launcher.partition=gpu-a100", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=20",
    *(f"shot.prompt={prompt}" for prompt in PROMPTS_TYPED),
    'shot.prompt=["1girl, blue hair", "1girl, red hair"]', "shot.negative=a/b/c.png is text",
]  # fmt: skip


@pytest.mark.parametrize("override", TYPED_HONESTLY)
def test_an_honest_word_passes(override: str) -> None:
    assert screen("video", override) == []


PROSE = (
    *('1girl, it\'s "x"', "both ' and \" quotes", "back\\slash", "ends in \\", "black/white", "and so on..."),
    *(
        "smile, bob, smile",
        "${home} costs $5",
        "(smile:1.2), [x]",
        "a \\' b",
        "~tilde, 'quoted', {x:1,x:2}",
        "日本",
    ),
)


@pytest.mark.parametrize("prompt", PROSE)
def test_a_prompt_in_a_list_of_shots_is_text(prompt: str) -> None:
    word = f"shots=[{{prompt:{quote(prompt)},seconds:1}},{{seconds:2.0, prompt : {quote(prompt)}}}]"
    assert screen("video", word) == []
    config = compose("video", ["base=nano", word])
    gate.refuse(config)
    assert isinstance(config, VideoConfig) and len(config.shots) == 2
    assert "{" in prompt or [one.prompt for one in config.shots] == [prompt, prompt]


HIDDEN = (
    ("shots=[{prompt:/etc/passwd,seconds:1}]", "GATE-PATH"),
    ("shots=[{prompt:'a',camera:'/etc/passwd',seconds:1}]", "GATE-PATH"),
    ("shots=[{prompt:'a'},{prompt:'b\\\\',camera:../x}]", "GATE-PATH"),
    ("shots=[{prompt:'${oc.env:HOME}',seconds:1}]", "GATE-INTERPOLATION"),
    ("shots=[{prompt:'\\\\${oc.env:HOME}',seconds:1}]", "GATE-INTERPOLATION"),
    ("shots=[{prompt:'a',prompt:'b',seconds:1}]", "GATE-DUPLICATE"),
    ("shots=[{prompt:'a',_target_:os.system}]", "GATE-TARGET"),
    ("style.loras=[{id:'/etc/x',weight:1}]", "GATE-PATH"),
)


@pytest.mark.parametrize(("word", "code"), HIDDEN)
def test_what_is_no_prompt_in_a_list_is_still_judged(word: str, code: str) -> None:
    assert code in [found.code for found in screen("video", word)]


def test_a_path_in_a_shots_prompt_is_refused_as_in_any_prompt() -> None:
    config = compose("video", ["base=nano", "shots=[{prompt:'see /home/me/a.png',seconds:1}]"])
    with pytest.raises(ConfigError, match="GATE-PATH"):
        gate.refuse(config)


FILES = ("shots=", "timeline=")  # names of text files, which are read before what stands in them is screened


def test_every_command_of_the_help_pages_and_the_docs_passes() -> None:
    root = Path(__file__).parents[2]
    told = [path.read_text() for path in (root / "README.md", *(root / "docs").glob("*.md"))]
    text = "\n".join([pages.VIDEO, pages.STILLS, pages.SWEEP, pages.CHECK, *told])
    lines = text.replace("\\\n", " ").splitlines()
    typed = [shlex.split(line, comments=True)[2:] for line in lines if line.lstrip().startswith("pokora ")]
    overrides = [
        word for line in typed for word in line if "=" in word and not word.startswith(("-", *FILES))
    ]
    assert len(overrides) > 20
    assert [override for override in overrides if screen("video", override)] == []


@settings(deadline=None, max_examples=100)
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Co", "Zl", "Zp"]), max_size=60))
def test_the_gate_never_judges_a_prompt_as_a_word(prompt: str) -> None:
    assert screen("video", f"shot.prompt={prompt}") == []
