"""The guard's parts: what may be opened, what is passed on, what comes back, and how a run ends."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import psutil
import pytest
from support import sandboxed_code

from pokora_anime.catalogue import hash_memory
from pokora_anime.cli import doctor
from pokora_anime.config.compose import compose
from pokora_anime.errors import ConfigError, Interrupted, MachineError, WeightsError
from pokora_anime.jobs import finished_runs
from pokora_anime.media.ffmpeg_program import find_ffmpeg
from pokora_anime.render.worker import bytecode, granted_paths, messages, parent, temporary_folders
from pokora_anime.sandbox import child_environment, network_arguments
from pokora_anime.sandbox.grants import Grants
from pokora_anime.sandbox.guard_state import Guard, Level, Network, enter, in_force
from pokora_anime.sandbox.landlock import Access, landlock_abi
from pokora_anime.schema.run_identity import to_plain
from pokora_anime.schema.settings import StillsConfig, VideoConfig
from pokora_anime.system.terminal.interrupts import KILL_SECONDS
from pokora_anime.verify.record import surroundings

PACKAGE = Path(__file__).parents[2] / "pokora_anime"
posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
landlock = pytest.mark.skipif(landlock_abi() == 0, reason="this kernel offers no Landlock")


# What is said between parent and child


@pytest.mark.parametrize("words", [[], ["base=sdxl", "speed=hq"], ["style=none", "control.scale.pose=0.5"]])
def test_a_config_comes_through_json_as_it_was(words: list[str]) -> None:
    for command, kind in (("video", VideoConfig), ("stills", StillsConfig)):
        config = compose(command, [word for word in words if command == "video" or "control" not in word])
        again = messages.from_plain(kind, json.loads(json.dumps(to_plain(config))))
        assert again == config


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("latents", [1.0], "CFG-KEY"),
        ("seed", "1", "CFG-TYPE"),
        ("seed", True, "CFG-TYPE"),
        ("shot", "1girl", "CFG-TYPE"),
        ("base", {"family": "turbo"}, "CFG-KEY"),
    ],
)
def test_a_config_of_another_shape_is_refused(key: str, value: object, code: str) -> None:
    plain = to_plain(sandboxed_code.config()) | {key: value}
    with pytest.raises(ConfigError, match=code):
        messages.from_plain(VideoConfig, plain)


def test_an_unknown_enum_is_refused() -> None:
    plain = json.loads(json.dumps(to_plain(sandboxed_code.config())))
    plain["base"]["family"] = "turbo"
    with pytest.raises(ConfigError, match=r"base\.family=turbo.*sdxl"):
        messages.from_plain(VideoConfig, plain)


def test_an_error_keeps_its_kind_and_its_words() -> None:
    error = WeightsError("WGT-DAMAGED", "got", expected="expected", fix="fix")
    again = messages.unpack_error(json.loads(json.dumps(messages.pack_error(error))))
    assert type(again) is WeightsError
    assert (again.line(), again.exit_code) == (error.line(), 3)


# What may be opened


def test_only_the_run_folder_may_be_written(tmp_path: Path) -> None:
    grants = granted_paths.needed(sandboxed_code.config(), tmp_path / "run")
    written = [rule.path for rule in grants.rules([]) if rule.access & Access.make_reg]
    assert written == [str(tmp_path / "run")]
    assert [rule for rule in grants.rules([]) if rule.access & (Access.make_sym | Access.make_char)] == []


def test_only_ffmpeg_may_be_started(tmp_path: Path) -> None:
    grants = granted_paths.needed(sandboxed_code.config(), tmp_path / "run")
    programs = [rule.path for rule in grants.rules(["/python"]) if rule.access & Access.execute]
    assert programs == list(grants.execute)
    assert Path(find_ffmpeg()).parent in [Path(path) for path in programs] or find_ffmpeg() in programs
    others = [path for path in programs if "ffmpeg" not in path and not Path(path).name.startswith("ld-")]
    assert others == []


def test_nobodys_home_and_no_other_run_may_be_read(tmp_path: Path) -> None:
    grants = granted_paths.needed(sandboxed_code.config(), tmp_path / "run")
    allowed = [Path(rule.path) for rule in grants.rules([]) if rule.access & Access.read_file]
    for private in (
        Path.home() / ".ssh/id",
        Path("/tmp/a.png"),
        tmp_path / "other/a.png",
        Path("/etc/passwd"),
    ):
        assert not [folder for folder in allowed if private.is_relative_to(folder)], private


def test_fetched_weights_are_granted_file_by_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    from pokora_anime.catalogue import registry

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    config = sandboxed_code.config()
    row = registry.get("lcm-lora-sdxl", compose("video", ["base=sdxl"]).base.family)
    home = tmp_path / f"models--{row.repo.replace('/', '--')}"
    snapshot = home / "snapshots" / (row.revision or "0" * 40)
    for folder in (snapshot, home / "blobs", home / "refs"):
        folder.mkdir(parents=True)
    (home / "refs" / "main").write_text("0" * 40)
    for name in ("wanted", "other"):
        (home / "blobs" / name).write_bytes(b"")
    (snapshot / row.files[0]).symlink_to(home / "blobs" / "wanted")
    (snapshot / "picture.png").symlink_to(home / "blobs" / "other")
    monkeypatch.setattr(granted_paths, "needs", lambda _: [row])
    grants = granted_paths.needed(config, tmp_path / "run")
    assert str(home / "blobs" / "wanted") in grants.read
    assert str(home / "blobs" / "other") not in grants.read
    assert [place for place in grants.read if Path(place) in (home, home / "blobs", snapshot)] == []
    assert str(snapshot) in grants.look


def test_grants_are_compared_and_joined() -> None:
    def grants(*read: str) -> Grants:
        return Grants(read=read, look=(), write=("w",), execute=(), devices=())

    assert grants("a", "b").covers(grants("a"))
    assert not grants("a").covers(grants("a", "b"))
    assert grants("a").joined(grants("b")) == grants("a", "b")
    assert Grants.of(json.loads(json.dumps(grants("a").to_json()))) == grants("a")


def test_the_environment_is_an_allow_list(tmp_path: Path) -> None:
    inherited = {"LANG": "de_DE.UTF-8", "CUDA_VISIBLE_DEVICES": "1", "HF_TOKEN": "key", "NEWEST_TRICK": "x"}
    clean = child_environment.clean(inherited, tmp_path, 2, {})
    assert (clean["LANG"], clean["CUDA_VISIBLE_DEVICES"], clean["OMP_NUM_THREADS"]) == (
        "de_DE.UTF-8",
        "1",
        "2",
    )
    assert {"HF_TOKEN", "NEWEST_TRICK"} & set(clean) == set()
    assert clean["TMPDIR"] == clean["HOME"] == str(tmp_path)
    assert set(clean) <= {*child_environment.PASSED, *surroundings.SET_BY_RUN}  # or no record would verify
    assert clean["OMP_WAIT_POLICY"] == "passive"  # two busy cores: 4.5 times the speed of threads that spin


def test_temporary_folders_of_killed_runs_are_removed(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = tmp_path / f"tmp-{ended.pid}-x"
    used = tmp_path / f"tmp-{os.getpid()}-y"
    elsewhere = tmp_path / f"tmp-{ended.pid}-0a1b2c-z"  # of another host on a shared store
    for folder in (left, used, elsewhere):
        folder.mkdir()
        (folder / "file").touch()
    made = temporary_folders.make(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([used, made, elsewhere])
    temporary_folders.remove(made)
    assert not made.exists()


# The level


def test_a_process_that_never_confined_itself_says_so() -> None:
    assert in_force().to_json() == {
        "wanted": "off",
        "level": "none",
        "landlock_abi": 0,
        "network": "open",
        "details": {},
    }


@pytest.mark.parametrize(
    ("level", "network"), [(Level.process, Network.closed), (Level.landlock, Network.tcp_closed)]
)
def test_what_is_required_is_had_or_the_run_ends(level: Level, network: Network) -> None:
    with pytest.raises(MachineError, match=r"SYS-GUARD.*guard=auto"):
        enter(Guard(wanted="require", level=level, network=network))
    assert in_force().level is Level.none


def test_a_finished_run_of_a_lower_level_is_no_answer_to_require(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"SYS-GUARD.*fresh=true"):
        finished_runs.require_guard(tmp_path)


def test_doctor_says_what_the_kernel_offers(monkeypatch: pytest.MonkeyPatch) -> None:
    for abi, state in ((0, doctor.WARN), (7, doctor.OK)):
        monkeypatch.setattr(doctor, "landlock_abi", lambda abi=abi: abi)
        (finding,) = doctor._sandbox()
        assert finding.state == state


# A process for a run


def test_a_killed_process_is_an_error_and_no_traceback(tmp_path: Path) -> None:
    config = sandboxed_code.config()
    with parent.Child(config, granted_paths.needed(config, tmp_path), tmp_path, "run", "auto") as child:
        child._process.kill()
        child._process.wait()
        assert not child.alive
        with pytest.raises(MachineError, match=r"SYS-MEMORY.*signal 9"):
            child.render(config, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_process_ends_with_its_parent(tmp_path: Path) -> None:
    config = sandboxed_code.config()
    child = parent.Child(config, granted_paths.needed(config, tmp_path), tmp_path, "run", "auto")
    child._input.close()
    assert child._process.wait(timeout=60) == 0
    child.close()


def test_a_worker_starts_anew_when_it_must_open_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = sandboxed_code.config()
    config.shot.prompt = "(" * 3000  # refused before anything is imported
    worker = parent.Worker(tmp_path)
    processes: list[int] = []
    for more in ((), (), ("/etc/hostname",), ()):
        grants = granted_paths.needed(config, tmp_path).joined(
            Grants(read=more, look=(), write=(), execute=(), devices=())
        )
        monkeypatch.setattr(parent, "needed", lambda *_, grants=grants: grants)
        with pytest.raises(Exception, match="PRM-"):
            worker.render(config, "auto")
        assert worker._child is not None
        processes.append(worker._child._process.pid)
    worker.close()
    first, second, third, fourth = processes
    assert first == second != third == fourth


PRESSED = """
import signal, subprocess, sys, time
from pokora_anime.system.terminal.interrupts import Relay
listens = "import signal, sys, time\\n" + sys.argv[1] + "\\nprint(flush=True)\\ntime.sleep(60)"
process = subprocess.Popen([sys.executable, "-c", listens], stdout=subprocess.PIPE, process_group=0)
with Relay(process) as relay:
    process.stdout.read(1)
    print("ready", flush=True)
    status = process.wait()
print(relay.pressed, status, flush=True)
"""


def press(child: str, times: int = 1) -> tuple[str, int, float]:
    """What a process prints that relays Ctrl-C to one that does as `child` says; its status, the seconds."""
    process = subprocess.Popen([sys.executable, "-c", PRESSED, child], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    begun = time.monotonic()
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
    printed, _ = process.communicate(timeout=60)
    return printed.strip(), process.returncode, time.monotonic() - begun


@posix
def test_ctrl_c_reaches_the_process_that_renders() -> None:
    printed, status, _ = press("signal.signal(signal.SIGINT, lambda *_: sys.exit(7))")
    assert (printed, status) == ("True 7", 0)


@posix
def test_a_process_that_does_not_listen_to_ctrl_c_is_killed() -> None:
    printed, status, seconds = press("signal.signal(signal.SIGINT, signal.SIG_IGN)")
    assert (printed, status) == ("True -9", 0)
    assert seconds > KILL_SECONDS - 0.1


@posix
def test_a_second_ctrl_c_ends_by_the_signal_itself() -> None:
    printed, status, seconds = press("signal.signal(signal.SIGINT, signal.SIG_IGN)", times=2)
    assert (printed, status) == ("", -signal.SIGINT)
    assert seconds < KILL_SECONDS + 1


@posix
def test_ctrl_z_stops_and_fg_continues_both() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PRESSED, ""],
        stdout=subprocess.PIPE,
        process_group=0,  # a shell's job: a group that nobody continues cannot be stopped
    )
    assert process.stdout is not None
    process.stdout.readline()
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children()]
    for number, stopped in ((signal.SIGTSTP, True), (signal.SIGCONT, False)):
        process.send_signal(number)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if all((one.status() == psutil.STATUS_STOPPED) is stopped for one in family):
                break
            time.sleep(0.02)
        else:
            pytest.fail(f"{[one.status() for one in family]} after signal {number}")
    for one in reversed(family):
        one.kill()
    process.wait()


def test_what_is_left_of_an_interrupted_run_is_named(tmp_path: Path) -> None:
    config = sandboxed_code.config()
    child = parent.Child(config, granted_paths.needed(config, tmp_path), tmp_path, "run", "auto")
    child._process.kill()
    with pytest.raises(Interrupted, match=r"INT-STOP.*everything finished so far"):
        child._died(tmp_path, interrupted=True)
    child.close()


# Bytecode


def test_only_libraries_are_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library, elsewhere = tmp_path / "library", tmp_path / "elsewhere"
    for folder in (library, elsewhere):
        folder.mkdir()
        (folder / "module.py").write_text("x = 1\n")
    monkeypatch.setattr(bytecode, "library_folders", lambda: [str(library)])
    bytecode.compile_later([str(library / "module.py"), str(elsewhere / "module.py")])
    deadline = time.monotonic() + 60
    while not list(library.glob("__pycache__/*.pyc")) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert list(library.glob("__pycache__/*.pyc"))
    assert not (elsewhere / "__pycache__").exists()


# Arguments of networks


def calls(path: Path) -> list[ast.Call]:
    """Every call in a file."""
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]


def test_checkpoints_are_loaded_from_disk_with_allowed_arguments_alone() -> None:
    loads = [
        call
        for folder in ("catalogue", "networks", "stages")
        for path in (PACKAGE / folder).rglob("*.py")
        for call in calls(path)
        if isinstance(call.func, ast.Attribute) and call.func.attr in ("from_pretrained", "from_single_file")
    ]
    assert len(loads) >= 3
    for call in loads:
        assert isinstance(call.func, ast.Attribute) and call.func.attr == "from_pretrained"
        assert {word.arg for word in call.keywords} <= network_arguments.LOADING, ast.unparse(call)
        assert not isinstance(call.args[0], ast.Constant), ast.unparse(call)  # a hub id


# How our stages call each network: the text of the callee.
CALLEES = {
    "UNet2DConditionModel": ("denoiser.py", "unet"),  # one call for pictures and segments
    "UNetMotionModel": ("denoiser.py", "unet"),
    "ControlNetModel": ("control_source.py", "self.network"),
    "AutoencoderKL.decode": ("decode.py", "vae.decode"),
    "CLIPTextModel": ("text_encoders.py", "encoder"),
}


@pytest.mark.parametrize("name", CALLEES)
def test_the_stages_stay_within_what_a_network_may_be_given(name: str) -> None:
    file, callee = CALLEES[name]
    (path,) = [path for folder in ("stages", "networks") for path in (PACKAGE / folder).rglob(file)]
    found = [call for call in calls(path) if ast.unparse(call.func) == callee]
    assert found
    kind, _, method = name.partition(".")
    signature = network_arguments.METHODS[kind][method] if method else network_arguments.FORWARD[kind]
    for call in found:
        words = {str(word.arg): word.value for word in call.keywords}
        network_arguments.judge(name, signature, tuple(call.args), words)


def test_a_network_takes_text_and_no_picture() -> None:
    import torch
    from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel, UNetMotionModel

    unet = UNet2DConditionModel(
        sample_size=4,
        block_out_channels=(8,),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",),
        cross_attention_dim=8,
        attention_head_dim=1,
        norm_num_groups=4,
    )
    latents, step, text = torch.zeros(1, 4, 4, 4), torch.tensor(1), torch.zeros(1, 2, 8)
    before = unet(latents, step, encoder_hidden_states=text, return_dict=False)[0]
    guarded = network_arguments.only(unet)
    assert torch.equal(guarded(latents, step, encoder_hidden_states=text, return_dict=False)[0], before)
    for refused in (
        {"cross_attention_kwargs": {"ip_adapter_masks": None}},
        {"added_cond_kwargs": {"image_embeds": text}},
        {"timestep_cond": text},
    ):
        with pytest.raises(
            MachineError, match=r"SYS-GUARD-ARGUMENT.*(ip_adapter|image_embeds|_kwargs|_cond)"
        ):
            guarded(latents, step, encoder_hidden_states=text, **refused)
    with pytest.raises(MachineError, match="positional"):
        guarded(latents, step, text)

    vae = network_arguments.only(AutoencoderKL(block_out_channels=(8,), norm_num_groups=4))
    assert vae.decode(latents, return_dict=False)[0].shape[1] == 3
    for call in (vae.encode, vae):
        with pytest.raises(MachineError, match="SYS-GUARD-ARGUMENT"):
            call(torch.zeros(1, 3, 4, 4))
    with pytest.raises(MachineError, match="the class itself"):
        network_arguments.only(torch.nn.Linear(1, 1))

    # A new version of diffusers must not have renamed what we allow.
    import inspect

    for kind in (UNet2DConditionModel, UNetMotionModel, ControlNetModel):
        signature = network_arguments.FORWARD[kind.__name__]
        assert signature is not None
        assert signature.names <= set(inspect.signature(kind.forward).parameters), kind


# The whole


WHOLE = """
import sys
from pokora_anime.cli import main
status = main(["stills", "speed.steps=1", "device.threads=1", "--out", sys.argv[1]])
assert not {"torch", "diffusers", "transformers"} & set(sys.modules)
sys.exit(status)
"""


@pytest.mark.slow
@landlock
def test_a_run_is_rendered_behind_the_guard_and_its_parent_has_no_torch(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", WHOLE, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.strip().splitlines()[-1])
    guard = json.loads((folder / "record.json").read_text())["summary"]["guard"]
    assert (guard["wanted"], guard["level"], guard["network"]) == ("auto", "landlock", "closed")
    assert guard["details"]["writes"] == "run"
    assert list(folder.glob("logs/tmp-*")) == []


@pytest.mark.parametrize("guard", ["auto", "require"])
def test_a_required_guard_is_told_no_hashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, guard: str
) -> None:
    monkeypatch.setenv("POKORA_DATA", str(tmp_path / "data"))
    config = compose("stills", [])
    weight = PACKAGE / "nano" / "weights" / "model_index.json"
    hash_memory.weight_hash(weight)
    asked: list[messages.Message] = []

    def noting(stream: IO[bytes], message: messages.Message) -> None:
        asked.append(message)
        messages.send(stream, message)

    monkeypatch.setattr(parent, "send", noting)
    with parent.Child(config, granted_paths.needed(config, tmp_path), tmp_path, "run", guard):
        pass
    known = [state.partition("|")[0] for state in asked[0]["hashes"]]
    assert known == ([str(weight)] if guard == "auto" else [])


@pytest.mark.slow
@landlock
def test_a_sweep_renders_in_one_process_inside_its_folder(tmp_path: Path) -> None:
    words = [
        sys.executable,
        "-m",
        "pokora_anime.cli",
        "stills",
        "-m",
        "speed.steps=1",
        *("base.width=64", "base.height=64", "finish.width=64", "finish.height=64"),
        "device.threads=1",
        "--out",
        str(tmp_path),
    ]

    def sweep(seeds: str) -> tuple[Path, list[Path], str]:
        done = subprocess.run([*words, f"seed={seeds}"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        *runs, folder = done.stdout.strip().splitlines()
        return Path(folder), [Path(line.split(": ")[1]) for line in runs], done.stderr

    folder, runs, _ = sweep("1,2")
    assert all(run.is_relative_to(folder) for run in runs)
    assert list(folder.glob("tmp-*")) == []
    processes = {(run / ".lock").read_text().strip() for run in runs}
    assert len(processes) == 1 and str(os.getpid()) not in processes
    guard = json.loads((runs[0] / "record.json").read_text())["summary"]["guard"]
    assert (guard["level"], guard["details"]["writes"]) == ("landlock", "sweep")
    # Another sweep takes what is finished from where it is.
    again, reused, shown = sweep("2")
    assert again != folder
    assert reused == [runs[1]]
    assert "finished before" in shown
