"""What a launcher needs before and after a sweep: an installed extra, a cluster, an end of its workers."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pokora_anime.errors import ConfigError, MachineError

# Launchers that are extras: the plugin, and how it is installed.
_EXTRAS = {
    "ray": (
        "hydra_ray_launcher",
        "pip install 'pokora_anime[ray]' && pip install --no-deps hydra-ray-launcher",
    ),
    "submitit_local": ("hydra_submitit_launcher", "pip install 'pokora_anime[slurm]'"),
    "submitit_slurm": ("hydra_submitit_launcher", "pip install 'pokora_anime[slurm]'"),
}
CLUSTER = "RAY_ADDRESS"  # the environment variable that Ray itself reads
_RETRIES = "++hydra.launcher.ray.remote.max_retries"


def chosen(ready: Sequence[str]) -> str:
    """The launcher that is typed; "" for the default."""
    typed = [word.partition("=")[2] for word in ready if word.lstrip("+").startswith("hydra/launcher=")]
    return typed[-1] if typed else ""


def prepare(ready: Sequence[str]) -> list[str]:
    """Words to add. Raises ConfigError for an extra that is not installed, MachineError for no cluster.

    A job whose Ray worker is lost is repeated once: what it had finished is kept in its run's folder.
    """
    name = chosen(ready)
    plugin, fix = _EXTRAS.get(name, ("", ""))
    if plugin and find_spec(f"hydra_plugins.{plugin}") is None:
        raise ConfigError("CFG-OPTION", f"hydra/launcher={name} is not installed", expected=plugin, fix=fix)
    if name != "ray":
        return []
    if os.environ.get(CLUSTER):
        _connect(os.environ[CLUSTER])
    return [f"{_RETRIES}=1"]


def _connect(address: str) -> None:
    """Join a running cluster, which the launcher itself cannot: it would size the cluster's memory."""
    ray: Any = import_module("ray")
    if ray.is_initialized():
        return
    try:
        ray.init(address=address, log_to_driver=True, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        reason = " ".join(str(error).split())[:160]
        raise MachineError(
            "SYS-CLUSTER",
            f"no Ray cluster at {CLUSTER}={address}: {reason}",
            expected="a cluster that `ray status` shows",
            fix=f"start it, or unset {CLUSTER} to render here",
        ) from error


def explain(error: Exception) -> None:
    """Raise MachineError SYS-CLUSTER in the place of an error of a Ray that has not come up."""
    ray: Any = sys.modules.get("ray")
    if ray is None or ray.is_initialized():
        return
    raise MachineError(
        "SYS-CLUSTER",
        f"Ray did not start here: {' '.join(str(error).split())[:160]}",
        expected="a machine that starts its processes within half a minute",
        fix="start the same command again when less else runs, or another launcher",
    ) from error


def end(folder: Path) -> None:
    """End the workers of joblib, which would stay for minutes, and of Ray, and those that render for them."""
    from pokora_anime.render.worker import temporary_folders

    loky = sys.modules.get("joblib.externals.loky.reusable_executor")
    executor = getattr(loky, "_executor", None)
    if executor is not None:
        executor.shutdown(wait=True, kill_workers=True)
        temporary_folders.clear(folder)
    ray: Any = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        ray.shutdown()
        temporary_folders.clear(folder)
