"""During a run: what reaches for something outside, in real confined processes, and what stops it."""

from __future__ import annotations

import http.server
import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file
from support import sandboxed_code

from pokora_anime.catalogue import registry
from pokora_anime.catalogue.registry_row import PICKLES
from pokora_anime.errors import MachineError
from pokora_anime.media.ffmpeg_program import find_ffmpeg
from pokora_anime.provenance.node import Node
from pokora_anime.provenance.run_folder import RunFolder
from pokora_anime.render.worker.weight_check import ARRAYS
from pokora_anime.sandbox.landlock import landlock_abi
from pokora_anime.system.files.installed_package import INSTALLED

linux = pytest.mark.skipif(sys.platform != "linux", reason="the guard's level needs Linux")
landlock = pytest.mark.skipif(landlock_abi() == 0, reason="this kernel offers no Landlock")

HELPERS = """
def attempt(name, action):
    try:
        told[name] = "had " + type(action()).__name__
    except Exception as error:
        told[name] = type(error).__name__ + ": " + str(error)
"""


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder with an outside picture, as PNG, safetensors and raw bytes."""
    folder = tmp_path / "outside"
    folder.mkdir()
    picture = np.full((16, 16, 3), 200, np.uint8)
    Image.fromarray(picture).save(folder / "picture.png")
    save_file({"image": picture}, folder / "picture.safetensors")
    (folder / "picture.raw").write_bytes(picture.tobytes())
    return folder


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A run's folder."""
    return tmp_path / "run"


def attempts(lines: str, outside: Path, work: Path) -> dict[str, str]:
    """What came of each `attempt` in a confined process; PICTURE, OUTSIDE and WORK are paths."""
    names = f"PICTURE, OUTSIDE, WORK = {str(outside / 'picture.png')!r}, {str(outside)!r}, {str(work)!r}\n"
    return sandboxed_code.run(HELPERS + names + lines, work)


# Reading


@landlock
def test_no_library_reads_an_outside_picture(outside: Path, work: Path) -> None:
    told = attempts(
        """
import cv2, numpy
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file
attempt("open", lambda: open(PICTURE, "rb"))
attempt("cv2", lambda: cv2.imread(PICTURE))
attempt("cv2 video", lambda: cv2.VideoCapture(PICTURE).read()[1])
attempt("PIL", lambda: Image.open(PICTURE))
attempt("memmap", lambda: numpy.memmap(OUTSIDE + "/picture.raw", numpy.uint8, "r"))
attempt("fromfile", lambda: numpy.fromfile(OUTSIDE + "/picture.raw", numpy.uint8))
attempt("safetensors", lambda: load_file(OUTSIDE + "/picture.safetensors"))
attempt("safe_open", lambda: safe_open(OUTSIDE + "/picture.safetensors", "np").__enter__())
attempt("listing", lambda: __import__("os").listdir(OUTSIDE))
attempt("/proc/self/root", lambda: open("/proc/self/root" + PICTURE, "rb"))
""",
        outside,
        work,
    )
    assert {name for name, result in told.items() if result.startswith("had")} == {"cv2", "cv2 video"}
    # OpenCV says nothing of its errors: no picture came.
    assert (told["cv2"], told["cv2 video"]) == ("had NoneType", "had NoneType")
    for name in ("open", "PIL", "memmap", "fromfile", "listing", "/proc/self/root"):
        assert told[name].startswith("PermissionError"), told


@landlock
def test_torch_maps_no_outside_file(outside: Path, work: Path) -> None:
    told = attempts(
        "import torch\n"
        "path = OUTSIDE + '/picture.raw'\n"
        "attempt('torch', lambda: torch.from_file(path, size=768, dtype=torch.uint8))\n",
        outside,
        work,
    )
    assert "ermission" in told["torch"], told


@landlock
@pytest.mark.skipif(find_spec("av") is None, reason="PyAV is not installed")
def test_pyav_opens_no_outside_picture(outside: Path, work: Path) -> None:
    told = attempts("import av\nattempt('av', lambda: av.open(PICTURE))\n", outside, work)
    assert told["av"].startswith("PermissionError"), told


@landlock
def test_the_same_reads_succeed_where_nothing_confines(outside: Path) -> None:
    # Or the tests above would prove nothing.
    import cv2
    from safetensors.numpy import load_file

    assert cv2.imread(str(outside / "picture.png")) is not None
    assert load_file(outside / "picture.safetensors")["image"].shape == (16, 16, 3)


@landlock
def test_a_symbolic_link_in_the_run_folder_leads_nowhere(outside: Path, work: Path) -> None:
    work.mkdir()
    (work / "keyframe.png").symlink_to(outside / "picture.png")
    (work / "stages").symlink_to(outside)
    told = attempts(
        "import os\n"
        "attempt('file', lambda: open(WORK + '/keyframe.png', 'rb'))\n"
        "attempt('folder', lambda: open(WORK + '/stages/picture.png', 'rb'))\n"
        "attempt('new', lambda: os.symlink(PICTURE, WORK + '/new'))\n"
        "attempt('hard', lambda: os.link(PICTURE, WORK + '/hard'))\n",
        outside,
        work,
    )
    for result in told.values():
        assert result.startswith(("PermissionError", "OSError: [Errno 18]")), told


@landlock
def test_a_hard_link_can_be_read_but_not_taken_for_ours(outside: Path, work: Path) -> None:
    # The kernel goes by the place, and this place is the run's: what finds it is the content's hash.
    folder = RunFolder(work, "0" * 64)
    image = np.zeros((4, 4, 3), np.uint8)
    node = folder.save(Node(op="prompt", params={}), {"image": image})
    (stored,) = work.glob("stages/*.safetensors")
    stored.unlink()
    os.link(outside / "picture.safetensors", stored)
    folder.close()

    told = attempts(
        "attempt('link', lambda: open(WORK + '/stages/" + stored.name + "', 'rb'))", outside, work
    )
    assert told["link"].startswith("had")
    again = RunFolder(work, "0" * 64)
    assert again.load(Node(op="prompt", params={})) is None
    assert any("its content changed" in note for note in again.notes), again.notes
    assert node.output


# Child processes


@landlock
def test_no_other_program_is_started(outside: Path, work: Path) -> None:
    told = attempts(
        "import subprocess, sys\n"
        "attempt('cat', lambda: subprocess.run(['/bin/cat', PICTURE]))\n"
        "attempt('shell', lambda: subprocess.run('true', shell=True))\n"
        "attempt('python', lambda: subprocess.run([sys.executable, '-c', '']))\n",
        outside,
        work,
    )
    assert all(result.startswith("PermissionError") for result in told.values()), told


@landlock
def test_what_was_written_is_not_executed(outside: Path, work: Path) -> None:
    told = attempts(
        "import os, shutil, subprocess\n"
        "from pokora_anime.media.ffmpeg_program import find_ffmpeg\n"
        "shutil.copy(find_ffmpeg(), WORK + '/tool')\n"
        "os.chmod(WORK + '/tool', 0o755)\n"
        "attempt('own', lambda: subprocess.run([WORK + '/tool', '-version']))\n",
        outside,
        work,
    )
    assert told["own"].startswith("PermissionError"), told


@landlock
def test_ffmpeg_runs_and_reads_no_outside_picture(outside: Path, work: Path) -> None:
    told = attempts(
        """
import subprocess
from pokora_anime.media.ffmpeg_program import find_ffmpeg
def convert(source, target):
    line = [find_ffmpeg(), "-nostdin", "-loglevel", "error", "-y", *source, target]
    done = subprocess.run(line, capture_output=True, text=True)
    return done.returncode, done.stderr
told["drawn"] = convert(["-f", "lavfi", "-i", "color=size=16x16", "-frames:v", "1"], WORK + "/drawn.png")
told["outside"] = convert(["-i", PICTURE], WORK + "/copy.png")
told["away"] = convert(["-f", "lavfi", "-i", "color=size=16x16", "-frames:v", "1"], OUTSIDE + "/away.png")
""",
        outside,
        work,
    )
    assert told["drawn"][0] == 0, told
    for name in ("outside", "away"):
        assert told[name][0] != 0
        assert "Permission denied" in told[name][1]
    assert not (work / "copy.png").exists()
    assert not (outside / "away.png").exists()


# Writing


@landlock
def test_nothing_is_written_outside_the_folder(outside: Path, work: Path) -> None:
    before = {path.name: path.read_bytes() for path in outside.iterdir()}
    told = attempts(
        """
import os, tempfile
attempt("new", lambda: open(OUTSIDE + "/new", "w"))
attempt("over", lambda: open(PICTURE, "r+b"))
attempt("truncate", lambda: os.truncate(PICTURE, 0))
attempt("folder", lambda: os.mkdir(OUTSIDE + "/folder"))
attempt("remove", lambda: os.unlink(PICTURE))
attempt("away", lambda: os.rename(WORK + "/inside", OUTSIDE + "/inside"))
attempt("package", lambda: open(header["package"] + "/pokora_anime/planted.py", "w"))
with open(WORK + "/inside", "w") as inside: inside.write("x")
told["temporary"] = tempfile.gettempdir()
""",
        outside,
        work,
    )
    assert Path(told.pop("temporary")).is_relative_to(work)
    assert (work / "inside").read_text() == "x"
    assert not [name for name, result in told.items() if result.startswith("had")], told
    assert {path.name: path.read_bytes() for path in outside.iterdir()} == before


# Network


@pytest.fixture
def server() -> Iterator[tuple[int, list[str]]]:
    """A port of this machine, and what was asked of it."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

    listening = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield listening.server_port, asked
    listening.shutdown()


@linux
def test_nothing_is_fetched_in_a_run(server: tuple[int, list[str]], outside: Path, work: Path) -> None:
    port, asked = server
    told = attempts(
        f"""
import socket, subprocess, urllib.request
from pokora_anime.media.ffmpeg_program import find_ffmpeg
url = "http://127.0.0.1:{port}/picture.png"
attempt("urllib", lambda: urllib.request.urlopen(url))
attempt("udp", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
attempt("ipv6", lambda: socket.socket(socket.AF_INET6))
attempt("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
attempt("packet", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
line = [find_ffmpeg(), "-nostdin", "-loglevel", "error", "-i", url, WORK + "/fetched.png"]
told["ffmpeg"] = str(subprocess.run(line, stderr=subprocess.DEVNULL).returncode)
""",
        outside,
        work,
    )
    assert told.pop("ffmpeg") != "0"
    assert "ot permitted" in told["urllib"], told
    assert not [name for name, result in told.items() if result.startswith("had")], told
    assert asked == []


# The environment


SPOIL = """
import builtins, os
builtins.PLANTED = [*getattr(builtins, "PLANTED", []), NAME]
try:
    import pokora_anime.provenance.node as node
    node.Node = None
except ImportError:
    pass
"""
PRELOAD = r"""
#include <stdlib.h>
__attribute__((constructor)) static void planted(void) { setenv("PRELOADED", "1", 1); }
"""
LOOK = """
import builtins, os, sys
told["planted"] = getattr(builtins, "PLANTED", [])
told["modules"] = sorted({"sitecustomize", "usercustomize", "site"} & set(sys.modules))
told["path"] = [path for path in sys.path if "spoilt" in path]
told["environment"] = dict(os.environ)
from pokora_anime.provenance import node
told["stage"] = node.Node is not None
from huggingface_hub import constants
told["hub"] = [constants.HF_HOME, constants.ENDPOINT, str(constants.HF_HUB_OFFLINE)]
from pokora_anime.media.ffmpeg_program import find_ffmpeg
told["ffmpeg"] = find_ffmpeg()
"""


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a confined process finds when its parent was started in a spoilt environment.

    Under `parent`: what an ordinary Python finds there, to show that the attacks work as such.
    """
    root = tmp_path_factory.mktemp("spoilt")
    for name in ("sitecustomize", "usercustomize"):
        (root / f"{name}.py").write_text(SPOIL.replace("NAME", repr(name)))
    user = root / "home/.local/lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    user.mkdir(parents=True)
    (user / "planted.pth").write_text("import builtins; builtins.PLANTED = ['pth']\n")
    (root / "ffmpeg").write_text("#!/bin/sh\ntrue\n")
    (root / "ffmpeg").chmod(0o755)
    environment = {
        **os.environ,
        "HOME": str(root / "home"),
        "PYTHONPATH": str(root),
        "PYTHONSTARTUP": str(root / "sitecustomize.py"),
        "PYTHONUSERBASE": str(root / "home/.local"),
        "HF_HOME": str(root),
        "HF_ENDPOINT": "http://spoilt.invalid",
        "HF_HUB_OFFLINE": "0",
        "TORCH_HOME": str(root),
        "OMP_NUM_THREADS": "3",
        "IMAGEIO_FFMPEG_EXE": str(root / "ffmpeg"),
        "LD_LIBRARY_PATH": str(root),
        "PATH": f"{root}:{os.environ['PATH']}",
        "POKORA_SECRET": "key",
        "CUDA_VISIBLE_DEVICES": "",
    }
    if compiler := shutil.which("gcc"):
        (root / "planted.c").write_text(PRELOAD)
        library = root / "planted.so"
        subprocess.run([compiler, "-shared", "-fPIC", "-o", library, root / "planted.c"], check=True)
        environment["LD_PRELOAD"] = str(library)
    script = [sys.executable, sandboxed_code.__file__, str(root / "run"), str(INSTALLED), "auto"]
    done = subprocess.run(script, input=LOOK, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    look = "import builtins, os; print(getattr(builtins, 'PLANTED', []), os.environ.get('PRELOADED'))"
    plain = subprocess.run([sys.executable, "-c", look], env=environment, capture_output=True, text=True)
    return {**json.loads(done.stdout), "root": str(root), "parent": plain.stdout}


def test_the_attacks_on_the_environment_work_on_an_ordinary_python(spoilt: dict[str, Any]) -> None:
    assert "sitecustomize" in spoilt["parent"]
    if shutil.which("gcc") and sys.platform == "linux":
        assert "1" in spoilt["parent"]


def test_no_customisation_of_python_runs(spoilt: dict[str, Any]) -> None:
    assert (spoilt["planted"], spoilt["modules"], spoilt["path"]) == ([], [], [])


def test_a_library_that_lies_elsewhere_is_not_there(work: Path) -> None:
    error = sandboxed_code.run("import pokora_library_elsewhere", work)["error"]
    assert error["code"] == "SYS-LIBRARY"


def test_no_stage_is_patched(spoilt: dict[str, Any]) -> None:
    assert spoilt["stage"] is True


def test_no_library_is_preloaded(spoilt: dict[str, Any]) -> None:
    assert not {"LD_PRELOAD", "PRELOADED"} & set(spoilt["environment"])


def test_the_environment_holds_what_is_allowed_and_nothing_else(spoilt: dict[str, Any]) -> None:
    # Where a user keeps weights may be chosen; which bytes they are may not.
    found = {name: value for name, value in spoilt["environment"].items() if name != "POKORA_DATA"}
    assert not [name for name in found if name.startswith(("PYTHON", "TORCH", "POKORA", "IMAGEIO"))]
    assert not [value for value in found.values() if spoilt["root"] in value.replace(found["HOME"], "")]
    assert (found["OMP_NUM_THREADS"], found["CUDA_VISIBLE_DEVICES"]) == ("1", "")


def test_the_hub_is_not_where_the_environment_says(spoilt: dict[str, Any]) -> None:
    home, endpoint, offline = spoilt["hub"]
    assert home != spoilt["root"]
    assert "spoilt" not in endpoint
    assert offline == "True"


def test_ffmpeg_is_not_the_one_of_the_environment(spoilt: dict[str, Any]) -> None:
    assert spoilt["ffmpeg"] != f"{spoilt['root']}/ffmpeg"


# Weights


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The package copied, so that its weights can be spoilt."""
    copy = tmp_path / "copy" / "pokora_anime"
    shutil.copytree(INSTALLED, copy, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(INSTALLED.parent / "conf", copy.parent / "conf")
    return copy


RENDER = """
from pokora_anime.render.worker import child
import io
child._render({"command": "video", "config": header["config"], "root": header["temporary"]}, io.BytesIO())
"""


def test_one_altered_byte_of_weights_is_found_although_its_date_is_the_same(
    package: Path, work: Path
) -> None:
    weights = package / "nano/weights/vae/diffusion_pytorch_model.safetensors"
    before = weights.stat()
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    error = sandboxed_code.run(RENDER, work, package)["error"]
    assert error["code"] == "WGT-DAMAGED"
    assert "vae/diffusion_pytorch_model.safetensors" in error["got"]


@pytest.mark.parametrize(
    "name", ["unet/diffusion_pytorch_model.bin", "style.ckpt", "pose_extractor/body.pth"]
)
def test_a_pickle_among_the_weights_is_refused(name: str, package: Path, work: Path) -> None:
    (package / "nano/weights" / name).write_bytes(pickle.dumps({"state_dict": {}}))
    error = sandboxed_code.run(RENDER, work, package)["error"]
    assert (error["code"], Path(name).name in error["got"]) == ("WGT-UNSAFE", True)


def test_a_pickle_named_safetensors_is_found(package: Path, work: Path) -> None:
    target = package / "nano/weights/vae/diffusion_pytorch_model.safetensors"
    target.write_bytes(pickle.dumps({"state_dict": {}}))
    assert sandboxed_code.run(RENDER, work, package)["error"]["code"] == "WGT-DAMAGED"


def test_no_registered_row_loads_a_pickle() -> None:
    loaded = {name for row in registry.shipped() for name in row.files}
    assert len(loaded) > 20
    assert {Path(name).suffix for name in loaded} & (PICKLES | ARRAYS) == set()


@landlock
def test_weights_are_only_read(outside: Path, work: Path) -> None:
    path = str(INSTALLED / "nano/weights/MANIFEST.json")
    told = attempts(
        f"attempt('read', lambda: open({path!r}, 'rb'))\nattempt('write', lambda: open({path!r}, 'r+b'))\n",
        outside,
        work,
    )
    assert told["read"].startswith("had")
    assert told["write"].startswith("PermissionError")


# Other processes


@landlock
def test_no_other_process_is_touched(outside: Path, work: Path) -> None:
    told = attempts(
        "import os\n"
        "attempt('signal', lambda: os.kill(os.getppid(), 0))\n"
        "attempt('memory', lambda: open(f'/proc/{os.getppid()}/maps'))\n",
        outside,
        work,
    )
    # Signals are Landlock's since ABI 6.
    assert told["signal"].startswith("PermissionError") or landlock_abi() < 6
    assert told["memory"].startswith("PermissionError"), told


@linux
def test_no_privileges_are_gained_and_no_memory_is_dumped(work: Path) -> None:
    told = sandboxed_code.run(
        "import resource\n"
        "told['core'] = resource.getrlimit(resource.RLIMIT_CORE)\n"
        "told['status'] = open('/proc/self/status').read()\n",
        work,
    )
    assert told["core"] == [0, 0]
    assert "NoNewPrivs:\t1" in told["status"]
    assert "Seccomp:\t2" in told["status"]


# Where the kernel cannot confine


NO_LANDLOCK = """
import ctypes, errno, os, struct, sys
sys.path.insert(0, sys.argv.pop(1))
from pokora_anime.sandbox import seccomp
# As a kernel before 5.13 answers landlock_create_ruleset.
no, yes = (0x06, 0, 0, 0x50000 | errno.ENOSYS), (0x06, 0, 0, 0x7FFF0000)
seccomp._install([(0x20, 0, 0, 0), (0x15, 0, 1, 444), no, yes])
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def without_landlock(code: str, work: Path, guard: str) -> dict[str, Any]:
    """As `sandboxed_code.run`, on a kernel that does not know Landlock."""
    script = [sandboxed_code.__file__, str(work), str(INSTALLED), guard]
    line = [sys.executable, "-c", NO_LANDLOCK, str(INSTALLED.parent), *script]
    done = subprocess.run(line, input=code, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


STATE = "from pokora_anime.sandbox import guard_state\ntold.update(guard_state.in_force().to_json())\n"


@linux
def test_without_landlock_the_level_is_lower_and_recorded(outside: Path, work: Path) -> None:
    lines = f"attempt('open', lambda: open({str(outside / 'picture.png')!r}, 'rb'))\n"
    told = without_landlock(HELPERS + lines + STATE, work, "auto")
    assert (told["level"], told["landlock_abi"], told["network"]) == ("process", 0, "closed")
    assert told["open"].startswith("had")  # which is why the level stands in the record
    assert "PYTHONPATH" not in told["details"]["environment"]


@linux
def test_a_required_guard_that_cannot_be_had_ends_the_run(work: Path) -> None:
    error = without_landlock(STATE, work, "require")["error"]
    assert (error["code"], error["kind"]) == ("SYS-GUARD", "MachineError")


@landlock
def test_a_required_guard_that_is_there_is_in_force(work: Path) -> None:
    told = sandboxed_code.run(STATE, work, guard="require")
    assert (told["wanted"], told["level"], told["network"]) == ("require", "landlock", "closed")
    assert told["landlock_abi"] == landlock_abi()


def test_ffmpeg_is_found_without_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMAGEIO_FFMPEG_EXE", raising=False)
    assert Path(find_ffmpeg()).is_file()


# Arguments of the networks that a run loads


@pytest.fixture(scope="module")
def networks() -> dict[str, Any]:
    """Every network of a run with nano, as the stages get it."""
    import torch

    from pokora_anime.config.compose import compose
    from pokora_anime.networks.loader import Models
    from pokora_anime.schema.settings import ControlKind

    config = compose("video", ["base=nano"])
    models = Models(config.base, config.speed, [], torch.device("cpu"), torch.float32)
    return {
        "unet": models.unet(),
        "motion unet": models.motion_unet(),
        "controlnet": models.controlnet(ControlKind.depth),
        "vae": models.vae(),
        "text encoder": models.text_stack().encoders[0],
        "text encoder 2": models.text_stack().encoders[1],
    }


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("unet", {"cross_attention_kwargs": {"ip_adapter_masks": None}}),
        ("unet", {"added_cond_kwargs": {"image_embeds": 1}}),
        ("unet", {"down_intrablock_additional_residuals": ()}),
        ("motion unet", {"added_cond_kwargs": {"image_embeds": 1}}),
        ("motion unet", {"cross_attention_kwargs": {}}),
        ("controlnet", {"guess_mode": True}),
        ("controlnet", {"added_cond_kwargs": {"image_embeds": 1}}),
        ("text encoder", {"inputs_embeds": 1}),
        ("text encoder 2", {"inputs_embeds": 1}),
        ("vae", {"sample": None}),
    ],
)
def test_a_loaded_network_takes_no_picture_in(
    name: str, argument: dict[str, Any], networks: dict[str, Any]
) -> None:
    with pytest.raises(MachineError, match="SYS-GUARD-ARGUMENT"):
        networks[name](**argument)


def test_the_loaded_vae_encodes_nothing(networks: dict[str, Any]) -> None:
    import torch

    with pytest.raises(MachineError, match="SYS-GUARD-ARGUMENT"):
        networks["vae"].encode(torch.zeros(1, 3, 32, 32))
    assert networks["vae"].decode(torch.zeros(1, 4, 4, 4), return_dict=False)[0].shape == (1, 3, 32, 32)
