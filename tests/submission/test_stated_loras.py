"""An own LoRA in a bundle: judged by what the bundle states, and not at all where that does not hold."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from support import forged_bundle, replay_runs, submission_checkout

from pokora_anime.catalogue import own_rows, own_weights, registry
from pokora_anime.catalogue.own_rows import LORA_REASON
from pokora_anime.catalogue.registry_row import Kind, Row, Status
from pokora_anime.errors import RecordError
from pokora_anime.findings import Finding, Severity
from pokora_anime.provenance.hashing import Table
from pokora_anime.replay import examine_replay
from pokora_anime.schema.settings import Family
from pokora_anime.submission import build
from pokora_anime.submission.bundle import stated_loras
from pokora_anime.submission.bundle.rewritten_files import to_json
from pokora_anime.submission.check import examine_bundle
from pokora_anime.submission.check.opened_runs import opened
from pokora_anime.submission.documents.checkpoint_list import Checkpoint
from pokora_anime.system.files.installed_package import NANO_WEIGHTS
from pokora_anime.untrusted.folder_listing import Folder
from pokora_anime.untrusted.read_limits import LIMITS
from pokora_anime.workshop.data import data_card
from pokora_anime.workshop.data.data_set import DataSet, Entry

DIGEST = sha256(b"mika").hexdigest()
CARD, PAGE, STATED = (f"data-cards/mika.{ending}" for ending in ("json", "md", "lora.json"))
Files = dict[str, bytes]


def drawings(licence: str = "CC0-1.0", name: str = "mika", source: str = "drawn by me") -> DataSet:
    entry = Entry(
        name="00", pixels=DIGEST, width=256, height=256, caption="1girl", licence=licence, source=source,
        author="", original=DIGEST, original_name="00.png",
    )  # fmt: skip
    return DataSet(id=name, entries=(entry,))


def row(data: DataSet | None = None, **change: Any) -> Row:
    data = data or drawings()
    own = Row(
        id="mika", kind=Kind.style_lora, role="character", families=(Family.nano,), repo="own:mika",
        published=("mika.safetensors",), files=("mika.safetensors",), licence="CC0-1.0", citation=(),
        status=Status.review, reason=LORA_REASON, sha256={"mika.safetensors": DIGEST},
        sizes={"mika.safetensors": 700_000}, data_statement=data.statement, data_set=data.name,
    )  # fmt: skip
    return replace(own, **change)


def honest(stated: Row | None = None, data: DataSet | None = None) -> Files:
    card = data_card.table(data or drawings())
    return {
        CARD: data_card.to_json(card),
        PAGE: data_card.markdown(card).encode(),
        STATED: to_json(own_rows.lora_entry(stated or row())),
    }


def read(tmp_path: Path, files: Files, loaded: str = DIGEST) -> tuple[tuple[Row, ...], list[Finding]]:
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    entry: Table = {"row": "mika", "files": {"mika.safetensors": loaded}}
    return stated_loras.read(Folder(tmp_path, LIMITS), {"runs/video/one": {"weights": {"a": entry}}}, LIMITS)


def edited(name: str, change: Callable[[Any], object]) -> Files:
    files = honest()
    table = json.loads(files[name])
    change(table)
    return files | {name: to_json(table)}


def shipped_hash() -> str:
    return next(digest for one in registry.shipped() for digest in one.sha256.values())


def test_what_agrees_is_known_while_the_bundle_is_judged(tmp_path: Path) -> None:
    stated, found = read(tmp_path, honest() | {"loras/mika.safetensors": b"mika"})
    assert stated == (row(),) and not found
    assert own_rows.folder_of(row()) != tmp_path / "loras"
    with stated_loras.known(Folder(tmp_path, LIMITS), stated):
        assert own_rows.folder_of(row()) == tmp_path / "loras"
        assert registry.any_row("mika").own and registry.resolve("character", Family.nano).id == "mika"
    assert all(one.id != "mika" for one in registry.rows())
    told = Checkpoint(row=row(), files=row().sha256).to_plain()
    (question,) = stated_loras.check(stated, [told])
    assert (question.code, question.severity) == ("BND-LORA", Severity.review) and DIGEST in question.fix
    codes = [one.code for one in stated_loras.check(stated, [{**told, "data_statement": "found"}])]
    assert codes == ["BND-CARD", "BND-LORA"]


def test_a_judges_own_lora_of_the_same_name_is_no_rival(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POKORA_DATA", str(tmp_path))
    mine = own_rows.lora_entry(row(sha256={"mika.safetensors": "0" * 64}))
    (tmp_path / "models.yaml").write_text(json.dumps([mine]))
    with own_rows.stated([row()]):
        assert [one.sha256["mika.safetensors"] for one in own_rows.rows()] == [DIGEST]
    assert own_rows.rows()[0].sha256["mika.safetensors"] == "0" * 64


NOT_FREE = drawings("CC-BY-NC-4.0")
OTHER = drawings(name="other")
ATTACKS: dict[str, Callable[[], Files]] = {
    "a card whose pictures were edited": lambda: edited(CARD, lambda card: card["pictures"].pop()),
    "a card with another source": lambda: edited(
        CARD, lambda card: card["pictures"][0].update(source="drawn by you")
    ),
    "a card of another data set": lambda: honest() | honest(data=OTHER) | {STATED: honest()[STATED]},
    "a card of another version": lambda: honest(data=drawings(source="found")),
    "another file beside it": lambda: honest() | {"loras/mika.safetensors": b"nina"},
    "no card": lambda: {STATED: honest()[STATED]},
    "half a card": lambda: {name: data for name, data in honest().items() if name != PAGE},
    "a page that says more": lambda: honest() | {PAGE: honest()[PAGE] + b"All of it is free.\n"},
    "a statement that says more": lambda: honest(row(data_statement=f"{drawings().statement}, all free")),
    "another data set's name": lambda: honest(row(data_set=OTHER.name)),
    "no data set": lambda: honest(row(data_set="")),
    "another file": lambda: honest(row(sha256={"mika.safetensors": sha256(b"other").hexdigest()})),
    "a licence that is not free": lambda: honest(row(licence="CC-BY-NC-4.0")),
    "a licence that nobody knows": lambda: honest(row(licence="LicenseRef-unknown")),
    "a licence of no name": lambda: edited(STATED, lambda one: one.update(licence="free")),
    "pictures that are not free": lambda: honest(row(NOT_FREE), NOT_FREE),
    "a status of its own": lambda: honest(row(status=Status.allowed)),
    "a reason of its own": lambda: honest(row(reason="cleared by the organisers")),
    "citations": lambda: honest(row(citation=("sdxl",))),
    "a role of the registry": lambda: honest(row(role="pastel")),
    "a kind of the registry": lambda: honest(row(kind=Kind.speed_lora)),
    "a base": lambda: honest(row(kind=Kind.base)),
    "two bases": lambda: honest(row(families=(Family.nano, Family.sdxl))),
    "a version of another one": lambda: honest(row(version_of="nina")),
    "more names": lambda: edited(STATED, lambda one: one.update(aliases=["pastelAnimeXL"])),
    "weights of the hub": lambda: honest(row(repo="someone/mika")),
    "weights of the package": lambda: honest(row(repo="package:nano/weights")),
    "another one's id": lambda: edited(STATED, lambda one: one.update(id="nina", repo="own:nina")),
    "fields of its own": lambda: edited(STATED, lambda one: one.update(folder="..")),
    "no text": lambda: edited(STATED, lambda one: one.update(title=7)),
    "a list": lambda: honest() | {STATED: b"[]\n"},
    "no JSON": lambda: honest() | {STATED: b"mika"},
    "another spelling": lambda: honest() | {STATED: honest()[STATED].replace(b"\n", b"\n\n", 1)},
    "deep": lambda: honest() | {STATED: b"[" * 9000 + b"]" * 9000},
}


@pytest.mark.parametrize("name", ATTACKS)
def test_what_does_not_agree_is_no_lora_of_the_teams(name: str, tmp_path: Path) -> None:
    stated, found = read(tmp_path, ATTACKS[name]())
    assert not stated and [(one.code, one.severity) for one in found] == [("BND-CARD", Severity.block)]


def test_a_file_of_the_registry_is_not_the_teams(tmp_path: Path) -> None:
    published = shipped_hash()
    files = honest(row(sha256={"mika.safetensors": published}))
    stated, (found,) = read(tmp_path, files, loaded=published)
    assert not stated and "did not train" in found.got


def test_what_states_nothing_stays_unknown(tmp_path: Path) -> None:
    files = honest()
    del files[STATED]
    assert read(tmp_path, files) == ((), [])


@pytest.mark.apart
def test_a_judge_who_has_not_registered_it_is_told_what_to_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real still with a team's LoRA, in a draft, before an install that has never heard of it."""
    monkeypatch.setenv("POKORA_DATA", str(tmp_path / "team"))
    file = NANO_WEIGHTS / "lora_pastel" / "nano_pastel.safetensors"
    mine = tmp_path / "mika.safetensors"
    save_file({name: tensor * 0.5 for name, tensor in load_file(file).items()}, mine)
    data = drawings()
    card = data_card.table(data)
    cards = {"data-card.json": data_card.to_json(card), "data-card.md": data_card.markdown(card).encode()}
    own_weights.add(
        own_weights.NewLora(
            id="mika", file=mine, family=Family.nano, slot="character", licence="CC0-1.0",
            data_statement=data.statement, data_set=data.name, cards=cards,
        ),
        {},
    )  # fmt: skip
    root = tmp_path / "team"
    submission_checkout.checkout(root)
    replay_runs.pictured(root / "outputs", "shot.prompt=1girl, <lora:mika:0.7>")
    with submission_checkout.no_credentials():
        path = build.build(root, submission_checkout.WORDS, draft=True, loras=True).path
    assert path is not None
    known = found_in(path)
    monkeypatch.setenv("POKORA_DATA", str(tmp_path / "judge"))
    found = found_in(path)
    assert found["BND-LORA"] is found["RULE-TRAINING-DATA"] is Severity.review
    assert barring(found) == barring(known)  # as before the team's own install
    with opened(path) as runs:
        report, _ = examine_replay.replay(runs["stills"], replay_runs.ALL)
    assert report.parts and report.exit_code == 0, report  # with the LoRA that the bundle carries
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "forged")
    folder = next((tmp_path / "forged").iterdir())
    stated = folder / STATED
    stated.write_bytes(stated.read_bytes().replace(b"CC0-1.0", b"CC-BY-NC-4.0", 1))
    forged_bundle.mend(folder)
    assert {"BND-CARD", "GATE-UNREGISTERED"} <= barring(found_in(folder)) - barring(known)


def found_in(path: Path) -> dict[str, Severity]:
    report, _ = examine_bundle.examine_and_show(path, pictures=False)
    worst = sorted((*report.integrity, *report.policy), key=lambda one: one.severity is Severity.block)
    return {one.code: one.severity for one in worst}


def barring(found: dict[str, Severity]) -> set[str]:
    return {code for code, severity in found.items() if severity is Severity.block}


def test_loras_that_are_too_large_are_not_carried() -> None:
    large = Checkpoint(row=row(sizes={"mika.safetensors": 65 * 2**20}), files=row().sha256)
    assert [*stated_loras.carried([large])] == [STATED]
    with pytest.raises(RecordError, match=r"SUB-LORAS: --with-loras: 65 MiB .* leave --with-loras out"):
        stated_loras.carried([large], files=True)
