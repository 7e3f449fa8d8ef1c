"""Memory: how running out of it is told in whatever words, what is refused before anything loads."""

from __future__ import annotations

import ctypes
import errno
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import tiny_networks

from pokora_anime.config.compose import compose
from pokora_anime.devices import driver, hardware, machine
from pokora_anime.devices.forecast import cheaper_settings
from pokora_anime.devices.forecast.plan import Offload, Plan, forecast
from pokora_anime.devices.forecast.workload import Job
from pokora_anime.devices.hardware import GIB
from pokora_anime.devices.out_of_memory import is_out_of_memory
from pokora_anime.errors import ConfigError, MachineError, PictureError, WeightsError
from pokora_anime.networks.loader import Models
from pokora_anime.networks.placement import Turns
from pokora_anime.render.run import open_run
from pokora_anime.schema.settings import DeviceConfig, DeviceKind, DType
from pokora_anime.stages.picture.decode import decode
from pokora_anime.stages.picture.sound_numbers import require_finite, require_picture

EXHAUSTED = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("MPS backend out of memory (MPS allocated: 5.5 GB, other allocations: 1 GB)"),
    RuntimeError("Invalid buffer size: 12.00 GiB"),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("CUDA driver error: CUDA_ERROR_OUT_OF_MEMORY"),
    RuntimeError("HIP out of memory. Tried to allocate 20 MiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: 9 bytes."),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
    RuntimeError("std::bad_alloc"),
    RuntimeError("unable to mmap 9 bytes from file <w>: Cannot allocate memory (12)"),
    MemoryError(),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    OSError("The paging file is too small for this operation to complete. (os error 1455)"),
)
OTHERS = (
    RuntimeError("mat1 and mat2 shapes cannot be multiplied (1x3 and 4x4)"),
    RuntimeError("CUDA error: no kernel image is available for execution on the device"),
    FileNotFoundError(errno.ENOENT, "No such file", "weights"),
    WeightsError("WGT-MISSING", "out of memory is the name of this LoRA"),
    KeyboardInterrupt("out of memory"),
)


@pytest.mark.parametrize("error", EXHAUSTED, ids=str)
def test_running_out_of_memory_is_known_by_all_its_words(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize("error", OTHERS, ids=str)
def test_another_error_is_not_taken_for_it(error: BaseException) -> None:
    assert not is_out_of_memory(error)


def test_what_numpy_and_a_library_s_own_error_hide_is_found() -> None:
    with pytest.raises(MemoryError) as numpys:
        np.zeros(2**62, np.uint8)
    assert is_out_of_memory(numpys.value)
    wrapped = OSError("Unable to load weights from checkpoint file")
    wrapped.__context__ = RuntimeError("DefaultCPUAllocator: can't allocate memory")
    assert is_out_of_memory(wrapped)


def test_out_of_memory_while_loading_is_not_told_as_bad_weights(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from diffusers import AutoencoderKL

    def exhausted(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(AutoencoderKL, "from_pretrained", exhausted)
    config = compose("video", [])
    with pytest.raises(MachineError) as told, open_run("video", config, tmp_path):
        tiny_networks.models(folder).vae()
    assert told.value.code == "SYS-MEMORY"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_networks.family(tmp_path_factory.mktemp("family"))


# What is refused before anything is loaded


def card(gigabytes: float) -> hardware.Hardware:
    return replace(hardware.described(DeviceConfig(memory_gb=gigabytes), bf16=False), host=64 * GIB)


def test_a_union_network_is_counted_once() -> None:
    both = Job.of(compose("video", ["base=sdxl", "control=pose_depth"]))
    union = Job.of(compose("video", ["base=sdxl", "control=union"]))
    assert (both.controls, union.controls) == (2, 1)
    assert forecast(Plan(), union, card(80)).peak < forecast(Plan(), both, card(80)).peak


def test_waiting_weights_are_counted_as_they_are_pinned() -> None:
    job = Job.of(compose("video", ["base=sdxl", "control=pose_depth"]))
    streamed = forecast(Plan(offload=Offload.group), job, card(8))
    weights = 2 * (2_804_242_884 + 2 * 1_251_014_160)
    assert streamed.host >= 12.9 * GIB > weights


def test_a_weight_that_waits_is_held_once() -> None:
    network = torch.nn.Linear(4, 4)
    before = {id(one.data.untyped_storage()) for one in network.parameters()}
    turns = Turns(torch.device("cpu"))
    turns.add(network)
    pointers = [one.data_ptr() for one in network.parameters()]
    network(torch.zeros(1, 4))
    turns.clear()
    assert [one.data_ptr() for one in network.parameters()] == pointers and before


@pytest.mark.parametrize(
    ("words", "gigabytes", "fix"),
    [
        (["base=sdxl", "control=pose_depth", "device.kind=cpu"], 25, "control.network=union"),
        (["base=sdxl", "control=none", "device.kind=cpu"], 15, "base.width=512"),
        (["base=sdxl", "control=union", "device.kind=cpu"], 2, "base=nano"),
    ],
)
def test_a_run_that_cannot_fit_is_refused_with_the_cheapest_that_does(
    words: list[str], gigabytes: float, fix: str
) -> None:
    config = compose("video", words)
    here = hardware.of_cpu(config.device, round(gigabytes * GIB), bf16=True)
    with pytest.raises(MachineError) as told:
        cheaper_settings.refuse(config, here)
    assert told.value.code == "SYS-MEMORY" and fix in told.value.fix
    if fix != "base=nano":  # what is advised is tried
        cheaper_settings.refuse(compose("video", [*words, *told.value.fix.split()]), here)


def test_a_run_that_fits_is_not_refused() -> None:
    config = compose("video", ["base=sdxl"])
    cheaper_settings.refuse(config, card(8))
    cheaper_settings.refuse(config, replace(card(8), memory=0))


def test_advice_after_the_fact_names_what_makes_the_peak_smaller() -> None:
    assert (
        cheaper_settings.advice(compose("video", ["base=sdxl", "control=pose_depth"]))
        == "control.network=union"
    )
    assert "nano" not in cheaper_settings.advice(compose("video", []))


# Number formats of a card


@pytest.mark.parametrize(("native", "expected"), [(True, torch.bfloat16), (False, torch.float16)])
def test_a_card_without_bf16_computes_in_fp16(
    native: bool, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    def supported(including_emulation: bool = True) -> bool:
        return including_emulation or native

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    cuda = torch.device("cuda")
    assert machine._dtype(DType.auto, cuda) is expected
    if not native:
        with pytest.raises(ConfigError, match="CFG-DTYPE"):
            machine._dtype(DType.bf16, cuda)


@pytest.mark.parametrize(
    ("words", "device", "dtype", "expected"),
    [
        ([], "cuda", torch.bfloat16, torch.float16),
        ([], "cuda", torch.float32, torch.float32),
        ([], "mps", torch.bfloat16, torch.bfloat16),
        ([], "cpu", torch.float32, torch.float32),
    ],
)
def test_the_vae_of_a_card_decodes_in_fp16_where_it_may(
    words: list[str], device: str, dtype: torch.dtype, expected: torch.dtype
) -> None:
    config = compose("video", words)
    models = Models(config.base, config.speed, [], torch.device("cpu"), dtype)
    models.device, models.dtype = torch.device(device), dtype
    assert models._vae_dtype(models._base_row) is expected


# A driver that torch cannot use


@pytest.mark.parametrize(
    ("capability", "built", "expected"),
    [
        ((7, 0), ["sm_75", "sm_80", "sm_90"], False),
        ((6, 1), ["sm_75", "sm_120"], False),
        ((7, 5), ["sm_75", "sm_80"], True),
        ((8, 9), ["sm_80", "sm_86"], True),
        ((9, 0), ["sm_80", "compute_80"], True),
        ((12, 1), ["sm_90a", "sm_120"], True),
        ((9, 1), ["sm_90a"], False),
    ],
)
def test_a_build_runs_on_cards_that_it_has_code_for(
    capability: tuple[int, int], built: list[str], expected: bool
) -> None:
    assert driver.runs_on(capability, built) is expected


@pytest.fixture
def card_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "present", lambda: True)
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "Tesla V100")
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_80"])
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (7, 0))


@pytest.mark.usefixtures("card_here")
@pytest.mark.parametrize("kind", [DeviceKind.auto, DeviceKind.cuda])
def test_a_card_without_kernels_is_named_instead_of_hours_on_the_processor(kind: DeviceKind) -> None:
    with pytest.raises(
        MachineError, match=r"SYS-DRIVER: an NVIDIA driver is here .*Tesla V100.*sm_75"
    ) as told:
        machine.settle(DeviceConfig(kind=kind))
    assert told.value.fix == "device.kind=cpu"


_DRIVER = """
int cuInit(unsigned flags) {{ return {fails}; }}
int cuDriverGetVersion(int *version) {{ *version = {version}; return 0; }}
int cuDeviceGetAttribute(int *value, int which, int card) {{
  *value = which == 75 ? {major} : {minor};
  return 0;
}}
"""


@pytest.mark.usefixtures("card_here")
@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.parametrize(
    ("version", "capability", "fails", "build"),
    [
        (12040, (8, 6), 0, "cu126"),  # any driver of CUDA 12 runs any build for CUDA 12
        (13000, (7, 0), 0, "cu126"),  # no build for CUDA 13 holds anything for a V100
        (13000, (9, 0), 0, "cu130"),
        (12080, (12, 0), 0, "cu128"),
        (12060, (12, 0), 0, ""),
        (11080, (8, 0), 0, ""),  # too old for all builds that there are
        (12040, (8, 6), 999, ""),  # it does not start: not a matter of torch
        (13020, (9, 0), 0, "cu130"),
    ],
)
def test_the_fix_is_a_build_that_the_driver_runs(
    version: int,
    capability: tuple[int, int],
    fails: int,
    build: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    major, minor = capability
    source = _DRIVER.format(version=version, major=major, minor=minor, fails=fails)
    made = tmp_path / "libcuda.so"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-x", "c", "-o", made, "-"], input=source, text=True, check=True
    )
    load = ctypes.CDLL
    monkeypatch.setattr(driver.ctypes, "CDLL", lambda _: load(str(made)))
    with pytest.raises(MachineError, match="SYS-DRIVER") as told:
        driver.require()
    named = f"make setup TORCH={build}, or " if build else ""
    assert told.value.fix == f"{named}device.kind=cpu"
    monkeypatch.setattr(torch.version, "cuda", f"{build[2:4]}.{build[4:]}")  # that build is here already
    assert driver.remedy() == ""


@pytest.mark.usefixtures("card_here")
def test_the_processor_is_taken_where_it_was_asked_for() -> None:
    assert machine.settle(DeviceConfig(kind=DeviceKind.cpu)).device.type == "cpu"


@pytest.mark.usefixtures("card_here")
def test_an_old_driver_is_told_in_torch_s_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> None:
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 12040).")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", refused)
    with pytest.raises(MachineError, match=r"too old.*CUDA 13\.2"):
        machine.settle(DeviceConfig())
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    with pytest.raises(MachineError, match="for processors only"):
        machine.settle(DeviceConfig())


def test_hidden_cards_are_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "glob", lambda _: ["found"])
    monkeypatch.setattr(driver.sys, "platform", "linux")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert driver.present()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert not driver.present()


# Numbers that are no pictures


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_one_number_that_is_none_stops_the_run(bad: float) -> None:
    latents = torch.randn(4, 2, 4, 4)
    assert require_finite(latents, "segment 1/2") is latents
    latents[1, 1, 2, 3] = bad
    with pytest.raises(PictureError, match=r"WGT-NAN: segment 1/2: 1 of 128"):
        require_finite(latents, "segment 1/2")


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_frame_of_one_colour_stops_the_run(level: int) -> None:
    frame = np.full((8, 8, 3), level, np.uint8)
    with pytest.raises(PictureError, match="WGT-BLANK"):
        require_picture(frame, "decoding")
    frame[3, 4, 1] = 60
    assert require_picture(frame, "decoding") is frame


def nano_context(tmp_path: Path) -> Any:
    config = compose("video", [])
    models = Models(config.base, config.speed, [], torch.device("cpu"), torch.float32)
    return tiny_networks.context(tmp_path, models)


def test_a_vae_that_yields_no_numbers_is_stopped_at_the_first_frame(tmp_path: Path) -> None:
    context = nano_context(tmp_path)
    latents = torch.randn(4, 1, 4, 4)
    (frame,) = decode(latents, context)
    assert frame.std() > 0
    with torch.no_grad():
        context.models.vae().decoder.conv_out.bias[0] = float("nan")
    with pytest.raises(PictureError, match="WGT-NAN"):
        list(decode(latents, context))
