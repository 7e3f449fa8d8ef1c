"""A run's record: what nodes cover, what is kept to replay each of them, and how it is read back."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import tiny_networks

from pokora_anime.config.compose import compose
from pokora_anime.errors import RecordError
from pokora_anime.provenance import run_layout, seed_noise
from pokora_anime.provenance.hashing import canonical_json, strict_json
from pokora_anime.provenance.ledger import chained
from pokora_anime.provenance.node import Node
from pokora_anime.provenance.operations import OPERATIONS, of, parents_fit
from pokora_anime.provenance.run_reading import Reading, read_file, read_run
from pokora_anime.quality.contact_sheet import MAX_WIDTH
from pokora_anime.schema.settings import ControlConfig, ControlKind, Interpolation, VideoConfig
from pokora_anime.stages.control import control_maps
from pokora_anime.stages.delivery import encode, finish
from pokora_anime.stages.motion import segments as motion
from pokora_anime.stages.picture import initial_noise as noises
from pokora_anime.stages.picture import keyframe
from pokora_anime.stages.run_context import RunContext
from pokora_anime.stages.text import prompt_embeddings
from pokora_anime.timeline import frame_timing, segment_plan

LIMIT = 60_000_000  # bytes besides the video


def settings() -> VideoConfig:
    config = tiny_networks.config(steps=3)
    config.control = ControlConfig(kinds=[ControlKind.depth])
    config.shot.seconds, config.shot.fps = 0.75, 8
    config.finish.interpolation = Interpolation.none
    config.finish.width = config.finish.height = tiny_networks.SIZE
    config.motion.noise_share = 0.25
    return config


def rendered(family: Path, root: Path) -> tuple[Path, RunContext]:
    """A finished run of two segments, made by the stages as the pipeline calls them."""
    config = settings()
    context = tiny_networks.context(root, tiny_networks.models(family, settings=config))
    text = prompt_embeddings.encode(config.shot, config, context)
    first = keyframe.render(text, config, context)
    maps = control_maps.extract(first, config, context, last_attempt=True)
    assert isinstance(maps, control_maps.ControlTrack)
    segments = list(
        motion.render(
            motion.ClipSources(prompt=text, keyframe=first, control=maps),
            config,
            context,
            frame_timing.frames_generated(config),
        )
    )
    nodes = [segment.node for segment in segments]
    video = encode.write(
        finish.frames(iter(segments), config, context),
        config,
        context,
        lambda hashes: [finish.record(nodes, hashes, config, context)],
    )
    context.folder.write_text(run_layout.CONFIG, "seed: 7\n")
    summary = {"command": "video", "config": {}, "guard": None}
    context.folder.finish(summary, [video.node], lambda digests: {})
    return context.folder.path, context


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_networks.family(tmp_path_factory.mktemp("sdxl"))


@pytest.fixture(scope="module")
def run(family: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Reading, RunContext]:
    path, context = rendered(family, tmp_path_factory.mktemp("run"))
    return read_run(path), context


def only(reading: Reading, op: str) -> Node:
    return next(node for node in reading.nodes if node.op == op)


# What a node covers


def parent(output: str = "a" * 64) -> Node:
    return Node(op="prompt", params={"text": "girl"}, output=output)


def child(*parents: Node) -> Node:
    return Node.after(parents, "keyframe", {}, code="", environment={})


def drawn(output: str = "b" * 64) -> Node:
    return Node(op="noise", params={"seed": 1}, output=output)


def test_a_node_with_another_output_has_other_children() -> None:
    one, two = parent(), parent("c" * 64)
    assert one.id == two.id
    assert child(one, drawn()).id != child(two, drawn()).id


def test_the_order_of_operations_is_closed() -> None:
    assert parents_fit("motion", ["prompt", "noise"])
    assert parents_fit("motion", ["prompt", "noise", "keyframe", "control", "motion"])
    assert parents_fit("finish", ["motion", "motion"])
    assert parents_fit("encode", ["finish", "finish"])  # of two shots
    for op, parents in [
        ("motion", ["prompt"]),
        ("motion", ["noise", "prompt"]),
        ("motion", ["prompt", "noise", "motion", "motion", "motion"]),
        ("finish", []),
        ("finish", ["keyframe"]),
        ("encode", ["finish", "motion"]),
        ("encode", []),
        ("still", ["control"]),
        ("paste", ["keyframe"]),
    ]:
        assert not parents_fit(op, parents), (op, parents)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Node(op="paste", params={}),
        lambda: Node(op="control", params={}),
        lambda: Node(op="control", params={}, parents=("a",)),
        lambda: child(drawn(), parent()),
        lambda: child(parent(""), drawn()),
    ],
)
def test_what_no_stage_does_cannot_be_a_node(make: object) -> None:
    assert callable(make)
    with pytest.raises(RecordError, match="REC-OPERATION"):
        make()


@pytest.mark.parametrize("field", ["op", "params", "parents", "inputs", "weights", "code", "environment"])
def test_a_node_read_back_must_be_what_its_id_says(field: str) -> None:
    told = child(parent(), drawn()).to_json()
    assert Node.from_json(told).to_json() == told
    other = {
        "op": "motion",
        "params": {"seed": 2},
        "parents": told["parents"][::-1],
        "inputs": told["inputs"][::-1],
        "weights": {"unet": "0" * 64},
        "code": "0",
        "environment": {"device": "cuda"},
    }
    with pytest.raises(RecordError, match="is not what its id says"):
        Node.from_json(told | {field: other[field]})
    with pytest.raises(RecordError, match="REC-NODE"):
        Node.from_json({name: value for name, value in told.items() if name != field})
    with pytest.raises(RecordError, match="REC-NODE"):
        Node.from_json(told | {field: 7})


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**60), 2**60)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_canonical_json_is_read_back_as_it_was(value: object) -> None:
    try:
        data = canonical_json(value).encode()
    except UnicodeEncodeError:  # half a surrogate pair
        return
    assert strict_json(data, "it") == value


@pytest.mark.parametrize(
    "text",
    ['{"a":1,"a":1}', "NaN", "[-Infinity]", "1e999", '"\\ud800"', "[" * 100_000, "{", "", "\xff", "9" * 9999],
)
def test_json_that_two_readers_could_take_differently_is_refused(text: str) -> None:
    with pytest.raises(RecordError, match="REC-JSON"):
        strict_json(text.encode("latin-1"), "it")


# Noise


@given(seed=st.integers(0, 2**60 - 1), shape=st.lists(st.integers(1, 9), min_size=2, max_size=4))
def test_noise_without_torch_is_that_of_torch(seed: int, shape: list[int]) -> None:
    if np.prod(shape) < 16:
        return
    drawn_by_torch = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).numpy()
    assert np.abs(seed_noise.normal(seed, tuple(shape)) - drawn_by_torch).max() < seed_noise.TOLERANCE


def test_every_noise_follows_from_its_params(run: tuple[Reading, RunContext]) -> None:
    reading, _ = run
    nodes = [node for node in reading.nodes if node.op == "noise"]
    assert len(nodes) == 3  # the keyframe's and two segments'
    for node in nodes:
        stored = reading.arrays(node)["noise"]
        assert np.abs(seed_noise.expected(node.params) - stored).max() < seed_noise.TOLERANCE
        other = dict(node.params) | {"seed": 8}
        assert np.abs(seed_noise.expected(other) - stored).max() > 1


def test_frames_that_segments_share_start_from_the_same_noise(run: tuple[Reading, RunContext]) -> None:
    _, context = run
    one = noises.base_noise(context, 0, (4, 4, 4, 4), 0.25)
    two = noises.base_noise(context, 2, (4, 4, 4, 4), 0.25)
    assert torch.equal(one[:, 2:], two[:, :2])


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [4, 10**9, 8, 8]},
        {"shape": [4, 2, 1 << 16, 1 << 16]},
        {"shape": "4x4"},
        {"seed": True},
        {"derivation": {"kind": "file"}},
        {"derivation": {"kind": "frames", "start": 0, "share": 2}},
        {"derivation": None},
    ],
)
def test_noise_of_no_kind_of_ours_is_refused(change: dict[str, object]) -> None:
    honest = {"seed": 1, "shape": [4, 2, 8, 8], "derivation": {"kind": "frames", "start": 0, "share": 0.0}}
    seed_noise.expected(honest)
    with pytest.raises(RecordError, match="REC-NOISE"):
        seed_noise.expected(honest | change)


# What a run keeps


def test_the_graph_binds_each_node_to_the_content_it_was_made_from(run: tuple[Reading, RunContext]) -> None:
    reading, _ = run
    assert [node.op for node in reading.nodes] == [
        *("prompt", "noise", "keyframe", "control"),
        *("noise", "motion", "noise", "motion", "finish", "encode"),
    ]
    known: set[str] = set()
    for node in reading.nodes:
        assert set(node.parents) <= known
        assert parents_fit(node.op, [reading.node(one).op for one in node.parents])
        assert node.inputs == tuple(reading.node(one).output for one in node.parents)
        known.add(node.id)
    assert reading.ancestors(reading.results[0]) == known
    assert set(OPERATIONS) > {node.op for node in reading.nodes}


def test_every_file_of_a_run_is_listed(run: tuple[Reading, RunContext]) -> None:
    reading, _ = run
    names = {
        path.relative_to(reading.folder).as_posix() for path in reading.folder.rglob("*") if path.is_file()
    }
    assert {name for name in names if run_layout.listed(name)} == set(reading.files)
    assert {name for name in names if not run_layout.listed(name)} <= {".lock", "record.json", "ledger.jsonl"}
    stored = [node for node in reading.nodes if of(node.op).stores]
    assert {run_layout.array_name(node.op, node.id) for node in stored} == {
        name for name in names if name.startswith("stages/")
    }


def test_pictures_show_the_arrays_that_they_name(run: tuple[Reading, RunContext]) -> None:
    reading, _ = run
    assert set(reading.pictures) == {"keyframe.png", "control_depth.png"}
    for name, shown in reading.pictures.items():
        assert np.array_equal(reading.picture(name), reading.arrays(reading.node(shown.node))[shown.array])


def test_a_keyframe_follows_from_its_stored_parents(run: tuple[Reading, RunContext]) -> None:
    reading, context = run
    node = only(reading, "keyframe")
    text, start = (reading.arrays(reading.node(one)) for one in node.parents)
    tensors = {name: torch.from_numpy(array) for name, array in text.items()}
    record = prompt_embeddings.Prompt(text="", negative="", node=reading.node(node.parents[0]), **tensors)
    given_noise = noises.Noise(values=torch.from_numpy(start["noise"]), node=reading.node(node.parents[1]))
    names = node.params["generator"]
    assert isinstance(names, list)
    generator = context.generator(*names)
    with torch.inference_mode():
        again = keyframe.denoise(record, given_noise, settings(), context, generator)
    assert np.array_equal(again.numpy(), reading.arrays(node)["latent"])


def test_another_start_keeps_every_node(
    family: Path, run: tuple[Reading, RunContext], tmp_path: Path
) -> None:
    path, _ = rendered(family, tmp_path)
    again = read_run(path)
    assert again.nodes == run[0].nodes
    motions = [node for node in again.nodes if node.op == "motion"]
    (path / run_layout.array_name("motion", motions[0].id)).unlink()
    (path / run_layout.RECORD).unlink()
    rendered(family, tmp_path)
    assert read_run(path).nodes == run[0].nodes


def test_a_clip_at_768_px_stays_under_60_mb_besides_the_video(run: tuple[Reading, RunContext]) -> None:
    reading, _ = run
    sizes = sum(
        sum(array.nbytes for array in reading.arrays(node).values())
        for node in reading.nodes
        if of(node.op).stores
    )
    small = settings()
    assert sizes == stored_bytes(small, tokens=77, channels=2 * tiny_networks.TEXT, pooled=tiny_networks.TEXT)
    for fps, bound in ((8, 50_000_000), (12, LIMIT)):
        config = compose("video", ["base=sdxl", "control=pose_depth", f"shot.fps={fps}"])
        assert isinstance(config, VideoConfig)
        assert (config.base.width, config.shot.seconds) == (768, 8.0)
        arrays = stored_bytes(config, tokens=2 * 77, channels=2048, pooled=1280)
        # PNGs are no larger than the pictures in them: keyframe, maps, and the sheet of 16 frames.
        picture = 3 * 768 * 768
        pictures = (1 + len(config.control.kinds)) * picture + 3 * MAX_WIDTH * 1700 // 2
        texts = 20_000 * len(reading.nodes)
        assert arrays + pictures + texts < bound, (fps, arrays, pictures)


def stored_bytes(config: VideoConfig, tokens: int, channels: int, pooled: int) -> int:
    """Bytes in the arrays of a clip with one keyframe."""
    planned = segment_plan.of(config, frame_timing.frames_generated(config))
    frame = noises.CHANNELS * (config.base.width // 8) * (config.base.height // 8) * 4
    picture = 3 * config.base.width * config.base.height
    text = 2 * (tokens * channels + pooled) * 4
    latents = 2 * frame * (1 + len(planned) * config.motion.frames)  # as many for the noise
    return text + latents + picture * (1 + len(config.control.kinds))


# Reading


def test_frames_and_the_encode_node_hold_the_same_hashes(run: tuple[Reading, RunContext]) -> None:
    reading, _ = run
    frames = reading.frames()
    assert frames.count == 18 == len(frames.rgb) == len(frames.yuv)
    assert reading.ledger()[0] == {"kind": "run", "format": run_layout.FORMAT, "key": reading.key}


@pytest.mark.parametrize("file", ["keyframe", "noise"])
def test_an_edited_array_is_not_taken_for_the_one_that_was_made(
    run: tuple[Reading, RunContext], tmp_path: Path, file: str
) -> None:
    from safetensors.numpy import save

    reading, _ = run
    node = only(reading, file)
    arrays = reading.arrays(node)
    arrays[next(iter(arrays))].flat[0] += 1
    name = run_layout.array_name(node.op, node.id)
    (tmp_path / "stages").mkdir()
    (tmp_path / name).write_bytes(save(arrays))
    edited = replace(reading, folder=tmp_path)
    assert edited.raw_arrays(node)
    with pytest.raises(RecordError, match="REC-ARRAY"):
        edited.arrays(node)
    (tmp_path / name).write_bytes(b"\xff" * 100)
    with pytest.raises(RecordError, match="REC-ARRAY"):
        edited.raw_arrays(node)


def test_any_changed_byte_of_the_ledger_is_noticed(run: tuple[Reading, RunContext], tmp_path: Path) -> None:
    reading, _ = run
    data = (reading.folder / run_layout.LEDGER).read_bytes()
    copy = replace(reading, folder=tmp_path)
    for at in range(0, len(data), 97):
        for bit in (1, 32):
            damaged = bytearray(data)
            damaged[at] ^= bit
            (tmp_path / run_layout.LEDGER).write_bytes(damaged)
            with pytest.raises(RecordError, match="REC-LEDGER"):
                copy.ledger()
    lines = data.splitlines(keepends=True)
    for edited in (lines[1:], lines[:-1], lines[:3] + lines[4:], [*lines, lines[-1]], [*lines, b"\n"]):
        (tmp_path / run_layout.LEDGER).write_bytes(b"".join(edited))
        with pytest.raises(RecordError, match="REC-LEDGER"):
            copy.ledger()


def test_a_ledger_written_by_other_means_is_refused_although_it_is_chained() -> None:
    assert chained(b'{"a":1,"previous":""}\n')[0] == [{"a": 1}]
    for line in (b'{"a": 1,"previous":""}\n', b'{"previous":"","a":1}\n', b'{"a":1,"previous":""}\r\n'):
        with pytest.raises(RecordError, match="REC-LEDGER: line 1"):
            chained(line)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 1},
        {"format": True},
        {"status": "running"},
        {"nodes": {}},
        {"nodes": [1]},
        {"files": {"a": 1}},
        {"results": [1]},
        {"ledger": {"lines": "2", "head": ""}},
        {"pictures": {"a.png": {"node": "x"}}},
        {"weights": {"x": {"row": "sdxl"}}},
        {"summary": {"command": "train", "config": {}}},
        {"more": 1},
    ],
)
def test_a_record_of_another_shape_is_refused(
    run: tuple[Reading, RunContext], tmp_path: Path, change: dict[str, object]
) -> None:
    (tmp_path / run_layout.RECORD).write_text(json.dumps(run[0].record | change))
    with pytest.raises(RecordError, match="REC-"):
        read_run(tmp_path)


def test_a_node_that_stands_twice_is_refused(run: tuple[Reading, RunContext], tmp_path: Path) -> None:
    record = dict(run[0].record)
    nodes = record["nodes"]
    assert isinstance(nodes, list)
    (tmp_path / run_layout.RECORD).write_text(json.dumps(record | {"nodes": [*nodes, nodes[0]]}))
    with pytest.raises(RecordError, match="twice"):
        read_run(tmp_path)


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "link", "way/secret", "", "folder", "a\0b"])
def test_only_regular_files_inside_the_folder_are_read(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "run"
    (folder / "folder").mkdir(parents=True)
    (tmp_path / "secret").write_text("outside")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "way").symlink_to(tmp_path)
    with pytest.raises(RecordError, match="REC-FILE"):
        read_file(folder, name, 100)


def test_a_file_beyond_its_limit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_file(tmp_path, "a", 5) == b"12345"
    with pytest.raises(RecordError, match="larger"):
        read_file(tmp_path, "a", 4)


def test_reading_needs_neither_torch_nor_opencv(run: tuple[Reading, RunContext]) -> None:
    code = (
        "import sys; from pathlib import Path; from pokora_anime.media import ffmpeg_program;"
        "from pokora_anime.provenance import seed_noise; from pokora_anime.signing import statement;"
        "from pokora_anime.provenance.run_reading import read_run; r = read_run(Path(sys.argv[1]));"
        "[r.arrays(n) for n in r.nodes if n.op == 'noise']; r.frames(); r.ledger();"
        "r.picture('keyframe.png');"
        "print({'torch', 'cv2', 'diffusers'} & set(sys.modules))"
    )
    line = [sys.executable, "-c", code, str(run[0].folder)]
    assert subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip() == "set()"
