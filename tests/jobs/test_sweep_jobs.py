"""Jobs of a sweep beside each other: equal ones, and what a grid of runs refuses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir

from pokora_anime.cli import main
from pokora_anime.cli.render import render, sweep
from pokora_anime.config.overrides import prepare
from pokora_anime.errors import ConfigError, MachineError
from pokora_anime.jobs import sweep_jobs, sweep_size
from pokora_anime.provenance.run_folder import RunFolder
from pokora_anime.schema.config_groups import conf_dir, register_schemas


def test_an_equal_job_waits_for_the_one_that_renders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = RunFolder.open(tmp_path, "stills", "equal", "a" * 64, fresh=False)
    waits: list[float] = []

    def other_finishes(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            first.close()

    def attempt() -> Path:
        with RunFolder.open(tmp_path, "stills", "equal", "a" * 64, fresh=False) as mine:
            return mine.path

    with pytest.raises(MachineError, match="SYS-LOCK"):
        attempt()
    monkeypatch.setattr(sweep.time, "sleep", other_finishes)
    assert sweep._in_turn(attempt) == first.path
    assert waits == [sweep._LOOK_AGAIN] * 2


def test_another_error_of_a_job_is_its_own() -> None:
    def attempt() -> Path:
        raise MachineError("SYS-DISK", "full")

    with pytest.raises(MachineError, match="SYS-DISK"):
        sweep._in_turn(attempt)


@pytest.mark.parametrize(
    "start",
    [
        lambda words: render.main("stills", ["--multirun", *words]),
        lambda words: render.sweep_main(words),
    ],
)
def test_a_sweep_that_should_be_printed_renders_nothing(
    start: Callable[[list[str]], int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert start(["seed=1,2", "--cfg", "speed.steps=3", "--out", str(tmp_path / "out")]) == 0
    assert not (tmp_path / "out").exists()
    page = capsys.readouterr().out
    configs = list(yaml.safe_load_all(page))
    assert [config["seed"] for config in configs] == [1, 1, 2, 2][:: 4 // len(configs)]
    assert {config["speed"]["steps"] for config in configs} == {3}
    assert "# job 0: seed=1" in page and "hydra" not in configs[0]


@pytest.mark.parametrize(
    ("part", "found"), [("job", [False, True]), ("hydra", [True, False]), ("all", [True, True])]
)
@pytest.mark.parametrize("typed", ["--cfg {}", "--cfg={}"])
def test_each_part_of_a_config_can_be_printed(
    part: str, found: list[bool], typed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = typed.format(part).split()
    assert render.main("stills", ["--multirun", *words, "hydra.launcher.n_jobs=2", "seed=4,5"]) == 0
    first, second = yaml.safe_load_all(capsys.readouterr().out)
    assert ["hydra" in first, "seed" in first] == ["hydra" in second, "seed" in second] == found
    assert "hydra" not in first or first["hydra"]["launcher"]["n_jobs"] == 2
    assert render.main("stills", [*words, "seed=4"]) == 0
    assert ["hydra" in (one := yaml.safe_load(capsys.readouterr().out)), "seed" in one] == found


def test_prompts_and_options_of_a_sweep_are_printed_as_they_would_be_rendered(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["shot.prompt={red|blue} hair, (smile:1.2)", "style=glob(p*)"]
    assert render.main("stills", ["--multirun", *words, "--cfg"]) == 0
    prompts = [config["shot"]["prompt"] for config in yaml.safe_load_all(capsys.readouterr().out)]
    assert sorted(set(prompts)) == ["blue hair, (smile:1.2)", "red hair, (smile:1.2)"]


def test_a_mistake_in_one_job_and_an_unknown_part_are_told() -> None:
    with pytest.raises(ConfigError, match="CFG-"):
        render.main("stills", ["--multirun", "count=1,99", "--cfg"])
    with pytest.raises(ConfigError, match=r"CFG-RANGE: --cfg=foo; expected job\|hydra\|all"):
        render.main("stills", ["--cfg=foo"])


# Which job a line is of


@pytest.mark.parametrize(
    ("launcher", "label"),
    [
        ([], ""),
        (["hydra/launcher=basic"], ""),
        (["hydra.launcher.n_jobs=1"], ""),
        (["hydra.launcher.n_jobs=2"], "job 3 seed=1,shot.prompt='1girl, long, long..."),
        (["hydra.launcher.n_jobs=-1"], "job 3 seed=1,shot.prompt='1girl, long, long..."),
    ],
)
def test_a_job_beside_others_is_labelled_by_what_sets_it_apart(launcher: list[str], label: str) -> None:
    typed = ["seed=1", f"shot.prompt='1girl{', long' * 20}'", "count=1", *launcher]
    typed = [
        *sweep_jobs.one_at_a_time(typed),
        *typed,
        "hydra.job.config.override_dirname.exclude_keys=[count]",
    ]
    register_schemas()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        composed = compose("stills", overrides=[*typed, "hydra.job.num=3"], return_hydra_config=True)
    assert sweep._side_by_side(composed.hydra) == label


def test_what_all_jobs_share_is_no_label() -> None:
    ready = prepare(
        "stills", ["seed=1,2", "count=1", "style=none", "shot.prompt={a|b} c", "hydra.launcher.n_jobs=2"],
        multirun=True,
    )  # fmt: skip
    assert sweep_jobs.constant(ready) == ["count", "style"]
    assert sweep_jobs.constant(prepare("video", ["control.scale.pose=0.5"], multirun=True)) == [
        "control.scale.pose"
    ]


@pytest.mark.parametrize("start", ["--multirun", "--multirun --cfg", "--cfg"])
def test_a_value_that_cannot_be_read_is_one_line(start: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"CFG-SYNTAX"):
        render.main("stills", [*start.split(), "seed=[1,2", "--out", str(tmp_path)])


def test_one_config_with_several_values_asks_for_a_multirun() -> None:
    with pytest.raises(ConfigError, match="CFG-SWEEP"):
        render.main("stills", ["--cfg", "seed=1,2"])


def test_every_line_of_a_labelled_process_says_whose_it_is() -> None:
    code = """
import sys
from pokora_anime.system.terminal.labelled_lines import labelled
from pokora_anime.system.terminal.progress import Display
print("before", file=sys.stderr)
with labelled(sys.argv[1]):
    with Display() as display:
        display.stage("still", total=1)
        display.step()
        display.note("one" + chr(10) + "two 青い")
    sys.stderr.write("a part")
    sys.stderr.write(" and the rest")
print("after", file=sys.stderr)
"""
    for label in ("job 1 seed=2", ""):
        line = [sys.executable, "-X", "utf8", "-c", code, label]
        said = subprocess.run(line, capture_output=True, encoding="utf-8", check=True).stderr.splitlines()
        head = f"{label}: " if label else ""
        assert said[0] == "before" and said[1] == f"{head}[0:00] still 0/1"
        assert said[3:5] == [f"{head}[0:00] one", f"{head}two 青い"]
        assert said[5].startswith(f"{head}a part and the rest") and said[-1].endswith("after")


# How many jobs


@pytest.mark.parametrize(
    ("preset", "jobs"),
    [
        *(
            ("grid", 4),
            ("overlap", 3),
            ("seeds", 8),
            ("styles", 4),
            ("style_weight", 6),
            ("speed_quality", 8),
        ),
        *(("prompts", 4), ("draft_then_final", 8)),
    ],
)
def test_each_preset_is_a_grid(preset: str, jobs: int) -> None:
    assert sorted(path.stem for path in (conf_dir() / "sweep").glob("*.yaml")) == sorted([*PRESETS, SEARCH])
    assert counted(f"sweep={preset}") == jobs
    assert counted(f"sweep={preset}", "seed=5,6") >= 2


SEARCH = "search"  # no grid: its trials are asked for one after the other
PRESETS = "grid overlap seeds styles style_weight speed_quality prompts draft_then_final".split()


def counted(*typed: str, yes: bool = False) -> int | None:
    ready = prepare("video", typed, multirun=True)
    return sweep_size.count("video", ready, yes=yes, out=Path())


def test_many_jobs_are_asked_for_and_none_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"CFG-SWEEP: 402 jobs \(201 seed x 2 speed\): about .* disk.*--yes"
    ):
        counted("sweep=grid", "seed=range(0,201)")
    assert counted("sweep=grid", "seed=range(0,201)", yes=True) == 402
    with pytest.raises(ConfigError, match="more than 10000 jobs"):
        counted("seed=range(0,1000000000)", yes=True)
    for empty in ("seed=range(5,5)", "style=glob(zzz*)"):
        with pytest.raises(ConfigError, match="has no value: no job"):
            counted(empty)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["video", "--yes"], "--yes of one run"),
        (["stills", "--open"], "--open of one run"),
        (["sweep", "keep=2"], "keep=2 without drafts"),
        (["sweep", "sweep=draft_then_final", "keep=0"], "keep=0; expected 1 to 64"),
        (["sweep", "sweep=draft_then_final", "quality.score=false"], "drafts without a score"),
    ],
)
def test_wishes_of_a_sweep_stand_with_a_sweep(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--out", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"1girl\n\n1girl, https://example.org/x.png\n/etc/passwd\n", "GATE-URL: line 3 of FILE: a link"),
        (b"\xef\xbb\xbf1girl\r\n1girl, data:image/png;base64,iVBORw0KGgo=\r\n", "GATE-DATA"),
        (b"1girl\x00hair\n", "PRM-CHARACTER: line 1 of FILE"),
        (b"1girl, " * 3000, "GATE-LONG: line 1 of FILE"),
        (b"1girl\n" * 10_000, "CFG-FILE: 10000 prompts in FILE; expected 1 to 2000"),
        (b"\n# none\n", "CFG-FILE: 0 prompts"),
        (b"--out /tmp\n", "CFG-FILE: '--out /tmp' in FILE"),
        (b"1girl \xff\n", "CFG-FILE: FILE is no UTF-8 text"),
        ("".join(f"1girl, {number}\n" for number in range(300)).encode(), "CFG-SWEEP: 300 jobs"),
    ],
)
def test_a_file_of_prompts_passes_the_gate_line_by_line(
    text: bytes,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("FILE").write_bytes(text)
    assert main(["sweep", "sweep=prompts", "--prompt-file", "FILE"]) in (1, 2)
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1 and told[0].startswith(f"pokora: {said}") and not Path("outputs").exists()
