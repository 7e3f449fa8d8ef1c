"""The submission: the team's words, what bars an entry, the documents, the bundle, and who checks it."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from pypdf import PdfReader
from support import replay_runs, submission_checkout
from support.submission_checkout import WORDS

from pokora_anime.cli import main, submission
from pokora_anime.config.compose import compose
from pokora_anime.devices.forecast import disk_space
from pokora_anime.errors import PokoraError
from pokora_anime.findings import Severity
from pokora_anime.submission import build, checklist, chosen_runs, interview, project
from pokora_anime.submission import file_names as names
from pokora_anime.submission.bundle import manifest, seal, zip_writer
from pokora_anime.submission.check import contents_check
from pokora_anime.submission.check.examine_bundle import examine_and_show
from pokora_anime.submission.documents import command_line, document_set, figures, typst_pdf, untrusted_pdf
from pokora_anime.submission.project import Member, Project
from pokora_anime.untrusted.container import Unreadable
from pokora_anime.untrusted.read_limits import LIMITS
from pokora_anime.untrusted.run_source import open_source
from pokora_anime.verify.verdict import Report, Verdict

ATE = re.compile(r"^[A-Z]+-[A-Z0-9-]+: ")


def found(report: Report) -> set[str]:
    """Codes of what keeps a bundle from being sound."""
    codes = {one.code for one in report.findings if one.severity is Severity.block}
    return codes | ({report.unreadable.partition(":")[0]} if report.unreadable else set())


def verified(path: Path) -> set[str]:
    return found(examine_and_show(path, pictures=False)[0])


def barring(root: Path, words: Project = WORDS) -> set[str]:
    """Codes of what keeps the submission at `root` from being written; nothing is."""
    built = build.build(root, words)
    assert built.path is None
    assert not (root / "submission").exists()
    return {one.code for one in built.findings if one.severity is Severity.block or one.ineligible}


def failure(root: Path, words: Project = WORDS) -> PokoraError:
    with pytest.raises(PokoraError) as caught:
        build.build(root, words, draft=True)
    return caught.value


# Room on the disk


def test_a_bundle_that_does_not_fit_is_refused_before_its_documents_are_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []
    root = submission_checkout.workplace()
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 10**12 - 10**6, 10**6))
        with pytest.raises(PokoraError, match=r"SYS-DISK: .* to write and 1 MB free .*then build again"):
            build.build(root, WORDS, draft=True, tell=told.append)
    assert not any("write-up" in line for line in told)
    made = sum(path.stat().st_size for path in submission_checkout.bundle().parent.iterdir())
    assert made < build._size(build.consider(root, WORDS, draft=True))


def test_a_run_writes_no_more_than_its_config_was_counted_to() -> None:
    run = next(submission_checkout.workplace().glob("outputs/video/*"))
    wrote = sum(path.stat().st_size for path in run.rglob("*") if path.is_file())
    assert wrote < disk_space.needed(compose("video", [*replay_runs.SMALL])) < 10**8


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return submission_checkout.copied(tmp_path)


# The team's words


def test_a_project_is_read_as_it_was_written(tmp_path: Path) -> None:
    words = replace(
        WORDS, deadline="2026-12-05 23:59+09:00", stills=("outputs/stills/a",), tagline="a: b # c"
    )
    project.save(tmp_path, words)
    assert project.load(tmp_path) == words


def test_numbers_and_dates_are_what_was_typed(tmp_path: Path) -> None:
    place = project.path(tmp_path)
    place.parent.mkdir()
    place.write_text("title: 1984\ndeadline: 2026-12-05\nmembers: [{name: No, id: 0123}]\n")
    assert project.load(tmp_path) == Project(
        title="1984", deadline="2026-12-05", members=(Member(name="No", id="0123"),)
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("titel: x", "titel: an unknown field"),
        ("title: [x]", "title: a list"),
        ("title: " + "x" * 130, "title: 130 characters"),
        ("deadline: tomorrow", "deadline: tomorrow"),
        ("deadline: 2026-13-01", "deadline: 2026-13-01"),
        ("members: Kim", "members: no list"),
        ("members: [{name: Kim, mail: x}]", "members: {'name'"),
        ("artistic_statement: [x]", "artistic_statement: list"),
        ("artistic_statement: " + "x" * 12_001, "12001 characters"),
        ("stills: x", "stills: str"),
        ("- title", "no fields"),
        ("title: x\ntitle: y", "title twice"),
        ("title: !!python/name:os.system x", "tag"),
    ],
)
def test_a_wrong_field_is_one_clear_line(tmp_path: Path, text: str, said: str) -> None:
    place = project.path(tmp_path)
    place.parent.mkdir()
    place.write_text(text)
    with pytest.raises(PokoraError) as caught:
        project.load(tmp_path)
    assert said in caught.value.line()


def test_init_takes_flags_and_keeps_what_it_was_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (
        main(["submission", "init", "--yes", "--title", "One", "--member", "Kim=1", "--member", "Lee=2"]) == 0
    )
    assert main(["submission", "init", "--yes", "--deadline", "2026-12-05"]) == 0
    assert project.load(tmp_path) == Project(
        title="One", deadline="2026-12-05", members=(Member(name="Kim", id="1"), Member(name="Lee", id="2"))
    )
    assert main(["submission", "init", "--yes", "--member", "Kim"]) == 2
    assert "SUB-FIELD: member 'Kim'; expected NAME=ID" in capsys.readouterr().err


def test_the_interview_asks_for_everything(work: Path) -> None:
    answers = iter(["Petals", "", "", "2026-12-05", "8 December", "Kim=1, Lee=2", "Spring.", "1", ""])
    said: list[str] = []
    words = interview.ask(work, Project(), lambda _: next(answers), said.append)
    assert (words.title, words.presentation, len(words.members)) == ("Petals", "8 December", 2)
    assert words.video.startswith("outputs/video/")
    assert any(words.video in line for line in said)


# What bars an entry


def test_nano_is_refused_by_its_base(work: Path) -> None:
    assert barring(work) == {"RULE-BASE"}


def test_what_is_missing_is_named(work: Path) -> None:
    shutil.rmtree(work / "outputs")
    codes = barring(work, Project(members=(Member(name="Kim"),)))
    assert codes == {"SUB-TITLE", "SUB-STATEMENT", "SUB-MEMBER", "SUB-VIDEO", "SUB-STILLS"}


def test_runs_of_another_contest_do_not_mix(work: Path) -> None:
    codes = barring(work, replace(WORDS, contest="showcase"))
    assert "SUB-CONTEST" in codes


def test_source_that_no_commit_holds_is_refused(work: Path) -> None:
    (work / "LICENSE").write_text("mine")
    assert "SUB-DIRTY" in barring(work)


def test_runs_of_other_source_are_refused(work: Path) -> None:
    (work / "pokora_anime" / "more.py").write_text("")
    submission_checkout.git(work, "add", "-A")
    submission_checkout.git(work, "commit", "-qm", "more")
    assert "SUB-CODE" in barring(work)


def test_a_run_that_was_changed_is_refused(work: Path) -> None:
    video = next(work.glob("outputs/video/*/video.mp4"))
    data = bytearray(video.read_bytes())
    data[-1] ^= 1
    video.write_bytes(data)
    assert "INT-HASH" in barring(work)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (replace(WORDS, video="outputs/video/none"), "SUB-RUN"),
        (replace(WORDS, stills=("pokora_anime",)), "SUB-RUN"),
        (replace(WORDS, contest="none"), "CFG-CONTEST"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_writes_nothing(work: Path, words: Project, code: str) -> None:
    error = failure(work, words)
    assert error.code == code
    assert ATE.match(error.line())
    assert not (work / "submission").exists()


def test_a_folder_without_git_is_no_source(work: Path) -> None:
    shutil.rmtree(work / ".git")
    with pytest.raises(PokoraError, match="SUB-SOURCE"):
        build.build(work, WORDS)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to(work: Path) -> None:
    (work / "submission").mkdir(mode=0o500)
    assert failure(work).code == "SYS-WRITE"


def test_a_target_that_is_no_folder(work: Path) -> None:
    (work / "submission").write_text("in the way")
    assert failure(work).code == "SYS-IO"
    assert [path.name for path in work.glob("submission*")] == ["submission"]


def test_a_text_for_five_pages_says_by_how_much(work: Path) -> None:
    words = replace(WORDS, artistic_statement="\n\n".join(["A petal falls and nobody looks. " * 30] * 12))
    built = submission_checkout.draft(work, words)
    pages = next(one for one in built.findings if one.code == "SUB-PAGES")
    assert re.search(r"[5-9] pages; about \d+ characters are too many, from '", pages.got)
    assert pages.where == names.WRITEUP


def test_a_broken_scorecard_is_refused(work: Path) -> None:
    folder = next(work.glob("outputs/video/*")) / "reports"
    folder.mkdir(exist_ok=True)
    (folder / "scorecard.json").write_text("{}")
    assert failure(work).code == "SUB-SCORE"


# Documents


def test_documents_name_members_and_checkpoints_and_carry_their_fonts() -> None:
    with zipfile.ZipFile(submission_checkout.bundle()) as opened:
        top = submission_checkout.bundle().stem
        weights = json.loads(opened.read(f"{top}/{names.WEIGHTS}"))
        facts = {name: typst_pdf.read(opened.read(f"{top}/{name}")) for name in (names.WRITEUP, names.POSTER)}
    words = [member.name for member in WORDS.members] + [member.id for member in WORDS.members]
    words += [row["name"] for row in weights] + [row["link"] for row in weights]
    for told in facts.values():
        assert told.lacking(words) == []
        assert told.foreign_fonts == ()
        assert told.lacking(["stable-diffusion-xl"]) == ["stable-diffusion-xl"]
    assert facts[names.POSTER].pages == 1
    assert facts[names.WRITEUP].pages <= 4
    assert {row["id"] for row in weights} == {
        "nano",
        "nano-motion",
        "nano-lcm",
        "nano-controlnet-depth",
        "nano-depth",
    }


def test_a_document_that_leaves_somebody_out_is_found() -> None:
    data = typst_pdf.compile_pdf("poster", _poster_data(), {})
    named = [one.code for one in document_set.check("poster", data, 1, ["Kim Minsu"])]
    unnamed = [one.code for one in document_set.check("poster", data, 1, ["Somebody Else"])]
    assert (named, unnamed) == ([], ["SUB-TEXT"])
    assert [one.code for one in document_set.check("poster", data[:-50], 0, [])] == ["SUB-PDF"]
    assert [one.code for one in document_set.check("poster", data, 0, [])] == ["SUB-PAGES"]


def test_a_pdf_of_somebody_else_is_read_as_ours_is() -> None:
    data = typst_pdf.compile_pdf("poster", _poster_data(), {})
    assert untrusted_pdf.read(data) == typst_pdf.read(data)
    with pytest.raises(ValueError, match="no sound PDF"):
        untrusted_pdf.read(data[:-50])


def test_a_pdf_that_takes_too_long_is_no_sound_pdf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(untrusted_pdf, "SECONDS", 0.01)
    with pytest.raises(ValueError, match=r"more than 0\.01 s"):
        untrusted_pdf.read(typst_pdf.compile_pdf("poster", {**_poster_data(), "title": "Slow"}, {}))


def test_signs_that_no_font_has_are_found() -> None:
    data = typst_pdf.compile_pdf("poster", {**_poster_data(), "title": "T \U00013000"}, {})
    assert [one.code for one in document_set.check("poster", data, 1, [], "T \U00013000")] == ["SUB-GLYPH"]
    assert [one.code for one in document_set.check("poster", data, 1, [], "T")] == []


def test_a_poster_of_six_large_pictures_fits() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
    large = cv2.resize(noise, (1536, 1536), interpolation=cv2.INTER_LINEAR)
    film = [{"file": f"film-{number}", "time": f"{number} s"} for number in range(4)]
    stills = [{"file": f"still-{number}", "size": "1536×1536", "prompt": ""} for number in range(2)]
    names = [str(one["file"]) for one in film + stills]
    pictures = {name: np.roll(large, 99 * number, 0) for number, name in enumerate(names)}
    made, quality = figures.fitting(pictures, 9_100_000)
    poster = typst_pdf.compile_pdf("poster", {**_poster_data(), "film": film, "stills": stills}, made)
    assert all(data in poster for data in made.values())  # every one, as it was compressed
    assert len(poster) <= 9_500_000
    assert quality >= 50


def test_a_picture_of_noise_is_a_jpeg_at_every_quality() -> None:
    # A base of random numbers draws one; Pillow would give up on an optimised file of that size.
    noise = np.random.default_rng(0).integers(0, 256, (768, 768, 3), dtype=np.uint8)
    for quality in figures.QUALITIES:
        read = cv2.imdecode(np.frombuffer(figures.jpeg(noise, quality), np.uint8), cv2.IMREAD_COLOR)
        assert read is not None and read.shape == noise.shape


@pytest.mark.parametrize("sentences", [1, 4, 9])
def test_the_poster_is_read_from_two_metres(sentences: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    film = [{"file": f"film-{number}", "time": f"{number} s"} for number in range(8)]
    body = "Wörterbuch fills the lines of every paragraph that a team writes about what it made. " * sentences
    words = {"artistic_short": [body], "technical_short": [body] * 3, "film": film}
    pictures = {str(one["file"]): figures.jpeg(noise, 80) for one in film}
    poster = typst_pdf.compile_pdf("poster", {**_poster_data(), **words}, pictures)
    page = PdfReader(io.BytesIO(poster)).pages[0]
    sizes: list[float] = []
    lowest: list[float] = []

    def note(text: str, ctm: list[float], tm: list[float], font: object, size: float) -> None:
        del font
        if "paragraph" in text:
            sizes.append(size * abs(tm[3] * ctm[3]))
            lowest.append(tm[5] * ctm[3] + ctm[5])

    page.extract_text(visitor_text=note)
    assert sizes and min(sizes) >= 24
    assert len(PdfReader(io.BytesIO(poster)).pages) == 1
    assert min(lowest) < float(page.mediabox.height) / 3  # the lower third is used


def test_what_is_cut_off_a_picture_is_below_the_head() -> None:
    tall = np.zeros((300, 300, 3), np.uint8)
    tall[:60, :, 0] = 255  # the head
    tall[240:, :, 2] = 255
    film = [{"file": "film", "time": ""}] * 3
    made = typst_pdf.compile_pdf("poster", {**_poster_data(), "film": film}, {"film": figures.jpeg(tall, 95)})
    shown = _pixels(made)
    hero = shown[shown.shape[0] // 5 : shown.shape[0] // 2, shown.shape[1] // 3 : -shown.shape[1] // 3]
    red = (hero[..., 0] > 200) & (hero[..., 1] < 60) & (hero[..., 2] < 60)
    assert red.any()


def _pixels(document: bytes) -> np.ndarray:
    """A page as RGB; needs poppler."""
    if shutil.which("pdftoppm") is None:
        pytest.skip("needs pdftoppm")
    done = subprocess.run(["pdftoppm", "-r", "10", "-"], input=document, capture_output=True, check=True)
    return cv2.imdecode(np.frombuffer(done.stdout, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def test_no_page_of_the_write_up_is_nearly_empty() -> None:
    with zipfile.ZipFile(submission_checkout.bundle()) as opened:
        name = next(name for name in opened.namelist() if name.endswith("entry/writeup.pdf"))
        writeup = opened.read(name)
    assert typst_pdf.filled(writeup) > 0.3
    words = "".join(typst_pdf.read(writeup).texts)
    for paper in ("AnimateDiff", "LCM-LoRA", "AddingConditionalControl"):
        assert typst_pdf.squeezed(paper) in words
    config = compose("video", [])
    for said in (config.shot.prefix, config.shot.negative):
        assert said and typst_pdf.squeezed(said) in words


def test_two_characters_are_told_in_documents_and_findings(work: Path) -> None:
    assert chosen_runs.choose(work, WORDS).apart == ""
    other = submission_checkout.still(work, "seed=99", "shot.prompt=1boy, red hair")
    words = replace(WORDS, stills=(other.relative_to(work).as_posix(),))
    said = chosen_runs.choose(work, words).apart
    assert "words and seed differ" in said
    judged = build.consider(work, words, draft=True)
    assert "SUB-CHARACTER" in {one.code for one in judged.findings}
    made = submission_checkout.draft(work, words).path
    assert made is not None
    with zipfile.ZipFile(made) as opened:
        for document in ("writeup", "poster"):
            text = typst_pdf.read(opened.read(f"{made.stem}/entry/{document}.pdf"))
            assert text.lacking([said]) == []


def _poster_data() -> dict[str, object]:
    lists = ("film stills facts diagram maps scores checkpoints artistic_short technical_short").split()
    members = [{"name": "Kim Minsu", "id": "1"}]
    return {
        **{name: [] for name in lists},
        "draft": False, "title": "T", "tagline": "", "members": members, "contest": "C", "commit": "c",
        "hue": 200, "prompt": "", "key": "", "apart": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("command", "overrides"),
    [
        ("video", ["base=sdxl", "speed=hq", "seed=5", "shot.prompt=(a:1.2), b's $x, {y}"]),
        ("video", ["control=none", "motion.overlap=2"]),
        ("stills", ["count=2", "device.threads=1"]),
        ("video", ["shot.prompt=1girl, pan left"]),
    ],
)
def test_the_printed_command_composes_the_very_config(command: str, overrides: list[str]) -> None:
    import shlex

    config = compose(command, overrides)
    line = command_line.command_line(command, config)
    assert line is not None
    words = shlex.split(line)
    assert words[:2] == ["pokora", command]
    assert compose(command, words[2:]) == config
    assert not any(word.startswith("finish.camera=") for word in words)  # the prompt says it


# The bundle


def test_an_honest_draft_verifies_and_is_no_entry() -> None:
    report, show = examine_and_show(submission_checkout.bundle())
    assert found(report) == set()
    assert report.verdicts["INTEGRITY"] is Verdict.passed
    assert report.entry == "not eligible"
    assert show.graph


def test_two_places_two_zones_two_umasks_give_one_file(tmp_path: Path) -> None:
    again = tmp_path / "elsewhere" / "deeper"
    shutil.copytree(submission_checkout.workplace(), again, ignore=submission_checkout.no_submission)
    before, zone = os.umask(0o077), os.environ.get("TZ")
    os.environ["TZ"] = "Pacific/Kiritimati"
    time.tzset()
    try:
        with submission_checkout.no_credentials():
            path = submission_checkout.draft(again).path
    finally:
        os.umask(before)
        os.environ.pop("TZ")
        if zone is not None:
            os.environ["TZ"] = zone
        time.tzset()
    assert path is not None
    assert path.name == submission_checkout.bundle().name
    assert path.read_bytes() == submission_checkout.bundle().read_bytes()


def test_a_bundle_has_what_a_jury_asks_for() -> None:
    with zipfile.ZipFile(submission_checkout.bundle()) as opened:
        inside = {name.partition("/")[2] for name in opened.namelist()}
        assert {member.date_time for member in opened.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        crate = json.loads(opened.read(f"{submission_checkout.bundle().stem}/{names.CRATE}"))
        report = opened.read(f"{submission_checkout.bundle().stem}/{names.REPORT}").decode()
    assert inside >= {
        names.VIDEO, names.still(0), names.WRITEUP, names.POSTER, names.README, names.SUMS, names.MANIFEST,
        names.STATEMENT, names.WEIGHTS, names.REPORT, "source/requirements.lock",
        "source/pokora_anime/cli/__init__.py", f"{names.ENTRY}/citations.bib",
    }  # fmt: skip
    assert {entity["@id"] for entity in crate["@graph"]} >= {"./", names.VIDEO, names.POSTER, "#render"}
    assert "RULE-BASE" in report


def test_a_draft_says_so_and_invents_nobody(work: Path) -> None:
    with submission_checkout.no_credentials():
        path = submission_checkout.draft(work, Project()).path
    assert path is not None
    with zipfile.ZipFile(path) as opened:
        poster = typst_pdf.read(opened.read(f"{path.stem}/{names.POSTER}"))
    assert poster.lacking(["NAME MISSING", "TITLE MISSING", "DRAFT"]) == []
    assert "-draft-" in path.name


@pytest.mark.parametrize(
    "name",
    [
        names.README, names.SUMS, names.MANIFEST, names.STATEMENT, names.WEIGHTS, names.WRITEUP, names.POSTER,
        names.VIDEO, names.CRATE, "source/pokora_anime/cli/__init__.py", "source/requirements.lock",
    ],
)  # fmt: skip
def test_a_changed_file_is_found_although_the_zip_is_mended(name: str, tmp_path: Path) -> None:
    files = _files(submission_checkout.bundle())
    data = bytearray(files[name])
    data[len(data) // 2] ^= 1
    path = tmp_path / submission_checkout.bundle().name
    path.write_bytes(zip_writer.pack(path.stem, {**files, name: bytes(data)}))
    assert verified(path) & {"BND-HASH", "BND-MANIFEST", "SIG-BAD", "SIG-CONTENT"}


@pytest.mark.parametrize(
    "place", [0, 10, 27, 40, "directory", "directory+12", "directory+40", "end", "end+20"]
)
def test_a_changed_byte_of_the_zip_itself_is_found(place: int | str, tmp_path: Path) -> None:
    data = bytearray(submission_checkout.bundle().read_bytes())
    end = data.rindex(b"PK\5\6")
    starts = {"directory": int.from_bytes(data[end + 16 : end + 20], "little"), "end": end}
    name, _, more = str(place).partition("+")
    data[starts[name] + int(more or 0) if name in starts else int(name)] ^= 1
    path = tmp_path / "changed.zip"
    path.write_bytes(data)
    assert _container(path)


def _container(path: Path) -> bool:
    """Whether unpacking refuses a zip, or its bytes are not those that its files give."""
    try:
        with open_source(path, LIMITS) as folder:
            return bool(folder.findings) or any(contents_check.container(path, folder))
    except Unreadable:
        return True


def test_a_file_that_nobody_sealed_is_found(tmp_path: Path) -> None:
    path = tmp_path / "more.zip"
    path.write_bytes(
        zip_writer.pack("more", {**_files(submission_checkout.bundle()), "entry/sketch.png": b"x"})
    )
    assert verified(path) >= {"BND-EXTRA"}


def test_another_still_in_the_entry_is_found_although_all_is_signed_anew(tmp_path: Path) -> None:
    files = _files(submission_checkout.bundle())
    files[names.still(0)] = files[f"{names.ENTRY}/poster.pdf"]
    told = json.loads(files[names.MANIFEST])
    told["files"][names.still(0)] = told["files"][names.POSTER]
    files[names.MANIFEST] = manifest.to_bytes(told)
    sealed = {name: data for name, data in files.items() if names.sealed(name) or name == names.MANIFEST}
    files[names.SUMS] = manifest.sums(manifest.hashes(sealed))
    digests = manifest.hashes({name: files[name] for name in (names.MANIFEST, names.SUMS)})
    files[names.STATEMENT] = seal.sign(digests, True)
    path = tmp_path / "x.zip"
    path.write_bytes(zip_writer.pack("x", files))
    assert verified(path) >= {"BND-ENTRY"}


def test_an_unpacked_bundle_verifies_too(tmp_path: Path) -> None:
    with zipfile.ZipFile(submission_checkout.bundle()) as opened:
        opened.extractall(tmp_path)
    assert verified(tmp_path / submission_checkout.bundle().stem) == set()


def test_the_key_that_must_have_signed_is_asked_of_all() -> None:
    report, _ = examine_and_show(submission_checkout.bundle(), key="ed25519:" + "0" * 64, pictures=False)
    assert sum(one.code == "SIG-KEY" for one in report.findings) == 3


def test_verify_needs_no_torch_and_little_time() -> None:
    code = (
        "import sys; from pokora_anime.cli import main; status = main(['verify', sys.argv[1]]);"
        "assert not {'torch', 'diffusers', 'transformers'} & set(sys.modules); sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(submission_checkout.bundle())], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "SUB-DRAFT" in done.stdout


def test_another_process_builds_the_same_and_needs_no_torch(work: Path) -> None:
    submission_checkout.saved(work)
    code = (
        "import sys; from pokora_anime.cli import main; status = main(['submission', 'build', '--draft']);"
        "assert not {'torch', 'diffusers', 'transformers'} & set(sys.modules); sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=work,
        capture_output=True,
        text=True,
        env={**submission_checkout.environment(work), "PYTHONHASHSEED": "7"},
    )
    assert done.returncode == 0, done.stderr
    # The name has the hash of everything but the signature, which is another key's here.
    names_built = [path.name for path in (work / "submission" / "dist").glob("*.zip")]
    assert names_built == [submission_checkout.bundle().name]


def test_signed_copies_carry_credentials_and_a_changed_one_is_found(work: Path, tmp_path: Path) -> None:
    pytest.importorskip("c2pa")
    path = submission_checkout.draft(work).path
    assert path is not None
    assert verified(path) == set()
    files = _files(path)
    copy = "credentials/still-1.png"
    data = bytearray(files[copy])
    data[-30] ^= 1
    changed = tmp_path / path.name
    changed.write_bytes(zip_writer.pack(path.stem, {**files, copy: bytes(data)}))
    assert verified(changed) == {"BND-COPY", "SIG-CONTENT"}


# The state of things


def test_status_is_a_checklist_with_the_deadline(work: Path) -> None:
    assert "SUB-PROJECT" in checklist.as_text(work)
    project.save(work, replace(WORDS, deadline="2000-01-01", presentation="8 December"))
    page = checklist.as_text(work)
    assert "[x] words       2 members" in page
    assert "[ ] eligible    cs492c" in page
    assert "deadline    2000-01-01: it is over" in page
    assert "attendance is mandatory; yours: 8 December" in page


@pytest.mark.parametrize(
    "spelled", ["outputs/video/{}", "video/{}", "{}", "outputs/video/{}/", "outputs/video/{}/video.mp4"]
)
def test_a_run_is_found_by_every_name_that_it_is_called_by(work: Path, spelled: str) -> None:
    folder = next((work / "outputs" / "video").iterdir())
    found = chosen_runs.choose(work, replace(WORDS, video=spelled.format(folder.name)))
    assert found.video is not None
    assert found.video.folder.resolve() == folder.resolve()
    assert found.told(work, "video") == f"outputs/video/{folder.name} (named under video: in the project)"


def test_status_says_which_runs_and_why_in_words_that_the_project_takes(work: Path) -> None:
    submission_checkout.saved(work)
    page = checklist.as_text(work)
    video = next((work / "outputs" / "video").iterdir()).name
    assert f"outputs/video/{video} (the only finished one; video: in the project names another)" in page
    assert "1 of outputs/stills/" in page


def test_as_many_things_bar_the_entry_as_are_marked(
    work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    submission_checkout.saved(work)
    monkeypatch.chdir(work)
    assert submission.main(["build"]) == 1
    shown = capsys.readouterr()
    *told, last = shown.out.strip().splitlines()
    count = sum(line.startswith("bars ") for line in told)
    assert count > 0
    assert f"{count} thing" in last
    assert not any(line.startswith("block") for line in told)
    assert "video: outputs/video/" in shown.err and "the only finished one" in shown.err


def test_status_finds_documents_that_were_edited(work: Path) -> None:
    path = submission_checkout.draft(work).path
    assert path is not None
    assert "SUB-PDF" not in checklist.as_text(work)
    beside = path.with_name(f"{path.stem}-poster.pdf")
    beside.write_bytes(beside.read_bytes() + b"\n")
    assert "SUB-PDF" in checklist.as_text(work)


def _files(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as opened:
        return {name.partition("/")[2]: opened.read(name) for name in opened.namelist()}
