"""Landlock through ctypes: this thread and all that it starts may open what is listed, and nothing else.

Linux only (5.13 and later), unprivileged, and final: what is given up cannot be had back. The numbers
are those of linux/landlock.h; see Documentation/userspace-api/landlock.rst in the kernel.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag

# The same numbers on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_QUERY = 1
_PATH_BENEATH = 1
_NO_NEW_PRIVS = 38


class Access(IntFlag):
    """What may be done with a file or below a folder."""

    execute = 1 << 0
    write_file = 1 << 1
    read_file = 1 << 2
    read_dir = 1 << 3
    remove_dir = 1 << 4
    remove_file = 1 << 5
    make_char = 1 << 6
    make_dir = 1 << 7
    make_reg = 1 << 8
    make_sock = 1 << 9
    make_fifo = 1 << 10
    make_block = 1 << 11
    make_sym = 1 << 12
    refer = 1 << 13  # ABI 2: rename or link between folders
    truncate = 1 << 14  # ABI 3
    ioctl_dev = 1 << 15  # ABI 5


LIST = Access.read_dir
READ = Access.read_file | Access.read_dir
DEVICE = READ | Access.write_file | Access.ioctl_dev
EXECUTE = Access.read_file | Access.execute
# No links, devices, sockets or pipes are made, and nothing that was written is executed.
WRITE = (
    READ
    | Access.write_file
    | Access.truncate
    | Access.refer
    | Access.make_dir
    | Access.make_reg
    | Access.remove_dir
    | Access.remove_file
)
_OF_A_FILE = Access.execute | Access.write_file | Access.read_file | Access.truncate | Access.ioctl_dev
_NEWER = {2: Access.refer, 3: Access.truncate, 5: Access.ioctl_dev}  # by the ABI that brought them
_TCP_ABI, _SCOPE_ABI = 4, 6
_BIND_AND_CONNECT_TCP = 0b11
_SCOPES = 0b11  # abstract unix sockets, signals
# A rule hangs on an inode, and procfs makes another one once the kernel has dropped an entry (memory
# is short, /proc is mounted again): every later read would be refused. A descriptor keeps the entry.
_kept_open: list[int] = []


@dataclass(frozen=True, slots=True)
class Rule:
    """What is allowed with a file, or with all that lies below a folder."""

    path: str
    access: Access


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """What the kernel enforces from now on."""

    abi: int
    tcp: bool  # bind and connect are refused
    scoped: bool  # abstract unix sockets and signals to other processes are refused


def landlock_abi() -> int:
    """The kernel's Landlock version, 0 where there is none. Asks only, restricts nothing."""
    if sys.platform != "linux":
        return 0
    return max(0, _syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_QUERY)))


def confine(rules: Sequence[Rule]) -> Confinement:
    """Restrict this thread and its descendants to `rules`; what does not exist is left out.

    Call it before any other thread is started: threads that run already stay free. Raises OSError
    where the kernel refuses. The files of the rules stay open, unread, for as long as the process lives.
    """
    abi = landlock_abi()
    handled = _handled(abi)
    tcp = _BIND_AND_CONNECT_TCP if abi >= _TCP_ABI else 0
    scopes = _SCOPES if abi >= _SCOPE_ABI else 0
    # Older kernels refuse a longer struct than they know.
    words = 3 if scopes else 2 if tcp else 1
    attributes = struct.pack("=3Q", handled, tcp, scopes)[: 8 * words]
    ruleset = _checked(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    try:
        for rule in rules:
            _add(ruleset, rule, handled)
        no_new_privileges()
        _checked(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)
    return Confinement(abi=abi, tcp=bool(tcp), scoped=bool(scopes))


def no_new_privileges() -> None:
    """Nothing that this process starts may gain privileges (setuid programs); raises OSError."""
    zero = ctypes.c_ulong(0)
    if _libc().prctl(ctypes.c_int(_NO_NEW_PRIVS), ctypes.c_ulong(1), zero, zero, zero) != 0:
        raise _failure("prctl")


def _handled(abi: int) -> Access:
    missing = Access(0)
    for since, access in _NEWER.items():
        missing |= access if abi < since else Access(0)
    everything = Access(0)
    for access in Access:
        everything |= access
    return everything & ~missing


def _add(ruleset: int, rule: Rule, handled: Access) -> None:
    try:
        descriptor = os.open(rule.path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    _kept_open.append(descriptor)
    folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
    allowed = rule.access & handled & (handled if folder else _OF_A_FILE)
    if allowed:
        beneath = struct.pack("=Qi", allowed, descriptor)
        _checked(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), beneath, ctypes.c_uint32(0))


def _checked(number: int, *arguments: object) -> int:
    answer = _syscall(number, *arguments)
    if answer < 0:
        raise _failure("landlock")
    return answer


def _syscall(number: int, *arguments: object) -> int:
    return int(_libc().syscall(ctypes.c_long(number), *arguments))


def _libc() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    return library


def _failure(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")
