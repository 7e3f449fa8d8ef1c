"""`control.source=choreography`: the poses of a whole clip, planned from its words."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import load_file
from support import replay_runs
from support.forged_run import Forgery
from support.replay_runs import ALL, QUIET, honest_codes, steps

from pokora_anime.choreography import actions, body, skeleton
from pokora_anime.choreography.choreographer import Choreographer
from pokora_anime.choreography.pose_plan import Order, features, plan
from pokora_anime.config import prompt_notes as told
from pokora_anime.config.compose import compose, unresolved
from pokora_anime.config.keyframe_checks import unused
from pokora_anime.errors import ConfigError, Interrupted, PokoraError
from pokora_anime.nano.nano_extractors import PoseExtractor
from pokora_anime.nano.recipe import make_recipe
from pokora_anime.nano.train.members.train_choreographer import MEMBER, train_choreographer
from pokora_anime.nano.train.training_loop import Place
from pokora_anime.nano.world.draw import draw_frame
from pokora_anime.nano.world.scene import sample_scene
from pokora_anime.provenance.run_layout import CHOREOGRAPHY, REPORTS, VIDEO, array_name
from pokora_anime.quality.finished_score import score_run
from pokora_anime.quality.report.scorecard_files import write
from pokora_anime.render import pipeline
from pokora_anime.replay.examine_replay import Question, replay
from pokora_anime.replay.replay_device import Wishes
from pokora_anime.replay.replay_parts import choose
from pokora_anime.rules.case import Case, uses
from pokora_anime.rules.contest import judge
from pokora_anime.schema.settings import VideoConfig
from pokora_anime.stages.control import choreography_stage
from pokora_anime.submission.documents import prose
from pokora_anime.system.terminal.progress import Display
from pokora_anime.timeline import choreography_plan
from pokora_anime.untrusted.folder_listing import Folder
from pokora_anime.untrusted.read_limits import LIMITS
from pokora_anime.verify.record.claimed_record import read_record
from pokora_anime.verify.verdict import Verdict

WEIGHTS = Path(choreography_stage.__file__).parents[2] / "nano" / "weights" / "choreographer"
PLANNED = ("control=pose", "control.source=choreography", "motion.pose_start=0.5")
SIZE = (256, 256)
FIGURE = skeleton.default_figure(SIZE)


@pytest.fixture(scope="module")
def model() -> Choreographer:
    return Choreographer.load(WEIGHTS)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of two segments under one choreography."""
    return replay_runs.rendered(tmp_path_factory.mktemp("planned"), *PLANNED, *QUIET)


def ordered(text: str, seed: int = 1, frames: int = 48, **more: Any) -> Order:
    return Order(stops=more.pop("stops", ((0, text),)), frames=frames, fps=8, seed=seed, **more)


# What it plans


def moment(count: int, phase: float = 0.0) -> actions.Moment:
    ones, style = np.ones(count), np.zeros((count, actions.STYLES))
    style[:, 0] = 1
    w = phase + 2 * np.pi * np.arange(count) / count
    return actions.Moment(w, w / actions.BARS, ones, ones, style)


def test_a_figure_is_found_again_in_its_own_joints() -> None:
    # Other proportions than the drawn world's: a body is planned for whoever stands there.
    tall = skeleton.Figure(
        lengths=FIGURE.lengths * np.linspace(0.9, 1.2, 17), hip_x=120.0, ground=240.0, first=FIGURE.first
    )
    poses = skeleton.features(body.joints(actions.posed(("standing",), moment(1))))
    joints = skeleton.joints_of(poses, tall, SIZE)
    found = skeleton.read(joints[0])
    assert found is not None
    again = skeleton.joints_of(found.first[None], found, SIZE)[0]
    seen = joints[0, :, 2] > 0
    assert np.abs(again[seen, :2] - joints[0, seen, :2]).max() < 0.01


def test_joints_outside_of_the_frame_and_faces_that_look_away_do_not_show() -> None:
    near = skeleton.Figure(lengths=FIGURE.lengths * 2, hip_x=128, ground=460.0, first=FIGURE.first)
    poses = skeleton.features(body.joints(actions.posed(("standing",), moment(1))))
    assert not skeleton.joints_of(poses, near, SIZE)[0, [10, 13], 2].any()
    back = skeleton.features(body.joints(actions.posed(("turning back",), moment(1, np.pi / 2))))
    assert not skeleton.joints_of(back, FIGURE, SIZE)[0, [0, 14, 15], 2].any()


@pytest.mark.parametrize("action", actions.NAMES)
def test_every_action_is_read_in_tags_and_in_english(action: str, model: Choreographer) -> None:
    from pokora_anime.choreography.action_words import PHRASES

    phrases = PHRASES[action]
    texts = [f"1girl, red hair, kimono, {one}, night sky" for one in phrases]
    texts += [f"a girl with blue hair is {one} in a city" for one in phrases]
    right = [action in model.read(text).names for text in texts]
    assert np.mean(right) >= 0.8, [text for text, ok in zip(texts, right, strict=True) if not ok]


@pytest.mark.parametrize("text", ["1girl, long hair, hair bow, looking at viewer", "teapot, quantum", ""])
def test_words_without_an_action_leave_her_alive(text: str, model: Choreographer) -> None:
    assert model.read(text).names == ("standing",)
    poses = features(model, ordered(text), FIGURE)
    assert 0.001 < np.abs(np.diff(poses[:, :24], axis=0)).mean() < 0.05


def test_of_two_that_contradict_each_other_the_first_is_done() -> None:
    assert actions.together(("sitting", "jumping")) == ("sitting",)
    assert actions.together(("waving", "walking")) == ("walking", "waving")


def test_adverbs_do_what_they_say(model: Choreographer) -> None:
    paces = [model.read(f"1girl, dancing {word}").tempo for word in ("slowly", "", "quickly")]
    assert paces[0] < 0.8 < paces[1] < 1.25 < paces[2]
    assert model.read("dancing gently").size < 0.85 < 1.15 < model.read("dancing wildly").size


def test_the_first_pose_is_the_keyframes(model: Choreographer) -> None:
    start = skeleton.features(body.joints(actions.posed(("arms up",), moment(1))))[0]
    start[34:36] = 0
    figure = skeleton.Figure(lengths=FIGURE.lengths, hip_x=100, ground=240, first=start)
    joints = plan(model, ordered("1girl, dancing"), figure, SIZE)
    first = skeleton.joints_of(start[None], figure, SIZE)[0]
    assert np.abs(joints[0, :, :2] - first[:, :2]).max() < 1e-3


def test_where_nobody_is_seen_the_motion_is_under_way(model: Choreographer) -> None:
    begun, paused = (
        features(model, ordered("arms up"), figure)[0]
        for figure in (FIGURE, skeleton.Figure(lengths=FIGURE.lengths, hip_x=1, ground=1, first=FIGURE.first))
    )
    up = [2 * bone + 1 for bone in (1, 4)]  # how far the upper arms point down
    assert begun[up].max() < 0 < paused[up].min()


def test_another_seed_dances_another_dance(model: Choreographer) -> None:
    one, same, other = (features(model, ordered("dancing", seed), FIGURE) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert np.abs(one - other)[8:, :24].mean() > 0.05


@pytest.mark.parametrize("action", ["spinning", "turning back", "bowing", "looking around", "walking"])
def test_on_nano_she_is_only_seen_from_the_front(action: str, model: Choreographer) -> None:
    # The drawn world slides a face by at most 1.8 units, and always shows both shoulders and the whole face.
    joints = plan(model, ordered(action, front=True), FIGURE, SIZE)
    unit = FIGURE.lengths[0] / skeleton.LENGTHS[0]
    x = joints[8:, :, 0] / unit
    assert (joints[8:, [0, 14, 15, 16, 17], 2] == 1).all()
    assert (x[:, 5] - x[:, 2] > 0.55 * 16).all() and (x[:, 11] > x[:, 8]).all()
    assert (np.abs(x[:, 0] - x[:, [14, 15]].mean(1)) < 2.0).all()
    assert (np.hypot(*(joints[8:, 15, :2] - joints[8:, 14, :2]).T) / unit > 12).all()


def test_elsewhere_she_turns_around(model: Choreographer) -> None:
    x = plan(model, ordered("spinning"), FIGURE, SIZE)[:, :, 0]
    assert (x[:, 5] < x[:, 2]).any() and (x[:, 5] > x[:, 2]).any()


def test_a_loop_ends_where_it_begins(model: Choreographer) -> None:
    for stops in (((0, "dancing"),), ((0, "sitting"), (24, "waving"))):
        poses = features(model, ordered("", stops=stops, loop=True), FIGURE)[:, :24]
        paces = np.abs(np.diff(poses, axis=0)).mean(1)
        assert np.abs(poses[0] - poses[-1]).mean() < 1.6 * paces.max()


def test_an_action_passes_smoothly_into_the_next(model: Choreographer) -> None:
    poses = features(model, ordered("", stops=((0, "arms up"), (24, "walking"))), FIGURE)[:, :24]
    assert np.abs(np.diff(poses, axis=0)).max() < 0.75
    wrists = skeleton.joints_of(
        features(model, ordered("", stops=((0, "arms up"), (24, "walking"))), FIGURE), FIGURE, SIZE
    )
    assert wrists[16, 4, 1] < wrists[16, 2, 1] and wrists[40, 4, 1] > wrists[40, 2, 1]


@pytest.mark.parametrize("front", [False, True])
@pytest.mark.parametrize("action", ["sitting", "kneeling", "arms up", "hands on hips"])
def test_a_held_pose_stays_held(action: str, front: bool, model: Choreographer) -> None:
    joints = plan(model, ordered(action, seed=4, frames=64, front=front), FIGURE, SIZE)
    held = joints[16:, [2, 3, 5, 6, 8, 9, 11, 12], :2]  # shoulders, elbows, hips, knees; hands may move
    size = np.linalg.norm(FIGURE.lengths) / 3
    assert np.abs(held - held.mean(0)).max() < 0.25 * size


def test_a_stop_past_the_end_changes_nothing_before_it(model: Choreographer) -> None:
    alone = features(model, ordered("dancing"), FIGURE)
    travelling = features(model, ordered("", stops=((0, "dancing"), (90, "bowing"))), FIGURE)
    assert np.allclose(alone, travelling)


def test_thirty_stops_and_two_frames_are_planned(model: Choreographer) -> None:
    stops = tuple((4 * i, actions.NAMES[i % len(actions.NAMES)]) for i in range(30))
    assert np.isfinite(plan(model, ordered("", stops=stops, frames=128), FIGURE, SIZE)).all()
    assert plan(model, ordered("dancing", frames=2), FIGURE, SIZE).shape == (2, 18, 3)


def test_a_keyframe_of_two_gives_one_figure_that_moves(model: Choreographer) -> None:
    extractor = PoseExtractor.from_pretrained(WEIGHTS.parent / "pose_extractor")
    halves = [drawing(seed)[:, SIZE[1] // 4 : -SIZE[1] // 4] for seed in (1, 2)]
    figure = skeleton.read(extractor(np.concatenate(halves, axis=1)))
    assert figure is not None and figure.seen
    joints = plan(model, ordered("1girl, dancing", frames=16), figure, SIZE)
    assert np.isfinite(joints).all() and (joints[:, skeleton.HIPS, 2] > 0).all()
    assert np.abs(np.diff(joints[:, 4, :2], axis=0)).max() > 1


def drawing(seed: int) -> NDArray[np.uint8]:
    """A figure of the drawn world, whole, in the middle of a frame."""
    wanted = {"action": "standing", "shot": "full body", "background": "blue sky", "camera": "static"}
    return draw_frame(sample_scene(np.random.default_rng(seed), **wanted), 0.0, SIZE[0]).rgb


def test_its_training_learns_and_is_recorded(tmp_path: Path) -> None:
    train_choreographer(make_recipe("small").choreographer, Place(tmp_path))
    again = Choreographer.load(tmp_path / "family" / MEMBER)
    assert (tmp_path / "family" / MEMBER / "training.json").exists()
    assert again.read("dancing").names and not torch.isnan(again.poser.out.weight).any()


# Settings


@pytest.mark.parametrize(
    "overrides",
    [
        ("control=none", "control.source=choreography"),
        (*PLANNED, "keyframe=none"),
        ("control=union", "control.source=choreography"),
        (*PLANNED, "control.kinds=[depth]"),
        (*PLANNED, "control.kinds=[pose,canny]"),
    ],
)
def test_what_it_cannot_do_is_one_clear_line(overrides: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="choreography"):
        compose("video", ["base=nano", *overrides])


def test_words_that_contradict_each_other_are_said_once_and_the_first_is_done(model: Choreographer) -> None:
    assert model.read("1girl, sitting, jumping").names == ("sitting",)
    assert model.read("1girl, jumping, sitting").names == ("jumping",)


def test_the_writeup_says_where_the_poses_come_from() -> None:
    for kinds, beside in (("pose", False), ("pose_depth", True)):
        config = compose("video", [f"control={kinds}", "control.source=choreography"])
        assert isinstance(config, VideoConfig)
        (told,) = prose._control(config)
        assert "plans the poses of the whole clip" in told and ("depth" in told) is beside


def test_an_action_that_only_the_choreographer_knows_is_no_unknown_word() -> None:
    for more, unknown in (((), ("teapot",)), (("control=none",), ("bows politely", "teapot"))):
        config = compose("video", ["shot.prompt='1girl, bows politely, teapot'", *more])
        (line,) = [one.got for one in told.findings(config) if one.code == "PRM-UNKNOWN"]
        assert all(word in line for word in unknown) and ("bows" in line) is (len(unknown) == 2)


def test_nano_plans_poses_unasked_and_contest_presets_read_the_keyframe() -> None:
    asked = ([], ["base=sdxl"], ["experiment=contest_sdxl"], ["experiment=contest_sdxl_fast"])
    found = [compose("video", some) for some in asked]
    wanted = [isinstance(one, VideoConfig) and choreography_plan.wanted(one) for one in found]
    assert wanted == [True, False, False, False]


def test_the_organisers_are_to_be_asked() -> None:
    for overrides, expected in ((PLANNED, True), (("control=pose",), False)):
        config = compose("video", ["base=sdxl", *overrides])
        found = judge(Case(config=config, limits=config.contest, uses=uses(config)))
        assert ("RULE-CHOREOGRAPHY" in {one.code for one in found}) is expected


@pytest.mark.parametrize(("side", "wide"), [(512, 8.0), (768, 8.0), (1024, 12.0)])
def test_limbs_are_as_thick_as_sdxls_pose_network_knows_them(side: int, wide: float) -> None:
    config = compose("video", ["base=sdxl", *PLANNED, f"base.width={side}", f"base.height={side}"])
    assert isinstance(config, VideoConfig) and choreography_stage.half_width(config) == wide


# A whole run


def test_the_segments_share_one_choreography_of_the_record(run: Path) -> None:
    (planned,), clip = steps(run, "choreography"), steps(run, "motion")
    assert len(clip) == 2 and all(planned.id in step.parents for step in clip)
    assert not steps(run, "control") and not steps(run, "join_maps")
    joints = load_file(run / array_name("choreography", planned.id))["pose"]
    assert joints.dtype == np.float32 and joints.shape == (planned.params["frames"], 18, 3)


def test_windows_are_steered_by_the_poses_of_their_frames(tmp_path: Path) -> None:
    settings = ("motion.chain=windows", "motion.loop=true", "motion.anchor=both", *PLANNED, *QUIET)
    folder = replay_runs.rendered(tmp_path, *settings)
    (planned,), (clip,) = steps(folder, "choreography"), steps(folder, "motion")
    assert planned.id in clip.parents and honest_codes(folder) == set()


def test_a_clip_of_two_frames_has_the_keyframes_pose_and_the_next(tmp_path: Path) -> None:
    rate = ("shot.fps=4", "finish.fps=4", "shot.seconds=0.5", "finish.interpolation=none")
    folder = replay_runs.rendered(tmp_path, *PLANNED, *QUIET, *rate)
    (planned,) = steps(folder, "choreography")
    assert load_file(folder / array_name("choreography", planned.id))["pose"].shape == (2, 18, 3)
    assert honest_codes(folder) == set()


def test_the_plan_is_shown_beside_the_clip(run: Path) -> None:
    from PIL import Image

    with Image.open(run / REPORTS / CHOREOGRAPHY) as film:
        assert film.n_frames > 1  # type: ignore[attr-defined]


def test_the_report_shows_the_plan_beside_the_clip(run: Path, tmp_path: Path) -> None:
    card = score_run(run)
    _, page = write(card, tmp_path, run / VIDEO)
    film = base64.b64encode((run / REPORTS / CHOREOGRAPHY).read_bytes()).decode()
    assert f"data:image/webp;base64,{film}" in page.read_text()
    _, without = write(card, tmp_path)
    assert "image/webp" not in without.read_text()


def test_verification_finds_nothing_wrong(run: Path) -> None:
    assert honest_codes(run) == set()


def test_every_part_is_replayed_bit_by_bit(run: Path) -> None:
    report, _ = replay(run, ALL)
    assert sum(part.name.startswith("choreography ") for part in report.parts) == 1
    assert [part.exact for part in report.parts] == [True] * len(report.parts)
    assert report.verdict is Verdict.passed


def test_the_choreography_is_replayed_whatever_the_nonce(run: Path) -> None:
    record = read_record(Folder(run, LIMITS), LIMITS)
    for nonce in range(5):
        assert [unit.kind for unit in choose(record, str(nonce), 1).units].count("choreography") == 1


def test_a_run_that_was_stopped_goes_on_under_the_same_poses(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = compose("video", [*replay_runs.SMALL, *PLANNED, *QUIET])
    assert isinstance(config, VideoConfig)
    told: list[str] = []
    stops = ["segment 1/2"]
    step = Display.step

    def stopping(self: Display, detail: str = "") -> None:
        step(self, detail)
        told.append(detail)
        if stops and detail == stops[0]:
            stops.pop()
            raise Interrupted("INT-STOP", "Ctrl-C")

    monkeypatch.setattr(Display, "step", stopping)
    with pytest.raises(PokoraError, match="INT-STOP"):
        pipeline.render_video(config, tmp_path)
    told.clear()
    folder = pipeline.render_video(config, tmp_path)
    assert told.count("choreography, kept") == 1
    assert (folder / "frames.json").read_bytes() == (run / "frames.json").read_bytes()


def test_the_keyframe_is_drawn_in_the_first_planned_pose(run: Path) -> None:
    (first,), (again,) = steps(run, "keyframe"), steps(run, "redrawn")
    assert again.inputs[:2] == first.inputs[:2]  # the same words and the same noise
    with Image.open(run / "keyframe.png") as shown:
        picture = np.asarray(shown.convert("RGB"))
    stored = load_file(run / array_name("redrawn", again.id))
    assert np.array_equal(picture, stored["image"])
    assert not np.array_equal(picture, load_file(run / array_name("keyframe", first.id))["image"])


def test_a_pose_for_the_keyframe_that_no_plan_gives_is_said() -> None:
    def said(*words: str) -> list[str]:
        typed = unresolved("video", ["keyframe.posed=true", *words])
        assert isinstance(typed, VideoConfig)
        return unused(typed)

    assert said("control=depth", "base=sdxl")[0].startswith("keyframe.posed is not used")
    assert said() == said("base=sdxl", "control=pose", "control.source=choreography") == []


# Forgeries


def test_poses_from_elsewhere_are_found_by_a_replay(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("support.forged_run.honest", lambda: run)
    forgery = Forgery(tmp_path)
    node = forgery.of("choreography")
    arrays = forgery.arrays(node)
    arrays["pose"][4:, 4, 0] += 5
    forgery.store(node, arrays)
    folder = forgery.seal()
    assert honest_codes(folder) == set()  # nothing tells who planned a pose, but planning it again
    report, _ = replay(folder, Question(nonce="0", nodes=1, wishes=Wishes()))
    failed = [part.name for part in report.parts if part.verdict is Verdict.failed]
    assert any(name.startswith("choreography") for name in failed)


def other_frames(forgery: Forgery) -> None:
    node = forgery.of("choreography")
    forgery.store(node, {"pose": forgery.arrays(node)["pose"][:-1]})


def other_words(forgery: Forgery) -> None:
    forgery.of("choreography")["params"]["stops"] = [[0, "1girl, jumping"]]


def other_seed(forgery: Forgery) -> None:
    forgery.of("choreography")["params"]["seed"] = 99


def unplanned(forgery: Forgery) -> None:
    node = forgery.of("motion", 1)
    planned = forgery.of("choreography")["id"]
    node["parents"] = [parent for parent in node["parents"] if parent != planned]


def not_steered(forgery: Forgery) -> None:
    forgery.of("motion")["params"]["control"]["source"] = "keyframe"


def not_posed(forgery: Forgery) -> None:
    """The config says that the keyframe stays as it was drawn first, and it was drawn again."""
    forgery.config["keyframe"]["posed"] = False


def first_keyframe(forgery: Forgery) -> None:
    """The clip starts from the keyframe as it was drawn first, which was to be drawn again."""
    first, again = forgery.of("keyframe")["id"], forgery.of("redrawn")
    forgery.nodes.remove(again)
    for node in forgery.nodes:
        node["parents"] = [first if parent == again["id"] else parent for parent in node["parents"]]


@pytest.mark.parametrize(
    ("forge", "code"),
    [
        (not_posed, "POL-CHAIN"),
        (first_keyframe, "POL-CHAIN"),
        (other_frames, "POL-ARRAYS"),
        (other_words, "POL-PARAMS"),
        (other_seed, "POL-PARAMS"),
        (unplanned, "POL-CHAIN"),
        (not_steered, "POL-PARAMS"),
    ],
)
def test_a_choreography_that_no_run_makes_is_refused(
    forge: Any, code: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("support.forged_run.honest", lambda: run)
    forgery = Forgery(tmp_path)
    forge(forgery)
    assert code in honest_codes(forgery.seal())
