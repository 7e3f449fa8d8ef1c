"""keyframe.identity: where an adapter is refused, what is said, and that the default is what it was."""

from __future__ import annotations

import pytest

from pokora_anime.catalogue import registry
from pokora_anime.catalogue.needed_weights import needs
from pokora_anime.catalogue.weights_advice import absent
from pokora_anime.config import keyframe_checks
from pokora_anime.config.compose import compose, unresolved
from pokora_anime.config.gate import examine, examine_recorded
from pokora_anime.devices.forecast.plan import Plan, forecast, weights
from pokora_anime.devices.forecast.plan_text import what
from pokora_anime.devices.forecast.workload import Job
from pokora_anime.devices.hardware import Hardware
from pokora_anime.errors import PokoraError
from pokora_anime.findings import Severity
from pokora_anime.history.typed_words_again import leaves, retyped
from pokora_anime.provenance import run_layout
from pokora_anime.provenance.hashing import text_hash
from pokora_anime.schema.run_identity import recorded, run_key, to_plain, to_yaml
from pokora_anime.schema.settings import DeviceKind, DType, Identity, VideoConfig

ADAPTED = ("base=sdxl", "style=none", "keyframe.identity=adapter")


def composed(*words: str) -> VideoConfig:
    config = compose("video", [*words])
    assert isinstance(config, VideoConfig)
    return config


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("keyframe.identity=adapter",), "nano has no IP-Adapter"),
        (("base=sd2", "keyframe.identity=adapter"), "published for SD2"),
        (("base=sdxl", "keyframe.identity=adapter", "keyframe=none"), "own keyframe and nothing else"),
        ((*ADAPTED, "keyframe.identity_scale=1.5"), "0 to 1"),
        ((*ADAPTED, "keyframe.identity_scale=nan"), "0 to 1"),
        (("base=sdxl", "keyframe.identity=face"), "anchor, adapter"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line_with_a_way(words: tuple[str, ...], why: str) -> None:
    with pytest.raises(PokoraError) as caught:
        composed(*words)
    assert why in caught.value.line() and "\n" not in caught.value.line()
    assert "keyframe.identity" in caught.value.fix


def test_the_default_is_recorded_as_before_there_was_another() -> None:
    config = composed("base=sdxl")
    assert config.keyframe.identity is Identity.anchor
    plain, told = to_plain(config), recorded(config)
    assert {**plain["keyframe"], "identity": 0, "identity_scale": 0} != told["keyframe"]
    assert set(plain["keyframe"]) - set(told["keyframe"]) == {"identity", "identity_scale"}
    assert "identity" not in to_yaml(config)
    before = {name: value for name, value in told.items() if name != "fresh"}
    before["quality"] = {"reroll": plain["quality"]["reroll"]}
    assert run_key("video", config) == text_hash({"command": "video", "config": before})
    assert [one for one in examine_recorded("video", told) if one.code.startswith("GATE")] == []
    assert {row.role for row in needs(config)}.isdisjoint(registry.IDENTITY)


def test_an_adapter_is_recorded_with_its_scale_and_typed_again() -> None:
    config = composed(*ADAPTED)
    told = recorded(config)
    assert told["keyframe"] == {**to_plain(config)["keyframe"], "identity": "adapter", "identity_scale": 0.6}
    assert run_key("video", config) != run_key("video", composed(*ADAPTED[:2]))
    assert run_key("video", config) != run_key("video", composed(*ADAPTED, "keyframe.identity_scale=0.5"))
    again = retyped("video", leaves(told))
    assert "keyframe.identity=adapter" in again.words and not again.ignored
    assert run_layout.recorded(told) == told


def test_a_scale_without_an_adapter_is_said_and_changes_nothing() -> None:
    typed = unresolved("video", ["base=sdxl", "keyframe.identity_scale=0.9"])
    assert isinstance(typed, VideoConfig)
    assert "keyframe.identity_scale is not used" in keyframe_checks.unused(typed)[0]
    assert run_key("video", composed("base=sdxl", "keyframe.identity_scale=0.9")) == run_key(
        "video", composed("base=sdxl")
    )


def test_a_contest_has_a_question_for_its_organisers() -> None:
    (found,) = [one for one in examine(composed(*ADAPTED)) if one.code == "RULE-IDENTITY"]
    assert found.severity is Severity.review and "ask the organisers" in found.fix
    assert "RULE-IDENTITY" not in {one.code for one in examine(composed(*ADAPTED[:2]))}


def test_what_is_missing_is_fetched_by_the_same_words() -> None:
    config = composed(*ADAPTED)
    rows = [row for row in needs(config) if row.role in registry.IDENTITY]
    assert [row.id for row in rows] == ["ip-adapter-sdxl", "clip-vit-h-image-encoder"]
    fix = absent(rows, needs(config), config.base.family).fix
    words = fix.split()[3:]
    assert {row.id for row in needs(composed(*words))} == {row.id for row in needs(config)}


def test_the_forecast_counts_the_adapter_and_its_encoder() -> None:
    plain, adapted = Job.of(composed(*ADAPTED[:2])), Job.of(composed(*ADAPTED))
    files = {row.id: row.size or row.sizes["model.safetensors"] for row in needs(composed(*ADAPTED))[-2:]}
    assert weights(adapted) - weights(plain) == pytest.approx(sum(files.values()), rel=0.01)
    card = Hardware(
        name="card", kind=DeviceKind.cuda, dtype=DType.fp16, memory=24 << 30, host=64 << 30, rate=1e14
    )
    more = forecast(Plan(), adapted, card).peak - forecast(Plan(), plain, card).peak
    assert more == pytest.approx(files["ip-adapter-sdxl"], rel=0.1)
    assert "an IP-Adapter (3.2 GB)" in what(adapted) and "an IP-Adapter" not in what(plain)
