"""Networks that OpenVINO computes: the pictures of torch, converted once, kept whole or not at all."""

from __future__ import annotations

import copy
import json
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from support import replay_runs, tiny_networks
from test_shared_text import Networks, placed, segments

from pokora_anime.config.compose import compose
from pokora_anime.devices import hardware, openvino_runtime
from pokora_anime.devices.execution import Execution
from pokora_anime.devices.forecast.plan import Plan, ladder
from pokora_anime.devices.forecast.workload import Job
from pokora_anime.networks.converted import conversion, converted_network, kept_conversions
from pokora_anime.networks.converted.converted_network import ConvertedNetwork, Converting
from pokora_anime.provenance.hashing import arrays_hash
from pokora_anime.render.worker import granted_paths, parent
from pokora_anime.replay.examine_replay import Question, replay
from pokora_anime.schema.settings import ControlKind, DeviceConfig, DeviceKind, Runtime
from pokora_anime.stages.denoising.conditioning import Guidance
from pokora_anime.verify.verdict import Verdict

pytest.importorskip("openvino")
ALONE = Guidance(scale=1.0)
ASKED = "device.runtime=openvino"


class Tiny:
    """A tiny motion UNet and a ControlNet, and where their conversions are kept."""

    def __init__(self, root: Path) -> None:
        models = tiny_networks.models(tiny_networks.family(root / "family"))
        self.stock = Networks(unet=models.motion_unet(), control=models.controlnet(ControlKind.pose))
        for one in (self.stock.unet, self.stock.control):
            one.set_attn_processor(AttnProcessor2_0())
            one.shares_text = False
        self.group = root / "kept" / ("0" * 16)
        self.lines: list[str] = []

    def runtime(self, dtype: torch.dtype = torch.float32) -> Converting:
        return Converting(group=self.group, dtype=dtype, threads=1, note=self.lines.append)

    def converted(self, weights: str = "tiny") -> Networks:
        made, runtime = placed(self.stock), self.runtime()
        unet, control = (
            ConvertedNetwork(type(one).__name__, lambda one=one: one, {"weights": weights}, lambda: runtime)
            for one in (made.unet, made.control)
        )
        return Networks(unet=unet, control=control)

    def latents(self, networks: Networks) -> torch.Tensor:
        return segments(networks, ALONE, anchored=True, count=1)[0]

    def kept(self) -> list[Path]:
        return sorted(path.parent for path in self.group.glob("*/about.json"))

    def of(self, kind: str) -> Path:
        found = [path for path in self.kept() if f'"network": "{kind}"' in (path / "about.json").read_text()]
        return found[0]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    torch.set_num_threads(1)
    found = Tiny(tmp_path_factory.mktemp("tiny"))
    found.latents(found.converted())
    return found


@pytest.fixture
def kept(tiny: Tiny) -> Iterator[Tiny]:
    """All that is there is kept already, and is put back afterwards; nothing has been said."""
    whole = tiny.group.with_name("whole")
    shutil.copytree(tiny.group, whole)
    tiny.lines.clear()
    yield tiny
    shutil.rmtree(tiny.group)
    whole.rename(tiny.group)


@contextmanager
def nothing_is_converted() -> Iterator[None]:
    def refused(*given: Any) -> Any:
        raise RuntimeError("a converter that cannot")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conversion, "converted", refused)
        yield


def test_the_keyframe_is_seen_inside_the_graph(kept: Tiny) -> None:
    expected = segments(placed(kept.stock), ALONE, anchored=True, count=1)[0]
    blind = segments(placed(kept.stock), ALONE, anchored=False, count=1)[0]
    with nothing_is_converted():
        found = kept.latents(kept.converted())
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=2e-5)
    assert (blind - expected).abs().max() > 1e-3
    assert not kept.lines


def test_loras_and_weights_are_told_apart_and_other_weights_are_converted_anew(kept: Tiny) -> None:
    with nothing_is_converted():
        kept.latents(kept.converted("others"))
    assert len(kept.lines) == 2 and all("a converter that cannot" in line for line in kept.lines)
    assert all("torch computes it" in line and "\n" not in line for line in kept.lines)


def test_a_damaged_one_is_found_and_made_again(kept: Tiny) -> None:
    expected = kept.latents(kept.converted())
    weights = kept.of("ControlNetModel") / kept_conversions.WEIGHTS
    weights.write_bytes(b"\x01" + weights.read_bytes()[1:])
    found = kept.latents(kept.converted())
    assert torch.equal(found, expected)
    assert kept.lines == [
        "openvino: a kept ControlNetModel is model.bin is damaged; it is converted again".replace(
            " is m", ": m"
        )
    ]
    with nothing_is_converted():
        assert torch.equal(kept.latents(kept.converted()), expected)


def test_one_of_other_weights_under_this_name_is_found(kept: Tiny) -> None:
    folder = kept.of("ControlNetModel")
    about = json.loads((folder / "about.json").read_text())
    assert kept_conversions.find(kept.group, about["made_from"]).graph is not None
    about["made_from"]["weights"] = {"weights": "others"}
    (folder / "about.json").write_text(json.dumps(about))
    with nothing_is_converted():
        kept.latents(kept.converted())
    assert "made from something else" in kept.lines[0] and len(kept.lines) == 2


def test_no_room_for_a_conversion_is_one_line_and_it_is_used_all_the_same(kept: Tiny) -> None:
    expected = kept.latents(kept.converted())
    shutil.rmtree(kept.of("ControlNetModel"))
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        found = kept.latents(kept.converted())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert torch.equal(found, expected)
    (line,) = kept.lines
    assert "ControlNetModel is used, and cannot be kept" in line and "\n" not in line
    assert len(kept.kept()) == 2


KILLED = """
import os, shutil, signal, sys
from pathlib import Path
from pokora_anime.networks.converted import kept_conversions
Path.rename = lambda *_: (_ for _ in ()).throw(OSError("another disk"))
copy = shutil.copy2
def killed(source, target, **named):
    copy(source, target)
    os.kill(os.getpid(), signal.SIGKILL)
shutil.copytree.__defaults__ = (False, None, killed, *shutil.copytree.__defaults__[3:])
kept_conversions.adopt(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_a_kill_while_it_is_kept_leaves_nothing_that_is_found(kept: Tiny, tmp_path: Path) -> None:
    source = kept.of("ControlNetModel")
    made = tmp_path / source.parent.name / source.name
    shutil.copytree(source, made)
    about = json.loads((made / "about.json").read_text())["made_from"]
    group = tmp_path / "other" / source.parent.name
    done = subprocess.run([sys.executable, "-c", KILLED, str(made), str(group.parent)], timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert len([*group.iterdir()]) == 1 and kept_conversions.find(group, about).graph is None
    kept_conversions.adopt(made, group.parent)
    assert [path.name for path in group.iterdir()] == [source.name]
    assert kept_conversions.find(group, about).graph is not None


@pytest.mark.parametrize("odd", ["link", "more", "name", "less"])
def test_nothing_but_a_conversion_is_kept(kept: Tiny, tmp_path: Path, odd: str) -> None:
    source = kept.of("ControlNetModel")
    made = tmp_path / source.parent.name / (source.name if odd != "name" else "f" * 32)
    shutil.copytree(source, made)
    if odd == "link":
        (made / "model.bin").unlink()
        (made / "model.bin").symlink_to(source / "model.bin")
    if odd == "more":
        (made / "picture.png").write_bytes(b"")
    if odd == "less":
        (made / "model.bin").unlink()
    with pytest.raises(ValueError, match=r"no converted network|made from something else"):
        kept_conversions.adopt(made, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_a_processor_without_bf16_computes_in_fp32(kept: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(converted_network, "cpu_has_bf16", lambda: False)
    runtime = kept.runtime(torch.bfloat16)
    assert [runtime.precision, runtime.precision] == ["f32", "f32"]
    assert kept.lines == ["openvino: this processor has no bf16 arithmetic, fp32 is used"]


# What is asked for, and what is had


def test_without_the_extra_torch_computes_and_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    config = compose("video", [ASKED, "device.kind=cpu"])
    assert openvino_runtime.chosen(config) is Runtime.openvino and not openvino_runtime.refusal(config)
    monkeypatch.setattr(openvino_runtime, "find_spec", lambda _: None)
    assert openvino_runtime.chosen(config) is Runtime.torch
    line = openvino_runtime.refusal(config)
    assert "not installed" in line and "pip install openvino" in line and "\n" not in line


def test_another_device_than_a_processor_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    config = compose("video", [ASKED, "device.kind=mps"])
    assert openvino_runtime.chosen(config) is Runtime.torch
    assert "device.kind=mps" in openvino_runtime.refusal(config)


def test_auto_takes_what_was_converted_before_or_pays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POKORA_DATA", str(tmp_path))
    words = ["device.runtime=auto", "device.kind=cpu"]
    config = compose("video", words)
    here = hardware.of_cpu(DeviceConfig(kind=DeviceKind.cpu, threads=2), 16 * hardware.GIB, bf16=True)

    def runtimes(*more: str) -> set[Runtime]:
        job = Job.of(compose("video", [*words, *more]))
        return {one.plan.runtime for one in ladder(job, here) if not one.plan.alternate}

    assert runtimes() == {Runtime.torch}
    assert runtimes("base=sdxl") == {Runtime.openvino}
    made = openvino_runtime.kept(config) / "ab"
    made.mkdir(parents=True)
    (made / "about.json").write_text("{}")
    assert runtimes("seed=9", "shot.prompt=1girl") == {Runtime.openvino}
    assert runtimes("base.width=128") == {Runtime.torch}


def test_a_judge_computes_by_torch() -> None:
    plan = Plan(runtime=Runtime.openvino)
    assert plan.denoising["runtime"] == f"openvino {openvino_runtime.installed().split('-')[0]}"
    execution = Execution([plan])
    execution.follow(dict(plan.moving))
    assert execution.plan.runtime is Runtime.torch and not execution.plan.holds_as(plan)


def test_a_rendering_process_reads_conversions_and_writes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POKORA_DATA", str(tmp_path))
    plain = granted_paths.needed(compose("stills", []), tmp_path / "run")
    reading = granted_paths.needed(compose("stills", [ASKED]), tmp_path / "run")
    place = str(openvino_runtime.kept(compose("stills", [ASKED])).resolve())
    assert set(reading.read) - set(plain.read) == {place} and reading.write == plain.write
    assert reading.execute == plain.execute and reading.devices == plain.devices


# A whole run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A still that a confined process rendered with OpenVINO, which was converted for it."""
    root = tmp_path_factory.mktemp("openvino")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POKORA_DATA", str(root / "data"))
        patch.setattr(tempfile, "tempdir", None)
        yield rendered(root)


def rendered(root: Path, *overrides: str) -> Path:
    config = compose("stills", [*replay_runs.PICTURE, *replay_runs.HERE, "speed.steps=2", ASKED, *overrides])
    return parent.render(config, root, "auto")


def test_a_run_is_replayed_by_torch_and_a_forged_one_is_not(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = Question(nonce="judge", nodes=99)
    report, _ = replay(run, question)
    assert report.verdict is Verdict.passed, [part.to_plain() for part in report.parts]
    (picture,) = [part for part in report.parts if part.name.startswith("keyframe")]
    assert not picture.same
    forgery = replay_runs.forged(tmp_path, monkeypatch, lambda: run)
    node = forgery.of("keyframe")
    assert node["environment"]["runtime"] == openvino_runtime.named()
    arrays = forgery.arrays(node)
    forgery.store(node, {**arrays, "latent": np.ascontiguousarray(arrays["latent"][..., ::-1])})
    assert replay(forgery.seal(), question)[0].verdict is Verdict.failed


def test_the_next_run_converts_nothing(run: Path) -> None:
    kept = [*openvino_runtime.folder().glob("*/*/about.json")]
    assert len(kept) == 1
    root = run.parent.parent
    logs = [(path / "logs" / "log.txt") for path in (run, rendered(root, "seed=4"))]
    first, second = (next(path.parent.glob("*.txt"), path).read_text() for path in logs)
    assert "for OpenVINO, once" in first and "for OpenVINO, once" not in second
    assert [*openvino_runtime.folder().glob("*/*/about.json")] == kept
    assert arrays_hash({}) and not [*(run / "logs").glob("tmp-*")]


def test_a_copy_of_the_stock_is_not_changed_by_a_conversion(tiny: Tiny) -> None:
    again = copy.deepcopy(tiny.stock)
    for one, other in zip(again.unet.parameters(), tiny.stock.unet.parameters(), strict=True):
        assert torch.equal(one, other)
