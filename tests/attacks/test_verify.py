"""Every way to pass an edited run off as honest, each found with its code.

A `Forgery` mends as much as the attack says: nothing, the file's hash, or (`seal`) every hash, id, ledger
line and the signature. What then still fits is left to replay, and is named at the end.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import stat
import struct
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from PIL import Image as Pictures
from support import forged_run
from support.forged_run import Forgery, codes, copied, edited, told, zipped

from pokora_anime.media.ffmpeg_program import find_ffmpeg, yuv_hashes
from pokora_anime.provenance import run_layout
from pokora_anime.provenance.hashing import arrays_hash, canonical_json, text_hash
from pokora_anime.provenance.seed_noise import expected
from pokora_anime.untrusted.read_limits import LIMITS
from pokora_anime.verify.examine_run import examine
from pokora_anime.verify.policy import weights_policy as used

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="POSIX links and files")


@pytest.fixture
def forgery(tmp_path: Path) -> Forgery:
    return Forgery(tmp_path)


def reseal(forgery: Forgery) -> set[str]:
    return codes(forgery.seal())


# Content between the stages


def swap_keyframe(forgery: Forgery) -> None:
    """Another picture and another latent in the keyframe's place."""
    keyframe = forgery.of("keyframe")
    arrays = forgery.arrays(keyframe)
    arrays["image"], arrays["latent"] = arrays["image"][:, ::-1].copy(), arrays["latent"][:, :, ::-1].copy()
    forgery.store(keyframe, arrays)
    forgery.draw("keyframe.png", arrays["image"])


def test_an_edited_keyframe(forgery: Forgery) -> None:
    keyframe = forgery.of("keyframe")
    honest = keyframe["output"]
    swap_keyframe(forgery)
    assert {"INT-HASH", "INT-OUTPUT"} <= codes(forgery.folder)
    keyframe["output"] = honest
    forgery.rehash()
    forgery.write_record()
    assert "INT-OUTPUT" in codes(forgery.folder)


def test_an_edited_keyframe_with_its_output_mended(forgery: Forgery) -> None:
    swap_keyframe(forgery)
    forgery.rehash()
    forgery.write_record()
    assert "INT-INPUT" in codes(forgery.folder)


def test_an_edited_keyframe_with_everything_mended(forgery: Forgery) -> None:
    swap_keyframe(forgery)
    assert reseal(forgery) == {"POL-KNOWN"}


def test_an_edited_control_map(forgery: Forgery) -> None:
    control = forgery.of("control")
    depth = forgery.arrays(control)["depth"]
    forgery.store(control, {"depth": 255 - depth})
    forgery.rehash()
    forgery.write_record()
    assert {"INT-INPUT", "INT-PICTURE"} <= codes(forgery.folder)


def test_an_edited_control_picture(forgery: Forgery) -> None:
    forgery.draw("control_depth.png", np.zeros((64, 64, 3), np.uint8))
    assert reseal(forgery) == {"INT-PICTURE"}


@pytest.mark.parametrize("name", ["keyframe.png", "control_depth.png"])
def test_a_picture_that_is_kept_back(forgery: Forgery, name: str) -> None:
    (forgery.folder / name).unlink()
    del forgery.record["pictures"][name]
    assert {"INT-PICTURE", "INT-MISSING"} <= reseal(forgery)


def test_a_picture_under_another_name(forgery: Forgery) -> None:
    shutil.copy(forgery.folder / "keyframe.png", forgery.folder / "reference.png")
    forgery.record["pictures"]["reference.png"] = dict(forgery.record["pictures"]["keyframe.png"])
    forgery.record["files"]["reference.png"] = ""
    assert reseal(forgery) == {"INT-PICTURE", "INT-STRAY"}


def test_a_control_map_of_another_size(forgery: Forgery) -> None:
    forgery.store(forgery.of("control"), {"depth": np.zeros((32, 32, 3), np.uint8)})
    forgery.draw("control_depth.png", np.zeros((32, 32, 3), np.uint8))
    assert reseal(forgery) == {"POL-ARRAYS"}


def test_a_sketch_beside_the_control_map(forgery: Forgery) -> None:
    control = forgery.of("control")
    sketch = np.zeros((64, 64, 3), np.uint8)
    forgery.store(control, {**forgery.arrays(control), "sketch": sketch})
    assert reseal(forgery) == {"POL-ARRAYS"}


def test_stale_maps_of_another_run(forgery: Forgery) -> None:
    control = forgery.of("control")
    stale = {**control, "id": "5" * 64}
    forgery.store(stale, {"depth": 255 - forgery.arrays(control)["depth"]})
    shutil.move(forgery.array_path(stale), forgery.array_path(control))
    assert {"INT-ARRAY", "INT-OUTPUT"} <= codes(forgery.folder)


def test_stale_maps_of_another_run_with_their_node(forgery: Forgery) -> None:
    forgery.of("control")["parents"] = ["6" * 64]
    assert {"INT-PARENT", "POL-PARENTS", "POL-ORIGIN"} <= reseal(forgery)


def test_an_edited_latent(forgery: Forgery) -> None:
    segment = forgery.of("motion")
    latents = forgery.arrays(segment)["latents"]
    latents[:, -1] += 0.5
    forgery.store(segment, {"latents": latents})
    assert reseal(forgery) == {"POL-KNOWN"}


def test_latents_that_are_no_numbers(forgery: Forgery) -> None:
    segment = forgery.of("motion", 1)
    latents = forgery.arrays(segment)["latents"]
    latents[0, -1, 0, 0] = np.nan
    forgery.store(segment, {"latents": latents})
    assert reseal(forgery) == {"POL-ARRAYS"}


def test_hand_made_noise(forgery: Forgery) -> None:
    noise = forgery.of("noise")
    forgery.store(noise, {"noise": np.zeros_like(forgery.arrays(noise)["noise"])})
    assert reseal(forgery) == {"POL-NOISE"}


def test_noise_with_a_faint_picture_in_it(forgery: Forgery) -> None:
    noise = forgery.of("noise", 1)
    values = forgery.arrays(noise)["noise"]
    values[:, 0] += 1e-4
    forgery.store(noise, {"noise": values})
    assert reseal(forgery) == {"POL-NOISE"}


def test_noise_of_another_size(forgery: Forgery) -> None:
    """Honest noise of its seed, for a picture of another size; the keyframe's latent is made to fit."""
    noise, keyframe = forgery.of("noise"), forgery.of("keyframe")
    noise["params"]["shape"] = [4, 16, 8]
    forgery.store(noise, {"noise": expected(noise["params"])})
    assert {"POL-PARAMS", "POL-ARRAYS"} <= reseal(forgery)
    arrays = forgery.arrays(keyframe)
    forgery.store(keyframe, {**arrays, "latent": np.zeros((4, 16, 8), np.float32)})
    assert "POL-PARAMS" in reseal(forgery)


@pytest.mark.parametrize("shape", [(76, 64), (77 * 5, 64), (77, 5000)])
def test_embeddings_that_are_no_text(forgery: Forgery, shape: tuple[int, int]) -> None:
    prompt = forgery.of("prompt")
    zeros = np.zeros(shape, np.float32)
    forgery.store(prompt, {**forgery.arrays(prompt), "embeds": zeros, "negative_embeds": zeros})
    assert reseal(forgery) == {"POL-ARRAYS"}


def test_more_noise_than_any_clip_has(forgery: Forgery) -> None:
    """Sixty thousand small frames, each with a generator of its own, in one honest-looking node."""
    noise = forgery.of("noise", 1)
    shape = [4, 60_000, 2, 2]
    noise["params"]["shape"] = shape
    forgery.store(noise, {"noise": np.zeros(shape, np.float32)})
    report = examine(forgery.seal())
    assert "POL-NOISE" in told(report)
    assert any("frames in all" in one.got for one in report.policy if one.code == "POL-NOISE")


def test_noise_of_another_seed(forgery: Forgery) -> None:
    forgery.of("noise")["params"]["seed"] = 4
    assert {"POL-PARAMS", "POL-NOISE"} <= reseal(forgery)


def test_noise_of_another_place(forgery: Forgery) -> None:
    """The second segment on the first one's noise: honest noise, and not its own."""
    first, second = forgery.of("motion"), forgery.of("motion", 1)
    second["parents"] = [
        first["parents"][1] if one == second["parents"][1] else one for one in second["parents"]
    ]
    assert {"POL-PLACE", "POL-UNUSED"} <= reseal(forgery)


# Files and folders


@POSIX
def test_a_symbolic_link_out_of_the_folder(forgery: Forgery, tmp_path: Path) -> None:
    outside = tmp_path / "outside.png"
    shutil.move(forgery.folder / "keyframe.png", outside)
    (forgery.folder / "keyframe.png").symlink_to(outside)
    assert {"SRC-SYMLINK", "INT-MISSING"} <= codes(forgery.folder)


@POSIX
def test_a_linked_folder(forgery: Forgery, tmp_path: Path) -> None:
    shutil.move(forgery.folder / "stages", tmp_path / "stages")
    (forgery.folder / "stages").symlink_to(tmp_path / "stages")
    assert {"SRC-SYMLINK", "INT-MISSING"} <= codes(forgery.folder)


@POSIX
def test_a_hard_link_out_of_the_folder(forgery: Forgery, tmp_path: Path) -> None:
    os.link(forgery.folder / "video.mp4", tmp_path / "again.mp4")
    assert {"SRC-HARDLINK", "INT-MISSING"} <= codes(forgery.folder)


@POSIX
def test_a_pipe_in_the_folder(forgery: Forgery) -> None:
    os.mkfifo(forgery.folder / "pipe")
    assert codes(forgery.folder) == {"SRC-SPECIAL"}


@POSIX
@pytest.mark.parametrize("name", ["a\\b", "a\nb", "con", "a.", "b\u202egnp.exe"])
def test_a_name_that_reads_differently_elsewhere(forgery: Forgery, name: str) -> None:
    (forgery.folder / name).write_text("")
    assert codes(forgery.folder) == {"SRC-NAME"}


def test_names_that_differ_in_case(forgery: Forgery) -> None:
    (forgery.folder / "Video.mp4").write_bytes(b"")
    if not (forgery.folder / "video.mp4").stat().st_size:
        pytest.skip("this file system ignores case")
    assert codes(forgery.folder) == {"SRC-DUPLICATE", "INT-EXTRA"}


def test_an_extra_file(forgery: Forgery) -> None:
    (forgery.folder / "reference.png").write_bytes(b"x")
    assert codes(forgery.folder) == {"INT-EXTRA"}


def test_an_extra_file_that_the_record_lists(forgery: Forgery) -> None:
    forgery.draw("reference.png", np.zeros((8, 8, 3), np.uint8))
    forgery.record["files"]["reference.png"] = ""
    assert reseal(forgery) == {"INT-STRAY"}


def test_a_file_that_cannot_be_sealed(forgery: Forgery) -> None:
    (forgery.folder / "logs").mkdir()
    (forgery.folder / "logs" / "run.log").write_text("mine")
    forgery.record["files"]["logs/run.log"] = ""
    assert "INT-STRAY" in reseal(forgery)


def test_a_missing_file(forgery: Forgery) -> None:
    (forgery.folder / "sheet.png").unlink()
    assert codes(forgery.folder) == {"INT-MISSING"}


def test_a_missing_ledger(forgery: Forgery) -> None:
    (forgery.folder / run_layout.LEDGER).unlink()
    assert codes(forgery.folder) == {"INT-MISSING", "SIG-CONTENT"}


@POSIX
def test_a_ledger_that_is_a_link(forgery: Forgery, tmp_path: Path) -> None:
    shutil.move(forgery.folder / run_layout.LEDGER, tmp_path / "ledger")
    (forgery.folder / run_layout.LEDGER).symlink_to(tmp_path / "ledger")
    assert codes(forgery.folder) == {"SRC-SYMLINK", "INT-MISSING", "SIG-CONTENT"}


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    assert codes(tmp_path) == {"SRC-RECORD"}
    assert codes(tmp_path / "none") == {"SRC-NONE"}


@POSIX
def test_a_device_in_place_of_a_run() -> None:
    assert codes(Path("/dev/zero")) == {"SRC-KIND"}


def test_too_many_files(forgery: Forgery) -> None:
    assert codes(forgery.folder, limits=replace(LIMITS, files=10)) == {"SRC-COUNT"}


def test_findings_without_end(forgery: Forgery) -> None:
    for number in range(80):
        (forgery.folder / f"{number}.png").write_bytes(b"")
    report = examine(forgery.folder)
    assert [one.code for one in report.integrity] == ["INT-EXTRA"] * LIMITS.findings
    assert "and 30 more" in report.integrity[-1].message


def test_folders_without_end(forgery: Forgery) -> None:
    (forgery.folder / "logs" / "/".join("abcdefgh")).mkdir(parents=True)
    assert codes(forgery.folder) == {"SRC-COUNT"}


@POSIX
def test_a_huge_file(forgery: Forgery) -> None:
    with (forgery.folder / "record.json").open("ab") as record:
        record.truncate(LIMITS.file_bytes + 1)  # sparse: it takes no room
    assert codes(forgery.folder) == {"SRC-SIZE"}


# Zips


def bundle(tmp_path: Path) -> Path:
    return zipped(copied(tmp_path), tmp_path / "run.zip")


def add(path: Path, name: str, data: bytes = b"x", mode: int = 0o100644) -> Path:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = mode << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(path, "a") as opened:
        opened.writestr(entry, data)
    return path


@pytest.mark.parametrize(
    "name", ["../out.png", "/etc/out.png", "a/../../out.png", "C:/out.png", "a\\..\\b", "./a"]
)
def test_zip_slip(tmp_path: Path, name: str) -> None:
    assert codes(add(bundle(tmp_path), name)) == {"SRC-NAME"}
    assert not list(tmp_path.parent.glob("out.png"))


def test_a_symbolic_link_in_a_zip(tmp_path: Path) -> None:
    path = add(bundle(tmp_path), "link", b"/etc/passwd", stat.S_IFLNK | 0o777)
    assert codes(path) == {"SRC-SYMLINK"}


def test_a_device_in_a_zip(tmp_path: Path) -> None:
    assert codes(add(bundle(tmp_path), "device", b"", stat.S_IFCHR | 0o666)) == {"SRC-SPECIAL"}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name(tmp_path: Path) -> None:
    assert codes(add(bundle(tmp_path), "keyframe.png")) == {"SRC-DUPLICATE"}


def test_a_zip_bomb(tmp_path: Path) -> None:
    path = add(bundle(tmp_path), "logs/run.log", bytes(40 * 2**20))
    assert codes(path) == {"SRC-BOMB"}


def test_a_zip_that_unpacks_to_too_much(tmp_path: Path) -> None:
    assert codes(bundle(tmp_path), limits=replace(LIMITS, total_bytes=100_000)) == {"SRC-SIZE"}


def test_a_zip_that_is_too_large(tmp_path: Path) -> None:
    assert codes(bundle(tmp_path), limits=replace(LIMITS, archive_bytes=1000)) == {"SRC-SIZE"}


def test_a_zip_of_too_many_members(tmp_path: Path) -> None:
    assert codes(bundle(tmp_path), limits=replace(LIMITS, files=5)) == {"SRC-COUNT"}


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"#!/bin/sh\n" + data,
        lambda data: data + b"behind the end",
        lambda data: data[: len(data) // 2],
        lambda data: b"PK\3\4" + bytes(200),
        lambda data: b"",
    ],
)
def test_bytes_around_a_zip(tmp_path: Path, change: Any) -> None:
    path = bundle(tmp_path)
    path.write_bytes(change(path.read_bytes()))
    assert codes(path) == {"SRC-ZIP"}


@pytest.mark.parametrize("packer", ["zip", "shutil"])
def test_a_run_zipped_by_other_packers_is_clean(tmp_path: Path, packer: str) -> None:
    folder = copied(tmp_path)
    if packer == "shutil":
        made = Path(shutil.make_archive(str(tmp_path / "run"), "zip", folder))
    else:
        if shutil.which("zip") is None:
            pytest.skip("no zip on this machine")
        made = tmp_path / "run.zip"
        subprocess.run(["zip", "-q", "-r", str(made), "."], cwd=folder, check=True)
    assert codes(made) == set()


def test_members_of_a_zip_that_overlap(tmp_path: Path) -> None:
    """Every member of a zip within another: 42 kB of it could unpack to 5 GB."""
    path = bundle(tmp_path)
    data = bytearray(path.read_bytes())
    table = data.index(b"PK\1\2")
    second = data.index(b"PK\1\2", table + 4)
    data[second + 42 : second + 46] = data[table + 42 : table + 46]
    path.write_bytes(data)
    assert codes(path) == {"SRC-ZIP"}


def test_a_member_that_does_not_unpack(tmp_path: Path) -> None:
    path = zipped(copied(tmp_path), tmp_path / "run.zip", zipfile.ZIP_STORED)
    with zipfile.ZipFile(path) as opened:
        start = opened.getinfo("video.mp4").header_offset
    data = bytearray(path.read_bytes())
    data[start + 2000] ^= 1
    path.write_bytes(data)
    assert {"SRC-DAMAGED", "INT-MISSING"} <= codes(path)


# JSON


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda data: data.replace(b'"format": 2', b'"format": 2, "format": 2', 1), "JSN-DUPLICATE"),
        (lambda data: data.replace(b'"seed": 3', b'"seed": NaN', 1), "JSN-NUMBER"),
        (lambda data: data.replace(b'"seed": 3', b'"seed": Infinity', 1), "JSN-NUMBER"),
        (lambda data: data.replace(b'"seed": 3', b'"seed": 1e999', 1), "JSN-NUMBER"),
        (lambda data: data.replace(b'"seed": 3', b'"seed": ' + b"9" * 5000, 1), "JSN-NUMBER"),
        (lambda data: data.replace(b'"seed": 3', b'"seed": ' + b"[" * 9000 + b"]" * 9000, 1), "JSN-DEPTH"),
        (lambda data: data.replace(b'"finished"', b'"\xff\xfe"', 1), "JSN-UTF8"),
        (lambda data: data.replace(b'"finished"', b'"\\ud800"', 1), "JSN-UTF8"),
        (lambda data: data[:-9], "JSN-SYNTAX"),
        (lambda data: b"\xef\xbb\xbf" + data, "JSN-SYNTAX"),
        (lambda data: b"[]", "SRC-FORMAT"),
        (lambda data: data.replace(b'"format": 2', b'"format": 9', 1), "SRC-FORMAT"),
        (lambda data: data.replace(b'"command": "video"', b'"command": "paint"', 1), "SRC-FORMAT"),
        (lambda data: data.replace(b'"results": [', b'"results": [null, ', 1), "SRC-FORMAT"),
        (lambda data: data.replace(b'"frames": 48', b'"frames": true', 1), "SRC-FORMAT"),
    ],
)
def test_a_record_that_two_readers_read_differently(tmp_path: Path, change: Any, code: str) -> None:
    folder = edited(run_layout.RECORD, change, tmp_path)
    assert codes(folder) == {code}
    assert examine(folder).exit_code() == 2


def test_a_record_of_too_many_nodes(forgery: Forgery) -> None:
    forgery.record["nodes"] *= 300
    forgery.write_record()
    assert codes(forgery.folder) == {"SRC-FORMAT"}


def test_a_record_written_another_way(tmp_path: Path) -> None:
    folder = edited(run_layout.RECORD, lambda data: data + b"\n", tmp_path)
    assert {"INT-FORM", "SIG-CONTENT"} <= codes(folder)


@pytest.mark.parametrize("name", [run_layout.FRAMES, run_layout.LEDGER, run_layout.STATEMENT])
def test_duplicate_keys_in_the_other_files(tmp_path: Path, name: str) -> None:
    folder = edited(name, lambda data: data.replace(b"{", b'{"fps":1,"fps":1,', 1), tmp_path)
    expected = {
        run_layout.FRAMES: "JSN-DUPLICATE",
        run_layout.LEDGER: "INT-LEDGER",
        run_layout.STATEMENT: "SIG-BAD",
    }
    assert expected[name] in codes(folder)


# The ledger


def reordered(lines: list[bytes]) -> list[bytes]:
    return [*lines[:3], lines[4], lines[3], *lines[5:]]


@pytest.mark.parametrize(
    "change",
    [
        reordered,
        lambda lines: lines[:4] + lines[5:],
        lambda lines: [*lines[:4], lines[3], *lines[4:]],
        lambda lines: lines[1:],
        lambda lines: [*lines[:-1], lines[-1].replace(b"{", b"{ ", 1)],
    ],
)
def test_ledger_lines_moved_dropped_or_repeated(forgery: Forgery, change: Any) -> None:
    lines = change(forgery.lines())
    (forgery.folder / run_layout.LEDGER).write_bytes(b"".join(line + b"\n" for line in lines))
    assert "INT-LEDGER" in codes(forgery.folder)


def test_a_ledger_that_does_not_end(forgery: Forgery) -> None:
    (forgery.folder / run_layout.LEDGER).write_bytes(b"\n".join(forgery.lines()))
    assert "INT-LEDGER" in codes(forgery.folder)


def test_a_shorter_ledger(forgery: Forgery) -> None:
    (forgery.folder / run_layout.LEDGER).write_bytes(b"".join(line + b"\n" for line in forgery.lines()[:-2]))
    assert "INT-HEAD" in codes(forgery.folder)


def rechain(forgery: Forgery, change: Any) -> set[str]:
    """The ledger's entries changed and chained anew, record and signature made to fit."""
    entries = [json.loads(line) for line in forgery.lines()]
    for entry in entries:
        del entry["previous"]
    forgery.write_lines(forged_run.chain(change(entries)))
    forgery.write_record()
    forged_run.sign(forgery.folder)
    return codes(forgery.folder)


def test_a_new_chain_without_a_node(forgery: Forgery) -> None:
    drop = lambda entries: [entry for entry in entries if entry.get("op") != "control"]  # noqa: E731
    assert rechain(forgery, drop) == {"INT-LEDGER-NODE", "INT-ORDER"}


def test_a_new_chain_in_another_order(forgery: Forgery) -> None:
    def swap(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        places = [index for index, entry in enumerate(entries) if entry["kind"] == "node"]
        entries[places[0]], entries[places[1]] = entries[places[1]], entries[places[0]]
        return entries

    assert rechain(forgery, swap) == {"INT-ORDER"}


def test_a_new_chain_with_another_hash_of_a_file(forgery: Forgery) -> None:
    def change(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**one, "sha256": "0" * 64} if one.get("name") == "sheet.png" else one for one in entries]

    assert rechain(forgery, change) == {"INT-LEDGER-FILE"}


def test_a_new_chain_with_a_line_of_no_kind(forgery: Forgery) -> None:
    assert rechain(forgery, lambda entries: [*entries, {"kind": "import"}]) == {"INT-LEDGER"}


def test_a_new_chain_of_another_run(forgery: Forgery) -> None:
    assert rechain(forgery, lambda entries: [{**entries[0], "key": "0" * 64}, *entries[1:]]) == {"INT-LEDGER"}


# The graph


def test_a_dropped_node(forgery: Forgery) -> None:
    forgery.nodes.remove(forgery.of("control"))
    forgery.write_record()
    assert {"INT-PARENT", "POL-CHAIN"} <= codes(forgery.folder)


def test_a_duplicated_node(forgery: Forgery) -> None:
    forgery.nodes.append(dict(forgery.of("sheet")))
    forgery.write_record()
    assert "INT-DUPLICATE" in codes(forgery.folder)


def test_a_re_parented_node(forgery: Forgery) -> None:
    forgery.of("sheet")["parents"] = [forgery.of("keyframe")["id"]]
    forgery.write_record()
    assert {"INT-NODE", "INT-INPUT", "POL-PARENTS"} <= codes(forgery.folder)


def test_swapped_parents(forgery: Forgery) -> None:
    finish = forgery.of("finish")
    finish["parents"].reverse()
    finish["inputs"].reverse()
    forgery.write_record()
    assert {"INT-NODE", "POL-CHAIN"} <= codes(forgery.folder)


def test_swapped_parents_with_everything_mended(forgery: Forgery) -> None:
    forgery.of("finish")["parents"].reverse()
    assert reseal(forgery) == {"POL-CHAIN"}


def test_parents_of_the_wrong_kind(forgery: Forgery) -> None:
    keyframe = forgery.of("keyframe")
    keyframe["parents"].reverse()
    keyframe["inputs"].reverse()
    assert reseal(forgery) >= {"POL-PARENTS"}


@pytest.mark.parametrize("op", ["import", "Keyframe", "img2img", "composite"])
def test_a_forged_name_of_an_operation(forgery: Forgery, op: str) -> None:
    forgery.of("control")["op"] = op
    assert "POL-OP" in reseal(forgery)


def test_a_picture_that_comes_from_nowhere(forgery: Forgery) -> None:
    control = forgery.of("control")
    control["parents"] = control["inputs"] = []
    assert {"POL-PARENTS", "POL-ORIGIN"} <= reseal(forgery)


def test_a_run_whose_results_are_something_else(forgery: Forgery) -> None:
    forgery.record["results"].reverse()
    assert reseal(forgery) == {"POL-RESULT"}
    forgery.record["results"] = []
    assert {"INT-RESULT", "POL-RESULT"} <= reseal(forgery)


def test_a_segment_more_or_less(forgery: Forgery) -> None:
    """The clip cut off after its first segment, with a record that knows of no second one."""
    gone = forgery.of("motion", 1)
    forgery.nodes.remove(gone)
    forgery.nodes.remove(forgery.of("noise", 2))
    finish = forgery.of("finish")
    finish["parents"], finish["inputs"] = finish["parents"][:1], finish["inputs"][:1]
    assert reseal(forgery) == {"POL-SPAN"}


@pytest.mark.parametrize("op", ["motion", "control"])
def test_a_segment_that_goes_on_from_nothing(forgery: Forgery, op: str) -> None:
    """The second segment without the one before it, or without the control maps."""
    second, gone = forgery.of("motion", 1), forgery.of(op)["id"]
    place = second["parents"].index(gone)
    del second["parents"][place], second["inputs"][place]
    assert "POL-CHAIN" in reseal(forgery)


def test_a_segment_of_another_place(forgery: Forgery) -> None:
    forgery.of("motion", 1)["params"]["span"]["start"] = 10
    assert {"POL-SPAN", "POL-PLACE"} <= reseal(forgery)


# Settings, weights, guard


@pytest.mark.parametrize(
    ("op", "key", "value"),
    [
        ("prompt", "text", "1girl, red hair"),
        ("keyframe", "seed", 4),
        ("keyframe", "size", [128, 128]),
        ("keyframe", "init_image", "photo"),
        ("motion", "loras", {"nano-lcm": 0.5}),
        ("motion", "control", {"kinds": ["depth"]}),
        ("finish", "finish", {"zoom": 2.0}),
        ("finish", "loop", True),
        ("encode", "fps", 30),
        ("still", "finish", {}),
    ],
)
def test_a_node_with_other_settings_than_the_config(forgery: Forgery, op: str, key: str, value: Any) -> None:
    if op == "still":
        del forgery.of("encode")["params"]["encode"]
    else:
        forgery.of(op)["params"][key] = value
    assert "POL-PARAMS" in reseal(forgery)


@pytest.mark.parametrize("told", ["float8", None, ["float32"]])
def test_a_number_format_that_nothing_computes_in(forgery: Forgery, told: Any) -> None:
    """It would have replay compare as loosely as for 16 bits."""
    forgery.of("keyframe")["environment"]["dtype"] = told
    assert reseal(forgery) == {"POL-PARAMS"}


@pytest.mark.parametrize("told", ["default", "max-autotune", None, 1])
def test_a_node_that_claims_to_be_compiled_where_the_config_asks_for_nothing(
    forgery: Forgery, told: Any
) -> None:
    """It would excuse bits that differ."""
    forgery.of("motion")["environment"]["compile"] = told
    assert reseal(forgery) == {"POL-PARAMS"}


def test_a_picture_in_what_a_node_says_of_its_machine(forgery: Forgery) -> None:
    forgery.of("keyframe")["environment"]["processor"] = "iVBORw0KGgo" * 500
    assert reseal(forgery) == {"POL-PARAMS"}
    forgery.of("keyframe")["environment"] |= {"processor": "AVX2", "device": [0.5, 0.25]}
    assert reseal(forgery) == {"POL-PARAMS"}


def test_text_in_place_of_yes_or_no(forgery: Forgery) -> None:
    forgery.of("control")["params"]["last_attempt"] = "data:image/png;base64,AAAA"
    assert reseal(forgery) == {"POL-PARAMS"}


def test_segments_that_keep_their_maps_quiet(forgery: Forgery) -> None:
    for index in (0, 1):
        forgery.of("motion", index)["params"]["control"]["kinds"] = []
    assert reseal(forgery) == {"POL-PARAMS"}


def test_a_generator_of_another_place(forgery: Forgery) -> None:
    forgery.of("keyframe")["params"]["generator"] = ["keyframe", 1, "steps"]
    assert reseal(forgery) == {"POL-PLACE"}


def test_an_attempt_more_than_the_config_allows(forgery: Forgery) -> None:
    for node in (forgery.of("keyframe"), forgery.of("noise")):
        text = json.dumps(node["params"]).replace('["keyframe", 0', '["keyframe", 99')
        node["params"] = json.loads(text)
    assert {"POL-PLACE", "POL-NOISE"} == reseal(forgery)


def test_a_config_with_a_group_left_out(forgery: Forgery) -> None:
    """Defaults take its place: the nodes must have been made with them."""
    del forgery.record["summary"]["config"]["finish"]
    assert {"POL-PARAMS", "POL-FRAMES"} <= reseal(forgery)


def test_an_outside_file_named_in_the_config(forgery: Forgery) -> None:
    forgery.record["summary"]["config"]["shot"]["prompt"] = "1girl, /home/me/photo.png"
    assert any(code.startswith("GATE-") for code in reseal(forgery))


def test_a_key_that_no_config_has(forgery: Forgery) -> None:
    forgery.record["summary"]["config"]["keyframe"]["image"] = "x"
    assert "GATE-KEY" in reseal(forgery)


def test_another_config_than_the_run_was_keyed_by(forgery: Forgery) -> None:
    forgery.record["summary"]["config"]["seed"] = 5
    forgery.write_record()
    assert {"INT-KEY", "INT-CONFIG", "POL-PARAMS"} <= codes(forgery.folder)


def test_altered_weights(forgery: Forgery) -> None:
    replace_weights(forgery, forgery.of("keyframe")["weights"]["unet"], "unet/config.json", "0" * 64)
    assert reseal(forgery) == {"POL-WEIGHTS"}


def test_weights_of_which_nobody_knows_a_hash_are_for_a_person(
    forgery: Forgery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(used, "promised", lambda row: {})
    report = examine(forgery.folder)
    assert told(report) == {"POL-UNCHECKED"}
    assert (report.exit_code(), report.exit_code(strict=True)) == (0, 1)


def test_weights_that_are_not_what_their_digest_says(forgery: Forgery) -> None:
    digest = forgery.of("keyframe")["weights"]["unet"]
    forgery.record["weights"][digest]["files"]["unet/config.json"] = "0" * 64
    assert "INT-WEIGHTS" in reseal(forgery)


def test_a_pickle_among_the_weights(forgery: Forgery) -> None:
    replace_weights(forgery, forgery.of("keyframe")["weights"]["unet"], "unet/model.ckpt", "0" * 64)
    assert reseal(forgery) == {"POL-WEIGHTS"}


def test_a_lora_that_nobody_asked_for(forgery: Forgery) -> None:
    digest = text_hash({"lora.safetensors": "0" * 64})
    forgery.record["weights"][digest] = {"row": "my-own-lora", "files": {"lora.safetensors": "0" * 64}}
    forgery.of("keyframe")["weights"]["my-own-lora"] = digest
    assert reseal(forgery) == {"POL-WEIGHTS"}


@pytest.mark.parametrize(
    ("op", "role"),
    [("keyframe", "vae"), ("motion", "nano-motion"), ("motion", "controlnet_depth"), ("finish", "vae")],
)
def test_an_operation_without_weights_that_it_needs(forgery: Forgery, op: str, role: str) -> None:
    del forgery.of(op)["weights"][role]
    assert "POL-WEIGHTS" in reseal(forgery)


def test_weights_that_no_node_names(forgery: Forgery) -> None:
    for op in ("motion", "keyframe", "prompt"):
        del forgery.of(op)["weights"]["nano-lcm"]
    del forgery.of("motion", 1)["weights"]["nano-lcm"]
    assert {"POL-WEIGHTS", "INT-WEIGHTS"} <= reseal(forgery)


def replace_weights(forgery: Forgery, digest: str, name: str, sha256: str) -> None:
    """One more or other file among the weights of a digest, and all nodes that used it pointed to it."""
    entry = forgery.record["weights"].pop(digest)
    entry["files"][name] = sha256
    new = text_hash(entry["files"])
    forgery.record["weights"][new] = entry
    for node in forgery.nodes:
        node["weights"] = {role: new if used == digest else used for role, used in node["weights"].items()}


@pytest.mark.parametrize(
    "guard", [None, {"level": "none", "wanted": "off", "network": "open"}, {"level": "trust me"}]
)
def test_a_run_without_a_guard(forgery: Forgery, guard: Any) -> None:
    forgery.record["summary"]["guard"] = guard
    assert reseal(forgery) == {"POL-GUARD"}


# The video


def encode(target: Path, *arguments: str) -> None:
    subprocess.run([find_ffmpeg(), "-v", "error", "-y", *arguments, str(target)], check=True)


def test_a_video_encoded_again(forgery: Forgery, tmp_path: Path) -> None:
    encode(
        tmp_path / "again.mp4",
        "-i",
        str(forgery.folder / "video.mp4"),
        "-crf",
        "30",
        "-movflags",
        "+faststart",
    )
    shutil.move(tmp_path / "again.mp4", forgery.folder / "video.mp4")
    assert {"INT-HASH", "VID-FRAMES"} <= codes(forgery.folder)


def test_a_video_with_one_frame_replaced(forgery: Forgery, tmp_path: Path) -> None:
    """One frame painted over, all hashes of files mended: its own hash tells."""
    paint = "drawbox=x=8:y=8:w=16:h=16:color=red:t=fill:enable='eq(n,20)'"
    source = ["-i", str(forgery.folder / "video.mp4"), "-vf", paint]
    encode(tmp_path / "again.mp4", *source, "-qp", "0", "-pix_fmt", "yuv420p", "-movflags", "+faststart")
    shutil.move(tmp_path / "again.mp4", forgery.folder / "video.mp4")
    forgery.deliver(forgery.frames())
    report = examine(forgery.seal())
    assert told(report) == {"VID-FRAMES"}
    assert report.integrity[0].got == "1 of 48: frames 20"


def test_a_shorter_video(forgery: Forgery, tmp_path: Path) -> None:
    encode(tmp_path / "again.mp4", "-i", str(forgery.folder / "video.mp4"), "-frames:v", "40", "-qp", "0")
    shutil.move(tmp_path / "again.mp4", forgery.folder / "video.mp4")
    forgery.deliver(forgery.frames())
    assert reseal(forgery) & {"VID-FRAMES", "VID-BOX"}


def retimed(forgery: Forgery, change: Any) -> set[str]:
    """The video's table of contents changed, everything made to fit."""
    path = forgery.folder / "video.mp4"
    path.write_bytes(change(path.read_bytes()))
    forgery.deliver(forgery.frames())
    return reseal(forgery)


def at(data: bytes, kind: bytes, offset: int, value: bytes) -> bytes:
    """The file with some bytes of a box's content changed."""
    start = data.index(kind) + 4 + offset
    return data[:start] + value + data[start + len(value) :]


@pytest.mark.parametrize(
    "change",
    [
        lambda data: at(data, b"mdhd", 12, struct.pack(">I", 6144)),  # half as fast
        lambda data: at(data, b"stts", 12, struct.pack(">I", 1024)),
        lambda data: at(data, b"elst", 8, struct.pack(">I", 1000)),  # its first second alone
        lambda data: at(data, b"elst", 16, struct.pack(">I", 0x8000)),  # half as fast
        lambda data: at(data, b"dref", 16, b"\0\0\0\0"),  # a reference to another file
    ],
)
def test_a_video_that_plays_otherwise(forgery: Forgery, change: Any) -> None:
    assert retimed(forgery, change) & {"VID-TIME", "VID-FRAMES"}


def stuffed(data: bytes, kind: bytes, more: bytes) -> bytes:
    """A box with bytes added at its end, and all around it told of them; `stco` where they come before it."""
    path = {b"mdat": [b"mdat"], b"trak": [b"moov", b"trak"]}[kind]
    for name in path:
        place = data.index(name) - 4
        size = int.from_bytes(data[place : place + 4], "big")
        data = data[:place] + (size + len(more)).to_bytes(4, "big") + data[place + 4 :]
    end = data.index(kind) - 4 + size
    data = data[:end] + more + data[end:]
    moved = int.from_bytes(data[data.index(b"stco") + 12 :][:4], "big") + len(more)
    return data if kind == b"mdat" else at(data, b"stco", 8, moved.to_bytes(4, "big"))


@pytest.mark.parametrize(
    "change",
    [
        lambda data: stuffed(data, b"mdat", b"a picture behind the frames"),
        lambda data: stuffed(data, b"trak", struct.pack(">I4s", 24, b"meta") + b"\xff\xd8\xff\xe0" * 4),
        lambda data: at(data, b"tkhd", 40, struct.pack(">I", 0x20000)),  # twice as wide
    ],
)
def test_a_video_with_something_beside_its_frames(forgery: Forgery, change: Any) -> None:
    assert retimed(forgery, change) == {"VID-TIME"}


def test_a_video_in_slow_motion(forgery: Forgery) -> None:
    """All of its frames, each shown for twice as long."""
    ticks, milliseconds = struct.pack(">I", 6144), struct.pack(">I", 4000)
    slow = lambda data: at(at(data, b"mdhd", 12, ticks), b"elst", 8, milliseconds)  # noqa: E731
    assert retimed(forgery, slow) == {"VID-TIME"}


def test_a_video_with_a_second_track(forgery: Forgery, tmp_path: Path) -> None:
    video = str(forgery.folder / "video.mp4")
    encode(tmp_path / "again.mp4", "-i", video, "-i", video, "-map", "0", "-map", "1", "-c", "copy")
    shutil.move(tmp_path / "again.mp4", forgery.folder / "video.mp4")
    forgery.deliver(forgery.frames())
    assert reseal(forgery) == {"VID-BOX"}


def test_a_video_with_sound(forgery: Forgery, tmp_path: Path) -> None:
    sound = ["-f", "lavfi", "-i", "sine=duration=1", "-c:v", "copy", "-c:a", "aac"]
    encode(tmp_path / "again.mp4", "-i", str(forgery.folder / "video.mp4"), *sound)
    shutil.move(tmp_path / "again.mp4", forgery.folder / "video.mp4")
    forgery.deliver(forgery.frames())
    assert reseal(forgery) == {"VID-BOX"}


@pytest.mark.parametrize(
    "data",
    [
        b"#EXTM3U\nfile:///etc/passwd\n",
        b"",
        struct.pack(">I4s", 8, b"ftyp") * 3,
        struct.pack(">I4sQ", 1, b"mdat", 2**63),
        struct.pack(">I4s", 0, b"moov") + bytes(64),
    ],
)
def test_a_file_that_is_no_video(forgery: Forgery, data: bytes) -> None:
    (forgery.folder / "video.mp4").write_bytes(data)
    forgery.deliver(forgery.frames())
    assert reseal(forgery) == {"VID-BOX"}


def test_a_truncated_video(tmp_path: Path) -> None:
    folder = edited("video.mp4", lambda data: data[: len(data) // 2], tmp_path)
    assert {"INT-HASH", "VID-BOX"} <= codes(folder)


def test_a_video_without_end(forgery: Forgery, tmp_path: Path) -> None:
    """Far more frames than the record tells: decoding stops at the first one too many."""
    source = ["-f", "lavfi", "-i", "color=s=64x64:r=24", "-frames:v", "5000", "-preset", "ultrafast"]
    encode(tmp_path / "long.mp4", *source, "-pix_fmt", "yuv420p", "-movflags", "+faststart")
    shutil.move(tmp_path / "long.mp4", forgery.folder / "video.mp4")
    forgery.deliver(forgery.frames())
    report = examine(forgery.seal())
    assert told(report) == {"VID-FRAMES"}
    assert report.integrity[0].got == "at least 49 frames"


def test_a_video_that_takes_too_long(forgery: Forgery) -> None:
    assert codes(forgery.folder, limits=replace(LIMITS, video_seconds=0.0)) == {"VID-DECODE"}


@pytest.mark.parametrize(("key", "value"), [("width", 60000), ("count", 10**9), ("width", -2), ("height", 0)])
def test_a_video_of_boundless_size(forgery: Forgery, key: str, value: int) -> None:
    frames = forgery.frames()
    frames[key] = value
    forgery.deliver(frames)
    assert {"VID-DECODE", "INT-SUMMARY"} <= reseal(forgery)


def forge_sheet(forgery: Forgery, change: Any) -> set[str]:
    """The contact sheet changed, its node, record, ledger and signature made to fit."""
    sheet = np.asarray(Pictures.open(forgery.folder / "sheet.png")).copy()
    sheet = np.ascontiguousarray(change(sheet))
    forgery.draw("sheet.png", sheet)
    forgery.of("sheet")["output"] = arrays_hash({"image": sheet})
    return reseal(forgery)


def painted_sheet(sheet: np.ndarray) -> np.ndarray:
    sheet[10:34, 10:34] = (255, 0, 255)
    return sheet


@pytest.mark.parametrize(
    "change", [painted_sheet, lambda sheet: sheet[:, ::-1].copy(), lambda sheet: sheet[:-2]]
)
def test_a_contact_sheet_of_something_else(forgery: Forgery, change: Any) -> None:
    assert forge_sheet(forgery, change) == {"VID-SHEET"}


def test_a_contact_sheet_of_more_frames(forgery: Forgery) -> None:
    forgery.of("sheet")["params"]["frames"] = 48
    assert reseal(forgery) == {"POL-PARAMS"}


def test_frames_composited_in_finish(forgery: Forgery) -> None:
    """Other pictures went into the encoder than finish made."""
    frames = forgery.frames()
    frames["rgb_sha256"][7] = "0" * 64
    (forgery.folder / run_layout.FRAMES).write_text(json.dumps(frames, indent=0) + "\n")
    assert "INT-FRAMES" in reseal(forgery)


def test_a_list_of_frames_with_too_few_hashes(forgery: Forgery) -> None:
    frames = forgery.frames()
    frames["rgb_sha256"].pop()
    forgery.deliver(frames)
    assert reseal(forgery) == {"INT-FRAMES"}


# Record and signature


def test_an_edited_record(forgery: Forgery) -> None:
    forgery.record["environment"]["python"] = "3.12.0"
    forgery.write_record()
    assert codes(forgery.folder) == {"SIG-CONTENT"}


def test_video_and_record_both_edited(forgery: Forgery, tmp_path: Path) -> None:
    video = forgery.folder / "video.mp4"
    encode(tmp_path / "again.mp4", "-i", str(video), "-crf", "30", "-movflags", "+faststart")
    shutil.move(tmp_path / "again.mp4", video)
    frames = forgery.frames()
    frames["yuv_sha256"] = yuv_hashes(video, 64, 64, 48)
    forgery.deliver(frames)
    forgery.rehash()
    forgery.write_record()
    assert codes(forgery.folder) == {"INT-LEDGER-FILE", "INT-LEDGER-NODE", "SIG-CONTENT", "VID-BOX"}


def test_a_stripped_signature(forgery: Forgery) -> None:
    (forgery.folder / run_layout.STATEMENT).unlink()
    assert codes(forgery.folder) == {"SIG-MISSING"}


def test_a_signature_by_another_key(forgery: Forgery) -> None:
    registered = forged_run.key().fingerprint
    assert codes(forgery.folder, key=registered) == set()
    forged_run.sign(forgery.folder, by=forged_run.key(2))
    assert codes(forgery.folder, key=registered) == {"SIG-KEY"}


def test_a_signature_with_another_name_on_it(tmp_path: Path) -> None:
    names = [forged_run.key(number).fingerprint.encode() for number in (1, 2)]
    folder = edited(run_layout.STATEMENT, lambda data: data.replace(*names), tmp_path)
    assert codes(folder) == {"SIG-BAD"}


def test_the_signature_of_another_run(forgery: Forgery) -> None:
    before = (forgery.folder / run_layout.STATEMENT).read_bytes()
    forgery.record["environment"]["python"] = "3.12.0"
    folder = forgery.seal()
    (folder / run_layout.STATEMENT).write_bytes(before)
    assert codes(folder) == {"SIG-CONTENT"}


# Arrays that lie


def header(data: bytes) -> dict[str, Any]:
    return json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])


def with_header(data: bytes, change: Any) -> bytes:
    length = struct.unpack("<Q", data[:8])[0]
    value = header(data)
    change(value)
    text = canonical_json(value).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


@pytest.mark.parametrize(
    "change",
    [
        lambda data: struct.pack("<Q", 2**62) + data[8:],
        lambda data: data[:5],
        lambda data: data + b"a picture behind the arrays",
        lambda data: with_header(data, lambda value: value["latents"].update(shape=[2**40, 2**40])),
        lambda data: with_header(data, lambda value: value["latents"].update(shape=[-1])),
        lambda data: with_header(data, lambda value: value["latents"].update(data_offsets=[4, 8])),
        lambda data: with_header(data, lambda value: value["latents"].update(dtype="PICKLE")),
        lambda data: with_header(data, lambda value: value.update(twin=value["latents"])),
        lambda data: with_header(data, lambda value: value.update(__metadata__={"node": 1})),
        lambda data: data.replace(b'"dtype"', b'"dtype":"F32","dtype"', 1),
    ],
)
def test_a_file_of_arrays_that_lies(forgery: Forgery, change: Any) -> None:
    path = forgery.array_path(forgery.of("motion"))
    path.write_bytes(change(path.read_bytes()))
    forgery.rehash()
    forgery.write_record()
    assert "INT-ARRAY" in codes(forgery.folder)


def test_more_arrays_than_fit(forgery: Forgery) -> None:
    assert codes(forgery.folder, limits=replace(LIMITS, array_bytes=20_000)) >= {"INT-ARRAY"}


def test_pictures_of_boundless_size_in_all(forgery: Forgery) -> None:
    """The first two fit, and the sheet is not decoded any more."""
    report = examine(forgery.folder, limits=replace(LIMITS, picture_pixels=2 * 64 * 64 + 1))
    assert [(one.code, one.where) for one in report.integrity] == [("INT-PICTURE", "sheet.png")]


def test_a_picture_with_an_alpha_channel(forgery: Forgery) -> None:
    picture = np.asarray(Pictures.open(forgery.folder / "keyframe.png"))
    Pictures.fromarray(np.dstack([picture, np.full((64, 64), 9, np.uint8)])).save(
        forgery.folder / "keyframe.png"
    )
    assert reseal(forgery) == {"INT-PICTURE"}


# Any edit at all


def sealed_files() -> list[str]:
    names = (
        path.relative_to(forged_run.honest()).as_posix()
        for path in sorted(forged_run.honest().rglob("*"))
        if path.is_file()
    )
    return [
        name for name in names if run_layout.listed(name) or name in (run_layout.RECORD, run_layout.LEDGER)
    ]


BOUNDED = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


@BOUNDED
@given(data=some.data())
def test_any_flipped_byte_of_any_file_is_found(
    tmp_path_factory: pytest.TempPathFactory, data: some.DataObject
) -> None:
    folder = copied(tmp_path_factory.mktemp("flip"))
    path = folder / data.draw(some.sampled_from([*sealed_files(), run_layout.STATEMENT]))
    content = bytearray(path.read_bytes())
    content[data.draw(some.integers(0, len(content) - 1))] ^= data.draw(some.integers(1, 255))
    path.write_bytes(content)
    assert codes(folder)
    shutil.rmtree(folder)


@BOUNDED
@given(data=some.data())
def test_any_dropped_duplicated_or_re_parented_node_is_found(
    tmp_path_factory: pytest.TempPathFactory, data: some.DataObject
) -> None:
    """With every hash, id, ledger line and the signature made anew for the changed graph."""
    forgery = Forgery(tmp_path_factory.mktemp("graph"))
    before = forgery.record["results"], [(node["op"], node["parents"]) for node in forgery.nodes]
    node = data.draw(some.sampled_from(forgery.nodes))
    others = [one["id"] for one in forgery.nodes if one is not node]
    action = data.draw(some.sampled_from(["drop", "drop and forget", "duplicate", "re-parent"]))
    if action.startswith("drop"):
        forgery.nodes.remove(node)
        for other in forgery.nodes if action == "drop and forget" else []:
            other["parents"] = [one for one in other["parents"] if one != node["id"]]
            other["inputs"] = other["inputs"][: len(other["parents"])]
        forgery.record["results"] = [one for one in forgery.record["results"] if one != node["id"]]
        named = forgery.record["pictures"].items()
        forgery.record["pictures"] = {name: entry for name, entry in named if entry["node"] != node["id"]}
    elif action == "duplicate":
        forgery.nodes.insert(forgery.nodes.index(node), json.loads(json.dumps(node)))
    else:
        count = data.draw(some.integers(0, 4))
        node["parents"] = data.draw(
            some.lists(some.sampled_from(others), min_size=count, max_size=count, unique=True)
        )
        node["inputs"] = [
            one["output"] for name in node["parents"] for one in forgery.nodes if one["id"] == name
        ]
    if (forgery.record["results"], [(one["op"], one["parents"]) for one in forgery.nodes]) == before:
        return
    forgery.renumber()
    forgery.rehash()
    forgery.write_ledger()
    forgery.write_record()
    assert codes(forgery.folder) - {"SIG-MISSING", "SIG-BAD", "SIG-CONTENT"}, action
    shutil.rmtree(forgery.folder)


JUNK = some.one_of(
    some.none(),
    some.booleans(),
    some.integers(-(2**62), 2**62),
    some.floats(allow_nan=False, allow_infinity=False),
    some.text(max_size=8),
    some.just([]),
    some.just({}),
    some.just([[{"a": None}]]),
)


@settings(BOUNDED, max_examples=80)
@given(data=some.data())
def test_junk_anywhere_in_a_record_is_told_and_not_tripped_over(
    tmp_path_factory: pytest.TempPathFactory, data: some.DataObject
) -> None:
    forgery = Forgery(tmp_path_factory.mktemp("junk"))
    place: Any = forgery.record
    while True:
        key = data.draw(some.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(some.integers(0, 6)) == 0:
            break
        place = place[key]
    junk = data.draw(JUNK)
    if data.draw(some.booleans()):
        del place[key]
    elif canonical_json(place[key]) == canonical_json(junk):
        return
    else:
        place[key] = junk
    forgery.write_record()
    assert codes(forgery.folder)
    shutil.rmtree(forgery.folder)


@settings(BOUNDED, max_examples=40)
@given(seed=some.integers(0, 2**32))
def test_a_damaged_zip_is_told_and_not_tripped_over(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    target = tmp_path_factory.mktemp("zip") / "run.zip"
    content = bytearray(whole_zip())
    chance = random.Random(seed)
    start = chance.choice([0, content.index(b"PK\1\2"), len(content) - 60])
    for _ in range(chance.randint(1, 3)):
        content[chance.randrange(start, len(content))] = chance.randrange(256)
    target.write_bytes(content)
    report = examine(target)
    assert report.unreadable or report.facts
    target.unlink()


_ZIP: list[bytes] = []


def whole_zip() -> bytes:
    if not _ZIP:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            _ZIP.append(zipped(copied(Path(folder)), Path(folder) / "run.zip").read_bytes())
    return _ZIP[0]


# What verify cannot find, and replay does


def test_a_fabricated_picture_behind_an_honest_record_is_left_to_replay(forgery: Forgery) -> None:
    """A keyframe's picture, and nothing that arithmetic ties to another node, swapped by its maker."""
    keyframe = forgery.of("keyframe")
    arrays = forgery.arrays(keyframe)
    arrays["image"] = arrays["image"][:, ::-1].copy()
    forgery.store(keyframe, arrays)
    forgery.draw("keyframe.png", arrays["image"])
    assert reseal(forgery) == set()
