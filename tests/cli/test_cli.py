"""`pokora` as a user meets it: light start, pages that teach, one line for a mistake."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import yaml

from pokora_anime.cli import BUG_STATUS, COMMANDS, doctor, main
from pokora_anime.cli.render.render import parse
from pokora_anime.config.overrides import quote
from pokora_anime.errors import ConfigError, Interrupted, MachineError, PokoraError
from pokora_anime.schema.config_groups import defaults, groups, keys, typed_settings
from pokora_anime.system.terminal import resume_hint


def pokora(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "pokora_anime.cli", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
        check=False,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["video", "--help"],
        ["video", "--help", "keys"],
        ["video", "sed=1"],
        ["video", "--cfg"],
        ["video", "base=sdxl"],
        ["models", "list"],
        ["doctor", "--help"],
        ["train", "nano", "--preset", "x"],
    ],
)
def test_no_torch_before_it_is_needed(arguments: list[str]) -> None:
    code = (
        "import sys; from pokora_anime.cli import main\n"
        f"main({arguments!r})\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'cv2'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr


def test_help_lists_every_command_and_five_lines_to_copy(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    page = capsys.readouterr().out
    assert [name for name in COMMANDS if f"\n  {name} " not in page] == []
    assert page.count("\n  pokora ") == 5


def test_every_group_that_has_a_default_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    main(["video", "--help"])
    page = capsys.readouterr().out
    starred = re.findall(r"^  [a-z ]{11}\* (\w+) ", page, flags=re.MULTILINE)
    assert starred == [name for name in defaults("video").values() if name != "null"]
    assert "pose" in starred


@pytest.mark.parametrize("command", ["video", "stills", "sweep"])
def test_a_command_page_teaches(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    page = capsys.readouterr().out
    composed = "video" if command == "sweep" else command
    names = {name for key in keys(composed) for name in key.split(".")}
    assert names | set(groups(composed)) <= set(re.findall(r"\w+", page))
    assert page.count("\n  pokora ") == 5
    assert max(map(len, page.splitlines())) <= 110
    assert f"`pokora {composed} --help keys`" in page


@pytest.mark.parametrize("command", ["video", "stills", "sweep"])
def test_a_page_explains_every_key(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help", "keys"]) == 0
    page = capsys.readouterr().out
    plain = " ".join(page.split())
    for key, setting in typed_settings("video" if command == "sweep" else command).items():
        assert re.search(rf"^  {re.escape(key)}(=\S+)?( |$)", page, flags=re.MULTILINE), key
        assert " ".join(setting.law.help.split()) in plain
    assert max(map(len, page.splitlines())) <= 110


def test_help_knows_sections_and_keys(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["video", "--help", "motion.overlap"]) == 0
    assert "  motion.overlap=4 " in capsys.readouterr().out
    assert main(["video", "seed=3", "-h", "finish.hires"]) == 0
    assert capsys.readouterr().out.count("\n  finish.hires.") == 3
    assert main(["video", "--help", "overlp"]) == 2
    assert "`pokora video --help motion.overlap`" in capsys.readouterr().err
    assert main(["video", "--help", "seed=3"]) == 0
    assert "Groups (" in capsys.readouterr().out


def test_every_copyable_command_composes() -> None:
    from pokora_anime.cli import help_pages as pages
    from pokora_anime.config.compose import compose

    for page in (pages.VIDEO, pages.STILLS):
        for line in page.splitlines():
            if line.startswith("  pokora ") and "--multirun" not in line:
                _, command, *typed = shlex.split(line)
                assert compose(command, parse(command, typed).overrides).shot.prompt


@pytest.mark.parametrize(
    ("arguments", "code", "status"),
    [
        (["vidoe"], "CFG-COMMAND", 2),
        (["video", "sed=1"], "CFG-KEY", 2),
        (["video", "--fresh"], "CFG-SYNTAX", 2),
        (["video", "--out"], "CFG-SYNTAX", 2),
        (["video", "shot.prompt="], "PRM-EMPTY", 2),
        (["video", "base=sdxl"], "WGT-MISSING", 3),
        (["video", "--prompt-env", "POKORA_NOT_SET"], "CFG-SYNTAX", 2),
        (["video", "--prompt"], "CFG-SYNTAX", 2),
        (["video", "control.scale=9"], "CFG-TYPE", 2),
        (["score", "nowhere"], "CFG-FILE", 2),
        (["models", "lst"], "CFG-COMMAND", 2),
        (["doctor", "now"], "CFG-SYNTAX", 2),
        (["train"], "CFG-SYNTAX", 2),
        (["train", "nano", "--members", "head"], "CFG-SYNTAX", 2),
    ],
)
def test_a_mistake_is_one_line_and_a_status(
    arguments: list[str], code: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == status
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"pokora: {code}: ")
    assert shown.err.count("\n") == 1


def test_missing_sdxl_weights_name_the_command_that_fetches_them(capsys: pytest.CaptureFixture[str]) -> None:
    main(["video", "base=sdxl"])
    assert "pokora models fetch base=sdxl" in capsys.readouterr().err


def test_a_debugging_user_sees_the_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POKORA_DEBUG", "1")
    assert main(["video", "sed=1"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_an_unforeseen_error_names_its_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: list[str]) -> int:
        raise RuntimeError("two\nlines")

    monkeypatch.setitem(COMMANDS, "doctor", (fail, ""))
    assert main(["doctor", "--json"]) == BUG_STATUS == 70  # no verdict and no mistake of a user ends so
    told = capsys.readouterr()
    shown = told.err
    assert json.loads(told.out)["exit_status"] == BUG_STATUS
    assert shown.startswith("pokora: BUG-FAULT: RuntimeError: two lines; log: ")
    log = Path(shown.strip().rsplit("log: ", 1)[1])
    assert "Traceback" in log.read_text()
    log.unlink()


def test_an_unforeseen_error_is_one_line_although_its_log_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def fail(_: list[str]) -> int:
        raise RuntimeError("broken")

    monkeypatch.setitem(COMMANDS, "doctor", (fail, ""))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    assert main(["doctor"]) == BUG_STATUS
    shown = capsys.readouterr().err
    assert shown.startswith("pokora: BUG-FAULT: RuntimeError: broken; log: none (")
    assert shown.count("\n") == 1


def test_an_unknown_bench_is_answered_with_the_nearest_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "nanoo"]) == 2
    line = capsys.readouterr().err
    assert "CFG-BENCH" in line and line.rstrip().endswith("fix: pokora bench nano")


STOPPED = ["seed=3", "shot.prompt=it's $5, (a:1.2)", "++fresh=true", "fresh=1", "--out", "a b"]


@pytest.mark.parametrize(
    ("typed", "printed"),
    [
        (["video", *STOPPED], ["video", "seed=3", "shot.prompt=it's $5, (a:1.2)", "--out", "a b"]),
        (["stills", "--prompt-env", "POKORA_PROMPT"], ["stills", "shot.prompt=from 'make'"]),
        (["sweep", "seed=1,2"], ["sweep", "seed=1,2"]),
        (["video", "-m", "seed=1,2"], ["video", "--multirun", "seed=1,2"]),
    ],
)
def test_ctrl_c_prints_the_command_that_goes_on(
    typed: list[str],
    printed: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    in_a_grid = typed[0] == "sweep" or "-m" in typed

    def stop(*_: object) -> None:
        raise Interrupted("INT-STOP", "stopped") if in_a_grid else KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POKORA_PROMPT", "from 'make'")
    for module in ("cli.render.render", "jobs.render_job"):  # one run, and the jobs of a grid
        monkeypatch.setattr(f"pokora_anime.{module}.render", stop)
    monkeypatch.setattr("sys.argv", ["else/where/pokora"])
    assert main(typed) == 130
    line = capsys.readouterr().err.splitlines()[-1]
    assert shlex.split(line.partition("to go on: ")[2]) == ["else/where/pokora", *printed]


def test_the_command_that_goes_on_starts_this_very_program(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = tmp_path / "pokora"
    script.touch(mode=0o755)
    first_word = {}
    for started, path in ((script, tmp_path), (script, tmp_path / "none"), (Path("x/cli.py"), tmp_path)):
        monkeypatch.setattr("sys.argv", [str(started)])
        monkeypatch.setenv("PATH", str(path))
        resume_hint.remember("video", [])
        first_word[started.name, path.name == "none"] = resume_hint.how()
    assert first_word == {
        ("pokora", False): "pokora video",
        ("pokora", True): f"{shlex.quote(str(script))} video",
        ("cli.py", False): f"{shlex.quote(sys.executable)} -m pokora_anime.cli video",
    }


def test_ctrl_c_leaves_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(_: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setitem(COMMANDS, "doctor", (stop, ""))
    assert main(["doctor"]) == 130


def test_a_prompt_comes_through_the_environment_untouched() -> None:
    prompt = 'it\'s "$5" (a:1.2), ${seed} <lora:pastel:1> \\ 青い髪'
    shown = pokora("video", "--prompt-env", "POKORA_PROMPT", "--cfg", POKORA_PROMPT=prompt)
    assert yaml.safe_load(shown.stdout)["shot"]["prompt"] == prompt


def test_a_prompt_is_an_option_too() -> None:
    shown = pokora("video", "--prompt", "1girl, it's (a:1.2), <lora:pastel:1>", "--cfg")
    assert yaml.safe_load(shown.stdout)["shot"]["prompt"] == "1girl, it's (a:1.2), <lora:pastel:1>"
    assert parse("video", ["--prompt=two", "--prompt-env=HOME"]).overrides[-1] == "shot.prompt=two"


def test_a_typed_prompt_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROM_SHELL", "one")
    overrides = parse("video", ["shot.prompt=two", "--prompt-env", "FROM_SHELL"]).overrides
    assert overrides == ["shot.prompt=one", "shot.prompt=two"]


def test_the_output_root_is_an_option_and_no_key() -> None:
    assert parse("video", ["--out=a b", "seed=1"]).out == Path("a b")
    with pytest.raises(ConfigError):
        parse("video", ["--output", "x"])


def test_one_failing_job_stops_no_other(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    # Nothing is rendered: both bases lack their weights, which every job finds out by itself.
    status = main(["video", "--multirun", "base=sdxl,sd2", "--out", str(tmp_path / "it's, here")])
    shown = capfd.readouterr()
    folder = Path(shown.out.strip().splitlines()[-1])
    results = [json.loads(path.read_text()) for path in sorted(folder.glob("job-*.json"))]
    assert status == 1
    assert [result["overrides"] for result in results] == [["base=sdxl"], ["base=sd2"]]
    assert all("WGT-MISSING" in result["error"] for result in results)
    assert "2 of 2 renders failed" in shown.err
    assert "Traceback" not in shown.err


def test_a_job_whose_result_cannot_be_written_still_says_why_it_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pokora_anime.cli.render.sweep.write_atomic", full)
    assert main(["video", "-m", "base=sdxl", "--out", str(tmp_path)]) == 3
    assert "pokora: WGT-MISSING" in capsys.readouterr().err


def test_a_result_or_a_sheet_that_does_not_fit_on_the_disk_is_no_bug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    from pokora_anime.cli.render import sweep

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pokora_anime.cli.render.sweep.write_atomic", full)
    monkeypatch.setattr(Image.Image, "save", full)
    monkeypatch.setattr(sweep, "_still_frames", lambda _: [np.zeros((8, 8, 3), np.uint8)])
    with pytest.raises(MachineError, match="SYS-DISK"):
        sweep.write_result(tmp_path, {"number": 0}, 0.0)
    with pytest.raises(MachineError, match="SYS-DISK"):
        sweep._write_sheet(tmp_path, "stills", [{"path": "", "label": "one"}])


def test_a_sweep_renders_one_at_a_time_unless_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pokora_anime.cli.render import sweep

    started: list[list[str]] = []

    def note(words: list[str]) -> AbstractContextManager[None]:
        started.append([word for word in words if "launcher" in word])
        raise PokoraError("STOP", "here")

    monkeypatch.setattr(sweep, "_command_line", note)
    one = "hydra.launcher.n_jobs=1"
    for typed in (["seed=1,2"], ["hydra.launcher.n_jobs=2"], ["hydra/launcher=basic"]):
        main(["sweep", *typed, "--out", str(tmp_path)])
    assert started == [[one], [one, "hydra.launcher.n_jobs=2"], ["hydra/launcher=basic"]]


def test_a_sweep_runs_with_a_launcher_that_has_no_n_jobs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["video", "-m", "base=sdxl", "hydra/launcher=basic", "--out", str(tmp_path)]
    assert main(words) == 1
    assert "WGT-MISSING" in capsys.readouterr().out


def test_prompts_of_a_sweep_arrive_as_typed(tmp_path: Path) -> None:
    # The jobs fail for want of weights, after they were composed; Hydra's own record holds the prompts.
    prompts = ['it\'s "a", (b) ${seed} $x \\', "青い髪 <lora:a:1>"]
    typed = f"shot.prompt={json.dumps(prompts, ensure_ascii=False)}"
    assert main(["video", "-m", "base=sdxl", typed, "--out", str(tmp_path)]) == 1
    (folder,) = (tmp_path / "sweep").iterdir()
    results = [json.loads(path.read_text()) for path in sorted(folder.glob("job-*.json"))]
    assert [result["prompt"] for result in results] == prompts


def test_a_broken_sweep_is_refused_before_it_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", "seed=1,x", "--out", str(tmp_path)]) in (1, 2)
    assert main(["sweep", "sede=1,2", "--out", str(tmp_path)]) == 2
    assert "did you mean seed?" in capsys.readouterr().err


def test_the_sweep_folder_is_quoted_for_hydra() -> None:
    assert quote("/a, b/it's") == "'/a, b/it\\'s'"


def test_doctor_knows_this_machine() -> None:
    found = {finding.name: finding for finding in doctor.examine()}
    assert {"device", "processor", "memory", "disk", "ffmpeg", "nano", "sdxl", "sandbox"} <= set(found)
    assert found["sdxl"].state in (doctor.OK, doctor.WARN)


def test_doctor_names_the_next_command() -> None:
    cpu = doctor.Finding(doctor.OK, "device", "CPU only")
    gpu = doctor.Finding(doctor.OK, "device", "CUDA: a card")
    sdxl = doctor.Finding(doctor.OK, "sdxl", "weights present")
    assert "base=sdxl" not in doctor.next_command([cpu, sdxl])
    assert "models fetch base=sdxl" in doctor.next_command([gpu])
    assert "pokora video base=sdxl" in doctor.next_command([gpu, sdxl])


@pytest.mark.parametrize(("flags", "known"), [("fpu avx512_bf16 sse", True), ("fpu amx_bf16 bf16", False)])
def test_doctor_and_run_agree_on_bf16(flags: str, known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    # torch asks for AVX-512's bf16 alone.
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: f"flags\t: {flags}\n")
    assert doctor.cpu_bf16() is known


def test_the_kernel_is_only_asked_about_landlock() -> None:
    assert doctor.landlock_abi() >= 0
    assert Path(__file__).read_text()  # reading is still allowed


def test_a_job_is_labelled_by_what_sets_it_apart() -> None:
    from pokora_anime.cli.render.sweep import _label

    jobs = [["seed=1", "shot.fps=8", "speed=lcm"], ["seed=1", "shot.fps=12", "speed=hq"]]
    assert [_label(job, jobs) for job in jobs] == ["fps=8 speed=lcm", "fps=12 speed=hq"]
