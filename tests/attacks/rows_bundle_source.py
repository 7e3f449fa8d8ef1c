"""Attacks on a bundle's source and signed copies, by an entrant who mends what follows and signs again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from support import forged_bundle
from support.forged_bundle import signed_mp4 as mp4_of
from support.forged_bundle import signed_png as png_of
from support.forged_bundle import store

from attacks.attack import Attack
from attacks.rows_bundle import foreign, put, zipped
from pokora_anime.submission import file_names

ROWS: list[Attack] = []


def row(
    hole: str, name: str, forge: Callable[[Path], Path | None], *codes: str, subject: str = "bundle"
) -> None:
    ROWS.append(Attack(name=name, hole=hole, subject=subject, forge=forge, codes=frozenset(codes)))


# The source (hole 6)


def source(
    name: str, change: Callable[[bytes], bytes | None], *, code: bool = False
) -> Callable[[Path], None]:
    def forge(folder: Path) -> None:
        place = folder / file_names.SOURCE / name
        data = change(place.read_bytes() if place.exists() else b"")
        if data is None:
            place.unlink()
        else:
            put(folder, f"{file_names.SOURCE}/{name}", data)
        found = forged_bundle.source_hash(folder)
        forged_bundle.mend(folder, lambda told: told["source"].update(package_sha256=found) if code else None)

    return forge


WEIGHTS = "pokora_anime/nano/weights"
for name in (
    "conf/encode/default.yaml", "conf/contest/cs492c.yaml", "pokora_anime/catalogue/registry.yaml",
    "pokora_anime/catalogue/citations.yaml", "pokora_anime/submission/documents/templates/poster.typ",
    f"{WEIGHTS}/unet/config.json", f"{WEIGHTS}/tokenizer/tokenizer.json", f"{WEIGHTS}/MANIFEST.json",
):  # fmt: skip
    row("source", f"a changed {name}", source(name, lambda data: data + b"\n"), "BND-SOURCE")
row("source", "a group left out", source("conf/encode/default.yaml", lambda data: None), "BND-SOURCE")
for label, name, data in (
    ("foreign weights", f"{WEIGHTS}/unet/diffusion_pytorch_model-00001-of-00002.safetensors", foreign()),
    ("weights more", f"{WEIGHTS}/more.safetensors", foreign()),
    ("a group more", "conf/style/mine.yaml", b"prefix: mine\n"),
    ("a picture as a lock file", "requirements.lock", foreign()),
    ("a picture as a page of the docs", "docs/picture.md", foreign()),
    ("a picture as a test", "tests/picture.py", foreign()),
    ("a picture as a style sheet", "docs/site.css", foreign()),
    ("a picture as an example", "examples/prompts.txt", foreign()),
    ("a picture as a licence", "LICENSE", foreign("JPEG")),
):
    row("source", label, source(name, lambda _, data=data: data), "BND-SOURCE")
row(
    "source",
    "other code under the old hash",
    source("pokora_anime/cli/__init__.py", lambda data: data + b"#\n"),
    "BND-SOURCE",
)
row(
    "source",
    "other code under its own hash",
    source("pokora_anime/cli/__init__.py", lambda data: data + b"#\n", code=True),
    "SUB-CODE",
)
row("source", "code left out", source("pokora_anime/cli/doctor.py", lambda data: None, code=True), "SUB-CODE")


# Signed copies (hole 6)


def copies(change: Callable[[Path, Path], None]) -> Callable[[Path], None]:
    """Honest signed copies, then changed: `change` gets the folder of the copies and the entry's."""

    def forge(folder: Path) -> None:
        forged_bundle.with_copies(folder)
        change(folder / file_names.CREDENTIALS, folder / file_names.ENTRY)
        forged_bundle.mend(folder)

    return forge


def png(made: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return copies(lambda place, entry: put(place, "still-1.png", made((entry / "still-1.png").read_bytes())))


def mp4(made: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return copies(lambda place, entry: put(place, "video.mp4", made((entry / "video.mp4").read_bytes())))


def flipped(data: bytes) -> bytes:
    return data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]


THUMBNAIL = forged_bundle.labelled("c2pa.thumbnail.claim", forged_bundle.box(b"bidb", foreign("JPEG")))
HIDDEN = forged_bundle.labelled("org.pokora-anime.run", forged_bundle.box(b"cbor", foreign("JPEG")))
LONG = forged_bundle.labelled("org.pokora-anime.run", forged_bundle.box(b"cbor", bytes(20_000)))
OTHER = forged_bundle.labelled("org.pokora-anime.run", forged_bundle.box(b"free", b"x" * 99))
STORE, GAMMA = store(), forged_bundle.chunk(b"gAMA", bytes(4))
for label, forge in (
    ("another picture", png(lambda plain: png_of(foreign(), STORE))),
    ("no credentials", png(lambda plain: plain)),
    ("two credentials", png(lambda plain: png_of(png_of(plain, STORE), STORE))),
    ("bytes behind the picture", png(lambda plain: png_of(plain, STORE) + foreign())),
    ("a chunk more", png(lambda plain: png_of(plain[:33] + GAMMA + plain[33:], STORE))),
    ("a JPEG under the name", png(lambda plain: foreign("JPEG"))),
    ("a thumbnail in a still's credentials", png(lambda plain: png_of(plain, store(THUMBNAIL)))),
    ("a picture inside a still's statement", png(lambda plain: png_of(plain, store(HIDDEN)))),
    ("more credentials than any copy has", png(lambda plain: png_of(plain, store(LONG)))),
    ("a box of another kind in the credentials", png(lambda plain: png_of(plain, store(OTHER)))),
    ("credentials that are no boxes", png(lambda plain: png_of(plain, b"A" * 99))),
    ("another video", mp4(lambda plain: mp4_of(flipped(plain), STORE))),
    ("a video without credentials", mp4(lambda plain: plain)),
    ("a box behind the video", mp4(lambda it: mp4_of(it, STORE) + forged_bundle.box(b"free", foreign()))),
    ("samples that are said to lie elsewhere", mp4(lambda plain: mp4_of(plain, STORE, moved=4))),
    ("a thumbnail in a video's credentials", mp4(lambda plain: mp4_of(plain, store(THUMBNAIL)))),
    ("a picture under the video's name", mp4(lambda plain: foreign())),
):  # fmt: skip
    row("credentials", f"a signed copy with {label}", forge, "BND-COPY")
row(
    "credentials",
    "one signed copy of two",
    copies(lambda place, entry: (place / "still-1.png").unlink()),
    "BND-MISSING",
)
row(
    "credentials",
    "a foreign copy in a zip",
    zipped(mp4(lambda plain: mp4_of(flipped(plain), STORE))),
    "BND-COPY",
    subject="zipped_bundle",
)
