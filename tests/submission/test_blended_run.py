"""A clip with a blend and a motion LoRA of one's own, from its run to a judge's replay of its bundle."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from support import replay_runs, submission_checkout

from pokora_anime.catalogue import own_weights
from pokora_anime.catalogue.lora import lora_shapes
from pokora_anime.cli.workshop import style_command
from pokora_anime.findings import Severity
from pokora_anime.replay import examine_replay
from pokora_anime.schema.settings import Family
from pokora_anime.submission import build
from pokora_anime.submission.check import examine_bundle
from pokora_anime.submission.check.opened_runs import opened
from pokora_anime.workshop.data import data_card
from pokora_anime.workshop.data.data_set import DataSet, Entry, frame_name

ENTRIES = tuple(
    Entry(
        name=frame_name("pan", number), pixels="0" * 64, width=256, height=256, caption="1girl",
        licence="CC0-1.0", source="drawn by me", author="", original="1" * 64,
        original_name=f"pan/{number:03d}.png",
    )
    for number in range(16)
)  # fmt: skip


def register(folder: Path) -> None:
    """A motion LoRA of one layer of nano's adapter, with the card of the clips that it is said to be of."""
    adapter = lora_shapes.motion(Family.nano)
    name = next(name for name, _ in adapter.named_modules() if name.endswith("attn1.to_q"))
    width = adapter.get_submodule(name).in_features
    halves = {"down": torch.randn(1, width) / 8, "up": torch.randn(width, 1) / 8}
    file = folder / "pan.safetensors"
    save_file({f"unet.{name}.lora.{half}.weight": tensor for half, tensor in halves.items()}, file)
    data = DataSet(id="pan", entries=ENTRIES, clips=True)
    card = data_card.table(data)
    cards = {"data-card.json": data_card.to_json(card), "data-card.md": data_card.markdown(card).encode()}
    new = own_weights.NewLora(
        id="pan", file=file, family=Family.nano, slot="", licence="CC0-1.0",
        data_statement=data.statement, data_set=data.name, cards=cards,
    )  # fmt: skip
    own_weights.add(new, {})


@pytest.mark.apart
def test_a_blended_clip_is_verified_replayed_and_handed_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POKORA_DATA", str(tmp_path / "team"))
    torch.manual_seed(0)
    register(tmp_path)
    words = ["pastel=0.7", "flat_color=0.3", "--name", "dusk", "--no-preview"]
    assert style_command.main(["blend", *words]) == 0
    root = tmp_path / "checkout"
    submission_checkout.checkout(root)
    replay_runs.rendered(root / "outputs", "style=dusk", "motion.lora=own:pan")
    with submission_checkout.no_credentials():
        path = build.build(root, submission_checkout.WORDS, draft=True, loras=True).path
    assert path is not None
    monkeypatch.setenv("POKORA_DATA", str(tmp_path / "judge"))  # who has neither the blend nor the LoRA
    report, _ = examine_bundle.examine_and_show(path, pictures=False)
    found = {one.code: one.severity for one in (*report.integrity, *report.policy)}
    assert found["BND-LORA"] is found["RULE-TRAINING-DATA"] is Severity.review
    assert not [one for one in report.integrity if one.severity is Severity.block]
    assert "GATE-UNREGISTERED" not in found
    with opened(path) as runs:
        (folder,) = runs.values()
        replayed, _ = examine_replay.replay(folder, replay_runs.ALL)
    assert replayed.parts and replayed.exit_code == 0, replayed
    for kind in ("keyframe", "motion"):
        assert any(kind in part.name for part in replayed.parts), replayed.parts
