"""`sweep=search`: trials that Optuna asks for, pruned on their first segment, laid out as a sweep."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.replay_runs import SMALL

from pokora_anime.cli.render import search
from pokora_anime.config.compose import compose_video
from pokora_anime.errors import PokoraError
from pokora_anime.rules import contest_limits


def test_what_is_searched_is_typed_in_hydras_grammar() -> None:
    words = [
        "seed=1,2,3",
        "motion.step_share=interval(0,0.7)",
        "speed.steps=range(2,5)",
        "shot.prompt=1girl, bob",
    ]
    space = search.space_of("video", words)
    assert space.choices == {"seed": ["1", "2", "3"]} and space.ranges == {"speed.steps": (2, 4, 1)}
    assert space.intervals == {"motion.step_share": (0.0, 0.7)}
    assert space.fixed == ["shot.prompt='1girl, bob'"]
    assert set(search.space_of("video", ["seed=4"]).intervals) == {
        "speed.guidance_scale",
        "motion.step_share",
    }


def test_the_first_trial_is_what_would_be_rendered_unsearched() -> None:
    words = ["seed=range(0,9)", "speed.steps=range(2,9,2)", "motion.step_share=interval(0.1,0.2)"]
    space = search.space_of("video", [*words, "speed.guidance_scale=interval(1,2)", "speed=lcm,hq"])
    assert "seed" in space.choices  # of which none is nearer to another
    assert search._usual(space) == {"seed": "0", "speed.steps": 6, "speed.guidance_scale": 1.5}


def test_a_contest_bounds_the_weights_that_are_searched(capsys: pytest.CaptureFixture[str]) -> None:
    space = search.space_of("video", ["style.weight.pastel=interval(0.1,0.8)"])
    found = search.bounded(space, contest_limits.load("cs492c"))
    assert found.intervals == {"style.weight.pastel": (0.7, 0.8)}
    assert "0.7 to 0.8 instead of 0.1 to 0.8, as cs492c allows" in capsys.readouterr().err
    words = search.with_weights(["style.weight.pastel=0.75"], ["base=nano"])
    assert {one.id: one.weight for one in compose_video(words).style.loras}["pastel"] == 0.75


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["search.trials=0"], "1 to 200"),
        (["search.trials=many"], "1 to 200"),
        (["search.score=beauty"], "overall|"),
        (["search.sampler=grid"], "tpe|random"),
        (["search.trails=3"], "unknown key search.trails"),
    ],
)
def test_what_is_no_search_is_one_line(words: list[str], said: str) -> None:
    with pytest.raises(PokoraError) as caught:
        search.wish_of("video", words)
    assert said in caught.value.line() and "\n" not in caught.value.line()


def test_stills_are_not_searched_and_intervals_have_two_ends() -> None:
    with pytest.raises(PokoraError, match="only they are scored"):
        search.wish_of("stills", [])
    with pytest.raises(PokoraError, match="a low below a high"):
        search.space_of("video", ["motion.step_share=interval(0.7,0.2)"])


def test_a_search_renders_its_trials_into_a_sweeps_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("optuna")
    words = [
        *(one for one in SMALL if not one.startswith("seed")),
        "search.trials=6",
        "quality.preview=false",
    ]
    space = ["sweep=search", "shot.seconds=1", "seed=1,2,3,4", "motion.step_share=interval(0,0.7)"]
    assert search.run("video", [*words, *space, "finish.upscale=lanczos"], tmp_path) in (0, 1)
    (folder,) = (tmp_path / "sweep").iterdir()
    told = [json.loads(path.read_text()) for path in sorted(folder.glob("job-*.json"))]
    finished = [one for one in told if "path" in one]
    assert [one["number"] for one in told] == list(range(6)) and len(finished) >= 4
    assert all(0 <= one["scores"]["overall"] <= 1 for one in finished)
    assert all("pruned" in one["error"] for one in told if "error" in one)
    assert (folder / "sheet.png").is_file()
    assert "best: seed=" in capsys.readouterr().err
