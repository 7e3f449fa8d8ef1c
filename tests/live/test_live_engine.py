"""Live with the real nano: an action without a cut, another look, and a take danced as its run will be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from pokora_anime.choreography import pose_plan, skeleton
from pokora_anime.config.compose import compose
from pokora_anime.live import take
from pokora_anime.live.generation import live_context
from pokora_anime.live.generation.live_loop import LiveLoop
from pokora_anime.live.generation.look import LookMaker
from pokora_anime.live.generation.segment_engine import Decoder, SegmentEngine, SegmentOrder
from pokora_anime.live.live_settings import FPS, KNOWN, LiveConfig
from pokora_anime.live.take import Take
from pokora_anime.live.typed.asked import Asked
from pokora_anime.prompt.prompt_syntax import stops
from pokora_anime.provenance.run_folder import RunFolder
from pokora_anime.schema.settings import VideoConfig
from pokora_anime.stages.control import choreography_stage
from pokora_anime.stages.picture import keyframe
from pokora_anime.stages.text import prompt_embeddings

pytestmark = pytest.mark.apart

LIVE = LiveConfig(steps=1, frames=8, seed=5)
WAVING = "1girl, blue hair, twintails, white dress, waving, cherry blossoms"
DANCING = WAVING.replace("waving", "dancing")
RED = "1girl, red hair, ponytail, black kimono, dancing, night sky"


def _config(prompt: str) -> VideoConfig:
    words = [f"shot.prompt={prompt}", "seed=5", "motion.frames=8", "device.threads=1"]
    found = compose("video", words)
    assert isinstance(found, VideoConfig)
    return found


class _Watched(SegmentEngine):
    """The engine, with what it was asked to make."""

    orders: list[SegmentOrder]

    def latents(self, order: SegmentOrder, on_step: Callable[[], None] = lambda: None) -> Tensor:
        self.orders.append(order)
        return super().latents(order, on_step)


@dataclass
class _Script:
    """An inbox that asks for what a script says once so many segments are made; what was shown is all."""

    script: dict[int, Asked]
    segments: int
    shown: int = 0
    made: int = 0
    told: list[Mapping[str, object]] = field(default_factory=list)
    frames: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        return self.made >= self.segments

    @property
    def waits(self) -> bool:
        return self.made in self.script

    def take(self) -> Asked | None:
        return self.script.pop(self.made, None)

    def wait(self, seconds: float) -> None:
        raise AssertionError("nothing is to be waited for")

    def tell(self, told: Mapping[str, object], images: list[np.ndarray]) -> None:
        self.told.append({**told, "count": len(images)})
        if images:
            start = int(str(told["start"]))
            self.frames |= dict(enumerate(images, start))
            self.made += 1
            self.shown = max(self.frames)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> tuple[_Script, list[SegmentOrder]]:
    """Waving, dancing, another look, and a take of it in which she waves."""
    place = tmp_path_factory.mktemp("live")
    script = {
        2: Asked(number=1, config=_config(DANCING)),
        4: Asked(number=2, config=_config(RED)),
        5: Asked(number=3, config=_config(RED), take=True),
        7: Asked(number=4, config=_config(RED.replace("dancing", "waving"))),
    }
    inbox = _Script(script, segments=10)
    with RunFolder(place / "session", "live") as folder:
        context = live_context.opened(_config(WAVING), folder, lambda _: None)
        engine = _Watched(context, _config(WAVING), LIVE)
        engine.orders = []
        loop = LiveLoop(engine, LookMaker(context, place), Decoder(context), LIVE, inbox.tell)
        loop.run(Asked(number=0, config=_config(WAVING)), inbox)
    return inbox, engine.orders


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(float) - other.astype(float)).mean())


def test_every_frame_is_made_once_and_in_order(
    session: tuple[_Script, list[SegmentOrder]],
) -> None:
    inbox = session[0]
    assert sorted(inbox.frames) == list(range(8 + 9 * (8 - KNOWN)))
    assert all(frame.shape == (256, 256, 3) for frame in inbox.frames.values())
    assert all(frame.std() > 20 for frame in inbox.frames.values())


def test_neither_an_action_nor_a_look_comes_by_a_cut(
    session: tuple[_Script, list[SegmentOrder]],
) -> None:
    frames = session[0].frames
    steps = np.array([_apart(frames[n], frames[n + 1]) for n in range(len(frames) - 1)])
    looks = _apart(frames[15], frames[len(frames) - 1])
    assert looks > 40  # a white dress by day, a black kimono by night
    assert steps.max() < 0.6 * looks


def test_a_turn_is_told_with_its_frame_of_the_take(
    session: tuple[_Script, list[SegmentOrder]],
) -> None:
    told = session[0].told
    takes = [(one["take"], one["origin"]) for one in told if "take" in one]
    turns = [(one["turn"], one["frame"], one["from"]) for one in told if "turn" in one]
    assert takes[0] == (0, 0)
    assert takes[1][0] == 3
    origin = int(str(takes[1][1]))
    assert [turn for turn, _, _ in turns] == [1, 2, 4]
    assert int(str(turns[2][1])) == int(str(turns[2][2])) - origin + 3


def test_the_run_of_a_take_has_its_choreography(
    session: tuple[_Script, list[SegmentOrder]], tmp_path: Path
) -> None:
    inbox, orders = session
    (origin,) = [int(str(one["origin"])) for one in inbox.told if one.get("take") == 3]
    (turn,) = [one for one in inbox.told if one.get("turn") == 4]
    recorded = Take(number=3, words=RED, origin=origin)
    recorded.turn(int(str(turn["frame"])), RED.replace("dancing", "waving"))
    seconds = recorded.seconds(max(inbox.frames))
    config = compose("video", [*take.run_words(recorded, seconds, LIVE), "device.threads=1"])
    assert isinstance(config, VideoConfig)
    with RunFolder(tmp_path / "run", "run") as folder:
        run = live_context.opened(config, folder, lambda _: None)
        text = prompt_embeddings.encode(config.shot, config, run)
        node = choreography_stage.plan(text, keyframe.render(text, config, run), config, run)
        stored = folder.load(node)
    assert stored is not None
    planned = stored["pose"]
    danced = {
        order.start + index: pose
        for order in orders
        if order.start >= origin
        for index, pose in enumerate(order.joints)
    }
    compared = [number for number in danced if number - origin < len(planned)]
    assert len(compared) >= 12
    worst = max(np.abs(danced[number] - planned[number - origin]).max() for number in compared)
    assert worst < 1e-2  # pixels
    assert skeleton.read(stored["figure"]) is not None
    assert len(stops(config.shot.prompt)) == 2
    assert len(compared) > pose_plan.PASSAGE * FPS
