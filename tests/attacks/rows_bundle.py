"""Attacks on a submission bundle: each by an entrant, who mends what follows and signs it again."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pictures
from support import forged_bundle

from attacks.attack import Attack
from pokora_anime.submission import file_names
from pokora_anime.submission.bundle import zip_writer

Told = dict[str, Any]
ROWS: list[Attack] = []


def row(
    hole: str, name: str, forge: Callable[[Path], Path | None], *codes: str, subject: str = "bundle"
) -> None:
    ROWS.append(Attack(name=name, hole=hole, subject=subject, forge=forge, codes=frozenset(codes)))


def foreign(kind: str = "PNG", size: int = 64) -> bytes:
    """A picture that no run has made."""
    drawn = np.random.default_rng(7).integers(0, 256, (size, size, 3), np.uint8)
    buffer = io.BytesIO()
    Pictures.fromarray(drawn).save(buffer, kind)
    return buffer.getvalue()


def put(folder: Path, name: str, data: bytes) -> None:
    place = folder / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)


def edited(folder: Path, name: str, old: bytes, new: bytes) -> None:
    data = (folder / name).read_bytes()
    assert old in data
    (folder / name).write_bytes(data.replace(old, new, 1))


# The entry's files (hole 1)


def from_elsewhere(shown: str, command: str, origin: str) -> Callable[[Path], None]:
    """The entry shows a file that lies in a run's folder and that the run did not deliver."""

    def forge(folder: Path) -> None:
        place = forged_bundle.run(folder, command) / origin
        if not place.exists():
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(foreign())
        (folder / shown).write_bytes(place.read_bytes())
        inside = place.relative_to(folder).as_posix()
        forged_bundle.mend(folder, lambda told: told["entry"].update({shown: inside}))

    return forge


for shown, command, origin in (
    (file_names.VIDEO, "video", "logs/clip.mp4"),
    (file_names.VIDEO, "video", "reports/clip.mp4"),
    (file_names.VIDEO, "video", "reports/scorecard.json"),
    (file_names.VIDEO, "video", "sheet.png"),
    (file_names.VIDEO, "stills", "logs/video.mp4"),
    (file_names.VIDEO, "stills", "still-1.png"),
    (file_names.still(0), "stills", "logs/still-1.png"),
    (file_names.still(0), "stills", "reports/still-1.png"),
    (file_names.still(0), "stills", "record.json"),
    (file_names.still(0), "video", "keyframe.png"),
    (file_names.still(0), "video", "sheet.png"),
    (file_names.still(0), "video", "logs/frame.png"),
    (file_names.still(0), "video", "video.mp4"),
    (file_names.still(1), "video", "keyframe.png"),
    (file_names.still(1), "stills", "still-1.png"),
):
    row("entry", f"{shown} from {command}/{origin}", from_elsewhere(shown, command, origin), "BND-ENTRY")


def renamed_control_map(folder: Path) -> None:
    place = next(
        path
        for path in forged_bundle.run(folder).glob("*.png")
        if path.name not in ("sheet.png", "keyframe.png")
    )
    from_elsewhere(file_names.still(0), "video", place.name)(folder)


def only_bytes(folder: Path) -> None:
    (folder / file_names.still(0)).write_bytes(foreign())
    forged_bundle.mend(folder)


def only_video(folder: Path) -> None:
    data = bytearray((folder / file_names.VIDEO).read_bytes())
    data[-9] ^= 1
    (folder / file_names.VIDEO).write_bytes(data)
    forged_bundle.mend(folder)


def nothing_named(folder: Path) -> None:
    forged_bundle.mend(folder, lambda told: told["entry"].clear())


def swapped(folder: Path) -> None:
    def change(told: Told) -> None:
        entry = told["entry"]
        entry[file_names.VIDEO], entry[file_names.still(0)] = (
            entry[file_names.still(0)],
            entry[file_names.VIDEO],
        )

    forged_bundle.mend(folder, change)


def taken_out(folder: Path) -> None:
    (folder / file_names.still(0)).unlink()
    forged_bundle.mend(folder, lambda told: told["entry"].pop(file_names.still(0)))


def other_case(folder: Path) -> None:
    (folder / file_names.still(0)).rename(folder / "entry/still-1.PNG")
    forged_bundle.mend(
        folder,
        lambda told: told["entry"].update({"entry/still-1.PNG": told["entry"].pop(file_names.still(0))}),
    )


row("entry", "a still from a control map", renamed_control_map, "BND-ENTRY")
row("entry", "other bytes under an honest origin", only_bytes, "BND-ENTRY")
row("entry", "one bit of the entry's video", only_video, "BND-ENTRY")
row("entry", "a manifest that names no origin", nothing_named, "BND-ENTRY")
row("entry", "video and still change origins", swapped, "BND-ENTRY")
row("entry", "a still left out", taken_out, "BND-ENTRY", "BND-MISSING")
row("entry", "a still in capital letters", other_case, "BND-ENTRY", "BND-STRAY")


# Strays (hole 5)


def stray(name: str) -> Callable[[Path], None]:
    def forge(folder: Path) -> None:
        video, stills = (
            forged_bundle.run(folder, command).relative_to(folder) for command in ("video", "stills")
        )
        put(folder, name.replace("VIDEO", str(video)).replace("STILLS", str(stills)), foreign())
        forged_bundle.mend(folder)

    return forge


STRAYS = (
    "entry/sketch.PNG", "entry/clip.MOV", "entry/still.jpg", "entry/still.svg", "entry/page.html",
    "entry/notes.txt", "entry/.hidden", "entry/still-9.png", "entry/still-01.png", "entry/video-2.mp4",
    "entry/poster-2.pdf", "entry/video.mp4.txt", "index.html", "clip.mp4", "picture.jpg", "README.md",
    "bundle-2.json", "extra/picture.png", "source/picture.png", "source/film.mp4",
    "source/docs/images/clip.png", "source/pokora_anime/picture.png", "source/pokora_anime/lib.so",
    "source/pokora_anime/nano/weights/picture.png", "source/conf/x.json", "source/tests/data.npz",
    "source/submission/project.yaml", "source/mkdocs.yml.png", "source/examples/picture.webp",
    "source/benchmarks/results/sheet.jpg", "source/benchmarks/rows.jsonl", "runs/picture.png",
    "runs/other/picture.png", "runs/video/other/video.mp4", "VIDEO/logs/run.log", "VIDEO/reports/clip.mp4",
    "VIDEO/reports/scorecard.html", "STILLS/reports/scorecard.json", "STILLS/logs/picture.png",
    "credentials/note.txt", "credentials/still-1.jpg", "credentials/still-2.png", "Entry/still-1.png",
)  # fmt: skip
for name in STRAYS:
    row("strays", f"a stray {name}", stray(name), "BND-STRAY")


def runs_of(change: Callable[[list[str], Path], None]) -> Callable[[Path], None]:
    def forge(folder: Path) -> None:
        forged_bundle.mend(folder, lambda told: change(told["runs"], folder))

    return forge


def twice(runs: list[str], folder: Path) -> None:
    runs.append(runs[0])


def reversed_order(runs: list[str], folder: Path) -> None:
    runs.reverse()


def copied_run(runs: list[str], folder: Path) -> None:
    shutil.copytree(folder / runs[0], folder / "runs/video/again")
    runs.insert(1, "runs/video/again")


def no_run(runs: list[str], folder: Path) -> None:
    runs.append("entry")


def nested(runs: list[str], folder: Path) -> None:
    runs[0] += "/stages"


def moved(to: str) -> Callable[[list[str], Path], None]:
    def change(runs: list[str], folder: Path) -> None:
        place = folder / to
        place.parent.mkdir(parents=True, exist_ok=True)
        (folder / runs[0]).rename(place)
        runs[0] = to

    return change


for name, change in (
    ("a run listed twice", twice), ("stills before the video", reversed_order),
    ("a second video", copied_run), ("a folder that is no run", no_run), ("a folder inside a run", nested),
    ("a run of another command's folder", moved("runs/stills/clip")),
    ("a run in capital letters", moved("runs/Video/clip")), ("a run one folder up", moved("runs/clip")),
    ("a run one folder down", moved("runs/video/more/clip")), ("a run outside", moved("extra/video/clip")),
):  # fmt: skip
    row("strays", name, runs_of(change), "BND-RUN")


# Files that are written from others (hole 5)


def written(name: str, old: bytes, new: bytes) -> Callable[[Path], None]:
    def forge(folder: Path) -> None:
        edited(folder, name, old, new)
        forged_bundle.mend(folder, rewrite=False)

    return forge


for label, name, old, new in (
    ("a script in the page", file_names.REPORT, b"</main>", b"<script>document.write()</script></main>"),
    ("a picture in the page", file_names.REPORT, b"</main>", b'<img src="entry/still-1.png"></main>'),
    ("a kinder verdict in the page", file_names.REPORT, b"not eligible", b"eligible"),
    ("another title in the page", file_names.REPORT, b"Petals", b"Petal5"),
    ("a picture in the README", file_names.README, b"## In a minute", b"![](data:,AA)\n\n## In a minute"),
    ("another command in the README", file_names.README, b"verify BUNDLE.zip ", b"echo PASS       # "),
    ("somebody else in the metadata", file_names.CRATE, b"Kim Minsu", b"Lee Minsu"),
    ("a file in the metadata", file_names.CRATE, b'"@graph": [', b'"@graph": [\n  {"@id": "x.png"},'),
    ("another paper in the citations", file_names.CITATIONS, b"@", b"@misc{x, title={y}}\n\n@"),
    ("words after the citations", file_names.CITATIONS, b"}\n", b"}\n% eof"),
):  # fmt: skip
    row("strays", label, written(name, old, new), "BND-WRITTEN")
for label, old, new in (
    ("another licence of the weights", b"CC0-1.0", b"MIT-1.0"),
    ("a row of weights written otherwise", b"\n ", b"\n  "),
    ("weights of another status", b'"allowed"', b'"review"'),
    ("a field more in the weights", b'"id": "nano"', b'"note": "x",\n  "id": "nano"'),
):
    row("strays", label, written(file_names.WEIGHTS, old, new), "BND-WEIGHTS")


def manifest_with(change: Callable[[Told], object]) -> Callable[[Path], None]:
    def forge(folder: Path) -> None:
        forged_bundle.mend(folder, change, rewrite=False)

    return forge


for label, change in (
    ("a field more in the manifest", lambda told: told.update(picture="AAAA")),
    ("a member with a picture", lambda told: told["members"][0].update(photo="AAAA")),
    ("a member's name of many lines", lambda told: told["members"][0].update(name="a\nb")),
    ("words of another kind", lambda told: told["words"].update(picture="AAAA")),
    ("a commit that is none", lambda told: told["source"].update(commit="<img>")),
    ("documents that tell more", lambda told: told["documents"].update(picture="AAAA")),
    ("libraries that are a text", lambda told: told["documents"]["made_with"].update(typst="A" * 999)),
):  # fmt: skip
    row("strays", label, manifest_with(change), "BND-MANIFEST")


def scored(text: str) -> Callable[[Path], None]:
    def forge(folder: Path) -> None:
        put(folder, f"{forged_bundle.run(folder).relative_to(folder)}/{file_names.SCORECARD}", text.encode())
        forged_bundle.mend(folder)

    return forge


for label, text in (
    ("a scorecard that is a page", "<html>"),
    ("a scorecard without scores", json.dumps({"format": 1, "title": "x"}, indent=1) + "\n"),
    ("a scorecard with a picture", json.dumps({"format": 1, "picture": "A" * 9999}, indent=1) + "\n"),
):
    row("strays", label, scored(text), "BND-SCORE")


# Documents (hole 5)


def document(name: str, made: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def forge(folder: Path) -> None:
        (folder / name).write_bytes(made((folder / name).read_bytes()))
        forged_bundle.mend(folder)

    return forge


def drawn_pdf(data: bytes) -> bytes:
    return foreign("PDF", 256)


def rewritten(change: Callable[[Any], object]) -> Callable[[bytes], bytes]:
    def made(data: bytes) -> bytes:
        from pypdf import PdfWriter

        writer = PdfWriter(clone_from=io.BytesIO(data))
        change(writer)
        buffer = io.BytesIO()
        writer.write(buffer)
        return buffer.getvalue()

    return made


def with_script(writer: Any) -> None:
    from pypdf.generic import DictionaryObject, NameObject, TextStringObject

    told = {"/S": NameObject("/JavaScript"), "/JS": TextStringObject("app.alert(1)")}
    action = DictionaryObject({NameObject(name): value for name, value in told.items()})
    writer.root_object[NameObject("/OpenAction")] = action


def spliced(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """One thing inside replaced by another of the same length, so that all offsets stay."""
    assert len(old) == len(new)
    return lambda data: data.replace(old, new, 1)


for name in (file_names.POSTER, file_names.WRITEUP):
    for label, made in (
        ("a picture as PDF", drawn_pdf),
        ("a PNG under the name", lambda data: foreign()),
        ("a JPEG under the name", lambda data: foreign("JPEG")),
        ("a page of HTML under the name", lambda data: b"<html><script>1</script></html>"),
        ("bytes behind the end", lambda data: data + foreign()),
        ("bytes before the start", lambda data: foreign() + data),
        ("an update behind the end", lambda data: data + b"\n1 0 obj\n<<>>\nendobj\nstartxref\n0\n%%EOF"),
        ("a script", rewritten(with_script)),
        ("an attached picture", rewritten(lambda writer: writer.add_attachment("x.png", foreign()))),
        ("a page more", rewritten(lambda writer: [writer.add_blank_page(99, 99) for _ in range(4)])),
        ("an action in place of the language", spliced(b"/Lang(en)", b"/AA <</>>")),
    ):
        row("documents", f"{name}: {label}", document(name, made), "BND-PDF", "SUB-PDF", "SUB-PAGES")


# The zip


def zipped(change: Callable[[Path], None]) -> Callable[[Path], Path]:
    """The same forgery as a zip of the builder's own form."""

    def forge(path: Path) -> Path:
        import zipfile

        folder = path.parent / "unpacked"
        with zipfile.ZipFile(path) as opened:
            opened.extractall(folder)
        inside = next(folder.iterdir())
        change(inside)
        files = {
            one.relative_to(inside).as_posix(): one.read_bytes() for one in inside.rglob("*") if one.is_file()
        }
        path.write_bytes(zip_writer.pack(inside.name, files))
        shutil.rmtree(folder)
        return path

    return forge


row("strays", "a stray in a zip", zipped(stray("entry/clip.MOV")), "BND-STRAY", subject="zipped_bundle")
row("entry", "a foreign still in a zip", zipped(only_bytes), "BND-ENTRY", subject="zipped_bundle")
