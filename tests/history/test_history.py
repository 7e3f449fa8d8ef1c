"""Runs and files lead back to what made them: texts, words to type, list, show, open, again, --from."""

from __future__ import annotations

import json
import shlex
import shutil
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from support import replay_runs
from support.forged_media import box, chunk, long

from pokora_anime.cli import main
from pokora_anime.config.compose import compose
from pokora_anime.errors import PokoraError
from pokora_anime.history import run_origin, typed_words_again
from pokora_anime.provenance.run_layout import still_texts, video_tag
from pokora_anime.provenance.run_reading import read_run
from pokora_anime.schema.option_values import leaves
from pokora_anime.schema.run_identity import to_plain

HEADER = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
END = chunk(b"IDAT", zlib.compress(bytes(4))) + chunk(b"IEND", b"")


def png(*chunks: bytes) -> bytes:
    """A PNG of one pixel with more chunks."""
    return b"\x89PNG\r\n\x1a\n" + HEADER + b"".join(chunks) + END


def text(key: str, value: str | bytes) -> bytes:
    content = value.encode() if isinstance(value, str) else value
    return chunk(b"iTXt", key.encode() + b"\0\0\0\0\0" + content)


def mp4(comment: bytes, *, kind: bytes = b"\xa9cmt") -> bytes:
    """The boxes of an MP4 whose movie has a comment and nothing else."""
    tag = box(kind, box(b"data", long(1) + long(0) + comment))
    handler = box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
    meta = box(b"meta", bytes(4) + handler + box(b"ilst", tag))
    return box(b"ftyp", b"isom" + bytes(4)) + box(b"mdat", bytes(64)) + box(b"moov", box(b"udta", meta))


def plain(command: str = "video", *overrides: str) -> dict[str, Any]:
    return to_plain(compose(command, overrides))


def still(change: Callable[[dict[str, Any]], object] = lambda _: None, **more: str) -> bytes:
    """A still's PNG whose config was changed by hand."""
    config = plain("stills", "count=3", "seed=3")
    told = still_texts(config, 1, "0" * 64, "1" * 64)
    change(config)
    told |= {"config": json.dumps(config), **more}
    return png(*(text(key, value) for key, value in told.items()))


def clip(change: Callable[[dict[str, Any]], object]) -> bytes:
    config = plain()
    change(config)
    return mp4(video_tag(config).encode())


def put(section: str, key: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda config: config[section].__setitem__(key, value)


COMFY = {
    "3": {"class_type": "KSampler", "inputs": {"seed": 5, "steps": 20, "positive": ["6", 0], "cfg": 8}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "1girl, red hair", "clip": ["4", 1]}},
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "C:\\models\\x.safetensors"}},
}
WEB_UI = (
    "1girl, red hair <lora:someone:0.8>,\nsmile\nNegative prompt: bad hands\n"
    "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 512x512, Model: x"
)
LOOP = {"1": {"inputs": {"positive": ["2", 0]}}, "2": {"inputs": {"conditioning": ["2", 0]}}}
BOMB = zlib.compress(bytes(2**25), 9)

HOSTILE: Mapping[str, bytes] = {
    "a text of two MiB": png(text("config", "x" * 2**21)),
    "a bomb in zTXt": png(chunk(b"zTXt", b"parameters\0\0" + BOMB)),
    "a bomb in iTXt": png(chunk(b"iTXt", b"config\0\1\0\0\0" + BOMB)),
    "no zlib in zTXt": png(chunk(b"zTXt", b"parameters\0\0" + b"hello")),
    "lists in lists": png(text("config", "[" * 100_000 + "]" * 100_000), text("seed", "1")),
    "a list for a config": png(text("config", "[1, 2]"), text("seed", "1")),
    "a key that stands twice": png(text("config", '{"seed": 1, "seed": 2}'), text("seed", "1")),
    "a number without end": png(text("config", '{"seed": NaN}'), text("seed", "1")),
    "a seed that is none": still(seed="-1"),
    "two configs": png(text("config", "{}"), text("config", "{}")),
    "a NUL": png(chunk(b"tEXt", b"parameters\0 1girl\0\0 Steps: 4")),
    "no UTF-8": png(text("parameters", b"1girl \xff\xfe")),
    "a wrong check sum": png(text("parameters", "1girl")[:-1] + b"\0"),
    "an endless chunk": png(long(2**32 - 1) + b"tEXtparameters\0x"),
    "cut short": still()[:200],
    "a link in the prompt": png(text("parameters", "1girl, https://example.org/x.png\nSteps: 4, Seed: 1")),
    "a path in the prompt": png(text("parameters", "1girl, ../../etc/passwd\nSteps: 4, Seed: 1")),
    "control characters": png(text("parameters", "1girl \x1b[31mred\x07\nSteps: 4, Seed: 1")),
    "a path for weights": still(put("base", "vae", "../../etc/passwd")),
    "a link for a LoRA": clip(put("motion", "lora", "https://example.org/x.safetensors")),
    "an interpolation": clip(put("motion", "lora", "${oc.env:HOME}")),
    "ten thousand LoRAs": still(put("style", "loras", [{"id": "pastel", "weight": 1}] * 10_000)),
    "a billion steps": still(put("speed", "steps", 10**9)),
    "a list for a number": still(put("speed", "steps", [4, 5])),
    "a graph without an end": png(text("prompt", json.dumps(LOOP))),
    "nothing": png(),
    "a comment of two MiB": mp4(b'{"a":"' + b"x" * 2**21 + b'"}'),
    "a comment that is no UTF-8": mp4(b'{"a":"\xff"}'),
    "a comment that is no JSON": mp4(b"{hello}"),
    "a box beyond the file": mp4(b"{}")[:-4] + box(b"free", b"")[:4],
    "a box of 2^63 bytes": box(b"ftyp", b"isom" + bytes(4)) + long(1) + b"moov" + b"\x7f" + b"\xff" * 7,
    "a box smaller than its head": box(b"ftyp", b"isom" + bytes(4)) + long(3) + b"moov",
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_answered_in_one_line(
    data: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "picture"
    path.write_bytes(data)
    begun = time.process_time()
    assert main(["again", str(path), "--out", str(tmp_path / "outputs")]) == 2
    assert not (tmp_path / "outputs").exists()
    assert time.process_time() - begun < 5
    said = capsys.readouterr().err.splitlines()
    assert [line[:8] for line in said].count("pokora: ") == 1 and said[-1].startswith("pokora: ")
    assert all(line.isprintable() and len(line) < 1500 for line in said)


def test_what_no_config_has_is_named_and_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "still.png"
    path.write_bytes(still(lambda config: config.update({"hydra": {"run": {"dir": "/tmp/x"}}, "init": "a"})))
    assert main(["again", str(path), "--cfg"]) == 0
    told = capsys.readouterr()
    assert "not taken: hydra.run.dir, init" in told.err
    assert "/tmp/x" not in told.out


@pytest.mark.parametrize(
    ("command", "overrides"),
    [
        ("video", ()),
        (
            "video",
            ("seed=7", "speed=hq", "motion=overlap_8", "shot.prompt={red|blue} hair, $x, (a:1.2), 'q' = \\"),
        ),
        ("video", ("keyframe=none", "control=none", "shot.seconds=9", "quality.score=false")),
        ("video", ("base=sdxl", "style=pastel", "control=union", "finish=hires", "motion.camera=zoom_in")),
        ("video", ("style.loras=[{id:pastel,weight:0.3}]", "control.scale.depth=0.9", "device.dtype=fp32")),
        ("video", ("experiment=contest_sdxl_fast",)),
        ("stills", ("count=5", "seed=3", "finish.width=512", "negative=anime")),
    ],
)
def test_the_words_compose_the_very_config(command: str, overrides: tuple[str, ...]) -> None:
    wanted = plain(command, *overrides)
    found = typed_words_again.retyped(command, leaves(wanted))
    assert found.ignored == []
    assert plain(command, *found.words) == wanted
    assert len(found.words) <= len(overrides) + 3


def test_keys_that_go_with_their_group_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["again", str(replay_runs.stills()), "speed=hq", "--cfg"]) == 0
    told = capsys.readouterr()
    assert "speed=hq brings its own: dropped speed.steps=2; type what is to stay" in told.err
    assert "steps: 25" in told.out
    assert main(["again", str(replay_runs.stills()), "speed=hq", "speed.steps=2", "--cfg"]) == 0
    assert "dropped" not in capsys.readouterr().err


def test_what_is_typed_takes_the_place_of_what_was() -> None:
    words = ["shot.prompt=1girl", "seed=3", "speed.steps=4", "motion.overlap=8"]
    kept = typed_words_again.with_changes(words, ["speed=hq", "seed=8", "--prompt", "1boy"])
    assert kept == ["motion.overlap=8"]


@pytest.mark.parametrize("kind", ["parameters", "prompt", "comment", "keys"])
def test_other_tools_are_read_as_far_as_prompt_seed_and_steps(kind: str, tmp_path: Path) -> None:
    graph = json.dumps(COMFY)
    data = {
        "parameters": png(text("parameters", WEB_UI)),
        "prompt": png(chunk(b"tEXt", b"prompt\0" + graph.encode()), text("workflow", "x" * 2**21)),
        "comment": mp4(json.dumps({"prompt": graph, "workflow": {}}).encode()),
    }
    path = tmp_path / "file"
    path.write_bytes(data[kind] if kind in data else keyed(tmp_path, graph))
    found = run_origin.find(str(path), tmp_path)
    assert found.command == ("stills" if kind in ("parameters", "prompt") else "video")
    prompt, *rest = found.retyped().words
    assert prompt.startswith("shot.prompt=1girl, red hair")
    assert rest == ["seed=5", "speed=hq", "speed.steps=20"]
    left = " ".join(found.ignored)
    assert ("lora:someone:0.8 negative prompt Sampler" if kind == "parameters" else "Checkpoint") in left


def comfy(**inputs: object) -> str:
    graph = json.loads(json.dumps(COMFY))
    graph["3"]["inputs"].update(inputs)
    return json.dumps(graph)


@pytest.mark.parametrize(
    ("data", "taken", "named"),
    [
        (png(text("parameters", "1girl\nSteps: 20, Seed: NaN")), "speed=hq speed.steps=20", "Seed NaN"),
        (png(text("parameters", "1girl\nSteps: 20, Seed: -5")), "speed=hq speed.steps=20", "Seed -5"),
        (png(text("parameters", f"1girl\nSteps: 4, Seed: {2**64 - 1}")), "speed.steps=4", "Seed 1844674"),
        (png(text("parameters", "1girl\nSteps: 3.5, Seed: 1")), "seed=1", "Steps 3.5"),
        (png(text("parameters", "1girl\nSteps: 999999, Seed: 1")), "seed=1", "Steps 999999"),
        (png(text("parameters", "1girl\nSteps: ٤, Seed: 1")), "seed=1", "Steps ٤"),
        (png(text("prompt", comfy(seed=2**64 - 1))), "speed=hq speed.steps=20", "seed NaN or over-long"),
        (png(text("prompt", comfy(seed=float("nan")))), "speed=hq speed.steps=20", "seed NaN or over-long"),
        (png(text("prompt", comfy(seed=["9", 0]))), "speed=hq speed.steps=20", "seed ['9', 0]"),
        (png(text("prompt", comfy(steps=-20))), "seed=5", "steps -20"),
        (mp4(b'{"prompt": "1girl", "seed": 5, "cfg": NaN}'), "seed=5", "cfg"),
    ],
)  # fmt: skip
def test_a_number_of_no_use_is_named_and_left(data: bytes, taken: str, named: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    found = run_origin.find(str(path), tmp_path)
    assert " ".join(found.words[1:]) == taken
    assert any(told.startswith(named) for told in found.ignored)


def test_a_comment_in_words_is_named(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(mp4(b"made with love"))
    with pytest.raises(PokoraError, match=r"carries no prompt \(not read: comment\)"):
        run_origin.find(str(path), tmp_path)


def keyed(folder: Path, graph: str) -> bytes:
    """An MP4 with tags by name, as ffmpeg writes them for ComfyUI."""
    from pokora_anime.media.ffmpeg_program import find_ffmpeg

    source = "-v error -f lavfi -i color=red:size=64x64:rate=8:duration=0.5".split()
    path = folder / "keyed.mp4"
    tags = ["-metadata", f"prompt={graph}", "-movflags", "use_metadata_tags"]
    subprocess.run([find_ffmpeg(), *source, *tags, str(path)], check=True)
    return path.read_bytes()


def test_a_still_tells_other_tools_its_settings(tmp_path: Path) -> None:
    told = still_texts(plain("stills", "count=3", "seed=3", "speed=hq"), 1, "", "")["parameters"]
    path = tmp_path / "still.png"
    path.write_bytes(png(text("parameters", told)))
    found = run_origin.find(str(path), tmp_path)
    assert found.words[1:] == ("seed=4", "speed=hq", "speed.steps=25")


def test_list_show_and_open_need_no_torch(tmp_path: Path) -> None:
    shutil.copytree(replay_runs.stills(), tmp_path / "outputs" / "stills" / "one")
    code = (
        "import sys; from pokora_anime.cli import main\n"
        "for line in (['list'], ['show', 'one#2'], ['open', 'one#2']): assert main(line) == 0\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={"PATH": "", "HOME": str(tmp_path)},
    )  # fmt: skip
    assert "seed 3" in done.stdout and "seed      4" in done.stdout
    assert done.stdout.splitlines()[-1] == "outputs/stills/one/still-2.png"


def test_a_list_goes_over_damaged_and_unfinished_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("stills/whole", "stills/begun", "sweep/s/stills/damaged"):
        shutil.copytree(replay_runs.stills(), tmp_path / name)
    (tmp_path / "stills/begun/record.json").unlink()
    (tmp_path / "sweep/s/stills/damaged/record.json").write_bytes(b"{" * 10**6)
    assert main(["list", "--out", str(tmp_path), "--json"]) == 0
    rows = {Path(row["path"]).name: row for row in json.loads(capsys.readouterr().out)}
    assert {name: row["status"] for name, row in rows.items()} == {
        "whole": "finished", "begun": "unfinished", "damaged": "damaged",
    }  # fmt: skip
    assert rows["whole"]["prompt"].startswith("1girl, pink hair") and rows["whole"]["seed"] == 3
    assert rows["damaged"]["problem"].startswith("REC-JSON")
    assert main(["list", "PINK", "kimono", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("no run in ")


def test_a_run_and_its_still_tell_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = replay_runs.stills()
    shown: list[dict[str, Any]] = []
    for what in (f"{folder}#2", str(folder / "still-2.png")):
        assert main(["show", what, "--json"]) == 0
        shown.append(json.loads(capsys.readouterr().out))
    assert shown[0]["seed"] == shown[1]["seed"] == 4
    assert shlex.split(shown[0]["again"]) == shlex.split(shown[1]["again"])
    assert shown[0]["keyframe"] == shown[1]["keyframe"] != ""
    assert shown[0]["record"] == read_run(folder).sha256


@pytest.mark.parametrize("what", ["#3", "#0", "#x", "/video.mp4"])
def test_what_is_no_still_is_refused(what: str) -> None:
    with pytest.raises(PokoraError, match="CFG-FILE"):
        run_origin.find(f"{replay_runs.stills()}{what}", Path("outputs"))


def test_a_clip_from_a_still_has_its_picture_as_keyframe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = replay_runs.stills()
    small = ["shot.seconds=1", "motion.frames=6", "motion.overlap=2", "control=depth", *replay_runs.QUIET]
    line = ["video", "--from", str(folder / "still-2.png"), *small, "--out", str(tmp_path), "guard=off"]
    assert main(line) == 0
    told = capsys.readouterr()
    run = Path(told.out.splitlines()[-1])
    drawn = [node for node in read_run(folder).nodes if node.op == "keyframe"][1]
    (first,) = [node for node in read_run(run).nodes if node.op == "keyframe"]
    assert first == drawn
    assert f"both records hold {first.output[:12]}" in told.err
    copy = tmp_path / "copy.mp4"
    copy.write_bytes((run / "video.mp4").read_bytes())
    assert main(["again", str(copy), "--out", str(tmp_path)]) == 0  # its run is found finished
    assert Path(capsys.readouterr().out.splitlines()[-1]) == run


def test_a_clip_with_another_keyframe_than_the_still_says_so(tmp_path: Path) -> None:
    from pokora_anime.cli.render import render

    request = render.parse("video", ["--from", f"{replay_runs.stills()}#1", "speed.steps=3"])
    assert request.still is not None and "speed.steps=2" not in request.overrides
    with pytest.raises(PokoraError, match="REC-KEYFRAME"):
        render._agree(replay_runs.honest(), run_origin.find(f"{replay_runs.stills()}#2", tmp_path))
