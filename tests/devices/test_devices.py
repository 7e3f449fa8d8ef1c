"""Plans: what they expect, which one is taken, how networks are held, what happens out of memory."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support import replay_runs, tiny_networks
from torch import Tensor, nn

from benchmarks.gpu import full_size
from pokora_anime.cli import doctor
from pokora_anime.config.compose import compose
from pokora_anime.devices import compiler, hardware, machine, memory_layout
from pokora_anime.devices.execution import Execution
from pokora_anime.devices.forecast import plan_text
from pokora_anime.devices.forecast.plan import Forecast, Offload, Plan, first_fitting, forecast, ladder
from pokora_anime.devices.forecast.workload import NETWORKS, Job
from pokora_anime.devices.hardware import GIB
from pokora_anime.networks.loader import Models
from pokora_anime.networks.network_cache import _last as kept_networks
from pokora_anime.networks.placement import Turns, place
from pokora_anime.provenance.environment import environment
from pokora_anime.provenance.node import Node
from pokora_anime.replay.examine_replay import Question, replay
from pokora_anime.schema.settings import DeviceConfig, DeviceKind, Family
from pokora_anime.stages.delivery import finish
from pokora_anime.stages.motion import segments
from pokora_anime.stages.picture import keyframe
from pokora_anime.stages.picture.decode import decode_chunks
from pokora_anime.stages.run_context import RunContext
from pokora_anime.stages.text import prompt_embeddings
from pokora_anime.verify.verdict import Verdict


def job(*overrides: str) -> Job:
    return Job.of(compose("video", ["base=sdxl", *overrides]))


def card(gigabytes: float) -> hardware.Hardware:
    return replace(hardware.described(DeviceConfig(memory_gb=gigabytes), bf16=False), host=64 * GIB)


def chosen(asked: Job, gigabytes: float) -> Forecast:
    steps = ladder(asked, card(gigabytes))
    return steps[first_fitting(steps, card(gigabytes).memory)]


# What networks need


@pytest.mark.parametrize("family", [Family.sdxl, Family.sd2])
def test_parameters_are_those_of_the_published_networks(family: Family) -> None:
    with torch.device("meta"):
        nets = full_size.build(family.value)
        built = {"unet": nets.unet, "motion": nets.motion(), "control": nets.controlnet(), "vae": nets.vae}
    counted = {name: sum(one.numel() for one in network.parameters()) for name, network in built.items()}
    assert counted == {name: getattr(NETWORKS[family], name).parameters for name in built}


def test_a_job_counts_what_the_run_does() -> None:
    text_only = job("control=none", "speed.guidance_scale=1.0", "shot.seconds=7.8", "motion.overlap=1")
    assert (text_only.segments, text_only.guided, text_only.rows(sequential=False)) == (5, 0.0, 1)
    clip = 5 * 16 * (6 * 463.0 + 624.4) * 96 * 96 * 1e6
    assert text_only.flops(tiled=False) == pytest.approx(clip + (6 * 395.1 + 624.4) * 96 * 96 * 1e6)
    assert job("speed=hq").rows(sequential=False) == 2
    assert job("speed=hq").rows(sequential=True) == 1


def test_a_job_counts_the_frames_that_control_nets_act_on() -> None:
    nano = Job.of(compose("video"))
    assert (nano.segments, nano.steered) == (6, 6 * 16)  # a choreography steers every frame
    assert (nano.steps, nano.skipped) == (6, 2)  # and its segments start from the keyframe in their poses
    whole = Job.of(compose("video", ["motion.pose_start=0"]))
    assert whole.skipped == 0 and nano.flops(tiled=False) < 0.8 * whole.flops(tiled=False)
    at_joins = Job.of(compose("video", ["control=segment"]))
    assert (at_joins.segments, at_joins.steered) == (6, 4 + 5 * 2)  # fade_frames, then join_frames a segment
    assert Job.of(compose("video", ["control=segment", "control.start=0.5"])).steered == at_joins.steered / 2
    assert Job.of(compose("video", ["control.source=draft"])).steered == 6 * 16
    assert Job.of(compose("video", ["control=none"])).steered == 0
    assert job().steered == job().segments * 16


def test_the_time_is_that_of_starting_computing_and_delivering() -> None:
    here = hardware.of_cpu(DeviceConfig(threads=2), 8 * GIB, bf16=True)
    found = forecast(Plan(), Job.of(compose("video")), here)
    assert found.seconds == found.starting + found.computing + found.delivering
    assert 5 < found.starting < 6
    half = forecast(Plan(), Job.of(compose("video", ["finish.width=384", "finish.height=384"])), here)
    assert half.delivering == pytest.approx(found.delivering / 4)
    guided = forecast(Plan(), Job.of(compose("video", ["speed.clip_guidance_end=1"])), here)
    assert 35 < guided.seconds < 50  # 38 to 43 s were measured on two cores of an EPYC, nothing else running
    assert 0.45 < found.computing / guided.computing < 0.67  # one row a step in place of two
    large = replace(job(), delivered=10**9)
    slow, quick = (forecast(Plan(), large, replace(card(80), cores=cores)) for cores in (1, 16))
    assert slow.delivering > 0 and quick.delivering == 0.0  # beside the card
    assert slow.computing + slow.delivering == pytest.approx(2e-7 * large.delivered)


def test_the_forecast_is_the_sum_of_what_is_held_and_what_is_alive() -> None:
    asked = job("control=none", "speed=hq")
    expected = 2 * (2_804_242_884 + 83_653_863) + 2 * 9216 * (2 * 16 * 8342 + 4 * 49_156)
    assert forecast(Plan(), asked, card(80)).peak == pytest.approx(0.8 * GIB + 1.08 * expected, rel=1e-6)


# Which plan is taken


@pytest.mark.parametrize("gigabytes", [80, 24, 12, 8])
@pytest.mark.parametrize("side", [768, 1024])
@pytest.mark.parametrize("speed", ["lcm", "hq"])
def test_a_plan_fits_each_card_and_gives_no_precision_away(gigabytes: int, side: int, speed: str) -> None:
    asked = job(f"speed={speed}", f"base.width={side}", f"base.height={side}")
    found = chosen(asked, gigabytes)
    assert found.peak <= gigabytes * GIB
    assert not found.plan.fp8
    assert gigabytes < 24 or side > 768 or found.plan == Plan()


def test_less_memory_is_never_faster() -> None:
    seconds = [chosen(job("speed=hq"), size).computing * card(size).rate for size in (80, 24, 12, 8)]
    assert seconds == sorted(seconds)


def test_each_rung_needs_less_than_the_one_before_and_fp8_comes_last() -> None:
    steps = ladder(job("speed=hq"), card(8))
    peaks = [one.peak for one in steps]
    assert peaks == sorted(set(peaks), reverse=True)
    changed = [one.plan.fp8 for one in steps]
    assert changed == sorted(changed)
    assert any(one.plan.offload is Offload.group for one in steps)


def test_weights_wait_in_no_memory_that_the_host_has_not() -> None:
    poor = replace(card(8), host=6 * GIB)
    assert all(one.plan.offload is Offload.none or one.plan.fp8 for one in ladder(job(), poor))


def test_nano_on_a_processor_is_computed_as_the_config_says() -> None:
    asked = Job.of(compose("video"))
    here = hardware.of_cpu(DeviceConfig(threads=2), 2 * GIB, bf16=True)
    assert ladder(asked, here)[first_fitting(ladder(asked, here), here.memory)].plan == Plan()


# doctor


def test_doctor_plans_for_a_card_that_is_not_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main(["base=sdxl", "device.memory_gb=12"]) == 0
    page = capsys.readouterr().out
    assert "CUDA card with 12 GB" in page and "expected" in page and "bf16" in page
    assert "may not fit" not in page
    doctor.main(["base=sdxl", "device.memory_gb=3"])
    assert "may not fit" in capsys.readouterr().out


def test_doctor_plans_without_torch() -> None:
    code = (
        "import sys; from pokora_anime.cli import doctor;"
        "doctor.main(['base=sdxl', 'device.memory_gb=8']); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_a_slow_processor_is_told_to_compile_where_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    here = hardware.of_cpu(DeviceConfig(threads=2), 64 * GIB, bf16=False)
    for lacking in (None, ("no g++", "install it")):
        monkeypatch.setattr(compiler, "missing", lambda _, found=lacking: found)
        told = any("quicker   device.compile" in line for line in plan_text.page(job(), here))
        assert told is (lacking is None)


def test_a_slow_processor_is_told_what_would_be_quicker() -> None:
    here = hardware.of_cpu(DeviceConfig(threads=2), 64 * GIB, bf16=False)
    lines = plan_text.page(job(), here)
    assert any("base=nano" in line for line in lines) and any("speed.steps=4" in line for line in lines)
    assert not any("quicker" in line for line in plan_text.page(job(), card(24)))


def test_apple_silicon_gets_half_precision_and_no_offload() -> None:
    mac = hardware.described(DeviceConfig(kind=DeviceKind.mps, memory_gb=16), bf16=False)
    steps = ladder(job(), mac)
    assert mac.dtype.value == "fp16"
    assert {one.plan.offload for one in steps} == {Offload.none} and not any(one.plan.fp8 for one in steps)


# How networks are held


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_networks.family(tmp_path_factory.mktemp("family"))


def predicted(network: Any) -> Tensor:
    torch.manual_seed(5)
    added = {"text_embeds": torch.randn(1, tiny_networks.TEXT), "time_ids": torch.ones(1, 6)}
    with torch.inference_mode():
        return network(
            torch.randn(1, 4, 4, 4, 4),
            torch.tensor(500),
            encoder_hidden_states=torch.randn(4, 7, 2 * tiny_networks.TEXT),
            added_cond_kwargs=added,
        )[0]


@pytest.mark.parametrize("offload", [Offload.model, Offload.group])
def test_offloaded_networks_answer_the_same(folder: Path, offload: Offload) -> None:
    cpu = torch.device("cpu")
    expected = predicted(tiny_networks.models(folder).motion_unet())
    held = place(
        tiny_networks.models(folder).motion_unet(), cpu, torch.float32, Plan(offload=offload), Turns(cpu)
    )
    for _ in range(2):
        torch.testing.assert_close(predicted(held), expected, atol=1e-6, rtol=1e-6)


def test_convolutions_lie_as_their_device_is_quickest(folder: Path) -> None:
    models = tiny_networks.models(folder)
    kernels = {name: next(network.parameters()) for name, network in (("UNets", models.motion_unet()),)}
    kernels |= {"VAE": models.vae().decoder.conv_in.weight}
    last = {name: one.is_contiguous(memory_format=torch.channels_last) for name, one in kernels.items()}
    assert last == {"UNets": False, "VAE": True}
    for kind, quicker in ((DeviceKind.cuda, True), (DeviceKind.mps, False)):
        for part in ("UNets", "ControlNets", "VAE"):
            weight = memory_layout.laid_out(nn.Conv2d(2, 2, 3), kind, part).weight
            assert weight.is_contiguous(memory_format=torch.channels_last) is quicker


def test_one_network_is_on_the_device_at_a_time() -> None:
    one, other = nn.Linear(2, 2), nn.Linear(2, 2)
    turns = Turns(torch.device("cpu"))
    turns.add(one)
    turns.add(other)
    waiting = [network.weight.data_ptr() for network in (one, other)]

    def here() -> list[bool]:
        return [one.weight.data_ptr() != waiting[0], other.weight.data_ptr() != waiting[1]]

    with torch.inference_mode():
        one(torch.ones(1, 2))
        assert here() == [True, False]
        other(torch.ones(1, 2))
        assert here() == [False, True]
    turns.clear()
    assert here() == [False, False]


def test_fp8_weights_take_a_third_and_answer_nearly_the_same(folder: Path) -> None:
    networks = tiny_networks.models(folder)
    expected, whole = predicted(networks.motion_unet()), _bytes(networks.motion_unet())
    networks.hold(Plan(fp8=True))
    held = networks.motion_unet()
    assert _bytes(held) < whole / 2.5
    found = predicted(held)
    assert 1e-4 < float((found - expected).abs().max()) < 0.2
    networks.hold(Plan())
    assert torch.equal(predicted(networks.motion_unet()), expected)


def _bytes(network: nn.Module) -> int:
    return sum(one.numel() * one.element_size() for one in network.parameters())


# Out of memory


@contextmanager
def small_device(network: nn.Module, numbers: int) -> Iterator[list[int]]:
    """Injected: the network runs out of memory when it is given more than so many numbers at once."""
    seen: list[int] = []

    def check(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        del module
        seen.append(given[0].numel())
        if given[0].numel() > numbers:
            raise torch.OutOfMemoryError("injected")

    handle = network.register_forward_pre_hook(check)
    try:
        yield seen
    finally:
        handle.remove()


def running(folder: Path, run: Path, plans: list[Plan]) -> tuple[RunContext, Models]:
    networks = tiny_networks.models(folder)
    context = tiny_networks.context(run, networks)
    context.execution = Execution(plans)
    return context, networks


def rendered(context: RunContext) -> Any:
    config = tiny_networks.config()
    text = prompt_embeddings.encode(config.shot, config, context)
    first = keyframe.render(text, config, context)
    return list(segments.render(segments.ClipSources(prompt=text, keyframe=first), config, context, 6))


TWO_PASSES = Plan(sequential=True)


def test_a_segment_that_does_not_fit_is_repeated_in_two_passes(folder: Path, tmp_path: Path) -> None:
    context, networks = running(folder, tmp_path / "a", [Plan(), TWO_PASSES])
    with small_device(networks.motion_unet(), 4 * 4 * 4 * 4) as seen:
        found = rendered(context)
    assert seen[0] == 2 * 4 * 4 * 4 * 4 and set(seen[1:]) == {4 * 4 * 4 * 4}
    notes, steps = context.progress.notes, context.progress.steps  # pyright: ignore
    assert notes == ["segment 1/2: out of memory, again with guidance in two passes"]
    assert steps == 2 + 2 * 2  # the keyframe's and the segments', none twice
    assert [one.node.environment.get("guidance") for one in found] == ["sequential"] * 2
    assert found[0].node.environment == environment(context) | {"guidance": "sequential"}
    plain, _ = running(folder, tmp_path / "b", [Plan()])
    expected = rendered(plain)
    assert "guidance" not in expected[0].node.environment
    torch.testing.assert_close(found[1].latents, expected[1].latents, atol=1e-4, rtol=1e-4)


def test_an_interrupted_run_finds_what_it_made_with_less(folder: Path, tmp_path: Path) -> None:
    context, networks = running(folder, tmp_path, [Plan(), TWO_PASSES])
    with small_device(networks.motion_unet(), 4 * 4 * 4 * 4):
        made = rendered(context)
    context.folder.close()
    again, networks = running(folder, tmp_path, [Plan(), TWO_PASSES])
    with small_device(networks.motion_unet(), 0) as seen:
        kept = rendered(again)
    assert seen == []
    assert [one.node.id for one in kept] == [one.node.id for one in made]


def test_a_keyframe_that_does_not_fit_is_repeated(folder: Path, tmp_path: Path) -> None:
    context, networks = running(folder, tmp_path, [Plan(), TWO_PASSES])
    config = tiny_networks.config()
    text = prompt_embeddings.encode(config.shot, config, context)
    with small_device(networks.unet(), 4 * 4 * 4) as seen:
        made = keyframe.render(text, config, context)
    assert len(seen) == 1 + 2 * 2 and made.node.environment["guidance"] == "sequential"
    assert context.execution.decoding(4) == {}  # one picture's decoding is no clip's


def test_without_another_plan_the_error_stays(folder: Path, tmp_path: Path) -> None:
    context, networks = running(folder, tmp_path, [Plan()])
    with small_device(networks.motion_unet(), 1), pytest.raises(torch.OutOfMemoryError):
        rendered(context)


def test_a_chunk_that_does_not_fit_is_halved_and_the_record_says_so(folder: Path, tmp_path: Path) -> None:
    context, networks = running(folder, tmp_path, [Plan()])
    config = tiny_networks.config()
    config.finish.decode_chunk = 4
    torch.manual_seed(3)
    latents = torch.randn(4, 5, 4, 4)
    expected = list(decode_chunks(latents, 4, context))
    assert context.execution.decoding(4) == {}
    with small_device(networks.vae().decoder, 1 * 4 * 4 * 4) as seen:
        found = list(decode_chunks(latents, 4, context))
    assert seen == [4 * 64, 2 * 64, *[64] * 5]
    assert context.progress.notes[-1] == "decoding: out of memory, again 1 at once"  # pyright: ignore
    for one, other in zip(found, expected, strict=True):
        assert abs(one.astype(int) - other.astype(int)).max() <= 1
    node = finish.record([Node(op="motion", params={}).made("0")], [], config, context)
    assert node.environment["decode_chunks"] == [4, 1]


def test_decoding_one_frame_waits_for_denoising_before_it_gives_up(folder: Path, tmp_path: Path) -> None:
    context, networks = running(folder, tmp_path, [Plan()])
    with small_device(networks.vae().decoder, 1), pytest.raises(torch.OutOfMemoryError):
        list(decode_chunks(torch.randn(4, 1, 4, 4), 4, context))
    assert context.execution.plan == Plan(decode_chunk=1, alternate=True)


def test_a_run_that_ran_short_replays_as_it_was_computed(tmp_path: Path) -> None:
    whole = replay_runs.rendered(tmp_path, "control=none", "keyframe=none", "motion.anchor=none")
    (kept,) = (one.models for one in kept_networks)
    with small_device(kept.motion_unet(), 4 * 6 * 8 * 8) as seen:
        short = replay_runs.rendered(
            tmp_path, "control=none", "keyframe=none", "motion.anchor=none", "fresh=true"
        )
    assert whole == short and seen == [2 * 4 * 6 * 8 * 8, *[4 * 6 * 8 * 8] * 8]
    report, _ = replay(short, Question(nonce="7", nodes=99))
    assert report.verdict is Verdict.passed
    assert all(part.exact for part in report.parts)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library keeps what it likes")
def test_glibc_keeps_what_is_freed() -> None:
    assert machine.keep_freed_memory()


def test_another_system_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert not machine.keep_freed_memory()
