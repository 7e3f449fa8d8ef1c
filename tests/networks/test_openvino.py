"""Networks that OpenVINO computes: the pictures of torch, converted once, kept whole or not at all."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from support import replay_runs
from support.forged_run import sign
from support.segment_networks import (  # noqa: F401  # pyright: ignore
    FRAMES,
    SIDE,
    Networks,
    anchor,
    condition,
    placed,
    scheduler,
    stock,
)

from pokora_anime.config.compose import compose
from pokora_anime.devices import hardware, openvino_runtime
from pokora_anime.devices.execution import Execution
from pokora_anime.devices.forecast.plan import Plan, ladder
from pokora_anime.devices.forecast.workload import Job
from pokora_anime.networks.converted import conversion, converted_network, kept_conversions
from pokora_anime.networks.converted.converted_network import ConvertedNetwork, Converting
from pokora_anime.render.worker import granted_paths, parent
from pokora_anime.replay.examine_replay import Question, replay
from pokora_anime.schema.settings import DeviceConfig, DeviceKind, Runtime
from pokora_anime.stages.control.control_source import ControlSource
from pokora_anime.stages.denoising.conditioning import Guidance
from pokora_anime.stages.denoising.denoiser import SegmentDenoiser
from pokora_anime.stages.denoising.sampler_loop import sample
from pokora_anime.verify.verdict import Verdict

pytest.importorskip("openvino")
ASKED = "device.runtime=openvino"


class Kept:
    """The smallest UNet that there is, and where its conversions are kept."""

    def __init__(self, root: Path) -> None:
        torch.manual_seed(0)
        self.stock: Any = UNet2DConditionModel(
            sample_size=4,
            block_out_channels=(8,),
            layers_per_block=1,
            down_block_types=("DownBlock2D",),
            mid_block_type=None,
            up_block_types=("UpBlock2D",),
            norm_num_groups=4,
            cross_attention_dim=8,
        )
        self.stock.eval().requires_grad_(False)
        self.group = root / "kept" / ("0" * 16)
        self.lines: list[str] = []
        self.given = torch.randn(1, 4, 4, 4), torch.tensor(9), torch.randn(1, 7, 8)

    def runtime(self, dtype: torch.dtype = torch.float32) -> Converting:
        return Converting(group=self.group, dtype=dtype, threads=1, note=self.lines.append)

    def network(self, weights: str = "tiny") -> ConvertedNetwork:
        runtime = self.runtime()
        return ConvertedNetwork(
            "UNet2DConditionModel", lambda: self.stock, {"weights": weights}, lambda: runtime
        )

    def answer(self, weights: str = "tiny") -> torch.Tensor:
        """What a network that nothing was asked of yet predicts."""
        return self.asked(self.network(weights))

    def asked(self, network: Any) -> torch.Tensor:
        latents, timestep, text = self.given
        with torch.inference_mode():
            return network(latents, timestep, encoder_hidden_states=text, return_dict=False)[0]

    @property
    def folder(self) -> Path:
        return next(self.group.glob("*/about.json")).parent


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    torch.set_num_threads(1)
    found = Kept(tmp_path_factory.mktemp("tiny"))
    found.answer()
    return found


@pytest.fixture
def kept(converted: Kept) -> Iterator[Kept]:
    """One conversion is kept, and is put back afterwards; nothing has been said."""
    whole = converted.group.with_name("whole")
    shutil.copytree(converted.group, whole)
    converted.lines.clear()
    yield converted
    shutil.rmtree(converted.group)
    whole.rename(converted.group)


@contextmanager
def nothing_is_converted() -> Iterator[None]:
    def refused(*given: Any) -> Any:
        raise RuntimeError("a converter that cannot")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conversion, "converted", refused)
        yield


def pictures(networks: Networks, runtime: Converting | None = None) -> torch.Tensor:
    """Latents of a segment with a ControlNet and the keyframe as anchor; by OpenVINO where `runtime` says."""
    unet, control = placed(networks).unet, placed(networks).control
    if runtime is not None:
        unet, control = (
            ConvertedNetwork(type(one).__name__, lambda one=one: one, {"weights": "tiny"}, lambda: runtime)
            for one in (unet, control)
        )
    beside = anchor(unet)
    torch.manual_seed(3)
    text, steps = condition(), scheduler()
    with torch.inference_mode():
        hint = torch.rand(3, 8 * SIDE, 8 * SIDE)
        steered = ControlSource(control, hint, scale=0.7, start=0.0, end=1.0, dtype=torch.float32)
        denoiser = SegmentDenoiser(
            unet=unet,
            timesteps=steps.timesteps,
            condition=text,
            guidance=Guidance(scale=1.0),
            frame_weight_F=torch.ones(FRAMES),
            controls=[steered],
            anchor=beside,
        )
        noise = torch.randn(1, 4, FRAMES, SIDE, SIDE)
        return sample(denoiser, steps, noise, None, torch.Generator())


def test_the_keyframe_and_the_maps_act_inside_the_graphs(stock: Networks, tmp_path: Path) -> None:  # noqa: F811
    lines: list[str] = []
    runtime = Converting(group=tmp_path / ("0" * 16), dtype=torch.float32, threads=1, note=lines.append)
    expected, found = pictures(stock), pictures(stock, runtime)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=2e-5)
    assert not lines and len([*tmp_path.glob("*/*/about.json")]) == 2  # of frames and of maps
    with nothing_is_converted():
        assert torch.equal(pictures(stock, runtime), found)
        assert not lines


def test_other_weights_are_converted_anew(kept: Kept) -> None:
    with nothing_is_converted():
        found = kept.answer("others")
    assert torch.equal(found, kept.asked(kept.stock))
    (line,) = kept.lines
    assert "a converter that cannot" in line and "torch computes it" in line and "\n" not in line


def test_what_is_kept_serves_without_torch_s_network(kept: Kept) -> None:
    network = kept.network()
    torch.testing.assert_close(kept.asked(network), kept.asked(kept.stock), atol=1e-5, rtol=1e-5)
    assert network._network is None and not kept.lines


def test_a_damaged_one_is_found_and_made_again(kept: Kept) -> None:
    expected, weights = kept.answer(), kept.folder / kept_conversions.WEIGHTS
    weights.write_bytes(b"\x01" + weights.read_bytes()[1:])
    assert torch.equal(kept.answer(), expected)
    (line,) = kept.lines
    assert "model.bin is damaged" in line and "converted again" in line
    with nothing_is_converted():
        assert torch.equal(kept.answer(), expected)
    assert len(kept.lines) == 1


def test_one_of_other_weights_under_this_name_is_found(kept: Kept) -> None:
    folder = kept.folder
    about = json.loads((folder / "about.json").read_text())
    assert kept_conversions.find(kept.group, about["made_from"]).graph is not None
    about["made_from"]["weights"] = {"weights": "others"}
    (folder / "about.json").write_text(json.dumps(about))
    with nothing_is_converted():
        kept.answer()
    assert "made from something else" in kept.lines[0] and len(kept.lines) == 2


def test_no_room_for_a_conversion_is_one_line_and_it_is_used_all_the_same(kept: Kept) -> None:
    expected = kept.answer()
    shutil.rmtree(kept.folder)
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        found = kept.answer()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert torch.equal(found, expected)
    (line,) = kept.lines
    assert "is used, and cannot be kept" in line and "\n" not in line
    assert not [*kept.group.glob("*/about.json")]


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


def test_a_kill_while_it_is_kept_leaves_nothing_that_is_found(kept: Kept, tmp_path: Path) -> None:
    source = kept.folder
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
def test_nothing_but_a_conversion_is_kept(kept: Kept, tmp_path: Path, odd: str) -> None:
    source = kept.folder
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


def test_a_processor_without_bf16_computes_in_fp32(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
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

    def runtimes(*more: str) -> set[tuple[str, ...]]:
        job = Job.of(compose("video", [*words, *more]))
        return {one.plan.converts for one in ladder(job, here) if not one.plan.alternate}

    assert runtimes() == {()}
    assert runtimes("base=sdxl") == {("motion", "control")}
    made = openvino_runtime.kept(config) / "ab"
    made.mkdir(parents=True)
    (made / "about.json").write_text("{}")
    assert runtimes("seed=9", "shot.prompt=1girl") == {("motion",)}
    assert runtimes("base.width=128") == {()}


def test_a_judge_computes_by_torch() -> None:
    plan = Plan(converts=("motion",))
    assert plan.moving["runtime"] == f"openvino {openvino_runtime.installed().split('-')[0]}"
    assert "runtime" not in plan.denoising and "runtime" in Plan(converts=("unet",)).denoising
    execution = Execution([plan])
    execution.follow(dict(plan.moving))
    assert not execution.plan.converts and not execution.plan.holds_as(plan)


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
        yield rendered(root)


def rendered(root: Path, *overrides: str) -> Path:
    config = compose("stills", [*replay_runs.PICTURE, *replay_runs.HERE, "speed.steps=2", ASKED, *overrides])
    folder = parent.render(config, root, "auto")
    sign(folder)
    return folder


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
    made = kept[0].stat().st_mtime_ns
    assert len(kept) == 1
    rendered(run.parent.parent, "seed=4")
    assert [*openvino_runtime.folder().glob("*/*/about.json")] == kept and kept[0].stat().st_mtime_ns == made
    assert not [*(run / "logs").glob("tmp-*")]
