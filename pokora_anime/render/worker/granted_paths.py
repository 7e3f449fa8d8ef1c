"""What rendering takes: interpreter, libraries, package, this run's weights, and a folder to write in."""

from __future__ import annotations

import mimetypes
import site
import sys
import sysconfig
from contextlib import suppress
from glob import glob
from pathlib import Path

from pokora_anime.catalogue import lockfile, own_rows, weight_hashes, weight_paths
from pokora_anime.catalogue.needed_weights import locate, needs, watched
from pokora_anime.devices import compiler, openvino_runtime
from pokora_anime.devices.forecast import cards, rates
from pokora_anime.sandbox.child_environment import DRIVER_FOLDERS
from pokora_anime.sandbox.grants import Grants
from pokora_anime.schema.config_groups import conf_dir
from pokora_anime.schema.settings import RunConfig
from pokora_anime.sounds import sound_store
from pokora_anime.system.files.atomic_files import writing
from pokora_anime.system.files.installed_package import INSTALLED
from pokora_anime.system.files.user_folder import data_folder

_SHARED_LIBRARIES = (
    "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64", "/nix/store",
    "/gnu/store", "/etc/ld.so.cache", "/etc/localtime", "/usr/share/zoneinfo",
    *map(str, mimetypes.knownfiles), *DRIVER_FOLDERS,
)  # fmt: skip
_SYSTEM = (
    "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/sys/vm", "/sys/devices/system",
    "/sys/fs/cgroup", "/dev/zero", "/dev/random", "/dev/urandom",
)  # fmt: skip
_ACCELERATORS = ("/dev/nvidia*", "/dev/nvidia-caps", "/dev/dri", "/dev/kfd", "/dev/dxg")
# A driver asks for much of what the kernel tells about itself; pictures are not among it.
_FOR_ACCELERATORS = ("/proc", "/sys", "/usr/local/cuda", "/usr/share/nvidia", "/etc/nvidia")
_SYSTEM_FFMPEG = ("/usr/bin/ffmpeg", "/usr/local/bin/ffmpeg")
_LOADERS = ("/lib/ld-*.so*", "/lib64/ld-*.so*", "/lib/*/ld-*.so*", "/usr/lib/ld-*.so*")


def needed(config: RunConfig, work: Path) -> Grants:
    """What rendering `config` in the folder `work` takes. Raises ConfigError and WeightsError."""
    read, look = _weights(config)
    accelerators = tuple(found for pattern in _ACCELERATORS for found in sorted(glob(pattern)))
    system = (*_SYSTEM, *_FOR_ACCELERATORS) if accelerators else _SYSTEM
    python = (f"{sys.base_prefix}/lib", f"{sys.prefix}/lib", *library_folders())
    package = (str(INSTALLED), str(conf_dir()))
    # What is forecast follows from these, and nothing that is rendered.
    forecast = (str(rates.path()), *([str(cards.path())] if accelerators else ()))
    builds = compiler.asked(config)
    headers = compiler.headers() if builds else []
    converted = _converted(config) if openvino_runtime.asked(config) else []
    return Grants(
        read=tuple(
            dict.fromkeys(
                [*_SHARED_LIBRARIES, *system, *python, *package, *headers, *converted, *forecast, *read]
            )
        ),
        look=tuple(look),
        write=(str(work.resolve()), *(_compiled() if builds else ())),
        execute=(*_programs(), *(compiler.programs(library_folders()) if builds else ())),
        devices=("/dev/null", *accelerators),
    )


def places_of_weights(config: RunConfig) -> dict[str, str]:
    """The variables that tell where this user keeps what a run needs: weights, compiled networks."""
    kept = {"POKORA_DATA": str(data_folder().absolute())}
    if compiler.asked(config):
        kept |= compiler.environment()
    if all(row.packaged for row in needs(config)):
        return kept
    return {**kept, "HF_HUB_CACHE": str(weight_paths.hub_cache().absolute())}


def library_folders() -> list[str]:
    """Where installed libraries lie: this environment's own folders, neither the user's nor PYTHONPATH's."""
    folders = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()]
    if sys.prefix != sys.base_prefix:  # an environment that was made with --system-site-packages
        folders += [folder for folder in site.getsitepackages([sys.base_prefix]) if folder in sys.path]
    return list(dict.fromkeys(folder for folder in folders if Path(folder).is_dir()))


def _weights(config: RunConfig) -> tuple[list[str], list[str]]:
    """Files to read and folders to list; what ships with the package is readable with it."""
    read = [str(own_rows.path()), str(lockfile.path())]
    if config.shot.sound is not None:
        read += sound_store.files(config.shot.sound)
    look: list[str] = []
    for row in (*needs(config), *watched(config)):
        folder = None if row.packaged else locate(row)
        if folder is None:
            continue
        look.append(str(folder.resolve()))
        # The hub's cache holds links to files named by their hash.
        read += [str(path.resolve()) for path in weight_hashes.files(folder, row.files) or ()]
        if ":" not in row.repo:  # a hub id
            read.append(str(weight_paths.repo_cache(row.repo) / "refs" / "main"))
    return read, look


def _compiled() -> list[str]:
    """The folder of compiled networks, which is there from now on. Raises MachineError SYS-*."""
    folder = compiler.kept()
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return [str(folder.resolve())]


def _converted(config: RunConfig) -> list[str]:
    """The folder of this composition's converted networks, read and never written by what renders."""
    folder = openvino_runtime.kept(config)
    with suppress(OSError):  # then they cannot be kept, which is no reason not to render
        folder.mkdir(parents=True, exist_ok=True)
    return [str(folder.resolve())]


def _programs() -> list[str]:
    """ffmpeg, and the loader that starts a dynamically linked one."""
    bundled = [f"{folder}/imageio_ffmpeg/binaries" for folder in library_folders()]
    own = str(Path(sys.prefix) / "bin" / "ffmpeg")  # conda's
    loaders = [found for pattern in _LOADERS for found in sorted(glob(pattern))]
    return [*bundled, own, *_SYSTEM_FFMPEG, *loaders]
