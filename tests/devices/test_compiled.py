"""Compiled networks: built once, recorded, never by a judge; refused in one line where nothing builds."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from support import tiny_networks
from support.segment_networks import FRAMES, SIDE, Networks, condition, placed, segments, stock  # noqa: F401  # pyright: ignore
from torch._dynamo.utils import counters

from pokora_anime.config.compose import compose
from pokora_anime.devices import compiler, hardware
from pokora_anime.devices.compiled_blocks import compile_blocks
from pokora_anime.devices.execution import Execution
from pokora_anime.devices.forecast import plan_text
from pokora_anime.devices.forecast.plan import Offload, Plan, first_fitting, ladder
from pokora_anime.devices.forecast.workload import Job
from pokora_anime.errors import MachineError
from pokora_anime.render.worker import granted_paths
from pokora_anime.schema.settings import Compile, DeviceConfig, VideoConfig
from pokora_anime.stages.control.control_source import ControlSource, control_residuals
from pokora_anime.stages.denoising.conditioning import Guidance
from pokora_anime.stages.motion import segments as motion
from pokora_anime.stages.picture import keyframe
from pokora_anime.stages.text import prompt_embeddings

DEFAULT = Compile["default"]
GUIDED = Guidance(scale=3.0, end=0.75)


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """torch traces and guards as ever, and runs what it traced as it is: no C++ is built."""
    compiling = torch.compile

    def traces(call: Any, **named: Any) -> Any:
        return compiling(call, backend="eager", fullgraph=named["fullgraph"], dynamic=named["dynamic"])

    monkeypatch.setattr(torch, "compile", traces)
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def compiled(networks: Networks) -> Networks:
    made = placed(networks)
    return Networks(unet=compile_blocks(made.unet, DEFAULT), control=compile_blocks(made.control, DEFAULT))


def graphs() -> int:
    return counters["stats"]["unique_graphs"]


@pytest.mark.usefixtures("traced")
def test_nothing_is_compiled_after_the_first_segment(stock: Networks) -> None:  # noqa: F811
    expected = segments(copy.deepcopy(stock), GUIDED, anchored=True, count=3)
    networks = compiled(stock)
    segments(networks, GUIDED, anchored=True, count=1)
    once = graphs()
    found = segments(networks, GUIDED, anchored=True, count=3)
    assert graphs() == once > 5 and not counters["graph_break"]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.usefixtures("traced")
def test_fewer_steered_frames_are_nothing_to_compile_for(stock: Networks) -> None:  # noqa: F811
    control = compiled(stock).control
    hint = torch.rand(3, 8 * SIDE, 8 * SIDE)
    source = ControlSource(control, hint, scale=1.0, start=0.0, end=1.0, dtype=torch.float32)
    torch.manual_seed(0)
    latents, text = torch.randn(1, 4, FRAMES, SIDE, SIDE), condition()

    def residuals(frames: int) -> list[torch.Tensor] | None:
        weight = (torch.arange(FRAMES) < frames).float()
        with torch.inference_mode():
            return control_residuals([source], latents, torch.tensor(9), text, slice(1, 2), 0.0, weight)

    whole = residuals(FRAMES)
    once = graphs()
    some = residuals(1)
    assert whole is not None and some is not None and residuals(0) is None
    assert graphs() == once > 1
    assert torch.equal(some[-1][0], whole[-1][0]) and not some[-1][1:].any()


@pytest.mark.usefixtures("traced")
def test_other_loras_are_other_weights_and_nothing_is_compiled_for_them(stock: Networks) -> None:  # noqa: F811
    guidance = Guidance(scale=1.0)
    before = segments(compiled(stock), guidance, count=1)
    once = graphs()
    merged = copy.deepcopy(stock)
    with torch.no_grad():
        for weight in merged.unet.parameters():
            weight.add_(0.01)
    after = segments(compiled(merged), guidance, count=1)
    assert graphs() == once
    assert not torch.equal(after[0], before[0])


@pytest.mark.usefixtures("traced")
def test_segments_say_that_they_were_compiled_and_the_keyframe_was_not(tmp_path: Path) -> None:
    networks = tiny_networks.models(tiny_networks.family(tmp_path / "family"))
    context = tiny_networks.context(tmp_path / "run", networks)
    context.execution = Execution([Plan(compile=DEFAULT)])
    config = tiny_networks.config()
    text = prompt_embeddings.encode(config.shot, config, context)
    first = keyframe.render(text, config, context)
    (made, *_) = motion.render(motion.ClipSources(prompt=text, keyframe=first), config, context, 4)
    assert graphs() > 0
    assert made.node.environment["compile"] == "default"
    assert "compile" not in first.node.environment
    before = graphs()
    context.execution.follow(dict(made.node.environment))
    assert context.execution.plan.compile is Compile.off
    context.models.hold(context.execution.plan)
    motion_unet = context.models.motion_unet()
    assert motion_unet.mid_block is not None
    assert all(module._compiled_call_impl is None for module in motion_unet.modules())
    assert graphs() == before


def test_only_networks_whose_layers_have_no_hooks_are_compiled() -> None:
    config = compose("video", ["base=sdxl", "device.compile=default"])
    card = replace(hardware.described(DeviceConfig(memory_gb=12), bf16=False), host=64 * hardware.GIB)
    steps = ladder(Job.of(config), card)
    for one in steps:
        hooked = one.plan.fp8 or one.plan.offload is Offload.group
        assert one.plan.compile is (Compile.off if hooked else DEFAULT)
    chosen = steps[first_fitting(steps, card.memory)]
    assert "compiled" in plan_text.settings(chosen.plan, Job.of(config), card)
    assert not plan_text.settings(chosen.plan, Job.of(compose("video", ["base=sdxl"])), card).count("compile")


def test_networks_are_loaded_again_for_another_way_of_compiling() -> None:
    assert not Plan(compile=DEFAULT).holds_as(Plan())
    assert Plan(compile=DEFAULT).holds_as(Plan(compile=DEFAULT, decode_chunk=1))


# What a machine must bring


def asked(*overrides: str) -> VideoConfig:
    config = compose("video", ["device.compile=default", *overrides])
    assert isinstance(config, VideoConfig)
    return config


def test_a_machine_that_cannot_build_says_so_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler.require(asked("device.kind=cpu"))
    with pytest.raises(MachineError, match=r"SYS-COMPILER.*Apple silicon.*device\.compile=off"):
        compiler.require(asked("device.kind=mps"))
    with monkeypatch.context() as headless:
        headless.setattr(compiler, "_python_headers", lambda: tmp_path)
        with pytest.raises(MachineError, match=r"SYS-COMPILER.*no Python\.h.*python3-dev"):
            compiler.require(asked("device.kind=cpu"))
    monkeypatch.setattr(compiler, "_PATH", str(tmp_path))
    with pytest.raises(MachineError, match=r"SYS-COMPILER.*no g\+\+.*apt install g\+\+") as told:
        compiler.require(asked("device.kind=cpu"))
    assert "\n" not in str(told.value)
    compiler.require(compose("video", []))
    compiler.require(compose("stills", ["device.compile=default"]))  # nothing moves


def test_a_compiler_may_be_started_only_by_a_run_that_compiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POKORA_DATA", str(tmp_path / "data"))
    work = tmp_path / "run"
    plain = granted_paths.needed(compose("video", []), work)
    building = granted_paths.needed(asked(), work)
    assert not (tmp_path / "data" / "compiled").samefile(work.parent)
    assert set(building.write) - set(plain.write) == {str(compiler.kept().resolve())}
    started = {Path(path).name for path in set(building.execute) - set(plain.execute)}
    assert {"cc1plus", "collect2", Path(sys.executable).resolve().name} <= started
    assert any("g++" in name for name in started) and "sh" not in started
    assert granted_paths.places_of_weights(asked())["TORCHINDUCTOR_CACHE_DIR"] == str(compiler.kept())
    assert "TORCHINDUCTOR_CACHE_DIR" not in granted_paths.places_of_weights(compose("video", []))


BUILD = """
import torch
from diffusers.models.attention import FeedForward
from torch._dynamo.utils import counters
from pokora_anime.schema.settings import Compile
from pokora_anime.devices.compiled_blocks import compile_blocks
from diffusers.models.modeling_utils import ModelMixin

class Network(ModelMixin):
    def __init__(self):
        super().__init__()
        self.block = FeedForward(8)

torch.manual_seed(0)
network = Network().eval()
given = torch.randn(1, 4, 8)
with torch.inference_mode():
    expected = network.block(given)
    compile_blocks(network, Compile["default"])
    torch.testing.assert_close(network.block(given), expected, atol=1e-5, rtol=1e-5)
print(counters["inductor"]["fxgraph_cache_hit"])
"""


@pytest.mark.apart
@pytest.mark.slow
def test_what_was_built_serves_the_next_process(tmp_path: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TORCHINDUCTOR")}
    build = partial(
        subprocess.run,
        [sys.executable, "-c", BUILD],
        env={**clean, "POKORA_DATA": str(tmp_path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert build().stdout.split() == ["0"]
    assert any((tmp_path / "compiled").rglob("*.so"))
    assert build().stdout.split() == ["1"]
