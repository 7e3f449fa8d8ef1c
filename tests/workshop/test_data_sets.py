"""`pokora data`: a folder of drawings becomes a version of a data set, and says what it could not use."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pictures

from pokora_anime.cli.workshop import data_command
from pokora_anime.errors import DataError
from pokora_anime.nano.world.draw import draw_frame
from pokora_anime.nano.world.scene import sample_scene
from pokora_anime.workshop.data import (
    captions,
    data_card,
    data_checks,
    data_store,
    near_duplicates,
    picture_reading,
    size_buckets,
)

TOLD = ("--licence", "CC0-1.0", "--source", "drawn by me")
COUNT = 9


@pytest.fixture(autouse=True)
def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POKORA_DATA", str(tmp_path / "data"))


@pytest.fixture(scope="module")
def drawings() -> list[Pictures.Image]:
    rng = np.random.default_rng(3)
    scenes = [sample_scene(rng, hair_color="green", outfit="kimono") for _ in range(COUNT)]
    return [Pictures.fromarray(draw_frame(scene, 0.0, 160).rgb) for scene in scenes]


@pytest.fixture
def folder(tmp_path: Path, drawings: list[Pictures.Image]) -> Path:
    """Nine drawings with captions."""
    made = tmp_path / "drawings"
    made.mkdir()
    for index, picture in enumerate(drawings):
        picture.save(made / f"{index}.png")
        (made / f"{index}.txt").write_text(f"1girl, picture {index}")
    return made


def add(folder: Path, *more: str) -> data_store.Stored:
    assert data_command.main(["add", str(folder), "--id", "mika", *TOLD, *more]) == 0
    return data_store.find("mika")


def refused(*words: str) -> DataError:
    with pytest.raises(DataError) as caught:
        data_command.main(["add", *words])
    assert "\n" not in caught.value.line() and caught.value.fix
    return caught.value


def test_a_folder_becomes_a_version_with_card_and_report(folder: Path) -> None:
    stored = add(folder)
    assert [entry.caption for entry in stored.data.entries] == [f"1girl, picture {i}" for i in range(COUNT)]
    assert all((stored.folder / entry.file).with_suffix(".txt").is_file() for entry in stored.data.entries)
    card = json.loads((stored.folder / data_store.CARD_DATA).read_bytes())
    assert card["version"] == stored.folder.name == stored.data.version
    assert card["sources"] == [{"source": "drawn by me", "author": "", "pictures": COUNT}]
    assert "| CC0-1.0 | drawn by me | 1girl, picture 3 |" in stored.card.read_text()
    page = stored.report.read_text()
    assert page.count("data:image/jpeg;base64,") == COUNT and 'src="http' not in page


def test_the_same_pictures_are_the_same_version(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = add(folder)
    capsys.readouterr()
    assert add(folder).data == first.data
    assert "it was there already" in capsys.readouterr().out
    assert len(data_store.versions("mika")) == 1


def test_versions_differ_by_what_changed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = add(folder)
    (folder / "0.txt").write_text("1girl, beach")
    (folder / "1.png").unlink()
    second = add(folder, "--few")
    assert data_store.versions("mika") == [first.data.version, second.data.version]
    capsys.readouterr()
    assert data_command.main(["diff", f"mika@{first.data.version[:6]}", "mika"]) == 1
    assert capsys.readouterr().out.splitlines()[1:] == ["- 1", "~ 0: caption"]
    assert data_command.main(["diff", "mika", "mika"]) == 0


@pytest.mark.parametrize("name", ["pictures/0.png", "pictures/0.txt", "data-card.json", "data-card.md"])
def test_a_changed_file_is_found(folder: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    stored = add(folder)
    assert data_command.main(["check", "mika"]) == 0
    path = stored.folder / name
    if name.endswith(".png"):
        Pictures.open(path).transpose(Pictures.Transpose.FLIP_LEFT_RIGHT).save(path)
    else:
        path.write_text("other words")
    capsys.readouterr()
    assert data_command.main(["check", "mika"]) == 1
    assert "DAT-DAMAGED" in capsys.readouterr().out
    assert [finding.where for finding in data_checks.check(stored)] == [name]


def test_an_edited_list_of_pictures_is_refused(folder: Path) -> None:
    stored = add(folder)
    path = stored.folder / data_store.DATA
    path.write_text(path.read_text().replace("drawn by me", "bought at a shop"))
    with pytest.raises(DataError, match="DAT-DAMAGED"):
        data_store.find("mika")


def test_what_cannot_be_used_is_left_out_and_told(
    folder: Path, drawings: list[Pictures.Image], capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "cut.png").write_bytes((folder / "0.png").read_bytes()[:400])
    (folder / "words.png").write_text("no picture")
    (folder / "empty.jpg").write_bytes(b"")
    drawings[0].save(folder / "moving.gif", save_all=True, append_images=drawings[1:3])
    drawings[0].save(folder / "moving.png", save_all=True, append_images=drawings[1:3])
    drawings[0].resize((60, 60)).save(folder / "tiny.png")
    drawings[0].resize((150, 150)).save(folder / "again.jpg", quality=70)
    Pictures.new("1", (10_000, 10_000)).save(folder / "huge.png")
    stored = add(folder)
    out = capsys.readouterr().out
    assert len(stored.data.entries) == COUNT and "8 left out" in out
    for code, name in (
        ("DAT-CORRUPT", "cut.png"),
        ("DAT-FORMAT", "words.png"),
        ("DAT-FORMAT", "empty.jpg"),
        ("DAT-ANIMATED", "moving.gif"),
        ("DAT-ANIMATED", "moving.png"),
        ("DAT-SMALL", "tiny.png"),
        ("DAT-SAME", "again.jpg"),
        ("DAT-PIXELS", "huge.png"),
    ):
        (line,) = [line for line in out.splitlines() if line.startswith(f"{code} ") and f"({name}" in line]
        assert "fix: " in line
    assert stored.report.read_text().count("left out") == 8


def test_pictures_come_upright_and_opaque(folder: Path, drawings: list[Pictures.Image]) -> None:
    lying = drawings[0].transpose(Pictures.Transpose.ROTATE_90)
    turned = Pictures.Exif()
    turned[0x0112] = 6  # "rotate by 90 degrees clockwise to see it upright"
    lying.save(folder / "turned.png", exif=turned)
    read = picture_reading.read(folder / "turned.png")
    assert read.turned and np.array_equal(read.rgb, np.asarray(drawings[0]))
    clear = drawings[1].convert("RGBA")
    clear.putalpha(Pictures.new("L", clear.size, 0))
    clear.save(folder / "clear.png")
    read = picture_reading.read(folder / "clear.png")
    assert read.transparent and read.rgb.min() == 255
    for mode in ("P", "L", "CMYK", "I;16"):
        path = folder / ("grey.jpg" if mode == "CMYK" else "grey.png")
        (Pictures.new("I;16", (200, 200), 32_896) if mode == "I;16" else drawings[2].convert(mode)).save(path)
        assert picture_reading.read(path).rgb.shape[2] == 3
    assert abs(int(picture_reading.read(folder / "grey.png").rgb[0, 0, 0]) - 128) <= 1


def test_the_same_picture_forty_times_is_one(tmp_path: Path, drawings: list[Pictures.Image]) -> None:
    made = tmp_path / "same"
    made.mkdir()
    for index in range(40):
        drawings[0].save(made / f"{index}.png")
    error = refused(str(made), "--id", "mika", *TOLD)
    assert error.code == "DAT-FEW" and "1 of 40" in error.got and "39 nearly the same" in error.got
    assert not data_store.ids()


@pytest.mark.parametrize(
    ("words", "code", "fix"),
    [
        (("--licence", "cc0-1.0", "--source", "drawn by me"), "DAT-LICENCE", "--licence CC0-1.0"),
        (("--licence", "all rights", "--source", "drawn by me"), "DAT-LICENCE", "--licence CC0-1.0"),
        (("--licence", "CC-BY-NC-4.0", "--source", "drawn by me"), "DAT-LICENCE", "a free licence"),
        (("--licence", "CC0-1.0", "--source", "web"), "DAT-SOURCE", "drawn by me"),
    ],
)
def test_wrong_words_are_refused(folder: Path, words: tuple[str, ...], code: str, fix: str) -> None:
    error = refused(str(folder), "--id", "mika", *words)
    assert error.code == code and fix in error.fix


def test_folders_without_enough_pictures_are_refused(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.md").write_text("none yet")
    assert refused(str(tmp_path / "empty"), "--id", "mika", *TOLD).code == "DAT-EMPTY"
    assert refused(str(tmp_path / "nowhere"), "--id", "mika", *TOLD).code == "DAT-EMPTY"
    assert refused(str(folder), "--id", "My Char", *TOLD).code == "DAT-ID"
    for index in range(4):
        (folder / f"{index}.png").unlink()
    assert "5 of 5" in refused(str(folder), "--id", "mika", *TOLD).got
    assert len(add(folder, "--few").data.entries) == 5


def test_a_picture_may_have_its_own_licence_and_source(folder: Path) -> None:
    table = folder / "sources.csv"
    table.write_text("file,licence,source,author\n2.png,CC-BY-4.0,by a friend of mine,Aiko\n")
    entry = add(folder).data.entries[2]
    assert (entry.licence, entry.source, entry.author) == ("CC-BY-4.0", "by a friend of mine", "Aiko")
    table.write_text("file,licence\n2.png,CC-BY-NC-4.0\n")
    assert "sources.csv: 2.png" in refused(str(folder), "--id", "mika", *TOLD).got
    table.write_text("picture;licence\n2.png;CC0-1.0\n")
    assert refused(str(folder), "--id", "mika", *TOLD).code == "DAT-SOURCES"


def test_captions_are_cut_and_their_lack_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "0.txt").write_text(", ".join(["beach"] * 500))
    (folder / "1.txt").unlink()
    (folder / "2.txt").write_bytes(b"\xff\xfe\xff")
    stored = add(folder)
    out = capsys.readouterr().out
    assert "DAT-CAPTION-LONG" in out and "500 words" in out
    assert "DAT-NO-CAPTION" in out and "DAT-CAPTION a caption" in out
    assert len(stored.data.entries[0].caption.split()) < captions.MOST_WORDS + 1
    assert stored.data.entries[1].caption == ""


def test_an_unknown_data_set_is_one_line(folder: Path) -> None:
    add(folder)
    with pytest.raises(DataError, match="did you mean mika"):
        data_store.find("mikaa")
    with pytest.raises(DataError, match="one of mika@"):
        data_store.find("mika@ffffffffffff")


def test_other_poses_of_one_girl_are_no_duplicates(drawings: list[Pictures.Image]) -> None:
    prints = [near_duplicates.fingerprint(np.asarray(one, np.uint8)) for one in drawings]
    assert near_duplicates.firsts(prints) == [None] * COUNT
    red = Pictures.fromarray(np.asarray(drawings[0])[..., ::-1].copy())  # the same shapes in other colours
    assert not prints[0].like(near_duplicates.fingerprint(np.asarray(red, np.uint8)))


@pytest.mark.parametrize("size", [(768, 768), (512, 1024), (1920, 1080), (300, 301)])
def test_buckets_have_the_base_s_area_and_cut_little(size: tuple[int, int]) -> None:
    bucket = size_buckets.nearest(*size, 768, 64)
    assert bucket.width % 64 == bucket.height % 64 == 0
    assert abs(bucket.width * bucket.height / 768**2 - 1) < 0.1
    assert size_buckets.cropped(*size, bucket) < 0.12  # steps of 64 pixels
    rgb = np.zeros((size[1], size[0], 3), np.uint8)
    assert size_buckets.fitted(rgb, bucket).shape == (bucket.height, bucket.width, 3)


def test_a_card_escapes_what_would_break_its_table(folder: Path) -> None:
    (folder / "0.txt").write_text("a | b <script>")
    text = data_card.markdown(data_card.table(add(folder).data))
    assert "a \\| b &lt;script>" in text


def test_data_sets_need_no_torch(folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pokora_anime.cli import main;"
        f"assert main(['data', 'add', {str(folder)!r}, '--id', 'mika', *{TOLD!r}]) == 0;"
        "assert main(['data', 'list']) == 0; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True)
