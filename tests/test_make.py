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
TARGETS = set(
    "help setup video stills studio live submission sweep test lint docs bench bench-gpu bench-regression "
    "clean".split()
)
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
    assert set(re.findall(r"^  ([\w-]+) +\S", page, flags=re.MULTILINE)) - {"make"} == TARGETS
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
    assert "PRM-EMPTY" in make("video", "PROMPT=", "ARGS=--cfg").stderr
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


# TORCH: another build of torch than the lock's. The registry of builds is asked by uv alone, so what is
# checked here is what make asks of uv, and uv's own list of builds.

_RECORDED = """#!/bin/sh
case "$*" in
  *--torch-backend=) exec {uv} "$@" ;;
  *" freeze "*) printf '%s\\n' numpy==2.4.0 torch==2.15.0+cu132 triton==3.9.0 nvidia-cudnn-cu13==9.26.0 ;;
esac
echo "$*" >>{asked}
case "$*" in *{refused}*) exit 1 ;; esac
"""


class Setting:
    """An environment whose uv writes down what it is asked, and knows the builds that the real one knows."""

    def __init__(self, folder: Path) -> None:
        self.venv, self.asked = folder / "venv", folder / "asked"
        (self.venv / "bin").mkdir(parents=True)
        self._write("python", f'#!/bin/sh\ncase "$1" in -I) exec {sys.executable} "$@" ;; esac\n')
        self.refuse("nothing at all")

    def refuse(self, words: str) -> None:
        """Let uv fail where its arguments hold these words."""
        uv = Path(sys.prefix) / "bin" / "uv"
        self._write("uv", _RECORDED.format(uv=uv, asked=self.asked, refused=words.replace(" ", "\\ ")))

    def make(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run make in the checkout with this environment; `installed` tells what uv was asked."""
        self.asked.write_text("")
        line = ["make", "-s", f"VENV={self.venv}", *words]
        return subprocess.run(
            line, cwd=ROOT, capture_output=True, text=True, env=_without_make(), check=False
        )

    @property
    def installed(self) -> list[str]:
        """What uv was asked to install or to remove, without where."""
        where = f" --python {self.venv}/bin/python"
        lines = [line.replace(where, "") for line in self.asked.read_text().splitlines()]
        return [line for line in lines if not line.startswith("pip freeze")]

    def _write(self, name: str, text: str) -> None:
        path = self.venv / "bin" / name
        path.write_text(text)
        path.chmod(0o755)


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    if not (Path(sys.prefix) / "bin" / "uv").exists():
        pytest.skip("needs uv")
    return Setting(tmp_path)


def test_without_torch_the_lock_is_installed_as_it_is(setting: Setting) -> None:
    assert setting.make("setup").returncode == 0
    assert setting.installed == [f"pip install --quiet --no-deps -r {setting.venv}/.pokora-pins"]
    pins = setting.venv / ".pokora-pins"
    assert pins.read_text() == (ROOT / "requirements.lock").read_text()


def test_another_build_of_torch_replaces_the_one_that_is_there_and_is_kept(setting: Setting) -> None:
    assert setting.make("setup", "TORCH=cu126").returncode == 0
    tried, removed, locked, named = setting.installed
    assert "--dry-run" in tried and "--torch-backend=cu126" in tried
    assert removed == "pip uninstall --quiet torch triton nvidia-cudnn-cu13"
    pins = setting.venv / ".pokora-pins"
    assert locked == f"pip install --quiet --no-deps -r {pins}"
    assert named == f"pip install --quiet --torch-backend=cu126 --constraints {pins} torch>=2.13 torchvision"
    assert not re.search("^(torch|nvidia|cuda|triton)", pins.read_text(), flags=re.MULTILINE)
    assert "diffusers==" in pins.read_text()
    for again in (("setup",), ("setup", "TORCH=cu126")):
        assert setting.make(*again).returncode == 0
        assert setting.installed == []
    os.utime(setting.venv / ".pokora-setup", (0, 0))  # as where the lock is newer
    assert setting.make("setup").returncode == 0
    assert setting.installed == [locked, named]


def test_a_changed_torch_is_installed_and_the_lock_s_own_comes_back(setting: Setting) -> None:
    setting.make("setup", "TORCH=cu126")
    assert setting.make("setup", "TORCH=cpu").returncode == 0
    assert "--torch-backend=cpu" in setting.installed[-1]
    assert setting.make("setup", "TORCH=lock").returncode == 0
    removed, locked = setting.installed
    assert removed.startswith("pip uninstall") and locked.endswith(".pokora-pins")
    assert "\ntorch==" in (setting.venv / ".pokora-pins").read_text()


@pytest.mark.parametrize("build", ["cu999", "cpu, cu126", "--index=x", "$(shell echo cpu)", "CPU", "."])
def test_a_build_that_uv_does_not_know_is_refused_in_one_line(setting: Setting, build: str) -> None:
    setting.make("setup", "TORCH=cu126")
    refused = setting.make("setup", f"TORCH={build}")
    assert refused.returncode != 0
    line, *rest = [line for line in refused.stderr.splitlines() if not line.startswith("make")]
    assert line.startswith(f"pokora: CFG-TORCH: TORCH={build}; expected lock, auto, cpu, cu13") and not rest
    assert line.endswith("fix: make setup TORCH=auto")
    assert setting.installed == []
    assert setting.make("setup").returncode == 0 and setting.installed == []  # the kept one still stands


def test_a_build_that_cannot_be_had_leaves_the_one_that_is_there(setting: Setting) -> None:
    setting.make("setup")
    setting.refuse("--dry-run")
    refused = setting.make("setup", "TORCH=cu126")
    assert refused.returncode != 0
    assert "SYS-TORCH: uv did not install torch for TORCH=cu126" in refused.stderr
    assert [line.split()[1] for line in setting.installed] == ["install"]
    assert setting.make("setup").returncode == 0 and setting.installed == []


def test_a_build_that_fails_on_the_way_is_set_up_again(setting: Setting) -> None:
    setting.make("setup")
    setting.refuse("--quiet --torch-backend")  # not the trial
    assert setting.make("setup", "TORCH=cu126").returncode != 0
    assert setting.make("setup").returncode == 0
    assert setting.installed == [f"pip install --quiet --no-deps -r {setting.venv}/.pokora-pins"]


def test_what_reads_no_torch_refuses_one() -> None:
    assert "make help does not read TORCH=" in make("help", "TORCH=cpu").stderr
