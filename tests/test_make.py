"""The Makefile: what is typed behind make reaches the config, and its help page is complete."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
TARGETS = {"help", "setup", "video", "stills", "submission", "sweep", "test", "lint", "bench", "clean"}
PROMPTS = (
    "1girl, blue hair, twintails, waving, cherry blossoms",
    "(smile:1.2), [a], {b}",
    'it\'s "quoted"',
    "costs $5, $HOME, ${seed}, $$, $(shell echo no), `id`, $(broken",
    "<lora:pastelAnimeXL:0.8>, a=b; c | d & e > f # g",
    "青い髪、ツインテール",
    "ends in \\",
)

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def make(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run make in the checkout with this environment's Python, taken as set up."""
    venv = Path(sys.prefix)
    return subprocess.run(
        ["make", "-s", "-o", f"{venv}/.pokora-setup", f"VENV={venv}", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**_without_make(), "PYTHONIOENCODING": "utf-8", **environment},
        check=False,
    )


def _without_make() -> dict[str, str]:
    # `make test` hands its own variables down; they would override those of the make that is tested.
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "POKORA"))
    }


def test_help_is_the_default_and_names_every_target() -> None:
    page = make().stdout
    assert set(re.findall(r"^  (\w+) {2,}\S", page, flags=re.MULTILINE)) - {"make"} == TARGETS
    declared = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert declared
    assert set(declared[1].split()) == TARGETS


@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_prompt_reaches_the_config_through_make(prompt: str) -> None:
    shown = make("video", f"PROMPT={prompt}", "ARGS=--cfg seed=7")
    config = yaml.safe_load(shown.stdout)
    assert (config["shot"]["prompt"], config["seed"]) == (prompt, 7), shown.stderr


@pytest.mark.parametrize("target", ["video", "stills"])
def test_a_seed_reaches_the_config_through_make(target: str) -> None:
    shown = make(target, "SEED=3", "ARGS=--cfg")
    assert yaml.safe_load(shown.stdout)["seed"] == 3, shown.stderr


def test_a_seed_of_the_environment_is_no_choice() -> None:
    shown = make("video", "ARGS=--cfg", SEED="3")
    assert yaml.safe_load(shown.stdout)["seed"] == 0, shown.stderr


@pytest.mark.parametrize(
    "words",
    [("video", "STEPS=4"), ("video", "shot.seconds=9"), ("submission", "SEED=3"), ("stills", "DRAFT=1")],
)
def test_what_make_would_not_read_is_refused(words: tuple[str, str]) -> None:
    shown = make(*words)
    assert shown.returncode != 0
    name = words[1].partition("=")[0]
    assert f"CFG-MAKE: make {words[0]} does not read {name}=" in shown.stderr
    assert len(shown.stderr.strip().splitlines()) == 1


def test_a_prompt_reaches_the_config_through_the_environment_of_make() -> None:
    shown = make("stills", "ARGS=--cfg", PROMPT=PROMPTS[3])
    assert yaml.safe_load(shown.stdout)["shot"]["prompt"] == PROMPTS[3], shown.stderr


@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_prompt_reaches_the_config_through_the_shell(prompt: str) -> None:
    import shlex

    command = (
        f"{shlex.quote(sys.executable)} -m pokora_anime.cli video --cfg shot.prompt={shlex.quote(prompt)}"
    )
    shown = subprocess.run(
        ["sh", "-c", command], cwd=ROOT, capture_output=True, encoding="utf-8", check=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    assert yaml.safe_load(shown.stdout)["shot"]["prompt"] == prompt


def test_an_empty_prompt_is_a_mistake_and_none_is_not() -> None:
    assert "PRM-1" in make("video", "PROMPT=", "ARGS=--cfg").stderr
    assert make("video", "ARGS=--cfg").returncode == 0


def test_the_prompt_of_a_windows_shell_is_none() -> None:
    default = yaml.safe_load(make("video", "ARGS=--cfg").stdout)["shot"]["prompt"]
    shown = make("video", "ARGS=--cfg", PROMPT="$P$G")
    assert yaml.safe_load(shown.stdout)["shot"]["prompt"] == default, shown.stderr


def test_a_mistake_makes_make_fail() -> None:
    failed = make("video", "ARGS=sed=1")
    assert failed.returncode != 0
    assert "did you mean seed?" in failed.stderr


def test_a_draft_of_the_submission_is_asked_for_by_name() -> None:
    assert "submission build --draft" in make("-n", "submission", "DRAFT=1").stdout
    assert "--draft" not in make("-n", "submission").stdout


def test_the_lock_names_no_host() -> None:
    assert not re.search(r"://|@", (ROOT / "requirements.lock").read_text())
